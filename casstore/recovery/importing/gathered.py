"""One old backup, read as if it were the application of its time.

Its files are listed in the folders where they belong, and read from where they lie, through descriptors from the
backup's folder down. A folder has the attributes of the application's own, else those that it has in the backup: the
script made its folders anew, and restoring one must not open what the application keeps closed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import field, replace
from typing import Any

from casstore.entry import EMPTY, Entry, Root, join
from casstore.progress import Problem, Progress
from casstore.recovery.importing.found import OldBackup
from casstore.recovery.importing.places import parents
from casstore.selection import Chooser, Selection, literal
from casstore.source import Listing, Source, Xattrs
from casstore.values import dataclass

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Gathered(Listing):
    """A folder whose entries lie in several."""

    holders: list[int] = field(default_factory=list)  # the folder in which each entry lies
    torn: frozenset[bytes] = frozenset()  # places

    def folder(self, i: int) -> int:
        return self.holders[i]

    def describe(self, i: int, content: Root = EMPTY, **facts: Any) -> Entry:
        entry = Listing.describe(self, i, content, **facts)
        return entry._replace(torn=True) if entry.path in self.torn else entry

    def xattrs(self, i: int, fd: int | None = None) -> Xattrs:
        return () if stat.S_ISDIR(self.stats[i].st_mode) else Listing.xattrs(self, i, fd)


class GatheredSource(Source):
    """An old backup as a source whose origin is the application's folder."""

    def __init__(self, old: OldBackup, origin: bytes, selection: Selection, *, progress: Progress) -> None:
        super().__init__(origin, covering(selection, old), progress=progress)
        self._old = old
        self._tree: dict[bytes, dict[bytes, bytes | None]] = {b"": {}}  # folder → name → path in the backup
        for path, place in old.places.items():
            folder, _, name = place.rpartition(b"/")
            self._tree.setdefault(folder, {})[name] = None if path in old.folders else path
            if path in old.folders:
                self._tree.setdefault(place, {})
            for above in parents(place):
                into, _, its_name = above.rpartition(b"/")
                self._tree.setdefault(above, {})
                self._tree.setdefault(into, {})[its_name] = None
        self._torn = frozenset(old.places[path] for path in old.torn if path in old.places)

    def walk(self) -> Iterator[Listing]:
        """Yield the folders in manifest order.

        Raises:
            OSError: the backup cannot be read.
        """
        root = os.open(self._old.folder, _FOLDER)
        try:
            waiting = [b""]
            while waiting:
                path = waiting.pop()
                with ExitStack() as opened:
                    yield self._gather(path, root, opened)
                inside = sorted(name for name, lies in self._tree[path].items() if lies is None)
                waiting += [join(path, name) for name in reversed(inside)]
        finally:
            os.close(root)

    def _gather(self, path: bytes, root: int, opened: ExitStack) -> Listing:
        listing = _Gathered(path, root, [], [], self, torn=self._torn)
        folders: dict[bytes, int] = {b"": root}
        for name, lies in sorted(self._tree[path].items()):
            try:
                if lies is None:
                    holder, status = root, self._folder_status(join(path, name), root)
                else:
                    holder = _opened(lies.rpartition(b"/")[0], folders, opened)
                    status = os.stat(name, dir_fd=holder, follow_symlinks=False)
            except OSError as error:
                self.progress(Problem(lies or path, f"cannot be read: {os.strerror(error.errno or 0)}"))
                continue
            listing.names.append(name)
            listing.stats.append(status)
            listing.holders.append(holder)
        return listing

    def _folder_status(self, place: bytes, root: int) -> os.stat_result:
        own = os.fsencode(self._old.folder)
        for above in (self.origin, own):
            try:
                status = os.lstat(join(above, place))
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                return status
        return os.fstat(root)


def covering(selection: Selection, old: OldBackup) -> Selection:
    """Give the application's selection with all that the backup holds, so that a restore finds it selected."""
    chooser = Chooser(selection)
    beside = sorted(literal(place) for place in old.places.values() if not chooser.takes(place))
    return replace(selection, paths=(*selection.paths, *beside)) if beside else selection


def _opened(path: bytes, folders: dict[bytes, int], opened: ExitStack) -> int:
    """Open a folder of the backup, part by part: none of them may be a symlink."""
    if path not in folders:
        above, _, name = path.rpartition(b"/")
        fd = os.open(name, _FOLDER, dir_fd=_opened(above, folders, opened))
        opened.callback(os.close, fd)
        folders[path] = fd
    return folders[path]
