"""Write the results into README.md and the plots beside it: `python table.py [full|quick]`, after `make bench`.

Everything between the two marks of the README is replaced, so that no figure is ever typed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers import PEERS
from report import RESULTS
from run import QUESTIONS

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: written by table.py -->", "<!-- end of results -->"
PLOTS = {"growth": "the repository over the snapshots of `many_snapshots.py`", "time": "the time of each of them"}

Document = dict[str, Any]  # what report.py writes


def main() -> int:
    """1 if there is nothing to write."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "full"
    paths = [RESULTS / f"{question}-{mode}.json" for question in QUESTIONS]
    documents = {path.stem.removesuffix(f"-{mode}"): json.loads(path.read_text()) for path in paths if path.exists()}
    if not documents:
        print(f"there are no results: BENCH={mode} make bench", file=sys.stderr)
        return 1
    lines = markdown(documents)
    for name, what in PLOTS.items():
        if (plot := RESULTS / f"{name}-{mode}.svg").exists():
            shutil.copyfile(plot, HERE / f"{name}.svg")
            lines += ["", f"![{what}]({name}.svg)"]
    readme = HERE / "README.md"
    readme.write_text(replaced(readme.read_text(), lines))
    return 0


def replaced(text: str, lines: Sequence[str]) -> str:
    """Put the lines between the marks.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:begin] + "\n" + "\n".join(lines) + "\n" + text[end:]


def markdown(documents: dict[str, Document]) -> list[str]:
    """One table, its rows the figures that have goals, then where, when and with what it was measured."""
    present = {name for document in documents.values() for by in document["medians"].values() for name in by}
    names = [peer.name for peer in PEERS if peer.name in present]
    rows = [["question", "figure", *names, "goal", "found"]]
    rows.append(["---", "---", *("---:" for _ in names), "---", "---"])
    for question, document in documents.items():
        rows += question_rows(question, document, names)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    remarks = [f"- `{question}`: {remark}" for question, document in documents.items() for remark in noted(document)]
    return [*lines, "", *remarks, "", *circumstances(documents)]


def question_rows(question: str, document: Document, names: Sequence[str]) -> list[list[str]]:
    """One row a figure with goals; a figure with several names them all."""
    goals: dict[str, list[Document]] = {}
    for goal in document["goals"]:
        goals.setdefault(goal["figure"], []).append(goal)
    rows = []
    for number, (figure, wanted) in enumerate(goals.items()):
        medians = document["medians"][figure]
        values = [number_text(medians.get(name)) for name in names]
        found = "; ".join(f"{'reached' if goal['reached'] else '**missed**'}: {goal['found']}" for goal in wanted)
        texts = "; ".join(goal["wanted"] for goal in wanted)
        rows.append(["" if number else f"`{question}`", figure, *values, texts, found])
    return rows


def number_text(value: float | None) -> str:
    """Four digits, or a dash for nothing."""
    return "-" if value is None else f"{value:,.4g}"


def noted(document: Document) -> list[str]:
    """What must be said beside the figures; first of all whether they mean anything."""
    broken = [control["claim"] for control in document["controls"] if not control["held"]]
    failed = [f"**void**, this did not hold: {claim}" for claim in broken]
    out = [f"{name} failed and is left out" for name in document["failures"]]
    beside = [f"{what}: {value:.4g}" for what, value in document["beside"].items()]
    return [*failed, *document["remarks"], *out, *beside]


def circumstances(documents: dict[str, Document]) -> list[str]:
    """Machines, dates and versions; several if the questions were not asked at once."""
    found: dict[tuple[str, str], list[str]] = {}
    for question, document in documents.items():
        machine = f"{document['mode']} size, {document['machine']}"
        found.setdefault((document["date"][:10], machine), []).append(question)
    busy = [question for question, document in documents.items() if document["busy"]]
    versions = sorted({version for document in documents.values() for version in document["versions"].values()})
    whole = len(found) == 1
    measured = [
        f"Measured on {date}{'' if whole else ' (' + ', '.join(questions) + ')'}: {machine}."
        for (date, machine), questions in found.items()
    ]
    if busy:
        measured.append(f"The machine was busy with other work, so that times mean little, in: {', '.join(busy)}.")
    return [*measured, f"Versions: {'; '.join(versions)}."]


if __name__ == "__main__":
    sys.exit(main())
