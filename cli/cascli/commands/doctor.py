"""`cas doctor`: would it work on the day?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from cascli import findings, render
from cascli.commands import schedule as scheduling
from cascli.opening import open_repository
from cascli.options import Common, common
from cascli.selecting import Extra, task
from cascli.session import follow, of_here
from cascli.world import Found, World, surroundings
from casstore.backup.taking import PROGRAM
from casstore.errors import CasError
from casstore.notes import drilled
from casstore.recovery import doctor, due, schedule
from casstore.recovery.application import Application
from casstore.recovery.commands import run
from casstore.recovery.disks import data_beside
from casstore.recovery.environment import Environment, compare
from casstore.recovery.findings import Finding, Level, worst
from casstore.recovery.plan import Plan, parse
from casstore.recovery.status import growth
from casstore.repository import Repository
from casstore.slots import proven_elsewhere
from casstore.snapshot import Snapshot

OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE
DOUBTFUL = 3  # it would work, and something of it is not as it should be
_SHOW_NS = 10 * 10**9


@click.command(
    "doctor",
    short_help="Would it work on the day? Each thing a recovery rests on.",
    epilog="\b\nExamples:\n  cas doctor\n  cas doctor --quiet     only what is wrong\n\n"
    "Exit codes: 0 all is well · 3 there are warnings · 1 something would fail.",
)
@common
@click.pass_obj
def command(options: Common) -> int:
    """Look at what a backup and a recovery rest on: cas.toml, paths, repository, key, disks, environment, timers.

    Each line is well, a warning or a failure, and says what to do. Nothing is changed; `cas status` judges promises.
    """
    world = World(options)
    found = list(_told_once(_all(world)))
    level = worst(found)
    if options.json:
        render.out(render.to_json({"worst": level.name.lower(), "findings": findings.fields(found)}))
    else:
        render.lines(findings.shown(found, quiet=options.quiet))
        if not options.quiet:
            render.out(f"cas doctor: {findings.counted(found)}")
    if level is FAILURE:
        return 1
    return DOUBTFUL if level is WARNING else 0


def _told_once(found: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out what stops several looks and was told of the first, such as a wrong cas.toml."""
    told: set[str] = set()
    for one in found:
        if one.level is not FAILURE or one.text not in told:
            yield one
        told.add(one.text)


def _all(world: World) -> Iterator[Finding]:
    """Look at one thing after the other; one that cannot be looked at is a finding, and the rest goes on."""
    here: tuple[Found, Plan] | None = None
    try:
        here = _config(world)
        yield Finding("config", OK, f"{here[0].folder / 'cas.toml'}")
    except CasError as error:
        yield Finding("config", FAILURE, str(error), error.hint)
    environment = Environment(process=surroundings())
    if here is not None:
        yield from findings.unfinished(here[0].folder)
        try:
            environment = Environment.of(here[1].app, here[0].folder, surroundings())
        except CasError as error:
            yield Finding("env", FAILURE, str(error), error.hint)
        else:
            yield from doctor.application(here[1].app, environment, here[0].folder)
        yield from _caught("vault", lambda: doctor.kept_environment(here[1].app, environment, here[0].config.isolate))
        yield from _caught("outside", lambda: _outside(here[0], here[1], environment))
    try:
        repository = open_repository(world)
    except CasError as error:
        yield Finding("repository", FAILURE, str(error), error.hint)
        return
    with repository:
        if here is not None:
            yield from _caught("schedule", lambda: _timers(world, here[1]))
        yield from _caught("repository", lambda: _repository(world, repository, environment, here))


def _caught(topic: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Look, and make a finding of whatever stops it."""
    try:
        yield from look()
    except CasError as error:
        yield Finding(topic, FAILURE, str(error), error.hint)
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        yield Finding(topic, FAILURE, f"{where}{(error.strerror or str(error)).lower()}")


def _outside(found: Found, plan: Plan, environment: Environment) -> Iterator[Finding]:
    return doctor.outside(plan.external, Application(plan.app, found.folder, environment), environment)


def _captured(repository: Repository, plan: Plan, newest: Snapshot | None) -> Iterator[Finding]:
    is_kept = None if newest is None else repository.head(newest).sidecar is not None
    return doctor.captured_environment(plan.app, is_kept)


def _config(world: World) -> tuple[Found, Plan]:
    found = scheduling.found_here(world)
    return found, parse(found.text.decode(), file=str(found.folder / "cas.toml"))


# ── the repository, and what lies in it ──


def _repository(
    world: World, repository: Repository, environment: Environment, here: tuple[Found, Plan] | None
) -> Iterator[Finding]:
    follow(world, repository)
    yield Finding("key", OK, "this host, or what was named, opens the repository")
    yield from _caught("repository", lambda: _writable(repository))
    snapshots = repository.snapshots()
    if here is not None:
        snapshots = [snapshot for snapshot in snapshots if snapshot.name == here[0].name]
    taken = [snapshot for snapshot in snapshots if not (snapshot.pre_restore or snapshot.imported)]
    own = of_here(world, taken)
    newest = own[-1] if own else None  # those others carry no environment, or one of another host
    yield from doctor.clock(world.now_ns, snapshots)
    if here is None:
        return
    (found, plan), folder = here, _folder(repository)
    yield from _caught("paths", lambda: _paths(world, repository))
    if folder is not None:
        yield from _disks(found, folder)
        beside = shutil.disk_usage(found.folder).free
        free = shutil.disk_usage(folder).free
        yield from doctor.room(free, growth(snapshots, world.now_ns), newest, beside)
    yield from _secret(repository)
    yield from doctor.steps(plan.recover, snapshots, world.now_ns)
    yield from due.reports(drilled(repository, found.name), found.folder)
    application = Application(plan.app, found.folder, environment)
    yield from _caught("programs", lambda: doctor.programs(plan.recover, application))
    yield from doctor.version(newest, PROGRAM)
    yield from _caught("vault", lambda: _captured(repository, plan, newest))
    yield from _caught(
        "env", lambda: doctor.variables(environment, compare(repository, newest, environment) if newest else {})
    )


def _folder(repository: Repository) -> Path | None:
    folder: Path | None = getattr(repository.backend, "folder", None)
    return folder


def _writable(repository: Repository) -> Iterator[Finding]:
    repository.check_writable()
    folder = _folder(repository)
    if folder is not None and not all(os.access(folder / part, os.W_OK) for part in ("tmp", "ledger", "packs")):
        yield Finding("repository", FAILURE, f"{folder} cannot be written", "Run cas as the account that made it.")
    elif repository.damaged:
        text = f"objects that cannot be read: {len(repository.damaged):,}"
        yield Finding("repository", FAILURE, text, "`cas verify` says what this costs.")
    else:
        yield Finding("repository", OK, "can be read and written")


def _paths(world: World, repository: Repository) -> Iterator[Finding]:
    todo = task(world, (), Extra())
    yield from doctor.paths(os.fsencode(todo.origin), todo.selection, repository.never)


def _disks(found: Found, repository: Path) -> Iterator[Finding]:
    if data_beside(found.folder, found.config.paths, repository):
        todo = "Keep a copy elsewhere: one disk is one accident."
        yield Finding("disk", WARNING, "the repository lies on the disk of the data", todo)
    else:
        yield Finding("disk", OK, "the repository lies on another disk than the data")


def _secret(repository: Repository) -> Iterator[Finding]:
    if proven_elsewhere(repository):
        yield Finding("secret", OK, "a secret that is kept outside this host was proven to open it")
    else:
        todo = "`cas key recovery` makes words for paper; its --check, or that of `cas key passwd`, proves them."
        yield Finding("secret", WARNING, "no secret outside this host was proven to open it", todo)


# ── what runs by itself ──


def _timers(world: World, plan: Plan) -> Iterator[Finding]:
    place, chosen = scheduling.wanted(world, ())
    units = schedule.units(place, chosen)
    there = {path.name: path for path in schedule.installed(place.folder, schedule.UNITS)}
    wanted = schedule.starts(units)
    if f"{schedule.stem(place)}-watch.service" in there:  # in the place of the backups
        wanted = [name for name in wanted if not name.endswith("-backup.timer")]
    stale = [unit.name for unit in units if unit.name in there and there[unit.name].read_text() != unit.text]
    timers = [name for name in there if name.endswith((".timer", "-watch.service"))]
    yield from doctor.timers(wanted, stale, {name: _shown(name) for name in timers})


def _shown(name: str) -> dict[str, str]:
    """Give what systemd says of a unit, and of the job of a timer; {} where it does not run."""
    if not scheduling.SYSTEMD.is_dir():
        return {}
    job = name.replace(".timer", ".service")
    says: dict[str, str] = {}
    for unit, facts in ((job, "Result"), (name, "ActiveState,LastTriggerUSec")):
        arguments = ["systemctl", "show", unit, f"--property={facts}"]
        ran = run(arguments, folder=Path("/"), env={"PATH": os.defpath, "LC_ALL": "C"}, timeout_ns=_SHOW_NS)
        says |= dict(line.split("=", 1) for line in ran.output.splitlines() if "=" in line)
    return says
