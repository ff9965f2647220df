"""Records put aside on disk while a restore is prepared: read forward or backward, whatever their number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

from casstore.entry import Entry
from casstore.format import record
from casstore.format.manifest import decode_entry, encode_entry

_LENGTH = 4


class Spool:
    """Paths, each with its entry. The file has no name and is gone with it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def append(self, path: bytes, entry: Entry) -> None:
        """Put one aside."""
        data = record.encode([path, entry.path.rpartition(b"/")[0], encode_entry(entry)])
        length = len(data).to_bytes(_LENGTH, "little")
        self._file.write(length + data + length)
        self.count += 1

    def __iter__(self) -> Iterator[tuple[bytes, Entry]]:
        self._file.seek(0)
        while length := int.from_bytes(self._file.read(_LENGTH), "little"):
            data = self._file.read(length)
            self._file.read(_LENGTH)
            yield _decoded(data)

    def __reversed__(self) -> Iterator[tuple[bytes, Entry]]:
        self._file.flush()
        fd = self._file.fileno()
        at = os.fstat(fd).st_size
        while at > 0:
            length = int.from_bytes(os.pread(fd, _LENGTH, at - _LENGTH), "little")
            at -= length + 2 * _LENGTH
            yield _decoded(os.pread(fd, length, at + _LENGTH))

    def close(self) -> None:
        """Let it go."""
        self._file.close()


def _decoded(data: bytes) -> tuple[bytes, Entry]:
    path, folder, entry = record.decode(data)
    return path, decode_entry(folder, record.decode(entry))
