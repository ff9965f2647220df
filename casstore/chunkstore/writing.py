"""Streams into packs: chunks that are known are named, changed ones stored as differences, the rest in runs.

One thread decides; workers read, cut and hash large files a window ahead of it, compress, seal, check and write.

Invariants: a chunk is named by a root only once it has a place or lies in a pack on its way; a base always has a
place in an earlier pack, so no chain runs into what is not yet written.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice

from casstore.backends.base import Backend
from casstore.cache import Cache
from casstore.chunker import AVERAGE, WINDOW, Buffer, Chunker
from casstore.chunkstore.lists import End, Lists, pulling, split_ids
from casstore.chunkstore.packing import Packer
from casstore.chunkstore.payloads import Base, difference
from casstore.chunkstore.previous import Previous
from casstore.chunkstore.reading import Reader
from casstore.chunkstore.runs import Runs
from casstore.crypto import Keys
from casstore.entry import EMPTY, Root
from casstore.errors import Damaged
from casstore.format.blob import DATA, LIST, MAX_DEPTH
from casstore.format.manifest import MOST_IDS
from casstore.ids import ChunkId, PackId
from casstore.workers import Workers

KEPT_BYTES = 8 << 20  # of one stream: what was rewritten as a whole is no news worth keeping at hand
AFRESH = 64  # of 256 chains of differences begin with a whole chunk, the others on the foot of the chain before
PROVEN_EVERY = 8  # so many versions build on each other before the whole chain is read from the packs
Named = tuple[memoryview, ChunkId]


class Writer:
    """Puts streams; `flush` makes them durable and gives the packs that the commit must name."""

    def __init__(
        self,
        backend: Backend,
        cache: Cache,
        keys: Keys,
        reader: Reader,
        chunker: Chunker,
        workers: Workers,
        *,
        dry: bool,
    ) -> None:
        self._cache, self._keys, self._reader = cache, keys, reader
        self._chunker, self._workers, self._dry = chunker, workers, dry
        self._packer = Packer(backend, cache, keys, workers)
        self._runs = Runs(self._packer)
        self.lists = Lists(reader, cache, keys, chunker)
        self.added = 0  # bytes of new chunks, in the clear

    # ── streams ──

    def put(
        self,
        read: Callable[[int], Buffer],
        *,
        kind: int = DATA,
        previous: Root = EMPTY,
        isolated: bool = False,
        most_ids: int = MOST_IDS,
    ) -> Root:
        """Put the stream that `read(max_bytes)` gives; `previous` is what stood in its place before.

        Of large contents `read` is called in a worker, one call at a time; all calls are over when this returns.

        Raises:
            RepositoryUnwritable: a pack cannot be written.
        """
        first = read(WINDOW)
        chunks = self._chunker.cut(_led_by(first, read))
        ahead = kind == DATA and len(first) == WINDOW
        ids, length = self.put_chunks(chunks, kind=kind, previous=previous, isolated=isolated, ahead=ahead)
        return self.rooted(ids, length, previous, most_ids)

    def cut(self, read: Callable[[int], Buffer]) -> Iterator[memoryview]:
        """Cut a stream, or what follows a cut of it, for `put_chunks`."""
        return self._chunker.cut(read)

    def chunk_id(self, data: Buffer) -> ChunkId:
        """Give the id that a chunk of a file would have."""
        return ChunkId(self._keys.chunk_id(DATA, data))

    def put_chunks(
        self,
        chunks: Iterator[memoryview],
        *,
        kind: int = DATA,
        previous: Root = EMPTY,
        isolated: bool = False,
        ahead: bool = False,
    ) -> tuple[bytearray, int]:
        """Put chunks as they were cut; gives their ids, joined, and their length. `rooted` or `extended` names them.

        `ahead`: a worker cuts and hashes a window while the one before it is put.
        """
        if isolated:
            self._runs.end(kind)
        named = self._named_ahead(chunks) if ahead else self._named(chunks, kind)
        try:
            put = self._put_chunks(named, kind, previous)
        finally:
            named.close()
        if isolated:
            self._runs.end(kind)
        return put

    def put_small(self, data: bytes, previous: Root = EMPTY) -> Root:
        """Put a file of no more than the least chunk size: one chunk, no chunker."""
        if not data:
            return EMPTY
        chunk = ChunkId(self._keys.chunk_id(DATA, data))
        root = Root(0, len(data), (chunk,))
        if self._packer.knows(chunk):
            return root
        if previous.ids or self._dry:
            self._put_chunks(((memoryview(data), chunk),), DATA, previous)
        else:
            self.added += len(data)
            self._packer.on_the_way.add(chunk)
            self._runs.add(DATA, chunk, memoryview(data))
        return root

    def rooted(
        self, ids: bytearray | bytes, length: int, previous: Root = EMPTY, most_ids: int = MOST_IDS, height: int = 0
    ) -> Root:
        """Name a stream by its chunks, or (height > 0) by those of its list."""
        while len(ids) > most_ids * 32:
            height += 1
            # What stood in the place of this list: the ids at the same height of the previous version.
            above = previous.height - height
            lower = Root(above, previous.length, previous.ids) if above >= 0 else EMPTY
            ids = self._put_list(bytes(ids), lower)
        return Root(height, length, tuple(split_ids(ids)))

    def extended(self, root: Root, ends: Sequence[End], ids: bytearray | bytes, length: int) -> Root:
        """Name the stream that a longer one has become: `ids` stand in place of its last chunk.

        Its lists are streams that grew as well, cut again from their last cut only.
        """
        gone = 1
        for end in ends:
            list_end = end.data[: len(end.data) - 32 * gone] + ids
            of_end = Root(0, len(end.data), end.ids)
            ids = self._put_list(list_end, of_end)
            gone = len(end.ids)
        return self.rooted(b"".join(root.ids[:-gone]) + ids, length, root, height=root.height)

    def flush(self) -> list[tuple[PackId, int]]:
        """Write what is left; on return all that was put is durable. Gives name and length of every pack written."""
        self._runs.flush()
        stored = self._packer.flush()
        self._reader.trim()
        return stored

    # ── chunks ──

    def _put_list(self, ids: bytes, previous: Root) -> bytearray:
        return self.put_chunks(self._chunker.cut(pulling(ids)), kind=LIST, previous=previous)[0]

    def _named(self, chunks: Iterator[memoryview], kind: int) -> Generator[Named, None, None]:
        chunk_id = self._keys.chunk_id
        for data in chunks:
            yield data, ChunkId(chunk_id(kind, data))

    def _named_ahead(self, chunks: Iterator[memoryview]) -> Generator[Named, None, None]:
        """Read, cut and hash a window of content in a worker while the one before it is put.

        The hot loop of a large file's backup: one job at a time, since each cut hangs on the one before.
        """
        chunk_id = self._keys.chunk_id

        def read_window() -> list[Named]:
            out, size = [], 0
            for data in chunks:
                out.append((data, ChunkId(chunk_id(DATA, data))))
                size += len(data)
                if size >= WINDOW:
                    break
            return out

        job = self._workers.submit(read_window)
        try:
            while window := job.result():
                job = self._workers.submit(read_window)
                yield from window
        finally:
            job.wait()

    def _put_chunks(self, chunks: Iterable[Named], kind: int, previous: Root) -> tuple[bytearray, int]:
        ids = bytearray()  # joined
        length = 0
        older: Previous | None = None
        kept = 0
        starts = array("Q")  # of the chunks before the first new one
        knows, on_the_way = self._packer.knows, self._packer.on_the_way
        for data, chunk in chunks:
            offset = length
            length += len(data)
            ids += chunk
            if knows(chunk):
                if older is not None:
                    older.matched(chunk, offset)
                elif previous.ids:
                    starts.append(offset)
                continue
            self.added += len(data)
            on_the_way.add(chunk)
            if self._dry:
                continue
            if older is None and previous.ids:
                older = Previous(self._previous(previous))
                for known, start in zip(split_ids(memoryview(ids)[:-32]), starts, strict=True):
                    older.matched(known, start)
            predecessor = older.stood_at(offset, len(data)) if older is not None else None
            if predecessor is None:
                self._runs.add(kind, chunk, data)
            else:
                kept += len(data)
                self._put_successor(kind, chunk, data, predecessor, keep=kept <= KEPT_BYTES)
        return ids, length

    def _previous(self, previous: Root) -> Iterator[tuple[ChunkId, int]]:
        ids = self._reader.expand(previous)
        try:
            while group := list(islice(ids, 256)):
                lengths = self._cache.lengths(group)
                yield from ((chunk, lengths.get(chunk, AVERAGE)) for chunk in group)
        except Damaged:
            return  # without a predecessor all is stored whole: larger, never wrong

    def _put_successor(self, kind: int, chunk: ChunkId, data: memoryview, predecessor: ChunkId, *, keep: bool) -> None:
        text = bytes(data)
        base = self._base(kind, chunk, predecessor)
        if keep:
            self._reader.keep(chunk, text, instead_of=predecessor)
        if base is None:
            self._runs.add(kind, chunk, data)
        else:
            self._packer.submit(lambda: [difference(kind, chunk, text, base)], len(text) + len(base.data))

    def _base(self, kind: int, chunk: ChunkId, predecessor: ChunkId) -> Base | None:
        """Give what a chunk builds on; None if it is to be stored whole.

        That is its predecessor; where the chain of that one is at its end, the whole chunk at the foot of it: what all
        its links changed is mostly still less than a whole chunk, and another chain begins beside the old one.
        """
        if self._cache.lengths([chunk]):
            return None  # it is there, and cannot be relied on: what is stored again is stored whole, for others' sake
        depth = self._cache.depth(predecessor)
        try:
            if depth is not None and depth >= MAX_DEPTH:
                return self._foot(kind, chunk, predecessor)
            if depth is None:
                return None
            # What is at hand is not what the packs hold: one bad link would cost every version to come.
            read = self._reader.prove if depth % PROVEN_EVERY == PROVEN_EVERY - 1 else self._reader.get
            return Base(predecessor, read(predecessor), depth, is_foot=False)
        except Damaged:
            return None

    def _foot(self, kind: int, chunk: ChunkId, end: ChunkId) -> Base | None:
        """Give the foot of a chain that is at its end, if another one may stand on it.

        If all did, one damaged blob would cost a history of any length: so only chains of content do, and of these some
        begin with a whole chunk, chosen by its id.
        """
        if kind != DATA or chunk[0] < AFRESH:
            return None
        foot = self._cache.foot(end)
        depth = self._cache.depth(foot) if foot is not None else None
        if foot is None or depth is None or depth >= MAX_DEPTH:
            return None
        return Base(foot, self._reader.prove(foot), depth, is_foot=True)


def _led_by(first: Buffer, read: Callable[[int], Buffer]) -> Callable[[int], Buffer]:
    """Give `read`, of which `first` was taken already."""
    taken = False

    def read_on(max_bytes: int) -> Buffer:
        nonlocal taken, first
        if taken:
            return read(max_bytes)
        taken, data = True, first
        first = b""
        return data

    return read_on
