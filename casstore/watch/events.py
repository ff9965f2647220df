"""What a watcher tells of."""

from __future__ import annotations

from casstore.snapshot import Snapshot
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Watching:
    """Changes are listened to from now on, in so many folders."""

    origin: bytes
    folders: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot was taken; it is durable."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Something changed, but all that is saved is as the snapshot before has it: no snapshot."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No snapshot could be taken; told once for each reason. It is tried again, first after `retry_ns`."""

    error: Exception
    retry_ns: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What was told as Failed is over; `since_ns`: when the first attempt failed."""

    since_ns: int


WatchEvent = Watching | Taken | Unchanged | Failed | CaughtUp
