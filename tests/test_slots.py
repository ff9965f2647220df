"""The ways to open a repository, as they are listed and proven."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import CHEAP, NOW, Store

from casstore.errors import UsageError
from casstore.format.commit import CommitKind
from casstore.format.slot import Role, SlotKind
from casstore.keyring import Passphrase
from casstore.slots import add_slot, find_slot, list_slots, prove, proven_elsewhere, remove_slot, unusable_slots


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.create()
    return made


def test_slots_are_listed_with_what_they_say_and_when_they_were_proven(store: Store) -> None:
    with store.open() as repository:
        repository.refresh()
        slot = add_slot(repository, Passphrase("p", typed=True), label="of ana", now_ns=NOW + 1, cost=CHEAP)
        shown = {one.id: one for one in list_slots(repository)}[slot]
        assert (shown.kind, shown.role, shown.label, shown.created_ns, shown.proven_ns) == (
            SlotKind.PASSPHRASE, Role.ADMIN, "of ana", NOW + 1, None,
        )  # fmt: skip
        for at_ns in (NOW + 2, NOW + 3):
            prove(repository, slot, at_ns)
        assert {one.id: one for one in list_slots(repository)}[slot].proven_ns == NOW + 3
        assert find_slot(repository, Passphrase("p")) == slot


def test_a_way_is_proven_elsewhere_as_long_as_its_slot_is_sound(store: Store) -> None:
    with store.open() as repository:
        repository.refresh()
        first = find_slot(repository, Passphrase("x"))
        assert proven_elsewhere(repository)  # `create` was given it
        with pytest.raises(UsageError):
            remove_slot(repository, first)
        add_slot(repository, Passphrase("p"), label="", now_ns=NOW, cost=CHEAP)
        remove_slot(repository, first)
        assert not proven_elsewhere(repository)


def test_a_damaged_slot_proves_nothing(store: Store) -> None:
    with store.open() as repository:
        repository.refresh()
        slot = find_slot(repository, Passphrase("x"))
        store.backend.delete(f"keys/{slot.hex()}")
        store.backend.write(f"keys/{slot.hex()}", b"spoilt")
        assert not proven_elsewhere(repository)
        assert list(unusable_slots(repository)) == [slot]


@pytest.mark.parametrize(
    "facts", [{}, {0: b"x"}, {0: [1], 1: 2}, {0: b"x", 1: "now"}, {0: b"x", 1: None}, {64: 1}], ids=str
)
def test_a_note_that_proves_nothing_is_passed_over(store: Store, facts: dict[int, object]) -> None:
    with store.open() as repository:
        repository.refresh()
        before = list_slots(repository)
        repository.append(CommitKind.NOTE, {0: "proven", 1: facts}, clock_ns=NOW)
        assert list_slots(repository) == before
        assert proven_elsewhere(repository)
