"""The numbered, signed chain of commits, and the anchor that tells when it was turned back.

Invariants: a commit is created only if its number is free, so one number has one commit for all. What cannot be read
costs itself: it is noted in `damaged` and its successor goes on. What is validly signed and does not chain is another
history: that stops the work. docs/format.md § Commit; DESIGN § 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from casstore import private
from casstore.backends.base import Backend
from casstore.crypto import hash_of
from casstore.errors import (
    CasError,
    Damaged,
    FormatDamaged,
    FormatTooNew,
    HistoryRewritten,
    ObjectExists,
    ObjectMissing,
    RepositoryUnwritable,
    SignatureRefused,
)
from casstore.format import record
from casstore.format.commit import (
    ACCEPT,
    ADMIN,
    MOST_NUMBER,
    ClearCommit,
    Commit,
    CommitKind,
    decode_clear,
    encode_commit,
    jump_target,
    object_name,
    open_commit,
    verify_signature,
)
from casstore.ids import HostId, PackId

Hosts = dict[HostId, tuple[bytes, int, str]]  # public key, role, hostname of each host that is signed in

_GAP = hash_of(b"")  # stands for the hash of a commit that is missing: its stored bytes are none
_MAGIC = "casstore anchor"
_MOST_BYTES = 128  # of an anchor
_SPOILT = "Remove that file to go on without it: it only tells whether the ledger was turned back since."


class NumberTaken(CasError):
    """Another writer's commit has the number; advance over it and try again."""


class Ledger:
    """Follows the chain from where it stands, and appends to it."""

    def __init__(self, backend: Backend, header_hash: bytes, admin_public: bytes, commit_key: bytes) -> None:
        self._backend, self._header_hash = backend, header_hash
        self._admin_public, self._commit_key = admin_public, commit_key
        self.restart()

    def restart(self) -> None:
        """Stand before the first commit."""
        self.resume(0, self._header_hash, {})

    def resume(self, number: int, digest: bytes, hosts: Mapping[HostId, tuple[bytes, int, str]]) -> None:
        """Stand behind a commit that was checked before, with the hosts that were signed in then."""
        self.head = (number, digest)
        self.hosts: Hosts = dict(hosts)
        self.damaged: list[tuple[int, Damaged]] = []  # numbers that could not be read since
        self._hashes = {number: digest}  # of those that the commits to come may link to; O(log n) of them
        self._anchored: tuple[int, bytes] | None = None
        self._later: list[int] = []  # numbers known to exist, so that what lacks before them is a gap

    def holds(self, number: int, digest: bytes) -> bool:
        """Tell whether the commit of that number is stored, with that hash; number 0 is the header."""
        if number == 0:
            return digest == self._header_hash
        try:
            return hash_of(self._backend.read(object_name(number))) == digest
        except Damaged:
            return False

    # ── reading ──

    def advance(self) -> Iterator[Commit]:
        """Yield the commits after the head that can be read, and move the head over each.

        Raises:
            HistoryRewritten: a validly signed commit does not follow the one before it.
            FormatTooNew: a validly signed commit needs a newer version.
        """
        while (found := self._next()) is not None:
            number, data = found
            commit = self._take(number, data)
            self._move(number, hash_of(data))
            if commit is not None:
                self._sign_in(commit)
                yield commit

    def check(self) -> list[tuple[int, Damaged]]:
        """List the store for commits behind a gap, read on over it, and give all damage.

        Raises:
            HistoryRewritten, FormatTooNew: as `advance`.
        """
        self._later = self._listed()
        for _ in self.advance():
            pass
        return self.damaged

    def _next(self) -> tuple[int, bytes] | None:
        """Read the next commit, over a gap if there is one."""
        number = self.head[0] + 1
        data = self._read(number)
        if data is not None:
            return number, data
        if not any(later > number for later in self._later) and self._read(number + 1) is None:
            return None
        self._later = [later for later in self._listed() if later >= number]
        # Others may have appended both since: numbers are created in order, so look again before calling it a gap.
        data = self._read(number)
        if data is not None:
            return number, data
        if not self._later:
            return None
        following = min(self._later)
        gap = f"the commits from {number} to {following - 1} are missing"
        one = following == number + 1
        self.damaged.append((number, ObjectMissing(object_name(number)) if one else Damaged(gap)))
        self._move(following - 1, _GAP)
        return self._next()

    def _read(self, number: int) -> bytes | None:
        try:
            return self._backend.read(object_name(number))
        except ObjectMissing:
            return None
        except Damaged:
            return b""  # it is there and a disk refuses it: no commit, as any other damaged bytes

    def _listed(self) -> list[int]:
        names = (name.rpartition("/")[2] for name, _ in self._backend.list("ledger"))
        numbers = (int(name) for name in names if len(name) == 20 and name.isascii() and name.isdigit())
        return sorted(number for number in numbers if 1 <= number < MOST_NUMBER)

    def _take(self, number: int, data: bytes) -> Commit | None:
        """Check one commit; None if it is damaged, which is noted."""
        try:
            clear = self._authenticate(data)
            self._check_chain(number, clear)
            return self._open(data)
        except Damaged as error:
            self.damaged.append((number, error))
            return None

    def _authenticate(self, data: bytes) -> ClearCommit:
        """Read the clear part and check who signed it.

        Raises:
            Damaged, SignatureRefused: it is not what a known signer wrote. FormatTooNew: a known signer wrote that.
        """
        try:
            clear = decode_clear(data)
        except FormatTooNew:
            # Only a signature makes this a newer version rather than a flipped bit; whoever it is, try all.
            keys = [self._admin_public, *(public for public, _, _ in self.hosts.values())]
            if any(verify_signature(data, self._header_hash, public) for public in keys):
                raise
            raise FormatDamaged("a commit cannot be read, and no known host signed it") from None
        public = self._admin_public if clear.signer == ADMIN else self.hosts.get(clear.signer, (b"",))[0]
        if not public:
            raise SignatureRefused(f"commit {clear.number} is signed by a host that is not signed in")
        if not verify_signature(data, self._header_hash, public):
            raise SignatureRefused(f"commit {clear.number} has a signature that does not hold")
        by_admin = clear.signer == ADMIN
        if clear.kind is not CommitKind.NOTE and by_admin == (clear.kind is CommitKind.SNAPSHOT):
            raise SignatureRefused(f"commit {clear.number} is a {clear.kind.name.lower()} by one who may not sign it")
        return clear

    def _open(self, data: bytes) -> Commit:
        commit = open_commit(data, self._header_hash, self._commit_key)
        if commit.kind is CommitKind.NOTE and (commit.signer == ADMIN) != (commit.body[0] == ACCEPT):
            raise SignatureRefused(f"commit {commit.number} is a note by one who may not sign it")
        return commit

    def _check_chain(self, number: int, clear: ClearCommit) -> None:
        if clear.number != number:
            raise HistoryRewritten(f"commit {number} was exchanged for commit {clear.number}")
        for target, claimed in ((number - 1, clear.previous), (jump_target(number), clear.jump)):
            if claimed and not self._links(target, claimed):
                raise HistoryRewritten(f"commit {number} does not follow the commit {target} that is there")

    def _links(self, target: int, claimed: bytes) -> bool:
        """Whether a signed commit that claims this hash of `target` can stand in this ledger."""
        if claimed == self._hashes.get(target):
            return True
        if target == 0:
            return False
        data = self._read(target)
        if data is None:
            allowed = {_GAP}
        elif claimed == hash_of(data):
            # Not when another hash was seen there: then it was exchanged since.
            return target not in self._hashes
        else:
            try:
                self._authenticate(data)
                return False
            except FormatTooNew:
                return False
            except Damaged:
                allowed = {hash_of(data)}
        # What lies there now cannot be read, so it can have rotted before or after the claim: then only the
        # anchor still knows what it was.
        if self._anchored is not None and self._anchored[0] == target:
            return claimed in allowed | {self._anchored[1]}
        return True

    def _move(self, number: int, digest: bytes) -> None:
        self.head = (number, digest)
        self._hashes[number] = digest
        needed = {number}
        while number := jump_target(number):
            needed.add(number)
        self._hashes = {known: self._hashes[known] for known in needed if known in self._hashes}

    def _sign_in(self, commit: Commit) -> None:
        if commit.kind is not CommitKind.KEY:
            return
        host, public, role, hostname, revoked = (commit.body[key] for key in range(5))
        self.hosts.pop(HostId(host), None)
        if not revoked:
            self.hosts[HostId(host)] = (public, role, hostname)

    # ── writing ──

    def append(
        self,
        kind: CommitKind,
        body: dict[int, Any],
        packs: tuple[tuple[PackId, int], ...] = (),
        *,
        clock_ns: int,
        seed: bytes,
        signer: bytes,
    ) -> Commit:
        """Create the next commit; on return it is durable and the head.

        Raises:
            NumberTaken: another writer was first. SignatureRefused: readers would refuse it; nothing was written.
            RepositoryUnwritable: it is not there, as far as can be told.
        """
        number, previous = self.head[0] + 1, self.head[1]
        data = encode_commit(
            number, kind, previous, self._jump(number), signer, clock_ns, packs, body,
            header_hash=self._header_hash, commit_key=self._commit_key, seed=seed,
        )  # fmt: skip
        self._authenticate(data)
        commit = self._open(data)
        self._create(object_name(number), data)
        self._move(number, hash_of(data))
        self._sign_in(commit)
        return commit

    def _jump(self, number: int) -> bytes:
        target = jump_target(number)
        if target == 0:
            return b""
        if target not in self._hashes:
            self._hashes[target] = hash_of(self._read(target) or b"")
        return self._hashes[target]

    def _create(self, name: str, data: bytes) -> None:
        try:
            self._backend.write(name, data)
        except ObjectExists:
            if self._backend.read(name) != data:
                raise NumberTaken(f"{name} was written by another") from None
        except RepositoryUnwritable:
            try:
                stored = self._backend.read(name)
            except Damaged:
                stored = None
            if stored is None:
                raise
            if stored != data:
                raise NumberTaken(f"{name} was written by another") from None
            # It is there, durably or not: a backend that finds the name taken syncs its folder before it says so.
            try:
                self._backend.write(name, data)
            except ObjectExists:
                return

    # ── the anchor ──

    def check_anchor(self, anchor: Anchor) -> None:
        """Compare the store with what this host last saw. Call it before `advance`, after `restart` or `resume`.

        Raises:
            HistoryRewritten: the anchored commit is gone from the end, or another stands in its place.
        """
        seen = anchor.read()
        if seen is None:
            return
        number, digest = self._anchored = seen
        if self.holds(number, digest):
            if number > self.head[0]:
                self._later.append(number)
            return
        if number == 0:
            raise HistoryRewritten("the repository was replaced by another since this host last saw it")
        last = max(self._listed(), default=0)
        if last < number:
            raise HistoryRewritten(f"the ledger was rolled back from commit {number} to {last}")
        damage = self._damage_of(number)
        if damage is None:
            raise HistoryRewritten(f"the ledger was forked: commit {number} is not the one that this host saw")
        self._later.append(last)
        if number <= self.head[0]:
            self.damaged.append((number, damage))

    def _damage_of(self, number: int) -> Damaged | None:
        """Say why a commit cannot be read, by the hosts of its time: a walk from the start, when all else failed."""
        walk = Ledger(self._backend, self._header_hash, self._admin_public, self._commit_key)
        walk._later = walk._listed()
        for commit in walk.advance():
            if commit.number >= number:
                break
        missing = None
        for at, error in walk.damaged:
            if at == number:
                return error
            if at < number:
                missing = error
        data = self._read(number)
        return missing if data is None else None


class AnchorUnwritable(CasError):
    """This host cannot keep what it saw of the history, so a rollback of it would go unnoticed."""

    hint = "Make room there, or see who may write that folder."


class Anchor:
    """A file of this host: number and hash of the last commit it saw."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[int, bytes] | None:
        """Give number and hash; None if this host saw no commit yet.

        Raises:
            FormatDamaged: the file cannot be read as an anchor.
        """
        try:
            data = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CasError(f"the anchor {self.path} cannot be read: {error.strerror}") from error
        try:
            fields = record.decode_map(data, {0: str, 1: int, 2: bytes}, "anchor")
            magic, number = (record.need(fields, key, "anchor") for key in (0, 1))
            digest = record.need_bytes(fields, 2, 32, "anchor")
        except FormatDamaged:
            magic = ""
        if magic != _MAGIC or not 0 <= number <= MOST_NUMBER:
            # Never as if there were none: that would pass over a rollback in silence.
            raise FormatDamaged(f"the anchor {self.path} is spoilt", hint=_SPOILT)
        return number, digest

    def write(self, number: int, digest: bytes) -> None:
        """Replace number and hash, if they moved; durable on return, and one or the other after a crash.

        Raises:
            AnchorUnwritable: the file cannot be written; the old one stands.
        """
        with suppress(CasError):
            if self.read() == (number, digest):
                return
        try:
            private.replace(self.path, record.encode({0: _MAGIC, 1: number, 2: digest}))
        except OSError as error:
            raise self._unwritable(error) from error

    def check_writable(self) -> None:
        """Find out before a commit whether it can be noted after it.

        Raises:
            AnchorUnwritable: it cannot.
        """
        try:
            private.try_to_replace(self.path, _MOST_BYTES)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> AnchorUnwritable:
        return AnchorUnwritable(f"the anchor {self.path} cannot be written: {error.strerror}")
