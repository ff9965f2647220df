"""How fast are the first backup of a large text log, its restore and the check of all of it?"""

from __future__ import annotations

import sys

from cycle import first_cycles
from harness import Bench
from inputs import text_log
from report import report


def main() -> int:
    """1 GiB; 128 MiB when in a hurry."""
    bench = Bench("first_backup_log", __doc__ or "")
    first_cycles(bench, text_log(1024 if bench.full else 128), 3 if bench.full else 2)
    for verb, factor in {"first backup": 2, "restore": 1.2, "verify": 2.5}.items():
        bench.goal_times_as_fast(f"{verb}, s", factor)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
