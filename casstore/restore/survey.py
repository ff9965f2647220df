"""What a restore would do: the snapshot's entries beside the live tree, in manifest order, a folder at a time.

Nothing is kept but the folders still to come and the files with several names, which are judged last: a group of hard
links is left alone only if it is the same group, of the same bytes and attributes, on both sides; else all of it is
written anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from enum import Enum

from casstore.entry import Entry, Kind, check_name, join
from casstore.errors import Damaged, FormatDamaged
from casstore.repository import Repository
from casstore.restore.attributes import KINDS, alike, describe
from casstore.restore.content import holds
from casstore.restore.ground import Ground
from casstore.selection import Chooser, Selection, literal
from casstore.source import STAGING, is_staging
from casstore.values import dataclass


class Verdict(Enum):
    """What happens to a path."""

    EQUAL = "equal"
    ATTRIBUTES = "attributes"  # the bytes stay; mode, owner or times change
    NEW = "new"
    REPLACED = "replaced"
    BLOCKED = "blocked"  # it cannot be brought back here; `Found.reason` says why


_FILE, _FOLDER, _NEW = Kind.FILE, Kind.FOLDER, Verdict.NEW  # looked up once, not an entry


@dataclass(slots=True)
class Found:
    """An entry and what stands in its place. `fresh`: its folder is itself new, so nothing can stand there."""

    entry: Entry
    verdict: Verdict
    status: os.stat_result | None = None
    before: Entry | None = None  # the live side, where it may be dressed
    fresh: bool = False
    asked: bool = True  # False: only on the way to what was asked for
    linked: bool = False  # one of a group of names
    reason: str = ""


@dataclass(slots=True)
class _Folder:
    whole: bool
    fresh: bool
    away: bool  # on another file system than the target, where nothing can be renamed to
    found: Found | None  # not yet told: told when something below it is asked for
    above: _Folder | None = None


@dataclass(slots=True)
class _Group:
    members: int = 0  # in the snapshot, as far as asked for
    found: list[Found] = field(default_factory=list)


def scope(paths: Sequence[bytes]) -> Chooser:
    """Give what decides which paths are asked for: a path, a folder with all below it, or a glob; () is all."""
    patterns = [form for path in paths for form in dict.fromkeys((path, literal(path)))]
    return Chooser(Selection(paths=tuple(patterns) if paths else (b"",)))


def checked(blocks: Iterator[tuple[bytes, list[Entry]]]) -> Iterator[tuple[bytes, list[Entry]]]:
    """Pass blocks on if they are a tree: folders announced before, entries directly in them by name, none leads out.

    The decoder refuses such manifests already; what writes does not rely on that.

    Raises:
        FormatDamaged: they are none.
    """
    announced = {b""}
    for folder, entries in blocks:
        if folder not in announced:
            raise FormatDamaged("a manifest has entries below what is no folder")
        announced.discard(folder)
        before = join(folder, b"")
        length = len(before)
        last = b""
        for entry in entries:
            path = entry.path
            name = check_name(path[length:])
            if not path.startswith(before) or name <= last:
                raise FormatDamaged("a manifest has an entry outside its folder")
            last = name
            if entry.kind is _FOLDER:
                announced.add(path)
        yield folder, entries


class Survey:
    """Goes through a snapshot once; `unmatched` then tells which paths were asked for in vain."""

    def __init__(
        self,
        repository: Repository,
        blocks: Iterator[tuple[bytes, list[Entry]]],
        target: Ground | None,
        paths: Sequence[bytes] = (),
        *,
        delete: bool = False,
        damaged: Callable[[Damaged], None] | None = None,
    ) -> None:
        self._repository, self._blocks, self._delete, self._damaged = repository, blocks, delete, damaged
        self._maybe_target = target  # None: not even its folder is there
        self._chooser = scope(paths)
        self._paths = tuple(paths)
        self._device = os.fstat(target.fd).st_dev if target is not None else 0
        self._groups: dict[bytes, _Group] = {}
        self._folders: dict[bytes, _Folder] = {b"": _Folder(self._chooser.everything, target is None, False, None)}

    def __iter__(self) -> Iterator[Found]:
        """Yield a verdict for each path that is asked for, folders before what is in them, links last.

        Raises:
            Damaged: the manifest cannot be read to its end, and nobody wanted to be told so instead.
        """
        try:
            for path, entries in checked(self._blocks):
                folder = self._folders.pop(path, None)
                if folder is None:
                    continue
                plain = folder.fresh and folder.whole and folder.found is None
                for entry in entries:
                    # Where nothing can stand and all is asked for, nothing needs to be looked at: most of a large tree.
                    if plain and entry.kind is _FILE and not entry.link and STAGING not in entry.path:
                        yield Found(entry, _NEW, None, None, True)
                    else:
                        yield from self._judge(folder, entry)
        except Damaged as error:
            if self._damaged is None:
                raise
            self._damaged(error)
        yield from self._judge_links()

    @property
    def _target(self) -> Ground:
        assert self._maybe_target is not None  # where it is, all is fresh
        return self._maybe_target

    def unmatched(self) -> list[bytes]:
        """Give the paths that nothing answered to."""
        left = set(self._chooser.unmatched())
        return [path for path in self._paths if path.strip(b"/") in left and literal(path).strip(b"/") in left]

    def _judge(self, folder: _Folder, entry: Entry) -> Iterator[Found]:
        choice = Chooser.TAKE if folder.whole else self._chooser.choose(entry.path)
        if choice == Chooser.LEAVE or (choice == Chooser.THROUGH and not entry.is_folder):
            return
        found = self._compare(folder, entry)
        if is_staging(entry.name):
            found = Found(entry, Verdict.BLOCKED, reason="has the name of a folder that only a restore makes")
        elif found.verdict in (Verdict.NEW, Verdict.REPLACED) and self._is_away(folder, found):
            found = Found(
                entry, Verdict.BLOCKED, reason="is on another file system: restore it with a target of its own"
            )
        found.asked = choice == Chooser.TAKE
        if entry.is_folder:
            fresh = folder.fresh or found.verdict in (Verdict.NEW, Verdict.REPLACED)
            if found.verdict is not Verdict.BLOCKED:
                away = not fresh and found.status is not None and found.status.st_dev != self._device
                self._folders[entry.path] = _Folder(found.asked, fresh, away, None if found.asked else found, folder)
        if not found.asked:
            return
        yield from self._lead(folder)
        if found.linked:
            group = self._groups.setdefault(entry.link or entry.path, _Group())
            group.members += 1
            if found.verdict is not Verdict.NEW:
                group.found.append(found)
                return
        yield found

    def _is_away(self, folder: _Folder, found: Found) -> bool:
        is_mount = found.status is not None and found.status.st_dev != self._device
        return not folder.fresh and (folder.away or is_mount)

    def _lead(self, folder: _Folder) -> Iterator[Found]:
        """Yield the folders on the way that were not told yet."""
        chain = []
        at: _Folder | None = folder
        while at is not None and at.found is not None:
            chain.append(at.found)
            at.found = None
            at = at.above
        yield from reversed(chain)

    def _compare(self, folder: _Folder, entry: Entry) -> Found:
        linked = bool(entry.link) and not entry.is_folder and not folder.away
        if folder.fresh:
            return Found(entry, Verdict.NEW, fresh=True, linked=linked)
        at, name = self._target.place(entry.path)
        try:
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return Found(entry, Verdict.NEW, linked=linked)
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is not entry.kind:
            if kind is Kind.FOLDER and not self._delete and self._is_full(entry.path):
                return Found(
                    entry, Verdict.BLOCKED, status, reason="is a folder now, with files in it (--delete removes them)"
                )
            return Found(entry, Verdict.REPLACED, status, linked=linked)
        before = describe(self._target, entry.path, status)
        linked = linked or (status.st_nlink > 1 and not entry.is_folder and not folder.away)
        if not linked and not self._is_same(entry, before):
            return Found(entry, Verdict.REPLACED, status, before)
        verdict = Verdict.EQUAL if alike(entry, before) else Verdict.ATTRIBUTES
        return Found(entry, verdict, status, before, linked=linked)

    def _is_full(self, path: bytes) -> bool:
        with os.scandir(self._target.folder(path)) as entries:
            return next(entries, None) is not None

    def _is_same(self, entry: Entry, live: Entry) -> bool:
        """Whether the live thing, of the same kind, need not be written anew."""
        if entry.kind is not Kind.FILE:
            return (entry.target, entry.device) == (live.target, live.device)
        if entry.size != live.size:
            return False
        try:
            fd = self._target.open_file(entry.path)
        except OSError:
            return False  # unreadable: replaced, if the rights allow that
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode) and holds(self._repository, fd, entry)
        finally:
            os.close(fd)

    def _judge_links(self) -> Iterator[Found]:
        alive: dict[tuple[int, int], int] = {}
        for group in self._groups.values():
            for found in group.found:
                if found.status is not None:
                    key = (found.status.st_dev, found.status.st_ino)
                    alive[key] = alive.get(key, 0) + 1
        for group in self._groups.values():
            same = self._is_same_group(group, alive)
            for found in group.found:
                found.verdict = Verdict.EQUAL if same else Verdict.REPLACED
                yield found
        self._groups.clear()

    def _is_same_group(self, group: _Group, alive: dict[tuple[int, int], int]) -> bool:
        if len(group.found) != group.members or any(found.verdict is not Verdict.EQUAL for found in group.found):
            return False
        inodes = {(found.status.st_dev, found.status.st_ino) for found in group.found if found.status is not None}
        first = group.found[0]
        if len(inodes) != 1 or alive[inodes.pop()] != group.members or first.before is None:
            return False
        return all(found.entry.content == first.entry.content for found in group.found) and self._is_same(
            first.entry, first.before
        )
