"""How long does a backup take, as a whole process, when none of 100,000 small files changed?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cycle import notices
from harness import Bench, rounds
from inputs import settle, small_files
from report import report


def main() -> int:
    """9 such backups of 100,000 files in 256 folders; in a hurry 5, of 5,000."""
    bench = Bench("unchanged_many", __doc__ or "")
    source = small_files(100_000 if bench.full else 5_000)
    settle(source)
    rooms = {peer.name: bench.room(peer, source) for peer in bench.peers}
    for peer in bench.each():
        with bench.trial(peer):
            bench.run(peer, rooms[peer.name], peer.backup, source)
    count = 9 if bench.full else 5
    for turn in rounds(count):
        for peer in bench.each(turn):
            with bench.trial(peer):
                bench.measure(peer, rooms[peer.name], "unchanged", peer.backup, source, turn + 1)
    with one_file_more(source / "00" / "control.json") as name:
        for peer in bench.each():
            with bench.trial(peer):
                notices(bench, peer, rooms[peer.name], name, count + 1)
    bench.goal_times_as_fast("unchanged, s", 2)
    if bench.full:
        bench.goal_at_most("unchanged, s", 0.8)
    return report(bench)


@contextmanager
def one_file_more(path: Path) -> Iterator[str]:
    """A file that is there for a while, in a tree that others use again."""
    times = path.parent.stat()
    path.write_text("{}")
    try:
        yield f"{path.parent.name}/{path.name}"
    finally:
        path.unlink()
        os.utime(path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))


if __name__ == "__main__":
    sys.exit(main())
