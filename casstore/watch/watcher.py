"""The loop: listen, take a snapshot when one is due, go on after what fails.

Invariants: folders are listened to before they are walked, so no change is missed between the two: where a walk meets
a folder that was not listened to, another walk follows. Each attempt begins and ends with the cache outside a
transaction, so other processes wait for milliseconds, and an error leaves nothing behind. A repository that is out of
reach is never taken for one whose history was rolled back: the header is looked at before and after.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from casstore.backup import backup
from casstore.config import Tuning
from casstore.crypto import hash_of
from casstore.database import CacheBroken
from casstore.errors import CasError, FormatTooNew, HistoryRewritten, ObjectMissing, RepositoryNotFound, UsageError
from casstore.format.header import MAX_BYTES, NAME
from casstore.progress import Event, Notice, Problem, Progress, Stage, Torn, Warned, silent
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.snapshot import NOTHING_KNOWN, Circumstances, Snapshot
from casstore.source import is_staging
from casstore.treelock import RestoreAtWork
from casstore.watch.changes import Changes, FileChanges
from casstore.watch.events import CaughtUp, Failed, Taken, Unchanged, WatchEvent, Watching
from casstore.watch.listening import FileId, Listener, Noticed, Walked, id_of
from casstore.watch.pace import SECOND_NS, Pace, Schedule

ECHO_NS = SECOND_NS  # so long after a snapshot a change may be the application's answer to what was asked of it
LOOK_S = 1.0  # seconds between two looks whether the watched folder still is the same one


class OriginMissing(CasError):
    """The watched folder is not there, or cannot be entered."""


class Watcher:
    """Iterate over it: it takes snapshots of `origin` and yields what it did, until `stop`.

    The repository stays open and stays the caller's; nothing else may use it meanwhile. `clock` gives the time in ns,
    `zone_minutes` the offset from UTC at such a time. `unheard`: device and inode of files whose changes alone call for
    no snapshot, such as a log that the caller writes these events to. `during` stands around each reading of the tree,
    and what it gives is kept with the snapshot; files that it changes are saved, and by themselves call for no other
    snapshot soon. `progress` gets what `backup` tells, and a Stage where each begins; a problem, torn file or notice
    that lasts is told once.

    Raises, from the iteration:
        HistoryRewritten: also at the second look. FormatTooNew. UsageError: hostname, name or a tag is no text.
    """

    def __init__(
        self,
        repository: Repository,
        origin: bytes,
        selection: Selection | None = None,
        *,
        hostname: str,
        clock: Callable[[], int],
        zone_minutes: Callable[[int], int] = lambda _: 0,
        name: str = "",
        tags: tuple[str, ...] = (),
        config: bytes = b"",
        whole_lines: bool = False,
        tuning: Tuning | None = None,
        during: Callable[[Repository], AbstractContextManager[Circumstances]] | None = None,
        pace: Pace | None = None,
        changes: Changes | None = None,
        unheard: Collection[FileId] = (),
        progress: Progress = silent,
    ) -> None:
        self._repository, self._origin, self._selection = repository, origin, selection or Selection()
        self._hostname, self._clock, self._zone_minutes = hostname, clock, zone_minutes
        self._name, self._tags, self._config = name, tags, config
        self._whole_lines, self._tuning = whole_lines, tuning or Tuning()
        self._during = during
        self._pace = pace or Pace()
        changes = FileChanges() if changes is None else changes
        self._listener = Listener(changes, origin, self._selection, unheard, progress)
        self._progress = progress
        self._schedule = Schedule(self._pace, clock())
        self._echo_until = 0  # ns: what is heard before is an echo
        self._stopped = self._abandoned = False
        self._began = False  # whether the last snapshot of an earlier process was looked up
        self._told: set[Event] = set()  # problems and notices, that last since the attempt before
        self._met: set[Event] = set()  # by this attempt
        self._reasons: set[str] = set()  # told as Failed since the last success
        self._failing_since = 0
        self._missing = False  # the origin was, at the last attempt
        self._doubted = False  # the last attempt met another history

    def stop(self, *, abandon: bool = False) -> None:
        """End the iteration soon; what changed and is not saved yet is saved first, unless `abandon`.

        May be called from a signal handler or another thread.
        """
        self._abandoned = self._abandoned or abandon
        self._stopped = True

    def __iter__(self) -> Iterator[WatchEvent]:
        self._schedule.changed()
        self._schedule.at_once()
        try:
            while not self._stopped:
                now = self._schedule.at(self._clock())
                if now < self._schedule.due_ns:
                    self._listen(min(LOOK_S, (self._schedule.due_ns - now) / SECOND_NS))
                else:
                    yield from self._attempt()
            if not self._abandoned and not self._reasons:
                self._listen(0, even_if_stopped=True)
                if self._schedule.pending:
                    yield from self._attempt()
        finally:
            self._listener.close()

    def _listen(self, seconds: float, *, even_if_stopped: bool = False) -> None:
        heard = self._listener.listen(seconds, lambda: self._stopped and not even_if_stopped)
        self._schedule.at(self._clock())
        if heard is not Noticed.NOTHING:
            self._schedule.changed(echo=heard is Noticed.CHANGE and self._clock() < self._echo_until)
        if self._missing and id_of(self._origin) is not None:
            self._missing = False
            self._schedule.at_once()

    # ── taking snapshots ──

    def _source(self, progress: Progress) -> Walked:
        # Made anew each time: a repository that comes back from elsewhere is another folder, and must not be saved.
        never = self._repository.never
        anchor = id_of(os.fsencode(self._repository.anchor.path.parent))
        self._listener.own = frozenset(never if anchor is None else [*never, anchor])
        return Walked(self._origin, self._selection, never=never, progress=progress)

    def _attempt(self) -> Iterator[WatchEvent]:
        self._schedule.began()
        self._met = set()
        try:
            self._check_places()
            if not self._listener.count and self._survey() and not self._began:
                yield Watching(self._origin, self._listener.count)
            snapshot = self._checked()
        except (CasError, OSError, CacheBroken) as error:
            yield from self._after(error)
            return
        self._told, self._missing, self._doubted = self._met, False, False
        self._schedule.at(self._clock())
        self._schedule.taken(proof=bool(snapshot.number))
        if self._reasons:
            self._reasons.clear()
            yield CaughtUp(self._failing_since)
        yield Taken(snapshot) if snapshot.number else Unchanged()

    def _after(self, error: CasError | OSError | CacheBroken) -> Iterator[WatchEvent]:
        """Decide what a failure means: the end, or another attempt later."""
        if isinstance(error, FormatTooNew | UsageError) or (self._doubted and isinstance(error, HistoryRewritten)):
            raise error
        # Once may be a repository that vanished and came back between two looks.
        self._doubted = isinstance(error, HistoryRewritten)
        self._missing = isinstance(error, OriginMissing)
        now = self._schedule.at(self._clock())
        retry_ns = self._schedule.failed()
        if not self._doubted and str(error) not in self._reasons:
            self._failing_since = self._failing_since if self._reasons else now
            self._reasons.add(str(error))
            yield Failed(error, retry_ns)

    def _survey(self) -> bool:
        """Listen before anything is read; whether that was possible."""
        source = self._source(silent)
        for _ in source.walk():
            pass
        self._listener.follow(source.folders)
        return self._listener.count > 0

    def _checked(self) -> Snapshot:
        """Take a snapshot between two looks at the header: what fails while there is none, fails for that.

        Raises:
            CasError, OSError, CacheBroken: it could not be taken.
        """
        cache = self._repository.cache
        cache.come_back()
        try:
            try:
                snapshot = self._take()
            except CacheBroken as error:
                cache.retreat(error)
                snapshot = self._take()
        except (CasError, OSError, CacheBroken):
            self._check_places()
            raise
        finally:
            cache.rollback()
        self._check_reach()
        return snapshot

    def _take(self) -> Snapshot:
        if not self._began:
            self._repository.refresh()
            newest = self._repository.catalogue.newest(self._hostname, self._name, self._origin)
            self._schedule.proven_at(newest.clock_ns if newest else 0)
            self._began = True
        source = self._source(self._tell)
        self._progress(Stage("snapshot"))
        with self._known() as known:
            now = self._clock()
            snapshot = backup(
                self._repository, source, now_ns=now, zone_minutes=self._zone_minutes(now), hostname=self._hostname,
                name=self._name, tags=self._tags, config=self._config, skip_if_unchanged=not self._schedule.proof_due,
                whole_lines=self._whole_lines, circumstances=known, tuning=self._tuning, clock=self._clock,
                progress=self._tell,
            )  # fmt: skip
        self._echo_until = self._clock() + ECHO_NS if self._during is not None else 0
        if self._listener.follow(source.folders):
            self._schedule.changed()
        if trouble := self._repository.cache.trouble:
            self._tell(Notice(b"", trouble))
        for name, error in self._repository.damaged:
            self._tell(Warned(name.encode(), str(error)))
        return snapshot

    @contextmanager
    def _known(self) -> Iterator[Circumstances]:
        """Ask for the circumstances, and forget what was heard until then: it is about to be read."""
        if self._during is None:
            yield NOTHING_KNOWN
            return
        with self._during(self._repository) as known:
            if self._listener.forget() is Noticed.BREAK:
                self._schedule.changed()
            yield known

    def _check_places(self) -> None:
        """See that repository and origin are there.

        Raises:
            RepositoryNotFound, HistoryRewritten, OriginMissing, RestoreUnfinished: they are not as they should be.
        """
        self._check_reach()
        self._check_origin()

    def _check_reach(self) -> None:
        """See that the repository is there, and the same.

        Raises:
            RepositoryNotFound: it is not. HistoryRewritten: it is another.
        """
        backend = self._repository.backend
        try:
            stored = backend.read(NAME, 0, MAX_BYTES + 1)
        except ObjectMissing:
            raise RepositoryNotFound(
                f"there is no repository at {backend.address} any more", hint="Once it is back, all goes on."
            ) from None
        if hash_of(stored) != self._repository.header_hash:
            raise HistoryRewritten(f"the repository at {backend.address} is not the one that was opened")

    def _check_origin(self) -> None:
        """See that there is something to save, and no restore at work in it.

        Raises:
            OriginMissing: there is not. RestoreUnfinished: there is one.
        """
        try:
            names = os.listdir(self._origin)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise OriginMissing(f"{os.fsdecode(self._origin)} cannot be read: {reason}") from error
        if any(map(is_staging, names)):
            from casstore.restore.recover import refuse_unfinished  # entered only if there is a trace

            with suppress(RestoreAtWork):  # the backup waits for it
                refuse_unfinished(Path(os.fsdecode(self._origin)))

    def _tell(self, event: Event) -> None:
        """Pass an event on; what lasts is told once."""
        if isinstance(event, Problem | Notice | Torn | Warned):
            self._met.add(event)
            if event in self._told:
                return
            self._told.add(event)
        self._progress(event)
