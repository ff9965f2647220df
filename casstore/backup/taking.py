"""The verb: a tree into a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from casstore import treelock
from casstore.backup.contents import Contents
from casstore.backup.counts import Counts
from casstore.backup.folders import Folders
from casstore.backup.growing import Growing
from casstore.backup.guard import Guard
from casstore.backup.torn import TornGuard
from casstore.chunker import LEAST
from casstore.chunkstore import Writer
from casstore.config import Tuning
from casstore.database import CacheBroken
from casstore.entry import EMPTY, Root
from casstore.errors import UsageError
from casstore.format.blob import MANIFEST
from casstore.format.manifest import Head, encode_head
from casstore.ids import HostId, PackId, SnapshotId
from casstore.losses import Guarded
from casstore.progress import Event, Lost, Notice, Problem, Progress, silent
from casstore.repository import Repository
from casstore.snapshot import NOTHING_KNOWN, Circumstances, Snapshot
from casstore.source import Source

PROGRAM = "cas 0.1.0"
DEFAULTS = Tuning()

# What is not committed yet, the snapshot before, packs, the rows
_Taken = tuple[Snapshot, Snapshot | None, list[tuple[PackId, int]], Folders]


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
    imported: bool = False,
    dry_run: bool = False,
    skip_if_unchanged: bool = False,
    guarded: bool = True,
    expects: Callable[[bytes], bool] = lambda _path: False,
    whole_lines: bool = False,
    circumstances: Circumstances = NOTHING_KNOWN,
    tuning: Tuning = DEFAULTS,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Snapshot:
    """Take a snapshot of `source`; on return it is durable.

    What cannot be read is told as Problem and left out. A dry run, or an unchanged tree that was to be skipped, gives
    a Snapshot with number 0. `guarded`: JSON is read until it is whole, and what guarded files lost is told and stands
    in the snapshot, but for paths that `expects` names. `whole_lines`: append-only files are saved up to their last
    newline. `circumstances` are kept beside the tree. `imported`: the source reads another folder than its origin, a
    copy that was made at `time_ns`: it is read whole, builds on what was imported before it, and leaves all that is
    known of the origin as it is. `clock` tells the time in ns at the end, for the duration; `sleep` waits so many
    seconds. A cache that fails on the way is done without, and the work is done once more: what was told is told again.

    Raises:
        UsageError: hostname, name or a tag is no text. RestoreUnfinished: a restore was interrupted there.
        RepositoryUnwritable: nothing was acknowledged; what is there still is whole.
    """
    for what, text in (("hostname", hostname), ("name", name), *(("tag", tag) for tag in tags)):
        _check_text(what, text)

    def take() -> _Taken:
        repository.refresh()
        repository.recent.max_bytes = tuning.recent_chunks_bytes
        counts = Counts()

        def watch(event: Event) -> None:
            counts.problems += isinstance(event, Problem)
            progress(event)

        source.progress = watch
        if circumstances.unsaved is not None:
            watch(Problem(*circumstances.unsaved))
        previous = repository.catalogue.newest(hostname, name, source.origin, imported=imported)
        writer = repository.writer(dry=dry_run)
        growing = Growing(
            writer, source.selection, counts, watch, now_ns=now_ns, tuning=tuning, whole_lines=whole_lines,
            on=not imported,
        )  # fmt: skip
        guard = Guard(source.selection, expects=expects)
        reader = TornGuard(
            Contents(writer, source.selection, counts, growing), repository, sleep=sleep, now_ns=now_ns,
            is_accepted=lambda path: _is_accepted(repository, path, previous), progress=watch, on=guarded,
        )  # fmt: skip
        tree = Folders(
            repository, reader, growing, guard, source, name, now_ns, tuning.reread_ns, imported, counts, watch
        )
        tree.resume_from(previous)
        guard.on = guarded and tree.since > 0
        config_root = writer.put_small(config) if len(config) <= LEAST else writer.put(_pulling(iter((config,))))
        head = encode_head(
            Head(source.selection.encode(), config_root, circumstances.fingerprints, _sidecar(writer, circumstances))
        )
        older = previous.manifest if previous is not None else EMPTY
        manifest = writer.put(_pulling(tree.blocks(head)), kind=MANIFEST, previous=older, most_ids=1)
        growing.tell()
        packs = writer.flush()
        lost = _lost(repository, guard, source.origin, tree.since)
        snapshot = Snapshot(
            id=SnapshotId(bytes(32)), number=0, host=HostId(bytes(16)), clock_ns=now_ns,
            time_ns=now_ns if time_ns is None else time_ns, zone_minutes=zone_minutes, hostname=hostname, name=name,
            tags=tags, origin=source.origin, pre_restore=pre_restore, manifest=manifest, program=PROGRAM,
            files=counts.files, folders=counts.folders, others=counts.others, size=counts.size, new=counts.new,
            changed=counts.changed, unchanged=counts.unchanged, read=counts.read, added=writer.added,
            stored=sum(length for _, length in packs), problems=counts.problems, torn=counts.torn,
            duration_ns=max(0, clock() - now_ns) if clock else 0, previous=previous.number if previous else 0,
            unproven_since_ns=counts.unproven_since_ns, guarded=lost, flush=circumstances.flush, imported=imported,
        )  # fmt: skip
        return snapshot, previous, packs, tree

    try:
        with treelock.reading(source.origin, lambda: progress(Notice(b".", treelock.BEING_REPLACED))):
            snapshot, previous, packs, tree = _despite_cache(repository, take)
        for loss in snapshot.guarded.losses if snapshot.guarded is not None else ():
            progress(Lost(loss))
        if dry_run:
            repository.cache.rollback()
            return snapshot
        if skip_if_unchanged and not packs and previous is not None and previous.manifest == snapshot.manifest:
            _keep(repository, tree, previous)
            return snapshot
        committed = repository.commit_snapshot(snapshot, packs, clock_ns=now_ns)
        _keep(repository, tree, committed)
        return committed
    except BaseException:
        repository.cache.rollback()
        raise


def _despite_cache(repository: Repository, work: Callable[[], _Taken]) -> _Taken:
    """Do the work, and if the cache fails on the way once more, with one that is in memory."""
    try:
        return work()
    except CacheBroken as error:
        repository.cache.retreat(error)
    return work()


def _sidecar(writer: Writer, circumstances: Circumstances) -> Root | None:
    """Put what is kept beside the tree, in runs of its own: sizes of what shares a frame with a secret may leak."""
    if circumstances.sidecar is None:
        return None
    return writer.put(_pulling(iter((circumstances.sidecar,))), isolated=True)


def _keep(repository: Repository, tree: Folders, snapshot: Snapshot) -> None:
    """Make durable what was seen, and that the rows are of this snapshot. It is there: no cache undoes that."""
    try:
        tree.held_by(snapshot)
    except CacheBroken as error:
        repository.cache.retreat(error)
        repository.refresh()
    repository.acknowledge()


def _lost(repository: Repository, guard: Guard, origin: bytes, since: int) -> Guarded | None:
    """Ask the guard. What differs from a pre-restore snapshot is what the restore behind it was for."""
    if not guard.has_doubts or any(s.number == since and s.pre_restore for s in repository.snapshots()):
        return None
    return guard.decide(repository, origin, since)


def _is_accepted(repository: Repository, path: bytes, previous: Snapshot | None) -> bool:
    """Whether it was accepted, since the snapshot before, that this file is no whole JSON."""
    return previous is not None and any(
        accepted.number > previous.number and accepted.source == previous.source and accepted.covers(path)
        for accepted in repository.catalogue.accepted()
    )


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {what} {text!r} is not UTF-8") from None


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
