"""A live file, read with care.

It is read into private buffers and never mapped: an application that truncates a mapped file would kill the reader. It
is read to the length fstat gave, never further; holes of a sparse one cost nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

WINDOW = 8 << 20  # bytes that are read at once
OTHER_BLOCKS = 16 << 10  # bytes that a file takes beside its content


class Extents:
    """Reads extents of an open file, each an offset and a length in bytes, one behind the other."""

    def __init__(self, fd: int, extents: Sequence[tuple[int, int]]) -> None:
        self._fd, self._rest = fd, iter(extents)
        self._at = self._end = 0

    def read(self, max_bytes: int) -> bytes:
        """Give the next bytes of an extent; b"" behind the last, or where the file was cut meanwhile."""
        while self._at >= self._end:
            extent = next(self._rest, None)
            if extent is None:
                return b""
            self._at, self._end = extent[0], sum(extent)
        wanted = min(max_bytes, self._end - self._at)
        data = read_at(self._fd, self._at, wanted)
        self._at += len(data)
        if len(data) < wanted:
            self._at = self._end = 0
            self._rest = iter(())
        return data


class OpenFile:
    """A file being read: `extents` are the runs of bytes of a sparse one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.stat = os.fstat(fd)
        self.size = self.stat.st_size
        self.extents = _trusted(_extents(fd, self.size), self.stat)
        self.data_size = self.size if self.extents is None else sum(length for _, length in self.extents)
        self._reading = Extents(fd, ((0, self.size),) if self.extents is None else self.extents)

    def read(self, max_bytes: int) -> bytes:
        """Give the next bytes, holes left out; b"" at the end, or where the file was cut meanwhile."""
        return self._reading.read(max_bytes)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give the bytes of a place, holes as zeros; fewer where the file was cut meanwhile."""
        return read_at(self._fd, offset, length)

    def go_to(self, offset: int, end: int) -> None:
        """Let `read` go on from a place of a file without holes, and stop at another."""
        self._reading = Extents(self._fd, ((offset, end - offset),))

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close."""
        os.close(self._fd)


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Give the bytes of a place, holes as zeros; fewer where the file is cut."""
    data = os.pread(fd, length, offset)  # not into a buffer of ours: that would be filled with zeros first
    while 0 < len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def _trusted(extents: tuple[tuple[int, int], ...] | None, known: os.stat_result) -> tuple[tuple[int, int], ...] | None:
    """Pass on extents that fit what fstat said; else a truncation came in between, and its holes were never there.

    Blocks alone do not tell: attributes take some too, and a small hole may hide behind them.
    """
    blocks = known.st_blocks * 512
    if not extents or blocks < known.st_size:
        return extents if blocks < known.st_size else None
    whole = sum(extents[-1]) == known.st_size and blocks <= sum(length for _, length in extents) + OTHER_BLOCKS
    return extents if whole else None


def _extents(fd: int, size: int) -> tuple[tuple[int, int], ...] | None:
    out: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size:
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
            if at > start:
                out.append((start, at - start))
    except OSError:
        return None  # a file system that cannot tell: holes are read as zeros
    return tuple(out) if out != [(0, size)] else None
