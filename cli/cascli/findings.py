"""How `cas status` and `cas doctor` show what they found: what is wrong first, and with it what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cascli import render
from cascli.opening import home
from casstore.errors import RestoreUnfinished
from casstore.recovery.findings import Finding, Level, worst_first
from casstore.recovery.stopped import refuse_stopped
from casstore.restore import refuse_unfinished

WORDS = {Level.OK: "ok", Level.WARNING: "warning", Level.FAILURE: "FAILURE"}


def unfinished(folder: Path) -> list[Finding]:
    """Tell of a restore that did not come to its end, for which backups are refused."""
    try:
        refuse_unfinished(folder)
        refuse_stopped(home().state, folder)
    except RestoreUnfinished as error:
        return [Finding("restore", Level.FAILURE, str(error), error.hint)]
    return []


def shown(findings: Sequence[Finding], *, quiet: bool) -> list[str]:
    """Give the lines; `quiet` leaves out what is well."""
    found = [finding for finding in worst_first(findings) if finding.level or not quiet]
    width = max((len(finding.topic) for finding in found), default=0)
    lines = []
    for finding in found:
        lines.append(f"  {WORDS[finding.level]:<7}  {finding.topic:<{width}}  {render.printable(finding.text)}")
        if finding.todo:
            lines.append(f"  {'':<7}  {'':<{width}}  → {render.printable(finding.todo)}")
    return lines


def fields(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Give them as JSON."""
    return [
        {"topic": one.topic, "level": one.level.name.lower(), "text": one.text, "todo": one.todo}
        for one in worst_first(list(findings))
    ]


def counted(findings: Iterable[Finding]) -> str:
    """Say how many are how bad."""
    levels = [finding.level for finding in findings]
    failures, warnings = levels.count(Level.FAILURE), levels.count(Level.WARNING)
    said = [render.count(failures, "failure")] if failures else []
    said += [render.count(warnings, "warning")] if warnings else []
    return ", ".join(said) or "all is well"
