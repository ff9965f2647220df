"""A runbook as a file, and whether it still says what it describes."""

from __future__ import annotations

import re
from enum import Enum

from casstore.errors import CasError
from casstore.recovery.paper.html import to_html
from casstore.recovery.paper.mark import is_own, mark_html, mark_markdown, marked
from casstore.recovery.paper.markdown import to_markdown
from casstore.recovery.paper.page import Page
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.runbook.chapters import blocks
from casstore.recovery.runbook.described import Described

_CHAPTER = re.compile(r"^(?:## |<h2>)(.*?)(?:</h2>)?$", re.MULTILINE)


class Form(Enum):
    """How a runbook is written."""

    MARKDOWN = "md"
    HTML = "html"


class RunbookOutdated(CasError):
    """A runbook is older than what it describes, or not there, or was changed by hand."""

    exit_code = 9


def page_of(described: Described, language: str) -> Page:
    """Give the page, in one of phrases.LANGUAGES."""
    say = Phrases(language)
    return Page(language, say.text("expected"), say.text("otherwise"), tuple(blocks(described, say)))


def write(described: Described, language: str, form: Form, *, written: str) -> str:
    """Write the file; `written` is the day of it, the only thing that changes by itself."""
    close = mark_markdown if form is Form.MARKDOWN else mark_html
    return close(_body(described, language, form), f"{written} · cas {described.version}")


def check(text: str, described: Described, language: str, form: Form, *, file: str) -> None:
    """Hold a file against what it describes; `file` is only how complaints call it.

    Raises:
        RunbookOutdated: it says something else; names the chapters.
    """
    body, (old, _) = _body(described, language, form), marked(text)
    own = is_own(text)
    if own and old == body:
        return
    before = _chapters(old)
    chapters = [title for title, said in _chapters(body).items() if before.get(title) != said]
    where = f": {'; '.join(chapters)}" if chapters else ""
    if not own:
        raise RunbookOutdated(
            f"{file} was changed by hand and differs from what it describes{where}",
            hint="Move what is yours elsewhere, to cas.toml perhaps; then remove it and run `cas runbook`.",
        )
    raise RunbookOutdated(
        f"{file} is older than what it describes{where}", hint="`cas runbook` writes it anew; look at what changed."
    )


def _body(described: Described, language: str, form: Form) -> str:
    page = page_of(described, language)
    if form is Form.MARKDOWN:
        return to_markdown(page)
    return to_html(page, Phrases(language).text("title", name=described.name))


def _chapters(body: str) -> dict[str, str]:
    """Give the text of each chapter by its title; what stands before the first is "the beginning"."""
    pieces = _CHAPTER.split(body)
    return {"the beginning": pieces[0]} | dict(zip(pieces[1::2], pieces[2::2], strict=True))
