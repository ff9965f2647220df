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
    size, best = bench.value("repository, MB"), bench.best_peer("repository, MB")
    if size and best:
        bench.control("cas saves nothing here that others do not", size >= 0.999 * best[1])
        verdict = f"{size / best[1]:.4f} x what the best peer ({best[0]}) needs"
        bench.remarks.append(f"here cas must lose or draw: it stores {verdict}")
    bench.goal_at_most("repository, MB", 1.02 * (mebibytes << 20) / 1e6)
    bench.goal_times_as_fast("first backup, s", 1.0)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
