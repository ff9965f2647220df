"""Killed before every change in turn: each file is whole at once, and the set comes to exactly one of two states."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from restore.cuts import cut
from restore.folders import Folder, fill, spoil
from trees import strict_difference

from casstore.backends.local import LocalBackend
from casstore.errors import RestoreUnfinished
from casstore.restore import Recovered, resume, undo, unfinished
from casstore.snapshot import Snapshot


class Crashing(Folder):
    """A folder that can be spoilt again and again, with the two states that it may come to."""

    in_swap = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, LocalBackend(folder / "repository"))
        fill(self.tree)
        self.restored: Snapshot = self.snapshot()
        self.new = self.copy("new")
        spoil(self.tree)
        self.old = self.copy("old")

    def again(self) -> None:
        shutil.rmtree(self.tree)
        subprocess.run(["cp", "-a", str(self.old), str(self.tree)], check=True)

    def work(self) -> None:
        self.restore(self.restored, delete=True, progress=lambda _event: None)

    def differs(self, state: Path) -> list[str]:
        return strict_difference(os.fsencode(state), os.fsencode(self.tree))

    def live_differs(self, state: Path) -> list[str]:
        """Leave out what lies in the staging folder."""
        for path in self.tree.glob(".cas-restore-*"):
            shutil.rmtree(path)
        return self.differs(state)

    def each_file_is_whole(self) -> bool:
        """Whether every file has the bytes of one of the two states, wherever a name leads."""
        for path in self.tree.rglob("*"):
            if ".cas-restore-" in str(path) or path.is_symlink() or not path.is_file():
                continue
            name = path.relative_to(self.tree)
            sides = [side / name for side in (self.new, self.old)]
            if path.read_bytes() not in [side.read_bytes() for side in sides if side.is_file()]:
                return False
        return True

    def missing(self) -> list[str]:
        """Give the names that both states have and the tree does not."""
        both = {p.relative_to(self.new) for p in self.new.rglob("*")} & {
            p.relative_to(self.old) for p in self.old.rglob("*")
        }
        return sorted(str(name) for name in both if not os.path.lexists(self.tree / name))


@pytest.fixture
def folder(tmp_path: Path) -> Crashing:
    return Crashing(tmp_path)


def crashes(folder: Crashing, *, step: int = 1, exchange: bool = True) -> Iterator[int]:
    """Yield after each crash, at every `step`-th change from the journal on; fewer where only rubbish is removed."""
    at = 0
    while True:
        folder.again()
        if not cut(folder.work, at, exchange=exchange):
            return
        folder.in_swap = unfinished(folder.tree) is not None
        yield at
        at += step if folder.in_swap else 5


WAYS = [pytest.param(resume, "new", id="resume"), pytest.param(undo, "old", id="undo")]


@pytest.mark.parametrize(("way", "state"), WAYS)
def test_after_a_crash_at_any_change_both_ways_lead_to_exactly_one_state(
    folder: Crashing, way: Callable[..., object], state: str
) -> None:
    wanted = folder.new if state == "new" else folder.old
    mixed = swept = 0
    for at in crashes(folder):
        swept += 1
        assert folder.each_file_is_whole(), at
        assert folder.missing() == [], at
        if unfinished(folder.tree) is None:  # only what is left to remove is left
            assert folder.leftovers(), at
            assert folder.live_differs(folder.new) == [], at
            continue
        mixed += bool(folder.differs(folder.new)) and bool(folder.differs(folder.old))
        with pytest.raises(RestoreUnfinished):
            folder.work()
        way(folder.tree, state=folder.home.state)
        assert folder.differs(wanted) == [], at
    assert swept > 25
    assert mixed > 10  # the control: without the journal, these would have stayed


@pytest.mark.parametrize(("way", "state"), WAYS)
def test_a_file_system_without_exchange_comes_to_one_state_too(
    folder: Crashing, way: Callable[..., object], state: str
) -> None:
    wanted = folder.new if state == "new" else folder.old
    for at in crashes(folder, step=3, exchange=False):
        assert folder.each_file_is_whole(), at
        # Only a change of kind, folder to file or back, has a moment without either.
        assert set(folder.missing()) <= {"was a file", "was a folder"}, at
        if unfinished(folder.tree) is not None:
            assert not cut(lambda: way(folder.tree, state=folder.home.state) and None, 10**6, exchange=False)
            assert folder.differs(wanted) == [], at


@pytest.mark.parametrize(
    ("first", "then", "state"), [(resume, undo, "old"), (undo, resume, "new"), (undo, undo, "old")]
)
def test_a_crash_during_the_recovery_is_recovered_from(
    folder: Crashing, first: Callable[..., object], then: Callable[..., object], state: str
) -> None:
    wanted = folder.new if state == "new" else folder.old
    cuts = 0

    def recover() -> None:
        first(folder.tree, state=folder.home.state)

    for at in range(3, 30, 9):
        for second in range(0, 40, 9):
            folder.again()
            assert cut(folder.work, at)
            if not cut(recover, second, from_journal=False):
                break
            cuts += 1
            if unfinished(folder.tree) is None:
                assert folder.live_differs(folder.new if first is resume else folder.old) == []
                continue
            then(folder.tree, state=folder.home.state)
            assert folder.differs(wanted) == [], (at, second)
    assert cuts > 8


def test_a_crash_before_the_journal_leaves_the_tree_untouched(folder: Crashing) -> None:
    for at in range(0, 200, 7):
        folder.again()
        assert cut(folder.work, at, from_journal=False)
        if unfinished(folder.tree) is not None:
            break
        assert len(folder.leftovers()) == (at > 0)
        assert folder.live_differs(folder.old) == []
    assert at > 30
    folder.again()
    assert cut(folder.work, 30, from_journal=False)
    folder.work()  # and sweeps what is left away
    assert folder.differs(folder.new) == []


def test_what_was_written_after_the_crash_is_never_deleted(folder: Crashing) -> None:
    for way in (undo, resume):
        for at in range(0, 25, 3):
            folder.again()
            assert cut(folder.work, at)
            if unfinished(folder.tree) is None:
                break
            mine = {"a.json": b"mine 1", "same.json": b"mine 2", "data/log": b"mine 3"}
            deep = folder.tree / "data/deep"
            if deep.is_dir():
                mine["data/deep/mine"] = b"mine 4"
            for name, data in mine.items():
                (folder.tree / name).write_bytes(data)
            way(folder.tree, state=folder.home.state)
            kept = {path.read_bytes() for path in folder.tree.rglob("*") if path.is_file() and not path.is_symlink()}
            assert set(mine.values()) <= kept, (way, at)


@pytest.mark.parametrize("way", [resume, undo])
@pytest.mark.parametrize("link", [False, True])
def test_a_folder_taken_away_after_the_crash_stops_no_way_out(
    folder: Crashing, way: Callable[..., Recovered], link: bool
) -> None:
    wanted = folder.new if way is resume else folder.old
    elsewhere = folder.folder / "elsewhere"
    elsewhere.mkdir()
    kept = 0
    for at in crashes(folder, step=3):
        if unfinished(folder.tree) is None:
            break
        lost = bytes_of(folder.tree / "data")
        shutil.rmtree(folder.tree / "data")
        if link:
            (folder.tree / "data").symlink_to(elsewhere)
        done = way(folder.tree, state=folder.home.state)
        assert done.problems, at
        found = bytes_of(done.kept) if done.kept else set()
        assert bytes_of(wanted / "data") <= lost | found, at
        kept += bool(found)
        assert all(line.startswith(("b'data'", "b'data/")) for line in folder.live_differs(wanted)), at
        assert list(elsewhere.iterdir()) == []
    assert kept > 2


def bytes_of(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def test_a_failure_in_the_middle_goes_back_by_itself(folder: Crashing) -> None:
    (folder.tree / "was a file/unknown").write_bytes(b"what no snapshot saved")
    (folder.tree / "was a file/.casignore").write_bytes(b"*\n")
    before = folder.copy("before")
    with pytest.raises(Exception, match="was a file"):
        folder.work()
    assert folder.differs(before) == []
    assert unfinished(folder.tree) is None


@pytest.mark.parametrize("way", [resume, undo])
def test_a_recovery_tells_of_nothing_where_nobody_wrote(folder: Crashing, way: Callable[..., Recovered]) -> None:
    (folder.tree / "was a file/inside").write_bytes(b"a full folder in the place of a file")
    (folder.old / "was a file/inside").write_bytes(b"a full folder in the place of a file")
    for at in crashes(folder, step=2):
        if unfinished(folder.tree) is not None:
            assert way(folder.tree, state=folder.home.state).problems == 0, at


def test_an_interrupted_restore_can_be_undone_after_it_was_resumed(folder: Crashing) -> None:
    folder.again()
    assert cut(folder.work, 12)
    resume(folder.tree, state=folder.home.state)
    folder.undo()
    assert folder.differs(folder.old) == []
