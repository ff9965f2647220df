"""One `cas recover`: what it is about to do, what is missing here, its steps, and how it ended."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click

from cascli import render
from cascli.codes import INCOMPLETE, UNHEALTHY
from cascli.display import Display, note
from cascli.doubtful import refuse_doubtful
from cascli.opening import home
from cascli.recovered import Ended, written
from cascli.reported import tell_step
from cascli.session import announce_return, choose
from cascli.world import World, surroundings
from casstore import config, moments, private
from casstore.errors import ApplicationRunning, CasError, Interrupted, RestoreUnfinished, UsageError
from casstore.recovery import course, outside, prerequisites, running
from casstore.recovery.application import Application
from casstore.recovery.cloning import ASIDE, FOLDER
from casstore.recovery.course import Course
from casstore.recovery.environment import Compared
from casstore.recovery.outside import CheckResult
from casstore.recovery.plan import Plan, Step, parse
from casstore.recovery.prerequisites import Prerequisite
from casstore.recovery.ready import FolderOccupied, Given, give_environment, refuse_occupied, tops
from casstore.recovery.recover import (
    GO_ON,
    Answer,
    Recovered,
    Recovery,
    Setting,
    StepFailed,
    config_of,
    planned_by,
    snapshot_of,
)
from casstore.recovery.report import Done, Report
from casstore.recovery.report_files import RECOVERIES, Written
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.snapshot import Snapshot

_STARTED_BY_HAND = "nothing says how the application is started, or whether it is well: start it, and look at it"
_RESUME = "`cas recover --resume` goes on."


class NotReady(CasError):
    """This server lacks something that the recovery needs; nothing was run."""


class Declined(CasError):
    """Somebody was asked about a step, and said no."""

    hint = GO_ON


# ── the beginning ──


def chosen_course(
    world: World,
    repository: Repository,
    folder: Path,
    place: str,
    *,
    moment: str | None,
    name: str | None,
    host: str | None,
    despite_guard: bool,
) -> Course:
    """Choose the snapshots of a recovery that begins, and keep which; refuses what is in doubt, and a full folder.

    Raises:
        SnapshotNotFound: there is none, or none carries a plan. InDoubt. FolderOccupied.
    """
    _refuse_several(world, repository, moment, name, host)
    meant = moment or "latest"
    chosen = choose(world, repository, meant, host=host, name=name)
    own = [one for one in repository.snapshots() if one.name == chosen.name and not one.pre_restore]
    planned, text = planned_by(repository, own, chosen)
    plan = parse(text.decode())
    restores = {}
    for step in plan.recover.steps:
        if step.restore:
            meant = moment or step.restore
            restores[step.name] = choose(world, repository, meant, host=host, name=name or chosen.name)
            if not (despite_guard or moments.is_deliberate(meant)):
                refuse_doubtful(
                    world, repository, restores[step.name], (), host=host, name=name or chosen.name,
                    good="--at last-good",
                )  # fmt: skip
    _refuse_occupied(folder, Path(place), text, plan)
    ids = {step: snapshot.id for step, snapshot in restores.items()}
    begun = Course(
        folder, place, repository.header.repository, planned.id, ids, world.now_ns, toml=course.digest(folder)
    )  # fmt: skip
    course.write(home().state, begun)
    return begun


def _refuse_several(
    world: World, repository: Repository, moment: str | None, name: str | None, host: str | None
) -> None:
    """Several applications in one repository: the newest snapshot may well be of the wrong one."""
    if name is not None or (moment is not None and moments.is_deliberate(moment) and "last-good" not in moment):
        return
    names = {one.name for one in repository.snapshots() if host is None or one.hostname == host}
    if len(names) > 1 and not (world.found is not None and world.found.name in names):
        listed = ", ".join(render.name(one) or '""' for one in sorted(names))
        raise UsageError(f"the repository holds snapshots of several names: {listed}", hint="Say which: --name NAME.")


def _refuse_occupied(folder: Path, place: Path, text: bytes, plan: Plan) -> None:
    named = config.repository_place(config.parse(text.decode()), folder)
    allowed = tops(folder, [place, named, folder / plan.app.env_file, folder / RECOVERIES])
    if course.digest(folder) == course.digest_of(text):  # an attempt that stopped at its first step left it
        allowed.add("cas.toml")
    try:
        refuse_occupied(folder, allowed)
    except FolderOccupied as error:
        begun = course.read(home().state, folder) is not None or (folder / ASIDE).exists()
        if not begun:
            raise
        raise RestoreUnfinished(f"a recovery into {folder} was begun already", hint=_RESUME) from error


# ── the recovery ──


class Recovering:
    """A recovery whose snapshots are chosen, on its way to its end."""

    def __init__(self, world: World, repository: Repository, display: Display, at: Course) -> None:
        self._world, self._repository, self._display = world, repository, display
        if course.is_unclear(at):
            words = "is not the plan, and may be of the step that was interrupted: it is not gone by"
            note(world.options, f"warning: {render.name(str(at.folder / 'cas.toml'))} {words}", "warning")
        self._at = at = course.with_mended(at)
        self._planned = snapshot_of(repository, at.plan)
        self._toml = config_of(repository, self._planned).decode()
        if at.mended and (mended := world.config_in(at.folder)) is not None:
            self._toml = mended.text.decode()
            note(world.options, f"going by {render.name(str(at.folder / 'cas.toml'))}, which was changed meanwhile")
        self._plan = parse(self._toml)
        self._refuse_unknown()

    def run(self, *, yes: bool) -> int:
        """Do what is left of it, and give the exit code."""
        announce_return(self._world, self._data, "recovering")
        self._tell_steps()
        at, app = self._at, self._plan.app
        given = give_environment(self._repository, self._planned, app, at.folder, surroundings())
        self._tell_environment(given)
        at.folder.mkdir(parents=True, exist_ok=True)
        found = prerequisites.look(
            self._plan.recover.require, folder=at.folder, env=given.environment.values()
        )  # fmt: skip
        self._tell_programs(found)
        self._refuse_unready(given, found)
        selection = Selection.decode(self._repository.head(self._planned).selection)
        application = Application(app, at.folder, given.environment, selection, self._repository.never)
        self._refuse_running(application)
        report = Report(given.environment.secrets(), self._told)
        recovery = Recovery(
            self._repository, self._plan.recover.steps, application, at, self._setting, report, self._display
        )

        def ended(outcome: Recovered, looked: Sequence[outside.Looked] = (), stopped_at: str = "") -> Ended:
            return Ended(
                self._plan, self._at, self._data, outcome, given, tuple(found), tuple(looked), tuple(report.steps),
                os.uname().nodename, version("casstore"), time.time_ns(), stopped_at,
            )  # fmt: skip

        try:
            outcome = recovery.run(lambda number, step: self._may(number, step, yes=yes))
        except StepFailed as error:
            self._write_failed(ended(Recovered(False, recovery.problems), stopped_at=error.step))
            raise
        looked = outside.look(self._plan.external, application, given.environment)
        return self._end(ended(_judged(outcome, looked), looked))

    def _refuse_unknown(self) -> None:
        for step in self._plan.recover.steps:
            if step.restore and step.name not in self._at.restores:
                raise UsageError(
                    f"the step {render.name(step.name)} restores, and was not there when the recovery was begun",
                    hint="Keep the names of the steps that restore, or begin again in an empty folder.",
                )

    @property
    def _data(self) -> Snapshot:
        """The snapshot that is restored; of several the last."""
        return snapshot_of(self._repository, list(self._at.restores.values() or [self._at.plan])[-1])

    @property
    def _setting(self) -> Setting:
        world = self._world
        return Setting(home().state, world.hostname, world.now_ns, world.zone_minutes(), time.time_ns)

    # ── before ──

    def _refuse_unready(self, given: Given, found: list[Prerequisite]) -> None:
        lacking = [f"{render.name(one.program)} {one.reason}" for one in found if one.reason]
        lacking += [f"{render.name(name)} has no value" for name in given.lacking]
        if not lacking:
            return
        hints = ["Install what is missing."] if any(one.reason for one in found) else []
        hints += [self._where_values_go()] if given.lacking else []
        raise NotReady(f"this server is not ready: {'; '.join(lacking)}", hint=" ".join([*hints, f"Then {_RESUME}"]))

    def _where_values_go(self) -> str:
        path = self._at.folder / self._plan.app.env_file
        if not self._plan.app.env_file:
            return "Set what has no value; its values are kept outside."
        if os.path.lexists(path):
            return f"Add what has no value to {render.name(str(path))}; its values are kept outside."
        return f"Put {render.name(str(path))} there; its values are kept outside."

    def _refuse_running(self, application: Application) -> None:
        if self._at.ended or self._at.running:
            return  # what runs there may well be ours
        if running.seen(application):
            raise ApplicationRunning(
                f"something runs in {self._at.folder}, or at the address of the application's health",
                hint="`ss -ltnp` shows who has the port. Stop it, and begin again.",
            )

    def _may(self, number: int, step: Step, *, yes: bool) -> Answer:
        self._display.pause()
        if yes:
            return Answer.RUN
        many = len(self._plan.recover.steps)
        question = f"Step {number} of {many}, {render.name(step.name)}: {self._what(step)}. Run it? (d: I have done it)"
        try:
            answer = click.prompt(question, type=click.Choice(["y", "n", "d"]), err=True)
        except click.Abort:
            raise Interrupted(f"interrupted before the step {render.name(step.name)}", hint=GO_ON) from None
        if answer == "n":
            raise Declined(f"stopped before the step {render.name(step.name)}")
        return Answer.RUN if answer == "y" else Answer.BY_HAND

    # ── what is told ──

    def _told(self, done: Done) -> None:
        self._display.pause()
        tell_step(self._world.options, done)

    def _say(self, line: str) -> None:
        if not (self._world.options.quiet or self._world.options.json):
            render.err(line)

    def _tell_steps(self) -> None:
        self._say(f"into {render.name(str(self._at.folder))}, from {render.name(self._at.place)}")
        for number, step in enumerate(self._plan.recover.steps, 1):
            ended = "  done already" if step.name in self._at.ended else ""
            self._say(f"{number:>3}. {render.name(step.name):<12}  {self._what(step)}{ended}")
        for one in self._plan.external:  # nobody is asked about these: what will be run is said before anything is
            if one.check is not None and one.check.command:
                self._say(f"     then, to check {render.name(one.name)}: {_typed(one.check.command)}")

    def _what(self, step: Step) -> str:
        if step.run:
            return _typed([word.replace(FOLDER, str(self._at.folder)) for word in step.run])
        if step.restore:
            snapshot = snapshot_of(self._repository, self._at.restores[step.name])
            return f"restore {moments.told(snapshot, self._world.now_ns)}"
        return self._what_starts()

    def _what_starts(self) -> str:
        """Tell all that the last step runs and asks: the plan may be anybody's who could write to the repository."""
        app = self._plan.app
        begins = app.start.command if app.start is not None else app.run
        parts = [f"start the application ({_typed(begins)})" if begins else "look whether the application runs"]
        if app.health is not None:
            parts.append(f"wait until it is healthy ({render.name(app.health.http)})")
        if app.checks:
            parts.append(f"run its checks ({'; '.join(_typed(check.command) for check in app.checks)})")
        return ", ".join(parts)

    def _tell_programs(self, found: list[Prerequisite]) -> None:
        for one in found:
            how = one.reason or " ".join(filter(None, (one.found, "is here")))
            self._say(f"     {render.name(one.program):<12}  {render.name(one.wanted):<8}  {render.name(how)}")

    def _tell_environment(self, given: Given) -> None:
        if given.put_back:
            self._say(f"     {render.name(self._plan.app.env_file)} put back from the snapshot, for its owner only")
        same = sum(how is Compared.SAME for how in given.compared.values())
        if same:
            self._say(f"     {render.count(same, 'value')} of the environment as the data were written under")
        for name, how in given.compared.items():
            if how is Compared.DIFFERS:
                words = f"{render.name(name)} differs from what the data were written under"
                note(self._world.options, f"warning: {words}", "warning")
            elif how is Compared.MISSING and name not in given.lacking:
                note(self._world.options, f"note: {render.name(name)} had a value then, and has none here")
        for name, where in given.lacking.items():
            kept = f"; kept: {render.name(where)}" if where else ""
            note(self._world.options, f"warning: {render.name(name)} has no value here{kept}", "warning")

    # ── the end ──

    def _lies_another(self) -> str:
        """Say so if the cas.toml there is not the plan: the code brought it, and the next backup goes by it."""
        wrong = self._what_lies()
        if not wrong:
            return ""
        kept = self._at.folder / RECOVERIES / "cas.toml"
        try:
            private.replace(kept, self._toml.encode())
        except OSError:
            return wrong
        return f"{wrong}, which is kept as {kept.relative_to(self._at.folder)}: compare them"

    def _what_lies(self) -> str:
        try:
            found = self._world.config_in(self._at.folder)
            said = found and (found.config, parse(found.text.decode()))
        except (CasError, UnicodeDecodeError):
            return "the cas.toml that the code brought cannot be read, unlike the plan of this recovery"
        if said is None or said == (config.parse(self._toml), self._plan):
            return ""
        return "the cas.toml that the code brought says other things than the plan of this recovery"

    def _end(self, ended: Ended) -> int:
        ended = replace(ended, other_plan=self._lies_another())
        if ended.other_plan:
            note(self._world.options, f"warning: {ended.other_plan}", "warning")
        paper, outcome = self._paper(ended), ended.outcome
        if outcome.healthy is not False:
            course.drop(home().state, self._at.folder)
        if self._world.options.json:
            render.out(render.to_json(ended.fields(paper)))
        else:
            quiet = self._world.options.quiet
            render.lines(render.printable(line) for line in ended.lines(paper, next_steps=self._next(), quiet=quiet))
        return UNHEALTHY if outcome.healthy is False else INCOMPLETE if outcome.problems else 0

    def _write_failed(self, ended: Ended) -> None:
        """Put on paper how far it came."""
        if paper := self._paper(ended):
            note(self._world.options, f"the report is {render.name(str(paper.markdown))}")

    def _paper(self, ended: Ended) -> Written | None:
        """Write the report. If that fails, how the recovery ended is still what is told."""
        try:
            return written(ended)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            note(self._world.options, f"warning: no report could be written: {reason}", "warning")
            return None

    def _next(self) -> list[str]:
        """Say what is to be typed so that this host saves again."""
        named = config.repository_place(config.parse(self._toml), self._at.folder)
        here = os.path.realpath(named) == os.path.realpath(self._at.place)
        where = "" if here else f" -r {self._at.place}"
        lines = []
        if not home().key_file(self._repository.header.repository).exists():
            lines.append(
                f"This host has no key of its own: `cas backup{where}` with the same secret makes one, and takes a "
                "snapshot."
            )
        if not here:
            told = os.path.relpath(named, self._at.folder) if named.is_relative_to(self._at.folder) else named
            lines.append(f"cas.toml names the repository {told}; this was recovered from {self._at.place}.")
        return lines


def _judged(outcome: Recovered, looked: Sequence[outside.Looked]) -> Recovered:
    """Give how it ended, with what is not as it should be outside, and what nobody could judge."""
    untold = (_STARTED_BY_HAND,) if outcome.healthy is None else ()
    failed = [f"{one.external.name}: {one.reason}" for one in looked if one.standing is CheckResult.FAILED]
    return replace(outcome, problems=(*outcome.problems, *untold, *failed))


def _typed(arguments: Sequence[str]) -> str:
    """Tell a command as it would be typed, so that one argument is not taken for two."""
    return render.name(shlex.join(arguments))
