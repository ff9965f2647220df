"""A crash at every write to the backend: what was acknowledged is there, and the next backup goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stores import Store, files_of

from casstore.backends.memory import MemoryBackend
from casstore.backup import backup
from casstore.keyring import Passphrase
from casstore.opening import open as open_repository
from casstore.repository import Home
from casstore.selection import Selection
from casstore.source import Source
from casstore.verify import verify


class Crash(BaseException):
    """The process ends here."""


class Crashing(MemoryBackend):
    """Ends at the n-th write, before or after it happened."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.after, self.writes = 10**9, False, 0

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.left -= 1
        self.writes += 1
        if self.left < 0 and not self.after:
            raise Crash
        super().write(name, data)
        if self.left < 0:
            raise Crash


def prepare(tmp_path: Path) -> tuple[Store, Crashing, Path]:
    backend = Crashing()
    store = Store(tmp_path, backend)
    store.create()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "log").write_text("one\n" * 5000)
    store.backup(tree)
    return store, backend, tree


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_write_loses_nothing_acknowledged(tmp_path: Path, after: bool) -> None:
    store, backend, tree = prepare(tmp_path)
    states = [files_of(tree)]
    crashes = 0
    for n in range(3):
        (tree / "log").write_text("two\n" * (6000 + n))
        backend.left, backend.after = n, after
        try:
            store.backup(tree)
        except Crash:
            crashes += 1
            backend.left = 10**9
            with store.open() as repository:
                assert list(verify(repository)) == []
                known = len(repository.snapshots())
            # after the commit was written, the snapshot may be there although nobody was told
            assert known in (len(states), len(states) + 1)
            store.backup(tree)
            if known > len(states):
                states.append(files_of(tree))
        backend.left = 10**9
        states.append(files_of(tree))
        with store.open() as repository:
            repository.refresh()
            snapshots = repository.snapshots()
        assert [store.contents(snapshot) for snapshot in snapshots] == states
    assert crashes == 2  # a pack and a commit: the control that the sweep meets every write


@pytest.mark.parametrize("after", [False, True])
def test_a_host_that_was_cut_off_while_it_was_signed_in_goes_on_the_next_time(tmp_path: Path, after: bool) -> None:
    store, backend, tree = prepare(tmp_path)
    (tree / "log").write_text("one\n" * 5000 + "two\n")
    home = Home(*(tmp_path / "other" / name for name in ("config", "state", "cache")))

    def save_from_another_host(secret: Passphrase | None) -> None:
        with open_repository(backend, home, hostname="other", now_ns=store.now, secret=secret) as repository:
            source = Source(os.fsencode(tree), Selection(), never=repository.never)
            backup(repository, source, now_ns=store.now, zone_minutes=0, hostname="other")

    backend.left, backend.after = 1, after  # a pack, then the commit that signs it in
    with pytest.raises(Crash):
        save_from_another_host(Passphrase("x"))
    backend.left = 10**9
    save_from_another_host(None)
    save_from_another_host(Passphrase("x"))
    with store.open() as repository:
        assert list(verify(repository)) == []
        assert [snapshot.hostname for snapshot in repository.snapshots()] == ["h", "other", "other"]


def test_control_a_commit_before_its_packs_would_be_found(tmp_path: Path) -> None:
    store, backend, tree = prepare(tmp_path)
    (tree / "log").write_text("three\n" * 7000)
    store.backup(tree)
    newest = [name for name in backend.objects if name.startswith("packs/")][-1]
    del backend.objects[newest]  # as if the commit had been written first and the crash came between
    with store.open() as repository:
        assert list(verify(repository))
