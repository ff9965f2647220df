"""What is kept of lately changed chunks saves reading, and is missed by nobody."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from fakes import Recording
from stores import Store, files_of

from casstore.backends.memory import MemoryBackend
from casstore.config import Tuning
from casstore.ids import ChunkId
from casstore.recent import Recent
from casstore.verify import verify

KEY = bytes(32)
ONE, TWO = ChunkId(b"1" * 32), ChunkId(b"2" * 32)


def test_what_was_put_comes_back_and_takes_the_place_of_what_it_came_from(tmp_path: Path) -> None:
    recent = Recent(tmp_path / "recent", KEY)
    recent.put(ONE, b"one")
    assert recent.get(ONE) == b"one"
    recent.put(TWO, b"two", instead_of=ONE)
    assert (recent.get(ONE), recent.get(TWO)) == (None, b"two")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "recent").iterdir()] == [0o600]


def test_nothing_of_it_can_be_read_or_altered_without_the_key(tmp_path: Path) -> None:
    recent = Recent(tmp_path, KEY)
    recent.put(ONE, b"secret" * 100)
    [path] = tmp_path.iterdir()
    assert b"secret" not in path.read_bytes()
    path.rename(tmp_path / TWO.hex())
    assert recent.get(TWO) is None
    assert Recent(tmp_path, bytes(31) + b"x").get(TWO) is None


def test_it_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    recent = Recent(tmp_path, KEY, max_bytes=5000)
    for n in range(10):
        chunk = ChunkId(bytes([n]) * 32)
        recent.put(chunk, bytes(1000))
        os.utime(tmp_path / chunk.hex(), (n, n))
    recent.trim()
    assert [n for n in range(10) if recent.get(ChunkId(bytes([n]) * 32))] == [6, 7, 8, 9]


def test_where_it_cannot_be_kept_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    recent = Recent(tmp_path / "file" / "recent", KEY)
    recent.put(ONE, b"one", instead_of=TWO)
    recent.trim()
    assert recent.get(ONE) is None


class Growing:
    """A table of which a record changes before each snapshot."""

    def __init__(self, folder: Path) -> None:
        self.backend = Recording(MemoryBackend())
        self.store = Store(folder, self.backend)
        self.store.create()
        self.tree = folder / "tree"
        self.tree.mkdir()
        self._table = bytearray(random.Random(1).randbytes(20_000))
        self._random = random.Random(2)

    def snapshot(self, tuning: Tuning = Tuning()) -> int:  # noqa: B008 - a value
        """Take one; gives how many packs were read for it."""
        for _ in range(10):
            self._table[self._random.randrange(len(self._table))] ^= 1
        (self.tree / "table").write_bytes(self._table)
        self.backend.calls.clear()
        snapshot = self.store.backup(self.tree, tuning=tuning)
        assert self.store.contents(snapshot) == files_of(self.tree)
        calls = self.backend.calls
        written = max(n for n, (call, name) in enumerate(calls) if (call, name[:6]) == ("write", "packs/"))
        return sum(call == "read" and name.startswith("packs/") for call, name in calls[:written])


def test_a_snapshot_of_a_long_chain_reads_no_pack_but_to_prove_the_chain_now_and_then(tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    reads = [growing.snapshot() for _ in range(16)][3:]
    assert min(reads) == 0 < max(reads)  # of three chains at most, each is proven at every eighth version


def test_it_takes_no_more_room_than_the_tuning_says(tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    none = Tuning(recent_chunks_bytes=0)
    assert min([growing.snapshot(none) for _ in range(8)][3:]) > 0
    assert min([growing.snapshot() for _ in range(8)]) == 0  # the control: with room for it nothing is read


@pytest.mark.parametrize("harm", ["deleted", "spoilt"])
def test_a_lost_one_costs_reading_and_no_error(tmp_path: Path, harm: str) -> None:
    growing = Growing(tmp_path)
    for _ in range(4):
        growing.snapshot()
    for path in growing.store.home.cache.rglob("recent/*"):
        if harm == "deleted":
            path.unlink()
        else:
            path.write_bytes(b"spoilt")
    assert growing.snapshot() > 0  # the control: it was what saved the reading
    with growing.store.open() as repository:
        assert list(verify(repository)) == []
