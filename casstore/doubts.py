"""Which snapshots are in doubt, and why: guarded files lost what they held or are torn, and nobody said it is meant.

A loss puts the snapshots of its source in doubt that are newer than the one compared with, until it is accepted, or up
to the first in which what was lost is back; a torn file only the snapshot it is in. `last-good` is the newest that is
in no doubt: retention must keep it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from casstore.errors import CasError
from casstore.losses import Accepted, Loss, Origin
from casstore.snapshot import Snapshot
from casstore.values import dataclass


class InDoubt(CasError):
    """What would be restored is the backup of a disaster, as far as the guard can tell."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Doubt:
    """Losses that nobody accepted. `unlisted`: more of them, of which the commit does not name the paths."""

    losses: tuple[Loss, ...]
    unlisted: int
    torn: int  # files in this snapshot

    def __bool__(self) -> bool:
        return bool(self.losses or self.unlisted or self.torn)


# Whether a snapshot holds again what was lost since the one of a number; None if it says nothing of that path.
Holds = Callable[[int, Snapshot, Loss], bool | None]
_NEVER = 1 << 63  # later than any number of a commit


@dataclass(frozen=True, slots=True)
class _Open:
    number: int
    time_ns: int
    since: int
    losses: tuple[Loss, ...]
    unlisted: int


class Doubts:
    """Judges the snapshots of a repository."""

    def __init__(
        self, snapshots: Iterable[Snapshot], accepted: Iterable[Accepted], *, holds: Holds = lambda *_: False
    ) -> None:
        """`holds` is asked of few snapshots, and only where there is a loss; without it a loss never ends by itself."""
        self._holds = holds
        self._ends: dict[tuple[int, bytes], int] = {}
        self._taken: dict[Origin, list[Snapshot]] = {}
        self._accepted: dict[Origin, list[Accepted]] = {}
        for one in accepted:
            self._accepted.setdefault(one.source, []).append(one)
        self._open: dict[Origin, list[_Open]] = {}
        for snapshot in snapshots:
            if not snapshot.imported:
                self._taken.setdefault(snapshot.source, []).append(snapshot)
            found = self._of_commit(snapshot)
            if found is not None:
                self._open.setdefault(snapshot.source, []).append(found)

    def _of_commit(self, snapshot: Snapshot) -> _Open | None:
        guarded = snapshot.guarded
        if guarded is None:
            return None
        accepted = self._behind(snapshot)
        losses = tuple(loss for loss in guarded.losses if not any(one.covers(loss.path) for one in accepted))
        unlisted = 0 if any(one.covers_all for one in accepted) else guarded.total - len(guarded.losses)
        return _Open(snapshot.number, snapshot.time_ns, guarded.since, losses, unlisted) if losses or unlisted else None

    def _behind(self, snapshot: Snapshot) -> list[Accepted]:
        return [one for one in self._accepted.get(snapshot.source, ()) if one.number > snapshot.number]

    def own(self, snapshot: Snapshot) -> Doubt:
        """Give what is in doubt in this snapshot for the first time, and what is torn in it."""
        found = [one for one in self._open.get(snapshot.source, ()) if one.number == snapshot.number]
        return self._doubt(snapshot, found)

    def _is_over(self, one: _Open, loss: Loss, snapshot: Snapshot) -> bool:
        """Whether what was lost was back when a snapshot was taken."""
        if snapshot.imported or one.unlisted:  # of what is not listed nobody could say when it is back
            return False
        key = (one.number, loss.path)
        if key not in self._ends:
            self._ends[key] = self._end(one, loss, snapshot.source)
        return self._ends[key] <= snapshot.number

    def _end(self, one: _Open, loss: Loss, source: Origin) -> int:
        """Give the number of the first snapshot in which what was lost is back, as it stays until another loss."""
        again = [
            other.number
            for other in self._open[source]
            if other.number > one.number and any(loss.path == also.path for also in other.losses)
        ]
        begin = one.number + 1
        for end in (*again, _NEVER):
            between = [snapshot for snapshot in self._taken[source] if begin <= snapshot.number < end]
            at = self._last_word(between, one.since, loss)
            if at >= 0 and self._is_back(one.since, loss, between[at]):
                is_back = partial(self._is_back, one.since, loss)
                return between[bisect_left(between, True, hi=at, key=is_back)].number
            begin = end
        return _NEVER

    def _last_word(self, snapshots: Sequence[Snapshot], since: int, loss: Loss) -> int:
        """Give which is the last that says something of the path of a loss; -1 if none does."""
        at = len(snapshots) - 1
        while at >= 0 and self._holds(since, snapshots[at], loss) is None:
            at -= 1
        return at

    def _is_back(self, since: int, loss: Loss, snapshot: Snapshot) -> bool:
        return self._holds(since, snapshot, loss) is True

    def of(self, snapshot: Snapshot) -> Doubt:
        """Give why a snapshot is in doubt; it is false if it is in none."""
        # Between the snapshot compared with and the loss others may lie, of some paths only: they prove nothing.
        # What is imported has a number of today, and goes by the time at which it was made.
        return self._doubt(
            snapshot,
            [
                one
                for one in self._open.get(snapshot.source, ())
                if (one.time_ns <= snapshot.time_ns if snapshot.imported else one.since < snapshot.number)
            ],
        )

    def _doubt(self, snapshot: Snapshot, found: list[_Open]) -> Doubt:
        torn = 0 if any(one.covers_all for one in self._behind(snapshot)) else snapshot.torn
        losses = dict.fromkeys(loss for one in found for loss in one.losses if not self._is_over(one, loss, snapshot))
        return Doubt(tuple(losses), sum(one.unlisted for one in found), torn)

    def is_good(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot is in no doubt."""
        return not self.of(snapshot)
