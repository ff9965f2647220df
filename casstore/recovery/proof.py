"""What was restored, held against what it was taken of: byte for byte, twice where that is possible.

Against the repository, by cutting and hashing each file anew: it answers to the ids that the signed commit leads to.
And against the live file, read beside it, where that still has the size and the time that it had when it was saved: the
application writes on meanwhile, and what moved on since is counted, and no difference.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from casstore.backup.torn import Text, Verdict, is_json
from casstore.entry import Entry, Kind
from casstore.recovery.document import Document, NotRecords
from casstore.repository import Repository
from casstore.restore.content import holds
from casstore.snapshot import Snapshot
from casstore.source import is_staging
from casstore.values import dataclass

_WINDOW = 1 << 20
_KINDS = {Kind.FILE: stat.S_IFREG, Kind.FOLDER: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK, Kind.FIFO: stat.S_IFIFO}


@dataclass(slots=True)
class Compared:
    """How a folder stands against a snapshot. Counts are of files; `wrong` says of each path that is not as it was."""

    files: int = 0
    size: int = 0  # bytes
    others: int = 0  # folders, links
    as_live: int = 0  # the same bytes as the live file
    moved_on: int = 0  # files that are others by now, or gone
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Counted:
    """What is in the restored JSON files and logs. `wrong` says of each that is no JSON, or holds another number."""

    documents: int = 0
    records: int = 0
    lines: int = 0  # of append-only files
    live_records: int = 0
    live_lines: int = 0
    wrong: list[str] = field(default_factory=list)


def compare(
    repository: Repository, snapshot: Snapshot, restored: Path, live: Path | None, *, alone: bool = True
) -> Compared:
    """Hold a folder against a snapshot, and against the live folder if it is at hand. `alone`: nothing else lies there.

    Raises:
        Damaged: some of the manifest cannot be read.
    """
    found = Compared()
    paths = 0
    for entry in repository.entries(snapshot):
        paths += 1
        _hold(repository, entry, Path(restored, os.fsdecode(entry.path)), found)
        if live is not None and entry.kind is Kind.FILE:
            _beside(entry, Path(restored, os.fsdecode(entry.path)), Path(live, os.fsdecode(entry.path)), found)
    if alone and (there := sum(1 for _ in _below(os.fsencode(restored)))) > paths:
        found.wrong.append(f"{there - paths:,} paths are there that the snapshot does not have")
    return found


def count(repository: Repository, snapshot: Snapshot, restored: Path, live: Path) -> Counted:
    """Read each JSON file and each log that was restored to its end, and count what is in it, and in the live one.

    Raises:
        Damaged: some of the manifest cannot be read.
    """
    found = Counted()
    for entry in repository.entries(snapshot):
        if entry.kind is not Kind.FILE:
            continue
        path, there = Path(restored, os.fsdecode(entry.path)), Path(live, os.fsdecode(entry.path))
        with suppress(FileNotFoundError):  # `compare` says so
            if is_json(entry.path):
                _count_records(entry, path, there, found)
            elif is_log(entry.path):
                found.lines += lines(path)
                with suppress(OSError):
                    found.live_lines += lines(there)
    return found


def is_log(path: bytes) -> bool:
    """Whether a file of this name holds an event a line."""
    return path.endswith((b".log", b".jsonl", b".ndjson"))


def lines(path: Path) -> int:
    """Count the lines of a file."""
    return sum(piece.count(b"\n") for piece in pieces(path))


def records(path: Path) -> int:
    """Count the records of a JSON file.

    Raises:
        NotRecords: it is no array or object.
    """
    return sum(1 for _ in Document.of(pieces(path), path.name).members())


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_WINDOW), b"")


def is_as_saved(entry: Entry, path: Path) -> bool:
    """Whether a file has the size and the time that it had when it was saved."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)


def _hold(repository: Repository, entry: Entry, path: Path, found: Compared) -> None:
    name = os.fsdecode(entry.path)
    try:
        status = path.lstat()
    except OSError:
        found.wrong.append(f"{name} is not there")
        return
    if stat.S_IFMT(status.st_mode) != _KINDS.get(entry.kind, stat.S_IFMT(status.st_mode)):
        found.wrong.append(f"{name} is of another kind")
    elif entry.kind is Kind.SYMLINK and os.readlink(os.fsencode(path)) != entry.target:
        found.wrong.append(f"{name} leads elsewhere")
    elif entry.kind is not Kind.SYMLINK and stat.S_IMODE(status.st_mode) != entry.mode:
        found.wrong.append(f"{name} has the mode {stat.S_IMODE(status.st_mode):04o}, not {entry.mode:04o}")
    elif entry.kind is Kind.FILE:
        with path.open("rb") as file:
            if not holds(repository, file.fileno(), entry):
                found.wrong.append(f"{name} holds other bytes than were saved")
    found.others += entry.kind is not Kind.FILE
    found.files += entry.kind is Kind.FILE
    found.size += entry.size


def _beside(entry: Entry, path: Path, live: Path, found: Compared) -> None:
    if not is_as_saved(entry, live):
        found.moved_on += 1
        return
    try:
        same = all(one == other for one, other in zip(pieces(path), pieces(live), strict=True))
    except ValueError:  # one is shorter
        same = False
    except OSError:
        return  # it went, or may not be read: the other comparison counts
    if same:
        found.as_live += 1
    elif is_as_saved(entry, live):
        found.wrong.append(f"{os.fsdecode(entry.path)} holds other bytes than the live file")
    else:
        found.moved_on += 1  # while it was read


def _below(folder: bytes) -> Iterator[bytes]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_staging(name)]
        yield from (os.path.join(here, name) for name in (*folders, *files))


def _count_records(entry: Entry, path: Path, live: Path, found: Counted) -> None:
    name = os.fsdecode(entry.path)
    found.documents += 1
    if (verdict := _verdict(path)) is not Verdict.WHOLE:
        reason = "goes on behind its end" if verdict is Verdict.LONGER else "is not whole"
        found.wrong.append(f"{name} {reason}, as JSON")
        return
    restored = _records_or_none(path)
    found.records += restored or 0
    there = _records_or_none(live)
    found.live_records += there or 0
    if there != restored and is_as_saved(entry, live):
        found.wrong.append(f"{name} holds {restored} records, and the live file {there}")


def _verdict(path: Path) -> Verdict:
    text = Text()
    for piece in pieces(path):
        text.take(piece)
    return text.verdict()


def _records_or_none(path: Path) -> int | None:
    """Count the records; None if the file is none of records, or cannot be read."""
    try:
        return records(path)
    except (NotRecords, OSError):
        return None
