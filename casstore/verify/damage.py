"""What verify tells of."""

from __future__ import annotations

from casstore.snapshot import Snapshot
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written. `snapshot` and `path` say what it costs, where that is known."""

    where: str
    reason: str
    snapshot: Snapshot | None = None
    path: bytes = b""
