"""What was verified and rehearsed is noted in the ledger, and read from there by whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import DAY, NOW, Store

from casstore.format.commit import CommitKind
from casstore.keyring import Passphrase
from casstore.notes import Drilled, Unnoted, Verified, drilled, note_drilled, note_verified, read_whole, verified
from casstore.opening import open as open_repository
from casstore.repository import Home

DRILL = Drilled(NOW, "shop", True, b"d" * 32, 7_000_000_000, (("cas", "0.1.0"), ("node", "v18.1")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.create()
    return made


def test_what_was_noted_is_read_by_the_next_who_opens_the_repository(store: Store) -> None:
    with store.open() as repository:
        repository.refresh()
        note_verified(repository, Verified(NOW, "all", 0))
        note_verified(repository, Verified(NOW + 1, "2/7", 3))
        note_drilled(repository, DRILL)
    with store.open() as repository:
        repository.refresh()
        assert verified(repository) == [Verified(NOW, "all", 0), Verified(NOW + 1, "2/7", 3)]
        assert drilled(repository, "shop") == [DRILL]
        assert drilled(repository, "another") == []


@pytest.mark.parametrize(
    "facts",
    [{}, {0: NOW}, {0: NOW, 1: "all", 2: "none"}, {0: NOW, 1: "all", 2: -1}, {0: NOW, 1: 7, 2: 0},
     {0: NOW, 1: "all", 2: 0, 3: 0}],
)  # fmt: skip
def test_a_note_of_another_shape_says_nothing(store: Store, facts: dict[int, object]) -> None:
    with store.open() as repository:
        repository.refresh()
        repository.append(CommitKind.NOTE, {0: "verified", 1: facts}, clock_ns=NOW)
        assert verified(repository) == []


@pytest.mark.parametrize(("key", "value"), [(3, b"short"), (4, -1), (5, [["cas"]]), (5, [["cas", 1]]), (5, ["x"])])
def test_a_rehearsal_of_another_shape_says_nothing(store: Store, key: int, value: object) -> None:
    facts = {0: NOW, 1: "shop", 2: 1, 3: b"d" * 32, 4: 7, 5: [["cas", "1"]]} | {key: value}
    with store.open() as repository:
        repository.refresh()
        repository.append(CommitKind.NOTE, {0: "drilled", 1: facts}, clock_ns=NOW)
        assert drilled(repository, "shop") == []


def test_a_host_that_never_wrote_notes_nothing_and_leaves_no_key(store: Store) -> None:
    home = Home(store.folder / "c2", store.folder / "s2", store.folder / "x2")
    with open_repository(store.backend, home, hostname="guest", now_ns=NOW, secret=Passphrase("x")) as repository:
        repository.refresh()
        with pytest.raises(Unnoted):
            note_verified(repository, Verified(NOW, "all", 0))
        assert verified(repository) == []
        assert not home.key_file(repository.header.repository).exists()


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        ([], None),
        (["structure", "5%", "500M"], None),
        (["all", "structure"], NOW),
        (["1/2"], None),
        (["1/2", "2/3", "3/3"], None),
        (["1/2", "2/2", "1/2"], NOW + DAY),  # the second half was read on the second day, the first on the third
        (["all", "1/2", "2/2"], NOW + DAY),
        (["0/0"], None),
    ],
)
def test_all_is_read_once_each_part_of_it_was(read: list[str], whole: int | None) -> None:
    assert read_whole([Verified(NOW + day * DAY, what, 0) for day, what in enumerate(read)]) == whole


def test_what_found_damage_proves_nothing() -> None:
    assert read_whole([Verified(NOW, "all", 0), Verified(NOW + DAY, "all", 1)]) == NOW
