"""The lists of chunk ids above a stream, streams themselves, up to a root that names all.

A stream that grew has lists that grew: they are cut again from their last cut only, whatever the length of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from casstore.cache import Cache
from casstore.chunker import Chunker
from casstore.chunkstore.reading import Reader
from casstore.crypto import Keys
from casstore.entry import Root
from casstore.errors import BlobDamaged, ChunkMissing, FormatDamaged
from casstore.format.blob import LIST
from casstore.format.manifest import MOST_IDS
from casstore.ids import ChunkId
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class End:
    """The last chunk of a list of ids, or the last two: what grows when the stream does."""

    ids: tuple[ChunkId, ...]
    data: bytes


class Lists:
    """Reads them, and says what they would be; the writer puts them."""

    def __init__(self, reader: Reader, cache: Cache, keys: Keys, chunker: Chunker) -> None:
        self._reader, self._cache, self._keys, self._chunker = reader, cache, keys, chunker

    def root_of(self, ids: bytes, length: int) -> Root:
        """Give the root that a stream of these chunks has, without putting anything."""
        height = 0
        while len(ids) > MOST_IDS * 32:
            height += 1
            ids = b"".join(self._keys.chunk_id(LIST, piece) for piece in self._chunker.cut(pulling(ids)))
        return Root(height, length, tuple(split_ids(ids)))

    def ends_of(self, root: Root) -> list[End]:
        """Read the ends of the lists of a stream, the lowest first: one or two chunks of each, whatever its length.

        Raises:
            Damaged: they cannot be read.
        """
        ends: list[End] = []
        ids: Sequence[ChunkId] = root.ids
        for _ in range(root.height):
            last = tuple(ids[-1:])
            data = self._list_chunk(last[0])
            if len(data) < 64 and len(ids) > 1:  # the ids of two chunks must be in it: cuts heed no ids
                last = tuple(ids[-2:])
                data = self._list_chunk(last[0]) + data
            if len(data) < 32:
                raise FormatDamaged("a list of ids is cut")
            ends.append(End(last, data))
            ids = tuple(split_ids(memoryview(data)[-64 if len(data) >= 64 else -32 :]))
        return ends[::-1]

    def measure(self, root: Root) -> tuple[int, ChunkId, int]:
        """Give how many chunks a stream has, the id of its last, and that one's length in bytes.

        Raises:
            Damaged: its lists cannot be read, or its last chunk is missing.
        """
        count, last = 0, ChunkId(b"")
        for last in self._reader.expand(root):  # noqa: B007 - the last one is wanted
            count += 1
        lengths = self._cache.lengths([last])
        if last not in lengths:
            raise ChunkMissing(last)
        return count, last, lengths[last]

    def _list_chunk(self, chunk: ChunkId) -> bytes:
        data = self._reader.get(chunk)
        if self._keys.chunk_id(LIST, data) != chunk:
            raise BlobDamaged(f"chunk {chunk.hex()[:12]} does not answer to its id")
        return data


def split_ids(ids: bytes | bytearray | memoryview) -> Iterator[ChunkId]:
    """Give ids that are joined one by one."""
    return (ChunkId(bytes(ids[at : at + 32])) for at in range(0, len(ids), 32))


def pulling(data: bytes) -> Callable[[int], bytes]:
    """Give what reads on in these bytes."""
    at = 0

    def read(max_bytes: int) -> bytes:
        nonlocal at
        piece = data[at : at + max_bytes]
        at += len(piece)
        return piece

    return read
