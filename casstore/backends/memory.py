"""A dict as backend, for tests and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from casstore.backends.base import checked
from casstore.errors import ObjectExists, ObjectMissing


class MemoryBackend:
    """Objects in memory; gone with the process."""

    address = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def create(self) -> None:
        """Do nothing: a dict is ready."""

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Keep a copy."""
        with self._lock:
            if checked(name) in self.objects:
                raise ObjectExists(name)
            self.objects[name] = bytes(data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Give a slice."""
        data = self._object(name)
        start = max(0, len(data) + offset) if offset < 0 else offset
        return data[start:] if length is None else data[start : start + length]

    def size(self, name: str) -> int:
        """Give the length."""
        return len(self._object(name))

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield names and lengths."""
        above = checked(folder) + "/"
        with self._lock:
            found = [(name, len(data)) for name, data in self.objects.items() if name.startswith(above)]
        yield from found

    def delete(self, name: str) -> None:
        """Forget an object."""
        with self._lock:
            self._object(name)
            del self.objects[name]

    def _object(self, name: str) -> bytes:
        try:
            return self.objects[checked(name)]
        except KeyError:
            raise ObjectMissing(name) from None
