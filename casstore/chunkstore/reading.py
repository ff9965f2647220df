"""Chunks out of packs: fetched in batches, opened in threads, every id computed anew from the clear bytes.

The hot loop is `_load`: one call opens many blobs of one pack without the main thread. What is in flight is bounded by
BATCH_BYTES a batch and AHEAD batches. A chain of differences is not opened from its start for each link: differences
opened lately are kept for a while, RECENT_BYTES of them, since the next version of a stream builds on them; what is
under way is waited for; and what builds on the same is opened in the same thread.
"""

from __future__ import annotations

import itertools
from collections import ChainMap, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from casstore.backends.base import Backend
from casstore.cache import Cache, Place
from casstore.crypto import Keys
from casstore.entry import Root
from casstore.errors import BlobDamaged, ChunkMissing, Damaged, FormatDamaged
from casstore.format.blob import MAX_DEPTH, decompress, split
from casstore.format.pack import HEADER, PackHeader, object_name
from casstore.ids import ChunkId, PackId
from casstore.recent import Recent
from casstore.values import dataclass
from casstore.workers import Job, Workers

BATCH_BYTES = 4 << 20  # clear bytes of a batch, about
BATCH_CHUNKS = 2048
LOOKED_UP = 64  # places asked for at once
AHEAD = 3  # batches under way
GAP = 64 << 10  # blobs of a pack that lie closer are read at once
SPAN = 8 << 20  # and no more at once than this
RECENT_BYTES = 16 << 20
MAX_HEIGHT = 8

T = TypeVar("T")
Loaded = dict[ChunkId, "bytes | Damaged"]
Held = dict[ChunkId, "bytes | Job[Loaded]"]  # what is at hand of bases, or who opens them


@dataclass(slots=True)
class _Batch(Generic[T]):
    """What is under way: what was asked, in order; what is at hand of it; what is a difference; the rest."""

    items: list[tuple[T, ChunkId]]
    loaded: Loaded
    differences: set[ChunkId]
    jobs: list[Job[Loaded]]


@dataclass(slots=True)
class LookedUp:
    """Where some chunks lie; what of them is at hand, and what they build on."""

    at_hand: dict[ChunkId, bytes]
    places: dict[ChunkId, Place]
    held: Held

    def length(self, chunk: ChunkId) -> int:
        """Give the length of a chunk in bytes.

        Raises:
            ChunkMissing: it lies nowhere.
        """
        if chunk in self.at_hand:
            return len(self.at_hand[chunk])
        if chunk not in self.places:
            raise ChunkMissing(chunk)
        blob = self.places[chunk].blob
        return blob.lengths[blob.ids.index(chunk)]


class Reader:
    """Gives chunks back by id. The cache says where they lie."""

    def __init__(
        self, backend: Backend, cache: Cache, keys: Keys, workers: Workers, kept: Recent | None = None
    ) -> None:
        self._backend, self._cache, self._keys, self._workers, self._kept = backend, cache, keys, workers, kept
        self._headers: dict[PackId, PackHeader] = {}
        self._recent: dict[ChunkId, bytes] = {}  # of the main thread
        self._recent_bytes = 0
        self._under_way: dict[ChunkId, Job[Loaded]] = {}  # who opens what of the batches of `fetch`

    def expand(self, root: Root) -> Iterator[ChunkId]:
        """Yield the ids of a stream's chunks, reading its lists.

        Raises:
            Damaged: a list cannot be read, is none, or names more chunks than the stream has bytes.
        """
        if root.height > MAX_HEIGHT:
            raise FormatDamaged("a root is impossibly high")
        ids: Iterable[ChunkId] = root.ids
        for _ in range(root.height):
            ids = self._listed(ids, root.length)
        return iter(ids)

    def _listed(self, lists: Iterable[ChunkId], most: int) -> Iterator[ChunkId]:
        """Yield the ids in lists, at most so many."""
        rest, count = b"", 0
        for _, data in self.fetch((None, chunk) for chunk in lists):
            if isinstance(data, Damaged):
                raise data
            data = rest + data if rest else data
            whole = len(data) - len(data) % 32
            count += whole // 32
            if count > most:
                raise FormatDamaged("a list names more chunks than its stream can have")
            for at in range(0, whole, 32):
                yield ChunkId(data[at : at + 32])
            rest = data[whole:]
        if rest:
            raise FormatDamaged("a list of ids is cut")

    def read(self, root: Root) -> Iterator[bytes]:
        """Yield the bytes of a stream, in the pieces of its chunks.

        Raises:
            Damaged: some of it cannot be read, or it is not as long as its root says.
        """
        length = 0
        for _, data in self.fetch((None, chunk) for chunk in self.expand(root)):
            if isinstance(data, Damaged):
                raise data
            length += len(data)
            if length > root.length:
                break
            yield data
        if length != root.length:
            raise FormatDamaged(f"a stream is not the {root.length} bytes long that its root says")

    def get(self, chunk: ChunkId) -> bytes:
        """Give one chunk at once, without threads.

        Raises:
            Damaged: it cannot be read.
        """
        data = self._recent.get(chunk)
        if data is None and self._kept is not None and (data := self._kept.get(chunk)) is not None:
            self.remember(chunk, data)
        if data is not None:
            return data
        places = self._cache.places([chunk], held=self._recent)
        loaded = self._load([chunk], places, self._held(places))[chunk]
        if isinstance(loaded, Damaged):
            raise loaded
        self.remember(chunk, loaded)
        return loaded

    def prove(self, chunk: ChunkId) -> bytes:
        """Give one chunk as the packs have it, its whole chain, whatever is at hand.

        Raises:
            Damaged: it cannot be read.
        """
        data = self._load([chunk], self._cache.places([chunk]), {})[chunk]
        if isinstance(data, Damaged):
            raise data
        return data

    def open_copy(self, chunk: ChunkId, place: Place) -> bytes:
        """Give a chunk by one copy of it, which need not be the one that is read otherwise.

        Raises:
            Damaged: that copy cannot be read.
        """
        base = place.blob.base
        places = {**(self._cache.places([base]) if base is not None else {}), chunk: place}
        data = self._load([chunk], places, {})[chunk]
        if isinstance(data, Damaged):
            raise data
        return data

    def remember(self, chunk: ChunkId, data: bytes) -> None:
        """Keep the bytes of a chunk at hand: something will build on it, or does."""
        if chunk not in self._recent:
            self._recent[chunk] = data
            self._recent_bytes += len(data)
            while self._recent_bytes > RECENT_BYTES:
                oldest = next(iter(self._recent))
                self._recent_bytes -= len(self._recent.pop(oldest))

    def keep(self, chunk: ChunkId, data: bytes, *, instead_of: ChunkId | None) -> None:
        """Keep the bytes of a new chunk, after this process too: the next version of its stream builds on it."""
        self.remember(chunk, data)
        if self._kept is not None:
            self._kept.put(chunk, data, instead_of=instead_of)

    def trim(self) -> None:
        """Bound what is kept."""
        if self._kept is not None:
            self._kept.trim()

    def _held(self, places: Mapping[ChunkId, Place]) -> Held:
        """Give the bases at which the chains of these places end, as they are kept now."""
        bases = (place.blob.base for place in places.values())
        return {base: self._recent[base] for base in bases if base in self._recent}

    def _awaited(self, places: Mapping[ChunkId, Place]) -> Held:
        """Give who opens those bases. It was handed in before whatever waits for it, so no two wait for each other."""
        bases = (place.blob.base for place in places.values())
        return {base: self._under_way[base] for base in bases if base in self._under_way}

    def look_up(self, chunks: Collection[ChunkId]) -> LookedUp:
        """Find out where chunks lie, for `opening`; the more at once, the less it costs."""
        at_hand = {chunk: self._recent[chunk] for chunk in chunks if chunk in self._recent}
        places = self._cache.places((chunk for chunk in chunks if chunk not in at_hand), held=self._recent)
        return LookedUp(at_hand, places, self._held(places))

    def opening(self, found: LookedUp, chunks: Iterable[ChunkId]) -> Callable[[], Loaded]:
        """Give what opens some of the chunks that were looked up, for a worker that goes on with the bytes itself."""
        rest = [chunk for chunk in dict.fromkeys(chunks) if chunk not in found.at_hand]
        return lambda: dict(found.at_hand) | self._load(rest, found.places, found.held)

    def fetch(self, wanted: Iterable[tuple[T, ChunkId]]) -> Iterator[tuple[T, bytes | Damaged]]:
        """Yield each chunk's plain bytes, or why it cannot be read, in the order asked."""
        under_way: deque[_Batch[T]] = deque()
        pending = iter(wanted)
        try:
            while True:
                while len(under_way) < AHEAD and (batch := self._begin_batch(pending)).items:
                    under_way.append(batch)
                if not under_way:
                    return
                batch = under_way[0]
                for job in batch.jobs:
                    batch.loaded.update(job.result())
                self._arrived(under_way.popleft())
                for tag, chunk in batch.items:
                    data = batch.loaded[chunk]
                    if chunk in batch.differences and not isinstance(data, Damaged):
                        self.remember(chunk, data)
                    yield tag, data
        finally:
            for batch in under_way:  # left early, or for an error: nobody may come to wait for what failed
                self._arrived(batch)
                for job in batch.jobs:
                    job.wait()

    def _arrived(self, batch: _Batch[T]) -> None:
        for _, chunk in batch.items:
            self._under_way.pop(chunk, None)

    def _begin_batch(self, pending: Iterator[tuple[T, ChunkId]]) -> _Batch[T]:
        batch: list[tuple[T, ChunkId]] = []
        at_hand: Loaded = {}
        places: dict[ChunkId, Place] = {}
        held: Held = {}
        size = 0
        enough = ChainMap[ChunkId, Any](self._recent, self._under_way, places)  # a chain is followed no further
        while size < BATCH_BYTES and len(batch) < BATCH_CHUNKS:
            group = list(itertools.islice(pending, LOOKED_UP))
            if not group:
                break
            batch += group
            new = {chunk for _, chunk in group} - places.keys() - at_hand.keys()
            at_hand.update((chunk, self._recent[chunk]) for chunk in new if chunk in self._recent)
            found = self._cache.places(new - at_hand.keys(), held=enough)
            held |= self._awaited(found) | self._held(found)  # now: what is recent may be let go before this is read
            places.update(found)
            for place in (places[chunk] for chunk in new if chunk in places):
                size += sum(place.blob.lengths) // len(place.blob.lengths)
        chunks = list(dict.fromkeys(chunk for _, chunk in batch if chunk not in at_hand))

        def load(some: Sequence[ChunkId]) -> Callable[[], Loaded]:
            return lambda: self._load(some, places, held)

        jobs = []
        for some in _halves(chunks, places) if size > 256 << 10 else [chunks] if chunks else []:
            jobs.append(self._workers.submit(load(some)))
            self._under_way.update(dict.fromkeys(some, jobs[-1]))
        differences = {chunk for chunk in chunks if chunk in places and places[chunk].blob.base is not None}
        return _Batch(batch, at_hand, differences, jobs)

    def _load(self, chunks: Sequence[ChunkId], places: Mapping[ChunkId, Place], held: Held) -> Loaded:
        """Open the blobs that hold the chunks, and all bases below them. Runs in a worker; touches no cache."""
        found: Loaded = {}
        needed: dict[tuple[PackId, int], Place] = {}
        uses = dict.fromkeys(chunks, 1)  # how often each will be asked for; a base nobody needs any more is let go
        for chunk in chunks:
            place = places.get(chunk)
            if place is None:
                found[chunk] = ChunkMissing(chunk)
            while place is not None and (place.pack, place.position) not in needed:
                needed[place.pack, place.position] = place
                base = place.blob.base
                if base is None:
                    break
                uses[base] = uses.get(base, 0) + 1
                if base in held:
                    at_hand = held[base]
                    found[base] = at_hand if isinstance(at_hand, bytes) else at_hand.result()[base]
                    break
                place = places.get(base)
        payloads = self._payloads(sorted(needed.values(), key=lambda place: (place.pack, place.position)))
        # Bases are less deep than what builds on them: opened by depth, each finds its base ready.
        for place in sorted(needed.values(), key=lambda place: place.blob.depth):
            blob, payload = place.blob, payloads[place.pack, place.position]
            if not isinstance(payload, Damaged):
                try:
                    below = None if blob.base is None else _taken(found, uses, blob.base)
                    self._check_into(found, uses, place, decompress(blob, payload, below))
                    continue
                except Damaged as error:
                    payload = error
            for chunk in blob.ids:
                found.setdefault(chunk, payload)
        return found

    def _check_into(self, found: Loaded, uses: Mapping[ChunkId, int], place: Place, text: bytes) -> None:
        chunk_id, kind = self._keys.chunk_id, place.blob.kind
        for chunk, data in zip(place.blob.ids, split(place.blob, text), strict=True):
            if chunk not in uses:
                continue
            if chunk_id(kind, data) == chunk:
                found[chunk] = data
            else:
                found.setdefault(chunk, BlobDamaged(f"chunk {chunk.hex()[:12]} does not answer to its id"))

    def _payloads(self, places: Sequence[Place]) -> dict[tuple[PackId, int], bytes | Damaged]:
        """Read and unseal blobs, sorted by place; neighbours are read at once."""
        out: dict[tuple[PackId, int], bytes | Damaged] = {}
        for pack, of_pack in itertools.groupby(places, key=lambda place: place.pack):
            group: list[Place] = []
            for place in of_pack:
                if group and (
                    place.offset - group[-1].offset - group[-1].blob.stored > GAP
                    or place.offset - group[0].offset > SPAN
                ):
                    self._read_group(pack, group, out)
                    group = []
                group.append(place)
            self._read_group(pack, group, out)
        return out

    def _read_group(self, pack: PackId, group: Sequence[Place], out: dict[tuple[PackId, int], bytes | Damaged]) -> None:
        start = group[0].offset
        name = object_name(pack)
        try:
            header = self._headers.get(pack)
            if header is None:
                if len(self._headers) > 512:
                    self._headers.clear()
                header = self._headers[pack] = PackHeader.open(self._backend.read(name, 0, HEADER), self._keys)
            last = group[-1]
            span = memoryview(self._backend.read(name, start, last.offset + last.blob.stored - start))
        except Damaged as error:
            out.update({(pack, place.position): error for place in group})
            return
        for place in group:
            at = place.offset - start
            try:
                out[pack, place.position] = header.unseal(place.position, place.blob, span[at : at + place.blob.stored])
            except Damaged:
                out[pack, place.position] = BlobDamaged(f"blob {place.position} of pack {pack.hex()[:12]} is damaged")


def _halves(chunks: Sequence[ChunkId], places: Mapping[ChunkId, Place]) -> list[list[ChunkId]]:
    """Part chunks in two, about, so that what builds on the same base is not parted."""
    families: dict[ChunkId, list[ChunkId]] = {}
    for chunk in chunks:
        foot = chunk
        for _ in range(MAX_DEPTH):
            if foot not in places or (base := places[foot].blob.base) is None:
                break
            foot = base
        families.setdefault(foot, []).append(chunk)
    halves: list[list[ChunkId]] = [[]]
    for family in families.values():
        if len(halves) == 1 and len(halves[0]) * 2 >= len(chunks):
            halves.append([])
        halves[-1] += family
    return halves


def _taken(found: Loaded, uses: dict[ChunkId, int], base: ChunkId) -> bytes:
    """Give the bytes of a base, for the last time if nothing else needs it.

    Raises:
        Damaged: it cannot be read.
    """
    data = found.get(base, ChunkMissing(base))
    uses[base] -= 1
    if not uses[base]:
        found.pop(base, None)
    if isinstance(data, Damaged):
        raise data
    return data
