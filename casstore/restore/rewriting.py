"""Restore within a file: the same road, from the staging to the undo, for content that the caller makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from casstore.progress import Progress, silent
from casstore.repository import Repository
from casstore.restore.given import Revise, give
from casstore.restore.restoring import Restored, run
from casstore.selection import literal
from casstore.snapshot import Snapshot


def rewrite(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    path: bytes,
    revise: Revise,
    *,
    force: bool = False,
    now_ns: int,
    zone_minutes: int,
    hostname: str,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Restored:
    """Restore a live file in part: `revise` makes its new bytes of its present ones, and of what `snapshot` holds.

    All else is as in `restore` of this one path in place, `undo_finished` too. Equal bytes touch nothing.

    Raises:
        NothingToRewrite: there is no such live file. Else as `restore`.
    """
    return run(
        repository, snapshot, target, paths=(literal(path),), in_place=True, doomed=None, force=force, read_back=True,
        devices=False, now_ns=now_ns, zone_minutes=zone_minutes, hostname=hostname, clock=clock, progress=progress,
        give=lambda tree: give(repository, tree, path, revise, now_ns),
    )  # fmt: skip
