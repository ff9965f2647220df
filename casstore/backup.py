"""Backup: a tree into a snapshot.

A folder whose stat states are those of the last reading is taken over as bytes: its block of the manifest stands in
the cache. Else its entries are compared one by one, and only what changed is opened. Order of writes: packs, the
commit, then anchor and cache; a crash between any two leaves what `cas gc` collects, never a broken snapshot.
"""

from __future__ import annotations

import marshal
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from casstore.cache import FolderRow
from casstore.chunker import LEAST
from casstore.chunkstore import Writer
from casstore.crypto import hash_of
from casstore.entry import EMPTY, Entry, Kind, Root, join
from casstore.errors import Damaged, UsageError
from casstore.format import record
from casstore.format.blob import MANIFEST
from casstore.format.manifest import Head, decode_block, encode_block, encode_entry, encode_head
from casstore.ids import HostId, SnapshotId
from casstore.progress import Advanced, Event, Notice, Problem, Progress, silent
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.source import Listing, Source, Xattrs

SETTLED_NS = 60 * 10**9  # times younger than this at the reading prove nothing: clocks are coarse
REREAD_NS = 7 * 86400 * 10**9  # each file is read again at least this often
PROGRAM = "cas 0.1.0"

State = tuple[bytes, int, int, int, int, int, int]  # name, mode, device, inode, size, mtime, ctime
Version = tuple[int, int, int, int, int]  # of a file's content: device, inode, size, mtime, ctime


@dataclass(slots=True)
class Counts:
    """What a backup met; files unless it says otherwise, sizes in bytes."""

    files: int = 0
    folders: int = 0
    others: int = 0
    size: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    read: int = 0
    problems: int = 0


def backup(
    repository: Repository,
    source: Source,
    *,
    now_ns: int,
    zone_minutes: int,
    hostname: str,
    name: str = "",
    tags: tuple[str, ...] = (),
    config: bytes = b"",
    time_ns: int | None = None,
    pre_restore: bool = False,
    dry_run: bool = False,
    skip_if_unchanged: bool = False,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Snapshot:
    """Take a snapshot of `source`; on return it is durable.

    What cannot be read is told as Problem and left out. A dry run, or an unchanged tree that was to be skipped, gives
    a Snapshot with number 0. `clock` tells the time in ns at the end, for the duration.

    Raises:
        UsageError: hostname, name or a tag is no text.
        RepositoryUnwritable: nothing was acknowledged; what is there still is whole.
    """
    for what, text in (("hostname", hostname), ("name", name), *(("tag", tag) for tag in tags)):
        _check_text(what, text)
    repository.refresh()
    counts = Counts()

    def watch(event: Event) -> None:
        counts.problems += isinstance(event, Problem)
        progress(event)

    source.progress = watch
    previous = repository.catalogue.newest(hostname, name, source.origin)
    writer = repository.writer(dry=dry_run)
    try:
        tree = _Tree(repository, writer, source, name, now_ns, counts, watch)
        tree.resume_from(previous)
        config_root = writer.put_small(config) if len(config) <= LEAST else writer.put(_pulling(iter((config,))))
        head = encode_head(Head(source.selection.encode(), config_root))
        older = previous.manifest if previous is not None else EMPTY
        manifest = writer.put(_pulling(tree.blocks(head)), kind=MANIFEST, previous=older, most_ids=1)
        packs = writer.flush()
        snapshot = Snapshot(
            id=SnapshotId(bytes(32)), number=0, host=HostId(bytes(16)), clock_ns=now_ns,
            time_ns=now_ns if time_ns is None else time_ns, zone_minutes=zone_minutes, hostname=hostname, name=name,
            tags=tags, origin=source.origin, pre_restore=pre_restore, manifest=manifest, program=PROGRAM,
            files=counts.files, folders=counts.folders, others=counts.others, size=counts.size, new=counts.new,
            changed=counts.changed, unchanged=counts.unchanged, read=counts.read, added=writer.added,
            stored=sum(length for _, length in packs), problems=counts.problems, torn=0,
            duration_ns=max(0, clock() - now_ns) if clock else 0, previous=previous.number if previous else 0,
        )  # fmt: skip
        if dry_run:
            repository.cache.rollback()
            return snapshot
        if skip_if_unchanged and not packs and previous is not None and previous.manifest == manifest:
            repository.cache.commit()
            return snapshot
        committed = repository.commit_snapshot(snapshot, packs, clock_ns=now_ns)
        tree.held_by(committed)
        repository.acknowledge()
        return committed
    except BaseException:
        repository.cache.rollback()
        raise


class _Tree:
    """Turns listings into blocks, and remembers what was read."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        source: Source,
        name: str,
        now_ns: int,
        counts: Counts,
        progress: Progress,
    ) -> None:
        self._repository, self._cache, self._writer = repository, repository.cache, writer
        self._source, self._now, self._counts, self._progress = source, now_ns, counts, progress
        selection = record.encode(source.selection.encode())
        self._key = hash_of(b"\0".join((source.origin, name.encode(), selection)))[:16]
        self._cache_key = repository.keys.cache
        self._linked: dict[Version, Root] = {}  # content of files with several names

    def resume_from(self, previous: Snapshot | None) -> None:
        """Make the rows of this source those of the snapshot before; file states count only if it is live."""
        held = self._cache.fact(f"source {self._key.hex()}")
        if held is not None and self._repository.catalogue.is_live(int(held)):
            return
        self._cache.forget_folders(self._key)
        if previous is None:
            return
        # No rows of our own (a lost cache, another selection): bases come from the manifest, states from nowhere.
        try:
            for folder, entries in self._repository.blocks(previous):
                block = encode_block([encode_entry(entry) for entry in entries])
                self._remember(folder, FolderRow(marshal.dumps([], 2), 0, block, b""))
        except Damaged as error:
            self._progress(Notice(b"", f"the snapshot before, on which this one builds, is damaged: {error}"))

    def held_by(self, snapshot: Snapshot) -> None:
        """Remember which snapshot the rows belong to."""
        self._cache.remember(f"source {self._key.hex()}", b"%d" % snapshot.number)

    def _remember(self, path: bytes, row: FolderRow) -> None:
        self._cache.remember_folder(self._cache_key, self._key, path, row)

    def _counts_still(self, due_ns: int) -> bool:
        """Whether a file need not be read yet. What is due later than any due time was set when the clock was ahead."""
        return self._now < due_ns <= self._now + REREAD_NS

    def blocks(self, head: bytes) -> Iterator[bytes]:
        """Yield the manifest: head, then a block a folder."""
        yield head
        counts = self._counts
        for listing in self._source.walk():
            states = list(map(_state, listing.names, listing.stats))
            encoded = marshal.dumps(states, 2)
            row = self._cache.folder(self._cache_key, self._key, listing.path)
            if row is not None and row.states == encoded and self._counts_still(row.due_ns):
                files, folders, others, size, _ = marshal.loads(row.counts)
                counts.files += files
                counts.unchanged += files
                counts.folders += folders
                counts.others += others
                counts.size += size
                yield row.block
            else:
                yield self._read_folder(listing, states, encoded, row)
            self._progress(Advanced(counts.files, counts.size))

    def _read_folder(self, listing: Listing, states: list[State], encoded: bytes, row: FolderRow | None) -> bytes:
        older: dict[bytes, Entry] = {}
        proven: dict[State, int] = {}
        if row is not None:
            older = {entry.name: entry for entry in decode_block(listing.path, row.block)}
            if row.counts:
                proven = dict(zip(marshal.loads(row.states), marshal.loads(row.counts)[4], strict=True))
        small = self._small_files(listing, states, proven)
        coming = next(small, None)
        lines: list[bytes] = []
        kept: list[State] = []
        dues: list[int] = []
        files = folders = others = size = 0
        for i, state in enumerate(states):
            before = older.pop(state[0], None)
            due = proven.get(state, 0)
            if before is not None and self._counts_still(due):
                entry = before
            else:
                read = None
                if coming is not None and coming[0] == i:
                    read, coming = coming, next(small, None)
                try:
                    entry = self._read_entry(listing, i, before, read)
                except OSError as error:
                    path = join(listing.path, state[0])
                    self._progress(Problem(path, f"cannot be read: {os.strerror(error.errno or 0)}"))
                    due = 0
                    if before is not None and before.is_folder:
                        self._cache.forget_folders(self._key, path)
                    continue
                state = _state(state[0], listing.stats[i])  # that of the file that was read
                settled = max(state[5], state[6]) + SETTLED_NS <= self._now
                # Staggered over the second half of the span, so that not all files fall due in one run.
                spread = zlib.crc32(state[0], zlib.crc32(listing.path)) * (REREAD_NS // 2) >> 32
                due = self._now + REREAD_NS - spread if settled else 0
            if entry.kind is Kind.FILE:
                files += 1
                size += entry.size
                self._count(before, entry)
            elif entry.is_folder:
                folders += 1
            else:
                others += 1
            if before is not None and before.is_folder and not entry.is_folder:
                self._cache.forget_folders(self._key, before.path)
            lines.append(encode_entry(entry))
            kept.append(state)
            dues.append(due)
        for gone in older.values():
            if gone.is_folder:
                self._cache.forget_folders(self._key, gone.path)
        block = encode_block(lines)
        counts = self._counts
        counts.files += files
        counts.folders += folders
        counts.others += others
        counts.size += size
        self._remember(
            listing.path,
            FolderRow(
                encoded if kept == states else marshal.dumps(kept, 2),
                min(dues, default=self._now + REREAD_NS),
                block,
                marshal.dumps((files, folders, others, size, dues), 2),
            ),
        )
        return block

    def _count(self, before: Entry | None, entry: Entry) -> None:
        if before is None or before.kind is not Kind.FILE:
            self._counts.new += 1
        elif before == entry:
            self._counts.unchanged += 1
        else:
            self._counts.changed += 1

    def _small_files(
        self, listing: Listing, states: list[State], proven: dict[State, int]
    ) -> Iterator[tuple[int, bytes, Xattrs]]:
        """Read the files of one chunk at most that may have changed; what fails is tried again one by one."""
        wanted = (
            i
            for i, state in enumerate(states)
            if state[1] & 0o170000 == 0o100000
            and 0 < state[4] <= LEAST
            and listing.stats[i].st_nlink == 1
            and not self._counts_still(proven.get(state, 0))
        )
        return listing.read_small(wanted, LEAST)

    def _read_entry(
        self, listing: Listing, i: int, before: Entry | None, read: tuple[int, bytes, Xattrs] | None
    ) -> Entry:
        known = listing.stats[i]
        if not stat.S_ISREG(known.st_mode) or known.st_size == 0:
            return listing.describe(i)
        path = join(listing.path, listing.names[i])
        older = before.content if before is not None else EMPTY
        isolated = self._source.selection.isolates(path)
        if read is not None and not isolated:
            _, data, xattrs = read
            self._counts.read += len(data)
            return listing.describe(i, self._writer.put_small(data, older), size=len(data), xattrs=xattrs)
        file = listing.open(i)
        try:
            s = file.stat
            version = (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
            root = self._linked.get(version)
            if root is None or root.length != file.data_size:
                root = self._writer.put(file.read, previous=older, isolated=isolated)
                self._counts.read += root.length
                if s.st_nlink > 1:
                    self._linked[version] = root
            extents = _trimmed(file.extents, root.length)
            whole = extents is not None and root.length == file.data_size
            size = file.size if whole else sum(extents[-1]) if extents else root.length
            xattrs = listing.xattrs(i, file.fileno())
            return listing.describe(i, root, extents=extents, size=size, mtime_ns=s.st_mtime_ns, xattrs=xattrs)
        finally:
            file.close()


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {what} {text!r} is not UTF-8") from None


def _state(name: bytes, s: os.stat_result) -> State:
    return name, s.st_mode, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def _trimmed(extents: tuple[tuple[int, int], ...] | None, length: int) -> tuple[tuple[int, int], ...] | None:
    """Cut the extents of a file that shrank while it was read to what came."""
    if extents is None:
        return None
    out = []
    for offset, part in extents:
        if length <= 0:
            break
        out.append((offset, min(part, length)))
        length -= part
    return tuple(out)


def _pulling(pieces: Iterator[bytes]) -> Callable[[int], bytes]:
    """Turn pieces of any size into a `read(max_bytes)`."""
    rest = b""

    def read(max_bytes: int) -> bytes:
        nonlocal rest
        parts, size = [rest], len(rest)
        while size < max_bytes:
            piece = next(pieces, None)
            if piece is None:
                break
            parts.append(piece)
            size += len(piece)
        joined = b"".join(parts)
        rest = joined[max_bytes:]
        return joined[:max_bytes]

    return read
