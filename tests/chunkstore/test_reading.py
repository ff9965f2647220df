"""Many versions of a file, each a difference from the one before: fetched together, each is opened once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from stores import Store

from casstore.cache import Place
from casstore.chunkstore import Reader, reading
from casstore.errors import Damaged
from casstore.ids import ChunkId, PackId
from casstore.repository import Repository

VERSIONS = 50


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Store, list[bytes]]:
    """A table of some chunks, of which a line changes again and again."""
    store, chance = Store(tmp_path), random.Random(1)
    store.create()
    table = tmp_path / "tree" / "table.json"
    table.parent.mkdir()
    lines = [chance.randbytes(40).hex() for _ in range(4000)]
    found = []
    for _ in range(VERSIONS):
        lines[chance.randrange(len(lines))] = chance.randbytes(40).hex()
        found.append("\n".join(lines).encode())
        table.write_bytes(found[-1])
        store.backup(table.parent)
    return store, found


class Forgetful(dict[ChunkId, object]):
    def update(self, *_: object) -> None:  # type: ignore[override]
        """Keep nothing."""


def ids_of_all(repository: Repository) -> list[ChunkId]:
    repository.refresh()
    found = (
        chunk
        for snapshot in repository.snapshots()
        for entry in repository.entries(snapshot)
        for chunk in repository.chunks.expand(entry.content)
    )
    return list(dict.fromkeys(found))


def opened(repository: Repository, ids: Sequence[ChunkId], monkeypatch: pytest.MonkeyPatch) -> list[tuple[PackId, int]]:
    """Fetch the chunks, prove them, and give which blobs were opened."""
    blobs: list[tuple[PackId, int]] = []
    payloads = Reader._payloads

    def noting(self: Reader, places: Sequence[Place]) -> object:
        blobs.extend((place.pack, place.position) for place in places)
        return payloads(self, places)

    with monkeypatch.context() as patched:
        patched.setattr(Reader, "_payloads", noting)
        for chunk, data in repository.chunks.fetch((chunk, chunk) for chunk in ids):
            assert not isinstance(data, Damaged)
            assert any(repository.keys.chunk_id(kind, data) == chunk for kind in range(4))
    return blobs


def test_each_link_of_a_chain_is_opened_about_once(
    versions: tuple[Store, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = versions
    monkeypatch.setattr(reading, "LOOKED_UP", 4)  # several batches under way at any time
    monkeypatch.setattr(reading, "BATCH_BYTES", 1)
    with store.open() as repository:
        blobs = opened(repository, ids_of_all(repository), monkeypatch)
    assert len(set(blobs)) >= VERSIONS
    assert len(blobs) < len(set(blobs)) * 1.25


def test_control_if_nothing_were_waited_for_chains_would_be_opened_again_and_again(
    versions: tuple[Store, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = versions
    monkeypatch.setattr(reading, "LOOKED_UP", 4)
    monkeypatch.setattr(reading, "BATCH_BYTES", 1)
    with store.open() as repository:
        monkeypatch.setattr(repository.chunks, "_under_way", Forgetful())
        blobs = opened(repository, ids_of_all(repository), monkeypatch)
    assert len(blobs) > len(set(blobs)) * 1.5


def test_a_disk_that_fails_for_a_while_fails_no_later_fetch(
    versions: tuple[Store, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = versions

    def failing(*_: object) -> object:
        raise OSError(5, "Input/output error")

    with store.open() as repository:
        ids = ids_of_all(repository)
        with monkeypatch.context() as patched:
            patched.setattr(Reader, "_payloads", failing)
            with pytest.raises(OSError, match="Input/output"):
                list(repository.chunks.fetch((None, chunk) for chunk in ids))
        assert repository.chunks._under_way == {}
        assert all(not isinstance(data, Damaged) for _, data in repository.chunks.fetch((None, chunk) for chunk in ids))


def test_a_fetch_that_is_left_early_leaves_nothing_under_way(versions: tuple[Store, list[bytes]]) -> None:
    store, _ = versions
    with store.open() as repository:
        ids = ids_of_all(repository)
        for _ in range(2):
            fetching = repository.chunks.fetch((None, chunk) for chunk in ids)
            next(fetching)
            fetching.close()
        assert repository.chunks._under_way == {}
        assert all(not isinstance(data, Damaged) for _, data in repository.chunks.fetch((None, chunk) for chunk in ids))
