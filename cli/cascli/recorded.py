"""Records of JSON files in words and as JSON: what came, went or changed, with values shown, cut short, or masked.

Names of records and fields are always shown; without them nothing could be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cascli import render
from casstore.diff import ADDED, MODIFIED, REMOVED
from casstore.recovery.comparison import KEY, POSITION, Change, Comparison, Field

LETTERS = 40  # of a value
MASK = "•••"
_WORDS = {ADDED: "added", REMOVED: "removed", MODIFIED: "modified"}


def comparison_lines(compared: Comparison, *, masked: bool) -> Iterator[str]:
    """Tell what became of the records of a file, a line each."""
    count = 0
    for count, change in enumerate(compared.changes, 1):
        if count == 1 and compared.by == POSITION:
            yield "     by position: no field names each record"
        fields = f"  {fields_words(change.fields, masked=masked)}" if change.fields else ""
        yield f"     {change.letter} {_name(compared.by, change)}{fields}"
    if not count:
        yield "     no record differs: only space, escapes or order do"


def comparison_fields(compared: Comparison, path: bytes, *, masked: bool) -> Iterator[dict[str, object]]:
    """Give what became of the records of a file as JSON; values are JSON text."""
    for change in compared.changes:
        yield {
            "message_type": "record",
            **render.plain("path", path),
            "modifier": change.letter,
            "by": compared.by,
            "record": change.name,
            "fields": [field_fields(field, masked=masked) for field in change.fields],
        }


def fields_words(fields: Iterable[Field], *, masked: bool) -> str:
    """Tell the fields of one record in a row."""
    return ", ".join(field_words(field, masked=masked) for field in fields)


def field_words(field: Field, *, masked: bool) -> str:
    """Tell one field: what it was and what it is."""
    name = f"{render.name(field.name)} " if field.name else ""
    if field.old is None:
        return f"+{name}{_value(field.new, masked)}"
    if field.new is None:
        return f"-{name}{_value(field.old, masked)}"
    return f"{name}{_value(field.old, masked)} → {_value(field.new, masked)}"


def field_names(fields: Iterable[Field]) -> str:
    """Name the fields of one record in a row, without what they hold."""
    return ", ".join(
        ("+" if field.old is None else "-" if field.new is None else "") + render.name(field.name or "its value")
        for field in fields
    )


def field_fields(field: Field, *, masked: bool) -> dict[str, object]:
    """Give one field as JSON."""
    what = ADDED if field.old is None else REMOVED if field.new is None else MODIFIED
    found: dict[str, object] = {"name": field.name, "change": _WORDS[what]}
    return found if masked else found | {"old": field.old, "new": field.new}


def _name(by: str, change: Change) -> str:
    name = render.name(change.name)
    return name if by == KEY else f"number {int(name) + 1:,}" if by == POSITION else f"{by}={name}"


def _value(text: str | None, masked: bool) -> str:
    if masked:
        return MASK
    flat = re.sub(r"[ \t]*[\r\n]\s*", " ", text or "")  # no string holds a line end, so only the layout goes
    return render.printable(flat if len(flat) <= LETTERS else flat[:LETTERS] + "…")
