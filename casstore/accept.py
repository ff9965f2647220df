"""Accept: what guarded files lost is meant, says the admin. From then on `last-good` is no older than that."""

from __future__ import annotations

from collections.abc import Sequence

from casstore.errors import UsageError
from casstore.format.commit import CommitKind, accepted_to_body
from casstore.losses import Accepted, Origin
from casstore.repository import Repository


def accept(repository: Repository, source: Origin, paths: Sequence[bytes] = (), *, now_ns: int) -> None:
    """Accept what these paths, with all below them, lost in the snapshots that the source has by now; () is all.

    Raises:
        UsageError: this host holds no admin key.
    """
    if not repository.host.admin_seed:
        raise UsageError("only the admin can accept a loss", hint="Run it on a host that has the admin's key.")
    repository.check_writable()
    repository.welcome(now_ns)
    body = accepted_to_body(Accepted(0, source, tuple(paths)))
    repository.append(CommitKind.NOTE, body, clock_ns=now_ns, as_admin=True)
    repository.acknowledge()
