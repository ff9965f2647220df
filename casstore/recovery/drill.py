"""A rehearsed recovery: a snapshot becomes a running application, in a scratch folder, and nothing live is touched.

| step | what it proves |
|---|---|
| snapshot | the application flushes, and a snapshot of it is whole |
| cost | what a loss now would have cost: the measured RPO |
| restore | all of it comes back, into an empty folder |
| compare | byte for byte: against the repository, and the live files that did not move on |
| records | each JSON file is whole, and holds what the live one does |
| loss | files deleted, cut and overwritten there are found, and come back |
| code | what is not saved is copied around it; nothing there leads back to live files |
| start, health, check … | the application runs on it, with an environment that does no harm |
| listener | who answers there is the one that was started, and not the live application |
| end | all that was started is ended, and who answered holds its port no more |
| promises | RTO and RPO are what was promised |

A step that fails does not end a drill where the next can still tell something. The restores of a drill do not save what
they replace: a scratch folder's files are no part of the application's history.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path

from casstore import private
from casstore.entry import Kind
from casstore.errors import CasError, UsageError, refusal
from casstore.processes import FileId
from casstore.progress import Progress, silent
from casstore.recovery import code, listener, loss, running
from casstore.recovery.application import Application
from casstore.recovery.bare import Bare, look_for_programs
from casstore.recovery.cost import Cost, cost
from casstore.recovery.environment import Environment
from casstore.recovery.harmless import Harmless, env_text, harmless, moved
from casstore.recovery.plan import App, Plan, Step
from casstore.recovery.proof import Compared, compare, count
from casstore.recovery.report import Report
from casstore.recovery.running import Started
from casstore.recovery.scratch import Scratch
from casstore.recovery.status import span
from casstore.repository import Repository
from casstore.restore import restore
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.values import dataclass

Anew = Callable[[], AbstractContextManager[Repository]]

NO_PORT = "nothing proved that the application serves anybody: [app] in cas.toml has no `health`, so no port is known"
_SHOWN = 10  # lines of what is wrong
_AWAY = ("restore", "start", "health")  # the steps in which an application would be away


class NotHeld(CasError):
    """A rehearsed recovery did not hold, or a step of it."""

    exit_code = 8
    hint = "The report says which steps failed; what is live was not touched."

    def __init__(self, message: str, *, output: str = "") -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True)
class Case:
    """What is rehearsed: an application in its live folder, of which only is read."""

    plan: Plan
    live: Path
    environment: Environment
    selection: Selection
    never: Sequence[FileId]


@dataclass(slots=True)
class Found:
    """What a rehearsal measured; None where it did not come to that."""

    snapshot: Snapshot | None = None
    cost: Cost | None = None
    compared: Compared | None = None
    records: int | None = None
    live_records: int | None = None
    away_ns: int = 0  # 0: the application did not come back
    notes: list[str] = field(default_factory=list)  # worth a look, and no failure


def check(case: Case, scratch: Path) -> None:
    """Refuse what cannot be rehearsed, or would do harm, before anything is done.

    Raises:
        UsageError: nothing says how the application is run. RealValues: it would run with real values.
    """
    if not case.plan.app.run:
        raise UsageError(
            "nothing says how the application is run in a drill",
            hint='Add `run`, its foreground command, to [app] in cas.toml: run = ["npm", "start"].',
        )
    harmless(case.plan.drill, case.environment, case.live, scratch)


def hidden(case: Case) -> tuple[str, ...]:
    """Give the values that a report must not show."""
    return harmless(case.plan.drill, case.environment, case.live, case.live).secrets()


class Drill:
    """One rehearsal in one scratch folder; `report` is filled step by step. The repository is only read."""

    def __init__(
        self, case: Case, repository: Repository, scratch: Scratch, report: Report, *, now_ns: int, hostname: str,
        clock: Callable[[], int], progress: Progress = silent,
    ) -> None:  # fmt: skip
        self._case, self._repository, self._scratch, self.report = case, repository, scratch, report
        self._now_ns, self._hostname, self._clock, self._progress = now_ns, hostname, clock, progress
        self._home: Path | None = None
        self._looking_ns = 0  # what a drill adds to the steps of a recovery
        self._started: int | None = None  # the process of `run`
        self._port: int | None = None  # at which it was proven to answer
        self.found = Found(notes=[scratch.leftovers] if scratch.leftovers else [])

    def run(
        self, take: Callable[[Found], str], before: Callable[[Snapshot], Snapshot | None], anew: Anew | None = None
    ) -> Found:
        """Rehearse. `take` puts a snapshot into what was found; `before` gives the one that a loss would have left.

        With `anew`, which opens the repository by one secret alone, [recover] is rehearsed.
        """
        self._try("snapshot", lambda: take(self.found))
        snapshot = self.found.snapshot
        if snapshot is None:
            return self.found
        self._try("cost", lambda: self._cost(before(snapshot)))
        if anew is not None:
            with self._ended():
                self._recover(snapshot, anew)
        elif self._try("restore", lambda: self._restore(snapshot)):
            self._try("compare", lambda: self._compare(snapshot))
            self._try("records", lambda: self._count(snapshot))
            self._try("loss", lambda: self._lose(snapshot))
            if self._try("code", self._copy):
                with self._ended():
                    self._bring_up()
        self._try("promises", self._promises)
        return self.found

    # ── the data ──

    def _cost(self, before: Snapshot | None) -> str:
        case = self._case
        found = cost(self._repository, before, case.live, case.selection, case.never, self._now_ns)
        self.found.cost = found
        if found.window_ns is None:
            return "all: there was no snapshot before"
        if not found.files:
            return "nothing: all that is live was in the snapshot before"
        return f"what came in {span(found.window_ns)}: {found.records:,} records in {found.files:,} files"

    def _restore(self, snapshot: Snapshot) -> str:
        done = self._bring_back(snapshot)
        return f"{done:,} bytes in {snapshot.files:,} files"

    def _bring_back(self, snapshot: Snapshot) -> int:
        done = restore(
            self._repository, snapshot, self._scratch.folder, in_place=False, read_back=True, now_ns=self._now_ns,
            zone_minutes=0, hostname=self._hostname, progress=self._progress,
        )  # fmt: skip
        if done.problems:
            lines = [f"{os.fsdecode(path)}: {reason}" for path, reason in done.damaged]
            raise NotHeld(f"{done.problems:,} things were not restored whole", output=_listed(lines))
        return done.total_bytes

    def _compare(self, snapshot: Snapshot, *, alone: bool = True) -> str:
        self.found.compared = found = compare(
            self._repository, snapshot, self._scratch.folder, self._case.live, alone=alone
        )
        _refuse(found.wrong, "not as saved")
        return (
            f"{found.files:,} files ({found.size:,} bytes) as saved; {found.as_live:,} of them as the live ones, "
            f"{found.moved_on:,} moved on since"
        )

    def _count(self, snapshot: Snapshot) -> str:
        found = count(self._repository, snapshot, self._scratch.folder, self._case.live)
        self.found.records, self.found.live_records = found.records + found.lines, found.live_records + found.live_lines
        _refuse(found.wrong, "of the JSON files are not as they should be")
        return (
            f"{found.documents:,} JSON files are whole: {found.records:,} records, {found.lines:,} lines of logs; "
            f"live by now: {found.live_records:,} and {found.live_lines:,}"
        )

    def _lose(self, snapshot: Snapshot) -> str:
        files = [os.fsdecode(entry.path) for entry in self._repository.entries(snapshot) if entry.kind is Kind.FILE]
        lost = loss.play(self._scratch.folder, files)
        seen = compare(self._repository, snapshot, self._scratch.folder, None)
        if len(seen.wrong) < lost.files:
            raise NotHeld(f"{lost.files:,} files were spoilt, and the comparison found {len(seen.wrong):,}")
        self._bring_back(snapshot)
        _refuse(compare(self._repository, snapshot, self._scratch.folder, None).wrong, "not back after a loss")
        folder = f", a folder ({lost.folder}) gone" if lost.folder else ""
        return (
            f"{len(lost.deleted):,} deleted, {len(lost.cut):,} cut off, {len(lost.overwritten):,} overwritten{folder}: "
            "all found, and all back"
        )

    # ── [recover] ──

    def _recover(self, snapshot: Snapshot, anew: Anew) -> None:
        """Recover from nothing but the repository and the secret, and measure all of it."""
        with ExitStack() as stack:
            begun = len(self.report.steps)
            opened: list[Repository] = []

            def unlock() -> str:
                opened.append(stack.enter_context(anew()))
                return "opened by one secret, with an empty home"

            self._scratch.home.mkdir(mode=0o700)
            self._home = self._scratch.home
            application = self._application()
            require = dict(self._case.plan.recover.require)
            if not self._try("secret", unlock) or not self._try(
                "programs", lambda: look_for_programs(require, application)
            ):
                return
            self._write_env()
            bare = Bare(
                opened[0], snapshot, application, self._scratch, self._case.live, self.report,
                hostname=self._hostname, now_ns=self._now_ns, clock=self._clock,
                settle=lambda step: self._settle(snapshot, step, first),
            )  # fmt: skip
            first = len(self.report.steps)
            healthy = False
            with suppress(CasError), _told():  # the report has it
                healthy = bare.run(self._case.plan.recover.steps)
            self.found.notes += [
                f"the step {name} commands this host, and is none for a drill" for name in bare.left_to_hand
            ]
            away_ns = sum(step.duration_ns for step in self.report.steps[begun:]) - self._looking_ns
            if not healthy:
                self.report.fail("recover", "the application did not come back by the steps of [recover]")
            elif self._listens(application):
                self.found.away_ns = away_ns

    def _settle(self, snapshot: Snapshot, coming: Step, first: int) -> None:
        """Look at what the steps from the `first` on left: what was restored is compared once, sealed before the start.

        The drill's own steps, which are before the first, may be called as some of the plan.
        """
        case, begun = self._case, len(self.report.steps)
        ended = {step.name for step in self.report.steps[first:] if step.ok}
        restored = any(step.restore and step.name in ended for step in case.plan.recover.steps)
        if restored and self.found.compared is None:
            self._try("compare", lambda: self._compare(snapshot, alone=False))
            self._try("records", lambda: self._count(snapshot))
        if not (coming.run or coming.restore):
            self._try("seal", self._seal)
        self._looking_ns += sum(step.duration_ns for step in self.report.steps[begun:])

    def _seal(self) -> str:
        case = self._case
        out = code.seal(self._scratch.folder, case.live, case.plan.app.env_file)
        self._write_env()
        self.found.notes += [f"left out of the scratch folder: {line}" for line in out]
        return f"nothing leads out; {len(out):,} left out"

    # ── the application ──

    def _copy(self) -> str:
        case, scratch = self._case, self._scratch.folder
        copied = code.copy_code(case.live, scratch, case.selection, case.never, case.plan.app.env_file)
        self.found.notes += [f"left out of the scratch folder: {line}" for line in copied.left_out]
        return f"{copied.files:,} files ({copied.size:,} bytes) beside the data; {self._seal()}"

    def _write_env(self) -> None:
        name = self._case.plan.app.env_file
        if name:
            path = self._scratch.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            private.replace(path, env_text(self._harmless().file).encode(errors="surrogateescape"))

    def _harmless(self) -> Harmless:
        case = self._case
        return harmless(case.plan.drill, case.environment, case.live, self._scratch.folder, home=self._home)

    def _application(self) -> Application:
        case, scratch = self._case, self._scratch.folder
        return Application(_moved(case.plan.app, case.live, scratch), scratch, self._harmless(), case.selection)

    def _bring_up(self) -> None:
        application = self._application()
        started: list[Started] = []

        def start() -> str:
            started.append(running.start(application, log=self._scratch.log))
            self._started = started[0].pid
            return "in the scratch folder, by `run`"

        if not self._try("start", start):
            return
        if self._try("health", lambda: running.wait_healthy(application, started[0])):
            if not self._listens(application):
                return
            self.found.away_ns = sum(step.duration_ns for step in self.report.steps if step.name in _AWAY)
            if running.run_checks(application, self.report) and application.app.checks and self._port is not None:
                self._listens(application)

    def _listens(self, application: Application) -> bool:
        """Prove that who answers was started here; whether it was. Of a worker, which has no port, it need not be."""
        port = listener.port_of(application)
        if port is None:
            self.found.notes.append(NO_PORT)
            return True
        proven = self._try("listener", lambda: listener.prove(port, self._scratch.processes(self._started)))
        if proven:
            self._port = port
        return proven

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """End what is started inside, also when that is interrupted, and prove that it is gone."""

        def end() -> str:
            ended = self._scratch.end_processes(self._started)
            words = f"{ended:,} {'process' if ended == 1 else 'processes'} ended"
            return words if self._port is None else f"{words}; {listener.prove_free(self._port)}"

        try:
            yield
        finally:
            self._try("end", end)

    def _promises(self) -> str:
        promises, found = self._case.plan.promises, self.found
        broken = []
        if promises.rto_ns is not None and not found.away_ns:
            broken.append(f"the application did not come back, and at most {span(promises.rto_ns)} was promised")
        elif promises.rto_ns is not None and found.away_ns > promises.rto_ns:
            broken.append(f"the application was away {span(found.away_ns)}, at most {span(promises.rto_ns)} promised")
        window_ns = found.cost.window_ns if found.cost is not None else None
        if promises.rpo_ns is not None and window_ns is not None and window_ns > promises.rpo_ns:
            broken.append(f"a loss would have cost {span(window_ns)}, at most {span(promises.rpo_ns)} promised")
        if broken:
            raise NotHeld("; ".join(broken))
        return "kept, as far as they were made"

    # ── small things ──

    def _try(self, name: str, work: Callable[[], str]) -> bool:
        """Do a step; whether it went well. What went wrong stands in the report."""
        try:
            with self.report.step(name) as say, _told():
                say(work())
        except CasError:
            return False
        return True


def _moved(app: App, live: Path, scratch: Path) -> App:
    """Give the application as it is in a drill: by `run` alone, and no argument leads into the live folder."""

    def words(arguments: Sequence[str]) -> tuple[str, ...]:
        return tuple(moved(word, live, scratch) for word in arguments)

    checks = tuple(replace(check, command=words(check.command)) for check in app.checks)
    return replace(app, run=words(app.run), checks=checks, start=None, stop=None, flush=None, release=None)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what the system refuses as an error of ours: it ends a step, not the drill."""
    try:
        yield
    except OSError as error:
        raise NotHeld(refusal(error)) from error


def _refuse(wrong: Sequence[str], what: str) -> None:
    if wrong:
        raise NotHeld(f"{len(wrong):,} {what}: {wrong[0]}", output=_listed(wrong) if len(wrong) > 1 else "")


def _listed(lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])
