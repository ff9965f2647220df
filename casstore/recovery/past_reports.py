"""The reports of drills and recoveries that lie in the application's folder, read back.

Anybody may have written them: what is too large, or has another shape, is named and passed over. Whether one of a drill
is as it was noted is not seen here (recovery.due).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from casstore.recovery.report_files import DRILLS, RECOVERIES
from casstore.values import dataclass

MOST_BYTES = 1 << 20  # of a report
MOST_REPORTS = 1000  # the newest by name; names begin with the time


@dataclass(frozen=True, slots=True)
class PastStep:
    """A step of a report."""

    name: str
    ok: bool
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Past:
    """What a report says. `rpo_ns`, `rto_ns`: as they were measured; None: they were not."""

    at_ns: int
    kind: str  # "drill", "recovery"
    ok: bool
    rpo_ns: int | None = None
    rto_ns: int | None = None
    steps: tuple[PastStep, ...] = ()
    problems: tuple[str, ...] = ()


def read_reports(folder: Path, but: Collection[str] = ()) -> tuple[list[Past], list[str]]:
    """Read the reports in an application's folder `but` some, oldest first; and name those that cannot be read."""
    found: list[Past] = []
    unreadable: list[str] = []
    for path in chain(newest(folder / DRILLS), newest(folder / RECOVERIES)):
        name = str(path.relative_to(folder))
        if name in but:
            continue
        try:
            found.append(_read(path))
        except (OSError, ValueError, OverflowError, RecursionError):
            unreadable.append(name)
    return sorted(found, key=lambda past: past.at_ns), unreadable


def newest(folder: Path) -> list[Path]:
    """Give the reports in a folder of them, by their JSON; of too many the last."""
    return sorted(folder.glob("*.json"))[-MOST_REPORTS:]


def last_drill(reports: Sequence[Past]) -> Past | None:
    """Give the newest that is of a drill."""
    return next((past for past in reversed(reports) if past.kind == "drill"), None)


def _read(path: Path) -> Past:
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise ValueError("no report")
    told = json.loads(path.read_bytes())
    if not isinstance(told, dict) or not isinstance(told.get("ok"), bool):
        raise ValueError("no report")
    at = datetime.fromisoformat(_text(told.get("time")))
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    if told.get("kind") == "drill" and path.parent.name != DRILLS:
        raise ValueError("a drill where no note is asked for")
    facts = told.get("facts", {})
    facts = facts if isinstance(facts, dict) else {}
    steps = [_step(step) for step in _list(told.get("steps"))]
    problems = [_text(problem) for problem in _list(told.get("problems"))]
    return Past(
        round((at - datetime.fromtimestamp(0, UTC)).total_seconds()) * 10**9, _text(told.get("kind")), told["ok"],
        _rpo_ns(facts), _ns(facts.get("rto_seconds")), tuple(steps), tuple(problems),
    )  # fmt: skip


def _rpo_ns(facts: dict[str, Any]) -> int | None:
    """What a loss cost, or would have: a drill says it in minutes, a recovery as the age of its data."""
    return _ns(facts.get("rpo_minutes"), 60) if "rpo_minutes" in facts else _ns(facts.get("data_age_seconds"))


def _step(step: Any) -> PastStep:
    if not isinstance(step, dict):
        raise ValueError("a step that is none")
    return PastStep(_text(step.get("name")), step.get("ok") is True, _ns(step.get("duration")) or 0)


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _ns(count: object, of_seconds: int = 1) -> int | None:
    if isinstance(count, bool) or not isinstance(count, int | float) or not math.isfinite(count) or count < 0:
        return None
    return round(count * of_seconds * 10**9)
