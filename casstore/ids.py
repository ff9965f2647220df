"""Names of stored things: 32 bytes each, kept apart by type.

A snapshot is shown and read in the letters z to k, one for each hex digit (z is 0, k is f), as Jujutsu does for change
ids: so an id can never be taken for a time, nor a time for an id.
"""

from __future__ import annotations

from typing import NewType

ChunkId = NewType("ChunkId", bytes)  # keyed BLAKE3 of type, length and content
PackId = NewType("PackId", bytes)  # SHA-256 of the whole stored file
SnapshotId = NewType("SnapshotId", bytes)  # SHA-256 of the stored bytes of its commit
SlotId = NewType("SlotId", bytes)  # 8 random bytes
HostId = NewType("HostId", bytes)  # first 16 bytes of SHA-256 of its public key

SHORT = 8  # letters of a snapshot id at first sight

_TO_LETTERS = str.maketrans("0123456789abcdef", "zyxwvutsrqponmlk")
_FROM_LETTERS = str.maketrans("zyxwvutsrqponmlk", "0123456789abcdef")


def to_letters(snapshot: bytes) -> str:
    """Spell an id in the letters z to k."""
    return snapshot.hex().translate(_TO_LETTERS)


def from_letters(letters: str) -> str | None:
    """Give the hex digits of an id or of the beginning of one; None if `letters` can be no id."""
    if not letters or len(letters) > 64 or set(letters) - set("zyxwvutsrqponmlk"):
        return None
    return letters.translate(_FROM_LETTERS)
