"""Loss of power at any moment of a backup: every acknowledged snapshot restores, and the next backup goes on.

Whatever the home of the host holds then: as of the last acknowledged snapshot, older, its anchor newer than its cache,
or without a cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fakes import Found, FragileFiles, lay_out
from stores import Store, files_of

from casstore.backends.local import LocalBackend
from casstore.errors import CasError
from casstore.repository import Home
from casstore.verify import verify

BACKUPS = 3


class History:
    """A few backups onto a fragile disk: what was in the tree, what the home held, and when each was promised."""

    def __init__(self, folder: Path, *, deaf: Iterable[str] = ()) -> None:
        self.folder, self.tree = folder, folder / "tree"
        self.tree.mkdir()
        place = folder / "repository"
        Store(folder, LocalBackend(place)).create()
        self.files = FragileFiles(place, deaf=deaf)
        self.store = Store(folder, LocalBackend(place, files=self.files))
        self.states: list[dict[bytes, bytes]] = []
        self.promised: list[int] = []  # the moment at which each backup returned
        self._keep_home()
        for n in range(BACKUPS):
            (self.tree / "log").write_text("".join(f"{line * 7919} event\n" for line in range(2000 + 200 * n)))
            (self.tree / "table.json").write_text(str({"version": n}))
            self.store.backup(self.tree)
            self.states.append(files_of(self.tree))
            self.promised.append(self.files.moments)
            self._keep_home()

    def _keep_home(self) -> None:
        for part in ("config", "state", "cache"):
            shutil.copytree(self.folder / part, self.folder / "homes" / str(len(self.states)) / part)

    def found(self) -> list[tuple[int, Found]]:
        """Give what may be found, each once, with the number of snapshots that were acknowledged by then."""
        known: dict[tuple[int, frozenset[tuple[str, bytes | None]]], Found] = {}
        for moment in range(self.files.moments + 1):
            acknowledged = sum(when <= moment for when in self.promised)
            for state in self.files.after_crash(moment, samples=2):
                key = frozenset((path, data) for path, data in state.items() if not path.startswith("tmp/"))
                known[acknowledged, key] = state
        return [(acknowledged, state) for (acknowledged, _), state in known.items()]

    def homes(self, acknowledged: int) -> dict[str, tuple[int, int | None]]:
        """Give by name which state folder and which cache the host may be left with."""
        before = max(0, acknowledged - 1)
        return {
            "as told": (acknowledged, acknowledged),
            "older": (before, before),
            "cache older": (acknowledged, before),
            "no cache": (acknowledged, None),
        }

    def reopened(self, found: Found, home: tuple[int, int | None], name: str) -> Store:
        """Lay out the repository and the home somewhere else."""
        folder = self.folder / "reopened" / name
        folder.mkdir(parents=True)
        store = Store(folder, LocalBackend(lay_out(found, folder / "repository")))
        store.home = Home(folder / "config", folder / "state", folder / "cache")
        store.now = self.store.now
        state, cache = home
        for part, number in (("config", state), ("state", state), ("cache", cache)):
            if number is not None:
                shutil.copytree(self.folder / "homes" / str(number) / part, folder / part)
        return store


def lost(history: History, store: Store, acknowledged: int) -> str:
    """Say what is wrong with a reopened repository; nothing if all is well."""
    try:
        with store.open() as repository:
            damage = list(verify(repository))
            snapshots = repository.snapshots()
        contents = [store.contents(snapshot) for snapshot in snapshots]
    except CasError as error:
        return str(error)
    if damage:
        return f"damage: {damage[0]}"
    if len(snapshots) < acknowledged:
        return "an acknowledged snapshot is gone"
    # the one that was under way may be there although nobody was told
    return "" if contents == history.states[: len(snapshots)] else "a snapshot holds something else"


def sweep(history: History) -> Iterator[str]:
    """Reopen everything that may be found, with every home, and say of each what is wrong."""
    for number, (acknowledged, found) in enumerate(history.found()):
        for name, home in history.homes(acknowledged).items():
            yield lost(history, history.reopened(found, home, f"{number} {name}"), acknowledged)


def test_a_loss_of_power_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    history = History(tmp_path)
    # nothing yet, the pack, the commit too: synced as it is, no more than these three can be found of a backup
    assert len(history.found()) >= 3 * BACKUPS + 1
    assert set(sweep(history)) == {""}


@pytest.mark.parametrize("home", ["as told", "older", "cache older", "no cache"])
def test_the_next_backup_goes_on_from_whatever_was_found(tmp_path: Path, home: str) -> None:
    history = History(tmp_path)
    for number, (acknowledged, found) in enumerate(history.found()):
        store = history.reopened(found, history.homes(acknowledged)[home], f"{number}")
        (history.tree / "log").write_text(f"more {number}")
        snapshot = store.backup(history.tree)
        assert store.contents(snapshot) == files_of(history.tree)
        with store.open() as repository:
            assert list(verify(repository)) == []


@pytest.mark.parametrize("deaf", ["sync", "sync_folder"])
def test_control_without_fsync_it_would_be_found(tmp_path: Path, deaf: str) -> None:
    assert any(sweep(History(tmp_path, deaf=[deaf])))
