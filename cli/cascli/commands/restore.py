"""`cas restore`: bring files back."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import click

from cascli import render
from cascli.asking import different, shown_plan
from cascli.display import Display, note
from cascli.doubtful import refuse_doubtful
from cascli.options import FILE, FOLDER, MOMENT, Common, common, repository_too
from cascli.paths import inside
from cascli.putting import Putting, put_record_back
from cascli.restarting import Around, not_running
from cascli.restored import ended
from cascli.returning import agreed, go_back, go_on
from cascli.session import announce_return, choose, using
from cascli.world import World
from casstore import moments
from casstore.errors import CasError, UsageError
from casstore.recovery.ready import captured_beside, put_beside
from casstore.recovery.records import Which
from casstore.restore import Plan, plan, refuse_unfinished, restore
from casstore.snapshot import Snapshot


@click.command(
    "restore",
    short_help="Bring files back: all or nothing, verified first.",
    epilog='\b\nExamples:\n  cas restore "2 hours ago" --dry-run       what would it do?\n'
    "  cas restore latest data/users.json        one file, in place\n"
    "  cas restore latest data/users.json --record id=usr_42\n"
    "  cas restore 2026-11-23 --target /tmp/old  elsewhere; nothing live is touched\n"
    "  cas restore last-good                     the newest before guarded files lost what they held\n"
    "  cas restore latest --restart              stop the application, restore, start it, wait until it is well\n"
    "  cas restore --undo                        back to before the last restore\n\n"
    "Exit codes: 0 restored · 3 something was not restored whole · 4 the snapshot is in doubt,\n"
    "nothing was touched · 5 the application runs, or does not stop · 6 the application is not well after a\n"
    "--restart · 7 no such snapshot.",
)
@click.argument("snapshot", required=False, type=MOMENT, metavar="[SNAPSHOT]")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@click.option("-t", "--target", type=FOLDER, metavar="DIR", help="Restore below this folder instead of in place.")
@repository_too("--source", shown="The same as --repo.")
@click.option(
    "--record", metavar="[FIELD=]VALUE", help="Only this record of the JSON file PATH; all else in it stays as it is."
)
@click.option("--show-values", is_flag=True, help="With --record: show what fields hold, and will hold.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be new, replaced and deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing files in place.")
@click.option("--here", is_flag=True, help="In place although host or folder are not those of the snapshot.")
@click.option("--delete", is_flag=True, help="In place: also remove files that the snapshot does not have.")
@click.option("--force", is_flag=True, help="In place although the application seems to run.")
@click.option(
    "--despite-guard", is_flag=True, help="Although the snapshot is torn, or guarded files lost what they held."
)
@click.option("--read-back", is_flag=True, help="Read back and compare what was written (always done in place).")
@click.option("--with-env", is_flag=True, help="Also the env file that was kept with the snapshot (env-capture).")
@click.option("--devices", is_flag=True, help="Restore device nodes as well.")
@click.option("--name", metavar="NAME", help="Among the snapshots of this name.")
@click.option("--host", metavar="HOST", help="Among the snapshots of this host.")
@click.option("--undo", "goes_back", is_flag=True, help="Undo the last restore, or one that was interrupted.")
@click.option("--resume", "goes_on", is_flag=True, help="Finish a restore that was interrupted.")
@click.option("--restart", is_flag=True, help="Stop the application, restore, start it, wait until it is well.")
@click.option("--no-rollback", is_flag=True, help="With --restart: leave it, if it is not well afterwards.")
@common
@click.pass_obj
def command(
    options: Common,
    snapshot: str | None,
    paths: tuple[str, ...],
    target: str | None,
    record: str | None,
    show_values: bool,
    dry_run: bool,
    yes: bool,
    here: bool,
    delete: bool,
    force: bool,
    despite_guard: bool,
    read_back: bool,
    with_env: bool,
    devices: bool,
    name: str | None,
    host: str | None,
    goes_back: bool,
    goes_on: bool,
    restart: bool,
    no_rollback: bool,
) -> int:
    """Restore SNAPSHOT (an id, or a moment such as `latest`, `last-good` or "yesterday 14:00"), or only PATH of it.

    Without --target it goes in place: everything is fetched and verified first, what is there now is saved as a
    pre-restore snapshot, and then files are replaced one by one. Files that the snapshot does not have stay.
    """
    world = World(options)
    _check_restart(restart, no_rollback, force=force)
    if goes_back or goes_on:
        other = (snapshot, record, name, host) != (None,) * 4
        other = other or delete or with_env or here or despite_guard or read_back or show_values
        if other or (goes_on and force) or (goes_back and goes_on) or (goes_on and restart):
            raise UsageError("--undo and --resume stand alone: they know which restore is meant")
        if goes_on and dry_run:
            raise UsageError(
                "--resume finishes what was begun, and has no --dry-run",
                hint="`cas restore --undo --dry-run` says what lies there.",
            )
        place = _folder(world, target)
        if goes_on:
            return go_on(world, place, devices=devices)
        return go_back(
            world, place, dry_run=dry_run, yes=yes, force=force, devices=devices, restart=restart,
            rollback=not no_rollback,
        )  # fmt: skip
    if snapshot is None:
        raise UsageError(
            "say which snapshot", hint="`cas snapshots` lists them; `cas restore latest` takes the newest."
        )
    if delete and target is not None:
        raise UsageError("--delete works in place only, where a pre-restore snapshot keeps what goes")
    if show_values and record is None:
        raise UsageError("--show-values shows the fields of a --record", hint="Add --record FIELD=VALUE.")
    if record is not None and (len(paths) != 1 or target is not None or delete or with_env):
        raise UsageError("--record puts back a record of one file in place", hint="Name that file: SNAPSHOT PATH.")
    with using(world) as repository, Display(options, "restore") as display:
        chosen = choose(world, repository, snapshot, host=host, name=name)
        announce_return(world, chosen, "restoring")
        place = _target(world, chosen, target)
        in_place = target is None or _is_live(world, chosen, place)
        refuse_unfinished(place)
        beside = captured_beside(repository, chosen, place) if with_env else None
        around = None
        if restart:
            around = Around(world, repository, place, display, devices=devices, rollback=not no_rollback)
        wanted = tuple(inside(chosen, path) for path in paths)
        if not (despite_guard or moments.is_deliberate(snapshot)):
            refuse_doubtful(world, repository, chosen, wanted, host=host, name=name)
        # All of a snapshot elsewhere: there is nothing to show or to ask, and a large manifest is not read twice.
        if dry_run or wanted or in_place:
            with plan(repository, chosen, place, paths=wanted, delete=delete, progress=display) as planned:
                display.pause()
                _check_paths(planned)
                odd = different(world, chosen, planned) if in_place else []
                if record is not None:
                    return put_record_back(
                        Putting(world, repository, planned, wanted[0], Which.parse(record)), world, odd, display,
                        dry_run=dry_run, yes=yes, here=here, force=force, show_values=show_values, around=around,
                    )  # fmt: skip
                if dry_run:
                    if beside is not None:
                        note(options, f"{render.name(str(beside[0]))} would be that of the snapshot")
                    return shown_plan(world, planned, odd, whole=True)
                if in_place and not _may_replace(world, planned, odd, yes=yes, here=here, restart=restart):
                    return 1
        files = partial(
            restore, repository, chosen, place, paths=wanted, in_place=in_place, delete=delete, force=force,
            read_back=read_back, devices=devices, now_ns=world.now_ns, zone_minutes=world.zone_minutes(),
            hostname=world.hostname, clock=time.time_ns, progress=display,
        )  # fmt: skip
        if around is not None:
            # Before it is stopped: also who finishes this, should we be killed, starts it with that environment.
            if beside is not None:
                _put_env(options, *beside)
            return around.run(files)
        with not_running(world, repository, place, force=force) if in_place else nullcontext():
            done = files()
            if beside is not None:
                _put_env(options, *beside)
    return ended(world, done)


def _put_env(options: Common, path: Path, data: bytes) -> None:
    put_beside(path, data)
    note(options, f"{render.name(str(path))} is that of the snapshot, for its owner only")


def _check_restart(restart: bool, no_rollback: bool, *, force: bool) -> None:
    if no_rollback and not restart:
        raise UsageError("--no-rollback says what becomes of a --restart", hint="Add --restart.")
    if restart and force:
        raise UsageError("--restart stops the application, and --force replaces its files while it runs: say one")


def _folder(world: World, target: str | None) -> Path:
    """Give the folder of a restore that was: the one that is named, that of cas.toml, or this one."""
    if target is not None:
        return Path(target).absolute()
    return world.found.folder if world.found is not None else Path.cwd()


def _target(world: World, chosen: Snapshot, target: str | None) -> Path:
    if target is not None:
        place = Path(target).absolute()
        if os.path.lexists(place) and not place.is_dir():
            raise UsageError(f"{render.name(target)} is not a folder")
        return place
    return world.found.folder if world.found is not None else Path(os.fsdecode(chosen.origin))


def _is_live(world: World, chosen: Snapshot, place: Path) -> bool:
    """Whether a folder named as target is the application's own: then it is a restore in place, with all its care."""
    own = [world.found.folder] if world.found is not None else []
    if chosen.hostname == world.hostname:
        own.append(Path(os.fsdecode(chosen.origin)))
    return place.exists() and any(folder.exists() and place.samefile(folder) for folder in own)


def _check_paths(planned: Plan) -> None:
    if planned.unmatched:
        names = ", ".join(render.name(path) for path in planned.unmatched)
        raise CasError(
            f"not in this snapshot: {names}",
            hint=f"Nothing was touched. Paths are relative to {render.name(planned.snapshot.origin)}.",
        )


def _may_replace(world: World, planned: Plan, odd: list[str], *, yes: bool, here: bool, restart: bool) -> bool:
    """Show the plan and ask, unless that was answered on the command line."""
    if odd and not here:
        raise UsageError("; ".join(odd), hint="If you mean it, add --here; --target DIR restores elsewhere.")
    if yes or (planned.is_empty and not restart):
        return True
    shown_plan(world, planned, odd, whole=world.options.verbose)
    first = "Stop the application, and replace" if restart else "Replace"
    return agreed(f"{first} these in {render.name(str(planned.target))}?")
