"""The packs, read back: each one whole, its name, every blob opened, every id computed anew.

What workers do with a pack is in `_reading`, the hot loop of a verify. What lies in sound blobs gets its place in the
cache, which was empty; differences follow when all bases are known.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import field
from itertools import islice
from typing import TypeVar

from casstore.cache import WHOLE, Place
from casstore.crypto import hash_of
from casstore.errors import Damaged, FormatDamaged
from casstore.format.blob import Blob, decompress
from casstore.format.pack import Directory, object_name, open_pack
from casstore.ids import ChunkId, PackId
from casstore.progress import Advanced, Progress, Stage
from casstore.repository import Repository
from casstore.values import dataclass
from casstore.verify.damage import Damage
from casstore.workers import Job

T = TypeVar("T")
MANY_LENGTHS = 100_000  # so many sound chunks are known without asking the cache, about 100 bytes each


@dataclass(frozen=True, slots=True)
class Subset:
    """Which packs are read: a share of them drawn anew, one of `parts` equal parts, or up to so many bytes."""

    share: float = 1.0
    part: int = 0
    parts: int = 0
    max_bytes: int = 0


@dataclass(slots=True)
class _Pack:
    """What was found of one: its directory if it can be read, and what is wrong, by position."""

    pack: PackId
    length: int
    directory: Directory | None = None
    reasons: list[tuple[int, str]] = field(default_factory=list)


class Packs:
    """The packs that commits name: what is bad in them, and how long the chunks are that are whole."""

    def __init__(self, fresh: Repository, packs: dict[PackId, int], progress: Progress) -> None:
        self._fresh, self._packs, self._progress = fresh, packs, progress
        self.lengths: dict[ChunkId, int] = {}  # of whole chunks that lie in sound blobs
        self.bad: dict[ChunkId, str] = {}
        self.distrusted: set[tuple[PackId, int]] = set()

    def chosen(self, subset: Subset | None) -> set[PackId]:
        """Choose packs to be read whole."""
        return _chosen(list(self._packs.items()), subset)

    def check(self, chosen: set[PackId]) -> Iterator[Damage]:
        """Read the packs that were chosen whole, of the others the directory; learn where the sound chunks lie."""
        self._progress(Stage("packs"))
        total, done = sum(self._packs[pack] for pack in chosen), 0
        jobs: deque[Job[_Pack]] = deque()
        waiting = iter(self._packs.items())
        while True:
            while len(jobs) < 3 and (item := next(waiting, None)) is not None:
                look = self._reading if item[0] in chosen else self._looking
                jobs.append(self._fresh.workers.submit(look(*item)))
            if not jobs:
                break
            found = jobs.popleft().result()
            yield from self._learn(found)
            if found.pack in chosen:
                done += found.length
                self._progress(Advanced(0, done, 0, total))
        yield from self._differences(chosen)

    def _learn(self, found: _Pack) -> Iterator[Damage]:
        name, directory = object_name(found.pack), found.directory
        for position, reason in found.reasons:
            yield Damage(name, reason if position == WHOLE else f"blob {position}: {reason}")
        if directory is None:
            self.distrusted.add((found.pack, WHOLE))
            return
        bad = {position: reason for position, reason in found.reasons if position != WHOLE}
        self.distrusted |= {(found.pack, position) for position in bad}
        for position, reason in bad.items():
            self.bad.update((chunk, reason) for chunk in directory.blobs[position].ids)
        self._fresh.cache.add_pack(found.pack, found.length, directory.blobs, directory.offsets, without=bad.keys())
        if len(self.lengths) < MANY_LENGTHS:
            for position, blob in enumerate(directory.blobs):
                if blob.base is None and position not in bad:
                    self.lengths.update(zip(blob.ids, blob.lengths, strict=True))

    def _differences(self, chosen: set[PackId]) -> Iterator[Damage]:
        """Open the differences: they need their bases, which may lie anywhere."""
        cache, chunks = self._fresh.cache, self._fresh.chunks
        cache.drop_unresolved()
        damaged: list[tuple[Place, ChunkId, Damaged]] = []
        others: list[tuple[ChunkId, Place]] = []  # copies of what lies less deep elsewhere: opened one by one

        def chosen_copies() -> Iterator[tuple[Place, ChunkId]]:
            for group in _grouped(cache.differences(), 256):
                best = cache.own_places({chunk for chunk, _ in group})
                for chunk, place in group:
                    if place.pack not in chosen:
                        continue
                    if best.get(chunk) == place:
                        yield place, chunk
                    elif chunk in best:
                        others.append((chunk, place))

        for (place, chunk), data in chunks.fetch(((place, chunk), chunk) for place, chunk in chosen_copies()):
            if isinstance(data, Damaged):
                damaged.append((place, chunk, data))
        for chunk, place in others:
            try:
                chunks.open_copy(chunk, place)
            except Damaged as error:
                damaged.append((place, chunk, error))
        for place, chunk, why in damaged:
            self.distrusted.add((place.pack, place.position))
            self.bad[chunk] = str(why)
            cache.forget_copy(chunk, place)
            yield Damage(object_name(place.pack), str(why))
        if damaged:
            cache.drop_unresolved()

    def _looking(self, pack: PackId, length: int) -> Callable[[], _Pack]:
        def look() -> _Pack:
            found = _Pack(pack, length)
            try:
                size = self._fresh.backend.size(object_name(pack))
                if size != length:
                    raise FormatDamaged(f"is {size} bytes long instead of {length}")
                found.directory = self._fresh.catalogue.directory(pack, length)
            except Damaged as error:
                found.reasons.append((WHOLE, str(error)))
            return found

        return look

    def _reading(self, pack: PackId, length: int) -> Callable[[], _Pack]:
        def read() -> _Pack:
            found = _Pack(pack, length)
            try:
                data = self._fresh.backend.read(object_name(pack), 0, length + 1)
                if len(data) != length:
                    size = self._fresh.backend.size(object_name(pack))
                    raise FormatDamaged(f"is {size} bytes long instead of {length}")
                directory = open_pack(data, self._fresh.keys)
            except Damaged as error:
                found.reasons.append((WHOLE, str(error)))
                return found
            view = memoryview(data)
            for position, (blob, offset) in enumerate(zip(directory.blobs, directory.offsets, strict=True)):
                try:
                    self._open(directory, position, blob, view[offset : offset + blob.stored])
                except Damaged as error:
                    found.reasons.append((position, str(error)))
            if not found.reasons and hash_of(data) != pack:
                found.reasons.append((WHOLE, "does not answer to its name"))  # sound, but another pack
            else:
                found.directory = directory
            return found

        return read

    def _open(self, directory: Directory, position: int, blob: Blob, sealed: memoryview) -> None:
        payload = directory.header.unseal(position, blob, sealed)
        if blob.base is not None:
            return
        text, at, chunk_id = memoryview(decompress(blob, payload)), 0, self._fresh.keys.chunk_id
        for chunk, length in zip(blob.ids, blob.lengths, strict=True):
            if chunk_id(blob.kind, text[at : at + length]) != chunk:
                raise FormatDamaged(f"chunk {chunk.hex()[:12]} does not answer to its id")
            at += length


def _chosen(packs: list[tuple[PackId, int]], subset: Subset | None) -> set[PackId]:
    if subset is None or not packs:
        return {pack for pack, _ in packs}
    if subset.parts:
        return {pack for pack, _ in packs if pack[0] % subset.parts == subset.part - 1}
    drawn = random.SystemRandom().sample(packs, len(packs))
    if subset.max_bytes:
        chosen: set[PackId] = set()
        size = 0
        for pack, length in drawn:
            if chosen and size + length > subset.max_bytes:
                continue
            chosen.add(pack)
            size += length
        return chosen
    return {pack for pack, _ in drawn[: max(1, round(len(drawn) * subset.share)) if subset.share else 0]}


def _grouped(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of so many."""
    while group := list(islice(items, size)):
        yield group
