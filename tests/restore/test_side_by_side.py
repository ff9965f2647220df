"""A snapshot and a restore of one tree at the same time: no snapshot is half one state and half another."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from threading import Event, Thread

import pytest
from restore.folders import Folder, fill, spoil
from stores import Store, files_of

from casstore import treelock
from casstore.errors import ApplicationRunning, RestoreUnfinished
from casstore.progress import Event as Told
from casstore.progress import Notice, Stage
from casstore.restore import refuse_unfinished
from casstore.snapshot import Snapshot
from casstore.source import STAGING


def nobody() -> None:
    pytest.fail("nobody is to be waited for")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    fill(made.tree)
    return made


def test_a_restore_replaces_nothing_while_the_tree_is_read(folder: Folder) -> None:
    snapshot, saved = folder.snapshot(), files_of(folder.tree)
    spoil(folder.tree)
    spoilt, waits = files_of(folder.tree), Event()

    def tell(event: Told) -> None:
        if event == Notice(b".", treelock.BEING_READ):
            waits.set()

    with treelock.reading(os.fsencode(folder.tree), nobody):
        restoring = Thread(target=folder.restore, args=(snapshot,), kwargs={"progress": tell, "delete": True})
        restoring.start()
        assert waits.wait(60)
        assert {path: data for path, data in files_of(folder.tree).items() if b".cas-restore" not in path} == spoilt
    restoring.join(60)
    assert files_of(folder.tree) == saved


def test_who_reads_on_and_on_is_named_and_nothing_replaced(folder: Folder) -> None:
    fd = os.open(folder.tree, os.O_RDONLY)
    try:
        with (
            treelock.reading(os.fsencode(folder.tree), nobody),
            pytest.raises(treelock.TreeBusy, match="app is being read for a snapshot"),
            treelock.replacing(fd, lambda: None, patience_s=0.1),
        ):
            pytest.fail("not alone")
        treelock.await_free(os.fsencode(folder.tree), nobody)
    finally:
        os.close(fd)


def test_an_application_that_came_up_while_the_tree_was_read_stops_the_restore_before_its_journal(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, journals = folder.snapshot(), []
    spoil(folder.tree)
    spoilt, looks = files_of(folder.tree), iter([None, None, ApplicationRunning("it came up")])

    def look(_target: object) -> None:
        journals.extend(folder.tree.glob(".cas-restore-*/journal"))
        if (error := next(looks)) is not None:
            raise error

    monkeypatch.setattr("casstore.restore.restoring.refuse_listening", look)
    with pytest.raises(ApplicationRunning):
        folder.restore(snapshot)
    assert journals == []  # what is removed with a journal in it could be taken up half removed
    assert (files_of(folder.tree), folder.leftovers()) == (spoilt, [])


def test_a_lock_that_somebody_else_has_on_the_folder_stops_no_snapshot(folder: Folder) -> None:
    foreign = os.open(folder.tree, os.O_RDONLY)
    try:
        fcntl.flock(foreign, fcntl.LOCK_EX)
        assert folder.contents(folder.snapshot()) == files_of(folder.tree)
    finally:
        os.close(foreign)


def test_what_was_interrupted_is_seen_also_behind_the_first_look(folder: Folder) -> None:
    staging = folder.tree / f"{os.fsdecode(STAGING)}{'0' * 16}"
    staging.mkdir()
    (staging / "journal").write_bytes(b"")
    with pytest.raises(RestoreUnfinished, match="was interrupted"):
        folder.snapshot()


def test_a_snapshot_that_begins_while_files_are_replaced_holds_the_state_after_that(
    folder: Folder, tmp_path: Path
) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    other = Store(tmp_path / "other", folder.backend)
    other.home = folder.home
    taken: list[Snapshot] = []
    saving = Thread(target=lambda: taken.append(other.backup(folder.tree)))

    def tell(event: Told) -> None:
        if event == Stage("replacing"):
            saving.start()
            saving.join(0.2)
            assert saving.is_alive()

    folder.restore(snapshot, progress=tell, delete=True)
    saving.join(60)
    assert other.contents(taken[0]) == files_of(folder.tree)


def test_a_snapshot_keeps_restores_away_until_it_is_taken(folder: Folder) -> None:
    seen = []

    def tell(_event: Told) -> None:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(True)

    other = os.open(folder.tree, os.O_RDONLY)
    try:
        folder.backup(folder.tree, progress=tell)
        assert seen
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)


def test_a_restore_at_work_is_none_that_was_interrupted(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    told = []

    def tell(event: Told) -> None:
        if event == Stage("replacing"):
            with pytest.raises(RestoreUnfinished) as raised:
                refuse_unfinished(folder.tree)
            told.append(str(raised.value))

    folder.restore(snapshot, progress=tell)
    assert told == ["a restore is replacing files there now"]
