"""How fast, and how small, is a backup of very many small JSON files, its restore and the check of all of it?"""

from __future__ import annotations

import sys

from cycle import first_cycles
from harness import Bench
from inputs import small_files
from report import report


def main() -> int:
    """100,000 files in 256 folders, 98 MB; 5,000 when in a hurry."""
    bench = Bench("many_small_files", __doc__ or "")
    source = small_files(100_000 if bench.full else 5_000)
    first_cycles(bench, source, 3 if bench.full else 2)
    for verb, factor in {"first backup": 1.5, "restore": 1.5, "verify": 2}.items():
        bench.goal_times_as_fast(f"{verb}, s", factor)
    if bench.full:
        bench.goal_at_most("repository, MB", 20)
        bench.goal_share("repository, MB", 0.4)  # what that is of a peer that takes 50: these files are denser
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
