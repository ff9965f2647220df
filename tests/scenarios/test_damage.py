"""Flip, cut, delete, swap each object: verify names it, and what does not need it still restores."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from stores import Store, files_of

from casstore.backends.memory import MemoryBackend
from casstore.errors import CasError, Damaged, HistoryRewritten
from casstore.verify import verify


def flip(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def junk(data: bytes) -> bytes:
    return random.Random(1).randbytes(len(data))


def delete(_data: bytes) -> None:
    return None


@pytest.fixture
def three(tmp_path: Path) -> tuple[Store, list[dict[bytes, bytes]]]:
    store, states = Store(tmp_path), []
    store.create()
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(3):
        (tree / f"only{n}").write_bytes(random.Random(n).randbytes(30_000))
        (tree / "log").write_text("".join(f"line {i}\n" for i in range(5000 * (n + 1))))
        store.backup(tree)
        states.append(files_of(tree))
    return store, states


def objects(store: Store) -> dict[str, bytes]:
    assert isinstance(store.backend, MemoryBackend)
    return store.backend.objects


def forget_cache(store: Store) -> None:
    import shutil

    shutil.rmtree(store.home.cache, ignore_errors=True)


def test_control_undamaged_nothing_is_reported(three: tuple[Store, list[dict[bytes, bytes]]]) -> None:
    store, _ = three
    with store.open() as repository:
        assert list(verify(repository)) == []


@pytest.mark.parametrize("harm", [flip, cut, junk, delete])
@pytest.mark.parametrize("cached", [True, False])
def test_each_damaged_object_is_named_and_costs_only_what_it_held(
    three: tuple[Store, list[dict[bytes, bytes]]], harm: Callable[[bytes], bytes | None], cached: bool
) -> None:
    store, states = three
    kept = dict(objects(store))
    for name in kept:
        if name == "header" or name.startswith("keys/"):
            continue
        worse = harm(kept[name])
        if worse is None:
            del objects(store)[name]
        else:
            objects(store)[name] = worse
        if not cached:
            forget_cache(store)
        try:
            with store.open() as repository:
                damages = list(verify(repository))
                assert damages, f"{harm.__name__} of {name} went unnoticed"
                whole = [
                    s
                    for s in repository.snapshots()
                    if s.number not in {d.snapshot.number for d in damages if d.snapshot}
                ]
            for snapshot in whole:
                state = states[[3, 4, 5].index(snapshot.number)]
                assert store.contents(snapshot) == state
        except HistoryRewritten:
            assert name.startswith("ledger/")
            assert harm is delete
        finally:
            objects(store).clear()
            objects(store).update(kept)
    with store.open() as repository:
        assert list(verify(repository)) == []


def exchanged(store: Store, one: str, other: str, states: list[dict[bytes, bytes]]) -> str:
    """Let two objects change places and say how it was noticed; what counts as whole must restore."""
    kept = dict(objects(store))
    objects(store)[one], objects(store)[other] = kept[other], kept[one]
    try:
        with store.open() as repository:
            damages = list(verify(repository))
            costly = {damage.snapshot.number for damage in damages if damage.snapshot}
            whole = [snapshot for snapshot in repository.snapshots() if snapshot.number not in costly]
        assert all(store.contents(snapshot) == states[snapshot.number - 3] for snapshot in whole)
        # A pack that only an unreadable commit brings is not looked for.
        found = {damage.where for damage in damages} & {one, other}
        return "both" if len(found) == 2 else "the commit" if found == {one} and one.startswith("ledger/") else "less"
    except CasError as error:
        return type(error).__name__
    finally:
        objects(store).clear()
        objects(store).update(kept)


@pytest.mark.parametrize("cached", [True, False])
def test_each_object_swapped_with_another_is_noticed(
    three: tuple[Store, list[dict[bytes, bytes]]], cached: bool
) -> None:
    store, states = three
    for one, other in combinations(sorted(objects(store)), 2):
        if not cached:
            forget_cache(store)
        folders = {one.partition("/")[0], other.partition("/")[0]}
        expected = {"both"}
        if "header" in folders:
            expected = {"FormatDamaged", "HistoryRewritten"}
        elif folders == {"ledger"}:
            expected = {"HistoryRewritten"}  # validly signed, in the place of another
        elif folders == {"ledger", "packs"}:
            expected = {"both", "the commit"}
        assert exchanged(store, one, other, states) in expected, (one, other)


@pytest.mark.parametrize("harm", [flip, cut, junk])
def test_a_damaged_slot_is_named_although_nobody_gave_its_secret(
    three: tuple[Store, list[dict[bytes, bytes]]], harm: Callable[[bytes], bytes]
) -> None:
    store, _ = three
    [slot] = [name for name in objects(store) if name.startswith("keys/")]
    objects(store)[slot] = harm(objects(store)[slot])
    with store.open() as repository:
        assert {damage.where for damage in verify(repository)} == {slot}


def test_a_damaged_header_or_slot_opens_nothing_else(three: tuple[Store, list[dict[bytes, bytes]]]) -> None:
    store, _ = three
    for harm in (flip, cut, junk):
        kept = objects(store)["header"]
        objects(store)["header"] = harm(kept)  # type: ignore[assignment]
        with pytest.raises(CasError) as caught:
            store.open()
        assert caught.value.exit_code in (1, 20, 21, 12)
        objects(store)["header"] = kept


def test_a_ledger_cut_back_is_a_rolled_back_history(three: tuple[Store, list[dict[bytes, bytes]]]) -> None:
    store, _ = three
    last = max(name for name in objects(store) if name.startswith("ledger/"))
    del objects(store)[last]
    with store.open() as repository, pytest.raises(HistoryRewritten):
        repository.refresh()


def test_reading_what_is_damaged_says_so(three: tuple[Store, list[dict[bytes, bytes]]]) -> None:
    store, _ = three
    for name in list(objects(store)):
        if name.startswith("packs/"):
            objects(store)[name] = flip(objects(store)[name])
    with store.open() as repository:
        repository.refresh()
        newest = repository.snapshots()[-1]
    with pytest.raises(Damaged):
        store.contents(newest)
