"""What differs between two trees: a merge in manifest order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.diff import alike, compare, order
from casstore.entry import Entry, Kind, Root
from casstore.ids import ChunkId


def a_file(path: bytes, content: int = 0, **fields: object) -> Entry:
    root = Root(0, 1, (ChunkId(bytes([content]) * 32),))
    return Entry(path, Kind.FILE, 0o644, 0, 0, b"", b"", 0, size=1, content=root)._replace(**fields)  # type: ignore[arg-type]


def a_folder(path: bytes, **fields: object) -> Entry:
    return Entry(path, Kind.FOLDER, 0o755, 0, 0, b"", b"", 0)._replace(**fields)  # type: ignore[arg-type]


def blocks(entries: dict[bytes, Entry], folder: bytes = b"") -> list[Entry]:
    """Give entries in manifest order, as the format says it: a block a folder, then those of its subfolders."""
    own = sorted((e for e in entries.values() if e.path.rpartition(b"/")[0] == folder), key=lambda e: e.name)
    below = [entry for one in own if one.is_folder for entry in blocks(entries, one.path)]
    return [*own, *below]


NAMES = st.sampled_from([b"a", b"a.b", b"a!", b"b", b"A", b"\x01", b"\xff"])


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, Entry]:
    found: dict[bytes, Entry] = {}
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12)):
        path = b"/".join(parts)
        folders = [b"/".join(parts[:end]) for end in range(1, len(parts))]
        if path in found or any(folder in found and not found[folder].is_folder for folder in folders):
            continue
        found.update({folder: a_folder(folder) for folder in folders})
        found[path] = a_file(path, draw(st.integers(0, 1)))
    return found


@given(trees())
def test_the_order_is_that_of_manifests(tree: dict[bytes, Entry]) -> None:
    listed = [entry.path for entry in blocks(tree)]
    assert listed == sorted(tree, key=order)


@given(trees(), trees())
def test_differences_are_those_of_two_dicts(old: dict[bytes, Entry], new: dict[bytes, Entry]) -> None:
    found = {difference.entry.path: difference.letter for difference in compare(blocks(old), blocks(new))}
    expected = {path: "-" for path in old if path not in new} | {path: "+" for path in new if path not in old}
    for path in old.keys() & new.keys():
        if old[path].kind is not new[path].kind:
            expected[path] = "T"
        elif old[path] != new[path]:
            expected[path] = "M"
    assert found == expected


@pytest.mark.parametrize(
    ("old", "new", "letter"),
    [
        (a_file(b"a"), a_file(b"a", mode=0o600), "U"),
        (a_file(b"a"), a_file(b"a", mtime_ns=1), "U"),
        (a_file(b"a"), a_file(b"a", user=b"x"), "U"),
        (a_file(b"a"), a_file(b"a", xattrs=((b"user.x", b"1"),)), "U"),
        (a_file(b"a"), a_file(b"a", 1, mtime_ns=1), "M"),
        (a_file(b"a"), a_file(b"a", size=2), "M"),
        (a_file(b"a", link=b"12345678"), a_file(b"a", link=b"87654321"), ""),
        (a_folder(b"a"), a_folder(b"a", mtime_ns=1), ""),
        (a_folder(b"a"), a_folder(b"a", mode=0o700), "U"),
        (a_folder(b"a", kind=Kind.SYMLINK, target=b"x"), a_folder(b"a", kind=Kind.SYMLINK, target=b"y"), "M"),
    ],
)
def test_a_letter_says_what_differs(old: Entry, new: Entry, letter: str) -> None:
    assert "".join(difference.letter for difference in compare([old], [new])) == letter


def test_folder_times_count_when_asked_for() -> None:
    (found,) = compare([a_folder(b"a")], [a_folder(b"a", mtime_ns=1)], folder_times=True)
    assert found.letter == "U"


def test_two_files_may_be_compared_by_another_measure() -> None:
    assert alike(a_file(b"a"), a_file(b"a"))
    (found,) = compare([a_file(b"a")], [a_file(b"a")], same_bytes=lambda _old, _new: False)
    assert found.letter == "M"
