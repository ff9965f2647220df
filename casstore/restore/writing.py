"""Files written below the staging folder: small ones in batches by two threads, large ones as their bytes come.

A thread has a `Target` of its own, since the folders that one keeps open are not for two; what a thread has to tell is
carried over to the thread of the verb.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from dataclasses import dataclass, field

from casstore.entry import Entry
from casstore.errors import Damaged, FormatDamaged
from casstore.progress import Event, Progress
from casstore.restore.ground import Ground
from casstore.restore.journal import Identity
from casstore.workers import Job, Workers

BATCH_FILES = 128
BATCH_BYTES = 2 << 20
SMALL = 1 << 20  # a file with more bytes is written as they come
UNDER_WAY = 4  # batches
BEHIND = 8 << 20  # bytes after which the disk is set to work, so that the sync at the end has little left
_WRITE_BEHIND = 2  # SYNC_FILE_RANGE_WRITE

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Staged:
    """A file on its way. `identity` is known once it is written; `damage` says why it will not be."""

    path: bytes  # where it is written, from the target's root
    entry: Entry
    number: int  # of its step; 0: it comes along with a new folder
    identity: Identity | None = None
    damage: Damaged | None = None
    pieces: list[bytes] = field(default_factory=list)
    waiting: int = 0  # bytes in `pieces`
    got: int = 0
    fd: int = -1

    def finish(self) -> None:
        """Compare what came with what was announced."""
        if self.damage is None and self.got != self.entry.content.length:
            self.damage = FormatDamaged(f"{self.got} bytes came instead of {self.entry.content.length}")


class Writing:
    """Writes staged files below a target."""

    def __init__(self, target: Ground, progress: Progress) -> None:
        self._target, self._progress = target, progress
        self._workers = Workers(2)
        self._batch: list[Staged] = []
        self._batch_bytes = 0
        self._jobs: deque[Job[_Hand]] = deque()
        self._hands: list[_Hand] = []
        self._free: list[_Hand] = []

    def take(self, file: Staged, data: bytes) -> None:
        """Take the next bytes of a file."""
        file.got += len(data)
        file.pieces.append(data)
        file.waiting += len(data)
        if file.waiting > SMALL:
            self._write_part(file)

    def done(self, file: Staged) -> None:
        """All bytes of a file came, or it is damaged."""
        file.finish()
        if file.damage is not None:
            self._discard(file)
        elif file.fd >= 0:
            self._write_part(file)
            _close(self._target, file)
        else:
            self._batch.append(file)
            self._batch_bytes += file.waiting
            if len(self._batch) >= BATCH_FILES or self._batch_bytes >= BATCH_BYTES:
                self._hand_in()

    def wait(self) -> None:
        """Wait until all is written."""
        self._hand_in()
        while self._jobs:
            self._harvest()

    def close(self) -> None:
        """End the threads."""
        self._workers.close()
        for hand in self._hands:
            hand.target.close()

    def _write_part(self, file: Staged) -> None:
        if file.fd < 0:
            file.fd = self._target.make_file(file.path)
        before = file.got - file.waiting
        _write(file.fd, file.entry, file.pieces, before)
        file.pieces.clear()
        file.waiting = 0
        if before // BEHIND != file.got // BEHIND:
            _libc.sync_file_range(file.fd, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE_BEHIND)

    def _discard(self, file: Staged) -> None:
        file.pieces.clear()
        if file.fd >= 0:
            os.close(file.fd)
            file.fd = -1
            at, name = self._target.place(file.path)
            os.unlink(name, dir_fd=at)

    def _hand_in(self) -> None:
        if not self._batch:
            return
        if len(self._jobs) >= UNDER_WAY:
            self._harvest()
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        hand = self._free.pop() if self._free else self._new_hand()
        self._jobs.append(self._workers.submit(lambda: hand.write(batch)))

    def _new_hand(self) -> _Hand:
        events: list[Event] = []
        # The root by its descriptor: its path may lead elsewhere by now.
        root = b"/proc/self/fd/%d" % self._target.fd
        hand = _Hand(Ground(root, strangers=self._target.strangers, progress=events.append), events)
        self._hands.append(hand)
        return hand

    def _harvest(self) -> None:
        hand = self._jobs.popleft().result()
        for event in hand.events:
            self._progress(event)
        hand.events.clear()
        self._free.append(hand)


@dataclass(slots=True)
class _Hand:
    """What a thread works with, one batch at a time."""

    target: Ground
    events: list[Event]

    def write(self, batch: list[Staged]) -> _Hand:
        """Write a batch of whole files. Runs in a worker."""
        for file in batch:
            file.fd = self.target.make_file(file.path)
            try:
                _write(file.fd, file.entry, file.pieces, 0)
            except BaseException:
                os.close(file.fd)
                raise
            file.pieces.clear()
            _close(self.target, file)
        return self


def _close(target: Ground, file: Staged) -> None:
    try:
        if file.entry.extents is not None:
            os.ftruncate(file.fd, file.entry.size)
        target.dress_open(file.fd, file.entry)
        if file.number:
            file.identity = Identity.of(os.fstat(file.fd))
    finally:
        os.close(file.fd)
        file.fd = -1


def _write(fd: int, entry: Entry, pieces: list[bytes], start: int) -> None:
    """Write pieces of the content that begins at `start` of it: at the same place, or spread over the extents."""
    if entry.extents is None:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        write_at(fd, memoryview(data), start)
        return
    data = b"".join(pieces)
    end = start + len(data)
    at = 0  # in the content
    for offset, length in entry.extents:
        low, high = max(at, start), min(at + length, end)
        if low < high:
            write_at(fd, memoryview(data)[low - start : high - start], offset + low - at)
        at += length


def write_at(fd: int, data: memoryview, offset: int) -> int:
    """Write all of it at `offset`; gives how many bytes that were."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
    return done
