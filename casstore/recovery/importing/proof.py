"""Whether a snapshot holds an old backup: every byte of every file is read from both and compared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from casstore.entry import Entry, Kind, join
from casstore.errors import Damaged
from casstore.openfile import WINDOW, OpenFile
from casstore.progress import Event, Notice, Problem
from casstore.recovery.importing.found import OldBackup, walk
from casstore.repository import Repository
from casstore.restore.attributes import KINDS
from casstore.snapshot import Snapshot
from casstore.source import Listing


class What(Enum):
    """What keeps a snapshot from being all that a folder holds."""

    UNSAVED = 1  # it could not be saved, or was left out on purpose
    CHANGED = 2  # the folder holds something else
    DAMAGED = 3  # the repository does not give it back


class Finding(NamedTuple):
    """Something that is not alike; `path` is relative to the backup's folder."""

    path: bytes
    what: What
    reason: str


def compare(repository: Repository, snapshot: Snapshot, old: OldBackup) -> Iterator[Finding]:
    """Yield what is not alike. Nothing: the snapshot holds all of the folder, and the folder all of the snapshot."""
    try:
        entries = {entry.path: entry for entry in repository.entries(snapshot)}
    except Damaged as error:
        yield Finding(b"", What.DAMAGED, str(error))
        return
    untold: list[Finding] = []

    def hear(event: Event) -> None:
        if isinstance(event, Problem | Notice):
            untold.append(Finding(event.path, What.UNSAVED, event.reason))

    met = set()
    for listing in walk(old.folder, hear):
        for i, name in enumerate(listing.names):
            path = join(listing.path, name)
            met.add(path)
            if path in old.places or not stat.S_ISDIR(listing.stats[i].st_mode):
                yield from _compare(repository, entries, old, path, listing, i)
    yield from untold
    places = set(old.places.values())
    for path, place in old.places.items():
        if path not in met and place in entries:
            yield Finding(path, What.CHANGED, "is not in the folder any more")
    for place, entry in entries.items():
        if not entry.is_folder and place not in places:
            yield Finding(place, What.CHANGED, "is in the snapshot only")


def _compare(
    repository: Repository, entries: dict[bytes, Entry], old: OldBackup, path: bytes, listing: Listing, i: int
) -> Iterator[Finding]:
    if path in old.left_out:
        yield Finding(path, What.UNSAVED, "is left out, as cas.toml says")
        return
    entry = entries.get(old.places.get(path, b""))
    if entry is not None and entry.kind is not KINDS[stat.S_IFMT(listing.stats[i].st_mode)]:
        yield Finding(path, What.CHANGED, "is of another kind")
    elif entry is not None and entry.kind is Kind.SYMLINK:
        if os.readlink(listing.names[i], dir_fd=listing.fd) != entry.target:
            yield Finding(path, What.CHANGED, "leads elsewhere")
    elif entry is None or entry.kind is Kind.FILE:
        yield from _compare_file(repository, entry, path, listing, i)


def _compare_file(
    repository: Repository, entry: Entry | None, path: bytes, listing: Listing, i: int
) -> Iterator[Finding]:
    try:
        file = listing.open(i)
    except OSError as error:
        yield Finding(path, What.UNSAVED, f"cannot be read: {os.strerror(error.errno or 0)}")
        return
    try:
        if entry is None:
            yield Finding(path, What.CHANGED, "is not in the snapshot")
        elif not is_alike(repository, entry, file):
            yield Finding(path, What.CHANGED, "holds other bytes")
    except Damaged as error:
        yield Finding(path, What.DAMAGED, str(error))
    finally:
        file.close()


def is_alike(repository: Repository, entry: Entry, file: OpenFile) -> bool:
    """Whether a file has the bytes of an entry, its holes as zeros.

    Raises:
        Damaged: the repository does not give them.
    """
    if file.size != entry.size:
        return False
    runs = iter(((0, entry.size),) if entry.extents is None else entry.extents)
    at = end = 0
    for piece in repository.read(entry.content):
        while piece:
            if at == end:
                start, length = next(runs, (0, 0))
                if not length or not _is_zero(file, end, start):
                    return False
                at, end = start, start + length
            part = piece[: end - at]
            if file.read_at(at, len(part)) != part:
                return False
            at, piece = at + len(part), piece[len(part) :]
    return at == end and _is_zero(file, end, entry.size)


def _is_zero(file: OpenFile, at: int, end: int) -> bool:
    while at < end:
        data = file.read_at(at, min(WINDOW, end - at))
        if not data or data.count(0) != len(data):
            return False
        at += len(data)
    return True
