"""Whether a file holds the bytes that an entry names: cut and hashed anew, nothing fetched."""

from __future__ import annotations

import errno
import os

from casstore.entry import Entry, Root
from casstore.errors import Damaged
from casstore.format.blob import DATA
from casstore.openfile import WINDOW, Extents
from casstore.repository import Repository


def holds(repository: Repository, fd: int, entry: Entry) -> bool:
    """Whether an open file has the size, the bytes and (as zeros) the holes of the entry."""
    if os.fstat(fd).st_size != entry.size:
        return False
    extents = ((0, entry.size),) if entry.extents is None else entry.extents
    return _is_cut_alike(repository, Extents(fd, extents), entry.content) and (
        entry.extents is None or _is_zero_between(fd, entry.extents, entry.size)
    )


def _is_cut_alike(repository: Repository, content: Extents, root: Root) -> bool:
    if root.height == 0 and len(root.ids) <= 1 and root.length < WINDOW:
        data = b"".join(iter(lambda: content.read(WINDOW), b""))  # one chunk at most: no chunker needed
        return len(data) == root.length and (not data or repository.keys.chunk_id(DATA, data) == root.ids[0])
    chunk_id = repository.keys.chunk_id
    try:
        expected = repository.chunks.expand(root)
        for chunk in repository.chunker().cut(content.read):
            if next(expected, None) != chunk_id(DATA, chunk):
                return False
        return next(expected, None) is None
    except Damaged:
        return False  # the fetch will say so


def _is_zero_between(fd: int, extents: tuple[tuple[int, int], ...], size: int) -> bool:
    at = 0
    for start, length in (*extents, (size, 0)):
        if not _is_zero(fd, at, start):
            return False
        at = start + length
    return True


def _is_zero(fd: int, at: int, end: int) -> bool:
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            # a file system that cannot tell: read it all
        if at >= end:
            return True
        data = os.pread(fd, min(1 << 20, end - at), at)
        if not data or data.count(0) != len(data):
            return not data
        at += len(data)
    return True
