"""A day of a snapshot a minute, of a growing log and 8 JSON files: is the last as cheap as the first?"""

from __future__ import annotations

import sys
from itertools import accumulate

from changing import GrowingTree
from cycle import series
from harness import Bench, median
from news import news_bytes
from plot import plot
from report import RESULTS, report

APPENDED = 16 << 10  # a minute of a hundred requests
RECORDS = 12
ENDS = 10  # so many snapshots at either end are compared, since one alone says little


def main() -> int:
    """1,440 snapshots; in a hurry 60. Peers take as many as fit into their time."""
    bench = Bench("many_snapshots", __doc__ or "")
    tree = GrowingTree(bench.scratch / "source", log_mebibytes=2, tables=8)
    news = [news_bytes([(b"", path.read_bytes()) for path in tree.folder.iterdir()])]
    series(
        bench,
        tree.folder,
        1440 if bench.full else 60,
        lambda turn: news.append(news_bytes(tree.change(turn, log_bytes=APPENDED, records=RECORDS))),
    )
    bench.beside["the news, as zstd differences, mean kB a snapshot"] = sum(news[1:]) / len(news[1:]) / 1e3
    for peer in bench.peers:
        for cost, times in {"s": "as long", "CPU s": "as much CPU", "peak MiB": "as much memory"}.items():
            values = bench.figures[f"snapshot, {cost}"][peer.name]
            first, last = median(values[:ENDS]), median(values[-ENDS:])
            bench.note(peer, f"last snapshots to first, times {times}", (last or 0) / (first or 1))
        stored = growth(bench, peer.name)
        bench.note(peer, "repository to compressed news, times as large", stored[-1] * 1e6 / sum(news[: len(stored)]))
    bench.goal_at_most("last snapshots to first, times as long", 1.1)
    bench.goal_at_most("repository to compressed news, times as large", 1.6)
    code = report(bench)
    draw(bench)
    return code


def growth(bench: Bench, name: str) -> list[float]:
    """The length of a peer's repository in MB after each snapshot."""
    first = bench.figures["first snapshot, stored MB"][name][0]
    return list(accumulate((added / 1e3 for added in bench.figures["snapshot, stored kB"][name]), initial=first))


def draw(bench: Bench) -> None:
    """Two plots beside the JSON."""
    names = [peer.name for peer in bench.peers]
    mode = "full" if bench.full else "quick"
    sizes = {name: growth(bench, name) for name in names}
    times = {name: smooth(bench.figures["snapshot, s"][name]) for name in names}
    (RESULTS / f"growth-{mode}.svg").write_text(plot("Repository, MB, after so many snapshots", sizes))
    (RESULTS / f"time-{mode}.svg").write_text(plot("Seconds for a snapshot, whole process", times))


def smooth(values: list[float], reach: int = 7) -> list[float]:
    """Medians of the neighbourhood."""
    return [median(values[max(0, n - reach) : n + reach + 1]) or 0 for n in range(len(values))]


if __name__ == "__main__":
    sys.exit(main())
