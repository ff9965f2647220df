"""What does a snapshot cost after three logs of 16 MiB were rotated by renaming?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from changing import DECLARED, log_lines, next_lines
from cycle import check_restored, read_besides, reads_when_switched_off, snapshot, snapshots
from harness import Bench, rounds
from inputs import MIB, text_log
from report import report

NAMES = ["access.log", "events.log", "worker.log"]
LOG_BYTES = 16 * MIB
BEGUN_BYTES = 4 << 10  # of each new log
TWO_CHUNKS = 2 * 256 << 10  # at most, as `cas` cuts


def main() -> int:
    """5 rotations, each of a fresh tree; in a hurry 2."""
    bench = Bench("rotated_logs", __doc__ or "")
    lines = log_lines()
    for turn in rounds(5 if bench.full else 2):
        source = bench.scratch / f"source-{turn}"
        fill(source)
        rooms = {peer.name: bench.room(peer, source) for peer in bench.peers}
        for peer in bench.each(turn):
            with bench.trial(peer):
                bench.run(peer, rooms[peer.name], peer.backup, source)
        rotate(source)
        for number, verb in enumerate(["snapshot", "snapshot after it"], 1):
            grow(source, lines)
            for peer in bench.each(turn):
                with bench.trial(peer):
                    snapshot(bench, peer, rooms[peer.name], number, verb)
        for peer in bench.each():
            with bench.trial(peer):
                target = bench.empty(rooms[peer.name])
                bench.run(peer, rooms[peer.name], peer.restore, target, 2)
                check_restored(bench, peer, source, target)
    plain = bench.scratch / "without"
    plain.mkdir()
    (plain / "cas.toml").write_text(DECLARED)
    snapshots(bench, plain, 3, lambda _: grow(plain, lines), "without rotated logs", 60, "-without")
    read_besides(bench, "of rotated logs read, MB", "without rotated logs", 1e6)
    off = bench.scratch / "off"
    fill(off)
    reads_when_switched_off(bench, off, lambda: rotate(off), len(NAMES) * LOG_BYTES)
    bench.goal_at_most("snapshot, stored kB", 10)
    bench.goal_at_most("of rotated logs read, MB", len(NAMES) * TWO_CHUNKS / 1e6)
    return report(bench)


def fill(source: Path) -> None:
    """Three full logs, and a cas.toml that calls them append-only."""
    source.mkdir()
    (source / "cas.toml").write_text(DECLARED)
    text = (text_log(len(NAMES) * LOG_BYTES // MIB) / "server.log").read_bytes()
    for number, name in enumerate(NAMES):
        (source / name).write_bytes(text[number * LOG_BYTES : (number + 1) * LOG_BYTES])


def rotate(source: Path) -> None:
    """As `logrotate` does without being told otherwise."""
    for name in NAMES:
        (source / name).rename(source / f"{name}.1")


def grow(source: Path, lines: Iterator[bytes]) -> None:
    """Begin each new log, or go on with it."""
    for name in NAMES:
        with (source / name).open("ab") as log:
            log.write(next_lines(lines, BEGUN_BYTES))


if __name__ == "__main__":
    sys.exit(main())
