"""First backup, restore and verify of one tree: what three of the questions ask."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from compare import prove_comparison, strict_difference
from harness import Bench, rounds, stored
from peers import Peer


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


def check_restored(bench: Bench, peer: Peer, source: Path, target: Path) -> None:
    """Compare strictly, and show that the comparison can fail."""
    found = list(islice(strict_difference(source, target), 3))
    for difference in found:
        print(f"{peer.name} restored: {difference}", file=sys.stderr)
    bench.control(f"{peer.name} restores the source exactly", not found)
    if not found:
        prove_comparison(source, target)
