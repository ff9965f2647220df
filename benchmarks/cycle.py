"""What most questions ask: a first cycle of backup, restore and verify, or a series of snapshots of a changing tree."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from compare import prove_comparison, strict_difference
from harness import Bench, rounds, stored
from peers import Peer, Room

RANDOM_BYTES = 50_000  # of the control at the end of a series


def first_cycles(bench: Bench, source: Path, count: int) -> None:
    """`count` rounds, each peer with a fresh repository in each of them."""
    for turn in rounds(count):
        for peer in bench.each(turn):
            with bench.trial(peer):
                first_cycle(bench, peer, source)


def first_cycle(bench: Bench, peer: Peer, source: Path) -> None:
    """One round of one peer. `cas` ends when what it restored is on disk, the peers earlier."""
    room = bench.room(peer, source)
    bench.measure(peer, room, "first backup", peer.backup, source)
    kept = stored(room.repository)
    bench.note(peer, "repository, MB", kept.apparent_bytes / 1e6)
    bench.note(peer, "repository on disk, MB", kept.disk_bytes / 1e6)
    bench.note(peer, "objects", len(kept.names))
    target = bench.empty(room)
    bench.measure(peer, room, "restore", peer.restore, target)
    check_restored(bench, peer, source, target)
    bench.measure(peer, room, "verify", peer.verify, source)


def series(bench: Bench, source: Path, count: int, change: Callable[[int], object]) -> None:
    """A first backup, then `count` times: `change(turn)` and a snapshot by each. Ends with the proof of it.

    A peer stops when its snapshots took 5 minutes together (12 s in a hurry), so that nobody waits for hours; what it
    took so far counts, and the report says how many. `cas` never stops.
    """
    allowed = 300 if bench.full else 12
    rooms = snapshots(bench, source, count, change, "snapshot", allowed)
    for peer in bench.peers:
        taken = len(bench.figures["snapshot, s"][peer.name])
        if taken < count:
            bench.remarks.append(f"{peer.name} took only {taken} of {count} snapshots, which lasted {allowed:g} s")
        for what in ("stored", "on disk"):
            added = bench.figures[f"snapshot, {what} kB"][peer.name]
            bench.note(peer, f"snapshot, {what}, mean kB", sum(added) / len(added))
    prove(bench, source, rooms, count + 1)


def snapshots(
    bench: Bench,
    source: Path,
    count: int,
    change: Callable[[int], object],
    verb: str,
    allowed: float,
    aside: str = "",
) -> dict[str, Room]:
    """The series without its proof; figures are called after `verb`, and rooms stand `aside` if so called."""
    rooms = {peer.name: bench.room(peer, source, aside) for peer in bench.peers}
    for peer in bench.each():
        with bench.trial(peer):
            bench.measure(peer, rooms[peer.name], f"first {verb}", peer.backup, source)
            bench.note(peer, f"first {verb}, stored MB", stored(rooms[peer.name].repository).apparent_bytes / 1e6)
    for turn in rounds(count):
        change(turn)
        for peer in bench.each(turn):
            if peer.name == "cas" or sum(bench.figures[f"{verb}, s"][peer.name]) < allowed:
                with bench.trial(peer):
                    snapshot(bench, peer, rooms[peer.name], turn + 1, verb)
    return rooms


def snapshot(bench: Bench, peer: Peer, room: Room, number: int, verb: str = "snapshot") -> None:
    """Save once more and look at what that added."""
    before = stored(room.repository)
    bench.measure(peer, room, verb, peer.backup, room.source, number)
    after = stored(room.repository)
    bench.note(peer, f"{verb}, stored kB", (after.apparent_bytes - before.apparent_bytes) / 1e3)
    bench.note(peer, f"{verb}, on disk kB", (after.disk_bytes - before.disk_bytes) / 1e3)
    bench.note(peer, f"{verb}, new objects", len(after.names - before.names))


def prove(bench: Bench, source: Path, rooms: dict[str, Room], number: int) -> None:
    """One snapshot more: random bytes must cost what they are, and all of it must come back."""
    for peer in bench.peers:
        kept = stored(rooms[peer.name].repository)
        bench.note(peer, "repository after all, MB", kept.apparent_bytes / 1e6)
        bench.note(peer, "repository after all, objects", len(kept.names))
    (source / "control.bin").write_bytes(os.urandom(RANDOM_BYTES))
    for peer in bench.each():
        room = rooms[peer.name]
        with bench.trial(peer):
            before = stored(room.repository).apparent_bytes
            bench.run(peer, room, peer.backup, source, number)
            grown = stored(room.repository).apparent_bytes - before
            bench.control(f"random bytes cost {peer.name} at least what they are", grown >= RANDOM_BYTES)
            target = bench.empty(room)
            bench.measure(peer, room, "restore", peer.restore, target, number)
            check_restored(bench, peer, source, target)
            bench.measure(peer, room, "verify", peer.verify, source)


def read_besides(bench: Bench, figure: str, plain: str, unit_bytes: float) -> None:
    """Note what the snapshots read besides what those called `plain` did, in units, and forget these."""
    for peer in bench.peers:
        with_it, without = bench.value("snapshot, MB read", peer.name), bench.value(f"{plain}, MB read", peer.name)
        if with_it is not None and without is not None:
            bench.note(peer, figure, max(0.0, with_it - without) * 1e6 / unit_bytes)
    bench.forget(plain)
    bench.forget(f"first {plain}")


def reads_when_switched_off(bench: Bench, source: Path, change: Callable[[], object], size: int) -> None:
    """Control: when nothing is declared append-only, all `size` bytes are read, and the measurement shows it."""
    peer = next((peer for peer in bench.peers if peer.name == "cas"), None)
    if peer is None:
        return
    with bench.trial(peer):
        room = bench.room(peer, source, "-switched-off")
        (source / "cas.toml").write_text("append-only = []\n")
        bench.run(peer, room, peer.backup, source)
        change()
        cost = bench.run(peer, room, peer.backup, source)
        bench.control("without `append-only`, cas reads all of the log and that is seen", cost.read_bytes >= size)


def check_restored(bench: Bench, peer: Peer, source: Path, target: Path) -> None:
    """Compare strictly, and show that the comparison can fail."""
    found = list(islice(strict_difference(source, target), 3))
    for difference in found:
        print(f"{peer.name} restored: {difference}", file=sys.stderr)
    bench.control(f"{peer.name} restores the source exactly", not found)
    if not found:
        prove_comparison(source, target)


def notices(bench: Bench, peer: Peer, room: Room, name: str, number: int) -> None:
    """Control: the file of this name, just changed, must be saved, else a fast answer was no answer."""
    before = stored(room.repository)
    bench.run(peer, room, peer.backup, room.source, number)
    target = bench.empty(room)
    bench.run(peer, room, peer.restore, target, number)
    saved = (target / name).read_bytes() == (room.source / name).read_bytes()
    bench.control(f"{peer.name} saves the one change", saved and stored(room.repository) != before)
