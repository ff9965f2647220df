"""How things are written."""

from __future__ import annotations

import pytest
from cascli import render
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"),
        (5 << 30, "5.0 GiB"), (3 << 60, "3072.0 PiB"), (-2048, "-2.0 KiB"),
    ],
)  # fmt: skip
def test_sizes_are_told_in_binary_units(count: int, text: str) -> None:
    assert render.size(count) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain name.json", "plain name.json"),
        ("größe-日本".encode(), "größe-日本"),
        (b"a\nb\x1b[31m\x7f", "a\\nb\\x1b[31m\\x7f"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"back\\slash", "back\\\\slash"),
        ("\u202egnp.exe\u2028".encode(), "\\u202egnp.exe\\u2028"),
        ("\x9b31m".encode(), "\\x9b31m"),
    ],
)
def test_a_name_commands_no_terminal(name: bytes, text: str) -> None:
    assert render.name(name) == text


@given(st.binary(), st.binary())
def test_two_names_never_look_alike_unless_they_are(one: bytes, other: bytes) -> None:
    assert (render.name(one) == render.name(other)) == (one == other)
    assert render.name(one).isprintable()


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    assert render.table(("name", "size"), [["日本", "1"], ["a", "100"]], right=[1]) == [
        "name  size",
        "日本     1",
        "a      100",
    ]


def test_durations_are_told_in_few_words() -> None:
    told = [render.duration(ns) for ns in (120_000_000, 2_500_000_000, 75 * 10**9, 3700 * 10**9)]
    assert told == ["0.12 s", "2.5 s", "1 min 15 s", "1 h 1 min"]


def test_names_that_are_no_utf_8_get_a_second_field() -> None:
    assert render.plain("path", b"a") == {"path": "a"}
    assert render.plain("path", b"\xff") == {"path": "\ufffd", "path_b64": "/w=="}
