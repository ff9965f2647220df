"""Control: random bytes, where nothing can be saved. `cas` must lose or draw, or doubt the rest."""

from __future__ import annotations

import sys

from cycle import first_cycles
from harness import Bench
from inputs import random_bytes
from report import report


def main() -> int:
    """256 MiB; 64 MiB when in a hurry."""
    bench = Bench("incompressible", __doc__ or "")
    mebibytes = 256 if bench.full else 64
    first_cycles(bench, random_bytes(mebibytes), 3 if bench.full else 2)
    for peer in bench.peers:
        size = bench.value("repository, MB", peer.name) or 0
        bench.control(f"{peer.name} stores at least what there is", size * 1e6 >= mebibytes << 20)
    bench.goal_at_most("repository, MB", 1.02 * (mebibytes << 20) / 1e6)
    bench.goal_times_as_fast("first backup, s", 1.0)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
