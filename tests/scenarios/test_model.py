"""Any sequence of changes, backups of two hosts, lost and old caches, and restores, held against plain dicts."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stores import Store, files_of

from casstore.keyring import Passphrase
from casstore.ledger import Ledger
from casstore.opening import open as open_repository
from casstore.repository import Repository
from casstore.restore import restore, undo_finished
from casstore.snapshot import Snapshot
from casstore.verify import verify

NAMES = st.sampled_from(["a.json", "b.log", "folder/c", "folder/deep/d", "e"])
MINUTE = 60 * 10**9
Tree = dict[bytes, bytes]


class Second(Store):
    """Another host with the same repository, opened by its passphrase."""

    def open(self) -> Repository:
        return open_repository(self.backend, self.home, hostname="two", now_ns=self.now, secret=Passphrase("x"))


class Machine(RuleBasedStateMachine):
    """The tree on disk, and what each snapshot should hold."""

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="casstore-model-"))
        self.store = Store(self.folder / "one")
        self.store.create()
        self.second = Second(self.folder / "two", self.store.backend)
        self.tree = self.folder / "tree"
        self.tree.mkdir()
        self.expected: list[tuple[Snapshot, Tree]] = []
        self.before: Tree | None = None  # the tree before the last restore in place, while it can be undone
        self.now = self.store.now

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _tick(self) -> int:
        self.now += 10 * MINUTE
        self.store.now = self.second.now = self.now
        return self.now

    # ── the application ──

    @rule(name=NAMES, seed=st.integers(0, 5), length=st.sampled_from([0, 1, 300, 9_000, 70_000, 300_000]))
    def write(self, name: str, seed: int, length: int) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(seed).randbytes(length))
        self.before = None

    @rule(name=NAMES, at=st.floats(0, 1), data=st.binary(min_size=1, max_size=50))
    def edit(self, name: str, at: float, data: bytes) -> None:
        path = self.tree / name
        if path.exists():
            content = bytearray(path.read_bytes())
            start = int(at * len(content))
            content[start : start + len(data) // 2] = data
            path.write_bytes(content)
            self.before = None

    @rule(name=NAMES, data=st.binary(min_size=1, max_size=2_000))
    def append(self, name: str, data: bytes) -> None:
        path = self.tree / name
        if path.exists():
            with path.open("ab") as file:
                file.write(data)
            self.before = None

    @rule(name=NAMES, other=NAMES)
    def rename(self, name: str, other: str) -> None:
        path = self.tree / name
        if path.exists():
            (self.tree / other).parent.mkdir(parents=True, exist_ok=True)
            path.replace(self.tree / other)
            self.before = None

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.tree / name).unlink(missing_ok=True)
        self.before = None

    # ── the hosts ──

    @rule(second=st.booleans())
    def backup(self, second: bool) -> None:
        store = self.second if second else self.store
        self._tick()
        self.expected.append((store.backup(self.tree), files_of(self.tree)))
        self.now = max(self.now, store.now)

    @rule(second=st.booleans())
    def lose_the_cache(self, second: bool) -> None:
        shutil.rmtree((self.second if second else self.store).home.cache, ignore_errors=True)

    @rule(second=st.booleans())
    def lose_the_anchor(self, second: bool) -> None:
        shutil.rmtree((self.second if second else self.store).home.state, ignore_errors=True)
        if not second:
            self.before = None  # the record of a finished restore lies there too

    @rule()
    def keep_a_copy_of_the_cache(self) -> None:
        shutil.rmtree(self.folder / "old", ignore_errors=True)
        if self.store.home.cache.exists():
            shutil.copytree(self.store.home.cache, self.folder / "old")

    @precondition(lambda self: hasattr(self, "folder") and (self.folder / "old").exists())
    @rule()
    def bring_back_the_old_cache(self) -> None:
        shutil.rmtree(self.store.home.cache, ignore_errors=True)
        shutil.copytree(self.folder / "old", self.store.home.cache)

    # ── going back ──

    @precondition(lambda self: self.expected)
    @rule(which=st.integers(0, 20))
    def restore_in_place(self, which: int) -> None:
        snapshot, wanted = self.expected[which % len(self.expected)]
        live = files_of(self.tree)
        with self.store.open() as repository:
            repository.refresh()
            restore(
                repository, snapshot, self.tree, in_place=True, delete=True, now_ns=self._tick(), zone_minutes=0,
                hostname="h",
            )  # fmt: skip
        assert files_of(self.tree) == wanted
        self.before = live if live != wanted else None

    @precondition(lambda self: self.before is not None)
    @rule()
    def undo_it(self) -> None:
        with self.store.open() as repository:
            repository.refresh()
            undo_finished(repository, self.tree, now_ns=self._tick(), zone_minutes=0, hostname="h")
        assert files_of(self.tree) == self.before
        self.before = None

    @precondition(lambda self: self.expected)
    @rule(which=st.integers(0, 20), second=st.booleans())
    def read_a_snapshot(self, which: int, second: bool) -> None:
        snapshot, wanted = self.expected[which % len(self.expected)]
        assert (self.second if second else self.store).contents(snapshot) == wanted

    @rule()
    def verify_all(self) -> None:
        with self.store.open() as repository:
            assert list(verify(repository)) == []

    @invariant()
    def every_acknowledged_snapshot_is_listed(self) -> None:
        if getattr(self, "expected", None):
            with self.store.open() as repository:
                repository.refresh()
                listed = {snapshot.id for snapshot in repository.snapshots()}
            assert {snapshot.id for snapshot, _ in self.expected} <= listed


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestModel = Machine.TestCase


def test_control_a_cache_that_is_believed_though_it_is_old_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.make()
    try:
        machine.write("a.json", 1, 300)
        machine.backup(second=False)
        machine.keep_a_copy_of_the_cache()
        machine.write("a.json", 2, 300)
        machine.backup(second=False)
        machine.bring_back_the_old_cache()
        machine.every_acknowledged_snapshot_is_listed()
        machine.bring_back_the_old_cache()
        monkeypatch.setattr(Ledger, "advance", lambda _: iter(()))
        with pytest.raises(AssertionError):
            machine.every_acknowledged_snapshot_is_listed()
    finally:
        machine.teardown()
