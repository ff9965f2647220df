"""The ledger: numbered commits, each signed and chained to the one before. Creating the next number is the commit.

A commit whose signature is bad is damage; validly signed ones that do not chain, or a head behind the anchor, are a
rewritten history. A commit that cannot be read costs itself: its successor still names the hash of its stored bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from casstore.backends.base import Backend
from casstore.crypto import hash_of, host_id
from casstore.errors import (
    CasError,
    Damaged,
    FormatDamaged,
    HistoryRewritten,
    ObjectExists,
    ObjectMissing,
    RepositoryUnwritable,
    SignatureRefused,
)
from casstore.format import record
from casstore.format.commit import (
    ClearCommit,
    Commit,
    CommitKind,
    decode_clear,
    encode_commit,
    jump_of,
    object_name,
    open_commit,
    verify_signature,
)
from casstore.ids import HostId, PackId

BY_HOST = {CommitKind.SNAPSHOT, CommitKind.NOTE}
WRITE, READ, ADMIN = 1, 2, 3
HostFacts = tuple[bytes, int, str]  # public key, role, hostname


class NumberTaken(CasError):
    """Another writer was first; advance, and append again."""


class Ledger:
    """Follows the chain from the header on, or from where a cache left off."""

    def __init__(self, backend: Backend, header_hash: bytes, admin_public: bytes, commit_key: bytes) -> None:
        self._backend, self._header_hash = backend, header_hash
        self._admin, self._commit_key = admin_public, commit_key
        self.restart()

    def restart(self) -> None:
        """Begin at the header."""
        self.head: tuple[int, bytes] = (0, self._header_hash)
        self.hosts: dict[HostId, HostFacts] = {}
        self.damaged: list[tuple[int, Damaged]] = []
        self._hashes: dict[int, bytes] = {0: self._header_hash}

    def resume(self, number: int, digest: bytes, hosts: Mapping[bytes, HostFacts]) -> None:
        """Go on from a commit that was checked before."""
        self.head = (number, digest)
        self.hosts = {HostId(host): facts for host, facts in hosts.items()}
        self.damaged = []
        self._hashes = {number: digest}

    def anew(self) -> Ledger:
        """Give a ledger that begins at the header, for a full check."""
        return Ledger(self._backend, self._header_hash, self._admin, self._commit_key)

    def holds(self, number: int, digest: bytes) -> bool:
        """Whether the stored commit of that number has that hash."""
        if number == 0:
            return digest == self._header_hash
        try:
            return hash_of(self._backend.read(object_name(number))) == digest
        except ObjectMissing:
            return False

    def last(self) -> int:
        """Give the highest number there is, by listing: for a reader that remembers nothing."""
        numbers = [name.rpartition("/")[2] for name, _ in self._backend.list("ledger")]
        return max((int(number) for number in numbers if len(number) == 20 and number.isdecimal()), default=0)

    def advance(self, known: int = 0) -> Iterator[Commit]:
        """Read, check and yield what follows the head. Up to `known` commits are there, or one of them was lost.

        Raises:
            HistoryRewritten: a validly signed commit does not chain.
        """
        while True:
            number = self.head[0] + 1
            try:
                stored = self._backend.read(object_name(number))
            except ObjectMissing as error:
                if number > known:
                    return
                self.damaged.append((number, error))
                self._step(number, b"")
                continue
            commit: Commit | None = None
            try:
                commit = self._check(number, stored)
            except Damaged as error:
                self.damaged.append((number, error))
            self._step(number, hash_of(stored))
            if commit is not None:
                yield commit

    def _step(self, number: int, digest: bytes) -> None:
        self.head = (number, digest)
        self._hashes[number] = digest
        if len(self._hashes) > 4096:  # jumps reach far back only at round numbers; those are kept
            self._hashes = {at: value for at, value in self._hashes.items() if at > number - 64 or at % 64 == 0}

    def _check(self, number: int, stored: bytes) -> Commit:
        clear = decode_clear(stored)
        if not verify_signature(stored, self._header_hash, self._key_of(clear)):
            raise SignatureRefused(f"commit {number} has a bad signature")
        if clear.number != number:
            raise HistoryRewritten(f"commit {clear.number} stands in the place of commit {number}")
        if clear.previous != self.head[1] and not (self.damaged and self.damaged[-1][0] == number - 1):
            raise HistoryRewritten(f"commit {number} does not follow the commit before it: the history was forked")
        jump = jump_of(number)
        damaged = {at for at, _ in self.damaged}
        if clear.jump != (self._hashes.get(jump, clear.jump) if jump else b"") and jump not in damaged:
            raise HistoryRewritten(f"commit {number} names another commit {jump} than the one that is there")
        commit = open_commit(stored, self._commit_key)
        if clear.kind is CommitKind.KEY:
            self._sign_in(commit.body)
        return commit

    def _key_of(self, clear: ClearCommit) -> bytes:
        if not clear.signer:
            if clear.kind is CommitKind.SNAPSHOT:
                raise SignatureRefused(f"commit {clear.number} is a snapshot signed by no host")
            return self._admin
        if clear.kind not in BY_HOST:
            raise SignatureRefused(f"commit {clear.number} may be signed by the admin only")
        facts = self.hosts.get(clear.signer)
        if facts is None:
            raise SignatureRefused(f"commit {clear.number} is signed by an unknown host")
        return facts[0]

    def _sign_in(self, body: Mapping[int, Any]) -> None:
        fields = record.check_map(dict(body), {0: bytes, 1: bytes, 2: int, 3: str, 4: int}, "key commit")
        public = record.need_bytes(fields, 1, 32, "key commit")
        host = host_id(public)
        if host != record.need(fields, 0, "key commit"):
            raise FormatDamaged("a key commit names a host that has another key")
        if fields.get(4):
            self.hosts.pop(host, None)
        else:
            self.hosts[host] = (public, record.need(fields, 2, "key commit"), fields.get(3, ""))

    def append(
        self,
        kind: CommitKind,
        body: Mapping[int, Any],
        packs: tuple[tuple[PackId, int], ...] = (),
        *,
        seed: bytes,
        signer: HostId,
        clock_ns: int,
    ) -> Commit:
        """Create the next commit; on return it is durable.

        Raises:
            NumberTaken: another writer was first. RepositoryUnwritable: it was not written.
        """
        number = self.head[0] + 1
        jump = self._hash_at(jump_of(number)) if jump_of(number) else b""
        clear = ClearCommit(number, kind, self.head[1], jump, signer, clock_ns, packs)
        stored = encode_commit(clear, body, header_hash=self._header_hash, commit_key=self._commit_key, seed=seed)
        try:
            self._backend.write(object_name(number), stored)
        except (ObjectExists, RepositoryUnwritable) as error:
            # A time-out may hide a success: equal bytes under the number are our own.
            if not self.holds(number, hash_of(stored)):
                if isinstance(error, ObjectExists):
                    raise NumberTaken(f"commit {number} was made by another writer") from None
                raise
            if isinstance(error, RepositoryUnwritable):
                raise
        commit = open_commit(stored, self._commit_key)
        if kind is CommitKind.KEY:
            self._sign_in(commit.body)
        self._step(number, hash_of(stored))
        return commit

    def _hash_at(self, number: int) -> bytes:
        known = self._hashes.get(number)
        return known if known is not None else hash_of(self._backend.read(object_name(number)))

    def check_anchor(self, anchor: Anchor) -> None:
        """Compare with what this host saw last.

        Raises:
            HistoryRewritten: that commit is gone or another one.
        """
        seen = anchor.read()
        if seen is None or seen == self.head or self.holds(*seen):
            return
        number = seen[0]
        try:
            self._backend.size(object_name(number))
        except ObjectMissing:
            raise HistoryRewritten(f"the history was rolled back: commit {number}, seen before, is gone") from None
        try:
            decode_clear(self._backend.read(object_name(number)))
        except Damaged:
            return  # damage of that one commit, found when it is read; its successor vouches for the hash
        raise HistoryRewritten(f"the history was forked: commit {number} is not the one seen before")


class Anchor:
    """The last number and hash that this host saw, in a small file, fsynced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[int, bytes] | None:
        """Give number and hash; None if this host saw nothing yet."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            number, digest = record.decode(data, "anchor")
        except (FormatDamaged, TypeError, ValueError):
            return None  # it only detects rollback; a broken one is as none
        return number, digest

    def write(self, number: int, digest: bytes) -> None:
        """Replace it, durably."""
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f".anchor-{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, record.encode([number, digest]))
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(self.path)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
