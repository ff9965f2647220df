"""One path of a tree, and what names its content. Pure values; no I/O.

Paths are bytes, relative to the origin, parts joined by `/`, no part empty, `.`, `..` or holding NUL or `/`.
The values are tuples, since a manifest makes hundreds of thousands of them: a frozen dataclass costs thrice as much.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from casstore.errors import FormatDamaged
from casstore.ids import ChunkId


class Kind(IntEnum):
    """What an entry is; the numbers are those of docs/format.md § Manifest."""

    FILE = 0
    FOLDER = 1
    SYMLINK = 2
    FIFO = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5


class Root(NamedTuple):
    """Names a stream: its length in bytes and the ids of its chunks, or (height > 0) of the list that holds them."""

    height: int
    length: int
    ids: tuple[ChunkId, ...]


EMPTY = Root(0, 0, ())
MOST_IN_FOLDER = 1_000_000  # entries, in one block of a manifest


class Entry(NamedTuple):
    """One path as it was found. `uid`/`gid` are numbers, `user`/`group` names (b"" if there was none)."""

    path: bytes
    kind: Kind
    mode: int  # permission bits with setuid, setgid and sticky: 0o7777
    uid: int
    gid: int
    user: bytes
    group: bytes
    mtime_ns: int
    size: int = 0  # of a file: its logical length in bytes, holes included
    content: Root = EMPTY  # of a file: its bytes, holes left out
    extents: tuple[tuple[int, int], ...] | None = None  # of a sparse file: (offset, length) of each run of bytes
    target: bytes = b""  # of a symlink
    device: int = 0  # of a device node: st_rdev
    link: bytes = b""  # of a hard link: 8 bytes, alike for all names of one file in this snapshot
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # by name; POSIX ACLs are among them
    torn: bool = False
    proven_ns: int = 0  # of a file that only grows and was read in part: when it was last read whole

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether other entries may lie below it."""
        return self.kind is Kind.FOLDER


def check_name(name: bytes) -> bytes:
    """Give `name` back if it can be one part of a path.

    Raises:
        FormatDamaged: it could lead out of the tree, or nowhere.
    """
    if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise FormatDamaged(f"an entry has the impossible name {name[:60]!r}")
    return name


def join(folder: bytes, name: bytes) -> bytes:
    """Put a name below a folder; the origin is b""."""
    return folder + b"/" + name if folder else name
