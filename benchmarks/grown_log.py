"""What does a snapshot cost when 20 KiB were appended to a 256 MiB log and one JSON file of 170 kB was written anew?"""

from __future__ import annotations

import sys

from changing import GrowingTree
from cycle import read_besides, reads_when_switched_off, series, snapshots
from harness import Bench
from inputs import MIB
from news import news_bytes
from report import report

APPENDED = 20 << 10
RECORDS = 3


def main() -> int:
    """20 such snapshots; in a hurry 5, and a log of 64 MiB."""
    bench = Bench("grown_log", __doc__ or "")
    mebibytes, count = (256, 20) if bench.full else (64, 5)
    tree = GrowingTree(bench.scratch / "source", log_mebibytes=mebibytes, tables=1)
    news: list[int] = []
    series(
        bench,
        tree.folder,
        count,
        lambda turn: news.append(news_bytes(tree.change(turn, log_bytes=APPENDED, records=RECORDS))),
    )
    plain = GrowingTree(bench.scratch / "without", log_mebibytes=0, tables=1)
    snapshots(bench, plain.folder, 3, lambda turn: plain.rewrite(turn, RECORDS), "without the log", 60, "-without")
    read_besides(bench, "of the log read, %", "without the log", mebibytes * MIB / 100)
    reads_when_switched_off(bench, tree.folder, lambda: tree.append(APPENDED), mebibytes * MIB)
    bench.beside["the news, as zstd differences, mean kB"] = sum(news) / len(news) / 1e3
    bench.goal_at_most("snapshot, stored, mean kB", 7)
    bench.goal_at_most("snapshot, new objects", 2)
    bench.goal_at_most("of the log read, %", 0.2)
    bench.goal_at_most("snapshot, s", 0.15)
    bench.goal_times_as_fast("snapshot, s", 2)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
