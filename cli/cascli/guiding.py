"""A recovery by hand: somebody is led through the steps of the plan, and what they say of each is kept."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cascli import render
from cascli.world import terminal
from casstore.errors import UsageError
from casstore.recovery.drill import NotHeld
from casstore.recovery.plan import Plan, Step
from casstore.recovery.report import Report

FAILED = "no"  # what an answer begins with that tells of a failure


def guide(plan: Plan, report: Report) -> None:
    """Go through all steps; one that failed does not end it, for the next may still tell something."""
    render.err(
        f"Do each step, then press Enter, or write what is to be remembered of it. If it failed, begin with `{FAILED}`."
    )
    for number, (name, what) in enumerate(_steps(plan), 1):
        render.err(f"\n{number}. {render.printable(name)}: {render.printable(what)}")
        _one(name, report)


def _one(name: str, report: Report) -> None:
    try:
        with report.step(name) as say:
            answer = _answer()
            first, _, rest = answer.partition(" ")
            if first.lower().strip(",.:;") == FAILED:
                raise NotHeld(rest.strip() or "it failed")
            say(answer or "done")
    except NotHeld:
        pass


def _answer() -> str:
    try:
        return str(click.prompt("Done?", default="", show_default=False, prompt_suffix=" ", err=True)).strip()
    except click.Abort:
        if terminal():
            raise
        hint = "Run it by hand, where somebody reads each step and answers."
        raise UsageError("no answer comes on stdin, and there is no terminal to ask on", hint=hint) from None


def _steps(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the name of each step and what there is to do."""
    for step in plan.recover.steps:
        yield step.name, _what(step)
    if plan.app.health is not None:
        yield "health", f"see that {plan.app.health.http} answers that all is well"
    for check in plan.app.checks:
        yield f"check {check.name}", " ".join(check.command)
    for external in plan.external:
        yield external.name, external.how


def _what(step: Step) -> str:
    if step.run:
        return " ".join(step.run)
    return f"cas restore {step.restore}" if step.restore else "start the application"
