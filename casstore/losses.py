"""What guarded files lost, and that it was meant. Pure values; docs/format.md § Commit has their bytes."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from casstore.values import dataclass

Origin = tuple[str, str, bytes]  # what a snapshot was taken of: hostname, name, folder


class How(IntEnum):
    """What became of a guarded file."""

    VANISHED = 1
    EMPTY = 2
    BARE = 3  # `{}` or `[]`
    SHRANK = 4  # lost more than half of its size
    THINNED = 5  # lost more than half of its records


class Loss(NamedTuple):
    """A guarded file lost what it held. Numbers in bytes; for THINNED in records."""

    path: bytes
    how: How
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Guarded:
    """What guarded files lost since an earlier snapshot, which still holds it."""

    since: int  # number of that snapshot
    total: int
    losses: tuple[Loss, ...]  # the first of them


@dataclass(frozen=True, slots=True)
class Accepted:
    """The admin's word that what a source lost before this commit is meant. `paths`: with all below; () is all."""

    number: int
    source: Origin
    paths: tuple[bytes, ...]

    @property
    def covers_all(self) -> bool:
        """Whether every loss is accepted."""
        return not self.paths or b"" in self.paths

    def covers(self, path: bytes) -> bool:
        """Whether the loss of this path is accepted."""
        return self.covers_all or any(path == one or path.startswith(one + b"/") for one in self.paths)
