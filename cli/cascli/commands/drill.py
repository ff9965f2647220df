"""`cas drill`: a recovery, rehearsed, measured, dated."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
from click.core import ParameterSource

from cascli import render, secret
from cascli.describing import describe
from cascli.display import Display, flush_words, lost_words, note
from cascli.drilling import facts, sections, told
from cascli.flushing import flushing
from cascli.guiding import BrokenOff, guide
from cascli.opening import backend, home, open_repository, repository_id
from cascli.options import FOLDER, Common, common
from cascli.papers import LANGUAGE
from cascli.reported import tell_step
from cascli.selecting import Extra, Task, refuse_unfinished, task
from cascli.session import using, warn_of_damage
from cascli.world import Found, World, local_folder, surroundings, terminal
from casstore import moments
from casstore.backends.local import LocalBackend
from casstore.backup import backup
from casstore.errors import CasError, SnapshotNotFound, UsageError
from casstore.ids import SHORT, to_letters
from casstore.keyring import Secret
from casstore.notes import Drilled, drilled, note_drilled
from casstore.recovery import due, report_files
from casstore.recovery.drill import Case, Drill, NotHeld, check, hidden
from casstore.recovery.drill import Found as Measured
from casstore.recovery.environment import Environment
from casstore.recovery.plan import Plan, parse
from casstore.recovery.report import Report
from casstore.recovery.scratch import Scratch, place_of, scratch_in
from casstore.repository import Home, Repository
from casstore.snapshot import NOTHING_KNOWN, Snapshot
from casstore.source import Source


@click.command(
    "drill",
    short_help="Rehearse a recovery in a scratch folder, and report what it took.",
    epilog="\b\nExamples:\n  cas drill\n  cas drill --from /mnt/disk/cas     would that copy do as well?\n"
    "  cas drill --full --recovery-words  [recover], from its first step\n"
    "  cas drill --guided                 by hand, step by step, with remarks\n\n"
    "Exit codes: 0 all held · 8 something did not; the report says what · 2 refused: nothing says how the\n"
    "application is run, or it would run with real values.",
)
@click.option("--from", "other", type=FOLDER, metavar="REPO", help="Rehearse from another copy, which is only read.")
@click.option("--full", is_flag=True, help="Go through [recover], with an empty home and the one secret that is named.")
@click.option("--guided", is_flag=True, help="Be led through the runbook by hand; remarks are kept in the report.")
@LANGUAGE
@common
@click.pass_obj
def command(options: Common, other: str | None, full: bool, guided: bool, language: str) -> int:
    """Prove that the application would come back: all beside the live one, which is not touched.

    A snapshot is taken, restored into a scratch folder and compared; files are lost there and restored again; the
    application is started on them, and asked for its health.

    The application runs by `run` of [app], with `env` of [drill] over its environment. Each value of its env file must
    be overridden there or named in `keep-env`. The report lies under drills/, and the repository notes its digest.
    """
    world = World(options)
    found = world.found
    if found is None:
        raise UsageError("there is no cas.toml here or above", hint="`cas init PATH…` makes one.")
    if guided:
        if full or other is not None:
            raise UsageError("--guided stands alone: what is done by hand is yours to choose")
        return _guided(world, found, language)
    if click.get_current_context().get_parameter_source("language") is ParameterSource.COMMANDLINE:
        raise UsageError("--lang is the language in which --guided leads", hint="Add --guided.")
    todo = task(world, (), Extra())
    refuse_unfinished(todo.origin)
    place = LocalBackend(local_folder(other if other is not None else world.place))
    room = place_of(home().cache_folder(repository_id(place)), found.folder)
    case = _case(found, todo, place)
    check(case, room)
    named = _secret(options) if full else None
    report = Report(hidden(case), partial(tell_step, options))
    with (
        Display(options, "drill") as display,
        scratch_in(room, found.folder.name) as scratch,
        _opened(world, place, scratch, is_other=other is not None) as repository,
    ):
        drill = Drill(
            case, repository, scratch, report, now_ns=world.now_ns, hostname=world.hostname, clock=time.time_ns,
            progress=display,
        )  # fmt: skip
        taking = _Taking(world, todo, case, repository, display)
        anew = partial(_anew, world, place, scratch, named) if named is not None else None
        if other is None:
            measured = drill.run(taking.take, taking.before, anew)
        else:
            measured = drill.run(taking.newest, lambda snapshot: snapshot, anew)
    return _end(world, found, case.plan, report, measured, place.address)


def _guided(world: World, found: Found, language: str) -> int:
    """Lead somebody through the runbook; what they say is the report, also of one who leaves before its end.

    Raises:
        Abort: they did.
    """
    with using(world) as repository:
        described = describe(world, found, repository)
    environment = Environment.of(described.plan.app, found.folder, surroundings())
    report = Report(environment.secrets(), partial(tell_step, world.options))
    address = backend(world).address
    try:
        away_ns = guide(described, language, report)
    except BrokenOff:
        if len(report.steps) > 1:  # who left at the first said nothing
            _end(world, found, described.plan, report, Measured(), address)
        raise click.Abort from None
    measured = Measured(away_ns=away_ns if report.ok else 0)
    return _end(world, found, described.plan, report, measured, address)


def _secret(options: Common) -> Secret:
    """Give the secret that was named, or ask: it alone must open the repository, so this host's key does not count."""
    named = secret.explicit(options) or secret.from_environment()
    if named is None and terminal():
        named = secret.ask("The passphrase")
    options.recovery_words = False  # they were asked for; what is not rehearsed is opened as ever
    if named is None:
        raise UsageError(
            "nothing says with which secret a recovery would begin, and this host would be gone",
            hint="Add --recovery-words, --key-file FILE of a copy kept elsewhere, or set CAS_PASSWORD.",
        )
    return named


@contextmanager
def _anew(world: World, place: LocalBackend, scratch: Scratch, named: Secret) -> Iterator[Repository]:
    """Open the repository as a bare server would."""
    bare = Home(scratch.kept / "config", scratch.kept / "state", scratch.kept / "cache")
    with open_repository(world, place, bare, named) as repository:
        repository.refresh()
        yield repository


def _case(found: Found, todo: Task, place: LocalBackend) -> Case:
    plan = parse(found.text.decode(), file=str(found.folder / "cas.toml"))
    status = place.folder.stat()
    never = [(status.st_dev, status.st_ino)]
    environment = Environment.of(plan.app, found.folder, surroundings())
    return Case(plan, found.folder, environment, todo.selection, never)


@contextmanager
def _opened(world: World, place: LocalBackend, scratch: Scratch, *, is_other: bool) -> Iterator[Repository]:
    """Open the repository. What is kept of another copy is forgotten: it may be behind, and that is no rollback."""
    if not is_other:
        with using(world, writes=True) as repository:
            yield repository
        return
    own = home()
    repository = open_repository(world, place, Home(own.config, scratch.kept, scratch.kept))
    try:
        repository.refresh()
        warn_of_damage(world, repository)
        yield repository
    finally:
        repository.close()


class _Taking:
    """The snapshot that is rehearsed with."""

    def __init__(self, world: World, todo: Task, case: Case, repository: Repository, display: Display) -> None:
        self._world, self._todo, self._case = world, todo, case
        self._repository, self._display = repository, display

    def take(self, measured: Measured) -> str:
        """Take one, as `cas backup` does; one that is in doubt is rehearsed with all the same."""
        world, todo, repository = self._world, self._todo, self._repository
        source = Source(os.fsencode(todo.origin), todo.selection, never=repository.never, progress=self._display)
        with flushing(world.options, todo.origin, todo.config).during(repository) as known:
            measured.snapshot = snapshot = backup(
                repository, source, now_ns=time.time_ns(), zone_minutes=world.zone_minutes(), hostname=world.hostname,
                name=todo.name, tags=("drill",), config=todo.config, whole_lines=todo.whole_lines,
                circumstances=known or NOTHING_KNOWN, tuning=todo.tuning, clock=time.time_ns, progress=self._display,
            )  # fmt: skip
        return _checked(snapshot)

    def newest(self, measured: Measured) -> str:
        """Take the newest that is there."""
        own = self._own()
        if not own:
            raise SnapshotNotFound(f"this copy holds no snapshot of {render.name(self._todo.name)}")
        measured.snapshot = own[-1]
        return _checked(own[-1])

    def before(self, snapshot: Snapshot) -> Snapshot | None:
        """Give the one that a loss would have left, just before this one was taken."""
        return next((one for one in reversed(self._own()) if one.number < snapshot.number), None)

    def _own(self) -> list[Snapshot]:
        own = (one for one in self._repository.snapshots() if one.name == self._todo.name)
        return [one for one in own if not (one.pre_restore or one.imported)]


def _checked(snapshot: Snapshot) -> str:
    """Give words for a snapshot.

    Raises:
        NotHeld: it is in doubt.
    """
    doubts = []
    if not snapshot.files + snapshot.others:
        doubts.append("it holds no file, so nothing is saved; see that `paths` in cas.toml are spelt as the files are")
    if snapshot.problems:
        doubts.append(f"{render.count(snapshot.problems, 'entry', 'entries')} could not be saved whole")
    if snapshot.torn:
        doubts.append(f"{render.count(snapshot.torn, 'JSON file')} torn")
    if snapshot.guarded is not None:
        doubts.append(lost_words(snapshot.guarded.total))
    if snapshot.is_unflushed and snapshot.flush is not None:
        doubts.append(flush_words(snapshot.flush))
    name = f"{to_letters(snapshot.id)[:SHORT]} of {moments.stamp(snapshot.time_ns, snapshot.zone_minutes)}"
    if doubts:
        raise NotHeld(f"{name} is in doubt: {'; '.join(doubts)}")
    return name + (f", {flush_words(snapshot.flush)}" if snapshot.flush is not None else "")


def _end(world: World, found: Found, plan: Plan, report: Report, measured: Measured, address: str) -> int:
    """Write the report, note its digest, and say how it went."""
    now = due.versions(found.folder)
    own, last = _last(world, found)
    changes = [] if last is None else due.changed(dict(last.versions), now)
    host = f"{world.hostname}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    written = report_files.write(
        found.folder / report_files.DRILLS, "drill",
        facts(found.name, host, address, measured, plan.promises, now, last),
        report.steps, sections(report, measured, changes, last), title=f"Drill: {found.name}", ok=report.ok,
        at_ns=world.now_ns,
    )  # fmt: skip
    _note(world, Drilled(
        world.now_ns, found.name, report.ok, bytes.fromhex(written.digest), measured.away_ns, tuple(now.items())
    ), readable=own)  # fmt: skip
    told(world.options, report, measured, written)
    return 0 if report.ok else NotHeld.exit_code


def _last(world: World, found: Found) -> tuple[bool, Drilled | None]:
    """Give the rehearsal before, from the application's own repository, if that can be read."""
    try:
        with using(world) as repository:
            before = drilled(repository, found.name)
            return True, before[-1] if before else None
    except CasError as error:
        note(world.options, f"warning: what was rehearsed before is not known: {error}", "warning")
        return False, None


def _note(world: World, fact: Drilled, *, readable: bool) -> None:
    if not readable:
        return
    try:
        with using(world) as repository:
            note_drilled(repository, fact)
    except CasError as error:
        note(world.options, f"warning: the report is not noted in the repository: {error}", "warning")
