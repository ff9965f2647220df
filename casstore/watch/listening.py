"""Changes in a tree that is walked again and again: which folders are listened to, and which changes matter.

Folders are listened to as they were walked. Where a walk meets one that was not, or that is another one by now, what
changed before may have gone unheard, and the caller must walk again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from enum import Enum, auto

from casstore.progress import Notice, Progress
from casstore.selection import Chooser, Rules, Selection
from casstore.source import CACHE_TAG, IGNORE_FILE, Listing, Source, is_left_out
from casstore.values import dataclass
from casstore.watch.changes import Changes

FileId = tuple[int, int]  # st_dev, st_ino


class Noticed(Enum):
    """What came of listening."""

    NOTHING = auto()
    CHANGE = auto()  # of something that a snapshot would hold
    BREAK = auto()  # nothing is followed any more: changes were lost, or another folder stands in the origin's place


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was walked: which one it was, and what is left out in it."""

    id: FileId
    rules: Collection[tuple[bytes, Rules]]
    whole: bool


class Listener:
    """Listens in the folders of `origin`; `unheard`: files whose changes do not matter. A notice is told once."""

    def __init__(
        self, changes: Changes, origin: bytes, selection: Selection, unheard: Collection[FileId], progress: Progress
    ) -> None:
        self._changes, self._origin, self._progress = changes, origin, progress
        self._chooser, self._unheard = Chooser(selection), frozenset(unheard)
        self._followed: dict[bytes, Folder] = {}  # what is listened to; nothing, where that is impossible
        self._told: set[Notice] = set()
        self.own: frozenset[FileId] = frozenset()  # folders that the repository writes to

    @property
    def count(self) -> int:
        """How many folders are listened to."""
        return len(self._followed)

    def close(self) -> None:
        """Listen no more."""
        self._changes.close()

    def listen(self, seconds: float, stop: Callable[[], bool]) -> Noticed:
        """Wait for a change, at most so long, or until `stop`."""
        paths = self._changes.wait(seconds, stop)
        known = self._followed.get(b"")
        if paths is None or (known is not None and known.id != id_of(self._origin)):
            self._followed = {}
            return Noticed.BREAK
        return Noticed.CHANGE if any(map(self._matters, paths)) else Noticed.NOTHING

    def forget(self) -> Noticed:
        """Forget what was heard until now."""
        if self._followed and self._changes.wait(0, lambda: True) is None:
            self._followed = {}
            return Noticed.BREAK
        return Noticed.NOTHING

    def follow(self, folders: dict[bytes, Folder]) -> bool:
        """Listen to the folders that were walked, if there is one among them that is not listened to yet.

        Gives True if what changed before may have gone unheard.
        """
        known = self._followed
        if all(path in known and known[path].id == folder.id for path, folder in folders.items()):
            self._followed = folders
            return False
        top = self._origin.rstrip(b"/")
        heard = {
            top + b"/" + path if path else self._origin: path
            for path, folder in folders.items()
            if folder.id not in self.own
        }
        try:
            unheard = self._changes.follow(heard)
        except OSError as error:
            self._changes.close()
            self._followed = {}
            if not isinstance(error, FileNotFoundError):  # else one of them is gone again, and the next walk knows
                self._tell_deaf(
                    b"", f"changes cannot be listened to, so they are looked for instead: {error.strerror or error}"
                )
            return True
        for path in unheard:
            self._tell_deaf(heard[path], "its name is no UTF-8, so changes in it alone call for no snapshot")
        self._followed = folders
        return True

    def _matters(self, path: bytes) -> bool:
        """Whether a snapshot could differ for what changed there."""
        inside = path[len(self._origin.rstrip(b"/")) + 1 :]
        parent, _, name = inside.rpartition(b"/")
        folder = self._followed.get(parent)
        if folder is None or not inside or name in (IGNORE_FILE, CACHE_TAG):
            return True
        try:
            status = os.lstat(path)
        except OSError:
            is_folder = False  # gone; a rule for folders alone says nothing of it then
        else:
            if (status.st_dev, status.st_ino) in self._unheard | self.own:
                return False
            is_folder = stat.S_ISDIR(status.st_mode)
        if not folder.whole:
            verdict = self._chooser.choose(inside)
            if verdict == Chooser.LEAVE:
                return False
        return not is_left_out(inside, tuple(folder.rules), is_folder=is_folder)

    def _tell_deaf(self, path: bytes, reason: str) -> None:
        notice = Notice(path, reason)
        if notice not in self._told:
            self._told.add(notice)
            self._progress(notice)


class Walked(Source):
    """A source that remembers which folders it walked."""

    folders: dict[bytes, Folder]

    def walk(self) -> Iterator[Listing]:
        """Walk as ever."""
        self.folders = {}
        for listing in super().walk():
            if listing.fd >= 0:
                status = os.fstat(listing.fd)
                self.folders[listing.path] = Folder((status.st_dev, status.st_ino), listing.rules, listing.whole)
            yield listing


def id_of(path: bytes) -> FileId | None:
    """Give device and inode of what stands there, if anything does."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
