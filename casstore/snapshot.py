"""A moment of a source, as its commit tells it. Pure value; docs/format.md § Commit has its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from casstore.entry import Root
from casstore.ids import HostId, SnapshotId
from casstore.losses import Guarded, Origin
from casstore.values import dataclass


class Asked(IntEnum):
    """How the application was asked to flush."""

    HTTP = 1
    SIGNAL = 2
    COMMAND = 3


class Outcome(IntEnum):
    """What came of asking."""

    ACKNOWLEDGED = 1
    NOT_RUNNING = 2
    REFUSED = 3
    TIMED_OUT = 4
    FAILED = 5  # it could not be asked


@dataclass(frozen=True, slots=True)
class Flush:
    """Before the files were read, what writes them was asked to write all that it held in memory."""

    how: Asked
    outcome: Outcome
    after_ms: int
    required: bool = False

    @property
    def is_flushed(self) -> bool:
        """Whether the files hold all; what does not run holds nothing back."""
        return self.outcome in (Outcome.ACKNOWLEDGED, Outcome.NOT_RUNNING)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the caller knows of the moment in which a tree is read. Kept beside the tree; no restore brings it back."""

    flush: Flush | None = None
    fingerprints: tuple[tuple[str, bytes], ...] = ()  # name and 16 bytes (crypto.Keys.fingerprint_of), in their order
    sidecar: bytes | None = None  # whatever should be at hand on the day that the tree is restored
    unsaved: tuple[bytes, str] | None = None  # path and reason, if there should be one and cannot be


NOTHING_KNOWN = Circumstances()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot says of itself. Not committed yet: number 0, and `id`, `host` are zeros."""

    id: SnapshotId
    number: int  # of its commit in the ledger: the only order that holds
    host: HostId
    clock_ns: int  # what the host's clock said
    time_ns: int  # claimed: settable, and older than the clock for imports
    zone_minutes: int  # offset from UTC where it was taken
    hostname: str
    name: str
    tags: tuple[str, ...]
    origin: bytes  # absolute folder
    pre_restore: bool
    manifest: Root
    program: str
    files: int
    folders: int
    others: int
    new: int  # files, as are the next two
    changed: int
    unchanged: int
    problems: int  # more than 0: incomplete
    torn: int
    size: int  # bytes of all files
    read: int  # bytes read
    added: int  # bytes of new chunks, in the clear
    stored: int  # bytes of packs written
    duration_ns: int
    previous: int  # number of the snapshot before it of the same source; 0: none
    unproven_since_ns: int = 0  # an append-only file was found rewritten, and was last read whole then
    guarded: Guarded | None = None
    flush: Flush | None = None  # None: nobody was asked
    imported: bool = False  # read from an older copy of the origin, made at `time_ns`, and never pre-restore

    @property
    def is_unflushed(self) -> bool:
        """Whether something may have been in memory only."""
        return self.flush is not None and not self.flush.is_flushed

    @property
    def source(self) -> Origin:
        """What it was taken of."""
        return self.hostname, self.name, self.origin


def unproven(snapshots: Sequence[Snapshot]) -> frozenset[int]:
    """Give the numbers of those that may hold an append-only file wrongly.

    They were taken after it was last read whole and before it was found rewritten. What is imported is read whole.
    """
    found: set[int] = set()
    for finder in snapshots:
        if finder.unproven_since_ns:
            found.update(
                s.number
                for s in snapshots
                if s.number < finder.number
                and s.clock_ns > finder.unproven_since_ns
                and s.source == finder.source
                and not s.imported
            )
    return frozenset(found)
