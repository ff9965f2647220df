"""After an interruption: which restore lies unfinished in a folder, and two ways out of it. No repository needed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from casstore import treelock
from casstore.entry import Entry
from casstore.errors import CasError, RestoreUnfinished
from casstore.progress import Event, Notice, Problem, Progress, Stage, silent
from casstore.restore.attributes import KINDS, alike, describe, dress
from casstore.restore.finished import drop_record, write_record
from casstore.restore.ground import Ground
from casstore.restore.journal import Header, read_header
from casstore.restore.staging import JOURNAL, Staging, find
from casstore.restore.swap import Swap
from casstore.treelock import BEING_READ, RestoreAtWork
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A restore that was interrupted while it replaced files. `header` is None where it may not be read."""

    folder: Path
    header: Header | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """How an interrupted restore was brought to an end. `kept`: where files lie that were written meanwhile."""

    header: Header
    problems: int
    kept: Path | None


class Live:
    """The live tree as the swap sees it."""

    def __init__(self, target: Ground, progress: Progress) -> None:
        self._target, self._progress = target, progress
        self.folder, self.forget = target.folder, target.forget

    def dress(self, path: bytes, entry: Entry) -> None:
        """Set what differs, and touch nothing if nothing does."""
        status = self._target.status(path)
        if status is None or KINDS.get(status.st_mode & 0o170000) is not entry.kind:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not alike(entry, describe(self._target, path, status)):
            dress(self._target, path, entry, self._progress)


def unfinished(target: Path) -> Unfinished | None:
    """Give the restore that lies unfinished in a folder, as long as it is neither resumed nor undone."""
    try:
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for name, journal in find(root):
            if journal == JOURNAL:
                return Unfinished(target / os.fsdecode(name), _header(root, name))
    finally:
        os.close(root)
    return None


def refuse_unfinished(target: Path) -> None:
    """Refuse to work on a tree that is half one snapshot and half another.

    Raises:
        RestoreUnfinished: it is. RestoreAtWork: it will be whole again.
    """
    if unfinished(target) is not None:
        if _is_at_work(target):
            raise RestoreAtWork
        raise RestoreUnfinished(f"a restore into {target} was interrupted while it replaced files")


def _is_at_work(target: Path) -> bool:
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return treelock.is_at_work(root)
    finally:
        os.close(root)


def resume(target: Path, *, state: Path, progress: Progress = silent) -> Recovered:
    """Bring an interrupted restore to its end. All it needs was staged and proven before.

    Raises:
        CasError: nothing lies unfinished there, or it is another user's.
    """
    return _recover(target, state, progress, forward=True)


def undo(target: Path, *, state: Path, progress: Progress = silent) -> Recovered:
    """Go back to what was there before an interrupted restore, and remove only what that restore put there.

    Raises:
        CasError: nothing lies unfinished there, or it is another user's.
    """
    return _recover(target, state, progress, forward=False)


def _recover(target: Path, state: Path, progress: Progress, *, forward: bool) -> Recovered:
    problems = 0

    def watch(event: Event) -> None:
        nonlocal problems
        problems += isinstance(event, Problem)
        progress(event)

    with _reopened(target, watch) as (tree, staging, journal), alone(tree, progress):
        header = read_header(journal)
        progress(Stage("resuming" if forward else "going back"))
        swap = Swap(Live(tree, watch), journal, staging.new, staging.old, staging.foreign, strict=False, progress=watch)
        try:
            if forward:
                swap.forward()
            else:
                swap.back()
            tree.sync()
        except OSError as error:
            raise RestoreUnfinished(
                f"it could not be brought to an end: {where(error, target)}: {error.strerror}"
            ) from error
        if not forward:
            drop_record(state, header)
        elif header.in_place:
            write_record(state, journal)
        folder = target / os.fsdecode(staging.name)
        journal.close()
        staging.finish()
        gone = staging.remove()
        if not forward:
            set_modified(tree.fd, header.modified_ns)
        return Recovered(header, problems, None if gone else folder / "foreign")


def alone(tree: Ground, progress: Progress) -> AbstractContextManager[None]:
    """Have a tree alone while files are replaced: a snapshot of it would be half one state and half another."""
    return treelock.replacing(tree.fd, lambda: progress(Notice(b".", BEING_READ)))


def where(error: OSError, target: Path) -> str:
    """Give the place that an error of the operating system names, or the target."""
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(target)


def set_modified(root: int, modified_ns: int) -> None:
    """Give the target itself its time back, once the staging folder is gone."""
    try:
        os.utime(root, ns=(modified_ns, modified_ns))
    except OSError:
        return  # another user's folder: its time says that something was there, which is so


@contextmanager
def _reopened(target: Path, progress: Progress) -> Iterator[tuple[Ground, Staging, IO[bytes]]]:
    tree = Ground(os.fsencode(target), progress=progress)
    try:
        name = next((name for name, journal in find(tree.fd) if journal == JOURNAL), None)
        if name is None:
            raise CasError(f"no restore lies unfinished in {target}", hint="There is nothing to resume.")
        staging = Staging.reopen(tree.fd, name)
        try:
            with staging.open_journal() as journal:
                yield tree, staging, journal
        finally:
            staging.close()
    finally:
        tree.close()


def _header(root: int, name: bytes) -> Header | None:
    try:
        fd = os.open(name + b"/" + JOURNAL, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        with os.fdopen(fd, "rb") as file:
            return read_header(file)
    except (OSError, CasError):
        return None
