"""What does a snapshot cost when of 100,000 small JSON files 100 were written anew, 10 are new and 10 gone?"""

from __future__ import annotations

import sys

from changing import SmallFiles
from cycle import series
from harness import Bench
from inputs import settle
from report import report


def main() -> int:
    """10 such snapshots; in a hurry 3, of 5,000 files."""
    bench = Bench("busy_folders", __doc__ or "")
    tree = SmallFiles(bench.scratch / "source", 100_000 if bench.full else 5_000)
    settle(tree.folder)
    series(bench, tree.folder, 10 if bench.full else 3, lambda turn: tree.change(turn, changed=100, new=10, gone=10))
    bench.goal_at_most("snapshot, stored, mean kB", 60)
    bench.goal_times_as_fast("snapshot, s", 1 / 0.8)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
