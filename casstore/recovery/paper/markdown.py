"""A page as Markdown (CommonMark with the tables of GitHub). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from casstore.recovery.paper.page import (
    Blanks,
    Block,
    Heading,
    Listed,
    Look,
    Page,
    Paragraph,
    Span,
    Step,
    Steps,
    Table,
    Words,
)

_MEANT = re.compile(r"([\\`*_\[\]<>|#&~$])")
_BEGINS = re.compile(r"^([-+]|\d+(?=[.)]))")  # a list


def to_markdown(page: Page) -> str:
    """Write it; ends with a newline."""
    return "\n\n".join("\n".join(_block(page, block)) for block in page.blocks) + "\n"


def _block(page: Page, block: Block) -> Iterator[str]:
    match block:
        case Heading(level, words):
            yield f"{'#' * level} {_line(words)}"
        case Paragraph(words, loud):
            yield ("> " if loud else "") + _begun(_line(words))
        case Listed(items):
            yield from (f"- {_begun(_line(item))}" for item in items)
        case Table(heads, rows):
            yield from _table(heads, rows)
        case Steps(steps):
            for number, step in enumerate(steps, 1):
                yield from _step(page, number, step)
        case Blanks(count):
            yield from (f"{number}. ____________" for number in range(1, count + 1))


def _table(heads: tuple[Words, ...], rows: tuple[tuple[Words, ...], ...]) -> Iterator[str]:
    yield _row(heads)
    yield "|" + "---|" * len(heads)
    yield from map(_row, rows)


def _row(cells: tuple[Words, ...]) -> str:
    # In a cell `|` ends it even within code, unless it is escaped.
    return "| " + " | ".join(_line(cell, in_table=True) for cell in cells) + " |"


def _step(page: Page, number: int, step: Step) -> Iterator[str]:
    if number > 1:
        yield ""
    head = f"{number}. "
    indent = " " * len(head)
    yield head + _begun(_line(step.do))
    if step.commands:
        fence = _fence("\n".join(step.commands))
        yield from ("", f"{indent}{fence}sh", *(indent + line for line in step.commands), indent + fence)
    if step.expect:
        yield from ("", f"{indent}**{page.expected}** {_line(step.expect)}")
    if step.otherwise:
        yield from ("", f"{indent}**{page.otherwise}**", "")
        yield from (f"{indent}- {_begun(_line(sentence))}" for sentence in step.otherwise)


def _line(words: Words, *, in_table: bool = False) -> str:
    return "".join(_span(span, in_table) for span in words)


def _span(span: Span, in_table: bool) -> str:
    if span.look is not Look.CODE:
        text = _MEANT.sub(r"\\\1", span.text)
        return f"**{text}**" if span.look is Look.STRONG else text
    ticks = "`" * (_longest(span.text) + 1)
    text = span.text.replace("|", "\\|") if in_table else span.text
    padded = f" {text} " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else text
    return ticks + padded + ticks


def _begun(line: str) -> str:
    """Escape what would make something else of a block by standing at its beginning."""
    return _BEGINS.sub(lambda m: m[1] + "\\" if m[1].isdigit() else "\\" + m[1], line.lstrip())


def _fence(text: str) -> str:
    return "`" * max(3, _longest(text) + 1)


def _longest(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)
