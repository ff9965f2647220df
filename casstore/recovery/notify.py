"""Tell somebody: an address that is asked after each backup, and people when a promise is broken.

The only door to apprise, which is imported when it is used. What cannot be told stops nothing: the caller says so once.
Addresses may hold secrets: errors name no more of them than their scheme, and host where `web` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from casstore.errors import CasError
from casstore.recovery import web

_TIMEOUT_NS = 5 * 10**9
_MOST_BYTES = 1024  # of an answer; nobody reads it


class NotTold(CasError):
    """Somebody who should know does not."""


def ping(address: str, *, failed: bool) -> None:
    """Ask an address, with /fail at the end of its path after a failure, as healthchecks has it.

    Raises:
        NotTold: nothing there took it within 5 s.
    """
    try:
        answer = web.ask(_failing(address) if failed else address, timeout_ns=_TIMEOUT_NS, most_bytes=_MOST_BYTES)
    except CasError as error:
        raise NotTold(f"`ping` of [notify] was not told: {error}") from error
    if not 200 <= answer.status < 300:
        raise NotTold(f"`ping` of [notify] was not told: it answered with the status {answer.status}")


def send(addresses: Sequence[str], title: str, body: str) -> None:
    """Send a message to each apprise address.

    Raises:
        NotTold: one or more of them did not get it; the others did.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what apprise itself imports
            failed = [address for address in addresses if not _sent(address, title, body)]
    except ImportError as error:
        raise NotTold("nobody of [notify] was told: `apprise` is not installed", hint=_INSTALL) from error
    if failed:
        kinds = ", ".join(f"{address.partition('://')[0]}://…" for address in failed)
        raise NotTold(
            f"not all of [notify] were told: {kinds} did not take it",
            hint="`apprise -vv` with that address says why.",
        )


_INSTALL = "Type `pipx inject casstore apprise`, or `pip install apprise` where casstore is installed."


def _sent(address: str, title: str, body: str) -> bool:
    import apprise

    teller = apprise.Apprise()
    return bool(teller.add(address)) and bool(teller.notify(title=title, body=body))


def _failing(request: str) -> str:
    method, space, address = request.rpartition(" ")
    try:
        parts = urlsplit(address)
    except ValueError:
        return request  # `web` says what is wrong with it
    return method + space + urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
