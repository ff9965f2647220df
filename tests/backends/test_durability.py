"""Loss of power at any moment of a write: what was acknowledged is there, and what is there is whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from fakes import FragileFiles, lay_out

from casstore.backends.local import FOLDERS, LocalBackend
from casstore.errors import ObjectMissing, RepositoryExists

OBJECTS = {
    "header": b"h" * 100,
    "packs/ab/one": b"p" * 3000,
    "ledger/1": b"l" * 500,
    "parity/new/x": b"x" * 10,  # in folders that are made on the way
    "ledger/2": b"L" * 501,
}


def troubles(folder: Path, *, deaf: Iterable[str] = ()) -> set[str]:
    """Write the objects, lose power at every moment, and say what is wrong with what is found."""
    LocalBackend(folder / "repository").create()
    files = FragileFiles(folder / "repository", deaf=deaf)
    backend = LocalBackend(folder / "repository", files=files)
    promised = []
    for name, data in OBJECTS.items():
        backend.write(name, data)
        promised.append((files.moments, name))
    found = set()
    for moment in range(files.moments + 1):
        for state in files.after_crash(moment):
            found |= {f"{name} is lost" for when, name in promised if when <= moment and name not in state}
            found |= {f"{name} is not whole" for name, data in OBJECTS.items() if state.get(name, data) != data}
    return found


def test_a_loss_of_power_loses_nothing_acknowledged_and_leaves_nothing_in_part(tmp_path: Path) -> None:
    assert troubles(tmp_path) == set()


def test_control_without_fsync_of_files_objects_are_found_in_part(tmp_path: Path) -> None:
    assert troubles(tmp_path, deaf=["sync"]) == {f"{name} is not whole" for name in OBJECTS}


def test_control_without_fsync_of_folders_objects_are_lost(tmp_path: Path) -> None:
    assert troubles(tmp_path, deaf=["sync_folder"]) == {f"{name} is lost" for name in OBJECTS}


def test_a_name_that_is_told_to_be_taken_stays_taken(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    LocalBackend(tmp_path / "repository").create()
    files = FragileFiles(tmp_path / "repository", deaf=["sync_folder"])
    LocalBackend(tmp_path / "repository", files=files).write("ledger/1", b"x")  # cut off before the folder's fsync
    files._deaf = frozenset()
    with pytest.raises(Exception, match="exists"):
        LocalBackend(tmp_path / "repository", files=files).write("ledger/1", b"y")
    assert all(state["ledger/1"] == b"x" for state in files.after_crash(files.moments))


def test_after_a_deletion_the_object_does_not_come_back(tmp_path: Path) -> None:
    LocalBackend(tmp_path / "repository").create()
    LocalBackend(tmp_path / "repository").write("keys/one", b"1")
    files = FragileFiles(tmp_path / "repository")
    LocalBackend(tmp_path / "repository", files=files).delete("keys/one")
    assert ["keys/one" in state for state in files.after_crash(files.moments)] == [False]


def test_create_begins_anew_whatever_a_loss_of_power_left_of_it(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    files = FragileFiles(tmp_path / "repository")
    LocalBackend(tmp_path / "repository", files=files).create()
    all_folders = [state.keys() for state in files.after_crash(files.moments)]
    assert all_folders == [{*FOLDERS}]  # on return nothing is pending
    for number, moment in enumerate([*range(0, files.moments, 60), files.moments]):
        for n, state in enumerate(files.after_crash(moment)[:3]):
            again = LocalBackend(lay_out(state, tmp_path / f"{number}-{n}"))
            again.create()
            again.write("header", b"h")
            with pytest.raises(ObjectMissing):
                again.read("ledger/1")
            with pytest.raises(RepositoryExists):
                again.create()
