"""Flip, cut, delete, swap each object: verify names it, and what does not need it still restores."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from stores import Store, files_of

from casstore.backends.memory import MemoryBackend
from casstore.chunkstore import writing
from casstore.chunkstore.writing import PROVEN_EVERY
from casstore.errors import CasError, Damaged, HistoryRewritten
from casstore.format.pack import HEADER, object_name
from casstore.keyring import Passphrase
from casstore.opening import open as open_repository
from casstore.repository import Home
from casstore.snapshot import Snapshot
from casstore.verify import verify

SIGN_IN = "ledger/00000000000000000001"


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


def needed_by(store: Store) -> dict[str, set[int]]:
    """Give for each object the snapshots that cannot do without it, from a repository that is whole."""
    needs: dict[str, set[int]] = {name: set() for name in objects(store)}
    with store.open() as repository:
        repository.refresh()
        for snapshot in repository.snapshots():
            needs[f"ledger/{snapshot.number:020}"].add(snapshot.number)
            roots = [snapshot.manifest, *(entry.content for entry in repository.entries(snapshot))]
            chunks = {chunk for root in roots for chunk in repository.chunks.expand(root)}
            lists = {chunk for root in roots if root.height for chunk in root.ids}
            for place in repository.cache.places(chunks | lists).values():
                needs[object_name(place.pack)].add(snapshot.number)
    return needs


def still_whole(store: Store, states: list[dict[bytes, bytes]]) -> set[int]:
    """Give the snapshots that are listed and come back as they were."""
    with store.open() as repository:
        repository.refresh()
        snapshots = repository.snapshots()
    found = set()
    for snapshot in snapshots:
        try:
            if store.contents(snapshot) == states[snapshot.number - 3]:
                found.add(snapshot.number)
        except Damaged:
            continue
    return found


@pytest.mark.parametrize("harm", [flip, cut, junk, delete])
@pytest.mark.parametrize("cached", [True, False])
def test_each_damaged_object_is_named_and_costs_only_what_it_held(
    three: tuple[Store, list[dict[bytes, bytes]]], harm: Callable[[bytes], bytes | None], cached: bool
) -> None:
    store, states = three
    kept, needs = dict(objects(store)), needed_by(store)
    assert any(len(numbers) > 1 for numbers in needs.values())
    newest = f"ledger/{max(number for numbers in needs.values() for number in numbers):020}"
    for name in kept:
        if name == "header":
            continue
        worse = harm(kept[name])
        if worse is None:
            del objects(store)[name]
        else:
            objects(store)[name] = worse
        if not cached:
            forget_cache(store)
        try:
            if (harm, name) == (delete, newest):
                with pytest.raises(HistoryRewritten), store.open() as repository:
                    list(verify(repository))
                continue
            whole = {3, 4, 5} - needs[name]
            remembered = {int(name[-20:])} if cached and name.startswith("ledger/") else set()  # by this host's cache
            assert still_whole(store, states) in (whole, whole | remembered), name
            with store.open() as repository:
                damages = list(verify(repository))
            if (harm, name.partition("/")[0]) != (delete, "keys"):  # nobody can tell it from one that was removed
                assert damages, f"{harm.__name__} of {name} went unnoticed"
            costly = {damage.snapshot.number for damage in damages if damage.snapshot}
            assert costly == needs[name] - {int(name[-20:]) if name.startswith("ledger/") else 0}
            assert still_whole(store, states) in (whole, whole | remembered), name
        finally:
            objects(store).clear()
            objects(store).update(kept)
    with store.open() as repository:
        assert list(verify(repository)) == []


def test_a_host_whose_sign_in_is_damaged_is_known_by_its_certificate_to_who_has_the_passphrase_only(
    three: tuple[Store, list[dict[bytes, bytes]]], tmp_path: Path
) -> None:
    store, states = three
    objects(store)[SIGN_IN] = flip(objects(store)[SIGN_IN])
    home = Home(*(tmp_path / "elsewhere" / part for part in ("config", "state", "cache")))
    with open_repository(store.backend, home, hostname="two", now_ns=store.now, secret=Passphrase("x")) as repository:
        repository.refresh()
        assert [snapshot.number for snapshot in repository.snapshots()] == [3, 4, 5]
        [entry] = [entry for entry in repository.entries(repository.snapshots()[-1]) if entry.path == b"log"]
        assert b"".join(repository.read(entry.content)) == states[-1][b"log"]


def lost_behind_a_bad_link(folder: Path) -> list[int]:
    """Take 20 snapshots of a table, spoil an early link of its chain, take 30 more; gives which of those are lost."""
    store = Store(folder)
    store.create()
    (folder / "tree").mkdir()
    table = bytearray(random.Random(1).randbytes(20_000))

    def save(n: int) -> tuple[Snapshot, bytes]:
        table[n * 100 : n * 100 + 4] = b"%04d" % n
        (folder / "tree" / "table").write_bytes(table)
        return store.backup(folder / "tree"), bytes(table)

    for n in range(20):
        before = set(objects(store))
        save(n)
        if n == 3:
            [pack] = [name for name in set(objects(store)) - before if name.startswith("packs/")]
    data = objects(store)[pack]
    objects(store)[pack] = data[:HEADER] + flip(data[HEADER : HEADER + 20]) + data[HEADER + 20 :]  # the first blob
    lost = []
    for number, (snapshot, data) in enumerate([save(n) for n in range(20, 50)]):
        try:
            assert store.contents(snapshot) == {b"table": data}
        except Damaged:
            lost.append(number)
    return lost


def test_a_bad_link_of_a_chain_costs_few_of_the_snapshots_that_come_after_it(tmp_path: Path) -> None:
    assert all(number < PROVEN_EVERY for number in lost_behind_a_bad_link(tmp_path))


def test_control_without_proofs_it_costs_all_to_the_end_of_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PROVEN_EVERY", 1000)
    assert len(lost_behind_a_bad_link(tmp_path)) == 30


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
        elif folders == {"ledger", "packs"}:
            expected = {"both", "the commit"}
        elif folders == {"ledger"} and other.endswith("5"):
            expected = {"both", "HistoryRewritten"}  # without its newest commits a history looks rolled back
        elif one.startswith("hosts/") and other == SIGN_IN:
            expected = {"less"}  # nobody vouches for this host any more: all its commits are named instead
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
