"""What is damaged costs what it held, is told as long as it is so, and nothing new builds on it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from fakes import Recording
from stores import Store, files_of

from casstore.backends.memory import MemoryBackend
from casstore.format.pack import HEADER
from casstore.snapshot import Snapshot
from casstore.verify import Damage, verify


class Kept:
    """A store in memory whose objects can be harmed, and the tree that it saves."""

    def __init__(self, folder: Path) -> None:
        self.memory = MemoryBackend()
        self.store = Store(folder, self.memory)
        self.store.create()
        self.tree = folder / "tree"
        self.tree.mkdir()

    def put(self, name: str, seed: int, length: int = 20_000) -> bytes:
        data = random.Random(seed).randbytes(length)
        (self.tree / name).write_bytes(data)
        return data

    def backup(self, **options: bool) -> tuple[Snapshot, set[str]]:
        """Take a snapshot; gives it and the packs that it brought."""
        before = self.packs()
        return self.store.backup(self.tree, **options), self.packs() - before  # type: ignore[arg-type]

    def packs(self) -> set[str]:
        return {name for name in self.memory.objects if name.startswith("packs/")}

    def forget_cache(self) -> None:
        shutil.rmtree(self.store.home.cache, ignore_errors=True)

    def verify(self) -> list[Damage]:
        with self.store.open() as repository:
            return list(verify(repository))

    def told(self) -> list[str]:
        """What is damaged, as every command would say."""
        with self.store.open() as repository:
            repository.refresh()
            repository.acknowledge()
            return [name for name, _ in repository.damaged]

    def harm(self, name: str, at: int = -1) -> bytes:
        """Flip a bit in the middle, or at an offset; gives what was there."""
        data = self.memory.objects[name]
        at = len(data) // 2 if at < 0 else at
        self.memory.objects[name] = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_packs_that_only_a_damaged_commit_named_are_found_and_named_again(kept: Kept) -> None:
    kept.put("a", 1)
    first, _ = kept.backup()
    kept.put("b", 2)
    second, _ = kept.backup()
    before = files_of(kept.tree)
    commit = f"ledger/{first.number:020}"
    original = kept.harm(commit)
    kept.forget_cache()
    assert kept.store.contents(second) == before
    assert kept.told() == [commit]
    kept.put("c", 3)
    third, packs = kept.backup()
    with kept.store.open() as repository:
        repository.refresh()
        stored = repository.catalogue.open(kept.memory.objects[f"ledger/{third.number:020}"])
        assert len(stored.packs) == 1 + len(packs)  # that of the damaged commit, and its own
        assert repository.catalogue.unnamed() == []
    assert {damage.where for damage in kept.verify()} == {commit}
    kept.memory.objects[commit] = original
    assert kept.told() == []
    assert kept.verify() == []


def test_damage_is_told_at_every_opening_until_it_is_mended(kept: Kept) -> None:
    kept.put("a", 1)
    _, packs = kept.backup()
    [pack] = packs
    kept.forget_cache()
    original = kept.memory.objects.pop(pack)
    for _ in range(3):
        assert kept.told() == [pack]
    kept.memory.objects[pack] = original
    for _ in range(3):
        assert kept.told() == []
    assert kept.verify() == []


def test_a_chunk_whose_base_is_lost_is_stored_anew(kept: Kept) -> None:
    data = bytearray(kept.put("a", 1, 30_000))
    _, packs = kept.backup()
    data[15_000] ^= 1
    (kept.tree / "a").write_bytes(data)
    _, differences = kept.backup()
    assert sum(len(kept.memory.objects[name]) for name in differences) < 4000  # it is one
    for pack in packs:
        del kept.memory.objects[pack]
    kept.forget_cache()
    (kept.tree / "a").rename(kept.tree / "elsewhere")
    snapshot, _ = kept.backup()
    assert kept.store.contents(snapshot) == files_of(kept.tree)


@pytest.mark.parametrize("whole", [True, False], ids=["a pack", "a blob"])
def test_what_verify_found_damaged_is_stored_anew_and_older_snapshots_are_whole_again(kept: Kept, whole: bool) -> None:
    before = kept.put("a", 1)
    first, packs = kept.backup()
    [pack] = packs
    if whole:
        # the manifest lies there too, so the snapshot cannot come back; its content can
        del kept.memory.objects[pack]
    else:
        kept.harm(pack, HEADER + 50)
    assert kept.verify()
    shutil.copy(kept.tree / "a", kept.tree / "b")
    second, _ = kept.backup()
    assert kept.store.contents(second) == files_of(kept.tree)
    kept.forget_cache()
    if whole:
        assert kept.store.contents(second) == files_of(kept.tree)
    else:
        kept.verify()
        assert kept.store.contents(first) == {b"a": before}


def test_control_without_verify_a_damaged_blob_is_named_again(kept: Kept) -> None:
    kept.put("a", 1)
    _, packs = kept.backup()
    [pack] = packs
    kept.harm(pack, HEADER + 50)
    shutil.copy(kept.tree / "a", kept.tree / "b")
    _, more = kept.backup()
    assert sum(len(kept.memory.objects[name]) for name in more) < 4000


def test_a_skipped_snapshot_leaves_no_pack_behind_that_no_commit_names(kept: Kept) -> None:
    kept.put("a", 1)
    kept.store.now += 10**12
    _, packs = kept.backup()
    [pack] = packs
    data_pack = kept.memory.objects.pop(pack)
    kept.forget_cache()
    kept.memory.objects[pack] = data_pack
    kept.backup(skip=True)
    with kept.store.open() as repository:
        repository.refresh()
        named = {name for name, _ in repository.catalogue._cache.packs()}
        stored = [repository.catalogue.open(data) for name, data in kept.memory.objects.items() if "ledger" in name]
        assert named == {name for commit in stored for name, _ in commit.packs}


def test_one_flipped_bit_anywhere_in_a_packs_header_stops_no_command(kept: Kept) -> None:
    kept.put("a", 1)
    kept.backup()
    kept.put("b", 2)
    second, packs = kept.backup()
    [pack] = packs
    for at in range(HEADER):
        original = kept.harm(pack, at)
        assert {damage.where for damage in kept.verify()} >= {pack}, at
        kept.memory.objects[pack] = original
    assert kept.verify() == []
    assert kept.store.contents(second) == files_of(kept.tree)


def test_verify_asks_the_store_and_not_the_cache(tmp_path: Path) -> None:
    recording = Recording(MemoryBackend())
    store = Store(tmp_path, recording)
    store.create()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"a" * 1000)
    store.backup(tmp_path / "tree")
    recording.calls.clear()
    with store.open() as repository:
        assert list(verify(repository)) == []
    read = {name for call, name in recording.calls if call == "read"}
    assert read >= {name for name, _ in recording.list("ledger")} | {name for name, _ in recording.list("packs")}
