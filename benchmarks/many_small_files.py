"""How fast, and how small, is a backup of very many small JSON files; and when nothing changed?"""

from __future__ import annotations

import sys

from cycle import first_cycles
from harness import Bench
from inputs import settle, small_files
from peers import USUAL
from report import report


def main() -> int:
    """100,000 files in 256 folders, 98 MB; 5,000 when in a hurry."""
    bench = Bench("many_small_files", __doc__ or "")
    source = small_files(100_000 if bench.full else 5_000)
    settle(source)
    first_cycles(bench, source, 3 if bench.full else 2)
    for turn in range(5 if bench.full else 3):
        for peer in bench.each(turn):  # into the repositories of the last round
            with bench.trial(peer):
                room = bench.kept_room(peer, source)
                bench.measure(peer, room, "unchanged", peer.backup, source, number=turn + 1)
    for verb in ("first backup", "restore", "verify", "unchanged"):
        bench.goal_times_as_fast(f"{verb}, s", 1.0, USUAL)
    bench.goal_at_most("first backup, peak MiB", 150)
    if bench.full:
        bench.goal_at_most("repository, MB", 20)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
