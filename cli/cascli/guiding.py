"""A recovery by hand: somebody is led through the runbook, and what they say of each step is kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import click

from cascli import render
from cascli.world import terminal
from casstore.errors import CasError, UsageError
from casstore.recovery.drill import NotHeld
from casstore.recovery.paper.page import Look, Step, Words
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.report import Report
from casstore.recovery.runbook import Described, Walked, walk


class BrokenOff(CasError):
    """Somebody left before the last step."""

    def __init__(self) -> None:
        super().__init__("broken off here: the drill was not brought to its end")


def guide(described: Described, language: str, report: Report) -> int:
    """Go through all steps of the page; one that failed does not end it, for the next may still tell something.

    Gives how long the way from a bare server took, in ns.

    Raises:
        UsageError: nobody can be asked; what a pipe answers proves nothing, and in no time. BrokenOff: as it says.
    """
    if not terminal():
        hint = "Run it by hand, where somebody reads each step and answers; through ssh with `ssh -t`."
        raise UsageError("--guided leads somebody, and there is no terminal to ask on", hint=hint)
    say = Phrases(language)
    render.err(say.text("drill.led.begin", no=say.text("no")))
    chapter, away_ns = "", 0
    for walked in walk(described, language):
        if walked.chapter != chapter:
            chapter = walked.chapter
            render.err(f"\n{render.printable(chapter)}\n")
        for line in _lines(walked, say):
            render.err(line)
        _one(walked.name, report, say)
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


def _one(name: str, report: Report, say: Phrases) -> None:
    try:
        with report.step(name) as tell:
            answer = _answer(say)
            first, _, rest = answer.partition(" ")
            if _bare(first) == _bare(say.text("no")):
                raise NotHeld(rest.strip() or "it failed")
            tell(answer or "done")
    except NotHeld:
        pass


def _bare(word: str) -> str:
    """Give a word as hasty people write it: without accents."""
    letters = unicodedata.normalize("NFD", word.lower().strip(",.:;!"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _answer(say: Phrases) -> str:
    try:
        done = say.text("drill.led.done")
        return str(click.prompt(done, default="", show_default=False, prompt_suffix=" ", err=True)).strip()
    except click.Abort:
        raise BrokenOff from None
