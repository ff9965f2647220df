"""Who is at work in a tree: snapshots read it side by side, and a restore replaces its files alone.

The lock is one on the folder itself (flock): it asks for no right but to read, and ends with the process that holds it.
Where the file system knows none nobody waits.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def reading(folder: bytes) -> Iterator[None]:
    """Keep restores from replacing files in a folder; one that is at it is waited for."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # whoever reads it says so
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def is_taken(folder: bytes) -> bool:
    """Whether a restore replaces files in a folder just now."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


@contextmanager
def replacing(fd: int, waits: Callable[[], None]) -> Iterator[None]:
    """Have an open folder alone; `waits` is called if somebody reads it, whose end is then waited for."""
    with suppress(OSError):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
