"""What this host remembers of a repository: commits, places of chunks, folders (`rows`).

All of it is derived and may be deleted at any time. It is true for one commit, whose number and hash stand in the
same transaction: an older copy of it is late, never wrong; a number and hash that are not in the ledger drop it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from casstore.database import Database
from casstore.format import record
from casstore.format.blob import Blob
from casstore.ids import ChunkId, PackId
from casstore.values import dataclass

WHOLE = -1  # in place of a blob's position: the whole pack
MANY_IDS = 20_000  # so many ids of blobs that were looked up are kept at hand
_GROUPS = {many: ",".join("?" * many) for many in (16, 256)}  # keys asked for at once: always the same statements
_GROUP = max(_GROUPS)
_ROWS = 64  # chunks put in at once: each statement leaves the interpreter, and comes back behind threads that compute
_INSERT, _ROW = "INSERT OR IGNORE INTO chunks", "(?,?,?,?,?)"
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE commits (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, stored BLOB NOT NULL);
CREATE TABLE packs (number INTEGER PRIMARY KEY, name BLOB UNIQUE NOT NULL, length INTEGER NOT NULL);
CREATE TABLE blobs (number INTEGER PRIMARY KEY, pack INTEGER NOT NULL, position INTEGER NOT NULL,
                    offset INTEGER NOT NULL, line BLOB NOT NULL, difference BLOB, base BLOB);
CREATE TABLE chunks (id BLOB, suspect INTEGER, depth INTEGER, blob INTEGER, length INTEGER NOT NULL,
                     PRIMARY KEY (id, suspect, depth, blob)) WITHOUT ROWID;
CREATE TABLE unnamed (pack BLOB PRIMARY KEY, length INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE distrusted (pack BLOB, position INTEGER, PRIMARY KEY (pack, position)) WITHOUT ROWID;
CREATE TABLE folders (source BLOB, path BLOB, states BLOB, due INTEGER, block BLOB, counts BLOB,
                      proof BLOB, PRIMARY KEY (source, path)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob lies: as which of which pack, at which offset in bytes."""

    pack: PackId
    position: int
    offset: int
    blob: Blob


class Cache(Database):
    """The tables, and what is asked of them."""

    schema = _SCHEMA
    version = 6
    probe = "SELECT count(*) FROM facts"

    def __init__(self, path: Path | None) -> None:
        self._blobs: dict[int, Place] = {}  # that were looked up, by their number
        self._best: dict[ChunkId, Place] = {}  # which of those is read for a chunk, as long as `chunks` stays as it is
        self._held_ids = 0
        super().__init__(path)

    def _moved(self) -> None:
        # Another process may have begun anew, and numbered its blobs otherwise.
        self._blobs.clear()
        self._best.clear()
        self._held_ids = 0

    def clear(self) -> None:
        """Forget everything, but what verify found."""
        for table in ("facts", "commits", "packs", "unnamed", "blobs", "chunks", "folders"):
            self._database.execute(f"DELETE FROM {table}")
        self._moved()

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

    def commits(self, kind: int, *, newest_first: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield number and stored bytes of the commits of a kind, in the order of their numbers."""
        order = "DESC" if newest_first else "ASC"
        yield from self._database.execute(
            f"SELECT number, stored FROM commits WHERE kind=? ORDER BY number {order}", (kind,)
        )

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all commits that could be read, in order."""
        for (number,) in self._database.execute("SELECT number FROM commits ORDER BY number"):
            yield number

    def forget_commits(self) -> None:
        """Forget all commits: they will be read again."""
        self._database.execute("DELETE FROM commits")

    def holds_commit(self, number: int, kind: int) -> bool:
        """Tell whether there is a commit of that number and kind."""
        row = self._database.execute("SELECT 1 FROM commits WHERE number=? AND kind=?", (number, kind)).fetchone()
        return row is not None

    # ── places ──

    def has_pack(self, pack: PackId) -> bool:
        """Tell whether the places of a pack are known."""
        return self._database.execute("SELECT 1 FROM packs WHERE name=?", (pack,)).fetchone() is not None

    def add_pack(
        self,
        pack: PackId,
        length: int,
        blobs: Sequence[Blob],
        offsets: Sequence[int],
        *,
        without: Collection[int] = (),
    ) -> None:
        """Remember where the chunks of a pack lie: all copies, of which the least deep that can be opened counts.

        `without`: positions of blobs that are damaged. What verify found damaged before is suspect: it is still read,
        since it may have been mended, but nothing new names it.
        """
        execute = self._database.execute
        found = execute("SELECT number FROM packs WHERE name=?", (pack,)).fetchone()
        if found is not None:
            return
        self._best.clear()
        number = execute("INSERT INTO packs (name, length) VALUES (?, ?)", (pack, length)).lastrowid
        first = self.newest_blob() + 1
        distrusted = self.distrusted(pack)
        lines = (
            (blob.ids[0] if blob.base is not None else None, blob.base, record.encode(blob.to_record()))
            for blob in blobs
        )
        self._database.executemany(
            "INSERT INTO blobs (number, pack, position, offset, difference, base, line) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (first + position, number, position, offset, *line)
                for position, (offset, line) in enumerate(zip(offsets, lines, strict=True))
            ),
        )
        # Sorted: ids are random, and rows in the order of the tree touch each of its pages once, not once a row.
        rows = sorted(
            (chunk, position in distrusted or WHOLE in distrusted, blob.depth, first + position, length)
            for position, blob in enumerate(blobs)
            if position not in without
            for chunk, length in zip(blob.ids, blob.lengths, strict=True)
        )
        many = len(rows) - len(rows) % _ROWS
        groups = (list(chain.from_iterable(rows[at : at + _ROWS])) for at in range(0, many, _ROWS))
        self._database.executemany(f"{_INSERT} VALUES {','.join([_ROW] * _ROWS)}", groups)
        self._database.executemany(f"{_INSERT} VALUES {_ROW}", rows[many:])

    def packs(self) -> Iterator[tuple[PackId, int]]:
        """Yield name and length in bytes of each pack."""
        for name, length in self._database.execute("SELECT name, length FROM packs"):
            yield PackId(name), length

    def is_empty(self) -> bool:
        """Tell whether no chunk has a place."""
        return self._database.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is None

    def knows(self, chunk: ChunkId) -> bool:
        """Tell whether a chunk has a place that can be relied on."""
        return self.depth(chunk) is not None

    def depth(self, chunk: ChunkId) -> int | None:
        """Give the depth of a chunk's deepest copy, None if it has no place that can be relied on.

        What is deeper than all copies of its base can be opened by any of them.
        """
        row = self._database.execute("SELECT max(depth) FROM chunks WHERE id=? AND suspect=0", (chunk,)).fetchone()
        return None if row[0] is None else int(row[0])

    def foot(self, chunk: ChunkId) -> ChunkId | None:
        """Give the whole chunk on which a chunk's chain of differences stands; None if the chain has a gap."""
        places = self.places([chunk])
        while chunk in places:
            base = places[chunk].blob.base
            if base is None:
                return chunk
            chunk = base
        return None

    def newest_blob(self) -> int:
        """Give the number of the blob that was added last, 0 if there is none."""
        return int(self._database.execute("SELECT coalesce(max(number), 0) FROM blobs").fetchone()[0])

    def drop_unresolved(self, newest: int = 0) -> None:
        """Forget the copies that are differences from what has no place, and so on up; first of blobs after `newest`.

        What builds on nothing but suspect copies is suspect itself.
        """
        self._best.clear()
        while True:
            gone = self._database.execute(
                "SELECT own.id, own.suspect, own.depth, own.blob, max(below.id NOT NULL), min(below.suspect) "
                "FROM blobs JOIN chunks AS own ON own.id = difference AND own.blob = number "
                "LEFT JOIN chunks AS below ON below.id = base AND below.depth < own.depth "
                "WHERE number > ? AND difference NOT NULL GROUP BY number "
                "HAVING max(below.id NOT NULL) = 0 OR min(below.suspect) > own.suspect",
                (newest,),
            ).fetchall()
            if not gone:
                return
            for chunk, suspect, depth, blob, resolves, _ in gone:
                key = (chunk, suspect, depth, blob)
                if resolves:
                    self._database.execute(
                        "UPDATE chunks SET suspect=1 WHERE id=? AND suspect=? AND depth=? AND blob=?", key
                    )
                else:
                    self._database.execute("DELETE FROM chunks WHERE id=? AND suspect=? AND depth=? AND blob=?", key)
            newest = 0  # older ones may have built on these

    def forget_copy(self, chunk: ChunkId, place: Place) -> None:
        """Forget one copy of a chunk: it turned out to be damaged."""
        self._best.clear()
        self._database.execute(
            "DELETE FROM chunks WHERE id=? AND blob IN (SELECT blobs.number FROM blobs JOIN packs "
            "ON packs.number = pack WHERE position=? AND name=?)",
            (chunk, place.position, place.pack),
        )

    # ── packs that no commit names; blobs that verify found damaged ──

    def remember_unnamed(self, pack: PackId, length: int) -> None:
        """Note a pack that was found by listing."""
        self._database.execute("INSERT OR IGNORE INTO unnamed VALUES (?, ?)", (pack, length))

    def forget_unnamed(self, pack: PackId) -> None:
        """A commit names the pack now."""
        self._database.execute("DELETE FROM unnamed WHERE pack=?", (pack,))

    def unnamed(self) -> Iterator[tuple[PackId, int]]:
        """Yield name and length of the packs that only listing found."""
        for pack, length in self._database.execute("SELECT pack, length FROM unnamed"):
            yield PackId(pack), length

    def distrusted(self, pack: PackId) -> frozenset[int]:
        """Give the positions in a pack that verify found damaged; WHOLE stands for all of it."""
        rows = self._database.execute("SELECT position FROM distrusted WHERE pack=?", (pack,))
        return frozenset(position for (position,) in rows)

    def distrust(self, found: Iterable[tuple[PackId, int]], *, instead: bool) -> bool:
        """Remember what verify found damaged, so that nothing new builds on it; `instead` of what is remembered.

        If that is news all places are dropped, to be learnt anew, and True is given.
        """
        known = {(PackId(pack), position) for pack, position in self._database.execute("SELECT * FROM distrusted")}
        wanted = set(found) if instead else known | set(found)
        if wanted != known:
            self._database.execute("DELETE FROM distrusted")
            self._database.executemany("INSERT INTO distrusted VALUES (?, ?)", wanted)
            self.clear()
        return wanted != known

    def differences(self) -> Iterator[tuple[ChunkId, Place]]:
        """Yield the chunks that are stored as differences, and where, in the order they were stored."""
        for chunk, pack, position, offset, line in self._database.execute(
            "SELECT difference, name, position, offset, line FROM blobs JOIN packs ON packs.number = pack "
            "WHERE difference NOT NULL ORDER BY blobs.number"
        ):
            yield ChunkId(chunk), Place(PackId(pack), position, offset, Blob.from_record(record.decode(line)))

    def lengths(self, chunks: Iterable[ChunkId]) -> dict[ChunkId, int]:
        """Give the lengths in the clear, in bytes, of the chunks that have a place."""
        found: dict[ChunkId, int] = dict(self._grouped("id, length FROM chunks WHERE id", chunks))
        return found

    def places(self, chunks: Iterable[ChunkId], *, held: Container[ChunkId] = ()) -> dict[ChunkId, Place]:
        """Give the places of the chunks that have one, and of what they build on, down to one that is held."""
        found: dict[ChunkId, Place] = {}
        wanted = set(chunks)
        while wanted:
            places = self.own_places(wanted)
            found.update(places)
            bases = {place.blob.base for place in places.values()}
            wanted = {base for base in bases if base is not None and base not in found and base not in held}
        return found

    def own_places(self, chunks: Collection[ChunkId]) -> dict[ChunkId, Place]:
        """Give the places of the chunks that have one, and of no other."""
        found = {chunk: self._best[chunk] for chunk in chunks if chunk in self._best}
        if rest := [chunk for chunk in chunks if chunk not in found]:
            # The last of a chunk's copies counts: first come suspect ones, then deep ones.
            copies = sorted(self._grouped("suspect, depth, id, blob FROM chunks WHERE id", rest), reverse=True)
            blobs = {ChunkId(chunk): blob for _, _, chunk, blob in copies}
            self._load_places(set(blobs.values()))
            looked_up = {chunk: self._blobs[blob] for chunk, blob in blobs.items()}
            self._best.update(looked_up)
            found.update(looked_up)
        return found

    def _load_places(self, blobs: set[int]) -> None:
        if self._held_ids > MANY_IDS:
            self._blobs = {number: self._blobs[number] for number in blobs if number in self._blobs}
            self._held_ids = sum(len(place.blob.ids) for place in self._blobs.values())
            self._best.clear()
        for number, pack, position, offset, line in self._grouped(
            "blobs.number, packs.name, position, offset, line FROM blobs JOIN packs ON packs.number = blobs.pack "
            "WHERE blobs.number",
            [number for number in blobs if number not in self._blobs],
        ):
            blob = Blob.from_record(record.decode(line))
            self._blobs[number] = Place(PackId(pack), position, offset, blob)
            self._held_ids += len(blob.ids)

    def _grouped(self, what: str, keys: Iterable[object]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of many keys, some hundreds at once: a question by itself costs more than its answer."""
        rest = list(keys)
        while rest:
            group, rest = rest[:_GROUP], rest[_GROUP:]
            if len(group) == 1:
                yield from self._database.execute(f"SELECT {what}=?", group)
            else:
                many = next(many for many in _GROUPS if len(group) <= many)
                group += [None] * (many - len(group))
                yield from self._database.execute(f"SELECT {what} IN ({_GROUPS[many]})", group)

    # ── folders: `rows` reads and writes them ──

    def forget_all_folders(self) -> None:
        """Forget the folders of all sources."""
        self._database.execute("DELETE FROM folders")
