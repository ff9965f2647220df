"""The main job on real input, in half a minute: save an application that goes on working, lose a file, get it back.

`make demo` runs it. Everything happens below `.demo`, with a home folder of its own. Each line after `$` is a command
as you would type it, below it what that command really says. The first one that fails ends the demo with its code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from compare import differences, strict_difference  # noqa: E402 - it lies with the benchmarks

DEMO = HERE.parent / ".demo"
SHOP, HOME, KEPT = DEMO / "massaflow", DEMO / "home", DEMO / "as-it-was"
MINUTES = 8
LOG, VICTIM = "engagement_events.log", "dynamic/orders.json"


def main() -> int:
    """The whole story; 1 if what came back is not what was there."""
    shutil.rmtree(DEMO, ignore_errors=True)
    SHOP.mkdir(parents=True)
    shutil.copytree(HERE / "massaflow", SHOP, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    say("A small shop: 11 tables of JSON, an encrypted vault, an event log.")
    run("python app.py seed")
    run("du -sh data engagement_events.log")
    say("A repository, and a cas.toml that says what to save.")
    run("cas init data engagement_events.log")
    say("The first snapshot.")
    grown = [growth_by("cas backup")]
    say(f"{MINUTES} minutes of business, a snapshot after each; in the last but one the vault is encrypted anew.")
    for minute in range(1, MINUTES + 1):
        vault = " --rotate-vault" if minute == MINUTES - 1 else ""
        run(f"python app.py work --records 12 --events 60{vault}")
        grown.append(growth_by("cas backup", show=minute == 1))
    run("cas snapshots")
    say("Read everything back and prove it whole.")
    run("cas verify")

    say("Disaster: a table is gone.")
    keep_copy()
    run(f"rm data/{VICTIM}")
    if f"{VICTIM} is missing" not in changes():
        return fail("the comparison does not see that a file is gone")
    run("cas restore latest --yes")
    run("python app.py health")
    if found := changes():
        return fail("what came back is not what was there: " + "; ".join(found[:5]))
    say("Compared: every byte, mode and time (in ns) is what it was before the disaster.")

    say("What each snapshot cost: all that the repository grew by, its history and the rounding of packs included.")
    print(table(json.loads(run("cas snapshots --json", show=False)), grown))
    print(f"\nAll of it is in {os.path.relpath(DEMO)}: look around, then `make clean`.")
    return 0


def say(sentence: str) -> None:
    """What comes next, and why."""
    print(f"\n# {sentence}", flush=True)


def fail(sentence: str) -> int:
    """The demo has shown the opposite of what it should."""
    print(f"demo: {sentence}", file=sys.stderr)
    return 1


def run(line: str, *, show: bool = True) -> str:
    """Run a command in the shop's folder and hand back what it said; leave with its code if it fails."""
    if show:
        print(f"$ {line}", flush=True)
    done = subprocess.run(line.split(), cwd=SHOP, env=environment(), stdout=subprocess.PIPE, text=True)
    if show and done.stdout:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        print(f"demo: `{line}` ended with {done.returncode}", file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout


def growth_by(line: str, *, show: bool = True) -> tuple[int, int]:
    """Run a command and count the files and bytes that the repository has more after it."""
    before = sizes()
    run(line, show=show)
    after = sizes()
    return len(after) - len(before), sum(after) - sum(before)


def sizes() -> list[int]:
    """Of every file in the repository."""
    return [path.stat().st_size for path in (SHOP / "backups" / "cas").rglob("*") if path.is_file()]


def environment() -> dict[str, str]:
    """A user who has nothing configured: only the password, which else would be asked for."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(HOME), "PATH": path, "LANG": "C.UTF-8", "CAS_PASSWORD": "only-for-the-demo"}


def keep_copy() -> None:
    """What the shop's data is now, to compare with later."""
    KEPT.mkdir()
    shutil.copytree(SHOP / "data", KEPT / "data")
    shutil.copy2(SHOP / LOG, KEPT / LOG)


def changes() -> list[str]:
    """What is not as in the copy."""
    return [*strict_difference(KEPT / "data", SHOP / "data"), *differences(KEPT / LOG, SHOP / LOG)]


def table(snapshots: list[dict[str, Any]], grown: list[tuple[int, int]]) -> str:
    """A row a snapshot. The one that the restore took by itself was not measured."""
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
