"""How long does the snapshot of `grown_log.py` take inside a program that keeps the repository open?"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from changing import LOG, GrowingTree
from cycle import check_restored
from harness import Bench, run
from inputs import MIB
from peers import Peer, Room
from report import report

APPENDED = 20 << 10
RECORDS = 3
VERB = "snapshot in an open repository"


def main() -> int:
    """30 snapshots of a log of 256 MiB; in a hurry 10 of one of 64 MiB. Only `cas` can do this."""
    bench = Bench("in_process", __doc__ or "")
    bench.peers = [peer for peer in bench.peers if peer.name == "cas"]
    mebibytes, count = (256, 30) if bench.full else (64, 10)
    for peer in bench.peers:
        with bench.trial(peer):
            folder = bench.scratch / "source"
            folder.mkdir()
            room = bench.room(peer, folder)
            measure(bench, peer, room, mebibytes, count, declared=True)
            target = bench.empty(room)
            bench.run(peer, room, peer.restore, target)
            check_restored(bench, peer, folder, target)
            undeclared = bench.scratch / "undeclared"
            undeclared.mkdir()
            room = bench.room(peer, undeclared, "-switched-off")
            read = measure(bench, peer, room, mebibytes, 3, declared=False)
            bench.control("without `append-only`, all of the log is read and that is seen", read >= mebibytes * MIB)
    bench.goal_at_most(f"{VERB}, s", 0.02)
    return report(bench)


def measure(bench: Bench, peer: Peer, room: Room, mebibytes: int, count: int, *, declared: bool) -> int:
    """Run `snapshots` below in a process of its own; note what it found if that is the figure. Gives bytes read."""
    work = [str(room.repository), str(room.folder / "home"), str(room.source), str(mebibytes), str(count)]
    command = [sys.executable, __file__, *work, *(["declared"] if declared else [])]
    cost = run(command, bench.scratch, peer.environment(room) | {"PYTHONPATH": str(Path(__file__).parent)}, room.folder)
    each = json.loads(cost.output)
    if declared:
        for seconds, read in each:
            bench.note(peer, f"{VERB}, s", seconds)
            bench.note(peer, f"{VERB}, MB read", read / 1e6)
        bench.note(peer, f"{VERB}, peak MiB", cost.peak_bytes / 2**20)
    return min(read for _, read in each)


def snapshots(repository_folder: Path, home: Path, source: Path, mebibytes: int, count: int, declared: bool) -> None:
    """What an application would do: open once, then a snapshot after each change. Prints seconds and bytes read."""
    import casstore

    tree = GrowingTree(source, log_mebibytes=mebibytes, tables=1)
    patterns = (LOG.encode(),) if declared else ()
    places = casstore.Home(
        config=home / "config/casstore", state=home / "state/casstore", cache=home / "cache/casstore"
    )
    host = os.uname().nodename
    found = []
    with casstore.open(
        casstore.LocalBackend(repository_folder), places, hostname=host, now_ns=time.time_ns()
    ) as repository:
        watched = casstore.Source(os.fsencode(source), casstore.Selection(append_only=patterns), never=repository.never)
        for turn in range(count + 1):
            os.sync()
            read, begun = bytes_read(), time.perf_counter()
            casstore.backup(repository, watched, now_ns=time.time_ns(), zone_minutes=0, hostname=host)
            found.append((time.perf_counter() - begun, bytes_read() - read))
            if turn < count:
                tree.change(turn, log_bytes=APPENDED, records=RECORDS)
    print(json.dumps(found[1:]))


def bytes_read() -> int:
    """What this process read so far, from the page cache too."""
    return int(Path("/proc/self/io").read_text().split()[1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        folders = [Path(argument) for argument in sys.argv[1:4]]
        snapshots(*folders, int(sys.argv[4]), int(sys.argv[5]), declared=len(sys.argv) > 6)
    else:
        sys.exit(main())
