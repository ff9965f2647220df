"""A page as one HTML file: nothing is loaded from anywhere, no script, made to be printed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from casstore.recovery.paper.page import (
    Blanks,
    Block,
    Heading,
    Listed,
    Look,
    Page,
    Paragraph,
    Step,
    Steps,
    Table,
    Words,
)

_STYLE = """\
body { font: 16px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
h2 { margin-top: 2.2rem; border-bottom: 2px solid #111; }
code { font: 0.92em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: #f2f2f2; border-left: 4px solid #111; padding: 0.5rem 0.8rem; margin: 0.4rem 0; }
pre code { white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; margin: 0.8rem 0; }
th, td { border: 1px solid #999; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
p { margin: 0.5rem 0; }
p.loud { border: 2px solid #111; padding: 0.5rem 0.8rem; }
ol.steps > li { margin-bottom: 1.1rem; }
ol.steps > li::marker { font-weight: bold; }
ol.blanks { columns: 3; padding-left: 2.2rem; }
ol.blanks li { border-bottom: 1px solid #111; height: 2rem; margin-bottom: 0.3rem; break-inside: avoid; }
footer { margin-top: 2rem; font-size: 0.75rem; color: #555; overflow-wrap: anywhere; }
@page { margin: 15mm; }
@media print {
  body { font-size: 10.5pt; margin: 0; max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  ol.steps > li, tr, p.loud { break-inside: avoid; }
  pre { background: none; }
}
"""

_LOUD = '<p class="loud">'


def to_html(page: Page, title: str) -> str:
    """Write it up to the end of its body, which is left open for a last line."""
    return (
        f'<!DOCTYPE html>\n<html lang="{page.language}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(line for block in page.blocks for line in _block(page, block))
        + "\n"
    )


def _block(page: Page, block: Block) -> Iterator[str]:
    match block:
        case Heading(level, words):
            yield f"<h{level}>{_line(words)}</h{level}>"
        case Paragraph(words, loud):
            yield f"{_LOUD if loud else '<p>'}{_line(words)}</p>"
        case Listed(items):
            yield from _list(items)
        case Table(heads, rows):
            yield f"<table>\n<tr>{''.join(f'<th>{_line(head)}</th>' for head in heads)}</tr>"
            yield from (f"<tr>{''.join(f'<td>{_line(cell)}</td>' for cell in row)}</tr>" for row in rows)
            yield "</table>"
        case Steps(steps):
            yield '<ol class="steps">'
            for step in steps:
                yield from _step(page, step)
            yield "</ol>"
        case Blanks(count):
            yield f'<ol class="blanks">{"<li></li>" * count}</ol>'


def _list(items: tuple[Words, ...]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li>{_line(item)}</li>" for item in items)
    yield "</ul>"


def _step(page: Page, step: Step) -> Iterator[str]:
    yield f"<li><p>{_line(step.do)}</p>"
    if step.commands:
        commands = "\n".join(step.commands)
        yield f"<pre><code>{escape(commands)}</code></pre>"
    if step.expect:
        yield f"<p><strong>{escape(page.expected)}</strong> {_line(step.expect)}</p>"
    if step.otherwise:
        yield f"<p><strong>{escape(page.otherwise)}</strong></p>"
        yield from _list(step.otherwise)
    yield "</li>"


def _line(words: Words) -> str:
    return "".join(
        escape(span.text) if span.look is Look.PLAIN else f"<{span.look.value}>{escape(span.text)}</{span.look.value}>"
        for span in words
    )
