"""How often what only grows is read whole."""

from __future__ import annotations

import itertools

from backup.logs import HOUR, Tree
from stores import DAY

from casstore.config import Tuning
from casstore.selection import Selection


def full_reads(tree: Tree, days: int, tuning: Tuning) -> list[int]:
    """Give the hours at which a log that grows each hour is read whole."""
    tree.backup(tuning=tuning)
    found = [0]
    for hour in range(1, days * 24):
        tree.store.now += HOUR - 60 * 10**9
        tree.append(100)
        snapshot = tree.backup(tuning=tuning)
        if snapshot.read >= tree.log.stat().st_size:
            found.append(hour)
            assert tree.entry(snapshot).proven_ns == 0
        assert not tree.warned
    return found


def test_a_log_is_read_whole_every_day_and_no_more_often_than_needed(tree: Tree) -> None:
    found = full_reads(tree, 4, Tuning())
    apart = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert apart
    assert all(18 <= hours <= 24 for hours in apart)


def test_how_often_it_is_read_whole_can_be_told(tree: Tree) -> None:
    found = full_reads(tree, 1, Tuning(prove_logs_ns=6 * HOUR))
    assert all(later - earlier <= 6 for earlier, later in itertools.pairwise(found))
    assert len(found) >= 4


def test_no_log_goes_unproven_longer_than_any_file_unread(tree: Tree) -> None:
    found = full_reads(tree, 4, Tuning(prove_logs_ns=30 * DAY, reread_ns=2 * DAY))
    assert all(later - earlier <= 24 for earlier, later in itertools.pairwise(found))
    assert len(found) >= 4


def test_a_clock_that_was_ahead_proves_nothing(tree: Tree) -> None:
    tree.store.now += 2 * DAY
    tree.backup()
    tree.store.now -= 2 * DAY
    tree.append(100)
    assert tree.backup().read == tree.log.stat().st_size


def test_every_file_is_read_again_as_often_as_told(tree: Tree) -> None:
    tuning = Tuning(reread_ns=2 * DAY)
    tree.store.now = tree.log.stat().st_ctime_ns + DAY
    tree.backup(selection=Selection(), tuning=tuning)
    read = []
    for _ in range(4):
        tree.store.now += DAY
        read.append(tree.backup(selection=Selection(), tuning=tuning).read)
    assert sum(map(bool, read)) >= 2
    assert tree.backup(selection=Selection(), tuning=tuning).read == 0
    tree.store.now += HOUR
    assert tree.backup(selection=Selection(), tuning=Tuning(reread_ns=HOUR)).read
