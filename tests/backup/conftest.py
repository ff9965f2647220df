"""The folder with a log that most tests here begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from backup.logs import Tree
from stores import Store

from casstore.backup import growing


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    store = Store(tmp_path)
    store.create()
    return Tree(store, tmp_path / "tree")


@pytest.fixture
def first_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance, but always the same: of the older chunks it is the first that is looked at."""
    monkeypatch.setattr(growing, "_random", lambda below: 0)
