"""What this host remembers of a repository: places of chunks, folders as last read. The only door to sqlite.

All of it is derived and may be deleted at any time. It is true for one commit, whose number and hash stand in the
same transaction: an older copy of it is late, never wrong; a number and hash that are not in the ledger drop it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from casstore.format import record
from casstore.format.blob import Blob
from casstore.ids import ChunkId, PackId

CacheFails = sqlite3.OperationalError  # what any use of a file may raise that is locked, full, or not to be written
VERSION = 1
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE commits (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, stored BLOB NOT NULL);
CREATE TABLE packs (number INTEGER PRIMARY KEY, name BLOB UNIQUE NOT NULL, length INTEGER NOT NULL);
CREATE TABLE blobs (number INTEGER PRIMARY KEY, pack INTEGER NOT NULL, position INTEGER NOT NULL,
                    offset INTEGER NOT NULL, line BLOB NOT NULL);
CREATE TABLE chunks (id BLOB PRIMARY KEY, blob INTEGER NOT NULL, depth INTEGER NOT NULL, length INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE folders (source BLOB, path BLOB, states BLOB, due INTEGER, block BLOB, counts BLOB,
                      PRIMARY KEY (source, path)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob lies: as which of which pack, at which offset in bytes."""

    pack: PackId
    position: int
    offset: int
    blob: Blob


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A folder as it was last read: the stat states of its entries, until when they count, its encoded block."""

    states: bytes
    due_ns: int
    block: bytes
    counts: bytes


class Cache:
    """One sqlite file, one writer transaction a verb; without a path it lives in memory.

    A file that cannot be made, read or written is done without, in memory as well: `trouble` says why.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.trouble = ""  # why all that is remembered is forgotten at the end
        self._blobs: dict[int, Place] = {}
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return self._open_file(self.path)
            except (OSError, sqlite3.Error) as error:
                self.trouble = f"the cache {self.path} cannot be used: {_reason(error)}"
        return _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))

    def _open_file(self, path: Path) -> sqlite3.Connection:
        for attempt in (1, 2):
            database = sqlite3.connect(path, isolation_level=None, timeout=2, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=NORMAL")
                _prepared(database)
            except sqlite3.DatabaseError:
                # Broken or of another version: it can always be rebuilt. Another process may have made it meanwhile.
                database.close()
                if attempt == 2:
                    raise
                if version_is_ours(path):
                    continue
                for end in ("", "-wal", "-shm"):
                    Path(f"{path}{end}").unlink(missing_ok=True)
            else:
                path.chmod(0o600)
                return database
        raise AssertionError("unreachable")

    def retreat(self, error: CacheFails) -> None:
        """After a failed write: go on in memory from what was committed last, which is late and never wrong."""
        self.trouble = f"the cache {self.path} cannot be written: {_reason(error)}"
        private = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            self.rollback()
            self._database.backup(private)
        except sqlite3.Error:
            private.close()
            private = _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        self._database.close()
        self._database = private
        self._blobs.clear()

    def close(self) -> None:
        """Roll back what was not committed."""
        self._database.close()

    def begin(self) -> None:
        """Begin a transaction. While another process writes, go on with a private copy, forgotten at the end."""
        if self._database.in_transaction:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            private = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._database.backup(private)
            self._database.close()
            self._database = private
            self._database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Keep what was changed since `begin`."""
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was changed since `begin`."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._blobs.clear()

    def clear(self) -> None:
        """Forget everything."""
        for table in ("facts", "commits", "packs", "blobs", "chunks", "folders"):
            self._database.execute(f"DELETE FROM {table}")
        self._blobs.clear()

    # ── facts ──

    def fact(self, name: str) -> bytes | None:
        """Give a remembered fact."""
        row = self._database.execute("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def remember(self, name: str, value: bytes) -> None:
        """Remember a fact."""
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # ── commits ──

    def remember_commit(self, number: int, kind: int, stored: bytes) -> None:
        """Keep the stored bytes of a commit that was checked."""
        self._database.execute("INSERT OR REPLACE INTO commits VALUES (?, ?, ?)", (number, kind, stored))

    def commits(self, kind: int, *, newest_first: bool = False) -> Iterator[bytes]:
        """Yield the stored bytes of the commits of a kind, in the order of their numbers."""
        order = "DESC" if newest_first else "ASC"
        for (stored,) in self._database.execute(
            f"SELECT stored FROM commits WHERE kind=? ORDER BY number {order}", (kind,)
        ):
            yield bytes(stored)

    def holds_commit(self, number: int, kind: int) -> bool:
        """Tell whether there is a commit of that number and kind."""
        row = self._database.execute("SELECT 1 FROM commits WHERE number=? AND kind=?", (number, kind)).fetchone()
        return row is not None

    # ── places ──

    def has_pack(self, pack: PackId) -> bool:
        """Tell whether the places of a pack are known."""
        return self._database.execute("SELECT 1 FROM packs WHERE name=?", (pack,)).fetchone() is not None

    def add_pack(self, pack: PackId, length: int, blobs: Sequence[Blob], offsets: Sequence[int]) -> None:
        """Remember where the chunks of a pack lie; of several copies the least deep counts."""
        execute = self._database.execute
        found = execute("SELECT number FROM packs WHERE name=?", (pack,)).fetchone()
        if found is not None:
            return
        number = execute("INSERT INTO packs (name, length) VALUES (?, ?)", (pack, length)).lastrowid
        first = execute("SELECT coalesce(max(number), 0) FROM blobs").fetchone()[0] + 1
        self._database.executemany(
            "INSERT INTO blobs VALUES (?, ?, ?, ?, ?)",
            (
                (first + position, number, position, offset, record.encode(blob.to_record()))
                for position, (blob, offset) in enumerate(zip(blobs, offsets, strict=True))
            ),
        )
        self._database.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET blob=excluded.blob, "
            "depth=excluded.depth WHERE excluded.depth < depth",
            (
                (chunk, first + position, blob.depth, length)
                for position, blob in enumerate(blobs)
                for chunk, length in zip(blob.ids, blob.lengths, strict=True)
            ),
        )

    def packs(self) -> Iterator[tuple[PackId, int]]:
        """Yield name and length in bytes of each pack."""
        for name, length in self._database.execute("SELECT name, length FROM packs"):
            yield PackId(name), length

    def is_empty(self) -> bool:
        """Tell whether no chunk has a place."""
        return self._database.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is None

    def knows(self, chunk: ChunkId) -> bool:
        """Tell whether a chunk has a place."""
        return self._database.execute("SELECT 1 FROM chunks WHERE id=?", (chunk,)).fetchone() is not None

    def depth(self, chunk: ChunkId) -> int | None:
        """Give the depth of a chunk's copy, None if it has no place."""
        row = self._database.execute("SELECT depth FROM chunks WHERE id=?", (chunk,)).fetchone()
        return None if row is None else int(row[0])

    def chunks_of(self, pack: PackId) -> Iterator[ChunkId]:
        """Yield the chunks whose place is in a pack."""
        for (chunk,) in self._database.execute(
            "SELECT id FROM chunks JOIN blobs ON blobs.number = chunks.blob JOIN packs ON packs.number = blobs.pack "
            "WHERE packs.name=?",
            (pack,),
        ):
            yield ChunkId(chunk)

    def differences(self) -> Iterator[tuple[ChunkId, PackId]]:
        """Yield the chunks whose copy is a difference, in the order they were stored, and the pack of each."""
        for chunk, pack in self._database.execute(
            "SELECT id, name FROM blobs JOIN chunks ON chunks.blob = blobs.number JOIN packs ON packs.number = pack "
            "WHERE depth > 0 ORDER BY blobs.number"
        ):
            yield ChunkId(chunk), PackId(pack)

    def length(self, chunk: ChunkId) -> int | None:
        """Give the length in the clear of a chunk in bytes, None if it or a base of it has no place."""
        row = self._database.execute("SELECT length, depth FROM chunks WHERE id=?", (chunk,)).fetchone()
        if row is None:
            return None
        if row[1]:
            places = self.places([chunk])
            base = places[chunk].blob.base
            while base is not None:
                if base not in places:
                    return None
                base = places[base].blob.base
        return int(row[0])

    def places(self, chunks: Iterable[ChunkId]) -> dict[ChunkId, Place]:
        """Give the places of the chunks that have one, and of all bases that they build on."""
        found: dict[ChunkId, Place] = {}
        for chunk in chunks:
            wanted: ChunkId | None = chunk
            while wanted is not None and wanted not in found:
                row = self._database.execute("SELECT blob FROM chunks WHERE id=?", (wanted,)).fetchone()
                if row is None:
                    break
                place = self._place(row[0])
                found[wanted] = place
                wanted = place.blob.base
        return found

    def _place(self, number: int) -> Place:
        place = self._blobs.get(number)
        if place is None:
            pack, position, offset, line = self._database.execute(
                "SELECT packs.name, position, offset, line FROM blobs JOIN packs ON packs.number = blobs.pack "
                "WHERE blobs.number=?",
                (number,),
            ).fetchone()
            if len(self._blobs) > 4096:
                self._blobs.clear()
            place = Place(PackId(pack), position, offset, Blob.from_record(record.decode(line)))
            self._blobs[number] = place
        return place

    # ── folders ──

    def folder(self, source: bytes, path: bytes) -> FolderRow | None:
        """Give a folder of a source as it was last read."""
        row = self._database.execute(
            "SELECT states, due, block, counts FROM folders WHERE source=? AND path=?", (source, path)
        ).fetchone()
        return None if row is None else FolderRow(*row)

    def remember_folder(self, source: bytes, path: bytes, row: FolderRow) -> None:
        """Remember a folder as it was just read."""
        self._database.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?, ?)",
            (source, path, row.states, row.due_ns, row.block, row.counts),
        )

    def forget_folders(self, source: bytes, below: bytes | None = None) -> None:
        """Forget a folder and all below it, or all of a source."""
        if below is None:
            self._database.execute("DELETE FROM folders WHERE source=?", (source,))
        else:
            self._database.execute(
                "DELETE FROM folders WHERE source=? AND (path=? OR (path >= ? AND path < ?))",
                (source, below, below + b"/", below + b"0"),
            )


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """Make the tables, if it is new.

    Raises:
        sqlite3.DatabaseError: it is broken, or of another version.
    """
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT")
    elif version != VERSION:
        raise sqlite3.DatabaseError(f"it is of version {version}")
    database.execute("SELECT count(*) FROM facts")
    return database


def _reason(error: OSError | sqlite3.Error) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def version_is_ours(path: Path) -> bool:
    """Whether the file is a sound cache of this version (made by another process meanwhile)."""
    try:
        database = sqlite3.connect(path)
        try:
            return bool(database.execute("PRAGMA user_version").fetchone()[0] == VERSION) and (
                database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            )
        finally:
            database.close()
    except sqlite3.DatabaseError:
        return False
