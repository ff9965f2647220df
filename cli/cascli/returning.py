"""`cas restore --undo` and `--resume`: out of a restore that was interrupted, and back from one that was not."""

from __future__ import annotations

import time
from pathlib import Path

from cascli import render
from cascli.asking import agree, shown_plan
from cascli.codes import INCOMPLETE
from cascli.display import Display
from cascli.opening import home
from cascli.restarting import Around, finish, interrupted, not_running
from cascli.restored import ended, recovered_lines
from cascli.session import announce, using
from cascli.world import World
from casstore.recovery.stopped import Standing, Stopped
from casstore.restore import Recovered, Restored, plan_undo, resume, undo, undo_finished, unfinished


def go_on(world: World, place: Path, *, devices: bool) -> int:
    """Finish a restore that was interrupted, and start the application if it was stopped for that."""
    if interrupted(place) is not None:
        return finish(world, place, forward=True, devices=devices)
    return _recover(world, place, forward=True)


def go_back(
    world: World, place: Path, *, dry_run: bool, yes: bool, force: bool, devices: bool, restart: bool, rollback: bool
) -> int:
    """Go to what was there before the last restore, whether that came to its end or not."""
    stopped, is_unfinished = interrupted(place), unfinished(place) is not None
    is_stopped = stopped is not None and not (restart and _never_began(stopped))
    if dry_run and (is_stopped or is_unfinished):
        and_start = ", and the application that was stopped for it would be started again" if is_stopped else ""
        render.out(f"a restore was interrupted in {render.name(str(place))}: it would be undone{and_start}")
        return 0
    if is_stopped:
        return finish(world, place, forward=False, devices=devices)
    if is_unfinished:
        return _recover(world, place, forward=False)
    with using(world) as repository, Display(world.options, "restore") as display:
        with plan_undo(repository, place, progress=display) as planned:
            display.pause()
            announce(world, planned.snapshot, "back to  ")
            if dry_run:
                return shown_plan(world, planned, [], whole=True)
            if not yes and (restart or not planned.is_empty):
                shown_plan(world, planned, [], whole=world.options.verbose)
                first = "Stop the application, and go" if restart else "Go"
                if not agreed(f"{first} back to this in {render.name(str(place))}?"):
                    return 1

        def replace() -> Restored:
            return undo_finished(
                repository, place, force=force, devices=devices, now_ns=world.now_ns,
                zone_minutes=world.zone_minutes(), hostname=world.hostname, clock=time.time_ns, progress=display,
            )  # fmt: skip

        if restart:
            around = Around(world, repository, place, display, devices=devices, rollback=rollback, undoes=True)
            return around.run(replace)
        with not_running(world, repository, place, force=force):
            done = replace()
    return ended(world, done)


def _never_began(stopped: Stopped) -> bool:
    """Whether it was asked to stop for an undo that replaced nothing: the same undo is meant when it is run again."""
    return stopped.undoes and stopped.standing(home().state) is Standing.UNTOUCHED


def agreed(question: str) -> bool:
    """Ask, and say so if nothing is done."""
    if agree(question):
        return True
    render.err("Nothing was touched.")
    return False


def _recover(world: World, place: Path, *, forward: bool) -> int:
    with Display(world.options, "restore") as display:
        done: Recovered = (resume if forward else undo)(place, state=home().state, progress=display)
    if world.options.json:
        fields = {"message_type": "summary", "resumed": forward, "problems": done.problems}
        render.out(render.to_json(fields | {"kept": str(done.kept) if done.kept else None}))
    elif not world.options.quiet:
        render.lines(recovered_lines(done, place, forward=forward))
    return INCOMPLETE if done.problems else 0
