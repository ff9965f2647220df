"""A page: headings, paragraphs, numbered steps with their commands, tables. Pure values that no format knows of.

What comes from outside (names, paths, commands, reports) is only ever the text of a span, so that it can be nothing but
words in any format; control characters are made visible here, what a format gives meaning to is escaped by its room.
"""

from __future__ import annotations

from enum import Enum

from casstore.values import dataclass


class Look(Enum):
    """How a span is set."""

    PLAIN = ""
    CODE = "code"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of letters that look alike. All of them are visible."""

    text: str
    look: Look = Look.PLAIN


Words = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; level 1 is that of the page, level 2 that of a chapter."""

    level: int
    words: Words


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences; `loud`: not to be read over."""

    words: Words
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A list without order."""

    items: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as wide as their heads."""

    heads: tuple[Words, ...]
    rows: tuple[tuple[Words, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, exactly; what is seen then; and what to do if that is not seen."""

    do: Words
    commands: tuple[str, ...] = ()
    expect: Words = ()
    otherwise: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps in their order."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Blanks:
    """Numbered lines to write on by hand."""

    count: int


Block = Heading | Paragraph | Listed | Table | Steps | Blanks


@dataclass(frozen=True, slots=True)
class Page:
    """All of it. `expected`, `otherwise`: what is written before the parts of a step."""

    language: str
    expected: str
    otherwise: str
    blocks: tuple[Block, ...]


def visible(text: str) -> str:
    """Write what does not show, such as control characters and changes of direction, as an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def code(text: str) -> Words:
    """Give a text as it is typed."""
    return (Span(visible(text), Look.CODE),) if text else ()


def plain(text: str) -> Words:
    """Give a text as it is read."""
    return (Span(visible(text)),) if text else ()


def joined(texts: tuple[str, ...]) -> Words:
    """Give texts as they are typed, with commas between them."""
    spans: list[Span] = []
    for text in texts:
        spans += [*([Span(", ")] if spans else []), *code(text)]
    return tuple(spans)


def letters(words: Words) -> str:
    """Give words as bare letters."""
    return "".join(span.text for span in words)
