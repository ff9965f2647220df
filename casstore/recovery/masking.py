"""Secrets taken out of what is shown or kept, also as JSON, addresses and Python write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

LEAST_SECRET = 4  # letters: what is shorter stands in too many words to be taken out of them
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")  # is written in the same way everywhere
_SAFE_IN_JAVASCRIPT = "!'()*"  # in encodeURIComponent
SHOWN = "•••"  # what stands where a secret stood: as long for each, so that not even its length shows


def mask(words: str, hide: Iterable[str]) -> str:
    """Give the words without the values in `hide`."""
    for value in _by_length(hide):
        words = words.replace(value, SHOWN)
    return words


def tail(data: bytes, most_bytes: int, hide: Iterable[str]) -> str:
    """Give the end of an output without the values in `hide`: none shows in half, cut by the end itself.

    `data` must hold `margin(hide)` bytes more than `most_bytes` if there were more.
    """
    for value in _by_length(hide):
        secret = value.encode(errors="surrogateescape")
        data = data.replace(secret, bytes(len(secret)))  # as long as it was, so that the cut falls where it would
    return re.sub(rb"\0+", SHOWN.encode(), data[-most_bytes:]).decode(errors="replace")


def margin(hide: Iterable[str]) -> int:
    """Give the bytes before a cut that a secret may reach into."""
    return max((len(value.encode(errors="surrogateescape")) for value in _by_length(hide)), default=0)


def _by_length(hide: Iterable[str]) -> list[str]:
    """The longest first, since one may hold another; the lines of one that has several are shown one by one."""
    lines = {line.strip() for value in hide for line in (value, *value.splitlines())}
    written = {form for line in lines if len(line) >= LEAST_SECRET for form in _written(line)}
    return sorted(written, key=len, reverse=True)


def _written(value: str) -> set[str]:
    """Give a value as it stands, and as it is written where some of its letters mean something."""
    if _PLAIN.fullmatch(value):
        return {value}
    import json  # neither is needed for most values, and a backup with a flush begins here
    from urllib.parse import quote, quote_plus

    encoded = value.encode(errors="surrogateescape")
    return {
        value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1],
        *(quote(encoded, safe) for safe in ("", "/", _SAFE_IN_JAVASCRIPT)), quote_plus(encoded),
    }  # fmt: skip
