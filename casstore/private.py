"""A small file of this host, replaced as a whole: after a crash it holds all of the one or all of the other content.

Nobody but its owner may read it, in folders that nobody else may look into (key, anchor): mode 0600, folders 0700
whatever the umask, durable on return. Only what is published has another mode, and the name of it may be lost with the
power. What goes wrong is the caller's to tell, so `OSError` goes up as it is.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casstore.crypto import random_bytes

MOST_NAME = 200  # bytes of a name that its temporary file is called by too


def create(path: Path, data: bytes) -> None:
    """Make the file in a folder that exists; what is there already is left alone (`FileExistsError`)."""
    _fill(path, data)
    _sync(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Make the file, or put another in its place."""
    _make_folder(path.parent)
    publish(path, data, mode=0o600)
    _sync(path.parent)


def publish(path: Path, data: bytes, *, mode: int) -> None:
    """Put a file that others may read in the place of one, in a folder that exists; `mode` whatever the umask."""
    temporary = _temporary(path)
    _fill(temporary, data, mode=mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def remove(path: Path) -> None:
    """Remove the file, if it is there."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes of this host from the same, by a lock on the folder, as long as the block runs."""
    _make_folder(path.parent)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def try_to_replace(path: Path, length: int) -> None:
    """Find out whether so many bytes could take the file's place, and change nothing; costs no sync."""
    _make_folder(path.parent)
    temporary = _temporary(path)
    _fill(temporary, bytes(length), sync=False)
    temporary.unlink()


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, for the owner only; those that exist stay as they are."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.is_dir()]):
        missing.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would give those between the rights of the umask
        _sync(missing.parent)


def _temporary(path: Path) -> Path:
    name = os.fsdecode(os.fsencode(path.name)[:MOST_NAME])
    return path.with_name(f"{'' if name.startswith('.') else '.'}{name}.{random_bytes(8).hex()}")


def _fill(path: Path, data: bytes, *, mode: int = 0o600, sync: bool = True) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:  # a full disk may take a part first and refuse the rest
            rest = rest[os.write(handle, rest) :]
        if mode != 0o600:
            os.fchmod(handle, mode)
        if sync:
            os.fsync(handle)
    except BaseException:
        path.unlink()  # half a key would be in the way of the next attempt
        raise
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
