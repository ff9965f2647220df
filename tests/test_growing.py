"""Files that only grow: what is read of them, what is believed, and what is found out."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stores import DAY, Store, files_of

from casstore import openfile
from casstore.backup import growing
from casstore.chunker import MOST
from casstore.config import Tuning
from casstore.entry import Entry
from casstore.losses import How
from casstore.progress import Event, Problem, Warned
from casstore.selection import Selection
from casstore.snapshot import Snapshot, unproven
from casstore.verify import verify

LOGS = Selection(append_only=(b"*.log",))
MIB = 1 << 20
HOUR = DAY // 24
FEW = 2 * MOST + 64 * 1024  # bytes: two chunks, and what was appended


class Tree:
    """A folder with one log of 6 MiB, and the backups of it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.log = folder / "app.log"
        self.warned: list[bytes] = []
        self.problems: list[Problem] = []
        self._lines = random.Random(7)
        folder.mkdir()
        self.append(6 * MIB)

    def append(self, size: int, name: str = "app.log") -> None:
        with (self.folder / name).open("ab") as log:
            while size > 0:
                line = b"%x\n" % self._lines.getrandbits(480)
                log.write(line)
                size -= len(line)

    def backup(self, **options: Any) -> Snapshot:
        self.warned.clear()
        snapshot = self.store.backup(self.folder, options.pop("selection", LOGS), progress=self._take, **options)
        assert not self.problems
        return snapshot

    def _take(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warned.append(event.path)
        elif isinstance(event, Problem):
            self.problems.append(event)

    def is_saved_by(self, snapshot: Snapshot) -> bool:
        return self.store.contents(snapshot) == files_of(self.folder)

    def entry(self, snapshot: Snapshot, path: bytes = b"app.log") -> Entry:
        with self.store.open() as repository:
            repository.refresh()
            return next(entry for entry in repository.entries(snapshot) if entry.path == path)

    def overwrite(self, offset: int, data: bytes = b"#") -> None:
        with self.log.open("r+b") as log:
            log.seek(offset)
            log.write(data)

    def marked(self) -> frozenset[int]:
        with self.store.open() as repository:
            repository.refresh()
            return unproven(repository.snapshots())


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    store = Store(tmp_path)
    store.create()
    return Tree(store, tmp_path / "tree")


@pytest.fixture
def first_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance, but always the same: of the older chunks it is the first that is looked at."""
    monkeypatch.setattr(growing, "_random", lambda below: 0)


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


# ── what is remembered ──


def forget_cache(tree: Tree) -> None:
    shutil.rmtree(tree.store.folder / "cache")


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


# ── time ──


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
