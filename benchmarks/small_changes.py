"""What does a snapshot cost that saves 12 changed records and 60 new events of an application's 9 MB?"""

from __future__ import annotations

import sys
from pathlib import Path

from cycle import series
from harness import Bench
from inputs import massaflow_minute, massaflow_shop
from news import patch_bytes
from report import report

ROTATE_EVERY = 50  # the vault, encrypted anew, cannot be deduplicated
VAULT_BYTES = 25_000  # at least so much of it is new then


def main() -> int:
    """200 snapshots; in a hurry 51."""
    bench = Bench("small_changes", __doc__ or "")
    source = bench.scratch / "source"
    source.mkdir()
    shop = massaflow_shop(source)
    news: list[int] = []
    content = [all_bytes(source)]

    def minute(turn: int) -> None:
        massaflow_minute(shop, turn, rotate=rotated(turn))
        content.append(all_bytes(source))
        news.append(patch_bytes(content.pop(0), content[0]))

    series(bench, source, 200 if bench.full else ROTATE_EVERY + 1, minute)
    bench.beside["the news, as one zstd difference of the whole tree, mean kB"] = sum(news) / len(news) / 1e3
    for peer in bench.peers:
        for turn, kilobytes in enumerate(bench.figures["snapshot, stored kB"][peer.name]):
            if rotated(turn):
                claim = f"a new vault costs {peer.name} at least what is new of it"
                bench.control(claim, kilobytes * 1e3 >= VAULT_BYTES)
    bench.goal_at_most("snapshot, stored, mean kB", 5)
    bench.goal_at_most("snapshot, new objects", 2)
    return report(bench)


def rotated(turn: int) -> bool:
    """Whether this turn (from 0) encrypts the vault anew."""
    return turn % ROTATE_EVERY == ROTATE_EVERY - 1


def all_bytes(tree: Path) -> bytes:
    """Every file, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
