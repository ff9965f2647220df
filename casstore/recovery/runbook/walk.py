"""The numbered steps of a runbook one by one, for somebody who is led through them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from casstore.recovery.paper.page import Heading, Step, Steps, letters
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.runbook.described import Described
from casstore.recovery.runbook.written import page_of
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Walked:
    """A step of the page. `name`: its place and its first sentence; `brings_back`: of the way from a bare server."""

    chapter: str
    name: str
    step: Step
    brings_back: bool


def walk(described: Described, language: str) -> Iterator[Walked]:
    """Yield the steps of the page in their order, but those of the drills: this is one."""
    say, chapter = Phrases(language), ""
    drills, bare = say.text("drill.title"), {say.text("redeploy.title"), say.text("external.title")}
    for block in page_of(described, language).blocks:
        if isinstance(block, Heading):
            chapter = letters(block.words)
        elif isinstance(block, Steps) and chapter != drills:
            for number, step in enumerate(block.steps, 1):
                first = letters(step.do).partition(". ")[0].rstrip(".")
                yield Walked(chapter, f"{chapter.partition('.')[0]}.{number} {first}", step, chapter in bare)
