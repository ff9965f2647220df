"""Globs, which are not those of any library."""

from __future__ import annotations

import pytest

from casstore.selection import glob_expression


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("[a-c]", "b", "d"),
        ("[!a-]", "b", "-"),
        ("[!a]", "b", "/"),
        ("[]a]", "]", "b"),
        ("[[a]", "[", "b"),
        ("[a&&b]", "&", "c"),  # a set of sets in a later `re`, which warns of it today
        ("[a||b]", "|", "c"),
        (r"[\d]", "\\", "1"),
        ("[z-a]", "[z-a]", "z"),  # no set, so what it says, as what is never closed
        ("[a", "[a", "a"),
    ],
)
def test_brackets_hold_one_letter_or_stand_for_themselves(pattern: str, matches: str, misses: str) -> None:
    expression = glob_expression(pattern.encode())
    assert expression.match(matches.encode())
    assert not expression.match(misses.encode())
