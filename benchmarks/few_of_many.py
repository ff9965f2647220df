"""What does a snapshot cost when 20 of 20,000 small JSON files were written anew?"""

from __future__ import annotations

import sys

from changing import SmallFiles
from cycle import series
from harness import Bench
from inputs import settle
from report import report


def main() -> int:
    """40 such snapshots; in a hurry 6, of 4,000 files."""
    bench = Bench("few_of_many", __doc__ or "")
    tree = SmallFiles(bench.scratch / "source", 20_000 if bench.full else 4_000)
    settle(tree.folder)
    series(bench, tree.folder, 40 if bench.full else 6, lambda turn: tree.change(turn, changed=20))
    bench.goal_at_most("snapshot, stored, mean kB", 12)
    bench.goal_times_as_fast("snapshot, s", 1)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
