"""A folder with a log that grows, and the backups of it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from stores import DAY, Store, files_of

from casstore.chunker import MOST
from casstore.entry import Entry
from casstore.progress import Event, Problem, Warned
from casstore.selection import Selection
from casstore.snapshot import Snapshot, unproven

LOGS = Selection(append_only=(b"*.log",))
MIB = 1 << 20
HOUR = DAY // 24
FEW = 2 * MOST + 64 * 1024  # bytes: two chunks, and what was appended


class Tree:
    """A folder with one log of 6 MiB, and the backups of it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.log = folder / "app.log"
        self.warned: list[bytes] = []
        self.problems: list[Problem] = []
        self._lines = random.Random(7)
        folder.mkdir()
        self.append(6 * MIB)

    def append(self, size: int, name: str = "app.log") -> None:
        with (self.folder / name).open("ab") as log:
            while size > 0:
                line = b"%x\n" % self._lines.getrandbits(480)
                log.write(line)
                size -= len(line)

    def backup(self, **options: Any) -> Snapshot:
        self.warned.clear()
        snapshot = self.store.backup(self.folder, options.pop("selection", LOGS), progress=self._take, **options)
        assert not self.problems
        return snapshot

    def _take(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warned.append(event.path)
        elif isinstance(event, Problem):
            self.problems.append(event)

    def is_saved_by(self, snapshot: Snapshot) -> bool:
        return self.store.contents(snapshot) == files_of(self.folder)

    def entry(self, snapshot: Snapshot, path: bytes = b"app.log") -> Entry:
        with self.store.open() as repository:
            repository.refresh()
            return next(entry for entry in repository.entries(snapshot) if entry.path == path)

    def overwrite(self, offset: int, data: bytes = b"#") -> None:
        with self.log.open("r+b") as log:
            log.seek(offset)
            log.write(data)

    def marked(self) -> frozenset[int]:
        with self.store.open() as repository:
            repository.refresh()
            return unproven(repository.snapshots())


def forget_cache(tree: Tree) -> None:
    shutil.rmtree(tree.store.folder / "cache")
