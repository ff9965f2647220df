"""Streams that grew, named without their beginnings being read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from casstore.backends.memory import MemoryBackend
from casstore.cache import Cache
from casstore.chunker import Chunker
from casstore.chunkstore import Reader, Writer
from casstore.crypto import Keys
from casstore.entry import Root
from casstore.errors import Damaged
from casstore.ids import ChunkId
from casstore.workers import Workers


class Put:
    """A writer with tiny chunks, so that lists of lists are made of little, and what is kept of what it put."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.data = b""
        self.root = Root(0, 0, ())
        self.last = 0  # bytes in the last chunk

    def whole(self, data: bytes) -> None:
        self.data = data
        lengths = self._lengths(data)
        self.last = lengths[-1]
        self.root = self._writer.put(reading(data))
        self._writer.flush()

    def extend(self, more: bytes) -> None:
        cut = len(self.data) - self.last
        self.data += more
        ends = self._writer.lists.ends_of(self.root)
        ids, length = self._writer.put_chunks(self._writer.cut(reading(self.data[cut:])))
        self.root = self._writer.extended(self.root, ends, ids, cut + length)
        self.last = self._lengths(self.data[cut:])[-1]
        self._writer.flush()

    def _lengths(self, data: bytes) -> list[int]:
        return [len(chunk) for chunk in self._writer.cut(reading(data))]


def reading(data: bytes) -> Callable[[int], bytes]:
    pieces = iter([data])
    return lambda _: next(pieces, b"")


@pytest.fixture
def parts() -> Iterator[tuple[Writer, Reader]]:
    backend, cache, keys = MemoryBackend(), Cache(None), Keys.of(bytes(32), bytes(16))
    workers = Workers(2)
    with closing(cache), closing(workers):
        reader = Reader(backend, cache, keys, workers)
        chunker = Chunker(keys.chunker_seed, least=64, average=256, most=1024)
        cache.begin()
        yield Writer(backend, cache, keys, reader, chunker, workers, dry=False), reader


def test_a_stream_that_grew_has_the_root_of_one_that_was_put_whole(parts: tuple[Writer, Reader]) -> None:
    writer, reader = parts
    chance = random.Random(5)
    heights = set()
    for size in (300, 20_000, 38_000, 120_000, 330_000):
        put = Put(writer)
        put.whole(chance.randbytes(size))
        for _ in range(40):
            put.extend(chance.randbytes(chance.choice((1, 31, 200, 5_000))))
            expected = writer.put(reading(put.data))
            assert put.root == expected
            assert writer.lists.root_of(b"".join(reader.expand(expected)), len(put.data)) == expected
            heights.add(put.root.height)
        assert b"".join(reader.read(put.root)) == put.data
    assert heights == {0, 1, 2}


def test_a_list_that_cannot_be_read_is_told(parts: tuple[Writer, Reader]) -> None:
    writer, _ = parts
    with pytest.raises(Damaged):
        writer.lists.ends_of(Root(1, 99_999, (ChunkId(bytes(32)),)))
