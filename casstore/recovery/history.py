"""The history of one file, or of one record in it, through the snapshots, in the order that they are given in.

A file's root tells whether it changed, so a version is read once, also where it comes again, and a manifest as that of
the snapshot before is not read at all. One version is in memory at a time, and of others the record that is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from casstore.diff import ADDED, MODIFIED, REMOVED
from casstore.entry import Entry, Kind, Root
from casstore.errors import CasError, Damaged
from casstore.recovery.comparison import Field, changed_fields
from casstore.recovery.document import Document, NotRecords, alike
from casstore.recovery.records import Which, find
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.values import dataclass

KEPT_BYTES = 16 << 20  # of records of earlier versions, for when one of these comes back

_Version = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A file as it is from a snapshot on; without an entry it is gone. `trouble`: that could not be found out."""

    snapshot: Snapshot
    entry: Entry | None
    trouble: Damaged | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of a record in a snapshot: ADDED, MODIFIED or REMOVED. `trouble`: why that could not be found out."""

    snapshot: Snapshot
    letter: str
    fields: tuple[Field, ...] = ()
    trouble: CasError | None = None


def versions(repository: Repository, snapshots: Iterable[Snapshot], path: bytes) -> Iterator[Version]:
    """Yield a path's versions: a snapshot in which it is as in the one before is passed over."""
    manifest: Root | None = None
    last = _version(None)
    for snapshot in snapshots:
        if snapshot.manifest == manifest:
            continue
        try:
            entry = next((entry for entry in repository.entries(snapshot, path) if entry.path == path), None)
        except Damaged as error:
            yield Version(snapshot, None, error)
            continue
        manifest = snapshot.manifest
        if entry is not None and entry.is_folder:
            raise CasError("a folder has no versions", hint="Name a file; `cas find` and `cas ls` look into folders.")
        if (version := _version(entry)) != last:
            last = version
            yield Version(snapshot, entry)


def record_turns(repository: Repository, snapshots: Iterable[Snapshot], path: bytes, which: Which) -> Iterator[Turn]:
    """Yield each change of a record; what cannot be read is told in its place, and passed over."""
    remembered = _Remembered()
    before: str | None = None
    for version in versions(repository, snapshots, path):
        try:
            if version.trouble is not None:
                raise version.trouble
            after = remembered.get(version.entry) or remembered.put(version.entry, _record(repository, version, which))
        except CasError as error:  # torn, or ambiguous, or damaged: the next version says how it went on
            yield Turn(version.snapshot, "", trouble=error)
            continue
        found = after[0]
        if before is None and found is not None:
            yield Turn(version.snapshot, ADDED)
        elif before is not None and found is None:
            yield Turn(version.snapshot, REMOVED)
        elif before is not None and found is not None and not alike(before, found):
            yield Turn(version.snapshot, MODIFIED, changed_fields(before, found))
        before = found


def read_document(repository: Repository, entry: Entry, name: str) -> Document:
    """Read a file of a snapshot as JSON.

    Raises:
        NotRecords: it is none, as far as its beginning tells. Damaged: some of it cannot be read.
    """
    if entry.kind is not Kind.FILE or entry.extents is not None:
        raise NotRecords(f"{name} is no JSON: it is {'sparse' if entry.kind is Kind.FILE else 'no regular file'}")
    return Document.of(repository.read(entry.content), name)


def _record(repository: Repository, version: Version, which: Which) -> str | None:
    if version.entry is None:
        return None
    document = read_document(repository, version.entry, "the file")
    member = find(document, which)
    return document.text[member.start : member.end] if member is not None else None


def _version(entry: Entry | None) -> _Version:
    return (entry.kind, entry.content, entry.size, entry.extents, entry.target) if entry is not None else ()


class _Remembered:
    """The record as versions held it, as far as there is room; in a tuple, since it may not be there."""

    def __init__(self) -> None:
        self._records: dict[_Version, tuple[str | None]] = {}
        self._room = KEPT_BYTES

    def get(self, entry: Entry | None) -> tuple[str | None] | None:
        return self._records.get(_version(entry))

    def put(self, entry: Entry | None, record: str | None) -> tuple[str | None]:
        self._room -= len(record or "")
        if self._room > 0:
            self._records[_version(entry)] = (record,)
        return (record,)
