"""The ledger, followed into the cache: commits, the packs they bring, and where those keep their chunks.

Invariants: the cache is true for the commit whose number and hash stand in it. A chunk has a place only if the whole
chain that it builds on has one. While anything is damaged nothing of that is taken for granted: the ledger is followed
from its start at each opening, so that what comes back is found again, and packs that only an unreadable commit named
are found by listing; the next commit names them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from casstore.anchor import Anchor
from casstore.backends.base import Backend
from casstore.cache import Cache
from casstore.crypto import Keys, hash_of
from casstore.errors import Damaged, FormatDamaged, ObjectExists, RepositoryUnwritable
from casstore.format import record
from casstore.format.commit import Commit, CommitKind, accepted_from_commit, open_commit, snapshot_from_commit
from casstore.format.commit import object_name as commit_name
from casstore.format.pack import HEADER, TRAILER, Directory, PackHeader, object_name, open_directory, pack_named
from casstore.ids import HostId, PackId
from casstore.ledger import Ledger
from casstore.losses import Accepted
from casstore.snapshot import Snapshot

TAIL = 16 << 10  # bytes read at a pack's end, in the hope of the whole directory


class Catalogue:
    """Knows what is in the repository as far as `follow` has read. The cache is inside a transaction from then on."""

    def __init__(self, backend: Backend, ledger: Ledger, cache: Cache, keys: Keys, *, max_pack: int) -> None:
        self._backend, self._ledger, self._cache, self._keys = backend, ledger, cache, keys
        self._max_pack = max_pack
        self._unread: dict[PackId, Damaged] = {}
        self._unlisted: Damaged | None = None  # why the packs could not be listed

    @property
    def damaged(self) -> list[tuple[str, Damaged]]:
        """Names of commits and packs that cannot be read, and why."""
        commits = [(commit_name(number), error) for number, error in self._ledger.damaged]
        packs = [(object_name(pack), error) for pack, error in sorted(self._unread.items())]
        return commits + packs + ([("packs", self._unlisted)] if self._unlisted else [])

    # ── following ──

    def follow(self, anchor: Anchor) -> None:
        """Read what is new in the ledger, check it, and learn where its packs keep their chunks.

        Raises:
            HistoryRewritten: the ledger is not a continuation of what this host saw.
        """
        self._cache.begin()
        before = self._cache.fact("damage")
        if before is not None:
            self._cache.forget_commits()
            self._ledger.restart()
        elif not self._resumed():
            self._cache.clear()
            self._ledger.restart()
        self._learn_new(anchor)
        if before is not None and self._damage() != before:
            # Something came back, and what was dropped for its sake with it; or more is lost.
            self._cache.clear()
            self._ledger.restart()
            self._learn_new(anchor)
        if self._damage() not in (None, before):
            self._cache.forget_all_folders()  # they may name what is gone
        self.note_position()

    def note_position(self) -> None:
        """Remember in the cache how far it is true, and what could not be read."""
        damage = self._damage()
        if damage is not None:
            self._cache.remember("damage", damage)
        number, digest = self._ledger.head
        hosts = [[host, *facts] for host, facts in sorted(self._ledger.hosts.items())]
        self._cache.remember("ledger", record.encode([number, digest, hosts]))

    def _resumed(self) -> bool:
        position = self._cache.fact("ledger")
        if position is None:
            return False
        number, digest, hosts = record.decode(position)
        self._ledger.resume(number, digest, {HostId(host[0]): (host[1], host[2], host[3]) for host in hosts})
        # If it does not hold, the cache was made from another history; the anchor says whether that is a crime.
        return self._ledger.holds(number, digest)

    def _learn_new(self, anchor: Anchor) -> None:
        self._unread.clear()
        self._unlisted = None
        newest = self._cache.newest_blob()
        for pack, length in self.named(anchor):
            self._index(pack, length)
        self._cache.drop_unresolved(newest)

    def named(self, anchor: Anchor) -> Iterator[tuple[PackId, int]]:
        """Read the commits that are new, remember each, and yield name and length of the packs that they bring.

        Where the ledger is damaged, all packs in the store follow: their names may have been lost with a commit.
        """
        self._ledger.check_anchor(anchor)
        told: set[PackId] = set()
        for commit in self._ledger.advance():
            self._cache.remember_commit(commit.number, commit.kind, commit.stored)
            told.update(pack for pack, _ in commit.packs)
            yield from commit.packs
        if self._ledger.damaged:
            yield from self._found(told)

    def _found(self, told: set[PackId]) -> Iterator[tuple[PackId, int]]:
        """Yield the packs that no readable commit names: whole, and as durable as if this host had written them."""
        try:
            for name, _ in self._backend.list("packs"):
                pack = pack_named(name)
                if pack is None or pack in told or self._cache.has_pack(pack):
                    continue
                try:
                    data = self._backend.read(name, 0, self._max_pack + 1)
                    if hash_of(data) != pack:
                        continue  # a stranger's, or harmed: no name of it is lost
                    with suppress(ObjectExists):  # a name found taken is synced for whoever took it
                        self._backend.write(name, data)
                except (Damaged, RepositoryUnwritable) as error:
                    self._unread[pack] = error if isinstance(error, Damaged) else Damaged(str(error))
                else:
                    self._cache.remember_unnamed(pack, len(data))
                    yield pack, len(data)
        except Damaged as error:
            self._unlisted = error

    def learn(self, commit: Commit) -> None:
        """Take in a commit that was just appended, by this host or by another."""
        self._cache.remember_commit(commit.number, commit.kind, commit.stored)
        newest = self._cache.newest_blob()
        for pack, length in commit.packs:
            self._cache.forget_unnamed(pack)
            self._index(pack, length)
        self._cache.drop_unresolved(newest)

    def unnamed(self) -> list[tuple[PackId, int]]:
        """Give the packs that can be read and that no readable commit names: the next commit should."""
        return [(pack, length) for pack, length in self._cache.unnamed() if pack not in self._unread]

    def _damage(self) -> bytes | None:
        """Give a fingerprint of all that cannot be read; None if there is no such thing."""
        if not self.damaged:
            return None
        missing, last = [], 0
        for number in self._cache.numbers():
            if number > last + 1:
                missing.append([last + 1, number - 1])
            last = number
        missing.append([last + 1, self._ledger.head[0]])
        return hash_of(record.encode([missing, [name for name, _ in self.damaged]]))

    # ── packs ──

    def _index(self, pack: PackId, length: int) -> None:
        if self._cache.has_pack(pack):
            return
        try:
            directory = self.directory(pack, length)
        except Damaged as error:
            self._unread[pack] = error
        else:
            self._cache.add_pack(pack, length, directory.blobs, directory.offsets)

    def directory(self, pack: PackId, length: int) -> Directory:
        """Read the directory of a pack that is `length` bytes long.

        Raises:
            Damaged: header or directory cannot be read.
        """
        if length > self._max_pack:
            raise FormatDamaged(f"a pack of {length} bytes is longer than this repository allows")
        name = object_name(pack)
        header = PackHeader.open(self._backend.read(name, 0, HEADER), self._keys)
        tail = self._backend.read(name, -min(TAIL, length))
        sealed = header.directory_length(tail, length)
        if sealed + TRAILER.size > len(tail):
            tail = self._backend.read(name, -(sealed + TRAILER.size))
        return open_directory(header, tail[-TRAILER.size - sealed : -TRAILER.size], length)

    # ── commits ──

    def open(self, stored: bytes) -> Commit:
        """Read a commit that the cache kept."""
        return open_commit(stored, self._ledger.header_hash, self._keys.commit)

    def snapshots(self) -> list[Snapshot]:
        """Give all snapshots in the order of the ledger."""
        return [self._snapshot(*kept) for kept in self._cache.commits(CommitKind.SNAPSHOT)]

    def newest(self, hostname: str, name: str, origin: bytes, *, imported: bool = False) -> Snapshot | None:
        """Give the newest snapshot of a source, pre-restore ones included; they serve as predecessors all the same.

        What was imported is older than it seems, and only looked at if one to be imported asks.
        """
        for kept in self._cache.commits(CommitKind.SNAPSHOT, newest_first=True):
            snapshot = self._snapshot(*kept)
            if snapshot.source == (hostname, name, origin) and (imported or not snapshot.imported):
                return snapshot
        return None

    def is_live(self, number: int) -> bool:
        """Whether the snapshot of that number is still kept."""
        return self._cache.holds_commit(number, CommitKind.SNAPSHOT)

    def notes(self) -> Iterator[Commit]:
        """Yield all notes in the order of the ledger."""
        for number, stored in self._cache.commits(CommitKind.NOTE):
            yield self._kept(number, stored)

    def accepted(self) -> list[Accepted]:
        """Give what the admin accepted of losses, in the order of the ledger."""
        return [accepted for note in self.notes() if (accepted := accepted_from_commit(note)) is not None]

    def _snapshot(self, number: int, stored: bytes) -> Snapshot:
        return snapshot_from_commit(self._kept(number, stored))

    def _kept(self, number: int, stored: bytes) -> Commit:
        try:
            return self.open(stored)
        except Damaged:  # what the cache keeps has rotted, not the commit
            stored = self._backend.read(commit_name(number))
            commit = self.open(stored)
            self._cache.remember_commit(number, commit.kind, stored)
            return commit
