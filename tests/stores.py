"""Makes repositories for tests, cheaply, and reads snapshots back into plain dicts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from casstore.backends.base import Backend
from casstore.backends.memory import MemoryBackend
from casstore.backup import backup
from casstore.crypto import Argon2
from casstore.entry import Kind
from casstore.keyring import Passphrase
from casstore.opening import create
from casstore.opening import open as open_repository
from casstore.progress import Progress, silent
from casstore.repository import Home, Repository
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import Source

CHEAP = Argon2(64, 1, 1)
NOW = 1_800_000_000 * 10**9
DAY = 86_400 * 10**9


class Store:
    """A repository in memory (or wherever) with a home below `folder`."""

    def __init__(self, folder: Path, backend: Backend | None = None) -> None:
        self.folder = folder
        self.backend: Backend = backend or MemoryBackend()
        self.home = Home(folder / "config", folder / "state", folder / "cache")
        self.now = NOW

    def create(self) -> None:
        create(
            self.backend, self.home, secrets=[Passphrase("x", typed=True)], hostname="h", now_ns=NOW, kdf=CHEAP
        ).close()

    def open(self) -> Repository:
        return open_repository(self.backend, self.home, hostname="h", now_ns=self.now)

    def backup(
        self,
        tree: Path,
        selection: Selection | None = None,
        *,
        progress: Progress = silent,
        skip: bool = False,
        **options: Any,
    ) -> Snapshot:
        self.now += 60 * 10**9
        with self.open() as repository:
            source = Source(os.fsencode(tree), selection or Selection(), never=repository.never)
            return backup(
                repository, source, now_ns=self.now, zone_minutes=0, hostname="h", progress=progress,
                skip_if_unchanged=skip, **options,
            )  # fmt: skip

    def contents(self, snapshot: Snapshot) -> dict[bytes, bytes]:
        """Give each file's bytes by path, read from the repository."""
        with self.open() as repository:
            repository.refresh()
            return {
                entry.path: b"".join(repository.read(entry.content))
                for entry in repository.entries(snapshot)
                if entry.kind is Kind.FILE
            }


def files_of(tree: Path) -> dict[bytes, bytes]:
    """Give each file's bytes by path, read from the tree."""
    return {
        os.fsencode(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
