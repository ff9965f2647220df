"""`cas recover`: from a bare server to a healthy application."""

from __future__ import annotations

from pathlib import Path

import click

from cascli import render
from cascli.display import Display
from cascli.opening import backend, home
from cascli.options import FOLDER, MOMENT, Common, common
from cascli.recovering import Recovering, chosen_course
from cascli.secret import NoTerminal
from cascli.session import using
from cascli.world import World, terminal
from casstore.errors import CasError, UsageError
from casstore.recovery import course, stopped
from casstore.recovery.course import Course
from casstore.repository import Repository


@click.command(
    "recover",
    short_help="Bring an application back on a bare server: code, data, start, health.",
    epilog="\b\nExamples:\n  cas recover -r /mnt/backups/cas /srv/shop        asks for the passphrase\n"
    "  cas recover -r backups/cas --recovery-words      here, beside the repository\n"
    "  cas recover -r backups/cas --at last-good --yes\n"
    "  cas recover --resume                             go on where it stopped\n\n"
    "Exit codes: 0 healthy · 1 a step failed, or something is missing here · 3 brought back, with problems ·\n"
    "4 the newest snapshot is in doubt · 5 the application runs · 6 not healthy · 7 no such snapshot.",
)
@click.argument("folder", required=False, type=FOLDER)
@click.option(
    "--at", "moment", type=MOMENT, metavar="MOMENT", help="Restore this snapshot instead of what the plan says."
)
@click.option("--name", metavar="NAME", help="Among the snapshots of this name.")
@click.option("--host", metavar="HOST", help="Among the snapshots of this host.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before each step.")
@click.option(
    "--despite-guard", is_flag=True, help="Although the snapshot is torn, or guarded files lost what they held."
)
@click.option("--resume", "goes_on", is_flag=True, help="Go on with the first step that did not end well.")
@common
@click.pass_obj
def command(
    options: Common,
    folder: str | None,
    moment: str | None,
    name: str | None,
    host: str | None,
    yes: bool,
    despite_guard: bool,
    goes_on: bool,
) -> int:
    """Bring the application back into FOLDER (this one), which is empty or holds only the repository and the env file.

    The plan is [recover] and [app] of the cas.toml that the snapshot carries. Nothing of this host is needed but one
    secret that opens the repository. Each step is asked about first; what is done stays done, whatever comes then.
    """
    if goes_on and (moment, name, host, despite_guard) != (None, None, None, False):
        raise UsageError("--resume stands alone: it knows which snapshot is meant")
    if not (yes or terminal()):
        raise NoTerminal(
            "each step is asked about, and there is no terminal to ask on", hint="Say --yes to go through all steps."
        )
    place = _named(folder)
    state = home().state
    with stopped.holding(state, place):
        at = course.read(state, place) if goes_on else None
        if goes_on and options.repo is None:
            options.repo = _begun(at, place).place
        world = World(options)
        with using(world) as repository, Display(options, "recover") as display:
            if goes_on:
                at = _begun(at, place)
                _check_same(repository, at)
            else:
                at = chosen_course(
                    world, repository, place, str(backend(world).folder), moment=moment, name=name, host=host,
                    despite_guard=despite_guard,
                )  # fmt: skip
            return Recovering(world, repository, display, at).run(yes=yes)


def _named(folder: str | None) -> Path:
    if folder is not None and not folder:  # an unset variable, most likely: this folder is surely not meant
        raise UsageError("the name of the folder is empty", hint="This folder is `.`.")
    return Path(folder or ".").absolute()


def _begun(at: Course | None, place: Path) -> Course:
    if at is None:
        raise CasError(
            f"no recovery into {render.name(str(place))} lies unfinished",
            hint="Begin one with `cas recover -r REPO FOLDER`, or name the folder of the one that you mean.",
        )
    return at


def _check_same(repository: Repository, at: Course) -> None:
    if repository.header.repository != at.repository:
        raise UsageError(
            "this is another repository than the one that the recovery was begun from",
            hint=f"Say -r {render.name(at.place)}, or leave -r out.",
        )
