"""Packs on their way: what workers compressed is gathered, sealed, decoded once more from memory, and written behind.

What is in flight is bounded by IN_FLIGHT bytes in the clear and one pack being written. A chunk is on the way from the
moment it is put until its pack is durable and the cache knows its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from casstore.backends.base import Backend
from casstore.cache import Cache
from casstore.chunkstore.payloads import Payload
from casstore.crypto import Keys, random_bytes
from casstore.errors import BlobDamaged
from casstore.format.blob import Blob, decompress, split
from casstore.format.pack import build_pack, object_name, open_pack
from casstore.ids import ChunkId, PackId
from casstore.values import dataclass
from casstore.workers import Job, Workers

IN_FLIGHT = 6 << 20
PACK_TARGET = 6 << 20  # a pack is ended here: what is larger costs memory and gains nothing
CHUNK_COST = 300  # bytes that ids and places of a chunk take on its way: a million tiny files are no small pack
MANY_IDS = 50_000  # so many ids of a first backup are kept at hand instead of asked of the cache


@dataclass(frozen=True, slots=True)
class Stored:
    """A pack that is durable."""

    pack: PackId
    length: int
    blobs: tuple[Blob, ...]
    offsets: tuple[int, ...]


class Packer:
    """Takes jobs that give payloads, and writes them in packs; `flush` gives the packs that the commit must name."""

    def __init__(self, backend: Backend, cache: Cache, keys: Keys, workers: Workers) -> None:
        self._backend, self._cache, self._keys, self._workers = backend, cache, keys, workers
        self._session = random_bytes(16)
        self.on_the_way: set[ChunkId] = set()  # put by this writer: their packs may not be written yet
        self._has_older = not cache.is_empty()  # chunks that only the cache knows
        self._compressing: deque[tuple[Job[list[Payload]], int]] = deque()
        self._in_flight = 0
        self._payloads: list[Payload] = []
        self._payload_bytes = 0
        self._writing: Job[Stored] | None = None
        self._stored: list[tuple[PackId, int]] = []

    def knows(self, chunk: ChunkId) -> bool:
        """Tell whether a chunk is on its way, or has a place that can be relied on."""
        return chunk in self.on_the_way or (self._has_older and self._cache.knows(chunk))

    def submit(self, work: Callable[[], list[Payload]], size: int) -> None:
        """Let a worker do what gives payloads; `size`: bytes of memory that it holds until it is done.

        Raises:
            RepositoryUnwritable: a pack cannot be written.
        """
        self._compressing.append((self._workers.submit(work), size))
        self._in_flight += size
        while self._compressing and (self._in_flight > IN_FLIGHT or self._compressing[0][0].is_done):
            self._harvest()

    def _harvest(self) -> None:
        job, size = self._compressing.popleft()
        payloads = job.result()
        self._in_flight -= size
        for payload in payloads:
            stored = payload.blob.stored + CHUNK_COST * len(payload.blob.ids)
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
        pack, data = build_pack([(payload.blob, payload.data) for payload in payloads], self._keys, self._session)
        directory = open_pack(data, self._keys)
        view = memoryview(data)
        for number, (blob, offset) in enumerate(zip(directory.blobs, directory.offsets, strict=True)):
            text = decompress(
                blob,
                directory.header.unseal(number, blob, view[offset : offset + blob.stored]),
                payloads[number].base,
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
            if len(self.on_the_way) > MANY_IDS:
                self._has_older = True
                for blob in stored.blobs:
                    self.on_the_way.difference_update(blob.ids)
            self._stored.append((stored.pack, stored.length))

    def flush(self) -> list[tuple[PackId, int]]:
        """Write what is left; on return all is durable. Gives name and length of every pack written."""
        while self._compressing:
            self._harvest()
        self._end_pack()
        self._harvest_pack()
        return self._stored
