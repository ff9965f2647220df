"""Files that only grow: what was read before is taken over, and only what was appended is read.

A file is such a one if a pattern says so, or if it was one under another name: a rotation by renaming is recognised by
device and inode. All the same nothing is believed: the old last chunk and an older one at random must still stand
where they stood, are read from the file and hashed. Then it is read from the last cut on; a chunker that is restarted
at a cut gives the same later cuts. Anything else leads to a full read.

Invariants: what is taken over unread was read whole less than `prove_logs_ns` ago. Each full read is compared with all
that was taken over since the one before. If they do not agree, that is told, and the snapshot says since when nothing
proves the earlier ones.
"""

from __future__ import annotations

import itertools
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from casstore.backup.counts import Counts
from casstore.chunkstore import Writer
from casstore.config import Tuning
from casstore.crypto import random_bytes
from casstore.entry import EMPTY, Entry, Root
from casstore.errors import Damaged
from casstore.ids import ChunkId
from casstore.openfile import OpenFile
from casstore.progress import Progress, Warned
from casstore.selection import Selection

SAMPLES = 16  # older chunks whose place is remembered
FEWEST = 3  # chunks: of fewer, those that are checked are all there are, and it is read whole
BLOCK = 16 << 10  # bytes in which a newline is looked for at once
LONGEST_LINE = 1 << 20  # what has no newline in so many bytes does not consist of lines

Inode = tuple[int, int]  # device and number
Sample = tuple[int, int, bytes]  # offset, length, id
REWRITTEN = "was rewritten, though it is append-only: it was read whole"
DOUBTFUL = "; what snapshots hold of it that were taken since it was last read whole is not proven"


class Log(NamedTuple):
    """A file that only grows, as it was last read."""

    path: bytes
    mtime_ns: int
    root: Root
    chunks: int
    last_length: int  # of its last chunk, in bytes
    last: bytes  # its id
    proven_ns: int  # when it was last read whole
    in_part: bool  # whether anything was taken over unread since
    samples: tuple[Sample, ...]

    @property
    def cut(self) -> int:
        """Where its last chunk begins."""
        return self.root.length - self.last_length


Facts = tuple[Any, ...]  # a Log as a folder's row keeps it


class Growing:
    """Reads the files that only grow, and remembers for each folder what the next backup must know of them."""

    def __init__(
        self,
        writer: Writer,
        selection: Selection,
        counts: Counts,
        progress: Progress,
        *,
        now_ns: int,
        tuning: Tuning,
        whole_lines: bool,
        on: bool = True,
    ) -> None:
        self._writer, self._selection, self._counts, self._progress = writer, selection, counts, progress
        self._now, self._whole_lines, self._on = now_ns, whole_lines, on
        # Each file is due for a re-reading after half of that span at the earliest, and that must be a full one.
        self._prove_ns = min(tuning.prove_logs_ns, tuning.reread_ns // 2)
        self._known: dict[Inode, Log] = {}
        self._kept: dict[Inode, Log] = {}  # of the folder that is being read
        self._is_lost = False
        self._alarms: list[tuple[bytes, Log]] = []

    # ── folders ──

    def enter(self, facts: dict[Inode, Facts], *, is_lost: bool) -> None:
        """Begin a folder: what its row kept, or that there is none, only what the snapshot before tells.

        What was kept serves for what was moved to a later folder, too.
        """
        self._is_lost = is_lost
        self._known.update((inode, _from_facts(fields)) for inode, fields in facts.items())
        self._kept = {}

    def pass_over(self, inode: Inode) -> None:
        """A file of the folder is taken over without being opened."""
        if inode in self._known:
            self._kept[inode] = self._known[inode]

    def leave(self) -> dict[Inode, Facts]:
        """End the folder: what its row is to keep."""
        return {inode: _to_facts(log) for inode, log in self._kept.items()}

    def due_ns(self, entry: Entry, due_ns: int) -> int:
        """Give when a file must be looked at again: what was read in part must be proven in time."""
        return min(due_ns, self._provable_until(entry.path, entry.proven_ns)) if entry.proven_ns else due_ns

    def _provable_until(self, path: bytes, proven_ns: int) -> int:
        """Staggered over the last quarter of the span, so that not all files are read whole in one run."""
        return proven_ns + self._prove_ns - (zlib.crc32(path) * (self._prove_ns // 4) >> 32)

    # ── files ──

    def concerns(self, path: bytes, inode: Inode, before: Entry | None) -> bool:
        """Whether a file must be read here; `before` is what stood under its name."""
        if not self._on:
            return False
        in_part = before is not None and before.proven_ns > 0
        return (in_part and self._is_lost) or inode in self._known or bool(self._alarms) or self._selection.grows(path)

    def put_small(self, path: bytes, inode: Inode, mtime_ns: int, data: bytes, previous: Root) -> Root:
        """Put a file of one chunk, whose bytes are at hand."""
        grows = self._selection.grows(path)
        if grows and self._whole_lines:
            data = data[: data.rfind(b"\n") + 1]
        root = self._writer.put_small(data, previous)
        log = self._known.pop(inode, None)
        proven = log is not None and self._begins_small(log, data)
        self._alarms = [(at, one) for at, one in self._alarms if not self._begins_small(one, data)]
        if log is not None and not proven:
            self._note_rewritten(path, mtime_ns, log, root.length)
        if root.length and (grows or proven):
            kept = Log(path, mtime_ns, root, 1, root.length, root.ids[0], self._now, False, ())
            self._known[inode] = self._kept[inode] = kept
        return root

    def _begins_small(self, log: Log, data: bytes) -> bool:
        return log.chunks == 1 and self._writer.chunk_id(data[: log.root.length]) == log.last

    def put(self, file: OpenFile, path: bytes, before: Entry | None, *, isolated: bool) -> tuple[Root, int]:
        """Put a file; gives its root, and when it was last read whole if it was read in part, else 0."""
        inode = file.stat.st_dev, file.stat.st_ino
        log = self._known.pop(inode, None)
        if log is None and self._is_lost and before is not None and before.proven_ns:
            log = self._recalled(before)
        grows = self._selection.grows(path)
        end = self._line_end(file) if grows and self._whole_lines and file.extents is None else file.size
        if log is not None and file.extents is None and self._is_provable(path, log, end):
            grown = self._put_end(file, path, log, end, isolated=isolated)
            if grown is not None:
                self._known[inode] = self._kept[inode] = grown
                return grown.root, grown.proven_ns
        older = before.content if before is not None else EMPTY
        whole, proven = self._put_whole(file, path, log, end, older, isolated=isolated)
        if log is not None and not proven:
            size = file.size if whole.root.length == file.data_size else whole.root.length  # holes included
            self._note_rewritten(path, file.stat.st_mtime_ns, log, size)
        if whole.root.length and file.extents is None and (grows or proven):
            self._known[inode] = self._kept[inode] = whole
        return whole.root, 0

    def _recalled(self, before: Entry) -> Log | None:
        """Give what can be known of a file that was read in part when the cache was lost: enough to prove it.

        It may have been rotated since. If so its old beginning is met under another name.
        """
        try:
            chunks, last, last_length = self._writer.lists.measure(before.content)
        except Damaged:
            return None
        return Log(
            before.path, before.mtime_ns, before.content, chunks, last_length, last, before.proven_ns, True, ()
        )  # fmt: skip

    def _is_provable(self, path: bytes, log: Log, end: int) -> bool:
        """Whether what was read of it before may be taken over, if it still stands there."""
        in_time = log.proven_ns <= self._now < self._provable_until(path, log.proven_ns)
        if not log.in_part and (path, end) == (log.path, log.root.length):
            return False  # only not settled yet: rather read whole once more than an entry that says less than before
        return in_time and end >= log.root.length and log.chunks >= FEWEST and bool(log.samples)

    def _put_end(self, file: OpenFile, path: bytes, log: Log, end: int, *, isolated: bool) -> Log | None:
        """Put what was appended; None if the old part does not stand there as it did, or cannot be taken over."""
        writer = self._writer
        offset, length, chunk = log.samples[_random(len(log.samples))]
        data = file.read_at(offset, length)
        self._counts.read += len(data)
        if writer.chunk_id(data) != chunk:
            return None
        file.go_to(log.cut, end)
        chunks = writer.cut(file.read)
        first = next(chunks, None)
        if first is None or writer.chunk_id(first[: log.last_length]) != log.last:
            self._counts.read += 0 if first is None else len(first)
            return None
        if end == log.root.length:
            self._counts.read += len(first)
            return log._replace(path=path, mtime_ns=file.stat.st_mtime_ns, in_part=True)
        try:
            ends = writer.lists.ends_of(log.root)
        except Damaged:
            return None
        lengths = array("Q")
        ids, added = writer.put_chunks(
            _measured(itertools.chain((first,), chunks), lengths),
            previous=Root(0, log.last_length, (ChunkId(log.last),)),
            isolated=isolated,
        )
        self._counts.read += added
        if log.cut + added != end:
            return None  # it was cut meanwhile
        root = writer.extended(log.root, ends, ids, end)
        samples = list(log.samples)
        offset = log.cut
        # Those that are no longer the last are older ones now; each is as likely to be kept as any before it.
        for number, length in enumerate(lengths[:-1]):
            slot = _random(log.chunks + number)
            sample = offset, length, bytes(ids[32 * number : 32 * number + 32])
            if len(samples) < SAMPLES:
                samples.append(sample)
            elif slot < SAMPLES:
                samples[slot] = sample
            offset += length
        return Log(
            path, file.stat.st_mtime_ns, root, log.chunks - 1 + len(lengths), lengths[-1], bytes(ids[-32:]),
            log.proven_ns, True, tuple(samples),
        )  # fmt: skip

    def _put_whole(
        self, file: OpenFile, path: bytes, log: Log | None, end: int, previous: Root, *, isolated: bool
    ) -> tuple[Log, bool]:
        """Put all of a file; tells whether what was read of it before stands at its beginning."""
        if file.extents is None:
            file.go_to(0, end)
        wanted = [other for _, other in self._alarms if other is not log]
        if log is not None:
            wanted.append(log)
        lengths = array("Q")
        found: list[Log] = []  # whose last chunk stands where it stood
        chunks = self._finding(self._writer.cut(file.read), lengths, wanted, found)
        ids, length = self._writer.put_chunks(chunks, previous=previous, isolated=isolated)
        self._counts.read += length
        root = self._writer.rooted(ids, length, previous)
        begins = [one for one in found if one.root.length <= _solid(file) and self._is_beginning(one, ids)]
        # What was thought rewritten stands here: it was copied and truncated.
        self._alarms = [alarm for alarm in self._alarms if not any(alarm[1] is one for one in begins)]
        last = (lengths[-1], bytes(ids[-32:])) if lengths else (0, b"")
        samples = tuple(_samples(lengths, ids))
        whole = Log(path, file.stat.st_mtime_ns, root, len(lengths), *last, self._now, False, samples)
        return whole, any(one is log for one in begins)

    def _finding(
        self, chunks: Iterable[memoryview], lengths: array[int], logs: list[Log], found: list[Log]
    ) -> Iterator[memoryview]:
        """Pass chunks on, note their lengths, and which logs' last chunk stands where it stood."""
        at: dict[tuple[int, int], list[Log]] = {}
        for log in logs:
            at.setdefault((log.chunks - 1, log.cut), []).append(log)
        offset = 0
        for number, data in enumerate(chunks):
            if at:
                for log in at.get((number, offset), ()):
                    if self._writer.chunk_id(data[: log.last_length]) == log.last:
                        found.append(log)
            lengths.append(len(data))
            offset += len(data)
            yield data

    def _is_beginning(self, log: Log, ids: bytearray) -> bool:
        """Whether chunks begin with those of a log, whose last one was looked for already."""
        return self._writer.lists.root_of(bytes(ids[: 32 * (log.chunks - 1)]) + log.last, log.root.length) == log.root

    def _line_end(self, file: OpenFile) -> int:
        """Give where the last whole line ends."""
        at = file.size
        while at > 0 and file.size - at < LONGEST_LINE:
            start = max(0, at - BLOCK)
            block = file.read_at(start, at - start)
            self._counts.read += len(block)
            if (newline := block.rfind(b"\n")) >= 0:
                return start + newline + 1
            at = start
        return at if at == 0 else file.size

    # ── what was rewritten ──

    def _note_rewritten(self, path: bytes, mtime_ns: int, log: Log, size: int) -> None:
        """What is shorter was truncated; what has another name, size or time is another file that got its inode."""
        moved = path != log.path and (log.mtime_ns, log.root.length) != (mtime_ns, size)
        if size >= log.root.length and not moved:
            self._alarms.append((path, log))

    def tell(self) -> None:
        """After all folders: tell what was rewritten, and since when earlier snapshots are not proven."""
        for path, log in self._alarms:
            self._progress(Warned(path, REWRITTEN + (DOUBTFUL if log.in_part else "")))
            if log.in_part:
                since = self._counts.unproven_since_ns
                self._counts.unproven_since_ns = min(since, log.proven_ns) if since else log.proven_ns


def _solid(file: OpenFile) -> int:
    """Give how many bytes at the beginning of a file hold no hole."""
    if file.extents is None:
        return file.size
    return file.extents[0][1] if file.extents and file.extents[0][0] == 0 else 0


def _measured(chunks: Iterable[memoryview], lengths: array[int]) -> Iterator[memoryview]:
    for data in chunks:
        lengths.append(len(data))
        yield data


def _samples(lengths: array[int], ids: bytearray) -> Iterator[Sample]:
    """Choose among all chunks but the last, one from each part of the file."""
    older = len(lengths) - 1
    parts = min(older, SAMPLES)
    if parts <= 0:
        return
    bounds = [older * part // parts for part in range(parts + 1)]
    chosen = {low + _random(high - low) for low, high in itertools.pairwise(bounds)}
    offset = 0
    for number, length in enumerate(lengths):
        if number in chosen:
            yield offset, length, bytes(ids[32 * number : 32 * number + 32])
        offset += length


def _random(below: int) -> int:
    return int.from_bytes(random_bytes(8), "little") % below


def _to_facts(log: Log) -> Facts:
    return (*log[:2], *log.root[:2], b"".join(log.root.ids), *log[3:])


def _from_facts(facts: Facts) -> Log:
    path, mtime_ns, height, length, joined, *rest = facts
    ids = tuple(ChunkId(joined[at : at + 32]) for at in range(0, len(joined), 32))
    return Log(path, mtime_ns, Root(height, length, ids), *rest)
