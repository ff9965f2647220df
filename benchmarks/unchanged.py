"""How long does a backup take, as a whole process, when nothing changed?"""

from __future__ import annotations

import sys
from pathlib import Path

from cycle import notices
from harness import Bench, rounds, run
from inputs import massaflow_shop, settle
from report import report

IMPORTS = """
import click, blake3, msgpack, sqlite3, tomllib
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.ciphers import aead
"""


def main() -> int:
    """The example application's 9 MB; beside it what Python itself takes."""
    bench = Bench("unchanged", __doc__ or "")
    source = bench.scratch / "source"
    source.mkdir()
    shop = massaflow_shop(source)
    settle(source)
    rooms = {peer.name: bench.room(peer, source) for peer in bench.peers}
    for number in (0, 1):
        for peer in bench.each():
            with bench.trial(peer):
                bench.run(peer, rooms[peer.name], peer.backup, source, number)
    for turn in rounds(25 if bench.full else 9):
        for peer in bench.each(turn):
            with bench.trial(peer):
                bench.measure(peer, rooms[peer.name], "unchanged", peer.backup, source, number=turn + 2)
        python(bench, "bare start of Python, s", "pass")
        python(bench, "Python with the imports that a backup needs, s", IMPORTS)
    shop.append([{"event": "control"}])
    for peer in bench.each():
        with bench.trial(peer):
            notices(bench, peer, rooms[peer.name], shop.log.name, 1000)
    bench.goal_at_most("unchanged, s", 0.2)
    bench.goal_times_as_fast("unchanged, s", 2)
    for what in [figure for figure in bench.figures if "Python" in figure]:
        bench.beside[what] = bench.value(what, "python") or 0
        del bench.figures[what]
    return report(bench)


def python(bench: Bench, what: str, code: str) -> None:
    """Run this Python as `cas` is run."""
    environment = {"HOME": str(bench.scratch), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    cost = run([sys.executable, "-c", code], Path(bench.scratch), environment, bench.scratch)
    bench.figures[what]["python"].append(cost.seconds)


if __name__ == "__main__":
    sys.exit(main())
