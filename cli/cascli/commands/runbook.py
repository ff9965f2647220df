"""`cas runbook`: the whole plan for this application, written anew or held against what it describes."""

from __future__ import annotations

from pathlib import Path

import click

from cascli import render
from cascli.describing import describe
from cascli.display import note
from cascli.options import FILE, Common, common
from cascli.papers import LANGUAGE, put, read
from cascli.session import using
from cascli.world import World
from casstore.errors import UsageError
from casstore.recovery.runbook import Described, Form, RunbookOutdated, check, write
from casstore.recovery.runbook.described import day


@click.command(
    "runbook",
    short_help="Write the recovery plan of this application, for people.",
    epilog="\b\nExamples:\n  cas runbook                         RUNBOOK.md, beside cas.toml or in docs/\n"
    "  cas runbook --lang pt-BR            RUNBOOK.pt-BR.md\n"
    "  cas runbook --format html --output - > plan.html\n"
    "  cas runbook --check                 is RUNBOOK.md as old as what it describes?\n\n"
    "Exit codes: 0 · 9 it is older than what it describes, or was changed by hand, or is not there.",
)
@LANGUAGE
@click.option("--format", "form", type=click.Choice([form.value for form in Form]), default="md", show_default=True)
@click.option("--output", metavar="FILE", type=FILE, help="Which file; `-` writes to stdout.")
@click.option("--check", "checks", is_flag=True, help="Write nothing; say whether the file still holds.")
@common
@click.pass_obj
def command(options: Common, language: str, form: str, output: str | None, checks: bool) -> None:
    """Write how this application is backed up, restored, and brought back on a bare server, step by step.

    Everything in it comes from cas.toml, the repository and the reports under drills/ and recoveries/. Names of the
    environment stand in it, values never.
    """
    world = World(options)
    found = world.found
    if found is None:
        raise UsageError("there is no cas.toml here or above, and a runbook is about one", hint="`cas init` makes one.")
    if checks and output == "-":
        raise UsageError("--check reads a file, and `-` is none")
    if options.json and output == "-":
        raise UsageError("stdout cannot be both, the runbook and JSON", hint="Name a file for the runbook.")
    file = output if output is not None else str(_usual(found.folder, language, form))
    with using(world) as repository:
        described = describe(world, found, repository)
    if checks:
        _check(options, file, described, language, Form(form))
        return
    put(file, write(described, language, Form(form), written=day(world.now_ns)))
    _tell(options, file, "written", language, form)


def _check(options: Common, file: str, described: Described, language: str, form: Form) -> None:
    shown, text = render.name(file), read(Path(file))
    if text is None:
        raise RunbookOutdated(f"there is no runbook at {shown}", hint="`cas runbook` writes it.")
    check(text, described, language, form, file=shown)
    _tell(options, file, "current", language, form.value)


def _tell(options: Common, file: str, state: str, language: str, form: str) -> None:
    if file == "-":
        return
    if options.json:
        fields = {"message_type": "runbook", "file": file, "state": state, "language": language, "format": form}
        render.out(render.to_json(fields))
    else:
        note(options, f"{state}: {render.name(file)}")


def _usual(folder: Path, language: str, form: str) -> Path:
    """Give the usual file: in docs/ if it is there already, else beside cas.toml."""
    name = f"RUNBOOK.{form}" if language == "en" else f"RUNBOOK.{language}.{form}"
    inside = folder / "docs" / name
    return inside if inside.is_file() else folder / name
