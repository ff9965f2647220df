"""A recovery by hand: somebody is led through the runbook, and what they say of each step is kept."""

from __future__ import annotations

from collections.abc import Iterable

import click

from cascli import render
from cascli.world import terminal
from casstore.errors import UsageError
from casstore.recovery.drill import NotHeld
from casstore.recovery.paper.page import Look, Step, Words
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.report import Report
from casstore.recovery.runbook import Described, Walked, walk

FAILED = "no"  # what an answer begins with that tells of a failure


def guide(described: Described, language: str, report: Report) -> int:
    """Go through all steps of the page; one that failed does not end it, for the next may still tell something.

    Gives how long the way from a bare server took, in ns.
    """
    render.err(
        f"Do each step, then press Enter, or write what is to be remembered of it. If it failed, begin with `{FAILED}`."
    )
    say = Phrases(language)
    chapter, away_ns = "", 0
    for walked in walk(described, language):
        if walked.chapter != chapter:
            chapter = walked.chapter
            render.err(f"\n{render.printable(chapter)}\n")
        for line in _lines(walked, say):
            render.err(line)
        _one(walked.name, report)
        away_ns += report.steps[-1].duration_ns if walked.brings_back else 0
    return away_ns


def _lines(walked: Walked, say: Phrases) -> Iterable[str]:
    step: Step = walked.step
    number = walked.name.partition(" ")[0]
    yield f"{number} {_words(step.do)}"
    yield from (f"      {render.printable(command)}" for command in step.commands)
    if step.expect:
        yield f"    {say.text('expected')} {_words(step.expect)}"
    if step.otherwise:
        yield f"    {say.text('otherwise')}"
        yield from (f"    - {_words(sentence)}" for sentence in step.otherwise)


def _words(words: Words) -> str:
    return "".join(f"`{span.text}`" if span.look is Look.CODE else span.text for span in words)


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
