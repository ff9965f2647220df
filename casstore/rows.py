"""The folders of one source as they were last read: rows of the cache, each proven by a key.

What is in a row goes into a signed manifest unread, so neither rot nor another user may have touched it: a row that is
not proven is none. The rows of a source belong to one snapshot, whose number stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

from casstore.cache import Cache
from casstore.crypto import keyed_hash
from casstore.format import record
from casstore.values import dataclass

_BELOW = "source=? AND (path=? OR (path >= ? AND path < ?))"


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A folder as it was last read: the stat states of its entries, until when they count, its encoded block."""

    states: bytes
    due_ns: int
    block: bytes
    counts: bytes


class FolderRows:
    """The rows of one source. `key` proves them; `source` tells them from others."""

    def __init__(self, cache: Cache, key: bytes, source: bytes) -> None:
        self._cache, self._key, self._source = cache, key, source

    @property
    def snapshot(self) -> int | None:
        """The number of the snapshot that they are of; None if there is none."""
        held = self._cache.fact(f"source {self._source.hex()}")
        return None if held is None else int(held)

    def belong_to(self, snapshot: int) -> None:
        """Remember the number of the snapshot that they are of by now."""
        self._cache.remember(f"source {self._source.hex()}", b"%d" % snapshot)

    def get(self, path: bytes) -> FolderRow | None:
        """Give a folder as it was last read, if its row is proven."""
        found = self._cache.execute(
            "SELECT states, due, block, counts, proof FROM folders WHERE source=? AND path=?", (self._source, path)
        ).fetchone()
        if found is None or found[4] != self._proof(path, *found[:4]):
            return None
        return FolderRow(*found[:4])

    def put(self, path: bytes, row: FolderRow) -> None:
        """Remember a folder as it was just read."""
        fields = (path, row.states, row.due_ns, row.block, row.counts)
        self._cache.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?, ?, ?)", (self._source, *fields, self._proof(*fields))
        )

    def blocks_below(self, folder: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield path and block of a folder and of all below it, as far as their rows are proven."""
        for path, *fields, proof in self._cache.execute(
            f"SELECT path, states, due, block, counts, proof FROM folders WHERE {_BELOW}", self._bounds(folder)
        ):
            if proof == self._proof(path, *fields):
                yield path, fields[2]

    def forget(self) -> None:
        """Forget all of them."""
        self._cache.execute("DELETE FROM folders WHERE source=?", (self._source,))

    def forget_below(self, folder: bytes) -> None:
        """Forget a folder and all below it."""
        self._cache.execute(f"DELETE FROM folders WHERE {_BELOW}", self._bounds(folder))

    def _bounds(self, folder: bytes) -> tuple[bytes, ...]:
        return self._source, folder, folder + b"/", folder + b"0"

    def _proof(self, *fields: bytes | int) -> bytes:
        return keyed_hash(self._key, record.encode((self._source, *fields)))
