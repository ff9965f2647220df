"""What a changed stream is stored as a difference from, and what reading a chain of differences holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from stores import Store

from casstore.chunkstore import previous as previous_module
from casstore.chunkstore import reading, writing
from casstore.chunkstore.previous import Previous
from casstore.entry import EMPTY, Root
from casstore.ids import ChunkId
from casstore.repository import Repository


def ids(*numbers: int) -> list[ChunkId]:
    return [ChunkId(bytes([n]) * 32) for n in numbers]


def predecessors(previous: list[ChunkId], stream: list[ChunkId], length: int = 10) -> list[int]:
    """Give the predecessor of each chunk of `stream` that `previous` lacks; all chunks are as long."""
    older, found = Previous((chunk, length) for chunk in previous), []
    for at, chunk in enumerate(stream):
        if chunk in previous:
            older.matched(chunk, at * length)
        else:
            base = older.stood_at(at * length, length)
            assert base is not None
            found.append(base[0])
    return found


@pytest.mark.parametrize(
    ("stream", "bases"),
    [
        pytest.param([1, 90, 3, 4], [2], id="one replaced"),
        pytest.param([90, 2, 3, 4], [1], id="the first replaced"),
        pytest.param([1, 2, 3, 4, 90, 91], [4, 4], id="grown behind the last"),
        pytest.param([1, 2, 3, 90], [4], id="the last replaced"),
        pytest.param([1, 90, 91, 2, 3, 92], [2, 3, 4], id="inserted"),
        pytest.param([3, 90, 1, 91], [4, 2], id="moved"),
        pytest.param([90, 91, 92, 93, 94], [1, 2, 3, 4, 4], id="all new and longer"),
    ],
)
def test_a_new_chunk_builds_on_what_stood_in_its_place(stream: list[int], bases: list[int]) -> None:
    assert predecessors(ids(1, 2, 3, 4), ids(*stream)) == bases


def test_a_cut_that_comes_or_goes_moves_no_base_behind_it() -> None:
    previous = [(chunk, 10) for chunk in ids(*range(1, 9))]
    older, at, found = Previous(iter(previous)), 0, []
    for length in (10, 19, 11, 6, 5, 10, 9, 10):  # all new: one cut went, another came
        base = older.stood_at(at, length)
        assert base is not None
        found.append(base[0])
        at += length
    assert found == [1, 2, 4, 5, 5, 6, 7, 8]


def test_an_id_that_recurs_may_leave_the_window_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previous_module, "AHEAD", 3)
    monkeypatch.setattr(previous_module, "BEHIND", 1)
    previous = ids(1, 1, 2, 1, 1, 3, 4, 5, 6, 7)
    assert predecessors(previous, [*ids(*range(90, 99)), *ids(7, 99)]) == [1, 1, 2, 1, 1, 3, 4, 5, 6, 7]


def test_of_a_long_list_only_a_window_is_held() -> None:
    older = Previous((ChunkId(n.to_bytes(32, "big")), 10) for n in range(100_000))
    for n in range(0, 100_000, 7):
        older.matched(ChunkId(n.to_bytes(32, "big")), n * 10)
        assert len(older._at) <= previous_module.AHEAD + previous_module.BEHIND + 8
    assert older.stood_at(999_960, 10) == ChunkId((99_995 + 1).to_bytes(32, "big"))


# ── chains that come to their end ──


@pytest.mark.parametrize(
    ("rewritten", "depths"),
    [
        pytest.param(
            range(1_000, 1_100), [0, 1, 2, 3, 1, 2, 3, 1, 2], id="a little each time: on what the chain stands on"
        ),
        pytest.param(range(7_000), [0, 0, 0, 0, 0, 0, 0, 0, 0], id="all each time: stored whole"),
    ],
)
def test_where_a_chain_ends_another_begins_beside_it(
    rewritten: range, depths: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_DEPTH", 3)
    store, noise = Store(tmp_path), random.Random(1)
    store.create()
    data = bytearray(noise.randbytes(7_000))
    found, versions = [], []
    with store.open() as repository:
        repository.refresh()
        root = EMPTY
        for _ in depths:
            root = put(repository, bytes(data), root)
            (chunk,) = repository.chunks.expand(root)
            found.append(repository.cache.places([chunk])[chunk].blob.depth)
            versions.append((root, bytes(data)))
            data[rewritten.start : rewritten.stop] = noise.randbytes(len(rewritten))
        assert found == depths
        for root, expected in versions:
            (chunk,) = repository.chunks.expand(root)
            assert repository.chunks.prove(chunk) == expected


# ── reading chains ──

VERSIONS = 20


def put(repository: Repository, data: bytes, previous: Root) -> Root:
    """Store one version durably."""
    writer = repository.writer()
    root = writer.put(pieces(data), previous=previous)
    writer.flush()
    return root


def pieces(data: bytes) -> Callable[[int], bytes]:
    rest = [data]

    def read(max_bytes: int) -> bytes:
        piece, rest[0] = rest[0][:max_bytes], rest[0][max_bytes:]
        return piece

    return read


def test_a_batch_of_deep_chains_holds_what_was_asked_and_no_base_that_is_done_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.create()
    data = bytearray(random.Random(1).randbytes(400_000))
    with store.open() as repository:
        repository.refresh()
        root = EMPTY
        for n in range(VERSIONS):
            for at in range(n, len(data), 20_000):
                data[at] ^= 1
            root = put(repository, bytes(data), root)
        chunks = list(repository.chunks.expand(root))
        places = repository.cache.places(chunks)
        assert sum(places[chunk].blob.depth for chunk in chunks) >= 4 * len(chunks)  # a change may move a cut
        most = 0
        check_into = reading.Reader._check_into

        def watching(reader: reading.Reader, found: reading.Loaded, *rest: object) -> None:
            nonlocal most
            check_into(reader, found, *rest)  # type: ignore[arg-type]
            most = max(most, sum(len(data) for data in found.values() if isinstance(data, bytes)))

        monkeypatch.setattr(reading.Reader, "_check_into", watching)
        loaded = repository.chunks._load(chunks, places, {})
        assert b"".join(loaded[chunk] for chunk in chunks) == data  # type: ignore[misc]
        assert most < 3 * len(data)
