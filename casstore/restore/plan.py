"""The plan: what a restore would do, for a dry run and for the question before it. Nothing is written or fetched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile

from casstore.entry import Entry, Kind, join
from casstore.format import record
from casstore.progress import Advanced, Progress, silent
from casstore.repository import Repository
from casstore.restore.attributes import KINDS
from casstore.restore.ground import Ground
from casstore.restore.saved import extras
from casstore.restore.stage import Counts
from casstore.restore.survey import Survey, Verdict, scope
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import Source
from casstore.values import dataclass

IN_MEMORY = 4 << 20
DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that would change. `what`: new, replaced, attributes, deleted or blocked (then `reason` says why)."""

    what: str
    path: bytes
    kind: Kind
    size: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do. Counts are of paths; `total_bytes` would be fetched and written. Close it after use."""

    snapshot: Snapshot
    target: Path
    new: int
    replaced: int
    attributes: int  # the bytes stay; mode, owner or times change
    deleted: int
    unchanged: int
    files: int
    total_bytes: int
    blocked: int  # paths that cannot be brought back here; in place, nothing is
    unmatched: tuple[bytes, ...]  # paths asked for that the snapshot does not have
    same_origin: bool  # the target is the folder that the snapshot was taken from
    _changes: SpooledTemporaryFile[bytes]

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the changes that were put aside."""
        self._changes.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.new or self.replaced or self.attributes or self.deleted)

    def changes(self) -> Iterator[Change]:
        """Yield all that would change; they lie on disk when they are many."""
        self._changes.seek(0)
        pieces = iter(lambda: self._changes.read(1 << 16), b"")
        for what, path, kind, size, reason in record.decode_sequence(pieces, "change"):
            yield Change(what, path, Kind(kind), size, reason)


def plan(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    *,
    paths: Sequence[bytes] = (),
    delete: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Compare a snapshot with the live tree. What `delete` would remove is what a snapshot taken now would hold.

    Raises:
        Damaged: the manifest cannot be read.
    """

    def doomed(live: Iterator[Entry]) -> Iterator[Entry]:
        return extras(live, repository.entries(snapshot), scope(paths))

    return make_plan(repository, snapshot, target, paths, doomed if delete else None, progress)


def make_plan(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    paths: Sequence[bytes],
    doomed: Callable[[Iterator[Entry]], Iterator[Entry]] | None,
    progress: Progress,
) -> Plan:
    """Plan with a rule of the caller's for what is deleted of what is live."""
    counts = Counts()
    # Beside the cache and not where the environment says: names of files are nobody else's business.
    file = SpooledTemporaryFile(IN_MEMORY, dir=str(_cache(repository)))  # noqa: SIM115 — as long as the plan lives
    blocked = 0
    tree = Ground(os.fsencode(target)) if target.is_dir() else None
    try:
        survey = Survey(repository, repository.blocks(snapshot), tree, paths, delete=doomed is not None)
        for found in survey:
            counts.count(found)
            blocked += found.verdict is Verdict.BLOCKED
            if found.verdict is not Verdict.EQUAL and (found.asked or found.verdict is not Verdict.ATTRIBUTES):
                entry = found.entry
                file.write(record.encode([found.verdict.value, entry.path, entry.kind, entry.size, found.reason]))
            if counts.seen_files % 256 == 0:
                progress(Advanced(counts.seen_files, 0, snapshot.files))
        if doomed is not None and tree is not None:
            for entry in doomed(_live(repository, snapshot, target)):
                counts.deleted += 1
                file.write(record.encode([DELETED, entry.path, entry.kind, entry.size, ""]))
    except BaseException:
        file.close()
        raise
    finally:
        if tree is not None:
            tree.close()
    return Plan(
        snapshot, target, counts.new, counts.replaced, counts.attributes, counts.deleted, counts.unchanged,
        counts.files, counts.total_bytes, blocked, tuple(survey.unmatched()), _is_same(target, snapshot.origin), file,
    )  # fmt: skip


def selection_of(repository: Repository, snapshot: Snapshot) -> Selection:
    """Give what a snapshot was taken of."""
    return Selection.decode(repository.head(snapshot).selection)


def _live(repository: Repository, snapshot: Snapshot, target: Path) -> Iterator[Entry]:
    """Yield what a snapshot taken now would hold, as far as names, kinds and sizes go."""
    source = Source(os.fsencode(target), selection_of(repository, snapshot), never=repository.never)
    for listing in source.walk():
        for name, status in zip(listing.names, listing.stats, strict=True):
            kind = KINDS[stat.S_IFMT(status.st_mode)]
            size = status.st_size if kind is Kind.FILE else 0
            yield Entry(join(listing.path, name), kind, 0, 0, 0, b"", b"", 0, size)


def _is_same(target: Path, origin: bytes) -> bool:
    return os.path.realpath(os.fsencode(target)) == os.path.realpath(origin)


def _cache(repository: Repository) -> Path:
    return repository.home.cache_folder(repository.header.repository)
