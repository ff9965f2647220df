"""Many snapshots that share most of their manifests: what they share is decoded once, and told for each of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from stores import Store

from casstore.backends.memory import MemoryBackend
from casstore.chunkstore import Reader
from casstore.entry import Entry
from casstore.format.manifest import Head, Span, Stand, decode_piece
from casstore.format.pack import object_name
from casstore.ids import ChunkId
from casstore.verify import Damage, snapshots, verify

FOLDERS, FILES = 40, 50
TURNS = 12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A tree of many small files, saved once; `change` saves it again."""
    store = Store(tmp_path)
    store.create()
    for folder in range(FOLDERS):
        path = tmp_path / "tree" / f"{folder:02}"
        path.mkdir(parents=True)
        for number in range(FILES):
            (path / f"{number:02}").write_bytes(random.Random(folder * FILES + number).randbytes(40))
    store.backup(tmp_path / "tree")
    return store


def change(store: Store, turn: int) -> None:
    chance = random.Random(turn)
    path = store.folder / "tree" / f"{chance.randrange(1, FOLDERS):02}" / f"{chance.randrange(FILES):02}"
    path.write_bytes(chance.randbytes(40))
    store.backup(store.folder / "tree")


class Counted:
    """Decodes, and counts what was decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries = 0
        monkeypatch.setattr(snapshots, "decode_piece", self)

    def __call__(self, stand: Stand, piece: bytes) -> tuple[Head | None, list[Entry], Span]:
        found = decode_piece(stand, piece)
        self.entries += len(found[1])
        return found


def damages(store: Store) -> list[Damage]:
    with store.open() as repository:
        return list(verify(repository))


def test_of_each_snapshot_more_only_what_changed_is_decoded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for turn in range(TURNS):
        change(store, turn)
    counted = Counted(monkeypatch)
    assert damages(store) == []
    all_entries = FOLDERS * (FILES + 1)
    assert all_entries <= counted.entries < all_entries + TURNS * 150  # of pieces of 32 entries at a mean


def test_control_with_no_memory_all_entries_of_all_snapshots_are_decoded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turn in range(3):
        change(store, turn)
    monkeypatch.setattr(snapshots, "CHUNKS_BYTES", 0)
    monkeypatch.setattr(snapshots, "PIECES_BYTES", 0)
    counted = Counted(monkeypatch)
    assert damages(store) == []
    assert counted.entries == 4 * FOLDERS * (FILES + 1)


def test_equal_chunks_of_manifests_are_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    change(store, 0)
    change(store, 1)
    asked: list[ChunkId] = []
    with store.open() as repository:
        repository.refresh()
        manifests = [list(repository.chunks.expand(one.manifest)) for one in repository.snapshots()]
        fetch = Reader.fetch

        def noting(self: Reader, wanted: object) -> object:
            listed = list(wanted)  # type: ignore[call-overload]
            asked.extend(chunk for _, chunk in listed)
            return fetch(self, listed)

        monkeypatch.setattr(Reader, "fetch", noting)
        assert list(verify(repository)) == []
    of_manifests = {chunk for ids in manifests for chunk in ids}
    assert len(of_manifests) < sum(map(len, manifests))
    in_the_walk = [chunk for chunk in asked if chunk in of_manifests][-len(of_manifests) :]
    assert sorted(in_the_walk) == sorted(of_manifests)


def spoil(store: Store, path: bytes) -> None:
    """Flip a bit of the blob that holds a file of the first snapshot."""
    assert isinstance(store.backend, MemoryBackend)
    with store.open() as repository:
        repository.refresh()
        [entry] = [one for one in repository.entries(repository.snapshots()[0]) if one.path == path]
        [place] = repository.cache.places(entry.content.ids).values()
    name = object_name(place.pack)
    data = bytearray(store.backend.objects[name])
    data[place.offset] ^= 1
    store.backend.objects[name] = bytes(data)


def test_damage_in_what_snapshots_share_is_told_for_each_that_needs_it(store: Store) -> None:
    (store.folder / "tree" / "00" / "07").write_bytes(b"another for a while")
    store.backup(store.folder / "tree")
    (store.folder / "tree" / "00" / "07").write_bytes(random.Random(7).randbytes(40))
    for turn in range(4):
        change(store, turn)
    spoil(store, b"00/07")
    found, readable = damages(store), whole(store)
    with store.open() as repository:
        repository.refresh()
        kept = {
            (snapshot.number, entry.path)
            for snapshot in repository.snapshots()
            for entry in repository.entries(snapshot)
            if entry.content.ids and not set(entry.content.ids) <= readable
        }
        needing = [snapshot.number for snapshot in repository.snapshots()]
    told = {(damage.snapshot.number, damage.path) for damage in found if damage.snapshot}
    assert told == kept
    assert [number for number in needing if (number, b"00/07") in told] == [needing[0], *needing[2:]]


def whole(store: Store) -> set[bytes]:
    """The chunks that can be read."""
    found: set[bytes] = set()
    with store.open() as repository:
        repository.refresh()
        ids = {
            chunk
            for snapshot in repository.snapshots()
            for entry in repository.entries(snapshot)
            for chunk in entry.content.ids
        }
        for chunk, data in repository.chunks.fetch((one, one) for one in ids):
            if isinstance(data, bytes):
                found.add(chunk)
    return found
