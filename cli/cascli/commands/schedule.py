"""`cas schedule`: what runs by itself, shown, written and removed."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from pathlib import Path

import click

from cascli import opening, render
from cascli.display import note
from cascli.options import FOLDER, Common, common
from cascli.world import Found, World
from casstore.errors import CasError, UsageError
from casstore.recovery import schedule
from casstore.recovery.plan import parse
from casstore.recovery.schedule import UNITS, Job, Place, Unit
from casstore.repository import Home

SYSTEMD = Path("/run/systemd/system")  # is there where systemd runs
JOBS = ("backup", "watch", "verify", "drill", "status")


@click.group(
    "schedule",
    short_help="What runs by itself: timers of systemd, or lines for cron.",
    epilog="\b\nExamples:\n  cas schedule show                     what would be written, and the same for cron\n"
    '  sudo "$(command -v cas)" schedule install             backup, verify and status; drill if it is promised\n'
    '  sudo "$(command -v cas)" schedule install watch verify status\n'
    '  sudo "$(command -v cas)" schedule remove',
)
@common
def command() -> None:
    """Run backups twice as often as `rpo` says, and proofs in time, as the account that made the repository."""


_JOBS = click.argument("names", nargs=-1, metavar="[JOB]…", type=click.Choice(JOBS))
_INTO = click.option(
    "--into", type=FOLDER, metavar="FOLDER", default=str(UNITS), show_default=True, help="Where the units lie."
)


@command.command("show", short_help="Show what would be written, and the same for cron.")
@_JOBS
@_INTO
@common
@click.pass_obj
def show(options: Common, names: tuple[str, ...], into: str) -> None:
    """Show each file that would be written, with its place, and lines for cron that do the same."""
    place, chosen = wanted(World(options, for_others=True), names)
    units, lines = schedule.units(place, chosen), schedule.cron_lines(place, chosen)
    if options.json:
        files = [{"path": str(Path(into, unit.name)), "text": unit.text} for unit in units]
        render.out(render.to_json({"user": place.user, "units": files, "cron": lines}))
        return
    for unit in units:
        render.lines([f"# ── {render.name(str(Path(into, unit.name)))}", *map(render.printable, unit.text.split("\n"))])
    render.lines([f"# ── the same for cron: `crontab -e` as {place.user}", *map(render.printable, lines)])


@command.command("install")
@_JOBS
@_INTO
@common
@click.pass_obj
def install(options: Common, names: tuple[str, ...], into: str) -> None:
    """Write the units, and say how to start them. System units need root, but run as the repository's account."""
    place, chosen = wanted(World(options, for_others=True), names)
    target = Path(into).expanduser().absolute()
    if target == UNITS and not SYSTEMD.is_dir():
        lines = "\n".join(schedule.cron_lines(place, chosen))
        raise UsageError("systemd does not run here", hint=f"`crontab -e` as {place.user} takes these:\n{lines}")
    units = schedule.units(place, chosen)
    try:
        written = schedule.install(units, place.folder, target)
    except OSError as error:
        raise _refused(target, error) from None
    start = f"systemctl daemon-reload && systemctl enable --now {' '.join(schedule.starts(units))}"
    if options.json:
        render.out(render.to_json({"written": [str(path) for path in written], "start": start}))
        return
    if not options.quiet:
        render.lines(f"wrote {render.name(str(path))}" for path in written)
        render.out(f"start them with\n  {start}")
    if any(job.name == "drill" for job in chosen) and not Path(place.folder, "drills").is_dir():
        folder = shlex.quote(f"{place.folder}/drills")
        note(options, f"The drill writes its reports there; make the folder first:\n  "
                      f"install -d -o {place.user} -g {place.group} {folder}")  # fmt: skip


@command.command("remove", short_help="Remove what `cas schedule install` wrote.")
@_INTO
@common
@click.pass_obj
def remove(options: Common, into: str) -> None:
    """Remove what `cas schedule install` wrote for the cas.toml here, and nothing else."""
    target = Path(into).expanduser().absolute()
    folder = str(found_here(World(options, for_others=True)).folder)
    units = [Unit(path.name, "") for path in schedule.installed(folder, target)]
    try:
        removed = schedule.remove(folder, target)
    except OSError as error:
        raise _refused(target, error) from None
    stop = f"systemctl disable --now {' '.join(schedule.starts(units))}; systemctl daemon-reload" if units else ""
    if options.json:
        render.out(render.to_json({"removed": [str(path) for path in removed], "stop": stop}))
        return
    if options.quiet:
        return
    render.lines(f"removed {render.name(str(path))}" for path in removed)
    render.out(f"end what still runs with\n  {stop}" if removed else f"nothing of this application is in {into}")


def _refused(target: Path, error: OSError) -> CasError:
    hint = 'System units need root: `sudo "$(command -v cas)" schedule …`.' if target == UNITS else ""
    return CasError(
        f"the units in {render.name(str(target))} cannot be changed: {os.strerror(error.errno or 0).lower()}", hint=hint
    )


# ── what is wanted, and where it all lies ──


def wanted(world: World, names: tuple[str, ...]) -> tuple[Place, list[Job]]:
    """Give the jobs of these names, or the usual ones, and where all lies.

    Raises:
        CasError: that cannot be told.
    """
    found = found_here(world)
    plan = parse(found.text.decode(), file=str(found.folder / "cas.toml"))
    known = schedule.jobs(plan)
    return _place(world, found), [known[name] for name in dict.fromkeys(names or schedule.usual(plan))]


def found_here(world: World) -> Found:
    """Give the cas.toml of here.

    Raises:
        UsageError: there is none, or it is not to be trusted.
    """
    if world.found is None:
        raise UsageError("there is no cas.toml here or above", hint="Go to the folder of the application.")
    return world.found


def _place(world: World, found: Found) -> Place:
    backend = opening.backend(world)
    repository = opening.repository_id(backend)
    owner = backend.folder.stat().st_uid
    if (found.folder / "cas.toml").stat().st_uid not in (owner, 0):
        raise UsageError(
            f"cas.toml and the repository {render.name(str(backend.folder))} belong to two accounts",
            hint="The jobs would run as the one of the repository, which does not trust a file of the other.",
        )
    account = _account(owner)
    home = opening.home() if owner == os.geteuid() else _home_of(account)
    key = home.key_file(repository)
    state, cache = home.anchor(repository).parent, home.cache_folder(repository)
    for needed in (key, state, cache):
        if not needed.exists():
            raise UsageError(
                f"{account.pw_name}, the account of the repository, never used it: "
                f"there is no {render.name(str(needed))}",
                hint="Run `cas backup` once as that account.",
            )
    return Place(
        cas=_program(), name=found.name, folder=str(found.folder), repository=str(backend.folder), key=str(key),
        state=str(state), state_home=str(home.state.parent), cache=str(cache), cache_home=str(home.cache),
        user=account.pw_name, group=_group(account), home=str(Path(account.pw_dir)),
    )  # fmt: skip


def _account(owner: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(owner)
    except KeyError:
        raise UsageError(f"the repository belongs to no account of this host (uid {owner})") from None


def _group(account: pwd.struct_passwd) -> str:
    import grp

    try:
        return grp.getgrgid(account.pw_gid).gr_name
    except KeyError:  # systemd takes the number as well
        return str(account.pw_gid)


def _home_of(account: pwd.struct_passwd) -> Home:
    home = Path(account.pw_dir)
    return Home(*(home / part / "casstore" for part in (".config", ".local/state", ".cache")))


def _program() -> str:
    """Find the command `cas` that runs now, or the one beside this Python.

    Raises:
        UsageError: there is none.
    """
    beside = Path(sys.executable).with_name("cas")
    run = Path(sys.argv[0]).absolute()
    if run.name == "cas" and os.access(run, os.X_OK):
        return str(run)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("cas")
    if found is None:
        raise UsageError("the program `cas` is not found, so no unit can name it", hint="Install it, or set PATH.")
    return found
