"""Verify: read back all that the snapshots reach; yield each damage, stop at none.

Nothing is taken from this host's cache: a fresh one is filled from what the store holds. The ledger: every commit,
chain and signatures, from the header on; and the slots. The packs: each one whole, its name, every blob opened, every
id computed anew; differences when all bases are known. The snapshots: every manifest walked, every root compared with
what lies in sound packs; what is damaged is counted against the snapshots and files that need it.

What is found is remembered in this host's cache, so that from then on nothing new builds on it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from casstore.cache import WHOLE, Place
from casstore.crypto import hash_of
from casstore.entry import EMPTY, Entry, Kind, Root
from casstore.errors import ChunkMissing, Damaged, FormatDamaged
from casstore.format import certificate
from casstore.format.blob import Blob, decompress, split
from casstore.format.pack import Directory, object_name, open_pack
from casstore.ids import ChunkId, PackId
from casstore.keyring import damaged_slots
from casstore.progress import Advanced, Progress, Stage, silent
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.workers import Job

T = TypeVar("T")
MANY_LENGTHS = 50_000  # so many sound chunks are known without asking the cache
MANY_ROOTS = 50_000  # so many sound streams are remembered, to be passed over in the next snapshot


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written. `snapshot` and `path` say what it costs, where that is known."""

    where: str
    reason: str
    snapshot: Snapshot | None = None
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class Subset:
    """Which packs are read: a share of them drawn anew, one of `parts` equal parts, or up to so many bytes."""

    share: float = 1.0
    part: int = 0
    parts: int = 0
    max_bytes: int = 0


def verify(
    repository: Repository,
    *,
    snapshots: Sequence[Snapshot] | None = None,
    quick: bool = False,
    subset: Subset | None = None,
    progress: Progress = silent,
) -> Iterator[Damage]:
    """Yield each damage. `quick` reads no blob of file content; `subset` reads only some packs.

    Raises:
        HistoryRewritten: the ledger is rolled back or forked.
    """
    repository.refresh()
    with repository.afresh() as fresh:
        check = _Check(fresh, progress)
        whole = False
        try:
            yield from check.ledger(repository)
            yield from check.packs(set() if quick else check.chosen(subset))
            whole = not quick and subset is None
            yield from check.snapshots(None if snapshots is None else {snapshot.number for snapshot in snapshots})
        finally:  # what was found counts, though the rest was not waited for
            news = repository.cache.distrust(check.distrusted, instead=whole)
    if news:
        repository.refresh()
        repository.acknowledge()


@dataclass(slots=True)
class _Pack:
    """What was found of one: its directory if it can be read, and what is wrong, by position."""

    pack: PackId
    length: int
    directory: Directory | None = None
    reasons: list[tuple[int, str]] = field(default_factory=list)


class _Check:
    """The passes, over a repository whose cache is empty and is filled by them."""

    def __init__(self, fresh: Repository, progress: Progress) -> None:
        self._fresh, self._progress = fresh, progress
        self._bad: dict[ChunkId, str] = {}
        self._packs: dict[PackId, int] = {}
        self._lengths: dict[ChunkId, int] = {}  # of whole chunks that lie in sound blobs
        self._sound: set[Root] = set()
        self._walked: dict[Root, tuple[int, int]] = {}  # sound manifests, with their files and bytes
        self.distrusted: set[tuple[PackId, int]] = set()

    # ── ledger ──

    def ledger(self, repository: Repository) -> Iterator[Damage]:
        """Read all commits and all slots."""
        self._progress(Stage("ledger"))
        self._fresh.cache.begin()
        self._packs = dict(self._fresh.catalogue.named(repository.anchor))
        for name, error in self._fresh.damaged:
            yield Damage(name, str(error))
        for name, reason in (*damaged_slots(self._fresh.backend), *self._certificates()):
            yield Damage(name, reason)

    def _certificates(self) -> Iterator[tuple[str, str]]:
        fresh = self._fresh
        for host, (public, _, _) in fresh.ledger.hosts.items():
            try:
                if public:  # else it was revoked
                    fresh.ledger.certified(host)
            except Damaged as error:
                yield certificate.object_name(host), str(error)

    # ── packs ──

    def chosen(self, subset: Subset | None) -> set[PackId]:
        """Choose packs to be read whole."""
        return _chosen(list(self._packs.items()), subset)

    def packs(self, chosen: set[PackId]) -> Iterator[Damage]:
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
            self._bad.update((chunk, reason) for chunk in directory.blobs[position].ids)
        self._fresh.cache.add_pack(found.pack, found.length, directory.blobs, directory.offsets, without=bad.keys())
        if len(self._lengths) < MANY_LENGTHS:
            for position, blob in enumerate(directory.blobs):
                if blob.base is None and position not in bad:
                    self._lengths.update(zip(blob.ids, blob.lengths, strict=True))

    def _differences(self, chosen: set[PackId]) -> Iterator[Damage]:
        """Open the differences: they need their bases, which may lie anywhere."""
        cache, chunks = self._fresh.cache, self._fresh.chunks
        cache.drop_unresolved()
        damaged: list[tuple[Place, ChunkId, Damaged]] = []
        others: list[tuple[ChunkId, Place]] = []  # copies of what lies less deep elsewhere: opened one by one

        def chosen_copies() -> Iterator[tuple[Place, ChunkId]]:
            for group in _grouped(cache.differences(), 256):
                best = cache.places({chunk for chunk, _ in group})
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
            self._bad[chunk] = str(why)
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
        if blob.base is None:
            for chunk, clear in zip(blob.ids, split(blob, decompress(blob, payload)), strict=True):
                if self._fresh.keys.chunk_id(blob.kind, clear) != chunk:
                    raise FormatDamaged(f"chunk {chunk.hex()[:12]} does not answer to its id")

    # ── snapshots ──

    def snapshots(self, numbers: set[int] | None) -> Iterator[Damage]:
        """Walk the manifests of the snapshots chosen, or of all."""
        self._progress(Stage("snapshots"))
        chosen = [one for one in self._fresh.snapshots() if numbers is None or one.number in numbers]
        for number, snapshot in enumerate(chosen, 1):
            yield from self._snapshot(snapshot)
            self._progress(Advanced(number, 0, len(chosen)))

    def _snapshot(self, snapshot: Snapshot) -> Iterator[Damage]:
        totals = self._walked.get(snapshot.manifest)
        if totals is None:
            files = size = damages = 0
            try:
                head = self._fresh.head(snapshot)
                beside = {"cas.toml of the snapshot": head.config, "sidecar of the snapshot": head.sidecar or EMPTY}
                for kind, root in beside.items():
                    for _, reason in self._missing([(b"", root)] if root != EMPTY else []):
                        damages += 1
                        yield Damage(kind, reason, snapshot)
                for _, entries in self._fresh.blocks(snapshot):
                    files += sum([entry.kind is Kind.FILE for entry in entries])
                    size += sum([entry.size for entry in entries])
                    for path, reason in self._missing(self._unproven(entries)):
                        damages += 1
                        yield Damage("file", reason, snapshot, path)
            except Damaged as error:
                yield Damage("manifest", str(error), snapshot)
                return
            totals = files, size
            if not damages:
                self._walked[snapshot.manifest] = totals
        if totals != (snapshot.files, snapshot.size):
            yield Damage("manifest", "the totals are not those that were signed", snapshot)

    def _unproven(self, entries: Sequence[Entry]) -> list[tuple[bytes, Root]]:
        return [
            (entry.path, entry.content)
            for entry in entries
            if entry.content.length and entry.content not in self._sound
        ]

    def _missing(self, streams: Sequence[tuple[bytes, Root]]) -> Iterator[tuple[bytes, str]]:
        """Say which streams cannot be read, and why, from the directories and from what was found bad."""
        known = self._lengths
        rest = {chunk for _, root in streams if not root.height for chunk in root.ids if chunk not in known}
        lengths = self._fresh.cache.lengths(rest)
        for path, root in streams:
            if len(root.ids) == 1 and not root.height and known.get(root.ids[0]) == root.length:
                reason = None  # one chunk, sound and as long as it should be: most files
            else:
                reason = self._why(root, lengths)
            if reason is not None:
                yield path, reason
                continue
            if len(self._sound) >= MANY_ROOTS:
                self._sound.clear()
            self._sound.add(root)

    def _why(self, root: Root, lengths: dict[ChunkId, int]) -> str | None:
        length = 0
        try:
            for chunk in self._fresh.chunks.expand(root):
                part = self._lengths.get(chunk) or lengths.get(chunk)
                if part is None and root.height:
                    part = self._fresh.cache.lengths([chunk]).get(chunk)
                if part is None:
                    return self._bad.get(chunk) or str(ChunkMissing(chunk))
                length += part
        except Damaged as error:
            return str(error)
        return None if length == root.length else f"is {length} bytes long instead of {root.length}"


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
