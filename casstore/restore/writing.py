"""Files written below the staging folder, by two threads that also open, decompress and prove what they write.

The hot loops of a restore are `_Hand.write_small` and `_Hand.write_part`: a batch is many small files, or a part of a
large one. The thread of the verb only looks up where the chunks lie; no byte of content passes through it. A thread has
a `Target` of its own, since the folders that one keeps open are not for two; what a thread has to tell is carried over
to the thread of the verb.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable
from itertools import islice

from casstore.chunkstore import Reader
from casstore.chunkstore.reading import Loaded, LookedUp
from casstore.entry import Entry
from casstore.errors import Damaged, FormatDamaged
from casstore.ids import ChunkId
from casstore.progress import Event, Progress
from casstore.restore.ground import Ground
from casstore.restore.journal import Identity
from casstore.restore.survey import Verdict
from casstore.values import dataclass
from casstore.workers import Job, Workers

BATCH_FILES = 1024
BATCH_BYTES = 2 << 20
SMALL = 1 << 20  # a file with more bytes is written part by part
LOOKED_UP = 240  # chunks whose places are asked for at once
PART_CHUNKS = 48  # 2 MiB as chunks are on average, 12 at most
UNDER_WAY = 3  # batches
_WRITE_BEHIND = 2  # SYNC_FILE_RANGE_WRITE: the disk is set to work, so that the sync at the end has little left

_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 << 20  # M_TRIM_THRESHOLD

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Staged:
    """A file on its way. `identity` is known once it is written; `damage` says why it will not be."""

    path: bytes  # where it is written, from the target's root
    entry: Entry
    number: int  # of its step; 0: it comes along with a new folder
    verdict: Verdict
    identity: Identity | None = None
    damage: Damaged | None = None
    parts: int = 0  # under way, of a large one
    whole: bool = False  # all parts were handed in
    fd: int = -1


class Writing:
    """Writes staged files below a target; `finished` is called for each, in the thread of the verb, in any order."""

    def __init__(
        self, reader: Reader, target: Ground,
        finished: Callable[[Staged], None], progress: Progress,
    ) -> None:  # fmt: skip
        self._reader, self._target = reader, target
        self._finished, self._progress = finished, progress
        _keep_freed_memory()
        self._workers = Workers(2)
        self._batch: list[Staged] = []
        self._batch_bytes = 0
        self._jobs: deque[tuple[Job[_Hand], list[Staged]]] = deque()
        self._hands: list[_Hand] = []
        self._free: list[_Hand] = []

    def take(self, file: Staged) -> None:
        """Take a file."""
        content = file.entry.content
        if content.height or content.length > SMALL:
            self._take_large(file)
            return
        self._batch.append(file)
        self._batch_bytes += content.length
        if len(self._batch) >= BATCH_FILES or self._batch_bytes >= BATCH_BYTES:
            self._hand_in_batch()

    def wait(self) -> None:
        """Wait until all is written."""
        self._hand_in_batch()
        while self._jobs:
            self._harvest()

    def close(self) -> None:
        """End the threads, and close what an error left open."""
        self._workers.close()
        for _, files in self._jobs:
            for file in files:
                if file.fd >= 0:
                    os.close(file.fd)
                    file.fd = -1
        for hand in self._hands:
            hand.target.close()

    # ── small files ──

    def _hand_in_batch(self) -> None:
        if not self._batch:
            return
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        chunks = [chunk for file in batch for chunk in file.entry.content.ids]
        load = self._reader.opening(self._reader.look_up(chunks), chunks)
        hand = self._hand()
        self._jobs.append((self._workers.submit(lambda: hand.write_small(batch, load)), batch))

    # ── large ones ──

    def _take_large(self, file: Staged) -> None:
        file.fd = self._target.make_file(file.path)
        at = 0
        try:
            ids = self._reader.expand(file.entry.content)
            while file.damage is None and (chunks := list(islice(ids, LOOKED_UP))):
                found = self._reader.look_up(chunks)
                for start in range(0, len(chunks), PART_CHUNKS):
                    at = self._hand_in_part(file, chunks[start : start + PART_CHUNKS], at, found)
            if at != file.entry.content.length and file.damage is None:
                raise FormatDamaged(f"{at} bytes came instead of {file.entry.content.length}")
        except Damaged as error:
            file.damage = error
        except BaseException:
            if not file.parts:  # else `close` knows it
                os.close(file.fd)
            raise
        file.whole = True
        if not file.parts:
            self._end_large(file)

    def _hand_in_part(self, file: Staged, part: list[ChunkId], at: int, found: LookedUp) -> int:
        """Give where the next part begins."""
        lengths = [found.length(chunk) for chunk in part]
        end = at + sum(lengths)
        if end > file.entry.content.length:
            raise FormatDamaged(f"more bytes came than {file.entry.content.length}")
        load = self._reader.opening(found, part)
        hand = self._hand()
        file.parts += 1
        self._jobs.append((self._workers.submit(lambda: hand.write_part(file, part, lengths, at, load)), [file]))
        return end

    def _end_large(self, file: Staged) -> None:
        try:
            if file.damage is None:
                _dress(self._target, file)
        finally:
            os.close(file.fd)
            file.fd = -1
        if file.damage is not None:
            at, name = self._target.place(file.path)
            os.unlink(name, dir_fd=at)
        self._finished(file)

    # ── threads ──

    def _hand(self) -> _Hand:
        while len(self._jobs) >= UNDER_WAY:
            self._harvest()
        if self._free:
            return self._free.pop()
        events: list[Event] = []
        # The root by its descriptor: its path may lead elsewhere by now.
        root = b"/proc/self/fd/%d" % self._target.fd
        hand = _Hand(Ground(root, strangers=self._target.strangers, progress=events.append), events)
        self._hands.append(hand)
        return hand

    def _harvest(self) -> None:
        job, files = self._jobs[0]
        hand = job.result()
        self._jobs.popleft()
        for event in hand.events:
            self._progress(event)
        hand.events.clear()
        self._free.append(hand)
        for file in files:
            if not file.parts:
                self._finished(file)
                continue
            file.parts -= 1
            if file.whole and not file.parts:
                self._end_large(file)


@dataclass(slots=True)
class _Hand:
    """What a thread works with, one batch at a time."""

    target: Ground
    events: list[Event]

    def write_small(self, batch: list[Staged], load: Callable[[], Loaded]) -> _Hand:
        """Open the chunks of many small files and write these. Runs in a worker."""
        loaded = load()
        make, dress = self.target.make_file, self.target.dress_open
        for file in batch:
            entry = file.entry
            pieces: list[bytes] = []
            for chunk in entry.content.ids:
                data = loaded[chunk]
                if isinstance(data, Damaged):
                    file.damage = data
                    break
                pieces.append(data)
            else:
                text = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                if len(text) != entry.content.length:
                    file.damage = FormatDamaged(f"{len(text)} bytes came instead of {entry.content.length}")
            if file.damage is not None:
                continue
            fd = make(file.path)
            try:
                if entry.extents is not None:
                    _write(fd, entry, [text], 0)
                    os.ftruncate(fd, entry.size)
                elif text and (done := os.write(fd, text)) < len(text):
                    write_at(fd, memoryview(text)[done:], done)
                dress(fd, entry)
                if file.number:
                    file.identity = Identity.of(os.fstat(fd))
            finally:
                os.close(fd)
        return self

    def write_part(
        self, file: Staged, part: list[ChunkId], lengths: list[int], at: int, load: Callable[[], Loaded]
    ) -> _Hand:
        """Open some chunks of a large file and write them where they belong. Runs in a worker."""
        loaded = load()
        pieces: list[bytes] = []
        for chunk, length in zip(part, lengths, strict=True):
            data = loaded[chunk]
            if not isinstance(data, Damaged) and len(data) != length:
                data = FormatDamaged(f"{len(data)} bytes came instead of {length}")
            if isinstance(data, Damaged):
                file.damage = file.damage or data
                return self
            pieces.append(data)
        _write(file.fd, file.entry, pieces, at)
        if file.entry.extents is None:
            _libc.sync_file_range(file.fd, ctypes.c_int64(at), ctypes.c_int64(sum(lengths)), _WRITE_BEHIND)
        return self


def _keep_freed_memory() -> None:
    """Have glibc keep what a batch frees for the next: else each page of it is given back and faulted in again."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def _dress(target: Ground, file: Staged) -> None:
    if file.entry.extents is not None:
        os.ftruncate(file.fd, file.entry.size)
    target.dress_open(file.fd, file.entry)
    if file.number:
        file.identity = Identity.of(os.fstat(file.fd))


def _write(fd: int, entry: Entry, pieces: list[bytes], start: int) -> None:
    """Write pieces of the content that begins at `start` of it: at the same place, or spread over the extents."""
    if entry.extents is None:
        length = sum(map(len, pieces))
        done = os.pwritev(fd, pieces, start)
        if done < length:
            write_at(fd, memoryview(b"".join(pieces))[done:], start + done)
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
