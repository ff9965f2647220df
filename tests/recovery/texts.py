"""JSON values, and all the ways in which they may be written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
ids = st.text(min_size=1, max_size=6) | st.integers()
records = st.dictionaries(st.text(min_size=1, max_size=3).filter(lambda key: key != "id"), values, max_size=4)


@st.composite
def texts(draw: st.DrawFn, of: st.SearchStrategy[Any]) -> tuple[Any, bytes]:
    """A value and its text: any indentation, line end and separators, escaped or not, BOM or none."""
    value = draw(of)
    return value, draw(written(value))


@st.composite
def written(draw: st.DrawFn, value: Any) -> bytes:
    text = json.dumps(
        value,
        indent=draw(st.sampled_from([None, None, 0, 1, 2, 4, "\t"])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()) or _has_surrogates(value),
    )
    around = draw(st.sampled_from(["", " ", "\n", " \t\r\n"]))
    return _encoded(draw, around + text + around)


def _encoded(draw: st.DrawFn, text: str) -> bytes:
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")  # inside strings it is written as an escape
    return (b"\xef\xbb\xbf" if draw(st.booleans()) else b"") + text.encode()


def _has_surrogates(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
