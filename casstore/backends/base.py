"""Named byte strings: written whole, never changed. A backend knows no keys and no packs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


def checked(name: str) -> str:
    """Give `name` back if it can name an object: relative, leading nowhere else.

    Raises:
        ValueError: it cannot; names are made by the code, never by what was read.
    """
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"impossible object name {name!r}")
    return name


class Backend(Protocol):
    """Five methods: write, read, size, list, delete. A name is ASCII, with `/` between folder and file."""

    @property
    def address(self) -> str:
        """Where this is, as a user would type it."""

    def create(self) -> None:
        """Make the place durable and ready for objects.

        Raises:
            RepositoryExists: something else is there already.
            RepositoryUnwritable: it cannot be made.
        """

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Create `name`. On return it is durable; readers see all of it or nothing.

        Raises:
            ObjectExists: the name is taken; its bytes are left alone.
            RepositoryUnwritable: rights, full disk, or a failed sync; the name may or may not exist, and may be
                read back to find out.
        """

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Give `length` bytes from `offset` on (to the end without it); fewer if the object ends before.

        A negative `offset` counts from the end.

        Raises:
            ObjectMissing: there is no such object. Damaged: it is there and cannot be read.
            RepositoryUnreadable: this user may not read here at all.
        """

    def size(self, name: str) -> int:
        """Give the length of an object in bytes.

        Raises:
            ObjectMissing: there is no such object.
        """

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield (full name, length in bytes) of each object below `folder`, in no order. None if there is no folder."""

    def delete(self, name: str) -> None:
        """Remove an object; it is gone durably on return.

        Raises:
            ObjectMissing: there is no such object.
        """
