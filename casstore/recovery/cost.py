"""What a loss now would cost: what is live and in no snapshot yet, in time and in records.

All that came since the newest snapshot would be gone, so the time goes back to that one, if anything came at all. A
record is a member of a JSON array or object that was added, changed or removed, a line of a log, or a whole file of
another kind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from casstore.backup.torn import is_json
from casstore.entry import Entry, Kind, join
from casstore.errors import Damaged
from casstore.processes import FileId
from casstore.recovery.comparison import compare
from casstore.recovery.document import Document, NotRecords
from casstore.recovery.proof import is_as_saved, is_log, lines, pieces
from casstore.repository import Repository
from casstore.restore.content import holds
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import Source
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What would be gone."""

    window_ns: int | None  # all that came in so long; None: all there is, since there is no snapshot
    newest_ns: int | None  # the age of the newest change of these; None: nothing changed
    records: int
    files: int


def cost(
    repository: Repository,
    snapshot: Snapshot | None,
    live: Path,
    selection: Selection,
    never: Sequence[FileId],
    now_ns: int,
) -> Cost:
    """Hold the live files against a snapshot.

    Raises:
        Damaged: some of the manifest cannot be read. OSError: the live folder cannot be.
    """
    saved: dict[bytes, Entry] = {}
    if snapshot is not None:
        saved = {entry.path: entry for entry in repository.entries(snapshot) if entry.kind is Kind.FILE}
    files = records = 0
    newest_ns = 0
    for listing in Source(os.fsencode(live), selection, never=never).walk():
        for name, status in zip(listing.names, listing.stats, strict=True):
            path = Path(live, os.fsdecode(join(listing.path, name)))
            entry = saved.pop(join(listing.path, name), None)
            if not path.is_file() or path.is_symlink() or (entry is not None and is_as_saved(entry, path)):
                continue
            changed = _changed(repository, entry, path)
            files += changed > 0
            records += changed
            newest_ns = max(newest_ns, status.st_mtime_ns if changed else 0)
    files += len(saved)  # that were deleted since: a loss would bring them back
    records += len(saved)
    if snapshot is None:
        window_ns: int | None = None
    else:
        window_ns = max(0, now_ns - min(snapshot.time_ns, snapshot.clock_ns)) if files else 0
    return Cost(window_ns, max(0, now_ns - newest_ns) if newest_ns else None, records, files)


def _changed(repository: Repository, entry: Entry | None, path: Path) -> int:
    """Count what is not alike in a file and what was saved of it; one at least if that cannot be told."""
    try:
        if entry is not None and _is_same(repository, entry, path):
            return 0  # only touched
        if is_json(os.fsencode(path.name)):
            now = Document.of(pieces(path), path.name)
            if entry is None:
                return sum(1 for _ in now.members())
            before = Document.of(repository.read(entry.content), path.name)
            return sum(1 for _ in compare(before, now).changes)
        if is_log(os.fsencode(path.name)):
            before_lines = 0 if entry is None else sum(piece.count(b"\n") for piece in repository.read(entry.content))
            return max(1, lines(path) - before_lines)
    except (NotRecords, Damaged, OSError):
        return 1
    return 1


def _is_same(repository: Repository, entry: Entry, path: Path) -> bool:
    with path.open("rb") as file:
        return holds(repository, file.fileno(), entry)
