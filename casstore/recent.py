"""Bytes of chunks that changed lately, on this host, sealed, a file each.

The next version of a stream builds on them, and to fetch one from the repository would mean to open a whole chain.
All of it may be deleted at any time, and nothing that fails here is an error: the bytes are in the repository too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from casstore.crypto import Unauthentic, random_bytes, seal, unseal
from casstore.ids import ChunkId

MOST_BYTES = 128 << 20


class Recent:
    """A folder, mode 0700, made when something is put."""

    def __init__(self, folder: Path, key: bytes, *, max_bytes: int = MOST_BYTES) -> None:
        self._folder, self._key, self.max_bytes = str(folder), key, max_bytes
        self._put_bytes = 0  # since the last look at the folder

    def get(self, chunk: ChunkId) -> bytes | None:
        """Give the bytes of a chunk, if they are here and whole."""
        try:
            handle = os.open(self._path(chunk), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return unseal(self._key, os.read(handle, os.fstat(handle).st_size), chunk)
        except (OSError, Unauthentic):
            return None
        finally:
            os.close(handle)

    def put(self, chunk: ChunkId, data: bytes, *, instead_of: ChunkId | None = None) -> None:
        """Keep the bytes of a chunk; those of the one that it takes the place of are let go."""
        sealed = seal(self._key, data, chunk)
        self._put_bytes += len(sealed)
        if self._put_bytes > self.max_bytes // 4:
            self.trim()
        temporary = f"{self._folder}/{random_bytes(8).hex()}.new"
        try:
            try:
                self._write(temporary, sealed)
            except FileNotFoundError:
                Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
                self._write(temporary, sealed)
            os.rename(temporary, self._path(chunk))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if instead_of is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(instead_of))

    def trim(self) -> None:
        """Let the oldest go until no more than `max_bytes` are left."""
        self._put_bytes = 0
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, status.st_size, entry.path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= self.max_bytes:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            left -= size

    def _path(self, chunk: ChunkId) -> str:
        return f"{self._folder}/{chunk.hex()}"

    def _write(self, path: str, data: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if os.write(handle, data) != len(data):
                raise OSError
        finally:
            os.close(handle)
