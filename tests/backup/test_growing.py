"""Files that only grow: what is read of them, and what is stored."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from backup.logs import FEW, HOUR, MIB, Tree

from casstore import openfile
from casstore.losses import How
from casstore.selection import Selection
from casstore.verify import verify

# ── growth ──


def test_of_a_grown_log_two_chunks_and_what_is_new_are_read(tree: Tree) -> None:
    tree.backup()
    for _ in range(5):
        tree.append(20_000)
        snapshot = tree.backup()
        assert snapshot.read < FEW
        assert snapshot.changed == 1
        assert tree.is_saved_by(snapshot)
    assert not tree.warned
    with tree.store.open() as repository:
        assert list(verify(repository)) == []


def test_without_the_pattern_all_of_it_is_read(tree: Tree) -> None:
    """The control of the test above."""
    tree.backup(selection=Selection())
    tree.append(20_000)
    assert tree.backup(selection=Selection()).read == tree.log.stat().st_size


@pytest.mark.parametrize("appended", [1, 300_000, 3 * MIB])
def test_a_log_that_grew_has_the_root_that_a_full_reading_gives_it(tree: Tree, appended: int) -> None:
    tree.backup()
    tree.append(appended)
    grown = tree.entry(tree.backup())
    with tree.store.open() as repository:
        repository.refresh()
        data = iter([tree.log.read_bytes()])
        assert repository.writer(dry=True).put(lambda _: next(data, b"")) == grown.content


def test_the_entry_says_when_it_was_last_read_whole(tree: Tree) -> None:
    first = tree.backup()
    assert tree.entry(first).proven_ns == 0
    for _ in range(2):
        tree.append(100)
        assert tree.entry(tree.backup()).proven_ns == first.clock_ns


def test_a_log_of_two_chunks_is_read_whole(tree: Tree) -> None:
    tree.log.write_bytes(b"")
    tree.append(9_000)
    tree.backup()
    tree.append(100)
    snapshot = tree.backup()
    assert snapshot.read == tree.log.stat().st_size
    assert tree.entry(snapshot).proven_ns == 0


def test_what_is_written_while_a_log_is_read_comes_with_the_next_snapshot(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread

    class Growing:
        """The system, but for an application that writes whenever a file is read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def pread(self, *where: Any) -> bytes:
            tree.append(1000)
            return pread(*where)

    for _ in range(3):  # the first time it is read whole
        before = tree.log.stat().st_size
        monkeypatch.setattr(openfile, "os", Growing())
        snapshot = tree.backup()
        monkeypatch.undo()
        assert tree.log.stat().st_size > before
        assert tree.store.contents(snapshot)[b"app.log"] == tree.log.read_bytes()[:before]
        assert not snapshot.problems
        assert not tree.warned
    assert tree.is_saved_by(tree.backup())


def test_a_log_with_two_names_grows_under_both(tree: Tree) -> None:
    (tree.folder / "other.log").hardlink_to(tree.log)
    tree.backup()
    tree.append(5000)
    snapshot = tree.backup()
    assert snapshot.read < FEW
    assert tree.is_saved_by(snapshot)


def test_a_log_that_is_stored_apart_grows_like_any_other(tree: Tree) -> None:
    apart = Selection(append_only=(b"*.log",), isolate=(b"*.log",))
    tree.backup(selection=apart)
    tree.append(5000)
    snapshot = tree.backup(selection=apart)
    assert snapshot.read < FEW
    assert tree.is_saved_by(snapshot)


def test_a_log_that_only_is_not_settled_yet_makes_no_snapshot_that_could_be_skipped(tree: Tree) -> None:
    tree.store.now = tree.log.stat().st_ctime_ns - 60 * 10**9
    tree.backup()
    tree.store.now -= 59 * 10**9
    again = tree.backup(skip=True)
    assert again.read == tree.log.stat().st_size
    assert again.number == 0


# ── whole lines ──


def test_a_log_is_cut_at_its_last_newline_if_so_asked(tree: Tree) -> None:
    whole = tree.log.read_bytes()
    for rest in (b"half a l", b"ine", b" more\n", b"and a h"):
        with tree.log.open("ab") as log:
            log.write(rest)
        snapshot = tree.backup(whole_lines=True)
        data = tree.log.read_bytes()
        assert tree.store.contents(snapshot)[b"app.log"] == data[: data.rindex(b"\n") + 1]
        assert not tree.warned
    assert snapshot.read < FEW
    assert len(tree.log.read_bytes()) > len(whole)
    tree.store.now += HOUR  # by now it counts as settled, and all the same it is not all saved
    assert tree.is_saved_by(tree.backup())


def test_a_small_log_is_cut_as_well(tree: Tree) -> None:
    tree.log.write_bytes(b"one\ntwo")
    assert tree.store.contents(tree.backup(whole_lines=True))[b"app.log"] == b"one\n"
    tree.log.write_bytes(b"one\ntwo\nth")
    assert tree.store.contents(tree.backup(whole_lines=True))[b"app.log"] == b"one\ntwo\n"
    assert not tree.warned


def test_what_has_no_lines_is_saved_whole(tree: Tree) -> None:
    tree.log.write_bytes(random.Random(1).randbytes(2 * MIB).replace(b"\n", b"."))
    assert tree.is_saved_by(tree.backup(whole_lines=True))


# ── beside JSON that must be whole ──


def test_json_is_read_whole_and_judged_beside_a_log_that_was_rewritten(tree: Tree) -> None:
    (tree.folder / "later").mkdir()
    state = tree.folder / "later" / "state.json"
    large = '{"rows": [' + ", ".join(f'"{number:040}"' for number in range(20_000)) + "]}"
    state.write_text(large)
    small = tree.folder / "later" / "small.json"
    small.write_text('{"a": 1}')
    tree.backup()
    tree.append(20_000)
    tree.backup()
    tree.overwrite(tree.log.stat().st_size - 100)
    state.write_text(large[:-2])
    small.write_text('{"a": ')
    snapshot = tree.backup(sleep=lambda _seconds: None)
    assert tree.warned == [b"app.log"]
    assert (snapshot.torn, snapshot.guarded) == (2, None)
    assert snapshot.unproven_since_ns
    assert tree.is_saved_by(snapshot)


def test_a_log_that_gets_the_name_of_json_is_read_whole_and_no_longer_a_log(tree: Tree) -> None:
    tree.backup()
    tree.append(20_000)
    tree.backup()
    (tree.folder / "old.json").write_text('["young"]')
    os.rename(tree.log, tree.folder / "old.json")
    snapshot = tree.backup(sleep=lambda _seconds: None)
    assert snapshot.read >= 6 * MIB
    assert (tree.warned, snapshot.guarded) == ([], None)
    assert not tree.entry(snapshot, b"old.json").proven_ns
    assert tree.is_saved_by(snapshot)


def test_json_that_is_declared_to_grow_is_read_in_part_and_guarded(tree: Tree) -> None:
    selection = Selection(append_only=(b"*.log", b"rows.json"))
    (tree.folder / "rows.json").write_text('{"id": 1}\n' * 200_000)
    tree.backup(selection=selection)
    with (tree.folder / "rows.json").open("a") as rows:
        rows.write('{"id": ')
    snapshot = tree.backup(selection=selection)
    assert snapshot.read < FEW
    assert (snapshot.torn, snapshot.guarded) == (0, None)
    assert tree.entry(snapshot, b"rows.json").proven_ns
    (tree.folder / "rows.json").write_text('{"id": 1}\n')
    tree.log.unlink()
    snapshot = tree.backup(selection=selection)
    assert snapshot.guarded is not None
    assert [(loss.path, loss.how) for loss in snapshot.guarded.losses] == [
        (b"app.log", How.VANISHED),
        (b"rows.json", How.SHRANK),
    ]


def test_a_rotated_log_read_in_part_has_lost_nothing(tree: Tree) -> None:
    tree.backup()
    for _ in range(3):
        tree.append(20_000)
        tree.backup()
        tree.append(20_000)
        os.rename(tree.log, tree.folder / "app.log.1")
        tree.append(100)
        snapshot = tree.backup()
        assert snapshot.guarded is None
        assert not tree.warned
        (tree.folder / "app.log.1").unlink()
        tree.append(4 * MIB)
        tree.backup()
