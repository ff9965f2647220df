"""Where files of an old backup are put: never two in one place, never one inside another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.recovery.importing.places import Places, parents
from casstore.selection import Selection

PART = st.sampled_from([b"a", b"b", b"data", b"users.json"])
PATH = st.lists(PART, min_size=1, max_size=4).map(b"/".join)


def tree(paths: set[bytes]) -> tuple[set[bytes], set[bytes]]:
    """Give files and folders that can be there together."""
    folders = {above for path in paths for above in parents(path)}
    return paths - folders, folders


@given(st.sets(PATH), st.sets(PATH), st.sets(PATH, min_size=1))
def test_every_file_has_a_place_of_its_own(known: set[bytes], patterns: set[bytes], held: set[bytes]) -> None:
    files, folders = tree(held)
    arranged = Places(known, Selection(paths=tuple(sorted(patterns)) or (b"",))).arrange(files, folders)
    places = list(arranged.places.values())
    assert arranged.places.keys() == files
    assert len(set(places)) == len(places)
    assert not {above for place in places for above in parents(place)} & set(places)
    assert all(place == path or place.endswith(b"/" + path) for path, place in arranged.places.items())


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("users.json", "data/dynamic/users.json"),  # by a glob
        ("dynamic/users.json", "data/dynamic/users.json"),
        ("secureVault.json", "data/secureVault.json"),  # by its name, though a glob would match as well
        ("odd[1].json", "data/dynamic/odd[1].json"),
        ("events.log", "events.log"),
        ("deep/one.txt", None),  # `**` names no folder
        ("notes.txt", None),
        ("vault/one.key", "vault/one.key"),
    ],
)
def test_patterns_tell_where_files_belong_if_nothing_else_does(path: str, place: str | None) -> None:
    paths = (b"data/dynamic/*.json", b"data/secureVault.json", b"events.log", b"tree/**/*.txt", b"vault")
    arranged = Places((), Selection(paths=paths)).arrange({path.encode()}, set())
    assert (not arranged.unsure, arranged.places[path.encode()].decode()) == (place is not None, place or path)


def test_what_lies_where_it_belongs_comes_before_what_would_be_put_there() -> None:
    arranged = Places([b"data/users.json"], Selection()).arrange({b"users.json", b"data/users.json"}, {b"data"})
    assert arranged.places == {b"users.json": b"users.json", b"data/users.json": b"data/users.json"}
    assert arranged.unsure == {b"users.json"}
