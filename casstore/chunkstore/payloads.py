"""What a pack holds of a chunk, or of several together: compressed whole, or as a difference. Runs in workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from casstore.crypto import TAG
from casstore.format.blob import DIFFERENCE, Blob, compress, compress_difference
from casstore.ids import ChunkId
from casstore.values import dataclass

LINE = 48  # bytes that the base takes in a pack's directory


class Payload(NamedTuple):
    """A blob on its way: its line of the directory, and what is sealed. The base's bytes are for the check."""

    blob: Blob
    data: bytes
    base: bytes | None


@dataclass(frozen=True, slots=True)
class Base:
    """What a difference is from: a chunk, its bytes, and the depth of its deepest copy that can be relied on.

    `is_foot`: it stands below a whole chain already, and what builds on it must be worth that.
    """

    chunk: ChunkId
    data: bytes
    depth: int
    is_foot: bool


def whole(kind: int, ids: Sequence[ChunkId], pieces: Sequence[bytes | memoryview]) -> Payload:
    """Compress chunks together."""
    encoding, data = compress(pieces[0] if len(pieces) == 1 else b"".join(pieces))
    return Payload(Blob(encoding, len(data) + TAG, kind, tuple(ids), tuple(map(len, pieces))), data, None)


def difference(kind: int, chunk: ChunkId, text: bytes, base: Base) -> Payload:
    """Compress one chunk as a difference, if that is smaller than the chunk itself; from a foot, half as large."""
    data = compress_difference(text, base.data)
    alone = whole(kind, [chunk], [text])
    if len(data) + LINE >= len(alone.data) // (2 if base.is_foot else 1):
        return alone
    return Payload(
        Blob(DIFFERENCE, len(data) + TAG, kind, (chunk,), (len(text),), base.chunk, base.depth + 1), data, base.data
    )
