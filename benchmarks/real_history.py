"""What does each of 8 consecutive releases of a JSON file of 19 MB cost, as they really were?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cycle import series
from harness import Bench
from inputs import package_versions
from news import patch_bytes
from report import report

PACKAGE = "@mdn/browser-compat-data"
VERSIONS = [f"7.3.{number}" for number in range(8)]


def main() -> int:
    """The first is the first backup; 7 more, in a hurry 3."""
    bench = Bench("real_history", __doc__ or "")
    releases = [folder / "data.json" for folder in package_versions(PACKAGE, VERSIONS if bench.full else VERSIONS[:4])]
    source = bench.scratch / "source"
    source.mkdir()
    data = source / "data.json"
    shutil.copyfile(releases[0], data)
    news: list[int] = []

    def release(turn: int) -> None:
        news.append(patch_bytes(releases[turn].read_bytes(), releases[turn + 1].read_bytes()))
        shutil.copyfile(releases[turn + 1], data)

    series(bench, source, len(releases) - 1, release)
    bench.beside["the news, as one zstd difference, mean kB"] = sum(news) / len(news) / 1e3
    bench.control("each release differs from the one before", all(map(differ, releases, releases[1:])))
    bench.goal_at_most("snapshot, stored, mean kB", 150)
    return report(bench)


def differ(one: Path, other: Path) -> bool:
    """Whether two files hold other bytes."""
    return one.read_bytes() != other.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
