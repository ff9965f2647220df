"""Going back after a restore came to its end: the pre-restore snapshot again, and nothing more removed than it made.

It is a restore in place itself: what it replaces and removes is in a pre-restore snapshot of its own, so that an undo
can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from casstore.entry import Entry
from casstore.errors import SnapshotNotFound
from casstore.progress import Progress, silent
from casstore.repository import Repository
from casstore.restore.finished import Finished, NothingToUndo, read_record
from casstore.restore.plan import Plan, make_plan
from casstore.restore.restoring import Restored, run
from casstore.restore.saved import common, extras
from casstore.restore.survey import scope
from casstore.snapshot import Snapshot


def finished(repository: Repository, target: Path) -> Finished | None:
    """Give the last restore that came to its end in a folder, as this host remembers it."""
    try:
        return read_record(repository.home.state, repository.header.repository, target)
    except NothingToUndo:
        return None


def plan_undo(repository: Repository, target: Path, *, progress: Progress = silent) -> Plan:
    """Say what `undo_finished` would do.

    Raises:
        NothingToUndo: no restore is on record. SnapshotNotFound: what it saved is no more.
    """
    record = read_record(repository.home.state, repository.header.repository, target)
    saved, doomed = _way_back(repository, record)
    return make_plan(repository, saved, target, record.header.paths, doomed, progress)


def undo_finished(
    repository: Repository,
    target: Path,
    *,
    force: bool = False,
    devices: bool = False,
    now_ns: int,
    zone_minutes: int,
    hostname: str,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Restored:
    """Restore the pre-restore snapshot of the last restore, and remove what that created.

    Files of other origin stay, also in folders that it created; those then stay too.

    Raises:
        NothingToUndo: no restore is on record. SnapshotNotFound: what it saved is no more. Else as `restore`.
    """
    record = read_record(repository.home.state, repository.header.repository, target)
    saved, doomed = _way_back(repository, record)
    return run(
        repository, saved, target, paths=record.header.paths, in_place=True,
        doomed=lambda now: doomed(repository.entries(now)), force=force, read_back=True, devices=devices,
        now_ns=now_ns, zone_minutes=zone_minutes, hostname=hostname, clock=clock, progress=progress,
    )  # fmt: skip


def _way_back(
    repository: Repository, record: Finished
) -> tuple[Snapshot, Callable[[Iterator[Entry]], Iterator[Entry]]]:
    snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
    header = record.header
    saved = next((snapshots[i] for i in snapshots if i == header.pre_restore), None)
    if saved is None:
        raise SnapshotNotFound("the pre-restore snapshot of the last restore is no longer in the repository")
    restored = next((snapshots[i] for i in snapshots if i == header.snapshot), None)
    before = saved

    def doomed(live: Iterator[Entry]) -> Iterator[Entry]:
        gone = extras(live, repository.entries(before), scope(header.paths))
        if restored is None:  # forgotten meanwhile: what was in the folders it created cannot be told any more
            return (entry for entry in gone if entry.path in record.created)
        return common(gone, (e for e in repository.entries(restored) if _is_below(e.path, record.created)))

    return saved, doomed


def _is_below(path: bytes, created: frozenset[bytes]) -> bool:
    while path:
        if path in created:
            return True
        path = path.rpartition(b"/")[0]
    return False
