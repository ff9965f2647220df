"""A log whose old part was rewritten: what is seen at once, and what is found out within a day."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from backup.logs import FEW, HOUR, MIB, Tree, forget_cache
from stores import DAY

from casstore.config import Tuning

# ── what was rewritten ──


def test_a_change_in_the_last_chunk_is_seen_at_once(tree: Tree) -> None:
    tree.backup()
    tree.append(1000)
    second = tree.backup()
    tree.overwrite(tree.log.stat().st_size - 500)
    tree.append(1000)
    third = tree.backup()
    assert tree.warned == [b"app.log"]
    assert third.read > tree.log.stat().st_size
    assert tree.is_saved_by(third)
    assert not third.problems
    assert tree.marked() == {second.number}
    assert tree.entry(third).proven_ns == 0


@pytest.mark.usefixtures("first_sample")
def test_a_change_in_an_older_chunk_is_seen_at_once_if_chance_looks_there(tree: Tree) -> None:
    tree.backup()
    tree.append(1000)
    tree.overwrite(100)
    assert tree.is_saved_by(tree.backup())
    assert tree.warned == [b"app.log"]
    assert not tree.marked()  # all there was before was read whole


@pytest.mark.usefixtures("first_sample")
def test_a_change_where_chance_does_not_look_is_found_within_a_day_and_told(tree: Tree) -> None:
    first = tree.backup()
    tree.overwrite(3 * MIB)
    tree.append(1000)
    wrong = tree.backup()
    assert not tree.warned
    assert not tree.is_saved_by(wrong)  # the control: what is not proven may be wrong, and says so
    assert tree.entry(wrong).proven_ns == first.clock_ns
    numbers = {wrong.number}
    for _ in range(3):
        tree.append(1000)
        tree.store.now += 5 * HOUR
        numbers.add(tree.backup().number)
    tree.store.now += 9 * HOUR
    tree.append(1000)
    proof = tree.backup()
    assert tree.warned == [b"app.log"]
    assert tree.is_saved_by(proof)
    assert proof.unproven_since_ns == first.clock_ns
    assert tree.marked() == numbers
    tree.append(1000)
    assert tree.is_saved_by(tree.backup())
    assert not tree.warned
    assert tree.marked() == numbers


@pytest.mark.usefixtures("first_sample")
def test_it_is_found_in_a_log_that_is_not_written_any_more(tree: Tree) -> None:
    tree.backup()
    tree.append(1000)
    tree.overwrite(3 * MIB)
    tree.backup()
    tree.store.now += DAY
    assert tree.is_saved_by(tree.backup())
    assert tree.warned == [b"app.log"]


def test_a_log_truncated_and_written_again_to_the_same_length_is_seen(tree: Tree) -> None:
    tree.backup()
    size = tree.log.stat().st_size
    tree.log.write_bytes(tree.log.read_bytes()[::-1])
    assert tree.log.stat().st_size == size
    assert tree.is_saved_by(tree.backup())
    assert tree.warned == [b"app.log"]


def test_a_log_whose_writer_goes_on_behind_a_hole_is_seen(tree: Tree) -> None:
    tree.backup()
    size = tree.log.stat().st_size
    os.truncate(tree.log, 0)
    os.truncate(tree.log, size)
    tree.append(1000)
    snapshot = tree.backup()
    assert tree.warned == [b"app.log"]
    saved = tree.store.contents(snapshot)[b"app.log"]  # all but the hole
    assert saved.lstrip(b"\0") == tree.log.read_bytes()[size:]
    assert len(saved) < size < tree.entry(snapshot).size


def test_a_small_log_that_is_written_anew_is_seen(tree: Tree) -> None:
    tree.log.write_bytes(b"one\n")
    tree.backup()
    tree.log.write_bytes(b"two\nthree\n")
    assert tree.is_saved_by(tree.backup())
    assert tree.warned == [b"app.log"]


def test_what_is_left_of_a_log_proves_nothing_of_it(tree: Tree) -> None:
    with tree.store.open() as repository:
        chunker = repository.chunker()
    while True:
        pieces = iter([tree.log.read_bytes()])
        *_, last = map(bytes, chunker.cut(lambda _, pieces=pieces: next(pieces, b"")))  # type: ignore[misc]
        if len(last) < 8000:
            break
        tree.append(4000)
    tree.backup()
    tree.overwrite(0, tree.log.read_bytes()[::-1])
    (tree.folder / "tail").write_bytes(last)
    assert tree.is_saved_by(tree.backup())
    assert tree.warned == [b"app.log"]


def test_a_file_that_is_put_in_the_place_of_a_log_is_no_news(tree: Tree) -> None:
    tree.backup()
    other = tree.folder / "other"
    other.write_bytes(tree.log.read_bytes()[::-1] + b"\n")
    other.rename(tree.log)
    assert tree.is_saved_by(tree.backup())
    assert not tree.warned


def test_another_file_that_got_the_inode_of_a_log_is_no_news(tree: Tree) -> None:
    tree.backup()
    tree.log.write_bytes(tree.log.read_bytes()[::-1] + b"{}")
    tree.log.rename(tree.folder / "state.json")
    for _ in range(2):
        snapshot = tree.backup()
        assert tree.is_saved_by(snapshot)
        assert tree.entry(snapshot, b"state.json").proven_ns == 0
        assert not tree.warned
        with (tree.folder / "state.json").open("ab") as file:
            file.write(b"{}")


# ── what is remembered ──


def forget_snapshot(tree: Tree) -> None:
    with closing(sqlite3.connect(next(tree.store.folder.glob("cache/*/cache.sqlite")))) as cache, cache:
        cache.execute("DELETE FROM commits WHERE kind=2")


def spoil_rows(tree: Tree) -> None:
    with closing(sqlite3.connect(next(tree.store.folder.glob("cache/*/cache.sqlite")))) as cache, cache:
        cache.execute("UPDATE folders SET due=due+1")


@pytest.mark.parametrize("harm", [forget_cache, forget_snapshot, spoil_rows])
def test_what_is_not_remembered_or_not_kept_costs_one_full_read(tree: Tree, harm: Callable[[Tree], None]) -> None:
    tree.backup()
    tree.append(1000)
    tree.backup()
    harm(tree)
    tree.append(1000)
    snapshot = tree.backup()
    assert snapshot.read == tree.log.stat().st_size
    assert tree.entry(snapshot).proven_ns == 0
    assert tree.is_saved_by(snapshot)
    tree.append(1000)
    assert tree.backup().read < FEW


@pytest.mark.usefixtures("first_sample")
def test_what_was_rewritten_is_told_though_the_cache_was_lost(tree: Tree) -> None:
    first = tree.backup()
    tree.overwrite(3 * MIB)
    tree.append(1000)
    wrong = tree.backup()
    forget_cache(tree)
    proof = tree.backup()
    assert tree.warned == [b"app.log"]
    assert tree.is_saved_by(proof)
    assert proof.unproven_since_ns == first.clock_ns
    assert tree.marked() == {wrong.number}


def test_a_rotation_is_no_news_though_the_cache_was_lost(tree: Tree) -> None:
    tree.backup()
    tree.append(1000)
    tree.backup()
    forget_cache(tree)
    tree.log.rename(tree.folder / "app.log.1")
    tree.append(7 * MIB)
    assert tree.is_saved_by(tree.backup())
    assert not tree.warned


def test_a_dry_run_is_no_proof(tree: Tree) -> None:
    first = tree.backup()
    tree.append(1000)
    tree.store.now += DAY // 2
    tree.backup(dry_run=True, tuning=Tuning(prove_logs_ns=0))
    assert tree.entry(tree.backup()).proven_ns == first.clock_ns
