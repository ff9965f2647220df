"""Verify: read back all that the snapshots reach; yield each damage, stop at none.

Three passes. The ledger: every commit anew, chain and signatures, from the header on; and the slots. The packs: each
one whole, its name, every blob opened, every id computed anew. The snapshots: every manifest walked, every root
compared with what lies in sound packs. Nothing is taken from the cache but as a place to look; what is damaged is
counted against the snapshots and files that need it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from casstore.crypto import hash_of
from casstore.entry import EMPTY, Root
from casstore.errors import ChunkMissing, Damaged, FormatDamaged
from casstore.format.blob import decompress, split
from casstore.format.pack import Directory, object_name, open_pack
from casstore.ids import ChunkId, PackId
from casstore.keyring import damaged_slots
from casstore.ledger import Ledger
from casstore.progress import Advanced, Progress, Stage, silent
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.workers import Job

MANY_ROOTS = 100_000  # so many sound streams are remembered, to be passed over in the next snapshot

Checked = tuple["Directory | None", dict[ChunkId, str], list[str]]  # directory, bad chunks and why, reasons


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
    progress(Stage("ledger"))
    yield from _ledger(repository)
    for name, reason in damaged_slots(repository.backend):
        yield Damage(name, reason)
    progress(Stage("packs"))
    bad: dict[ChunkId, str] = {}
    for name, error in repository.damaged:
        yield Damage(name, str(error))
    if quick:
        yield from _sizes(repository)
    else:
        yield from _packs(repository, subset, bad, progress)
    progress(Stage("snapshots"))
    chosen = repository.snapshots() if snapshots is None else snapshots
    sound: set[Root] = set()
    walked: dict[Root, tuple[int, int]] = {}  # sound manifests, with their files and bytes
    for number, snapshot in enumerate(chosen, 1):
        yield from _snapshot(repository, snapshot, bad, sound, walked)
        progress(Advanced(number, 0, len(chosen)))


def _ledger(repository: Repository) -> Iterator[Damage]:
    fresh = Ledger(repository.backend, repository.header_hash, repository.header.admin_public, repository.keys.commit)
    fresh.check_anchor(repository.anchor)
    for number, error in fresh.check():
        yield Damage(f"ledger/{number:020}", str(error))


def _sizes(repository: Repository) -> Iterator[Damage]:
    for pack, length in repository.cache.packs():
        try:
            found = repository.backend.size(object_name(pack))
        except Damaged as error:
            yield Damage(object_name(pack), str(error))
        else:
            if found != length:
                yield Damage(object_name(pack), f"is {found} bytes long instead of {length}")


def _packs(
    repository: Repository, subset: Subset | None, bad: dict[ChunkId, str], progress: Progress
) -> Iterator[Damage]:
    packs = _chosen(sorted(repository.cache.packs()), subset)
    total = sum(length for _, length in packs)
    done = 0
    jobs: list[tuple[PackId, int, Job[Checked]]] = []
    waiting = iter(packs)
    read: set[PackId] | None = None if subset is None else {pack for pack, _ in packs}
    while True:
        while len(jobs) < 3 and (item := next(waiting, None)) is not None:
            pack, length = item
            jobs.append((pack, length, repository.workers.submit(_checking(repository, pack, length))))
        if not jobs:
            break
        pack, length, job = jobs.pop(0)
        directory, damaged, reasons = job.result()
        for reason in reasons:
            yield Damage(object_name(pack), reason)
        bad.update(damaged)
        if directory is None:
            bad.update((chunk, "its pack is damaged") for chunk in repository.cache.chunks_of(pack))
        done += length
        progress(Advanced(0, done, 0, total))
    # Differences need their bases, which may lie anywhere: fetched by id like a reader does.
    wanted = ((pack, chunk) for chunk, pack in repository.cache.differences() if read is None or pack in read)
    for (pack, chunk), data in repository.chunks.fetch(((pack, chunk), chunk) for pack, chunk in wanted):
        if isinstance(data, Damaged) and chunk not in bad:
            bad[chunk] = str(data)
            yield Damage(object_name(pack), str(data))


def _checking(repository: Repository, pack: PackId, length: int) -> Callable[[], Checked]:
    def check() -> Checked:
        try:
            data = repository.backend.read(object_name(pack))
        except Damaged as error:
            return None, {}, [str(error)]
        reasons = []
        if len(data) != length:
            reasons.append(f"is {len(data)} bytes long instead of {length}")
        elif hash_of(data) != pack:
            reasons.append("does not answer to its name")
        try:
            directory = open_pack(data, repository.keys)
        except Damaged as error:
            return None, {}, [*reasons, str(error)]
        bad: dict[ChunkId, str] = {}
        view = memoryview(data)
        for number, (blob, offset) in enumerate(zip(directory.blobs, directory.offsets, strict=True)):
            try:
                payload = directory.header.unseal(number, blob, view[offset : offset + blob.stored])
                if blob.base is None:
                    for chunk, clear in zip(blob.ids, split(blob, decompress(blob, payload)), strict=True):
                        if repository.keys.chunk_id(blob.kind, clear) != chunk:
                            raise FormatDamaged(f"chunk {chunk.hex()[:12]} does not answer to its id")
            except Damaged as error:
                bad.update((chunk, str(error)) for chunk in blob.ids)
                reasons.append(f"blob {number}: {error}")
        return directory, bad, reasons

    return check


def _chosen(packs: list[tuple[PackId, int]], subset: Subset | None) -> list[tuple[PackId, int]]:
    if subset is None or not packs:
        return packs
    if subset.parts:
        return [pack for pack in packs if pack[0][0] % subset.parts == subset.part - 1]
    drawn = random.SystemRandom().sample(packs, len(packs))
    if subset.max_bytes:
        chosen: list[tuple[PackId, int]] = []
        size = 0
        for pack in drawn:
            if chosen and size + pack[1] > subset.max_bytes:
                continue
            chosen.append(pack)
            size += pack[1]
        return chosen
    return drawn[: max(1, round(len(drawn) * subset.share))]


def _snapshot(
    repository: Repository,
    snapshot: Snapshot,
    bad: dict[ChunkId, str],
    sound: set[Root],
    walked: dict[Root, tuple[int, int]],
) -> Iterator[Damage]:
    totals = walked.get(snapshot.manifest)
    if totals is None:
        files = size = damages = 0
        try:
            head = repository.head(snapshot)
            if head.config != EMPTY and (reason := _missing(repository, head.config, bad)):
                damages += 1
                yield Damage("cas.toml of the snapshot", reason, snapshot)
            for entry in repository.entries(snapshot):
                size += entry.size
                files += entry.kind == 0
                if entry.content == EMPTY or entry.content in sound:
                    continue
                reason = _missing(repository, entry.content, bad)
                if reason is None:
                    if len(sound) >= MANY_ROOTS:
                        sound.clear()
                    sound.add(entry.content)
                else:
                    damages += 1
                    yield Damage("file", reason, snapshot, entry.path)
        except Damaged as error:
            yield Damage("manifest", str(error), snapshot)
            return
        totals = files, size
        if not damages:
            walked[snapshot.manifest] = totals
    if totals != (snapshot.files, snapshot.size):
        yield Damage("manifest", "the totals are not those that were signed", snapshot)


def _missing(repository: Repository, root: Root, bad: dict[ChunkId, str]) -> str | None:
    """Say why a stream cannot be read, from the directories and from what was found bad; None if it can."""
    length = 0
    try:
        for chunk in repository.chunks.expand(root):
            part = repository.cache.length(chunk)
            if part is None:
                return str(ChunkMissing(chunk))
            if chunk in bad:
                return bad[chunk]
            length += part
    except Damaged as error:
        return str(error)
    return None if length == root.length else f"is {length} bytes long instead of {root.length}"
