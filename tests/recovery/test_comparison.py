"""Two versions of a JSON file, record by record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery.texts import ids, records, written

from casstore.recovery.comparison import Change, Field, compare
from casstore.recovery.document import Document, NotRecords


def compared(old: str | bytes, new: str | bytes) -> tuple[str, list[Change]]:
    found = compare(*(Document.of([t if isinstance(t, bytes) else t.encode()], "it") for t in (old, new)))
    return found.by, list(found.changes)


def tables() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(ids.map(str), records, max_size=5)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # 1 is not 1.0, nor True


@given(st.data(), tables(), tables(), st.booleans())
def test_changes_are_those_of_two_dicts(
    data: st.DataObject, old: dict[str, Any], new: dict[str, Any], is_array: bool
) -> None:
    def text(table: dict[str, Any]) -> bytes:
        rows = [{"id": name} | row for name, row in table.items()]
        found: bytes = data.draw(written(rows if is_array else table))
        return found

    by, changes = compared(text(old), text(new))
    assert by == ("id" if is_array else "key")
    expected = {name: "-" for name in old if name not in new} | {name: "+" for name in new if name not in old}
    expected |= {name: "M" for name in old if name in new and not same(old[name], new[name])}
    assert {change.name: change.letter for change in changes} == expected
    for change in changes:
        fields = {field.name for field in change.fields}
        if change.letter == "M":
            was, now = old[change.name], new[change.name]
            assert fields == {key for key in was | now if not (key in was and key in now and same(was[key], now[key]))}
        else:
            assert not fields


def test_fields_are_told_as_they_are_written() -> None:
    _, (change,) = compared('[{"id":1,"a":"é","b":1}]', '[{"id":1,"a":"\\u00e8","c":{"x": [1]}}]')
    assert change.fields == (Field("a", '"é"', '"\\u00e8"'), Field("b", "1", None), Field("c", None, '{"x": [1]}'))


@pytest.mark.parametrize(
    ("old", "new", "by"),
    [
        ('[{"id":1,"slug":"a"}]', '[{"id":1,"slug":"b"}]', "id"),
        ('[{"id":1,"slug":"a"},{"id":1,"slug":"b"}]', "[]", "slug"),  # the first that names each once
        ('[{"_id":{"x":1},"uuid":"u"}]', '[{"uuid":"u"}]', "uuid"),
        ('[{"id":1}]', '[{"id":1},7]', "position"),
        ("[1]", "[2]", "position"),
        ("{}", "{}", "key"),
    ],
)
def test_records_are_known_by_the_first_field_that_names_each_of_them(old: str, new: str, by: str) -> None:
    assert compared(old, new)[0] == by


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[1,2,3]", "[1,2,9,3]", ["+2"]),
        ("[1,2,3]", "[1,3]", ["-1"]),
        ("[1,2,3]", "[1,8,3]", ["M1"]),
        ("[1,1]", "[1,1,1]", ["+2"]),
        ("[1,2]", "[3]", ["M0", "-1"]),
        ("[]", "[1,2]", ["+0", "+1"]),
    ],
)
def test_by_position_what_both_begin_and_end_with_is_passed_over(old: str, new: str, expected: list[str]) -> None:
    assert [change.letter + change.name for change in compared(old, new)[1]] == expected


def test_of_equal_keys_the_last_one_counts() -> None:
    assert compared('{"a": 1, "a": 2}', '{"a": 2}')[1] == []
    assert compared('[{"id": 1, "a": 1, "a": 2}]', '[{"id": 1, "a": 2}]')[1] == []


def test_a_value_that_is_no_object_changes_as_a_whole() -> None:
    assert compared('{"theme":"dark"}', '{"theme":7}')[1] == [Change("M", "theme", (Field("", '"dark"', "7"),))]


def test_two_kinds_are_not_compared() -> None:
    with pytest.raises(NotRecords):
        compared("[]", "{}")


def test_deep_values_are_compared_or_refused_and_stop_nothing() -> None:
    for depth in (100, 300, 450, 480, 490, 495, 900):
        deep = '[{"id": 1, "deep": %s%s%s}]'
        old, new = (deep % ("[" * depth, number, "]" * depth) for number in (1, 2))
        try:
            _, (change,) = compared(old, new)
        except NotRecords as error:
            assert "nested deeper" in str(error)  # noqa: PT017 - depending on the depth
        else:
            assert [field.name for field in change.fields] == ["deep"]
