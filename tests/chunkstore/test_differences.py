"""What a changed stream is stored as a difference from, and what reading a chain of differences holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from stores import Store

from casstore.backends.memory import MemoryBackend
from casstore.cache import Place
from casstore.chunkstore import previous as previous_module
from casstore.chunkstore import reading, writing
from casstore.chunkstore.previous import Previous
from casstore.entry import EMPTY, Root
from casstore.format.blob import DATA, MANIFEST
from casstore.format.pack import object_name
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


LITTLE, ALL = range(1_000, 1_100), range(7_000)
ON_A_FOOT, WHOLE = [0, 1, 2, 3, 1, 2, 3, 1, 2], [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("rewritten", "afresh", "kind", "depths"),
    [
        pytest.param(LITTLE, 0, DATA, ON_A_FOOT, id="a little each time: on the foot of the one before"),
        pytest.param(LITTLE, 256, DATA, WHOLE, id="the share that begins afresh"),
        pytest.param(LITTLE, 0, MANIFEST, WHOLE, id="no content: what lists files hangs on no single blob"),
        pytest.param(ALL, 0, DATA, [0] * 9, id="all each time: stored whole"),
    ],
)
def test_where_a_chain_ends_another_begins(
    rewritten: range, afresh: int, kind: int, depths: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_DEPTH", 3)
    monkeypatch.setattr(writing, "AFRESH", afresh)
    with Versions(tmp_path) as versions:
        for _ in depths:
            versions.put(kind)
            versions.rewrite(rewritten)
        assert versions.depths() == depths
        versions.check()


def test_a_chain_whose_foot_is_damaged_is_followed_by_a_whole_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_DEPTH", 3)
    monkeypatch.setattr(writing, "AFRESH", 0)
    with Versions(tmp_path) as versions:
        for _ in range(4):
            versions.put()
            versions.rewrite(LITTLE)
        versions.spoil(0)
        versions.put()
        assert versions.depths() == [0, 1, 2, 3, 0]
        versions.check(first=4)


def test_what_differs_from_the_foot_by_more_than_half_is_stored_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_DEPTH", 3)
    monkeypatch.setattr(writing, "AFRESH", 0)
    with Versions(tmp_path) as versions:
        for n in range(5):
            versions.put()
            versions.rewrite(range(n * 1000, n * 1000 + 1000))  # of 7000 bytes 4000 differ from the foot in the end
        assert versions.depths() == [0, 1, 2, 3, 0]


def test_what_is_stored_again_is_stored_whole(tmp_path: Path) -> None:
    with Versions(tmp_path) as versions:
        versions.put()
        versions.rewrite(LITTLE)
        versions.put()
        versions.distrust(0)
        versions.rewrite(LITTLE)
        versions.put()  # whole, since what it would build on is not relied on
        versions.data[:] = versions.all[0][1]
        versions.put()  # the first once more: its predecessor is well, but others may stand on it
        assert versions.depths() == [0, 1, 0, 0]
        versions.spoil(0)
        versions.check()  # by the new copy of what it stands on


class Versions:
    """A stream of one chunk that is put again and again, in a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)
        self._store.create()
        self._noise = random.Random(1)
        self.data = bytearray(self._noise.randbytes(7_000))
        self.all: list[tuple[Root, bytes]] = []
        self._first: dict[ChunkId, Place] = {}

    def __enter__(self) -> Versions:
        self.repository = self._store.open()
        self.repository.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        self.repository.close()

    def put(self, kind: int = DATA) -> None:
        writer = self.repository.writer()
        root = writer.put(pieces(bytes(self.data)), kind=kind, previous=self.all[-1][0] if self.all else EMPTY)
        writer.flush()
        self.all.append((root, bytes(self.data)))
        for chunk, place in self.repository.cache.places(root.ids).items():
            self._first.setdefault(chunk, place)

    def rewrite(self, where: range) -> None:
        self.data[where.start : where.stop] = self._noise.randbytes(len(where))

    def chunk(self, version: int) -> ChunkId:
        (chunk,) = self.all[version][0].ids
        return chunk

    def depths(self) -> list[int]:
        chunks = [self.chunk(n) for n in range(len(self.all))]
        return [self.repository.cache.places([chunk])[chunk].blob.depth for chunk in chunks]

    def spoil(self, version: int) -> None:
        """Flip a bit of its first copy."""
        place = self._first[self.chunk(version)]
        backend = self.repository.backend
        assert isinstance(backend, MemoryBackend)
        data = bytearray(backend.objects[object_name(place.pack)])
        data[place.offset] ^= 1
        backend.objects[object_name(place.pack)] = bytes(data)

    def distrust(self, version: int) -> None:
        cache = self.repository.cache
        cache.execute("UPDATE chunks SET suspect=1 WHERE id=?", (self.chunk(version),))
        cache.drop_unresolved()

    def check(self, first: int = 0) -> None:
        for version, (_, expected) in enumerate(self.all[first:], first):
            assert self.repository.chunks.prove(self.chunk(version)) == expected


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
