"""Is what a guarded file lost back? Its old content, or a file that begins with that, or most of the old records.

Size alone says nothing: an application that lost its data writes others, and a wiped log grows again.
"""

from __future__ import annotations

from collections.abc import Iterable

from casstore.backup.guard import begins, held
from casstore.backup.torn import is_json
from casstore.entry import Entry, Root
from casstore.errors import Damaged
from casstore.losses import Loss
from casstore.repository import Repository
from casstore.selection import Chooser, Selection
from casstore.snapshot import Snapshot

MOST_COMPARED = 64 << 20  # bytes of a file whose records are compared
FEW = 8  # pieces; a file of fewer records is compared field by field


class Regained:
    """Answers for the snapshots of a repository; each manifest is read once."""

    def __init__(self, repository: Repository, snapshots: Iterable[Snapshot]) -> None:
        self._repository = repository
        self._snapshots = {snapshot.number: snapshot for snapshot in snapshots}
        lists = (snapshot.guarded.losses for snapshot in self._snapshots.values() if snapshot.guarded is not None)
        self._paths = {loss.path for losses in lists for loss in losses}
        self._found: dict[int, dict[bytes, Entry]] = {}

    def __call__(self, since: int, snapshot: Snapshot, loss: Loss) -> bool | None:
        """Whether a snapshot holds again what the one of number `since` held; None if it was taken of other paths."""
        try:
            selection = Selection.decode(self._repository.head(snapshot).selection)
            if not Chooser(selection).takes(loss.path):
                return None
            now = self._entries(snapshot).get(loss.path)
            if now is None or not held(now) or since not in self._snapshots:
                return False
            was = self._entries(self._snapshots[since]).get(loss.path)
            return was is not None and self._is_back(was, now)
        except Damaged:
            return False

    def _entries(self, snapshot: Snapshot) -> dict[bytes, Entry]:
        if snapshot.number not in self._found:
            entries = self._repository.entries(snapshot)
            self._found[snapshot.number] = {entry.path: entry for entry in entries if entry.path in self._paths}
        return self._found[snapshot.number]

    def _is_back(self, was: Entry, now: Entry) -> bool:
        if was.content == now.content or begins(self._repository, was.content, now.content):
            return True
        if not is_json(now.path) or max(was.size, now.size) > MOST_COMPARED:
            return False
        old = self._pieces(was.content)
        return len(old & self._pieces(now.content)) * 2 >= len(old)

    def _pieces(self, root: Root) -> set[int]:
        data = b"".join(self._repository.read(root))
        records = data.split(b"{")
        return {hash(piece.strip()) for piece in (records if len(records) >= FEW else data.split(b","))}
