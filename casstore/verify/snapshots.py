"""The snapshots: every manifest walked, every root in it compared with what lies in sound packs, totals compared.

Snapshots share most of their manifests. What was proven of a piece of one, once come to by a `Stand`, holds whenever it
is come to by the same: the same records, so the same checks of the same roots. So it is decoded once, and passed over
from then on: whole chunks unread, of changed chunks the pieces that did not change. What fits together only as a whole
(blocks, lengths, totals) is counted anew for each manifest. This says only whether a snapshot is whole. One that is
not is walked again entry by entry, to name all that it lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from casstore.entry import EMPTY, Entry, Kind, Root
from casstore.errors import Damaged, FormatDamaged
from casstore.format.blob import MANIFEST
from casstore.format.manifest import Head, Span, Stand, cut_pieces, decode_piece
from casstore.ids import ChunkId
from casstore.progress import Advanced, Progress, Stage
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.verify.damage import Damage
from casstore.verify.packs import Packs
from casstore.verify.streams import Streams

LOOKED_AHEAD = 64  # chunks of a manifest that are fetched at once
MOST_CUT = 1 << 20  # bytes of a record that goes on in the next piece: one longer is left to the walk by entries
CHUNKS_BYTES = 8 << 20  # what is remembered of chunks, about: 10,000 of them
PIECES_BYTES = 16 << 20  # what is remembered of pieces, about: those of some 700,000 entries
STEP_COST = 700  # bytes of a remembered step, beside what it holds of records
_FILE = Kind.FILE


class _Step(NamedTuple):
    """A part of a manifest without damage, come to by `begun`: `size` bytes of files, itself `length` bytes."""

    begun: Stand
    span: Span
    files: int = 0
    size: int = 0
    length: int = 0

    def then(self, later: _Step) -> _Step:
        return _Step(
            self.begun, self.span.then(later.span),
            self.files + later.files, self.size + later.size, self.length + later.length,
        )  # fmt: skip


class _Steps:
    """Remembers what was proven of parts of manifests, by their names; of one as it was come to last."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._steps: dict[bytes, _Step] = {}  # the oldest first

    def __contains__(self, name: bytes) -> bool:
        return name in self._steps

    def get(self, name: bytes, stand: Stand) -> _Step | None:
        """Give what was proven of a part, if it was come to so."""
        step = self._steps.get(name)
        return step if step is not None and step.begun == stand else None

    def remember(self, name: bytes, step: _Step) -> None:
        """Remember it, and forget the oldest if it is too much."""
        if (older := self._steps.pop(name, None)) is not None:
            self._bytes -= _cost(older)
        self._steps[name] = step
        self._bytes += _cost(step)
        while self._bytes > self._max_bytes:
            self._bytes -= _cost(self._steps.pop(next(iter(self._steps))))


class Snapshots:
    """Walks the manifests, one after the other."""

    def __init__(self, fresh: Repository, packs: Packs, progress: Progress) -> None:
        self._fresh, self._progress = fresh, progress
        self._streams = Streams(fresh, packs)
        self._chunks, self._pieces = _Steps(CHUNKS_BYTES), _Steps(PIECES_BYTES)

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
        walked = _Step(Stand(), Span(Stand()))
        ids = self._fresh.chunks.expand(manifest)
        while chunks := list(islice(ids, LOOKED_AHEAD)):
            fetched = dict(self._fresh.chunks.fetch((chunk, chunk) for chunk in chunks if chunk not in self._chunks))
            for chunk in chunks:
                stand = walked.span.stand
                step = self._chunks.get(chunk, stand) or self._proven(stand, chunk, fetched.get(chunk))
                walked = walked.then(step)
                if walked.length > manifest.length:
                    raise FormatDamaged("a manifest is longer than its root says")
        walked.span.check_whole()
        if walked.length != manifest.length:
            raise FormatDamaged("a manifest is shorter than its root says")
        return walked.files, walked.size

    def _proven(self, stand: Stand, chunk: ChunkId, data: bytes | Damaged | None) -> _Step:
        """Decode of a chunk what is new, prove the roots in that, and remember it.

        Raises:
            Damaged: it is not whole, or a root in it is not.
        """
        if isinstance(data, Damaged):
            raise data
        walked = _Step(stand, Span(stand))
        new: list[tuple[bytes, _Step]] = []
        streams: list[tuple[bytes, Root]] = []
        for piece in cut_pieces(self._fresh.chunks.get(chunk) if data is None else data):
            name, stand = self._fresh.keys.chunk_id(MANIFEST, piece), walked.span.stand
            step = self._pieces.get(name, stand)
            if step is None:
                step, found = _decoded(stand, piece)
                new.append((name, step))
                streams += found
            walked = walked.then(step)
        for _, reason in self._streams.missing(streams):
            raise FormatDamaged(reason)
        for name, step in new:
            self._pieces.remember(name, step)
        self._chunks.remember(chunk, walked)
        return walked

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


def _decoded(stand: Stand, piece: bytes) -> tuple[_Step, list[tuple[bytes, Root]]]:
    """Decode a piece; gives the roots in it too, which are still to be proven."""
    head, entries, span = decode_piece(stand, piece)
    if len(span.stand.cut) > MOST_CUT:
        raise FormatDamaged("a manifest entry goes on and on")
    sizes = [entry.size for entry in entries if entry.kind is _FILE]
    return _Step(stand, span, len(sizes), sum(sizes), len(piece)), [*_beside(head), *_contents(entries)]


def _cost(step: _Step) -> int:
    return STEP_COST + len(step.span.stand.cut) + len(step.span.stand.last or b"")


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
