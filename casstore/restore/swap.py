"""The swap: the steps of a journal, forward or back, from wherever an interruption left them.

Where things lie tells what was done (journal.py), so each step looks before it moves. The first run is *strict*: what
is not as the plan found it raises `ChangedMeanwhile`, and the caller goes back. After an interruption somebody may have
written to the live tree; such things are put into `foreign/`, never deleted, and reported.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import IO, Protocol

from casstore.entry import Entry
from casstore.errors import CasError
from casstore.progress import Notice, Problem, Progress
from casstore.restore import moves
from casstore.restore.journal import Action, Identity, Step, read_steps
from casstore.restore.moves import Place, status

_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ChangedMeanwhile(CasError):
    """A live file is not what it was when the restore was planned; nothing was changed."""

    hint = "Something writes there: stop it and restore again."

    def __init__(self, path: bytes) -> None:
        super().__init__(f"{os.fsdecode(path)} changed while the restore was prepared; everything is as it was")
        self.path = path


class Tree(Protocol):
    """The live tree, below one handle and through no symlink."""

    def folder(self, path: bytes) -> int:
        """Give an open folder, valid until the next call."""

    def forget(self) -> None:
        """Close kept folders: their paths may lead elsewhere now."""

    def dress(self, path: bytes, entry: Entry) -> None:
        """Set mode, owner, times and extended attributes of what is there already."""


class Swap:
    """Runs the steps. `new`, `old` and `foreign` are the open folders of the staging folder."""

    def __init__(
        self, tree: Tree, file: IO[bytes], new: int, old: int, foreign: int, *, strict: bool, progress: Progress
    ) -> None:
        self._tree, self._file, self._strict, self._progress = tree, file, strict, progress
        self._new, self._old, self._foreign = new, old, foreign
        self._begun_ns = os.fstat(file.fileno()).st_ctime_ns  # all that is staged is older

    # ── forward ──

    def forward(self) -> None:
        """Bring the live tree to the new state.

        Raises:
            ChangedMeanwhile: strict, and something is not as planned; go `back`.
        """
        folders = []
        for step in read_steps(self._file, Action.DELETE):
            if step.old is not None and stat.S_ISDIR(step.old.kind):
                folders.append(step)
            else:
                self._try(self._delete, step, None)
        for step in reversed(folders):
            self._try(self._delete, step, None)
        self._tree.forget()
        for step in read_steps(self._file, Action.PLACE, Action.REPLACE):
            self._try(self._place if step.action is Action.PLACE else self._replace, step, step.new)
        self._tree.forget()
        for step in read_steps(self._file, Action.ATTRIBUTES):
            if step.after is not None:
                self._dress(step.path, step.after)

    def _delete(self, step: Step) -> None:
        aside = self._aside(step)
        if status(aside) is not None:
            return
        live = self._live(step.path)
        found = status(live)
        if not self._is_as_planned(step.old, found):
            if self._strict:
                raise ChangedMeanwhile(step.path)
            if found is not None:
                self._report(step.path, "was written to since the interruption, and was left")
            return
        assert found is not None
        if not stat.S_ISDIR(found.st_mode):
            moves.move(live, aside)
        elif self._is_empty(live):
            moves.move(live, aside)
            if not self._is_empty(aside):  # something came in the last moment
                moves.move(aside, live)
        else:
            self._progress(Notice(step.path, "stays, since it holds what the snapshot before the restore does not"))

    def _place(self, step: Step) -> None:
        staged, live = self._staged(step), self._live(step.path)
        if status(staged) is None:
            return
        try:
            moves.move(staged, live)
        except FileExistsError:
            if self._strict:
                raise ChangedMeanwhile(step.path) from None
            self._put_aside(step.path, live, step)
            moves.move(staged, live)

    def _replace(self, step: Step) -> None:
        staged, live = self._staged(step), self._live(step.path)
        found, ready = status(live), status(staged)
        aside = self._where_old_lies(step, found) is not None
        if ready is None or (aside and (found is not None or step.new is None or not step.new.is_at(ready))):
            return
        if found is None:
            if self._strict and not aside:
                raise ChangedMeanwhile(step.path)
            moves.move(staged, live)
            return
        full = stat.S_ISDIR(found.st_mode) and not self._is_empty(live)
        planned = self._is_as_planned(step.old, found) and not full
        if self._strict and not planned:
            raise ChangedMeanwhile(step.path)
        out = moves.swap(staged, live, self._aside(step))
        if not planned:
            self._put_aside(step.path, out, step)

    # ── back ──

    def back(self) -> None:
        """Bring the live tree to the state before, and remove only what this restore put there."""
        for step in read_steps(self._file, Action.ATTRIBUTES):
            self._unlock(step)
        for step in read_steps(self._file, Action.PLACE, Action.REPLACE):
            self._try(self._take_back if step.action is Action.PLACE else self._exchange_back, step, step.old)
        self._tree.forget()
        for folders in (True, False):  # they stand in the journal from the top down
            for step in read_steps(self._file, Action.DELETE):
                if (step.old is not None and stat.S_ISDIR(step.old.kind)) is folders:
                    self._try(self._bring_back, step, step.old)
        for step in read_steps(self._file, Action.ATTRIBUTES):
            if step.before is not None:
                self._dress(step.path, step.before)

    def _unlock(self, step: Step) -> None:
        """Let a folder be written to and moved: its new mode may forbid that to all but root."""
        entry, found = step.before or step.after, self._status(step.path)
        if entry is not None and entry.is_folder and found is not None and stat.S_ISDIR(found.st_mode):
            self._dress(step.path, entry._replace(mode=entry.mode | 0o700))

    def _take_back(self, step: Step) -> None:
        staged, live = self._staged(step), self._live(step.path)
        if status(staged) is not None:
            return
        found = status(live)
        if found is None:
            return
        assert step.new is not None
        if not step.new.is_kept(found):
            self._report(step.path, "was written since the restore was interrupted, and was left")
            return
        moves.move(live, staged)
        self._keep_foreign(step, staged)

    def _exchange_back(self, step: Step) -> None:
        live = self._live(step.path)
        found = status(live)
        kept = self._where_old_lies(step, found)
        if kept is None:
            return
        if found is None:
            moves.move(kept, live)
            return
        out = moves.swap(kept, live, (self._old, b"%d-back" % step.number))
        self._keep_foreign(step, out)

    def _bring_back(self, step: Step) -> None:
        aside, live = self._aside(step), self._live(step.path)
        kept = status(aside)
        if kept is None:
            return
        found = status(live)
        if found is None:
            moves.move(aside, live)
        elif not (stat.S_ISDIR(kept.st_mode) and stat.S_ISDIR(found.st_mode)):
            out = moves.swap(aside, live, (self._old, b"%d-back" % step.number))
            self._put_aside(step.path, out, step)

    # ── where somebody took a folder away ──

    def _try(self, move: Callable[[Step], None], step: Step, wanted: Identity | None) -> None:
        """Make a move. After an interruption its folder may be gone; then what was `wanted` there is put aside."""
        try:
            move(step)
        except OSError as error:
            if self._strict or error.errno not in _NO_FOLDER or self._has_folder(step.path):
                raise OSError(error.errno, error.strerror, step.path) from error  # moves know the last part only
            name = b"%d" % step.number
            for at in (self._new, self._old):
                if wanted is not None and wanted.is_at(status((at, name))):
                    self._put_aside(step.path, (at, name), step, "has lost its folder since the interruption")

    def _has_folder(self, path: bytes) -> bool:
        try:
            self._live(path)
        except OSError:
            return False
        return True

    # ── what stands where ──

    def _live(self, path: bytes) -> Place:
        folder, _, name = path.rpartition(b"/")
        return self._tree.folder(folder), name

    def _status(self, path: bytes) -> os.stat_result | None:
        try:
            return status(self._live(path))
        except OSError:  # not even its folder is there (yet)
            return None

    def _staged(self, step: Step) -> Place:
        return self._new, b"%d" % step.number

    def _aside(self, step: Step) -> Place:
        return self._old, b"%d" % step.number

    def _where_old_lies(self, step: Step, live: os.stat_result | None) -> Place | None:
        """Give where a replaced thing was put; None if it was not replaced (yet, or any more)."""
        assert step.old is not None
        if step.old.is_at(live):
            return None
        name = b"%d" % step.number
        return next(
            ((at, name) for at in (self._new, self._old, self._foreign) if step.old.is_at(status((at, name)))), None
        )

    def _is_as_planned(self, old: Identity | None, found: os.stat_result | None) -> bool:
        if old is None:
            return found is None
        # An interrupted way over a second link has bent the ctime; then size and mtime must do.
        return old.holds(found) if self._strict else old.is_kept(found)

    def _is_empty(self, place: Place) -> bool:
        fd = os.open(place[1], _FOLDER, dir_fd=place[0])
        try:
            with os.scandir(fd) as entries:
                return next(entries, None) is None
        finally:
            os.close(fd)

    def _keep_foreign(self, step: Step, place: Place) -> None:
        """Save what came out of the live tree from being removed, unless it is only what the restore had put there."""
        found = status(place)
        assert step.new is not None
        if found is None or (step.new.is_kept(found) and not self._is_written_below(place, found)):
            return
        self._put_aside(step.path, place, step)

    def _is_written_below(self, place: Place, found: os.stat_result) -> bool:
        if not stat.S_ISDIR(found.st_mode):
            return False
        # A rename bends the ctime of all names of a file, and some of those may be steps of their own.
        return _any_below(
            place, lambda s: s.st_ctime_ns > self._begun_ns and (s.st_nlink == 1 or stat.S_ISDIR(s.st_mode))
        )

    def _put_aside(
        self, path: bytes, place: Place, step: Step, why: str = "was written since the interruption"
    ) -> None:
        if place[0] != self._foreign:
            number = 0
            target = b"%d" % step.number
            while status((self._foreign, target)) is not None:
                number += 1
                target = b"%d-%d" % (step.number, number)
            moves.move(place, (self._foreign, target))
            place = (self._foreign, target)
        self._report(path, f"{why}; it is kept as foreign/{os.fsdecode(place[1])}")

    def _report(self, path: bytes, reason: str) -> None:
        self._progress(Problem(path, reason))

    def _dress(self, path: bytes, entry: Entry) -> None:
        try:
            self._tree.dress(path, entry)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            if self._strict:
                raise ChangedMeanwhile(path) from None
            self._report(path, "vanished since the interruption")


def _any_below(place: Place, judge: Callable[[os.stat_result], bool]) -> bool:
    """Whether the judge is true of anything below a folder; one descriptor, however deep the tree."""
    at = os.open(place[1], _FOLDER, dir_fd=place[0])
    waiting: list[list[str]] = []
    try:
        while True:
            inside: list[str] = []
            with os.scandir(at) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if judge(found):
                        return True
                    if stat.S_ISDIR(found.st_mode):
                        inside.append(entry.name)
            waiting.append(inside)
            while not waiting[-1]:
                waiting.pop()
                if not waiting:
                    return False
                at = _stepped(at, "..")
            at = _stepped(at, waiting[-1].pop())
    finally:
        os.close(at)


def _stepped(at: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=at)
    os.close(at)
    return there
