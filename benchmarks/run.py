"""All benchmarks, one after the other: `BENCH=quick|full python run.py [NAME…]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
QUESTIONS = [
    "small_changes",
    "grown_log",
    "in_process",
    "flush",
    "many_snapshots",
    "few_of_many",
    "busy_folders",
    "unchanged",
    "unchanged_many",
    "small_edits",
    "rotated_logs",
    "real_history",
    "first_backup_log",
    "many_small_files",
    "incompressible",
]


def main() -> int:
    """1 if one of them found that its figures mean nothing; the others are run all the same."""
    failed = []
    for name in sys.argv[1:] or QUESTIONS:
        if subprocess.run([sys.executable, HERE / f"{name}.py"]).returncode:
            failed.append(name)
    if failed:
        print(f"no valid figures from: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
