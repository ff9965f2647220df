"""What does a snapshot cost when 20 places of a file of 128 MiB were edited, half of them with other lengths?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from random import Random

from cycle import series
from harness import Bench
from inputs import MIB, text_log
from report import report

PLACES = 20
EDIT_BYTES = 900  # of noise, which does not compress


def main() -> int:
    """5 such snapshots; in a hurry 3, of a file of 32 MiB."""
    bench = Bench("small_edits", __doc__ or "")
    mebibytes = 128 if bench.full else 32
    source = bench.scratch / "source"
    source.mkdir()
    path = source / "store.db"
    shutil.copyfile(text_log(mebibytes) / "server.log", path)
    series(bench, source, 5 if bench.full else 3, lambda turn: edit(path, turn, mebibytes * MIB))
    new = PLACES * EDIT_BYTES / 1e3
    bench.beside["new bytes in each snapshot, none of which compress, kB"] = new
    for peer in bench.peers:
        cheapest = min(bench.figures["snapshot, stored kB"][peer.name], default=0)
        bench.control(f"{peer.name} stores at least what is new", cheapest >= new)
    bench.goal_at_most("snapshot, stored, mean kB", 40)
    return report(bench)


def edit(path: Path, turn: int, size: int) -> None:
    """Write noise over 10 places and insert some at 10 others."""
    random = Random(turn)
    places = sorted(random.sample(range(size - EDIT_BYTES), PLACES))
    old = path.read_bytes()
    with path.open("wb") as file:
        done = 0
        for number, place in enumerate(places):
            file.write(old[done:place] + random.randbytes(EDIT_BYTES))
            done = place + EDIT_BYTES * (number % 2)
        file.write(old[done:])


if __name__ == "__main__":
    sys.exit(main())
