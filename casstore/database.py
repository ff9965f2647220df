"""A file of what can always be learnt anew, and is done without where it cannot be used. The only door to sqlite.

Invariant: what is read is what some transaction left behind, perhaps not the newest; never half of one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

CacheFails = sqlite3.OperationalError  # what any use of a file may raise that is locked, full, or not to be written
CacheBroken = sqlite3.DatabaseError  # the same, and what the use of a spoilt file may raise
PAGES_KIB = 8 << 10  # ids are random: where the table of 100,000 chunks does not fit, each of them costs a page


class Database:
    """One sqlite file, one writer transaction a verb; without a path a temporary one, of this process only.

    A file that cannot be made, read or written is done without, by a temporary one as well: `trouble` says why.
    """

    schema: str  # what makes the tables
    version: int  # of the schema
    probe: str  # a question that a broken file may not answer

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.trouble = ""  # why all that is remembered is forgotten at the end
        self._data_version = 0  # moves when another connection commits
        self._file: tuple[int, int] | None = None  # device and inode of what is open; None for a temporary one
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return self._open_file(self.path)
            except (OSError, sqlite3.Error) as error:
                self.trouble = f"the cache {self.path} cannot be used: {_reason(error)}"
        return self._prepared(sqlite3.connect("", isolation_level=None, check_same_thread=False))

    def _open_file(self, path: Path) -> sqlite3.Connection:
        for attempt in (1, 2):
            database = sqlite3.connect(path, isolation_level=None, timeout=2, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=NORMAL")
                self._prepared(database)
            except sqlite3.DatabaseError:
                # Broken or of another version: it can always be rebuilt. Another process may have made it meanwhile.
                database.close()
                if attempt == 2:
                    raise
                if self._is_ours(path):
                    continue
                for end in ("", "-wal", "-shm"):
                    Path(f"{path}{end}").unlink(missing_ok=True)
            else:
                path.chmod(0o600)
                self._file = _identity(path)
                return database
        raise AssertionError("unreachable")

    def come_back(self) -> None:
        """Between two transactions: go back to the file, if it was left while another process wrote or was replaced.

        What a temporary one remembers is forgotten; the file is late at most, and follows the ledger. If the file still
        cannot be used, what is open stays.
        """
        if self.path is None or (self._file is not None and self._file == _identity(self.path)):
            return
        held = self._file
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = self._open_file(self.path)
        except (OSError, sqlite3.Error):
            self._file = held
            return
        self._database.close()
        self._database = database
        self.trouble = ""
        self._moved()

    def retreat(self, error: CacheBroken) -> None:
        """After a failed write: go on in memory from what was committed last, which is late and never wrong."""
        self.trouble = f"the cache {self.path} cannot be written: {_reason(error)}"
        private = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self.rollback()
            self._database.backup(private)
        except sqlite3.Error:
            private.close()
            private = self._prepared(sqlite3.connect("", isolation_level=None, check_same_thread=False))
        self._leave_for(private)

    def _leave_for(self, private: sqlite3.Connection) -> None:
        self._database.close()
        self._database = private
        self._file = None
        self._moved()

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
            self._leave_for(private)
            self._database.execute("BEGIN IMMEDIATE")
        version = self._database.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._data_version = version
            self._moved()

    def commit(self) -> None:
        """Keep what was changed since `begin`."""
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was changed since `begin`."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._moved()

    def execute(self, statement: str, values: Sequence[bytes | int]) -> sqlite3.Cursor:
        """Carry out a statement, in the transaction that is open."""
        return self._database.execute(statement, values)

    def _moved(self) -> None:
        """What was read may stand elsewhere now, under other numbers: nothing of it may be relied on."""

    def _prepared(self, database: sqlite3.Connection) -> sqlite3.Connection:
        """Make the tables, if it is new.

        Raises:
            sqlite3.DatabaseError: it is broken, or of another version.
        """
        database.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript(f"BEGIN IMMEDIATE;{self.schema}PRAGMA user_version={self.version};COMMIT")
        elif version != self.version:
            raise sqlite3.DatabaseError(f"it is of version {version}")
        database.execute(self.probe)
        return database

    def _is_ours(self, path: Path) -> bool:
        """Whether the file is a sound cache of this version (made by another process meanwhile)."""
        try:
            database = sqlite3.connect(path)
            try:
                return bool(database.execute("PRAGMA user_version").fetchone()[0] == self.version) and (
                    database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
                )
            finally:
                database.close()
        except sqlite3.DatabaseError:
            return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reason(error: OSError | sqlite3.Error) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
