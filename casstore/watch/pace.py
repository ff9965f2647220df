"""When the next snapshot is due. Pure: times in, time out; all in ns of the caller's clock."""

from __future__ import annotations

from casstore.values import dataclass

SECOND_NS = 10**9
FIRST_RETRY_NS, LAST_RETRY_NS = SECOND_NS, 60 * SECOND_NS  # each is twice the one before


@dataclass(frozen=True, slots=True)
class Pace:
    """How often.

    `quiet_for`: so long after the last change, so that what is written together is saved together. `at_most_every`: no
    sooner than this after the snapshot before; what never falls quiet is saved this often. `at_least_every`: also when
    nothing changed, so that a quiet night still proves that backups run.
    """

    quiet_for_ns: int = 2 * SECOND_NS
    at_most_every_ns: int = 10 * SECOND_NS
    at_least_every_ns: int = 3600 * SECOND_NS


class Schedule:
    """What was seen and done, and hence when something is to be done next."""

    def __init__(self, pace: Pace, now_ns: int) -> None:
        self._pace = pace
        self._now = self._proven = now_ns
        self._began = now_ns - pace.at_most_every_ns
        self._first: int | None = None  # change that no snapshot holds yet
        self._real = False  # whether one of these changes is no echo
        self._echo_wait = pace.at_most_every_ns
        self._last = now_ns
        self._retry: int | None = None
        self._wait = FIRST_RETRY_NS

    def at(self, now_ns: int) -> int:
        """Take the time; where the clock was set back, all that was noted goes back with it."""
        if now_ns < self._now:
            back = self._now - now_ns
            self._proven -= back
            self._began -= back
            self._last -= back
            self._first = None if self._first is None else self._first - back
            self._retry = None if self._retry is None else self._retry - back
        self._now = now_ns
        return now_ns

    @property
    def pending(self) -> bool:
        """Whether something changed that no snapshot holds yet."""
        return self._first is not None

    @property
    def proof_due(self) -> bool:
        """Whether a snapshot is due even if nothing changed."""
        return self._now >= self._proven + self._pace.at_least_every_ns

    @property
    def due_ns(self) -> int:
        """When the next snapshot is to be taken."""
        if self._retry is not None:
            return self._retry
        proof = self._proven + self._pace.at_least_every_ns
        if self._first is None:
            return proof
        quiet = min(self._last + self._pace.quiet_for_ns, self._first + self._pace.at_most_every_ns)
        pause = self._pace.at_most_every_ns if self._real else self._echo_wait
        return min(proof, max(quiet, self._began + pause))

    def changed(self, *, echo: bool = False) -> None:
        """Something changed now. `echo`: most likely for what the snapshot before asked of the application.

        Echoes are saved too, but each time that there was nothing else the next is waited for twice as long: else a
        line in an access log, which tells of the last snapshot, would call for the next one for ever.
        """
        self._last = self._now
        self._real = self._real or not echo
        if self._first is None:
            self._first = self._now

    def at_once(self) -> None:
        """Let the next attempt be now, whatever the pace."""
        self._retry = self._now

    def began(self) -> None:
        """An attempt begins: what changes from now on is for the next one."""
        if self._first is not None:
            least, most = self._pace.at_most_every_ns, self._pace.at_least_every_ns
            self._echo_wait = least if self._real else min(2 * self._echo_wait, max(least, most))
        self._began, self._first, self._real = self._now, None, False

    def taken(self, *, proof: bool) -> None:
        """It went well; `proof`: there is a snapshot of it."""
        self._retry, self._wait = None, FIRST_RETRY_NS
        if proof:
            self._proven = self._began

    def proven_at(self, at_ns: int) -> None:
        """An earlier process took a snapshot then."""
        self._proven = min(at_ns, self._now)

    def failed(self) -> int:
        """It failed: what changed still is to be saved. Gives the ns until the next attempt."""
        self._first, self._real = self._began if self._first is None else self._first, True
        wait = self._wait
        self._retry, self._wait = self._now + wait, min(wait * 2, LAST_RETRY_NS)
        return wait
