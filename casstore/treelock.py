"""Who is at work in a tree: snapshots read it side by side, and a restore replaces its files alone.

The lock is one on the folder itself (flock): it asks for no right but to read, and ends with the process that holds it.
A restore is known by its staging folder there, which it locks too; so a lock that somebody else has on the folder, such
as a script run by `flock`, stops no snapshot. Where the file system knows no locks nobody waits.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from casstore.errors import CasError, RestoreUnfinished
from casstore.source import has_journal, is_staging

BEING_READ = "is being read for a snapshot, whose end is waited for"
BEING_REPLACED = "a restore is replacing files, and its end is waited for"
PATIENCE_S = 600.0  # for a restore to end; what it does under its lock takes seconds
_STEP_S = 0.05
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class RestoreAtWork(RestoreUnfinished):
    """A restore of another process replaces files; nothing interrupted it."""

    hint = "Wait for its end."

    def __init__(self) -> None:
        super().__init__("a restore is replacing files there now")


class TreeBusy(CasError):
    """Somebody reads the tree in which files are to be replaced."""

    hint = "Wait for its end, or end it, and run this again; a lock that `flock` has on the folder counts as well."


@contextmanager
def reading(folder: bytes, waits: Callable[[], None]) -> Iterator[None]:
    """Keep restores from replacing files in a folder; one that is at it is waited for, and told by `waits`.

    Raises:
        RestoreUnfinished: one was interrupted there, or does not come to its end.
    """
    try:
        fd = os.open(folder, _FOLDER)
    except OSError:  # whoever reads it says so
        yield
        return
    try:
        if not _locked(fd, fcntl.LOCK_SH) and is_at_work(fd):
            waits()
            deadline = time.monotonic() + PATIENCE_S
            while not _locked(fd, fcntl.LOCK_SH) and is_at_work(fd):
                if time.monotonic() > deadline:
                    raise RestoreAtWork
                time.sleep(_STEP_S)
        if any(has_journal(fd, name) for name in _staging(fd)) and not is_at_work(fd):
            raise RestoreUnfinished(f"a restore into {os.fsdecode(folder)} was interrupted while it replaced files")
        yield
    finally:
        os.close(fd)


@contextmanager
def replacing(fd: int, waits: Callable[[], None], *, patience_s: float = 60.0) -> Iterator[None]:
    """Have an open folder alone; who reads it is waited for, and told by `waits`.

    Raises:
        TreeBusy: somebody still reads it after that time.
    """
    if not _locked(fd, fcntl.LOCK_EX):
        waits()
        deadline = time.monotonic() + patience_s
        while not _locked(fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise TreeBusy(f"{Path(f'/proc/self/fd/{fd}').readlink()} is being read for a snapshot")
            time.sleep(_STEP_S)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


def await_free(folder: bytes, waits: Callable[[], None]) -> None:
    """Wait until nobody reads a folder, before an application is stopped for it.

    Raises:
        TreeBusy: as `replacing`.
    """
    with suppress(FileNotFoundError):
        fd = os.open(folder, _FOLDER)
        try:
            with replacing(fd, waits):
                pass
        finally:
            os.close(fd)


def is_at_work(fd: int) -> bool:
    """Whether a restore works in an open folder just now; one of another user that cannot be looked at counts."""
    return any(_is_held(fd, name) for name in _staging(fd))


def _staging(fd: int) -> list[bytes]:
    return [name for name in map(os.fsencode, os.listdir(fd)) if is_staging(name)]


def _is_held(fd: int, name: bytes) -> bool:
    try:
        staging = os.open(name, _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _locked(staging, fcntl.LOCK_SH)
    finally:
        os.close(staging)


def _locked(fd: int, how: int) -> bool:
    """Lock, unless somebody else has it."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True
