"""Where members lie in JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery.texts import texts, values

from casstore.errors import CasError
from casstore.recovery.document import Document, NotRecords, alike


def document(data: bytes | str) -> Document:
    return Document.of([data if isinstance(data, bytes) else data.encode()], "it")


@given(texts(values))
def test_each_member_is_found_to_the_byte(written: tuple[Any, bytes]) -> None:
    value, data = written
    if not isinstance(value, dict | list):
        return
    members = list(document(data).members())
    found = [json.loads(data[member.start : member.end]) for member in members]
    assert found == (list(value.values()) if isinstance(value, dict) else value)
    if isinstance(value, dict):
        assert [member.key for member in members] == list(value)
        assert all(data[member.at : member.at + 1] == b'"' for member in members)


@given(st.binary(max_size=60) | st.text('{}[]",:1e-\\u0041 \n\ttrue', max_size=60).map(str.encode))
def test_any_bytes_are_members_or_one_error(data: bytes) -> None:
    try:
        list(document(data).members())
    except NotRecords:
        return
    json.loads(data.decode("utf-8-sig", "surrogateescape"))  # what was taken is JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a JSON array nor an object"),
        ("7", "neither"),
        ('"[]"', "neither"),
        ("[1, 2", "breaks at byte 5 of 5"),
        ("[1,]", "breaks at byte 3"),
        ("[1 2]", "breaks at byte 3"),
        ('{"a" 1}', "breaks at byte 5"),
        ("{a: 1}", "breaks at byte 1"),
        ('{"a": 1]', "breaks at byte 7"),
        ('[{"a": tru}]', "breaks at byte 7"),
        ('["\n"]', "breaks"),
        ("[] []", "goes on behind its end"),
        ("[" * 100_000, "nested deeper"),
        ('[{"a":' + '{"a":' * 100_000, "nested deeper"),
    ],
)
def test_what_is_not_whole_says_where(text: str, message: str) -> None:
    with pytest.raises(NotRecords, match=message):
        list(document(text).members())


def test_words_are_read_as_utf_8_however_they_are_written() -> None:
    text = '\ufeff{"caf\\u00e9": 1, "café": 2, "b\\ud83d\\ude00": {"ä\\u00e4€": "ö\\u20ac"}}'
    keys = [(member.key, member.value) for member in document(text).members()]
    assert keys == [("café", "1"), ("café", "2"), ("b😀", {"ää€": "ö€"})]


def test_numbers_of_any_length_are_taken() -> None:
    (member,) = document("[" + "1" * 10_000 + "]").members()
    assert member.value == "1" * 10_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', True),
        ('"\\u0041é"', '"A\\u00e9"', True),
        ("1", '"1"', False),
        ("1", "1.0", False),
        ("true", '"true"', False),
        ("NaN", "NaN ", True),
        ("{}", "[]", False),
    ],
)
def test_values_are_alike_however_they_are_written(one: str, other: str, same: bool) -> None:
    assert alike(*(text.encode().decode("latin-1") for text in (one, other))) is same


def test_errors_are_ours() -> None:
    assert issubclass(NotRecords, CasError)
    assert NotRecords("x").hint
