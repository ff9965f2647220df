"""A store with a tree, and restores of it with the clock of the tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stores import Store

from casstore.backends.base import Backend
from casstore.progress import Event, silent
from casstore.repository import Repository
from casstore.restore import Plan, Restored, plan, restore, undo_finished
from casstore.snapshot import Snapshot


class Folder(Store):
    """One application's folder with its snapshots."""

    def __init__(self, folder: Path, backend: Backend | None = None) -> None:
        super().__init__(folder, backend)
        self.tree = folder / "app"
        self.events: list[Event] = []
        self.create()

    @contextmanager
    def opened(self) -> Iterator[Repository]:
        self.now += 60 * 10**9
        with self.open() as repository:
            repository.refresh()
            yield repository

    def snapshot(self) -> Snapshot:
        return self.backup(self.tree)

    def restore(self, snapshot: Snapshot, target: Path | None = None, **options: Any) -> Restored:
        options.setdefault("in_place", target is None)
        options.setdefault("progress", self.events.append)
        with self.opened() as repository:
            return restore(
                repository, snapshot, target or self.tree, now_ns=self.now, zone_minutes=0, hostname="h", **options
            )

    def undo(self, **options: Any) -> Restored:
        with self.opened() as repository:
            return undo_finished(
                repository, self.tree, now_ns=self.now, zone_minutes=0, hostname="h", progress=silent, **options
            )

    def plan(self, snapshot: Snapshot, target: Path | None = None, **options: Any) -> Plan:
        with self.opened() as repository:
            return plan(repository, snapshot, target or self.tree, **options)

    def copy(self, name: str) -> Path:
        """Keep the tree as it is now, to compare with."""
        out = self.folder / name
        subprocess.run(["cp", "-a", str(self.tree), str(out)], check=True)
        return out

    def leftovers(self, tree: Path | None = None) -> list[str]:
        return [path.name for path in (tree or self.tree).iterdir() if path.name.startswith(".cas-restore-")]


def fill(tree: Path) -> None:
    """The tree that is backed up."""
    tree.mkdir(exist_ok=True)
    for name in ("a.json", "b.json", "same.json"):
        (tree / name).write_bytes(name.encode() * 50)
    (tree / "data").mkdir()
    (tree / "data/log").write_bytes(b"line\n" * 40_000)
    (tree / "data/deep").mkdir()
    (tree / "data/deep/one").write_bytes(b"1")
    (tree / "data/deep/two").write_bytes(b"2")
    (tree / "was a folder").mkdir()
    (tree / "was a folder/inside").write_bytes(b"inside")
    (tree / "was a file").write_bytes(b"file")
    (tree / "link").symlink_to("a.json")
    (tree / "first").write_bytes(b"linked")
    (tree / "second").hardlink_to(tree / "first")
    (tree / "mode").write_bytes(b"mode")


def spoil(tree: Path) -> None:
    """What happens to it afterwards: of each kind of change one."""
    (tree / "a.json").write_bytes(b"spoilt")
    (tree / "b.json").unlink()
    shutil.rmtree(tree / "data/deep")
    (tree / "data/log").write_bytes(b"line\n" * 40_000 + b"more\n")
    shutil.rmtree(tree / "was a folder")
    (tree / "was a folder").write_bytes(b"a file now")
    (tree / "was a file").unlink()
    (tree / "was a file").mkdir()
    (tree / "link").unlink()
    (tree / "link").symlink_to("b.json")
    (tree / "second").unlink()
    (tree / "second").write_bytes(b"by itself")
    (tree / "mode").chmod(0o600)
    (tree / "new").write_bytes(b"new")
    (tree / "new folder").mkdir()
    (tree / "new folder/below").write_bytes(b"below")
    (tree / "new folder/deeper").mkdir()
