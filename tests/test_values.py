"""A dataclass of ours does what one of the standard library does, and is made with one call of the compiler."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, field, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import pytest

from casstore.values import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    pack: bytes
    offset: int = 0
    blobs: tuple[int, ...] = (1, 2)

    @property
    def end(self) -> int:
        return self.offset + len(self.pack)


@dataclass(slots=True)
class Found(Generic[T]):
    items: list[T] = field(default_factory=list)
    rest: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deep(Place):
    depth: int = 0
    offset: int = 7


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    text: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """No field at all."""


def of_the_library(**options: Any) -> Callable[[type], type]:
    return dataclasses.dataclass(slots=True, **options)


@of_the_library(frozen=True)
class LibraryPlace:
    pack: bytes
    offset: int = 0
    blobs: tuple[int, ...] = (1, 2)


def test_values_are_equal_by_their_fields_and_only_among_their_class() -> None:
    assert Place(b"a") == Place(b"a", 0, (1, 2)) != Place(b"b")
    assert hash(Place(b"a")) == hash(Place(pack=b"a"))
    assert Place(b"a", 7) != Deep(b"a")
    assert (Place(b"a") == (b"a", 0, (1, 2))) is False
    assert len({Place(b"a"), Place(b"a"), Nothing(), Nothing()}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Found[int]())


def test_what_is_frozen_stays_and_nothing_has_other_attributes() -> None:
    place, found = Place(b"a"), Found[int]()
    for name in ("offset", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(place, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del place.offset
    found.items = [1]
    with pytest.raises(AttributeError):
        found.other = 1  # type: ignore[attr-defined]
    assert not hasattr(place, "__dict__")


def test_each_value_has_a_default_of_its_own() -> None:
    one, other = Found[int](), Found[int]()
    one.items.append(1)
    one.rest["a"] = 1
    assert (other.items, other.rest) == ([], {})
    assert Found([3]).items == [3]


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((b"a", 1, (), 2), {}), ((b"a",), {"other": 1}), ((b"a",), {"pack": b""})]
)
def test_what_does_not_fit_is_refused(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Place, LibraryPlace):
        with pytest.raises(TypeError):
            kind(*given, **named)


def test_the_tools_of_the_standard_library_know_them() -> None:
    place = Place(b"ab", 3)
    assert is_dataclass(Place)
    assert replace(place, offset=5).end == 7
    assert asdict(place) == {"pack": b"ab", "offset": 3, "blobs": (1, 2)}
    assert asdict(Found([place])) == {"items": [asdict(place)], "rest": {}}
    for ours, theirs in zip(fields(Place), fields(LibraryPlace), strict=True):  # type: ignore[arg-type]
        assert (ours.name, ours.type, ours.default, ours.init) == (
            theirs.name,
            theirs.type,
            theirs.default,
            theirs.init,
        )
    match place:
        case Place(pack, offset, blobs):
            assert (pack, offset, blobs) == (b"ab", 3, (1, 2))
    assert repr(place) == "Place(pack=b'ab', offset=3, blobs=(1, 2))" == repr(LibraryPlace(b"ab", 3))[len("Library") :]
    assert "s3cret" not in repr(Secret("s3cret"))


def test_a_class_below_another_has_its_fields_first() -> None:
    deep = Deep(b"abc", depth=2)
    assert (deep.pack, deep.offset, deep.depth, deep.end) == (b"abc", 7, 2, 10)
    assert [one.name for one in fields(Deep)] == ["pack", "offset", "blobs", "depth"]
    assert replace(deep, pack=b"") == Deep(b"", 7, (1, 2), 2)


def test_they_can_be_copied_and_sent() -> None:
    for value in (Place(b"a", 2), Deep(b"a"), Found([1]), Nothing()):
        assert copy.copy(value) == pickle.loads(pickle.dumps(value)) == value


MAKING = """
import sys
from {room} import dataclass
compiled = []
sys.addaudithook(lambda event, _: compiled.append(event) if event == "compile" else None)
@dataclass(frozen=True, slots=True)
class Place:
    pack: bytes
    offset: int = 0
print(len(compiled))
"""


@pytest.mark.parametrize(("room", "least", "most"), [("casstore.values", 1, 1), ("dataclasses", 4, 9)])
def test_one_call_of_the_compiler_makes_a_class(room: str, least: int, most: int) -> None:
    ran = subprocess.run([sys.executable, "-c", MAKING.format(room=room)], capture_output=True, check=True)
    assert least <= int(ran.stdout) <= most
