"""An open repository for one command, and the snapshot that was meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cascli import render
from cascli.display import flush_fields, flush_words, loss_fields, note
from cascli.opening import open_repository
from cascli.world import World
from casstore import moments
from casstore.anchor import AnchorUnwritable
from casstore.database import CacheFails
from casstore.ids import SHORT, to_letters
from casstore.repository import Repository
from casstore.snapshot import Snapshot

if TYPE_CHECKING:  # `cas backup` does without
    from casstore.doubts import Doubts


@contextmanager
def using(world: World, *, writes: bool = False) -> Iterator[Repository]:
    """Open the repository, follow its ledger, close it.

    What only reads goes on where this host cannot keep what it saw. What writes is refused there, before it begins.
    """
    repository = open_repository(world)
    try:
        if writes:
            repository.refresh()
            repository.check_writable()
            repository.acknowledge()
            warn_of_damage(world, repository)
        else:
            follow(world, repository)
        yield repository
    finally:
        repository.close()


def follow(world: World, repository: Repository) -> None:
    """Read what is new in the ledger and remember it; where that is impossible, say so and go on."""
    trouble = ""
    try:
        repository.refresh()
    except CacheFails as error:
        repository.cache.retreat(error)
        repository.refresh()
    try:
        repository.acknowledge()
    except AnchorUnwritable as error:
        trouble = str(error)
    warn_of_damage(world, repository, trouble)


def warn_of_damage(world: World, repository: Repository, trouble: str = "") -> None:
    """Say what could not be read on the way, or be remembered; the command goes on with the rest."""
    troubles = "; ".join(one for one in (trouble, repository.cache.trouble) if one)
    if troubles:
        text = f"warning: {render.name(troubles)}. The work goes on, and this host remembers nothing of it."
        note(world.options, text, "warning")
    for name, error in repository.damaged:
        note(world.options, f"warning: {name}: {error}", "warning")
    if repository.damaged:
        note(world.options, "`cas verify` says what this costs.", "warning")


def choose(
    world: World, repository: Repository, text: str, *, host: str | None = None, name: str | None = None
) -> Snapshot:
    """Find the snapshot that is meant.

    Where a cas.toml names both repository and application, a moment means a snapshot of that application: two
    applications may share a repository, and `latest` must not bring the other's files.

    Raises:
        SnapshotNotFound: none, or more than one.
    """
    snapshots = repository.snapshots()
    doubts: Doubts | None = None

    def is_good(snapshot: Snapshot) -> bool:
        nonlocal doubts
        doubts = doubts or doubts_of(repository)
        return doubts.is_good(snapshot)

    among = _among(world, snapshots, host, name)
    return moments.resolve(text, snapshots, world.now_ns, among=among, of=_narrowed(host, name), is_good=is_good)


def _narrowed(host: str | None, name: str | None) -> str:
    called = "" if name is None else f"called `{render.name(name)}`"
    return " ".join(filter(None, (called, "" if host is None else f"on {render.name(host)}")))


def _among(
    world: World, snapshots: Sequence[Snapshot], host: str | None, name: str | None
) -> Callable[[Snapshot], bool]:
    if name is None and world.found is not None:
        own = world.found.name
        if any(snapshot.name == own for snapshot in snapshots):
            name = own
    return lambda snapshot: (host is None or snapshot.hostname == host) and (name is None or snapshot.name == name)


def own_snapshots(
    world: World, repository: Repository, *, host: str | None = None, name: str | None = None
) -> list[Snapshot]:
    """Give the snapshots among which a moment chooses, in the order of the ledger."""
    snapshots = repository.snapshots()
    among = _among(world, snapshots, host, name)
    return [snapshot for snapshot in snapshots if among(snapshot)]


def of_here(world: World, snapshots: list[Snapshot]) -> list[Snapshot]:
    """Give those of the folder here, if there are any: what another host saves under the same name proves nothing."""
    if world.found is None:
        return snapshots
    source = (world.hostname, world.found.name, os.fsencode(world.found.folder))
    return [snapshot for snapshot in snapshots if snapshot.source == source] or snapshots


def doubts_of(repository: Repository) -> Doubts:
    """Judge the snapshots; the room is entered only where somebody asks."""
    from casstore.backup.regained import Regained
    from casstore.doubts import Doubts

    snapshots = repository.snapshots()
    return Doubts(snapshots, repository.catalogue.accepted(), holds=Regained(repository, snapshots))


def announce(world: World, snapshot: Snapshot, verb: str = "") -> None:
    """Say which snapshot answers, with offset and age, before anything is done."""
    if world.options.quiet or world.options.json:
        return
    whose = f"  {render.name(snapshot.name)}" if snapshot.name else ""
    kind = "  pre-restore" if snapshot.pre_restore else "  imported" if snapshot.imported else ""
    if snapshot.flush is not None and snapshot.is_unflushed:
        kind += f"  {flush_words(snapshot.flush)}"
    render.err(
        f"{verb or 'snapshot'} {moments.told(snapshot, world.now_ns)}{whose} on {render.name(snapshot.hostname)}{kind}"
    )


def announce_return(world: World, snapshot: Snapshot, verb: str) -> None:
    """Announce what comes back, and say what it lacks: nobody else will."""
    announce(world, snapshot, verb)
    if snapshot.problems:
        lacking = render.count(snapshot.problems, "entry", "entries")
        text = f"warning: {lacking} could not be saved whole when it was taken; `cas find NAME` shows older ones."
        note(world.options, text, "warning")


def iso(time_ns: int, zone_minutes: int) -> str:
    """Write a time to the ns as RFC 3339 does; one that it cannot write as seconds since 1970."""
    stamp = moments.stamp(time_ns, zone_minutes)
    if stamp.startswith("@"):
        return f"{stamp}.{time_ns % 10**9:09}"
    day, clock, zone = stamp.split(" ")
    return f"{day}T{clock}.{time_ns % 10**9:09}{zone}"


def snapshot_fields(snapshot: Snapshot) -> dict[str, object]:
    """Give a snapshot as restic's JSON does, with what is ours beside it."""
    letters = to_letters(snapshot.id)
    fields: dict[str, object] = {
        "id": letters,
        "short_id": letters[:SHORT],
        "number": snapshot.number,
        "time": iso(snapshot.time_ns, snapshot.zone_minutes),
        "clock": iso(snapshot.clock_ns, 0),
        "name": snapshot.name,
        "hostname": snapshot.hostname,
        "tags": list(snapshot.tags),
        **render.plain("origin", snapshot.origin),
        "program_version": snapshot.program,
        "pre_restore": snapshot.pre_restore,
        "imported": snapshot.imported,
        "complete": not (snapshot.problems or snapshot.torn),
        "guarded": [loss_fields(loss) for loss in snapshot.guarded.losses] if snapshot.guarded else [],
        "losses": snapshot.guarded.total if snapshot.guarded else 0,
        "flush": flush_fields(snapshot.flush),
    }
    summary = {
        "files": snapshot.files,
        "folders": snapshot.folders,
        "others": snapshot.others,
        "files_new": snapshot.new,
        "files_changed": snapshot.changed,
        "files_unmodified": snapshot.unchanged,
        "total_bytes_processed": snapshot.size,
        "bytes_read": snapshot.read,
        "data_added": snapshot.added,
        "data_added_packed": snapshot.stored,
        "problems": snapshot.problems,
        "torn": snapshot.torn,
        "total_duration": snapshot.duration_ns / 1e9,
    }
    return fields | {"summary": summary}
