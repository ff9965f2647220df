"""A backend, unlocked: ties header, keys, chunks, ledger and catalogue together, and does no more.

Invariant: `cache` is inside a transaction from `refresh` on; `acknowledge` makes it and the anchor durable, after the
commit was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from casstore.backends.base import Backend
from casstore.cache import Cache
from casstore.catalogue import Catalogue
from casstore.chunker import Chunker
from casstore.chunkstore import Reader, Writer
from casstore.crypto import Argon2, Keys, host_id, public_key
from casstore.entry import Entry, Root
from casstore.errors import Damaged
from casstore.format import record
from casstore.format.commit import ADMIN, Commit, CommitKind, snapshot_from_commit, snapshot_to_body
from casstore.format.header import Header
from casstore.format.manifest import Head, decode_blocks, decode_head
from casstore.format.slot import HostKey, Unlocked
from casstore.ids import PackId, SlotId
from casstore.keyring import Secret, Slot, add_slot, listed, read_slots, remove_slot, slot_name, write_host_key
from casstore.ledger import Anchor, Ledger, NumberTaken
from casstore.snapshot import Snapshot
from casstore.workers import Workers


@dataclass(frozen=True, slots=True)
class Home:
    """Folders where this host keeps its key files, its anchors and its caches; a folder a repository below each."""

    config: Path
    state: Path
    cache: Path

    def key_file(self, repository: bytes) -> Path:
        """Give the place of this host's key file."""
        return self.config / repository.hex() / "host.key"

    def anchor(self, repository: bytes) -> Path:
        """Give the place of the anchor."""
        return self.state / repository.hex() / "anchor"

    def cache_folder(self, repository: bytes) -> Path:
        """Give the folder of the cache."""
        return self.cache / repository.hex()


class Repository:
    """An open repository. Made by `casstore.create` and `casstore.open`."""

    def __init__(
        self,
        backend: Backend,
        header: Header,
        header_hash: bytes,
        host: HostKey,
        home: Home,
        *,
        hostname: str,
        cache: Cache | None = None,
    ) -> None:
        self._hostname = hostname
        self.backend, self.header, self.header_hash, self.host, self.home = (
            backend,
            header,
            header_hash,
            host,
            home,
        )
        self.keys = Keys.of(host.root_secrets[0], header.repository)
        self.cache = Cache(home.cache_folder(header.repository) / "cache.sqlite") if cache is None else cache
        self.ledger = Ledger(backend, header_hash, header.admin_public, self.keys.commit)
        self.catalogue = Catalogue(backend, self.ledger, self.cache, self.keys, max_pack=header.max_pack)
        self.anchor = Anchor(home.anchor(header.repository))
        self.workers = Workers(max(2, len(os.sched_getaffinity(0))))
        self.chunks = Reader(backend, self.cache, self.keys, self.workers)

    def afresh(self) -> Repository:
        """Open it once more, with a cache that knows nothing and is forgotten at the end."""
        return Repository(
            self.backend, self.header, self.header_hash, self.host, self.home, hostname=self._hostname,
            cache=Cache(None),
        )  # fmt: skip

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what was not acknowledged is forgotten by the cache."""
        self.workers.close()
        self.cache.close()

    # ── following the ledger ──

    def refresh(self) -> None:
        """Read what is new in the ledger, check it, and learn where its packs keep their chunks.

        Raises:
            HistoryRewritten: the ledger is not a continuation of what this host saw.
        """
        self.catalogue.follow(self.anchor)

    @property
    def damaged(self) -> list[tuple[str, Damaged]]:
        """Names of commits and packs that could not be read while following the ledger, and why."""
        return self.catalogue.damaged

    # ── snapshots ──

    def snapshots(self) -> list[Snapshot]:
        """Give all snapshots in the order of the ledger."""
        return self.catalogue.snapshots()

    def head(self, snapshot: Snapshot) -> Head:
        """Give what the snapshot was taken of, and by which configuration.

        Raises:
            Damaged: the beginning of the manifest cannot be read.
        """
        return decode_head(next(self._records(snapshot), None))

    def blocks(self, snapshot: Snapshot) -> Iterator[tuple[bytes, list[Entry]]]:
        """Yield each folder's path and entries in manifest order.

        Raises:
            Damaged: some of the manifest cannot be read.
        """
        values = self._records(snapshot)
        decode_head(next(values, None))
        return decode_blocks(values)

    def entries(self, snapshot: Snapshot, below: bytes = b"") -> Iterator[Entry]:
        """Yield the entries in manifest order: one path and all below it, or all.

        Raises:
            Damaged: some of the manifest cannot be read.
        """
        for folder, entries in self.blocks(snapshot):
            if not below or folder == below or folder.startswith(below + b"/"):
                yield from entries
            else:
                yield from (entry for entry in entries if entry.path == below)

    def _records(self, snapshot: Snapshot) -> Iterator[object]:
        return record.decode_sequence(self.chunks.read(snapshot.manifest), "manifest entry")

    def read(self, root: Root) -> Iterator[bytes]:
        """Yield a stream's bytes, verified.

        Raises:
            Damaged: some of it cannot be read.
        """
        return self.chunks.read(root)

    # ── writing ──

    def writer(self, *, dry: bool = False) -> Writer:
        """Begin to put streams; a dry writer stores nothing."""
        chunker = self.chunker()
        return Writer(self.backend, self.cache, self.keys, self.chunks, chunker, self.workers, dry=dry)

    def chunker(self) -> Chunker:
        """Give the chunker of this repository."""
        header = self.header
        return Chunker(self.keys.chunker_seed, least=header.least, average=header.average, most=header.most)

    def commit_snapshot(self, snapshot: Snapshot, packs: Sequence[tuple[PackId, int]], *, clock_ns: int) -> Snapshot:
        """Append the commit of a snapshot whose packs are durable; on return it is acknowledged.

        Raises:
            RepositoryUnwritable: it was not, as far as can be told.
        """
        self.welcome(clock_ns)
        named = dict([*self.catalogue.unnamed(), *packs])
        commit = self.append(CommitKind.SNAPSHOT, snapshot_to_body(snapshot), tuple(named.items()), clock_ns=clock_ns)
        return snapshot_from_commit(commit)

    def append(
        self,
        kind: CommitKind,
        body: dict[int, object],
        packs: tuple[tuple[PackId, int], ...] = (),
        *,
        clock_ns: int,
        as_admin: bool = False,
    ) -> Commit:
        """Append a commit signed by this host or by the admin, after whatever others append meanwhile."""
        while True:
            try:
                commit = self.ledger.append(
                    kind, body, packs, clock_ns=clock_ns, seed=self.signing_seed(as_admin),
                    signer=ADMIN if as_admin else host_id(public_key(self.host.seed)),
                )  # fmt: skip
            except NumberTaken:
                for other in self.ledger.advance():
                    self.catalogue.learn(other)
            else:
                self.catalogue.learn(commit)
                return commit

    def sign_in(self, hostname: str, now_ns: int) -> None:
        """Let the admin vouch for this host's key."""
        public = public_key(self.host.seed)
        body = {0: host_id(public), 1: public, 2: int(self.host.role), 3: hostname, 4: 0}
        self.append(CommitKind.KEY, body, clock_ns=now_ns, as_admin=True)

    def welcome(self, now_ns: int) -> None:
        """Before a write: keep this host's key file and sign it in, if that was not done yet.

        A host that was stopped between the two, by a full disk perhaps, is signed in the next time.
        """
        if host_id(public_key(self.host.seed)) in self.ledger.hosts:
            return
        path = self.home.key_file(self.header.repository)
        if not path.exists():
            write_host_key(path, self.host)
        self.sign_in(self._hostname, now_ns)

    # ── slots ──

    def slots(self) -> list[Slot]:
        """List the ways to open the repository."""
        slots, _ = read_slots(self.backend)
        return listed(slots.items(), self._proven())

    def add_slot(self, secret: Secret, *, label: str, now_ns: int, cost: Argon2 | None = None) -> SlotId:
        """Add a way to open the repository."""
        unlocked = Unlocked(self.host.root_secrets, self.host.admin_seed)
        return add_slot(
            self.backend,
            secret,
            unlocked,
            header_hash=self.header_hash,
            label=label,
            now_ns=now_ns,
            cost=cost or Argon2(),
        )

    def remove_slot(self, slot: SlotId) -> None:
        """Remove a slot, never the last. Who copied it and its secret before still opens the repository."""
        remove_slot(self.backend, slot)

    def prove(self, slot: SlotId, now_ns: int) -> None:
        """Record that the secret of a slot, kept outside this host, was shown to open it."""
        self.welcome(now_ns)
        self.append(CommitKind.NOTE, {0: "proven", 1: {0: slot, 1: now_ns}}, clock_ns=now_ns)

    def _proven(self) -> dict[SlotId, int]:
        proven: dict[SlotId, int] = {}
        for stored in self.cache.commits(CommitKind.NOTE):
            body = self.catalogue.open(stored).body
            facts = body.get(1)
            if body.get(0) == "proven" and type(facts) is dict:
                proven[SlotId(facts[0])] = facts[1]
        return proven

    @property
    def proven_elsewhere(self) -> bool:
        """Whether a secret that does not lie on this host has been proven and still has its slot."""
        names = {slot_name(slot) for slot in self._proven()}
        return any(name in names for name, _ in self.backend.list("keys"))

    def signing_seed(self, as_admin: bool) -> bytes:
        """Give the seed that signs."""
        return self.host.admin_seed if as_admin else self.host.seed

    def acknowledge(self) -> None:
        """Make anchor and cache durable: after the commit, since they say that it is there."""
        self.catalogue.note_position()
        self.anchor.write(*self.ledger.seen)
        self.cache.commit()

    @property
    def never(self) -> list[tuple[int, int]]:
        """Device and inode of folders that are never backed up: the repository, when it is local, and the cache."""
        folders = [getattr(self.backend, "folder", None), self.home.cache_folder(self.header.repository)]
        found = []
        for folder in folders:
            if folder is not None and folder.exists():
                status = folder.stat()
                found.append((status.st_dev, status.st_ino))
        return found
