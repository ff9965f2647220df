"""The manifest of a tree, a block a folder.

A folder whose stat states are those of the last reading is taken over as bytes: its block of the manifest stands in
the cache. Else its entries are compared one by one, and only what changed is opened.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from casstore.backup.compared import Gathered, Remembered, State, counted_in, encode_states, of_manifest, state_of
from casstore.backup.counts import Counts
from casstore.backup.growing import Growing
from casstore.backup.guard import Guard
from casstore.backup.torn import SETTLED_NS, TornGuard
from casstore.chunker import LEAST
from casstore.crypto import hash_of
from casstore.entry import Entry, Kind, join
from casstore.errors import Damaged
from casstore.format import record
from casstore.format.manifest import decode_block, encode_block, encode_entry
from casstore.progress import Advanced, Notice, Problem, Progress
from casstore.repository import Repository
from casstore.rows import FolderRow, FolderRows
from casstore.snapshot import Snapshot
from casstore.source import Listing, Source, Xattrs
from casstore.workers import Job

FEW = 8  # files to be read that are worth no thread
GROUP, AHEAD = 64, 3  # small files that a worker reads at once; groups of them, of half a MiB at most


class Folders:
    """Turns listings into blocks, and remembers what was read."""

    def __init__(
        self,
        repository: Repository,
        reader: TornGuard,
        growing: Growing,
        guard: Guard,
        source: Source,
        name: str,
        now_ns: int,
        reread_ns: int,  # each file is read again at least this often
        imported: bool,
        counts: Counts,
        progress: Progress,
    ) -> None:
        self._repository = repository
        self._reader, self._growing, self._guard, self._reread_ns = reader, growing, guard, reread_ns
        self.since = 0  # number of the snapshot that the rows are of; 0: none
        self._source, self._now, self._counts, self._progress = source, now_ns, counts, progress
        selection = record.encode(source.selection.encode())
        rows_of = (source.origin, name.encode(), selection, *((b"imported",) if imported else ()))
        self._rows = FolderRows(repository.cache, repository.keys.cache, hash_of(b"\0".join(rows_of))[:16])

    def resume_from(self, previous: Snapshot | None) -> None:
        """Make the rows of this source those of the snapshot before; file states count only if it is live."""
        held = self._rows.snapshot
        if held is not None and self._repository.catalogue.is_live(held):
            self.since = held
            return
        self._rows.forget()
        if previous is None:
            return
        self.since = previous.number
        # No rows of our own (a lost cache, another selection): bases come from the manifest, states from nowhere.
        try:
            for folder, entries in self._repository.blocks(previous):
                block = encode_block([encode_entry(entry) for entry in entries])
                self._rows.put(folder, of_manifest(block))
        except Damaged as error:
            self._progress(Notice(b"", f"the snapshot before, on which this one builds, is damaged: {error}"))

    def held_by(self, snapshot: Snapshot) -> None:
        """Remember which snapshot the rows belong to."""
        self._rows.belong_to(snapshot.number)

    def _counts_still(self, due_ns: int) -> bool:
        """Whether a file need not be read yet. What is due later than any due time was set when the clock was ahead."""
        return self._now < due_ns <= self._now + self._reread_ns

    def blocks(self, head: bytes) -> Iterator[bytes]:
        """Yield the manifest: head, then a block a folder."""
        yield head
        counts = self._counts
        for listing in self._source.walk():
            states = list(map(state_of, listing.names, listing.stats))
            encoded = encode_states(states)
            row = self._rows.get(listing.path)
            if row is not None and row.states == encoded and self._counts_still(row.due_ns):
                counted = counted_in(row)
                counts.add(*counted)
                counts.unchanged += counted[0]
                yield row.block
            else:
                yield self._read_folder(listing, states, encoded, row)
            self._progress(Advanced(counts.files, counts.size))

    def _read_folder(self, listing: Listing, states: list[State], encoded: bytes, row: FolderRow | None) -> bytes:
        """Compare a folder entry by entry with its row, and open what changed; gives its block."""
        known, now = Remembered.of(listing.path, row), Gathered()
        self._growing.enter(known.logs, is_lost=known.is_lost)
        small = self._small_files(listing, states, known.due_ns)
        coming = next(small, None)
        log_lost = False
        for i, state in enumerate(states):
            before = known.entries.pop(state[0], None)
            due = known.due_ns.get(state, 0)
            if before is not None and self._counts_still(due):
                self._growing.pass_over(state[2:4])
                now.stayed.append(before)
                now.take(before, state, due, known.objects.get(state[0], -1))
                self._count(before, before)
                continue
            read = None
            if coming is not None and coming[0] == i:
                read, coming = coming, next(small, None)
            try:
                entry = self._reader.read(listing, i, before, read)
            except OSError as error:
                path = join(listing.path, state[0])
                self._progress(Problem(path, f"cannot be read: {os.strerror(error.errno or 0)}"))
                if before is not None and before.is_folder:
                    self._rows.forget_below(path)
                continue
            objects = known.objects.get(state[0], -1), self._reader.objects
            log_lost |= self._guard.came(before, entry, objects, self._reader.is_bare)
            state = state_of(state[0], listing.stats[i])  # that of the file that was read
            now.take(entry, state, self._due_ns(listing.path, entry, state), self._reader.objects)
            self._count(before, entry)
            if before is not None and before.is_folder and not entry.is_folder:
                self._forget_gone(before.path)
        for gone in known.entries.values():
            log_lost |= self._guard.went(gone)
            if gone.is_folder:
                self._forget_gone(gone.path)
        if log_lost:
            self._guard.stayed(now.stayed)
        self._counts.add(now.files, now.folders, now.others, now.size)
        block = encode_block(now.lines)
        row = now.row(
            encoded if now.states == states else None, block, self._now + self._reread_ns, self._growing.leave()
        )
        self._rows.put(listing.path, row)
        return block

    def _due_ns(self, folder: bytes, entry: Entry, state: State) -> int:
        """Give when what was just read must be read again; 0: the next time."""
        settled = max(state[5], state[6]) + SETTLED_NS <= self._now
        # All of it is saved, and it is whole.
        if not settled or entry.torn or (entry.kind is Kind.FILE and entry.size != state[4]):
            return 0
        # Staggered over the second half of the span, so that not all files fall due in one run.
        spread = zlib.crc32(state[0], zlib.crc32(folder)) * (self._reread_ns // 2) >> 32
        return self._growing.due_ns(entry, self._now + self._reread_ns - spread)

    def _forget_gone(self, folder: bytes) -> None:
        """Forget a folder that is no more, once the guard knows what was in it."""
        if self._guard.on:
            for path, block in self._rows.blocks_below(folder):
                for entry in decode_block(path, block):
                    self._guard.went(entry)
        self._rows.forget_below(folder)

    def _count(self, before: Entry | None, entry: Entry) -> None:
        if entry.kind is not Kind.FILE:
            return
        self._counts.torn += entry.torn
        if before is None or before.kind is not Kind.FILE:
            self._counts.new += 1
        elif before == entry or before._replace(proven_ns=entry.proven_ns) == entry:
            self._counts.unchanged += 1
        else:
            self._counts.changed += 1

    def _small_files(
        self, listing: Listing, states: list[State], due_ns: dict[State, int]
    ) -> Iterator[tuple[int, bytes, Xattrs]]:
        """Read the files of one chunk at most that may have changed; what fails is tried again one by one."""
        wanted = [
            i
            for i, state in enumerate(states)
            if state[1] & 0o170000 == 0o100000
            and 0 < state[4] <= LEAST
            and listing.stats[i].st_nlink == 1
            and not self._counts_still(due_ns.get(state, 0))
        ]
        if len(wanted) < FEW:
            return listing.read_small(wanted, LEAST)
        return self._read_ahead(listing, wanted)

    def _read_ahead(self, listing: Listing, wanted: list[int]) -> Iterator[tuple[int, bytes, Xattrs]]:
        """Read small files in workers, some groups before they are asked for: AHEAD * GROUP files are held at most."""
        submit = self._repository.workers.submit
        groups = iter([wanted[at : at + GROUP] for at in range(0, len(wanted), GROUP)])
        jobs: deque[Job[list[tuple[int, bytes, Xattrs]]]] = deque()

        def read(group: list[int]) -> Callable[[], list[tuple[int, bytes, Xattrs]]]:
            return lambda: list(listing.read_small(group, LEAST))

        try:
            jobs.extend(submit(read(group)) for group in islice(groups, AHEAD))
            while jobs:
                found = jobs[0].result()
                jobs.popleft()
                jobs.extend(submit(read(group)) for group in islice(groups, 1))
                yield from found
        finally:
            for job in jobs:
                job.wait()  # the folder is closed behind us
