"""What a verb tells while it works. A verb takes `progress`, a function of one event, and calls it from one thread."""

from __future__ import annotations

from collections.abc import Callable

from casstore.losses import Loss
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Advanced:
    """Work done so far; totals are 0 as long as they are not known."""

    files: int
    bytes: int
    total_files: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something was not saved, not restored or not restored whole: the work goes on and ends with exit code 3."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know, that costs nothing: the exit code stays."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something was saved, but looks as it should not, or makes earlier snapshots doubtful: the exit code stays."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Torn:
    """A JSON file was saved as it was caught, half-written: the work goes on and ends with exit code 3."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """A guarded file lost what it held: all is saved, and the work ends with exit code 4."""

    loss: Loss


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a longer verb begins."""

    name: str


Event = Advanced | Problem | Notice | Warned | Torn | Lost | Stage
Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Tell nobody."""
