"""One record put back: the file parses to what is expected, and all else is byte for byte as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery.texts import ids, records, written

from casstore.errors import UsageError
from casstore.recovery.document import Document, NotRecords
from casstore.recovery.records import PutBack, RecordAmbiguous, RecordMissing, Which, find, put_back


def document(data: bytes | str, name: str = "it") -> Document:
    return Document.of([data if isinstance(data, bytes) else data.encode()], name)


def put(live: bytes | str, saved: bytes | str, which: str) -> PutBack:
    return put_back(document(live), document(saved), Which.parse(which))


def parsed(data: bytes) -> Any:
    return json.loads(data.decode("utf-8-sig"))


@st.composite
def tables(draw: st.DrawFn) -> tuple[bool, list[tuple[str | int, Any]]]:
    """Records with different names, of an array or of an object."""
    named = draw(st.lists(ids, min_size=1, max_size=5, unique_by=str))
    return draw(st.booleans()), [(name, draw(records)) for name in named]


def table(is_array: bool, rows: list[tuple[str | int, Any]]) -> Any:
    return [{"id": name} | row for name, row in rows] if is_array else {str(name): row for name, row in rows}


@given(st.data(), tables())
def test_a_record_replaced_by_itself_is_the_identity_on_bytes(data: st.DataObject, made: tuple[bool, Any]) -> None:
    is_array, rows = made
    text = data.draw(written(table(is_array, rows)))
    name, _ = data.draw(st.sampled_from(rows))
    done = put(text, text, f"id={name}")
    assert done.data == text
    assert not done.is_needed


@given(st.data(), tables(), records)
def test_a_replaced_record_is_that_of_the_snapshot_and_all_else_is_untouched(
    data: st.DataObject, made: tuple[bool, Any], other: Any
) -> None:
    is_array, rows = made
    at = data.draw(st.integers(0, len(rows) - 1))
    name = rows[at][0]
    old = [(key, other if key == name else row) for key, row in rows]
    live, saved = data.draw(written(table(is_array, rows))), data.draw(written(table(is_array, old)))
    done = put(live, saved, f"id={name}")
    assert parsed(done.data) == table(is_array, old)
    member = list(document(live).members())[at]
    assert done.data.startswith(live[: member.start])
    assert done.data.endswith(live[member.end :])
    assert done.is_needed == (json.dumps(rows[at][1], sort_keys=True) != json.dumps(other, sort_keys=True))


@given(st.data(), tables())
def test_a_missing_record_comes_back_to_its_place_and_all_else_is_untouched(
    data: st.DataObject, made: tuple[bool, Any]
) -> None:
    is_array, rows = made
    at = data.draw(st.integers(0, len(rows) - 1))
    rest = rows[:at] + rows[at + 1 :]
    live, saved = data.draw(written(table(is_array, rest))), data.draw(written(table(is_array, rows)))
    done = put(live, saved, f"id={rows[at][0]}")
    assert done.before is None
    assert parsed(done.data) == table(is_array, rows)
    assert list(parsed(done.data)) == list(table(is_array, rows))  # an object's order too
    members = list(document(live).members())
    before = live[: members[at - 1].end] if at else live[: document(live).bracket + 1]
    assert done.data.startswith(before)
    behind = live[members[at].at :] if at < len(rest) else live.rstrip()[-1:]
    assert done.data.rstrip().endswith(behind.rstrip())


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ('[\r\n  {"id": 1},\r\n  {"id": 3}\r\n]\r\n', '[\r\n  {"id": 1},\r\n  {"id":2},\r\n  {"id": 3}\r\n]\r\n'),
        ('[\n\t{"id": 3}\n]', '[\n\t{"id":2},\n\t{"id": 3}\n]'),
        ('[{"id":1}]', '[{"id":1},{"id":2}]'),
        ('[ {"id":9}, {"id":8} ]', '[ {"id":9}, {"id":8}, {"id":2} ]'),
        ("[]\n", '[{"id":2}]\n'),
        ("[\n]", '[{"id":2}]'),
        ('[{"id":3},7]', '[{"id":2},{"id":3},7]'),
    ],
)
def test_an_inserted_record_takes_on_the_layout_of_the_file(live: str, expected: str) -> None:
    assert put(live, '[{"id":1},{"id":2},{"id":3}]', "id=2").data.decode() == expected


def test_an_empty_file_gets_the_layout_of_the_snapshot() -> None:
    assert put("{}", '{\n  "a": 1,\n  "b": 2\n}\n', "b").data == b'{\n  "b": 2\n}'


@pytest.mark.parametrize(
    ("text", "which", "found"),
    [
        ('[{"id": "a"}, {"id": 7}]', "id=7", '{"id": 7}'),
        ('[{"id": "a"}, {"_id": "7"}]', "7", '{"_id": "7"}'),
        ('[{"n": true}]', "n=true", '{"n": true}'),
        ('[{"n": null}]', "n=null", None),
        ('[{"name": "Zoë"}]', "name=Zoë", '{"name": "Zoë"}'),
        ('[{"name": "Zo\\u00eb"}]', "name=Zoë", '{"name": "Zo\\u00eb"}'),
        ('[{"n\\u0061me": "a=b"}]', "name=a=b", '{"n\\u0061me": "a=b"}'),
        ('{"u": {"n": 1}}', "id=u", '{"n": 1}'),
        ('{"u": {"n": 1}}', "u", '{"n": 1}'),
        ('{"u": {"n": 1}}', "n=1", '{"n": 1}'),
        ('{"u": {"n": 1}}', "n=u", None),
        ('{"u": {"id": 1}}', "id=u", None),
        ('[{"id": 1, "id": 2}]', "id=1", None),  # of equal names in a record the last one counts
        ('[7, "7", [7], null]', "7", None),
        ('{"theme": "dark"}', "theme", '"dark"'),
    ],
)
def test_a_record_is_known_by_field_or_key(text: str, which: str, found: str | None) -> None:
    made = document(text)
    member = find(made, Which.parse(which))
    assert (member and made.text[member.start : member.end].encode("latin-1").decode()) == found


def test_several_records_are_counted_and_none_is_chosen() -> None:
    for text in ('[{"id": 1}, {"id": "1"}, {"id": 2}]', '{"1": {}, "1": {}}'):
        with pytest.raises(RecordAmbiguous, match=r"2 records of it answer to id=1"):
            put(text, '[{"id": 1}]' if text[0] == "[" else '{"1": {}}', "id=1")


@pytest.mark.parametrize(
    ("live", "saved", "which", "expected"),
    [
        ('[{"id": 1, "mail": "new"}]', '[{"id": 1, "mail": "old"}]', "mail=old", '[{"id": 1, "mail": "old"}]'),
        ('{"u": {"mail": "new"}}', '{"u": {"mail": "old"}}', "mail=old", '{"u": {"mail": "old"}}'),
        ('{"u": {"": "new"}}', '{"u": {"": "old"}}', "u", '{"u": {"": "old"}}'),
        ('[{"id": 1, "slug": "b"}]', '[{"id": 1, "slug": "a"}]', "a", '[{"id": 1, "slug": "a"}]'),
        ('[{"mail": "new"}]', '[{"mail": "old"}]', "mail=old", '[{"mail": "new"},{"mail": "old"}]'),
        (
            '[{"id": 1, "n": 7}, {"id": 3, "n": 7}]', '[{"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": 3, "n": 3}]',
            "n=2", '[{"id": 1, "n": 7}, {"id": 2, "n": 2}, {"id": 3, "n": 7}]',
        ),
    ],
)  # fmt: skip
def test_a_record_found_by_a_field_that_changed_since_is_put_in_the_place_of_its_id(
    live: str, saved: str, which: str, expected: str
) -> None:
    assert put(live, saved, which).data.decode() == expected


@pytest.mark.parametrize("live", ['[{"id": 2, "mail": "old"}]', '[{"id": 2, "mail": "old"}, {"id": 1, "mail": "new"}]'])
def test_a_field_that_another_record_has_by_now_replaces_neither(live: str) -> None:
    with pytest.raises(RecordAmbiguous, match="mail=old is another record in it than in it") as told:
        put(live, '[{"id": 1, "mail": "old"}]', "mail=old")
    assert "`--record id=1`" in told.value.hint


def test_an_id_that_several_records_bear_names_none() -> None:
    saved = '[{"id": "o1", "sku": "A"}, {"id": "o1", "sku": "B"}]'
    assert json.loads(put('[{"id": "o1", "sku": "B"}]', saved, "sku=A").data) == json.loads(saved)


def test_what_cannot_be_put_back_says_why() -> None:
    with pytest.raises(RecordMissing, match="holds no record id=2"):
        put("[]", '[{"id": 1}]', "id=2")
    with pytest.raises(RecordMissing) as told:
        put("{}", '{"orders": [{"id": 1}], "users": [], "version": 3}', "id=1")
    assert told.value.hint == "Its records are `orders`, `users`, each put back as a whole."
    with pytest.raises(NotRecords, match="not of one kind"):
        put("{}", '[{"id": 1}]', "id=1")
    with pytest.raises(NotRecords, match="not whole JSON"):
        put('[{"id": 1}', '[{"id": 1}]', "id=1")
    for nothing in ("", "id="):
        with pytest.raises(UsageError):
            Which.parse(nothing)


def test_bytes_that_are_no_utf_8_stay_as_they_are() -> None:
    live = b'[{"id": 1, "n": "\xff"}, {"id": 2, "n": "\xfe"}]'
    assert put(live, '[{"id": 2, "n": ""}]', "id=2").data == b'[{"id": 1, "n": "\xff"}, {"id": 2, "n": ""}]'
