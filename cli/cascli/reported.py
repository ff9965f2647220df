"""The steps of a recovery, as they come to their end and all together."""

from __future__ import annotations

from cascli import render
from cascli.options import Common
from casstore.recovery.report import Done, Report


def step_lines(step: Done) -> list[str]:
    """Tell a step: its first line says how it went, its output follows below."""
    first, *rest = step.words.splitlines() or [""]
    head = f"{'ok    ' if step.ok else 'FAILED'}  {step.name:<12}  {render.duration(step.duration_ns):>7}  {first}"
    return [render.printable(line).rstrip() for line in (head, *(f"        {line}" for line in rest))]


def tell_step(options: Common, step: Done) -> None:
    """Say on stderr that a step came to its end; with --quiet only what failed."""
    if options.json:
        render.err(render.to_json({"message_type": "step", **step.fields()}))
    elif not (options.quiet and step.ok):
        for line in step_lines(step):
            render.err(line)


def report_fields(report: Report | None) -> list[dict[str, object]] | None:
    """Give a report as JSON."""
    return None if report is None else [step.fields() for step in report.steps]


def failed_words(report: Report) -> str:
    """Tell in one line what went wrong first."""
    return report.failed[0].words.partition("\n")[0] if report.failed else ""
