"""The snapshots: every manifest walked, every root in it compared with what lies in sound packs, totals compared.

Snapshots share most chunks of their manifests. What was proven of a chunk, once come to by a `Stand`, holds whenever it
is come to by the same: the same records, so the same checks of the same roots. So it is decoded once, and passed over
from then on; what fits together only as a whole (blocks, lengths, totals) is counted anew for each manifest. That says
only whether a snapshot is whole. One that is not is walked again entry by entry, to name all that it lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from casstore.entry import EMPTY, Entry, Kind, Root
from casstore.errors import Damaged, FormatDamaged
from casstore.format.manifest import Counts, Head, Span, Stand, check_end, decode_piece
from casstore.ids import ChunkId
from casstore.progress import Advanced, Progress, Stage
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.verify.damage import Damage
from casstore.verify.packs import Packs
from casstore.verify.streams import Streams

LOOKED_AHEAD = 64  # chunks of a manifest that are fetched at once
MOST_CUT = 1 << 20  # bytes of a record that goes on in the next chunk: one longer is left to the walk by entries
MANY_BYTES = 24 << 20  # what is remembered of chunks, about: 30,000 of them
STEP_COST = 700  # bytes of a remembered step, beside what it holds of records
_FILE = Kind.FILE


class _Step(NamedTuple):
    """A chunk of a manifest without damage, come to by `begun`: `size` bytes of files, itself `length` bytes."""

    begun: Stand
    span: Span
    files: int
    size: int
    length: int

    @property
    def cost(self) -> int:
        return STEP_COST + len(self.span.stand.cut) + len(self.span.stand.last or b"")


class Snapshots:
    """Walks the manifests, one after the other."""

    def __init__(self, fresh: Repository, packs: Packs, progress: Progress) -> None:
        self._fresh, self._progress = fresh, progress
        self._streams = Streams(fresh, packs)
        self._steps: dict[ChunkId, _Step] = {}  # the oldest first
        self._steps_bytes = 0

    def check(self, numbers: set[int] | None) -> Iterator[Damage]:
        """Walk the manifests of the snapshots chosen, or of all."""
        self._progress(Stage("snapshots"))
        chosen = [one for one in self._fresh.snapshots() if numbers is None or one.number in numbers]
        for number, snapshot in enumerate(chosen, 1):
            yield from self._snapshot(snapshot)
            self._progress(Advanced(number, 0, len(chosen)))

    def _snapshot(self, snapshot: Snapshot) -> Iterator[Damage]:
        try:
            totals = self._walk(snapshot.manifest)
        except Damaged:
            yield from self._lost(snapshot)
            return
        if totals != (snapshot.files, snapshot.size):
            yield _wrong_totals(snapshot)

    # ── whole or not ──

    def _walk(self, manifest: Root) -> tuple[int, int]:
        """Give files and bytes of a snapshot that is whole.

        Raises:
            Damaged: it is not.
        """
        stand, counts = Stand(), Counts()
        files = size = length = 0
        ids = self._fresh.chunks.expand(manifest)
        while chunks := list(islice(ids, LOOKED_AHEAD)):
            fetched = dict(self._fresh.chunks.fetch((chunk, chunk) for chunk in chunks if chunk not in self._steps))
            for chunk in chunks:
                step = self._steps.get(chunk)
                if step is None or step.begun != stand:
                    step = self._proven(stand, chunk, fetched.get(chunk))
                stand, counts = step.span.stand, step.span.passed(counts)
                files, size, length = files + step.files, size + step.size, length + step.length
        check_end(stand, counts)
        if length != manifest.length:
            raise FormatDamaged(f"a manifest is {length} bytes long instead of {manifest.length}")
        return files, size

    def _proven(self, stand: Stand, chunk: ChunkId, data: bytes | Damaged | None) -> _Step:
        """Decode a chunk of a manifest, prove the roots in it, and remember it."""
        if isinstance(data, Damaged):
            raise data
        data = self._fresh.chunks.get(chunk) if data is None else data
        head, entries, span = decode_piece(stand, data)
        if len(span.stand.cut) > MOST_CUT:
            raise FormatDamaged("a manifest entry goes on and on")
        for _, reason in self._streams.missing([*_beside(head), *_contents(entries)]):
            raise FormatDamaged(reason)
        sizes = [entry.size for entry in entries if entry.kind is _FILE]
        step = _Step(stand, span, len(sizes), sum(sizes), len(data))
        self._remember(chunk, step)
        return step

    def _remember(self, chunk: ChunkId, step: _Step) -> None:
        if (older := self._steps.pop(chunk, None)) is not None:
            self._steps_bytes -= older.cost
        self._steps[chunk] = step
        self._steps_bytes += step.cost
        while self._steps_bytes > MANY_BYTES:
            self._steps_bytes -= self._steps.pop(next(iter(self._steps))).cost

    # ── what is lost ──

    def _lost(self, snapshot: Snapshot) -> Iterator[Damage]:
        """Walk the entries of a snapshot that is not whole, by their paths."""
        files = size = 0
        try:
            for what, reason in self._streams.missing(_beside(self._fresh.head(snapshot))):
                yield Damage(what.decode(), reason, snapshot)
            for _, entries in self._fresh.blocks(snapshot):
                files += sum([entry.kind is _FILE for entry in entries])
                size += sum([entry.size for entry in entries])
                for path, reason in self._streams.missing(_contents(entries)):
                    yield Damage("file", reason, snapshot, path)
        except Damaged as error:
            yield Damage("manifest", str(error), snapshot)
            return
        if (files, size) != (snapshot.files, snapshot.size):
            yield _wrong_totals(snapshot)


def _beside(head: Head | None) -> list[tuple[bytes, Root]]:
    """Give the streams that a head names, each with what it is in place of a path."""
    if head is None:
        return []
    named = [(b"cas.toml of the snapshot", head.config), (b"sidecar of the snapshot", head.sidecar or EMPTY)]
    return [(what, root) for what, root in named if root != EMPTY]


def _contents(entries: Sequence[Entry]) -> list[tuple[bytes, Root]]:
    return [(entry.path, entry.content) for entry in entries if entry.content.length]


def _wrong_totals(snapshot: Snapshot) -> Damage:
    return Damage("manifest", "the totals are not those that were signed", snapshot)
