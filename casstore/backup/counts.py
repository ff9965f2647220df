"""What a backup met."""

from __future__ import annotations

from casstore.values import dataclass


@dataclass(slots=True)
class Counts:
    """What a backup met; files unless it says otherwise, sizes in bytes."""

    files: int = 0
    folders: int = 0
    others: int = 0
    size: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    read: int = 0
    problems: int = 0
    torn: int = 0  # as saved, whether read now or not
    unproven_since_ns: int = 0  # see `Snapshot`

    def add(self, files: int, folders: int, others: int, size: int) -> None:
        """Add what a folder holds."""
        self.files += files
        self.folders += folders
        self.others += others
        self.size += size
