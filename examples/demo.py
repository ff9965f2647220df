"""The main job on real input, in a minute: save an application at work, lose the whole server, be healthy again.

`make demo` runs it. Everything happens below `.demo`, with home folders of its own. Each line after `$` is a command
as you would type it, below it what that command really says. The first one that fails ends the demo with its code.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "massaflow"), str(HERE.parent / "benchmarks")]

from compare import strict_difference  # noqa: E402 - it lies with the benchmarks
from traffic import find_lost  # noqa: E402 - it lies with the application

DEMO = HERE.parent / ".demo"
CODE, KEPT, JOURNAL = DEMO / "code", DEMO / "as-saved", DEMO / "traffic.json"
SERVER, OFFSITE = DEMO / "server", DEMO / "offsite"
SNAPSHOTS = 6
PYTHON_INSTEAD = {
    'run = ["node", "server.mjs"]': 'run = ["python", "app.py", "serve"]',
    '["node", "check.mjs"]': '["python", "check.py"]',
    'require = { node = ">=18" }': 'require = { python = "*" }',
}


class Shop:
    """The application in its folder of the server, with that server's own home."""

    def __init__(self, port: int) -> None:
        self.folder, self.home, self.url = SERVER / "massaflow", SERVER / "home", f"http://127.0.0.1:{port}"

    def environment(self) -> dict[str, str]:
        """A user who has nothing configured: only the password, which else would be asked for."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            "HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "CAS_PASSWORD": "only-for-the-demo",
            "MASSAFLOW_CODE": str(CODE),
        }  # fmt: skip

    def run(self, line: str, *, show: bool = True, fine: tuple[int, ...] = (0,)) -> str:
        """Run a command in the shop's folder and hand back what it said; leave with its code if it fails."""
        if show:
            print(f"$ {line}", flush=True)
        done = subprocess.run(
            line.split(), cwd=self.folder, env=self.environment(), stdout=subprocess.PIPE, text=True,
            stderr=None if show else subprocess.DEVNULL,
        )  # fmt: skip
        if show and done.stdout:
            print(done.stdout, end="", flush=True)
        if done.returncode not in fine:
            print(f"demo: `{line}` ended with {done.returncode}", file=sys.stderr)
            sys.exit(done.returncode)
        return done.stdout

    def health(self) -> str:
        """What the running application says of itself; "" if nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as answer:
                return str(json.load(answer)["status"])
        except urllib.error.HTTPError as error:
            with error:
                return str(json.load(error)["status"])
        except OSError:
            return ""

    def start(self) -> subprocess.Popen[bytes]:
        """Run the server until somebody kills it; on return it is healthy."""
        command = ["node", "server.mjs"] if shutil.which("node") else ["python", "app.py", "serve"]
        server = subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while self.health() != "OK":
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("demo: the server does not come up")
            time.sleep(0.02)
        return server

    def sizes(self) -> list[int]:
        """Of every file in the repository."""
        return [path.stat().st_size for path in (self.folder / "backups" / "cas").rglob("*") if path.is_file()]

    def growth_by(self, line: str, *, show: bool = True) -> tuple[int, int]:
        """Run a command and count the files and bytes that the repository has more after it."""
        before = self.sizes()
        self.run(line, show=show)
        after = self.sizes()
        return len(after) - len(before), sum(after) - sum(before)


def main() -> int:
    """The whole story; 1 if what came back is not what was there."""
    shutil.rmtree(DEMO, ignore_errors=True)
    port, rehearsal = free_ports()
    shop = Shop(port)
    make(shop, port, rehearsal)
    server = shop.start()
    try:
        grown, until_ns = live(shop, server)
    finally:
        server.kill()
        server.wait()
    lose(shop)
    journal = json.loads(JOURNAL.read_bytes())
    if not find_lost(journal, shop.folder, until_ns):
        return fail("nothing seems to be lost in a folder that is empty")
    with stopped_at_the_end(shop):
        return recover(shop, journal, until_ns, grown)


def make(shop: Shop, port: int, rehearsal: int) -> None:
    """The code in a place of its own, as a git server would hold it, and the first server."""
    shutil.copytree(HERE / "massaflow", CODE, ignore=shutil.ignore_patterns("__pycache__"))
    config = (CODE / "cas.toml").read_text(encoding="utf-8").replace("3999", str(rehearsal))
    if shutil.which("node") is None:
        print("Node is not installed: a stand-in of the same behaviour, in Python, takes its place.")
        for node, python in PYTHON_INSTEAD.items():
            config = config.replace(node, python)
    (CODE / "cas.toml").write_text(config, encoding="utf-8")
    shutil.copytree(CODE, shop.folder)
    say("A small shop: 11 tables of JSON, an encrypted vault, an event log; code, cas.toml and .env.local beside them.")
    shop.run("python app.py seed")
    env = shop.folder / ".env.local"
    lines = [line for line in env.read_text().splitlines() if not line.startswith("PORT=")]
    env.write_text("\n".join([*lines, f"PORT={port}", "FLUSH_EVERY=600", ""]))
    shop.run("du -sh data engagement_events.log")
    say("A repository, for what cas.toml says.")
    shop.run("cas init")


def live(shop: Shop, server: subprocess.Popen[bytes]) -> tuple[list[tuple[int, int]], int]:
    """Snapshots while customers come; gives their costs, and the moment (ns) up to which nothing may be lost."""
    say("The server runs, keeps changes in memory, and customers come. Before each snapshot cas asks it to flush.")
    customers = subprocess.Popen(
        [sys.executable, HERE / "massaflow" / "traffic.py", "drive", shop.url, "--seconds", "600", "--rate", "60",
         "--journal", JOURNAL], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        grown, until_ns = [], 0
        for number in range(SNAPSHOTS):
            time.sleep(1)
            until_ns = time.time_ns()
            grown.append(shop.growth_by("cas backup", show=number in (0, SNAPSHOTS - 1)))
        shop.run("cas snapshots")
        time.sleep(0.5)
        server.send_signal(signal.SIGKILL)
    finally:
        customers.terminate()
        said = customers.communicate()[0].strip()
    print(f"(requests of customers: {said})")
    return grown, until_ns


def lose(shop: Shop) -> None:
    """The whole server, home and keys too; what the last snapshot holds is kept aside, to compare with."""
    say("Disaster: the server was killed in mid-work, and its disk is gone. What is left is a copy of the repository.")
    shop.run(f"cas restore latest --target {KEPT}", show=False)
    shutil.copytree(shop.folder / "backups" / "cas", OFFSITE / "cas")
    shutil.rmtree(SERVER)
    shutil.copytree(OFFSITE, shop.folder / "backups")


def recover(shop: Shop, journal: dict[str, Any], until_ns: int, grown: list[tuple[int, int]]) -> int:
    """The new server: empty but for the repository, and one passphrase in somebody's head."""
    say("A bare server: an empty folder with that copy, and the passphrase. One command:")
    shop.run("cas recover -r backups/cas --yes")
    if shop.health() != "OK":
        return fail("the application is not healthy")
    if found := find_lost(journal, shop.folder, until_ns):
        return fail(f"{len(found)} changes that were acknowledged before the last flush are lost: {found[:5]}")
    if found := list(strict_difference(KEPT / "data", shop.folder / "data")):
        return fail("what came back is not what was saved: " + "; ".join(found[:5]))
    promised = sum(bool(one["acknowledged_ns"]) and one["acknowledged_ns"] <= until_ns for one in journal["requests"])
    say(f"Healthy. Compared record by record: all {promised} changes acknowledged before the last flush are there.")

    say("One table is spoilt by mistake; stop, restore, start, healthy:")
    (shop.folder / "data" / "dynamic" / "orders.json").write_text("[]")
    shop.run("cas restore latest data/dynamic/orders.json --restart --yes")
    if shop.health() != "OK":
        return fail("the application is not healthy after the restore")

    say("Everything is read back and proven; and the next disaster is rehearsed, beside the running application.")
    shop.run("cas verify")
    shop.run("cas drill")
    shop.run("cas status", fine=(0, 30))

    say("What each snapshot cost: all that the repository grew by, its history and the rounding of packs included.")
    print(table(json.loads(shop.run("cas snapshots --json", show=False)), grown))
    print(f"\nAll of it is in {os.path.relpath(DEMO)}: look around, then `make clean`.")
    return 0


def say(sentence: str) -> None:
    """What comes next, and why."""
    print(f"\n# {sentence}", flush=True)


def fail(sentence: str) -> int:
    """The demo has shown the opposite of what it should."""
    print(f"demo: {sentence}", file=sys.stderr)
    return 1


def free_ports() -> tuple[int, int]:
    """Two that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def stopped_at_the_end(shop: Shop) -> Iterator[None]:
    """End the application that `cas` started and that outlives it."""
    try:
        yield
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == shop.folder:
                    os.kill(int(process.name), signal.SIGTERM)
            except OSError:
                continue


def table(snapshots: list[dict[str, Any]], grown: list[tuple[int, int]]) -> str:
    """A row a snapshot that was measured."""
    rows = [["snapshot", "new", "changed", "bytes read", "bytes stored", "objects", "seconds"]]
    for snapshot, (objects, stored) in zip(snapshots, grown, strict=False):
        summary = snapshot["summary"]
        files = [str(summary["files_new"]), str(summary["files_changed"])]
        cost = [f"{summary['bytes_read']:,}", f"{stored:,}", str(objects), f"{summary['total_duration']:.2f}"]
        rows.append([snapshot["short_id"], *files, *cost])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
