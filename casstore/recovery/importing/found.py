"""The folders of a former script: known by their names, `20231102-103000-000Z` or `20231102_103000`, and looked into.

A name without `Z` or an offset is a time on the clock of this machine. What is no such folder, or was never finished,
is refused and says why.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import field
from pathlib import Path

from casstore import moments
from casstore.backup.torn import Text, Verdict, is_json
from casstore.entry import join
from casstore.errors import CasError, UsageError
from casstore.openfile import WINDOW
from casstore.progress import Progress, silent
from casstore.selection import Selection
from casstore.source import Listing, Source
from casstore.values import dataclass

EVERYTHING = Selection(ignore_files=False)
IGNORED = frozenset((".gitignore",))  # files that are no part of any backup
_MINUTE = 60 * 10**9
_DATED = re.compile(r"\d{4}-?\d\d-?\d\d[T_-]\d\d.*")  # a day alone is no moment of a backup
_HALF = re.compile(rb".*\.(?:incomplete|tmp)", re.DOTALL)  # what copying leaves behind that did not come to its end

Identity = tuple[int, int]  # device and inode
ZoneAt = Callable[[int], int]  # minutes from UTC that the clocks here show at a time in ns


@dataclass(frozen=True, slots=True)
class Refused:
    """Something among the old backups that is not imported."""

    folder: Path
    reason: str


@dataclass(slots=True)
class OldBackup:
    """A folder that is a backup. Paths are relative to it; `places` says where in the application its files belong."""

    folder: Path
    time_ns: int
    zone_minutes: int
    verdicts: dict[bytes, Verdict | None] = field(default_factory=dict)  # of each file and empty folder; None: no JSON
    folders: set[bytes] = field(default_factory=set)
    links: set[bytes] = field(default_factory=set)  # symlinks, which are saved as such
    places: dict[bytes, bytes] = field(default_factory=dict)
    unsure: frozenset[bytes] = frozenset()
    left_out: frozenset[bytes] = frozenset()
    torn: frozenset[bytes] = frozenset()
    missing: frozenset[bytes] = frozenset()  # places that the others have

    @property
    def name(self) -> bytes:
        """How messages call it."""
        return os.fsencode(self.folder.name)


def find(
    folder: Path, *, now_ns: int, zone_at: ZoneAt, passes_over: Collection[Identity]
) -> tuple[list[OldBackup], list[Refused]]:
    """Give what lies in a folder, in order of time, by names alone. A folder with such a name is the one that is meant.

    Raises:
        CasError: it cannot be listed.
    """
    try:
        children = [folder] if _moment_of(folder.name, zone_at) is not None else sorted(folder.iterdir())
    except OSError as error:
        raise CasError(f"{folder} cannot be listed: {os.strerror(error.errno or 0).lower()}") from None
    found: list[OldBackup] = []
    refused: list[Refused] = []
    for child in children:
        status = child.lstat()
        if child.name in IGNORED or (status.st_dev, status.st_ino) in passes_over:
            continue
        moment = _moment_of(child.name, zone_at)
        if moment is None:
            refused.append(Refused(child, "its name is no moment such as 20231102-103000-000Z or 20231102_103000"))
        elif not stat.S_ISDIR(status.st_mode):
            refused.append(Refused(child, "it is a symlink" if stat.S_ISLNK(status.st_mode) else "it is no folder"))
        elif not 0 <= moment[0] <= now_ns:
            refused.append(Refused(child, "its name is a moment that is still to come, or long before any backup"))
        else:
            found.append(OldBackup(child, *moment))
    return sorted(found, key=lambda old: (old.time_ns, old.folder.name)), refused


def look(old: OldBackup, *, never: Collection[Identity]) -> Refused | None:
    """Look into a backup: its files, and whether its JSON is whole. `never`: what no backup may hold."""
    entered: set[bytes] = set()
    for listing in walk(old.folder):
        status = os.fstat(listing.fd) if listing.fd >= 0 else None
        if status is not None and (status.st_dev, status.st_ino) in never:
            return Refused(old.folder, "the repository or the application itself lies in it")
        for i, name in enumerate(listing.names):
            _note(old, listing, i)
            if _HALF.fullmatch(name):
                return Refused(old.folder, f"it was never finished: it holds {os.fsdecode(join(listing.path, name))}")
        if listing.path and not listing.names and listing.fd >= 0:
            entered.add(listing.path)
    if not old.verdicts:
        return Refused(old.folder, "it holds no files")
    old.verdicts.update(dict.fromkeys(entered))
    return None


def walk(folder: Path, progress: Progress = silent) -> Iterator[Listing]:
    """Yield all that lies in a backup; what cannot be saved is told."""
    return Source(os.fsencode(folder), EVERYTHING, progress=progress).walk()


def _note(old: OldBackup, listing: Listing, i: int) -> None:
    path, mode = join(listing.path, listing.names[i]), listing.stats[i].st_mode
    if stat.S_ISDIR(mode):
        old.folders.add(path)
        return
    old.verdicts[path] = _verdict(listing, i) if stat.S_ISREG(mode) and is_json(path) else None
    if stat.S_ISLNK(mode):
        old.links.add(path)


def _verdict(listing: Listing, i: int) -> Verdict | None:
    try:
        file = listing.open(i)
    except OSError:
        return None  # the backup says so
    try:
        text = Text()
        while piece := file.read(WINDOW):
            text.take(piece)
        return text.verdict() if file.extents is None else Verdict.BROKEN
    except OSError:
        return None
    finally:
        file.close()


def _moment_of(name: str, zone_at: ZoneAt) -> tuple[int, int] | None:
    """Read a name as time in ns and the offset that was shown here then, in minutes."""
    if not _DATED.fullmatch(name):
        return None
    try:
        moment = moments.parse(name, 0, 0)
    except UsageError:
        return None
    time_ns = moment.start_ns
    if moment.wall:
        about = time_ns - zone_at(time_ns) * _MINUTE
        time_ns -= zone_at(about) * _MINUTE
    return time_ns, zone_at(time_ns)
