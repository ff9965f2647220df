"""Two versions of a JSON file, record by record: which came, which went, and which fields of the others changed.

Records are known by their key in an object, by the first of ID_FIELDS that names each of them, once, in both versions
of an array, else by their position: then what both versions begin with and end with is passed over first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from casstore.diff import ADDED, MODIFIED, REMOVED
from casstore.recovery.document import Document, NotRecords, alike, to_words
from casstore.recovery.records import ID_FIELDS, word
from casstore.values import dataclass

KEY, POSITION = "key", "position"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that is not alike in both versions of a record: as JSON text, None where it is not there.

    Without a name it is a record that is no object, as a whole.
    """

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A record that is not alike in both versions. `fields` are told of one that changed."""

    letter: str  # as in casstore.diff
    name: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """`by` says what records are known by: KEY, POSITION, or the name of a field."""

    by: str
    changes: Iterator[Change]


def compare(old: Document, new: Document) -> Comparison:
    """Compare two versions. What went and what changed comes in the old order, then what came in the new one.

    Raises:
        NotRecords: one of them is not whole JSON, or they are not of one kind.
    """
    if old.opening != new.opening:
        raise NotRecords("one version is an array, the other an object")
    olds, news = _Records(old), _Records(new)
    by = KEY if not old.is_array else next((f for f in ID_FIELDS if f in olds.names and f in news.names), POSITION)
    if by == POSITION:
        return Comparison(by, _by_position(olds, news))
    return Comparison(by, _by_name(olds, news, olds.names[by], news.names[by]))


def changed_fields(old: str, new: str) -> tuple[Field, ...]:
    """Compare two versions of one record, given as JSON text."""
    if not (old.startswith("{") and new.startswith("{")):
        return (Field("", to_words(old), to_words(new)),)
    before, after = _fields(old), _fields(new)
    found = []
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if was is None or now is None or not alike(was, now):
            found.append(Field(name, was and to_words(was), now and to_words(now)))
    return tuple(found)


class _Records:
    """Where the records of a document lie, and by what they can be known: of each name which one has it."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self.places: list[tuple[int, int]] = []
        self.names: dict[str, dict[str, int]] = {field: {} for field in (ID_FIELDS if document.is_array else (KEY,))}
        for number, member in enumerate(document.members()):
            self.places.append((member.start, member.end))
            if member.key is not None:
                self.names[KEY][member.key] = number  # of equal keys the last one counts, as in JavaScript
                continue
            fields = member.value if isinstance(member.value, dict) else {}
            for field in list(self.names):
                name = word(fields.get(field))
                if name is None or self.names[field].setdefault(name, number) != number:
                    del self.names[field]

    def text(self, number: int) -> str:
        start, end = self.places[number]
        return self._text[start:end]


def _by_name(olds: _Records, news: _Records, before: dict[str, int], after: dict[str, int]) -> Iterator[Change]:
    for name, number in before.items():
        if name not in after:
            yield Change(REMOVED, name)
        else:
            yield from _changed(name, olds.text(number), news.text(after[name]))
    yield from (Change(ADDED, name) for name in after if name not in before)


def _by_position(olds: _Records, news: _Records) -> Iterator[Change]:
    old_count, new_count = len(olds.places), len(news.places)
    shorter = min(old_count, new_count)
    head = _length(lambda i: olds.text(i) == news.text(i), shorter)
    tail = _length(lambda i: olds.text(old_count - 1 - i) == news.text(new_count - 1 - i), shorter - head)
    for i in range(head, shorter - tail):
        yield from _changed(str(i), olds.text(i), news.text(i))
    yield from (Change(REMOVED, str(i)) for i in range(shorter - tail, old_count - tail))
    yield from (Change(ADDED, str(i)) for i in range(shorter - tail, new_count - tail))


def _length(is_same: Callable[[int], bool], most: int) -> int:
    return next((i for i in range(most) if not is_same(i)), most)


def _changed(name: str, old: str, new: str) -> Iterator[Change]:
    if not alike(old, new):
        yield Change(MODIFIED, name, changed_fields(old, new))


def _fields(record: str) -> dict[str, str]:
    """Give the text of each field; of equal names the last one counts."""
    return {str(field.key): record[field.start : field.end] for field in Document(record, "a record").members()}
