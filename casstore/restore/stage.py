"""Staging: all that will be new, fetched, proven and written to the staging folder; nothing live is touched.

A folder that the live tree does not have is staged with all below it and takes its place by one rename; everything
else is a file (or symlink …) by itself. Steps are put aside as they become known and form the journal later.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import field

from casstore.entry import Entry, Kind
from casstore.errors import CasError, Damaged
from casstore.progress import Advanced, Problem, Progress
from casstore.repository import Repository
from casstore.restore.content import holds
from casstore.restore.given import Given
from casstore.restore.ground import Ground
from casstore.restore.journal import Action, Identity, Step
from casstore.restore.spool import Spool
from casstore.restore.staging import NEW, Staging
from casstore.restore.survey import Found, Survey, Verdict
from casstore.restore.swap import ChangedMeanwhile
from casstore.restore.writing import BATCH_BYTES, Staged, Writing, write_at
from casstore.values import dataclass

_FILE = Kind.FILE  # looked up once, not a path
_NEW, _REPLACED, _BLOCKED = Verdict.NEW, Verdict.REPLACED, Verdict.BLOCKED


class StagingDamaged(CasError):
    """What was written to the target's disk is not what comes back from it."""

    hint = "Nothing live was touched. Look after the disk of the target before anything else."


@dataclass(slots=True)
class Counts:
    """What a restore does or would do: paths, but `files` and `total_bytes` of those that are written."""

    new: int = 0
    replaced: int = 0
    attributes: int = 0
    unchanged: int = 0
    deleted: int = 0
    files: int = 0
    total_bytes: int = 0
    seen_files: int = 0
    labels: set[bytes] = field(default_factory=set)

    def count(self, found: Found) -> None:
        """Count one path that was asked for or is on the way."""
        verdict, entry = found.verdict, found.entry
        is_file = entry.kind is _FILE
        self.seen_files += is_file
        if verdict is _NEW or verdict is _REPLACED:
            self.new += verdict is _NEW
            self.replaced += verdict is _REPLACED
            if is_file:
                self.files += 1
                if not entry.link or entry.link not in self.labels:
                    self.total_bytes += entry.content.length
                if entry.link:
                    self.labels.add(entry.link)
        elif verdict is Verdict.EQUAL:
            self.unchanged += found.asked
        elif verdict is Verdict.ATTRIBUTES:
            self.attributes += found.asked

    def lose(self, verdict: Verdict, entry: Entry) -> None:
        """Take back what was counted: there is no whole copy of it."""
        self.new -= verdict is _NEW
        self.replaced -= verdict is _REPLACED
        self.files -= entry.kind is _FILE


@dataclass(slots=True)
class _Link:
    first: bytes
    path: bytes
    entry: Entry
    number: int
    found: Found


class Stager:
    """Fills a staging folder from a survey. `steps` then holds what the journal will say, encoded one by one."""

    def __init__(
        self,
        repository: Repository,
        target: Ground,
        staging: Staging,
        *,
        read_back: bool,
        total_files: int,
        total_bytes: int,
        given: Given | None = None,
        progress: Progress,
    ) -> None:
        self._repository, self._target, self._staging, self._progress = repository, target, staging, progress
        self._totals, self._given = (total_files, total_bytes), given
        self._prefix = staging.name + b"/" + NEW + b"/"
        self._writing = Writing(repository.chunks, target, self._end, progress)
        self._units: dict[bytes, bytes] = {}  # live path of a staged folder → where it is staged
        self._folders = Spool(staging.scratch())
        self._written = Spool(staging.scratch()) if read_back else None
        self._held: list[tuple[bytes, Entry]] = []  # what was given: its root may be longer than a spool takes
        self._waiting: deque[tuple[Found, int, Staged | Identity]] = deque()
        self._firsts: dict[bytes, tuple[bytes, Entry]] = {}
        self._links: list[_Link] = []
        self._number = 0
        self._bytes = 0
        self.steps = staging.scratch()
        self.step_count = 0
        self.moves = 0  # steps that move something, or dress a path that was asked for
        self.first_linked = 0  # number from which on REPLACE steps are not in manifest order; 0: none
        self.counts = Counts()
        self.blocked: list[tuple[bytes, str]] = []
        self.damaged: list[tuple[bytes, Damaged]] = []

    def close(self) -> None:
        """End the threads and let go what was put aside."""
        with ExitStack() as all_of_it:  # a full disk shows at a close, and the others are to be closed all the same
            for one in (self.steps, self._written, self._folders, self._writing):
                if one is not None:
                    all_of_it.callback(one.close)

    def run(self, survey: Survey) -> None:
        """Stage all that is new; on return it is durable and, if that was asked, read back.

        Raises:
            StagingDamaged: the disk gave back something else.
        """
        for found in survey:
            self.counts.count(found)
            if found.verdict is _BLOCKED:
                self.blocked.append((found.entry.path, found.reason))
            elif found.verdict is _NEW or found.verdict is _REPLACED:
                self._stage(found)
            elif found.before is not None and (found.entry.is_folder or found.verdict is Verdict.ATTRIBUTES):
                after = found.entry if found.asked else None
                self.put_step(Step(Action.ATTRIBUTES, 0, found.entry.path, after=after, before=found.before))
                self.moves += found.verdict is Verdict.ATTRIBUTES and found.asked
        self._writing.wait()
        self._flush_steps()
        self._make_links()
        for path, entry in reversed(self._folders):
            self._target.dress(path, entry)
        self._target.sync()
        if self._written is not None:
            self._read_back(self._written)
        self._read_back(self._held)

    def _end(self, file: Staged) -> None:
        """Note that a file was written, or is damaged."""
        if file.damage is not None:
            self.damaged.append((file.entry.path, file.damage))
            self.counts.lose(file.verdict, file.entry)
            self.counts.total_bytes -= file.entry.content.length
        else:
            self._bytes += file.entry.content.length
            if self._written is not None and file.entry.content.length and self._given is None:
                self._written.append(file.path, file.entry)
        if self._waiting:
            self._flush_steps()
        self._progress(Advanced(self.counts.seen_files, self._bytes, *self._totals))

    def _stage(self, found: Found) -> None:
        entry = found.entry
        number = 0
        if not found.fresh:
            number = self.next_number()
        path = self._place(entry.path) if found.fresh else self._prefix + b"%d" % number
        if found.linked and not self.first_linked and found.verdict is _REPLACED:
            self.first_linked = number
        if entry.link and entry.kind is not Kind.FOLDER:
            first = self._firsts.get(entry.link)
            if first is not None and _is_same_file(first[1], entry):
                self._links.append(_Link(first[0], path, entry, number, found))
                return
            self._firsts.setdefault(entry.link, (path, entry))
        if entry.kind is _FILE:
            file = Staged(path, entry, number, found.verdict)
            if number:
                self._waiting.append((found, number, file))
            if self._given is None:
                self._writing.take(file)
            else:
                self._write_given(file, self._given, found)
        elif entry.is_folder:
            self._stage_folder(found, path, number)
        elif self._target.make_other(entry, path):
            self._target.dress(path, entry)
            self._put_unit(found, number, path)
        elif self._firsts.get(entry.link, (b"",))[0] == path:
            del self._firsts[entry.link]  # nothing was made that its other names could be linked to

    def _write_given(self, file: Staged, given: Given, found: Found) -> None:
        if not given.seen.holds(found.status):
            raise ChangedMeanwhile(file.entry.path)
        fd = self._target.make_file(file.path)
        try:
            write_at(fd, memoryview(given.data), 0)
            self._target.dress_open(fd, file.entry)
            file.identity = Identity.of(os.fstat(fd))
        finally:
            os.close(fd)
        self._end(file)
        self._held.append((file.path, file.entry))

    def _stage_folder(self, found: Found, path: bytes, number: int) -> None:
        entry = found.entry
        self._target.make_folder(path)
        # A folder that forbids writing to its owner could not be moved to its place: so it gets that mode there.
        open_mode = entry.mode | 0o700 if number else entry.mode
        self._folders.append(path, entry._replace(mode=open_mode))
        if number:
            self._units[entry.path] = path
            self._put_unit(found, number, path)
            if open_mode != entry.mode:
                self.put_step(Step(Action.ATTRIBUTES, 0, entry.path, after=entry))

    def _place(self, path: bytes) -> bytes:
        """Give where a path below a new folder is staged."""
        folder = path
        while folder:
            folder = folder.rpartition(b"/")[0]
            staged = self._units.get(folder)
            if staged is not None:
                return staged + path[len(folder) :]
        raise AssertionError("a new path has a new folder above it")

    # ── steps ──

    def next_number(self) -> int:
        """Give the next step its number; 1 is the first."""
        self._number += 1
        return self._number

    def put_step(self, step: Step) -> None:
        """Put a step aside."""
        self.steps.write(step.encode())
        self.step_count += 1

    def _put_unit(self, found: Found, number: int, path: bytes) -> None:
        """Note what was staged at once; its step waits for those of the files before it."""
        if number:
            at, name = self._target.place(path)
            self._waiting.append((found, number, Identity.of(os.stat(name, dir_fd=at, follow_symlinks=False))))
            self._flush_steps()

    def _flush_steps(self) -> None:
        """Put steps aside in the order of the manifest, as far as files are written."""
        while self._waiting:
            found, number, what = self._waiting[0]
            new = what.identity if isinstance(what, Staged) else what
            if new is None and isinstance(what, Staged) and what.damage is None:
                return
            self._waiting.popleft()
            if new is None:
                continue
            self.moves += 1
            if found.status is None:
                self.put_step(Step(Action.PLACE, number, found.entry.path, new))
            else:
                self.put_step(Step(Action.REPLACE, number, found.entry.path, new, Identity.of(found.status)))

    # ── at the end ──

    def _make_links(self) -> None:
        lost = {path for path, _ in self.damaged}
        for link in self._links:
            if self._firsts[link.entry.link][1].path in lost:
                self.damaged.append((link.entry.path, Damaged("its bytes, which it shares with others, are damaged")))
                self.counts.lose(link.found.verdict, link.entry)
                continue
            try:
                self._target.link(link.first, link.path)
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                    raise
                self._copy(link)
                self._progress(Problem(link.entry.path, "was a hard link and is a file by itself here"))
            self._put_unit(link.found, link.number, link.path)

    def _copy(self, link: _Link) -> None:
        entry = link.entry
        if entry.kind is not Kind.FILE:
            if self._target.make_other(entry, link.path):
                self._target.dress(link.path, entry)
            return
        source, copy = self._target.open_file(link.first), self._target.make_file(link.path)
        try:
            for start, length in ((0, entry.size),) if entry.extents is None else entry.extents:
                at, end = start, start + length
                while at < end:
                    at += write_at(copy, memoryview(os.pread(source, min(BATCH_BYTES, end - at), at)), at)
            os.ftruncate(copy, entry.size)
            self._target.dress_open(copy, entry)
        finally:
            os.close(source)
            os.close(copy)

    def _read_back(self, written: Iterable[tuple[bytes, Entry]]) -> None:
        for path, entry in written:
            fd = self._target.open_file(path)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
                if not holds(self._repository, fd, entry):
                    raise StagingDamaged(f"{os.fsdecode(entry.path)} reads back otherwise than it was written")
            finally:
                os.close(fd)


def _is_same_file(first: Entry, other: Entry) -> bool:
    return (first.kind, first.content, first.size, first.extents, first.target, first.device) == (
        other.kind, other.content, other.size, other.extents, other.target, other.device,
    )  # fmt: skip
