"""A runbook as a file: its last line holds the digest of all above it.

By that a file is known that nobody changed since, which may be written anew; and what it says can be compared with what
it describes, without the date of its writing.
"""

from __future__ import annotations

import hashlib
import re
from enum import Enum

from casstore.errors import CasError
from casstore.recovery.paper.html import to_html
from casstore.recovery.paper.markdown import to_markdown
from casstore.recovery.paper.page import Page
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.runbook.chapters import blocks
from casstore.recovery.runbook.described import Described

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
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
    body = _body(described, language, form)
    mark = f"{written} · cas {described.version} · sha256:{_digest(body)}"
    return body + (f"\n_{mark}_\n" if form is Form.MARKDOWN else f"<footer>{mark}</footer></body></html>\n")


def is_own(text: str) -> bool:
    """Whether a file was written here, and nobody changed it since."""
    said = _said(text)
    return said is not None and said[1] == _digest(said[0])


def check(text: str, described: Described, language: str, form: Form, *, file: str) -> None:
    """Hold a file against what it describes; `file` is only how complaints call it.

    Raises:
        RunbookOutdated: it says something else; names the chapters.
    """
    body = _body(described, language, form)
    said = _said(text)
    if said is not None and said[0] == body and said[1] == _digest(body):
        return
    old = said[0] if said is not None else text
    chapters = [title for title, of in _chapters(body).items() if _chapters(old).get(title) != of]
    where = f": {'; '.join(chapters)}" if chapters else ""
    if said is None or said[1] != _digest(said[0]):
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


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _said(text: str) -> tuple[str, str] | None:
    """Split a file into all that stands above its last line, and the digest that stands in it; None: there is none."""
    head, _, last = text.rstrip("\n").rpartition("\n")
    match = _DIGEST.search(last)
    if match is None:
        return None
    return (head if last.startswith("_") else f"{head}\n"), match[1]


def _chapters(body: str) -> dict[str, str]:
    """Give the text of each chapter by its title; what stands before the first is under the title of the page."""
    pieces = _CHAPTER.split(body)
    return {"the beginning": pieces[0]} | dict(zip(pieces[1::2], pieces[2::2], strict=True))
