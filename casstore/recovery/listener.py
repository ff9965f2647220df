"""Who holds the port of a health page: proven to be what was started here, and gone when that is ended."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from casstore.errors import CasError
from casstore.processes import Process, listening_on
from casstore.recovery.application import Application


class Foreign(CasError):
    """Who answers is not what was started for the drill, or something holds its port when that is ended."""


def port_of(application: Application) -> int | None:
    """Give the port at which its health is asked; None if it has no health page."""
    health = application.app.health
    if health is None:
        return None
    address = urlsplit(application.environment.expand(health.http).rpartition(" ")[2])
    return address.port or (443 if address.scheme == "https" else 80)


def prove(port: int, ours: Iterable[Process]) -> str:
    """Prove that who listens at a port is ours; gives words.

    Raises:
        Foreign: it is not, or nobody can tell.
    """
    pids = {process.pid for process in ours}
    found = listening_on(port)
    if not found:
        raise Foreign(f"nothing on this host listens on port {port}, and yet something answered")
    for process in found:
        if process is None:
            raise Foreign(f"port {port} is held by a process that this user cannot see, and not by the drill's")
        if process.pid not in pids:
            raise Foreign(f"port {port} is held by process {process.pid}, which the drill did not start")
    return f"port {port} is held by what was started here"


def prove_free(port: int) -> str:
    """Prove that nobody listens at a port any more; gives words.

    Raises:
        Foreign: somebody does.
    """
    for process in listening_on(port):
        who = "a process that this user cannot see" if process is None else f"process {process.pid}"
        raise Foreign(
            f"port {port} is held by {who}, though all that is known to be of the drill was ended",
            hint="See what it is (`ss -ltnp`), and end it: the next drill finds its port taken.",
        )
    return f"port {port} is free"
