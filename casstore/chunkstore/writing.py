"""Chunks into packs: known ones are named, changed ones stored as differences, the rest in runs.

One thread decides; workers read, cut and hash large files a window ahead of it, compress, seal, check and write. A pack
is decoded from memory and every id in it computed anew before it is published. What is in flight is bounded by
IN_FLIGHT bytes in the clear and one pack being written behind.

Invariants: a chunk is named by a root only once it has a place or lies in a pack on its way; a base always has a
place in an earlier pack, so no chain runs into what is not yet written.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from casstore.backends.base import Backend
from casstore.cache import Cache
from casstore.chunker import AVERAGE, WINDOW, Buffer, Chunker
from casstore.chunkstore.previous import Previous
from casstore.chunkstore.reading import Reader
from casstore.crypto import TAG, Keys, random_bytes
from casstore.entry import EMPTY, Root
from casstore.errors import BlobDamaged, ChunkMissing, Damaged, FormatDamaged
from casstore.format.blob import (
    DATA,
    DIFFERENCE,
    LIST,
    MANIFEST,
    MAX_DEPTH,
    RUN_BYTES,
    Blob,
    compress,
    compress_difference,
    decompress,
    split,
)
from casstore.format.manifest import MOST_IDS
from casstore.format.pack import build_pack, object_name, open_pack
from casstore.ids import ChunkId, PackId
from casstore.workers import Job, Workers

INLINE_IDS = MOST_IDS  # a root with more becomes a list
IN_FLIGHT = 6 << 20
KEPT_BYTES = 8 << 20  # of one stream: what was rewritten as a whole is no news worth keeping at hand
PROVEN_EVERY = 8  # so many versions build on each other before the whole chain is read from the packs
PACK_TARGET = 6 << 20  # a pack is ended here: what is larger costs memory and gains nothing
CHUNK_COST = 300  # bytes that ids and places of a chunk take on its way: a million tiny files are no small pack
MANY_IDS = 50_000  # so many ids of a first backup are kept at hand instead of asked of the cache
JOB_BYTES = 256 << 10  # runs handed to a worker at once: handing over costs as much as compressing a few KiB
Named = tuple[memoryview, ChunkId]
Payload = tuple[Blob, bytes, "bytes | None"]  # the base's bytes stay at hand for the check before publishing


@dataclass(frozen=True, slots=True)
class Stored:
    """A pack that is durable."""

    pack: PackId
    length: int
    blobs: tuple[Blob, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The last chunk of a list of ids, or the last two: what grows when the stream does."""

    ids: tuple[ChunkId, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class _Base:
    """What a difference is from: a chunk, its bytes, and the depth of its deepest copy."""

    chunk: ChunkId
    data: bytes
    depth: int


@dataclass(slots=True)
class _Run:
    """Chunks to be compressed together. `held`: bytes of memory that it is answerable for."""

    kind: int
    ids: list[ChunkId] = field(default_factory=list)
    pieces: list[memoryview] = field(default_factory=list)
    length: int = 0
    held: int = 0


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
        self._backend, self._cache, self._keys, self._reader = backend, cache, keys, reader
        self._chunker, self._workers, self._dry = chunker, workers, dry
        self._session = random_bytes(16)
        self._on_the_way: set[ChunkId] = set()  # put by this writer: their packs may not be written yet
        self._has_older = not cache.is_empty()  # chunks that only the cache knows
        self._runs: dict[int, _Run] = {}
        self._ended: list[_Run] = []  # not yet handed in
        self._ended_bytes = 0
        self._held: object = None  # the last window of which a run holds a part
        self._compressing: deque[tuple[Job[list[Payload]], int]] = deque()
        self._in_flight = 0
        self._payloads: list[Payload] = []
        self._payload_bytes = 0
        self._writing: Job[Stored] | None = None
        self._stored: list[tuple[PackId, int]] = []
        self.added = 0  # bytes of new chunks, in the clear

    # ── streams ──

    def put(
        self,
        read: Callable[[int], Buffer],
        *,
        kind: int = DATA,
        previous: Root = EMPTY,
        isolated: bool = False,
        most_ids: int = INLINE_IDS,
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
            self._end_run(kind)
        named = self._named_ahead(chunks) if ahead else self._named(chunks, kind)
        try:
            put = self._put_chunks(named, kind, previous)
        finally:
            named.close()
        if isolated:
            self._end_run(kind)
        return put

    def put_small(self, data: bytes, previous: Root = EMPTY) -> Root:
        """Put a file of no more than the least chunk size: one chunk, no chunker."""
        if not data:
            return EMPTY
        chunk = ChunkId(self._keys.chunk_id(DATA, data))
        root = Root(0, len(data), (chunk,))
        if chunk in self._on_the_way or (self._has_older and self._cache.knows(chunk)):
            return root
        if previous.ids or self._dry:
            self._put_chunks(((memoryview(data), chunk),), DATA, previous)
        else:
            self.added += len(data)
            self._on_the_way.add(chunk)
            self._put_chunk(DATA, chunk, memoryview(data), None, keep=False)
        return root

    def rooted(
        self, ids: bytearray | bytes, length: int, previous: Root = EMPTY, most_ids: int = INLINE_IDS, height: int = 0
    ) -> Root:
        """Name a stream by its chunks, or (height > 0) by those of its list."""
        while len(ids) > most_ids * 32:
            height += 1
            # What stood in the place of this list: the ids at the same height of the previous version.
            above = previous.height - height
            lower = Root(above, previous.length, previous.ids) if above >= 0 else EMPTY
            ids, _ = self._put_chunks(self._named(self._chunker.cut(_reading(bytes(ids))), LIST), LIST, lower)
        return Root(height, length, tuple(_split(ids)))

    def root_of(self, ids: bytes, length: int) -> Root:
        """Give the root that a stream of these chunks has, without putting anything."""
        height = 0
        while len(ids) > INLINE_IDS * 32:
            height += 1
            ids = b"".join(self._keys.chunk_id(LIST, piece) for piece in self._chunker.cut(_reading(ids)))
        return Root(height, length, tuple(_split(ids)))

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
            ids = tuple(_split(memoryview(data)[-64 if len(data) >= 64 else -32 :]))
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

    def extended(self, root: Root, ends: Sequence[End], ids: bytearray | bytes, length: int) -> Root:
        """Name the stream that a longer one has become: `ids` stand in place of its last chunk.

        Its lists are streams that grew as well, cut again from their last cut only.
        """
        gone = 1
        for end in ends:
            list_end = end.data[: len(end.data) - 32 * gone] + ids
            of_end = Root(0, len(end.data), end.ids)
            ids, _ = self._put_chunks(self._named(self._chunker.cut(_reading(list_end)), LIST), LIST, of_end)
            gone = len(end.ids)
        return self.rooted(b"".join(root.ids[:-gone]) + ids, length, root, height=root.height)

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
        knows, on_the_way = self._cache.knows, self._on_the_way
        for data, chunk in chunks:
            offset = length
            length += len(data)
            ids += chunk
            if chunk in on_the_way or (self._has_older and knows(chunk)):
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
                for known, start in zip(_split(memoryview(ids)[:-32]), starts, strict=True):
                    older.matched(known, start)
            base = older.stood_at(offset, len(data)) if older is not None else None
            kept += len(data) if base is not None else 0
            self._put_chunk(kind, chunk, data, base, keep=kept <= KEPT_BYTES)
        return ids, length

    def _previous(self, previous: Root) -> Iterator[tuple[ChunkId, int]]:
        ids = self._reader.expand(previous)
        try:
            while group := list(islice(ids, 256)):
                lengths = self._cache.lengths(group)
                yield from ((chunk, lengths.get(chunk, AVERAGE)) for chunk in group)
        except Damaged:
            return  # without a predecessor all is stored whole: larger, never wrong

    # ── blobs ──

    def _put_chunk(self, kind: int, chunk: ChunkId, data: memoryview, base: ChunkId | None, *, keep: bool) -> None:
        if base is not None:
            text = bytes(data)
            below = self._below(base)
            if keep:
                self._reader.keep(chunk, text, instead_of=base)
            if below is not None:
                self._submit(lambda: [_difference(kind, chunk, text, below)], len(text) + len(below.data))
                return
        run = self._runs.get(kind)
        if run is not None and run.length + len(data) > RUN_BYTES:
            self._end_run(kind)
            run = None
        if run is None:
            run = self._runs[kind] = _Run(kind)
        if data.obj is not self._held:
            # A chunk is not copied, but holds the window that it was cut from: a run holds one and counts as large.
            if run.held and len(data.obj) > 2 * len(data):  # type: ignore[arg-type]
                data = memoryview(bytes(data))
            else:
                self._held = data.obj
            run.held += len(data.obj)  # type: ignore[arg-type]
        run.ids.append(chunk)
        run.pieces.append(data)
        run.length += len(data)

    def _below(self, predecessor: ChunkId) -> _Base | None:
        """Give what the successor of a chunk builds on; None if nothing can be.

        That is the predecessor; where its chain is at its end, the whole chunk on which the chain stands: what all its
        links changed is mostly still less than a whole chunk, and a new chain begins beside the old one.
        """
        depth = self._cache.depth(predecessor)
        if depth is None:
            return None
        try:
            if depth >= MAX_DEPTH:
                ground = self._reader.ground(predecessor)
                depth = self._cache.depth(ground)
                return (
                    _Base(ground, self._reader.prove(ground), depth)
                    if depth is not None and depth < MAX_DEPTH
                    else None
                )
            # What is at hand is not what the packs hold: one bad link would cost every version to come.
            read = self._reader.prove if depth % PROVEN_EVERY == PROVEN_EVERY - 1 else self._reader.get
            return _Base(predecessor, read(predecessor), depth)
        except Damaged:
            return None

    def _end_run(self, kind: int) -> None:
        run = self._runs.pop(kind, None)
        if run is not None:
            self._ended.append(run)
            self._ended_bytes += run.length
            if self._ended_bytes >= JOB_BYTES or run.held > JOB_BYTES:
                self._hand_in()

    def _hand_in(self) -> None:
        runs, self._ended, self._ended_bytes = self._ended, [], 0
        if runs:
            size = sum(max(run.held, run.length) + CHUNK_COST * len(run.ids) for run in runs)
            self._submit(lambda: [_whole(run.kind, run.ids, run.pieces) for run in runs], size)

    def _submit(self, work: Callable[[], list[Payload]], size: int) -> None:
        self._compressing.append((self._workers.submit(work), size))
        self._in_flight += size
        while self._compressing and (self._in_flight > IN_FLIGHT or self._compressing[0][0].is_done):
            self._harvest()

    def _harvest(self) -> None:
        job, size = self._compressing.popleft()
        payloads = job.result()
        self._in_flight -= size
        for payload in payloads:
            stored = payload[0].stored + CHUNK_COST * len(payload[0].ids)
            if self._payload_bytes + stored > PACK_TARGET:
                self._end_pack()
            self._payloads.append(payload)
            self._payload_bytes += stored

    # ── packs ──

    def _end_pack(self) -> None:
        payloads, self._payloads, self._payload_bytes = self._payloads, [], 0
        self._harvest_pack()
        if payloads:
            self._writing = self._workers.submit(lambda: self._write_pack(payloads))

    def _write_pack(self, payloads: list[Payload]) -> Stored:
        pack, data = build_pack([(blob, payload) for blob, payload, _ in payloads], self._keys, self._session)
        directory = open_pack(data, self._keys)
        view = memoryview(data)
        for number, (blob, offset) in enumerate(zip(directory.blobs, directory.offsets, strict=True)):
            text = decompress(
                blob,
                directory.header.unseal(number, blob, view[offset : offset + blob.stored]),
                payloads[number][2],
            )
            for chunk, clear in zip(blob.ids, split(blob, text), strict=True):
                if self._keys.chunk_id(blob.kind, clear) != chunk:
                    raise BlobDamaged("a pack did not decode to what was put in: this machine's memory is not sound")
        self._backend.write(object_name(pack), data)
        return Stored(pack, len(data), directory.blobs, directory.offsets)

    def _harvest_pack(self) -> None:
        if self._writing is not None:
            stored = self._writing.result()
            self._writing = None
            self._cache.add_pack(stored.pack, stored.length, stored.blobs, stored.offsets)
            if len(self._on_the_way) > MANY_IDS:
                self._has_older = True
                for blob in stored.blobs:
                    self._on_the_way.difference_update(blob.ids)
            self._stored.append((stored.pack, stored.length))

    def flush(self) -> list[tuple[PackId, int]]:
        """Write what is left; on return all that was put is durable. Gives name and length of every pack written."""
        for kind in (DATA, MANIFEST, LIST):
            self._end_run(kind)
        self._hand_in()
        self._held = None
        while self._compressing:
            self._harvest()
        self._end_pack()
        self._harvest_pack()
        self._reader.trim()
        return self._stored


def _split(ids: bytes | bytearray | memoryview) -> Iterator[ChunkId]:
    return (ChunkId(bytes(ids[at : at + 32])) for at in range(0, len(ids), 32))


def _whole(kind: int, ids: list[ChunkId], pieces: Sequence[bytes | memoryview]) -> Payload:
    encoding, payload = compress(pieces[0] if len(pieces) == 1 else b"".join(pieces))
    return Blob(encoding, len(payload) + TAG, kind, tuple(ids), tuple(map(len, pieces))), payload, None


def _difference(kind: int, chunk: ChunkId, data: bytes, base: _Base) -> Payload:
    payload = compress_difference(data, base.data)
    whole = _whole(kind, [chunk], [data])
    if len(payload) + 48 >= len(whole[1]):
        return whole
    blob = Blob(DIFFERENCE, len(payload) + TAG, kind, (chunk,), (len(data),), base.chunk, base.depth + 1)
    return blob, payload, base.data


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


def _reading(data: bytes) -> Callable[[int], bytes]:
    at = 0

    def read(max_bytes: int) -> bytes:
        nonlocal at
        piece = data[at : at + max_bytes]
        at += len(piece)
        return piece

    return read
