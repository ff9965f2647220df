"""A log that grows from snapshot to snapshot: of its lists only what is new is read, and damage is still told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from stores import Store

from casstore.backends.memory import MemoryBackend
from casstore.chunker import Chunker
from casstore.chunkstore import Reader
from casstore.format.pack import object_name
from casstore.ids import ChunkId
from casstore.repository import Repository
from casstore.verify import streams, verify

TURNS = 8


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A log that grew several times, cut so small that hundreds of lists name its chunks."""

    def small(self: Repository) -> Chunker:
        return Chunker(self.keys.chunker_seed, least=64, average=256, most=1024)

    monkeypatch.setattr(Repository, "chunker", small)
    store = Store(tmp_path)
    store.create()
    chance = random.Random(1)
    log = tmp_path / "tree" / "app.log"
    log.parent.mkdir()
    log.write_bytes(chance.randbytes(600_000))
    store.backup(log.parent)
    for _ in range(TURNS):
        with log.open("ab") as file:
            file.write(chance.randbytes(3_000))
        store.backup(log.parent)
    return store


def lists_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """Verify, and count the lists of chunks that were read."""
    read: list[ChunkId] = []
    get = Reader.get

    def noting(self: Reader, chunk: ChunkId) -> bytes:
        read.append(chunk)
        return get(self, chunk)

    with store.open() as repository, monkeypatch.context() as patched:
        patched.setattr(Reader, "get", noting)
        assert list(verify(repository)) == []
    return len(read)


def test_of_each_snapshot_more_only_the_end_of_the_lists_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = lists_read(store, monkeypatch)
    monkeypatch.setattr(streams, "MANY_LISTS", 0)  # the control: only the last one is remembered
    of_all = lists_read(store, monkeypatch)
    assert 100 < remembering < of_all / (TURNS + 1) * 1.3


@pytest.mark.parametrize("turn", [0, 5])
def test_a_damaged_chunk_of_a_log_is_told_for_each_snapshot_that_holds_it(store: Store, turn: int) -> None:
    assert isinstance(store.backend, MemoryBackend)
    with store.open() as repository:
        repository.refresh()
        held = [
            list(repository.chunks.expand(entry.content))
            for snapshot in repository.snapshots()
            for entry in repository.entries(snapshot)
            if entry.path == b"app.log"
        ]
        lost = next(chunk for chunk in reversed(held[turn][:-2]) if turn == 0 or chunk not in held[turn - 1])
        place = repository.cache.places([lost])[lost]
    name = object_name(place.pack)
    data = bytearray(store.backend.objects[name])
    data[place.offset + place.blob.stored // 2] ^= 1
    store.backend.objects[name] = bytes(data)
    with store.open() as repository:
        told = [damage.snapshot.number for damage in verify(repository) if damage.snapshot]
        numbers = [snapshot.number for snapshot in repository.snapshots()]
    assert told == [number for number, ids in zip(numbers, held, strict=True) if set(ids) & set(place.blob.ids)]
    assert len(told) == TURNS + 1 - turn
