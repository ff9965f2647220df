"""What was found, as a table to read and as JSON to keep."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness import Bench
from peers import ROOT

RESULTS = ROOT / ".bench" / "results"


def report(bench: Bench) -> int:
    """Set the goal that all questions share, then print and write all of it.

    Gives 1 if a control did not hold or `cas` failed: the figures mean nothing.
    """
    bench.goal_memory()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{bench.name}-{'full' if bench.full else 'quick'}.json"
    path.write_text(json.dumps(document(bench), indent=2, ensure_ascii=False) + "\n")
    print(f"\n{bench.question}  [{'full' if bench.full else 'quick'}]\n")
    print("\n".join(lines(bench)) + "\n")
    return 0 if all(bench.controls.values()) and "cas" not in bench.failures else 1


def lines(bench: Bench) -> list[str]:
    """Medians, one row a figure and one column a program; then goals, controls, failures, versions."""
    names = [peer.name for peer in bench.peers]
    rows = [["", *names, "cas : best peer"]]
    for figure in bench.figures:
        values = [bench.value(figure, name) for name in names]
        rows.append([figure, *(("-" if value is None else f"{value:,.4g}") for value in values), ratio(bench, figure)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    table += [""] + [f"beside it: {what}: {value:.4g}" for what, value in bench.beside.items()]
    table += [f"note: {remark}" for remark in bench.remarks]
    table += [
        f"goal {'reached' if goal.reached else 'MISSED '}: {goal.figure}: {goal.wanted}: {goal.found}"
        for goal in bench.goals
    ]
    table += [f"control {'held' if held else 'FAILED'}: {claim}" for claim, held in bench.controls.items()]
    table += [f"out of the race: {name}: {why}" for name, why in bench.failures.items()]
    return [*table, "; ".join(bench.versions.values()), ", ".join(filter(None, [machine(), busy()]))]


def ratio(bench: Bench, figure: str) -> str:
    """How `cas` stands to the best encrypting peer."""
    value, best = bench.value(figure), bench.best_peer(figure)
    return f"{value / best[1]:.3f} ({best[0]})" if value is not None and best and best[1] else ""


def document(bench: Bench) -> dict[str, object]:
    """Everything, every single value too."""
    return {
        "question": bench.question,
        "mode": "full" if bench.full else "quick",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "busy": busy(),
        "versions": bench.versions,
        "medians": {figure: {name: bench.value(figure, name) for name in by} for figure, by in bench.figures.items()},
        "values": bench.figures,
        "beside": bench.beside,
        "remarks": bench.remarks,
        "goals": [asdict(goal) for goal in bench.goals],
        "controls": [{"claim": claim, "held": held} for claim, held in bench.controls.items()],
        "failures": bench.failures,
    }


def machine() -> str:
    """In one line."""
    models = [row for row in Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name")]
    model = models[0].split(":")[1].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    return f"{os.cpu_count() or 1} cores of {model}, {memory:.0f} GiB, {system}"


def busy() -> str:
    """What to say if the machine has had other work as well."""
    load, cores = os.getloadavg()[1], os.cpu_count() or 1
    return f"BUSY with other work (load {load:.1f}): times mean little" if load > cores + 0.5 else ""
