"""A content-addressed, deduplicating, encrypted snapshot store. What stands here is the public API."""

from casstore.errors import CasError, Damaged
from casstore.ids import SnapshotId

__all__ = ["CasError", "Damaged", "SnapshotId"]
