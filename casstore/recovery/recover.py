"""From a bare server to a healthy application: the steps of the plan, one after the other, each kept when it is done.

| killed | what lies there | `--resume` |
|---|---|---|
| at a command | what it left; its processes may live on (they carry `CAS_RECOVERY`) | ends those, runs it again |
| at a clone | `.cas-recover/clone`, and nothing of it in the folder | clones again |
| while a clone is moved | `.cas-recover/whole` (recovery.cloning) | moves the rest |
| at a restore | staging, swept by the next; or a journal (restore.journal) | finishes it, and compares |
| at the start | the application runs, or not | starts it unless it runs, waits for its health |

A command is run again if it did not end, so it must bear that, as `npm ci` does. What a snapshot restores replaces what
the code brought along of the same name. Who stops before cas.toml is there finds the plan's, to be mended.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from casstore import private
from casstore.errors import CasError, Damaged, Interrupted, SnapshotNotFound, refusal
from casstore.processes import carrying
from casstore.progress import Progress, Stage, silent
from casstore.recovery import carriers, cloning, commands, course, running
from casstore.recovery.application import Application
from casstore.recovery.course import Course
from casstore.recovery.plan import Step
from casstore.recovery.report import BY_HAND, Done, Report
from casstore.recovery.stopped import log_path
from casstore.repository import Repository
from casstore.restore import restore, resume, unfinished
from casstore.snapshot import Snapshot
from casstore.values import dataclass

GO_ON = "What is done is kept: `cas recover --resume` goes on with this step, by the cas.toml there if you mend it."
_ORPHANS_NS = 10 * 10**9  # for what an interrupted step left running to be gone


class StepFailed(CasError):
    """A step did not end well; those before it stay done. `output`: the end of what it said."""

    def __init__(self, step: str, reason: str, *, hint: str = "", exit_code: int = 1, output: str = "") -> None:
        super().__init__(f"the step {step} failed: {reason}", hint="\n".join(filter(None, (hint, GO_ON))))
        self.step, self.exit_code, self.output = step, exit_code, output


class CommandFailed(CasError):
    """A command of a step did not end with 0 in time."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class Answer(Enum):
    """What is to be done with a step."""

    RUN = "run it"
    BY_HAND = BY_HAND


@dataclass(frozen=True, slots=True)
class Recovered:
    """How a recovery ended. `healthy`: None if nothing tells. `problems`: what is not whole all the same."""

    healthy: bool | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when a recovery goes on: this host's folder of states, the moment, and what a restore needs to know."""

    state: Path
    hostname: str
    now_ns: int
    zone_minutes: int
    clock: Callable[[], int]


class Recovery:
    """One recovery, from where its course stands to its end. `report` gets the steps of all attempts."""

    def __init__(
        self,
        repository: Repository,
        steps: tuple[Step, ...],
        application: Application,
        at: Course,
        setting: Setting,
        report: Report,
        progress: Progress = silent,
    ) -> None:
        self._repository, self._steps, self._application = repository, steps, application
        self._course, self._setting, self._report, self._progress = at, setting, report, progress
        self._folder = at.folder
        report.steps[:0] = at.done

    @property
    def done(self) -> tuple[Done, ...]:
        """All that was done, in all attempts."""
        return self._course.done

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not whole of what was brought back so far."""
        return self._course.problems

    def run(self, may: Callable[[int, Step], Answer]) -> Recovered:
        """Go on with the first step that did not end well; `may` is asked before each, and raises to stop there.

        Raises:
            StepFailed: those before it stay done. Interrupted: the same, by Ctrl-C.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        end_orphans(self._folder, self._course.running)
        self._take_plan_back()
        try:
            return self._go_on(may)
        except CasError:
            self._leave_plan()
            raise

    def _go_on(self, may: Callable[[int, Step], Answer]) -> Recovered:
        healthy: bool | None = None
        for number, step in enumerate(self._steps, 1):
            if step.name not in self._course.ended:
                if may(number, step) is Answer.BY_HAND:
                    self._by_hand(step)
                    continue
                healthy = self._one(step)
                if healthy is False:
                    return Recovered(False, self._course.problems)
        return Recovered(healthy if healthy is not None else self._last_look(), self._course.problems)

    # ── one step ──

    def _by_hand(self, step: Step) -> None:
        self._report.by_hand(step.name)
        self._end(step, ())

    def _one(self, step: Step) -> bool | None:
        """Do a step; gives whether the application is healthy, None where that is not told by it."""
        self._keep(self._course.began(step.name))
        self._progress(Stage(step.name))
        problems: tuple[str, ...] = ()
        healthy = None
        try:
            if step.run:
                self._run(step)
            elif step.restore:
                problems = self._restore(step)
            else:
                healthy = self._start()
        except KeyboardInterrupt:
            self._fail()
            raise Interrupted(f"interrupted at the step {step.name}", hint=GO_ON) from None
        except CasError as error:
            self._fail()
            output = getattr(error, "output", "")
            raise StepFailed(
                step.name, str(error), hint=error.hint, exit_code=error.exit_code, output=output
            ) from error
        except OSError as error:
            self._fail()
            raise StepFailed(step.name, refusal(error)) from error
        if healthy is False:
            self._fail()
            return healthy
        if step.run:
            os.sync()  # the course is about to say that what the program wrote is there, also after a power loss
        self._end(step, problems)
        return healthy

    def _run(self, step: Step) -> None:
        with self._report.step(step.name) as say:
            clones = cloning.is_clone(step.run)
            if clones and cloning.is_whole(self._folder):
                say(_stayed("the clone was whole, and is moved", self._settled()))
                return
            target = cloning.prepare(self._folder) if clones else self._folder
            try:
                last = self._command(step, target)
            except BaseException:
                if clones:
                    cloning.discard(self._folder)
                raise
            say(_stayed(last, self._settled()) if clones else last)

    def _command(self, step: Step, target: Path) -> str:
        """Run the command of a step to its end, and give the last line that it said."""
        environment = self._application.environment
        name, value = course.mark(self._folder, step.name)
        ran = commands.run(
            [environment.expand(word).replace(cloning.FOLDER, str(target)) for word in step.run], folder=self._folder,
            env={**environment.values(), name: value}, timeout_ns=step.timeout_ns, hide=environment.secrets(),
        )  # fmt: skip
        if not ran.ok:
            raise CommandFailed(f"`{step.run[0]}` {ran.how}", ran.output[-running.LAST_OUTPUT :].strip())
        return ran.last_line

    def _settled(self) -> list[str]:
        try:
            return cloning.settle(self._folder)
        except OSError as error:
            raise CasError(f"the clone cannot be moved: {refusal(error)}") from error

    def _restore(self, step: Step) -> tuple[str, ...]:
        snapshot = snapshot_of(self._repository, self._course.restores[step.name])
        setting = self._setting
        with self._report.step(step.name) as say:
            if unfinished(self._folder) is not None:
                resume(self._folder, state=setting.state, progress=self._progress)
            done = restore(
                self._repository, snapshot, self._folder, in_place=False, read_back=True, now_ns=setting.now_ns,
                zone_minutes=setting.zone_minutes, hostname=setting.hostname, clock=setting.clock,
                progress=self._progress,
            )  # fmt: skip
            config = put_config(self._repository, snapshot_of(self._repository, self._course.plan), self._folder)
            say(f"{done.new:,} new, {done.replaced:,} replaced, {done.unchanged:,} unchanged{config}")
        problems = tuple(f"{os.fsdecode(path) or 'the list of files'}: {reason}" for path, reason in done.damaged)
        if done.problems > len(done.damaged):
            problems += (f"{done.problems - len(done.damaged)} more could not be restored whole",)
        return problems

    def _start(self) -> bool | None:
        app = self._application.app
        if app.run or app.start is not None:
            log = log_path(self._setting.state, self._folder)
            return running.bring_up(self._application, self._report, log=log)
        return self._last_look()

    def _last_look(self) -> bool | None:
        """Whether what some step or somebody else started is well."""
        app = self._application.app
        if app.health is None and not app.checks and not running.seen(self._application):
            return None
        try:
            with self._report.step("health") as say:
                say(running.wait_healthy(self._application))
        except CasError:
            healthy = False
        else:
            healthy = running.run_checks(self._application, self._report)
        self._keep(self._course.failed_with(tuple(self._report.steps)))
        return healthy

    def _leave_plan(self) -> None:
        """Put cas.toml there for who has to mend it; not before, since the code may bring another along."""
        with suppress(CasError, OSError):  # what stopped us is what is told
            if put_config(self._repository, snapshot_of(self._repository, self._course.plan), self._folder):
                self._keep(self._course.left_plan())

    def _take_plan_back(self) -> None:
        """Take away what a failed attempt left, unless it was mended: the code may bring a cas.toml of its own."""
        plan = config_of(self._repository, snapshot_of(self._repository, self._course.plan))
        if not self._course.ended and course.digest(self._folder) == course.digest_of(plan):
            (self._folder / "cas.toml").unlink()

    # ── the course ──

    def _end(self, step: Step, problems: tuple[str, ...]) -> None:
        self._keep(self._course.ended_with(step.name, tuple(self._report.steps), problems))

    def _fail(self) -> None:
        self._keep(self._course.failed_with(tuple(self._report.steps)))

    def _keep(self, at: Course) -> None:
        course.write(self._setting.state, at)
        self._course = at


# ── what a bare server needs beside its steps ──


def planned_by(repository: Repository, snapshots: list[Snapshot], chosen: Snapshot) -> tuple[Snapshot, bytes]:
    """Give the snapshot whose cas.toml is gone by, and its text: the chosen one, or the newest that has one.

    Raises:
        SnapshotNotFound: none has.
    """
    for snapshot in (chosen, *reversed(snapshots)):
        with suppress(Damaged):
            if text := config_of(repository, snapshot):
                return snapshot, text
    raise SnapshotNotFound(
        "no snapshot carries a cas.toml, so nothing says how to recover",
        hint="`cas restore latest --target DIR` brings the files back.",
    )


def config_of(repository: Repository, snapshot: Snapshot) -> bytes:
    """Give the cas.toml that a snapshot carries; empty if it has none.

    Raises:
        Damaged: it cannot be read.
    """
    return b"".join(repository.read(repository.head(snapshot).config))


def snapshot_of(repository: Repository, identity: bytes) -> Snapshot:
    """Give a snapshot by its id.

    Raises:
        SnapshotNotFound: it is not there any more.
    """
    for snapshot in repository.snapshots():
        if snapshot.id == identity:
            return snapshot
    raise SnapshotNotFound("the snapshot that this recovery is of is not in the repository any more")


def put_config(repository: Repository, snapshot: Snapshot, folder: Path) -> str:
    """Put cas.toml there, for its owner only, if neither code nor data brought it; gives the end of a sentence."""
    path = folder / "cas.toml"
    if os.path.lexists(path):
        return ""
    private.replace(path, config_of(repository, snapshot))  # addresses of [notify] may hold secrets
    return "; cas.toml put there"


def end_orphans(folder: Path, step: str) -> None:
    """End what a step left running that was at work when we were killed; each carries the folder and the step.

    Raises:
        CasError: something of it cannot be ended.
    """
    if step:
        try:
            carriers.end(lambda: carrying("=".join(course.mark(folder, step))), _ORPHANS_NS)
        except carriers.NotEnded as error:
            raise CasError(f"process {error.process.pid} of the interrupted step {step} cannot be ended") from error


def _stayed(words: str, kept: list[str]) -> str:
    if not kept:
        return words
    stayed = f"was there already and stayed: {', '.join(kept[:5])}{', …' if len(kept) > 5 else ''}"
    return f"{words}; {stayed}" if words else stayed
