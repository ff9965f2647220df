"""What guarded files lost is saved, told and written down; what only moved is no loss."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from stores import DAY, Store

from casstore.format.commit import CommitKind, accepted_to_body
from casstore.losses import Accepted, Guarded, How, Loss
from casstore.progress import Event, Lost
from casstore.selection import Selection
from casstore.snapshot import Snapshot

LOGS = Selection(append_only=(b"*.log",))
RECORDS = [{"id": n, "name": f"user {n}"} for n in range(100)]


class Kept:
    """A tree with two JSON files and a log, saved once."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.store.create()
        self.tree = folder / "tree"
        (self.tree / "data").mkdir(parents=True)
        self.users = self.tree / "data" / "users.json"
        self.users.write_text(json.dumps(RECORDS))
        self.orders = self.tree / "data" / "orders.json"
        self.orders.write_text('{"orders": [1, 2, 3]}')
        self.log = self.tree / "events.log"
        self.log.write_text("".join(f"event {n} of {n * n}\n" for n in range(20_000)))
        (self.tree / "notes.txt").write_text("much to lose, and nobody's guard")
        self.told: list[Event] = []
        self.first = self.backup()

    def backup(self, selection: Selection = LOGS, **options: object) -> Snapshot:
        self.told.clear()
        self.store.now += DAY
        return self.store.backup(self.tree, selection, progress=self.told.append, **options)

    def losses(self, selection: Selection = LOGS, **options: object) -> list[tuple[bytes, How]]:
        """Take a snapshot; what it says is what it tells."""
        snapshot = self.backup(selection, **options)
        found = list(snapshot.guarded.losses) if snapshot.guarded is not None else []
        assert [event.loss for event in self.told if isinstance(event, Lost)] == found
        with self.store.open() as repository:
            repository.refresh()
            if snapshot.number:
                assert repository.snapshots()[-1].guarded == snapshot.guarded
        return [(loss.path, loss.how) for loss in found]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_first_snapshot_has_lost_nothing(kept: Kept) -> None:
    assert kept.first.guarded is None


def test_each_way_to_lose_what_was_held_is_told_with_what_and_how_much(kept: Kept) -> None:
    size = kept.users.stat().st_size
    cut = json.dumps(RECORDS[:40])
    thin = json.dumps([*RECORDS[:40], {"id": 0, "name": "x" * size}])
    for text, loss in [
        ("", Loss(b"data/users.json", How.EMPTY, size, 0)),
        ("[]", Loss(b"data/users.json", How.BARE, size, 2)),
        ("{ }\n", Loss(b"data/users.json", How.BARE, size, 4)),
        (cut, Loss(b"data/users.json", How.SHRANK, size, len(cut))),
        (thin, Loss(b"data/users.json", How.THINNED, 100, 41)),
        (None, Loss(b"data/users.json", How.VANISHED, size, 0)),
    ]:
        kept.users.write_text(json.dumps(RECORDS))
        before = kept.backup()
        if text is None:
            kept.users.unlink()
        else:
            kept.users.write_text(text)
        assert kept.backup().guarded == Guarded(before.number, 1, (loss,))
        assert kept.backup().guarded is None  # told once
        assert kept.first.number < before.number


def test_what_was_lost_is_saved_as_it_is(kept: Kept) -> None:
    kept.users.write_text("[]")
    assert kept.store.contents(kept.backup())[b"data/users.json"] == b"[]"


def test_a_log_that_is_gone_or_emptied_is_told_where_it_is_declared_to_grow(kept: Kept) -> None:
    kept.log.write_text("")
    assert kept.losses() == [(b"events.log", How.EMPTY)]
    kept.log.write_text("one more\n" * 9)
    kept.backup()
    kept.log.unlink()
    assert kept.losses() == [(b"events.log", How.VANISHED)]


def test_files_that_nobody_declared_may_shrink_and_go(kept: Kept) -> None:
    kept.backup(Selection())
    kept.log.write_text("")
    (kept.tree / "notes.txt").unlink()
    assert kept.losses(Selection()) == []


def test_growing_changing_and_losing_less_than_half_is_no_loss(kept: Kept) -> None:
    kept.users.write_text(json.dumps(RECORDS[:60]))
    kept.orders.write_text('{"orders": [1, 2, 3, 4]}')
    with kept.log.open("a") as log:
        log.write("more\n")
    assert kept.losses() == []


def test_a_file_that_held_nothing_has_nothing_to_lose(kept: Kept) -> None:
    kept.users.write_text("[]\n")
    kept.orders.write_text("")
    kept.backup()
    kept.users.write_text("{}")
    kept.orders.unlink()
    assert kept.losses() == []


def test_a_folder_that_vanished_loses_all_that_was_guarded_in_it(kept: Kept) -> None:
    (kept.tree / "data" / "deep" / "er").mkdir(parents=True)
    (kept.tree / "data" / "deep" / "er" / "b.json").write_text("[1, 2]")
    kept.backup()
    shutil.rmtree(kept.tree / "data")
    assert kept.losses() == [
        (path, How.VANISHED) for path in (b"data/deep/er/b.json", b"data/orders.json", b"data/users.json")
    ]


def test_a_file_in_whose_place_a_folder_stands_is_lost_and_the_reverse(kept: Kept) -> None:
    kept.users.unlink()
    kept.users.mkdir()
    (kept.users / "inner.json").write_text("[5, 6]")
    assert kept.losses() == [(b"data/users.json", How.VANISHED)]
    shutil.rmtree(kept.users)
    kept.users.write_text("[1, 2, 3]")
    assert kept.losses() == [(b"data/users.json/inner.json", How.VANISHED)]


def test_files_that_were_moved_are_not_lost(kept: Kept) -> None:
    kept.users.rename(kept.tree / "accounts.json")
    assert kept.losses() == []
    (kept.tree / "data").rename(kept.tree / "state")
    assert kept.losses() == []


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("grown", [b"", b"written after the last snapshot\n" * 3])
def test_a_log_that_was_rotated_by_rename_is_not_lost(kept: Kept, size: int, grown: bytes) -> None:
    kept.log.write_bytes((kept.log.read_bytes() * 3)[:size])
    kept.backup()
    with kept.log.open("ab") as log:
        log.write(grown)
    kept.log.rename(kept.tree / "events.log.1")
    kept.log.write_text("")
    assert kept.losses() == []
    kept.log.write_text("anew\n")
    (kept.tree / "events.log.1").rename(kept.tree / "events.log.2")
    kept.log.rename(kept.tree / "events.log.1")
    assert kept.losses() == []


@pytest.mark.parametrize("between", [False, True])
def test_a_log_that_was_copied_and_truncated_is_not_lost(kept: Kept, between: bool) -> None:
    shutil.copy(kept.log, kept.tree / "events.log.1")
    if between:
        kept.backup()  # the copy was there before, and did not change
    os.truncate(kept.log, 0)
    assert kept.losses() == []


def test_a_log_whose_copy_is_another_is_lost(kept: Kept) -> None:
    """The control of the two tests above."""
    (kept.tree / "events.log.1").write_bytes(kept.log.read_bytes().replace(b"event 19999", b"event 00000"))
    kept.log.write_text("")
    assert kept.losses() == [(b"events.log", How.EMPTY)]


def test_json_that_was_wiped_is_lost_though_a_copy_stands_beside_it(kept: Kept) -> None:
    shutil.copy(kept.users, kept.tree / "data" / "users.json.bak")
    kept.users.write_text("[]")
    assert kept.losses() == [(b"data/users.json", How.BARE)]


def test_what_is_no_longer_selected_is_not_lost(kept: Kept) -> None:
    (kept.tree / ".casignore").write_text("users.json\n")
    assert kept.losses() == []
    assert kept.losses(Selection(paths=(b"*.log",), append_only=LOGS.append_only)) == []


def test_a_loss_is_measured_by_the_snapshot_that_was_taken_of_the_same_paths(kept: Kept) -> None:
    kept.backup(Selection(paths=(b"data/users.json",)))
    kept.orders.unlink()
    snapshot = kept.backup()
    assert snapshot.guarded is not None
    assert snapshot.guarded.since == kept.first.number


def test_a_lost_cache_does_not_blind_the_guard(kept: Kept) -> None:
    shutil.rmtree(kept.store.home.cache)
    kept.users.write_text("[]")
    kept.orders.unlink()
    assert kept.losses() == [(b"data/orders.json", How.VANISHED), (b"data/users.json", How.BARE)]


def test_of_very_many_losses_some_are_listed_and_all_are_counted(kept: Kept) -> None:
    for n in range(100):
        (kept.tree / f"{n}.json").write_text(f"[{n}, {n}]")
    kept.backup()
    for n in range(100):
        (kept.tree / f"{n}.json").unlink()
    guarded = kept.backup().guarded
    assert guarded is not None
    assert (guarded.total, len(guarded.losses)) == (100, 64)


def test_a_dry_run_tells_a_loss_and_the_next_backup_tells_it_again(kept: Kept) -> None:
    kept.users.write_text("[]")
    assert kept.losses(dry_run=True) == [(b"data/users.json", How.BARE)]
    assert kept.losses() == [(b"data/users.json", How.BARE)]


def test_without_the_guard_nothing_is_told(kept: Kept) -> None:
    kept.users.write_text("[]")
    assert kept.losses(guarded=False) == []


def test_torn_files_that_were_accepted_are_no_json_any_more(kept: Kept) -> None:
    kept.users.write_text(kept.users.read_text() + ", // by hand")
    assert kept.backup().torn == 1
    snapshot = kept.backup()
    assert snapshot.torn == 1
    with kept.store.open() as repository:
        repository.refresh()
        body = accepted_to_body(Accepted(0, snapshot.source, (b"data",)))
        repository.append(CommitKind.NOTE, body, clock_ns=kept.store.now, as_admin=True)
        repository.acknowledge()
    assert kept.backup().torn == 0
    assert kept.backup().torn == 0


def test_notes_that_accept_no_loss_are_passed_over(kept: Kept) -> None:
    with kept.store.open() as repository:
        repository.refresh()
        repository.append(CommitKind.NOTE, {0: "proven", 1: {0: b"x"}}, clock_ns=1)
        repository.append(CommitKind.NOTE, {0: "accept", 1: {0: 1}}, clock_ns=1, as_admin=True)
        number = repository.ledger.head[0] + 1
        accepted = Accepted(number, ("h", "", b"/x"), (b"a.json",))
        repository.append(CommitKind.NOTE, accepted_to_body(accepted), clock_ns=1, as_admin=True)
        assert repository.catalogue.accepted() == [accepted]
