"""What a look found: a line each, how bad it is, and what to do about it. `cas status` and `cas doctor` show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

from casstore.values import dataclass


class Level(IntEnum):
    """How bad it is; the larger the worse."""

    OK = 0
    WARNING = 1
    FAILURE = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what it is about, what was found, and what to do. Names in it are not escaped yet."""

    topic: str
    level: Level
    text: str
    todo: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Give how bad it is on the whole."""
    return max((finding.level for finding in findings), default=Level.OK)


def worst_first(findings: Iterable[Finding]) -> Sequence[Finding]:
    """Order them by how bad they are; what is equally bad stays in order."""
    return sorted(findings, key=lambda finding: -finding.level)
