"""A restore of a live application: stop, restore, start, health, checks; and back, if it is not well.

| step | killed behind it, the files are | what is known |
|---|---|---|
| 1. that it is stopped, for which restore, is written (recovery.stopped) | as they were | UNTOUCHED |
| 2. stop, proven | as they were | UNTOUCHED |
| 3. the restore, by staging and journal (restore.journal) | in between, until resumed or undone | REPLACING, REPLACED |
| 4. start, health, checks | the snapshot's | REPLACED |
| 5. not well: stop, and an undo, which is a restore itself | in between, until resumed | PUTTING_BACK |
| 6. start, health, checks | as they were | UNTOUCHED |
| 7. it is up: 1 is forgotten | one or the other | nothing |

It is stopped before the restore looks at the files, since an application may write its memory at its very end: what was
compared or fetched for a difference before that would be of other files. A restore that fails in 3 leaves all as it was
by itself, and the application is started again. `resume` finishes what was at work, `undo` goes to what was before;
each starts the application at the end, and may itself be killed and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from casstore.errors import CasError, Interrupted, RestoreUnfinished
from casstore.progress import Progress, silent
from casstore.recovery import running, stopped
from casstore.recovery.application import Application
from casstore.recovery.report import Report
from casstore.recovery.stopped import Standing, Stopped
from casstore.restore import Recovered, Restored, recover
from casstore.values import dataclass

_BOTH_WAYS = "Run `cas restore --resume` or `cas restore --undo`: each starts it again."


class NotPutBack(CasError):
    """The application is not well after a restore, and what was there before could not be put back."""

    exit_code = 6
    hint = "Run `cas restore --undo` to try again; the application may be down."


@dataclass(frozen=True, slots=True)
class Restarted:
    """What came of it. `before`: how it went with what was there before, None unless that was put back.

    `replaced`: whether it replaced anything. If not, an undo would go behind an older restore.
    """

    restored: Restored
    after: Report
    before: Report | None
    replaced: bool

    @property
    def ok(self) -> bool:
        """Whether the application is well with what was restored."""
        return self.after.ok


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a restore that was interrupted. `recovered`: how its journal was ended, if one lay there."""

    standing: Standing  # before it was finished
    recovered: Recovered | None
    report: Report

    @property
    def ok(self) -> bool:
        """Whether the application is up, and well."""
        return self.report.ok


class Restarting:
    """One application around one restore. `state` is this host's folder; `new_report` makes a report to be filled."""

    def __init__(
        self, application: Application, case: Stopped, *, state: Path, new_report: Callable[[], Report]
    ) -> None:
        self._application, self._case, self._state = application, case, state
        self._new_report = new_report

    def restart(self, replace: Callable[[], Restored], put_back: Callable[[], Restored] | None) -> Restarted:
        """Restore by `replace`, whose `now_ns` is the `started_ns` of `stopped`, with the application down meanwhile.

        `put_back` undoes it, if the application is not well then; None leaves it.

        Raises:
            StillRunning: it does not stop in time; nothing was touched, and `resume` starts it should it end after all.
            NotPutBack: not well, and not undone.
            RestoreUnfinished, Interrupted: resume or undo. Else as `restore`: all is as it was, and it was started.
        """
        report = self._new_report()
        with self._interruptible():
            asked_before = stopped.read(self._state, self._case.folder) is not None
            stopped.write(self._state, self._case)
            self._stop(report, asked_before=asked_before)
            restored = self._replace(report, replace)
            replaced = self._standing() is Standing.REPLACED
            before = None
            if not self._bring_up(report) and put_back is not None and replaced:
                before = self._new_report()
                self._undo(before, put_back)
            self._done()
            return Restarted(restored, report, before, replaced)

    def resume(self, *, progress: Progress = silent) -> Finished:
        """Finish what was interrupted, and start the application.

        Raises:
            StillRunning: somebody started it meanwhile, and it does not stop. Else as `restore.resume`.
        """
        report, standing = self._new_report(), self._standing()
        recovered = None
        with self._interruptible():
            if standing in (Standing.REPLACING, Standing.PUTTING_BACK):
                recovered = self._recover(report, recover.resume, progress)
            well = self._bring_up(report)
            if well or standing not in (Standing.REPLACING, Standing.REPLACED):
                self._done()  # else `undo` still knows the way back
            return Finished(standing, recovered, report)

    def undo(self, put_back: Callable[[], Restored], *, progress: Progress = silent) -> Finished:
        """Go to what was there before, and start the application; `put_back` undoes a restore that came to its end.

        Raises:
            As `resume`, and as `undo_finished`.
        """
        report, standing = self._new_report(), self._standing()
        recovered = None
        with self._interruptible():
            if standing is Standing.REPLACING:
                recovered = self._recover(report, recover.undo, progress)
            elif standing is Standing.PUTTING_BACK:
                recovered = self._recover(report, recover.resume, progress)
            elif standing is Standing.REPLACED:
                self._put_back(report, put_back)
            self._bring_up(report)
            self._done()
            return Finished(standing, recovered, report)

    # ── steps ──

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Tell who interrupts what is left to do."""
        try:
            yield
        except KeyboardInterrupt:
            if stopped.read(self._state, self._case.folder) is None:
                raise
            raise Interrupted(
                f"interrupted while the application in {self._case.folder} was down", hint=_BOTH_WAYS
            ) from None

    def _stop(self, report: Report, *, asked_before: bool) -> None:
        try:
            with report.step("stop") as say:
                say(running.stop(self._application))
        except running.StillRunning:
            raise  # it was asked, and may end yet: it is not forgotten that it is to be up
        except CasError:
            if not asked_before:
                self._done()
            raise

    def _replace(self, report: Report, replace: Callable[[], Restored]) -> Restored:
        try:
            return self._moved(report, "restore", replace)
        except RestoreUnfinished:
            raise
        except BaseException:  # all is as it was, also after a Ctrl-C: the application is not left down for it
            if self._standing() is Standing.UNTOUCHED:
                self._bring_up(report)
                self._done()
            raise

    def _undo(self, report: Report, put_back: Callable[[], Restored]) -> None:
        try:
            self._put_back(report, put_back)
        except CasError as error:
            raise NotPutBack(f"the application is not well, and what was there before is not back: {error}") from error
        self._bring_up(report)

    def _put_back(self, report: Report, put_back: Callable[[], Restored]) -> None:
        with report.step("stop") as say:
            say(running.stop(self._application))
        self._moved(report, "put back", put_back)

    def _moved(self, report: Report, name: str, move: Callable[[], Restored]) -> Restored:
        with report.step(name) as say:
            done = move()
            say(f"{done.new:,} new, {done.replaced:,} replaced, {done.deleted:,} deleted")
            return done

    def _recover(self, report: Report, way: Callable[..., Recovered], progress: Progress) -> Recovered:
        with report.step("stop") as say:
            say(running.stop(self._application))
        with report.step("restore") as say:
            recovered = way(self._case.folder, state=self._state, progress=progress)
            say("finished" if way is recover.resume else "undone")
        return recovered

    def _bring_up(self, report: Report) -> bool:
        return running.bring_up(self._application, report, log=stopped.log_path(self._state, self._case.folder))

    def _standing(self) -> Standing:
        return self._case.standing(self._state)

    def _done(self) -> None:
        stopped.drop(self._state, self._case.folder)
