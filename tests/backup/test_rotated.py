"""Logs that are rotated, by renaming or by copying, and whatever honest writers do."""

from __future__ import annotations

import os
import random
import shutil

import pytest
from backup.logs import FEW, HOUR, MIB, Tree, forget_cache
from stores import DAY

from casstore.chunker import MOST
from casstore.verify import verify

# ── rotation ──


def test_a_chain_of_rotations_by_renaming_reads_two_chunks_of_each(tree: Tree) -> None:
    tree.backup()
    for turn in range(4):
        for number in range(turn, 0, -1):
            (tree.folder / f"app.log.{number}").rename(tree.folder / f"app.log.{number + 1}")
        tree.log.rename(tree.folder / "app.log.1")
        tree.append(500, "app.log.1")  # by a writer that has not noticed yet
        tree.append(3 * MIB)
        first, second = tree.backup(), tree.backup()
        assert first.read - tree.log.stat().st_size < (turn + 1) * FEW
        assert second.read - tree.log.stat().st_size < (turn + 1) * FEW  # the new one is not settled yet
        assert first.added < tree.log.stat().st_size + (turn + 1) * MOST
        assert second.added == 0
        assert tree.is_saved_by(first)
        assert tree.is_saved_by(second)
        assert not tree.warned


def test_a_new_log_that_outgrew_the_rotated_one_is_no_news(tree: Tree) -> None:
    tree.backup()
    tree.append(1000)
    tree.backup()
    tree.log.rename(tree.folder / "app.log.1")
    tree.append(7 * MIB)
    snapshot = tree.backup()
    assert snapshot.read < tree.log.stat().st_size + FEW
    assert not tree.warned
    assert tree.is_saved_by(snapshot)


def test_what_was_rotated_is_proven_within_a_day_as_well(tree: Tree) -> None:
    first = tree.backup()
    tree.log.rename(tree.folder / "app.log.1")
    assert tree.entry(tree.backup(), b"app.log.1").proven_ns == first.clock_ns
    tree.store.now += DAY
    snapshot = tree.backup()
    assert snapshot.read == (tree.folder / "app.log.1").stat().st_size
    assert snapshot.unchanged == 1
    assert tree.entry(snapshot, b"app.log.1").proven_ns == 0
    assert tree.backup().read == 0


def test_a_log_that_is_moved_to_a_folder_below_is_recognised(tree: Tree) -> None:
    tree.backup()
    (tree.folder / "old").mkdir()
    tree.log.rename(tree.folder / "old" / "2026-11.log")
    snapshot = tree.backup()
    assert snapshot.read < FEW
    assert tree.is_saved_by(snapshot)


def test_copy_and_truncate_is_a_full_read_without_an_alarm(tree: Tree) -> None:
    tree.backup()
    shutil.copyfile(tree.log, tree.folder / "app.log.1")
    os.truncate(tree.log, 0)
    tree.append(2 * MIB)
    snapshot = tree.backup()
    assert snapshot.read == 2 * MIB + (6 * MIB) + sum(path.stat().st_size % MIB for path in tree.folder.iterdir())
    assert snapshot.added < 3 * MIB
    assert not tree.warned
    assert tree.is_saved_by(snapshot)


def test_copy_and_truncate_is_no_alarm_either_if_the_log_outgrew_its_copy(tree: Tree) -> None:
    tree.backup()
    shutil.copyfile(tree.log, tree.folder / "app.log.1")
    os.truncate(tree.log, 0)
    tree.append(7 * MIB)
    assert tree.is_saved_by(tree.backup())
    assert not tree.warned


def test_without_the_copy_the_same_is_an_alarm(tree: Tree) -> None:
    """The control of the test above."""
    tree.backup()
    os.truncate(tree.log, 0)
    tree.append(7 * MIB)
    tree.backup()
    assert tree.warned == [b"app.log"]


# ── any sequence of it ──


@pytest.mark.parametrize("seed", range(3))
def test_whatever_honest_writers_and_rotators_do_each_snapshot_holds_and_nobody_is_alarmed(
    tree: Tree, seed: int
) -> None:
    chance = random.Random(seed)
    old = tree.folder / "old"
    old.mkdir()
    os.truncate(tree.log, 0)

    def append() -> None:
        tree.append(chance.choice((80, 5_000, 60_000, 400_000)))

    def rotate() -> None:
        for number in (2, 1):
            path = tree.folder / f"app.log.{number}"
            if path.exists():
                path.rename(tree.folder / f"app.log.{number + 1}")
        tree.log.rename(tree.folder / "app.log.1")
        if chance.random() < 0.3:
            tree.append(300, "app.log.1")
        append()

    def move() -> None:
        tree.log.rename(old / f"{chance.randrange(3)}.log")
        append()

    def copy_and_truncate() -> None:
        shutil.copyfile(tree.log, tree.folder / "copy.log")
        os.truncate(tree.log, 0)
        tree.append(50)

    def wait() -> None:
        tree.store.now += 5 * HOUR

    for _ in range(40):
        chance.choice((append, append, append, append, rotate, move, copy_and_truncate, wait))()
        if chance.random() < 0.05:
            forget_cache(tree)
        snapshot = tree.backup()
        assert tree.is_saved_by(snapshot)
        assert not [path for path in tree.warned if path != b"copy.log"]  # that one is indeed written anew
    with tree.store.open() as repository:
        assert list(verify(repository)) == []
