"""A snapshot: a moment of a source, as its commit states it. A pure value."""

from __future__ import annotations

from dataclasses import dataclass

from casstore.entry import Root
from casstore.ids import HostId, SnapshotId


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Times in ns since 1970, lengths in bytes; counts are of files unless named otherwise."""

    id: SnapshotId
    number: int  # of its commit
    host: HostId
    clock_ns: int  # what the host's clock said
    time_ns: int  # what it is a snapshot of: settable; order is the number
    zone_minutes: int  # offset from UTC where it was taken
    hostname: str
    name: str
    tags: tuple[str, ...]
    origin: bytes
    pre_restore: bool
    manifest: Root
    program: str
    files: int
    folders: int
    others: int
    size: int
    new: int
    changed: int
    unchanged: int
    read: int
    added: int  # bytes of new chunks, in the clear
    stored: int  # bytes of the packs it brought
    problems: int  # entries that could not be saved
    torn: int
    duration_ns: int
    previous: int  # number of the snapshot before it of the same source, 0 if none
