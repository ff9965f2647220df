"""The history of a file and of one record, through real snapshots."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from stores import Store

from casstore.errors import CasError
from casstore.recovery.history import Turn, record_turns, versions
from casstore.recovery.records import Which
from casstore.repository import Repository


class Tree(Store):
    """A file of users, changed from snapshot to snapshot."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.create()
        self.tree = folder / "app"
        self.tree.mkdir()
        self.file = self.tree / "users.json"

    def save(self, value: Any) -> None:
        self.file.write_text(value if isinstance(value, str) else json.dumps(value))
        self.backup(self.tree)

    def turns(self, which: str) -> list[Turn]:
        with self.open() as repository:
            repository.refresh()
            return list(record_turns(repository, repository.snapshots(), b"users.json", Which.parse(which)))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def ann(**fields: Any) -> dict[str, Any]:
    return {"id": "ann", "n": 1} | fields


def test_a_record_comes_changes_and_goes(tree: Tree) -> None:
    tree.save([])
    tree.save([ann()])
    tree.save([ann(), {"id": "bob"}])
    tree.save([ann(n=2, mail="x")])
    tree.save([{"id": "bob"}])
    tree.save([ann(n=2)])
    tree.file.unlink()
    tree.backup(tree.tree)
    found = [(turn.snapshot.number, turn.letter, [field.name for field in turn.fields]) for turn in tree.turns("ann")]
    first = found[0][0]
    assert [(number - first, letter, fields) for number, letter, fields in found] == [
        (0, "+", []), (2, "M", ["n", "mail"]), (3, "-", []), (4, "+", []), (5, "-", []),
    ]  # fmt: skip


def test_a_version_that_cannot_be_judged_is_told_and_passed_over(tree: Tree) -> None:
    tree.save([ann()])
    tree.save('[{"id": "ann", "n"')
    tree.save([ann(), ann()])
    tree.save([ann(n=3)])
    turns = tree.turns("ann")
    assert [turn.letter for turn in turns] == ["+", "", "", "M"]
    assert [str(turn.trouble) for turn in turns[1:3]] == [
        "the file is not whole JSON: it breaks at byte 18 of 18", "2 records of the file answer to ann",
    ]  # fmt: skip


def test_no_version_is_read_twice_and_no_manifest_as_the_one_before(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ([ann()], [ann(n=2)], [ann()], [ann(n=2)]):
        tree.save(value)
        (tree.tree / "other").write_text(str(value))
        tree.backup(tree.tree)
        tree.backup(tree.tree)  # nothing changed
    read: list[Any] = []
    listed: list[Any] = []
    really_read, really_listed = Repository.read, Repository.entries

    def count_read(repository: Repository, root: Any) -> Any:
        read.append(root)
        return really_read(repository, root)

    def count_listed(repository: Repository, snapshot: Any, below: bytes = b"") -> Any:
        listed.append(snapshot.manifest)
        return really_listed(repository, snapshot, below)

    with tree.open() as repository:
        repository.refresh()
        snapshots = repository.snapshots()
        monkeypatch.setattr(Repository, "read", count_read)
        monkeypatch.setattr(Repository, "entries", count_listed)
        turns = list(record_turns(repository, snapshots, b"users.json", Which.parse("ann")))
    assert [turn.letter for turn in turns] == ["+", "M", "M", "M"]
    assert len(read) == 2
    assert len(snapshots) == 12
    assert all(one != other for one, other in pairwise(listed))


def test_versions_are_told_where_the_file_changed(tree: Tree) -> None:
    (tree.tree / "folder").mkdir()
    tree.backup(tree.tree)
    tree.save([1])
    (tree.tree / "other").write_text("2")
    tree.backup(tree.tree)
    tree.save([12])
    tree.file.unlink()
    tree.backup(tree.tree)
    with tree.open() as repository:
        repository.refresh()
        found = list(versions(repository, repository.snapshots(), b"users.json"))
        assert [version.entry and version.entry.size for version in found] == [3, 4, None]
        with pytest.raises(CasError, match="a folder has no versions"):
            list(versions(repository, repository.snapshots(), b"folder"))
