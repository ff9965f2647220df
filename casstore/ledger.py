"""The numbered, signed chain of commits.

Invariants: a commit is created only if its number is free, so one number has one commit for all. What cannot be read
costs itself: it is noted in `damaged`, and whoever signs the next states the gap instead of a hash, so that the
commit may come back. What is validly signed and does not chain is another history: that stops the work. Nothing of a
commit is parsed before its signature was verified. A host whose `key` commit is lost is known by its certificate.
docs/format.md § Commit, § Host certificate; DESIGN § 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from casstore.anchor import Anchor
from casstore.backends.base import Backend
from casstore.crypto import hash_of
from casstore.errors import (
    CasError,
    Damaged,
    FormatDamaged,
    HistoryRewritten,
    ObjectExists,
    ObjectMissing,
    SignatureRefused,
)
from casstore.format import certificate
from casstore.format.commit import (
    ACCEPT,
    ADMIN,
    MAX_BYTES,
    MOST_NUMBER,
    ClearCommit,
    Commit,
    CommitKind,
    decode_clear,
    encode_commit,
    jump_target,
    object_name,
    open_commit,
    signer_of,
    verify_signature,
)
from casstore.ids import HostId, PackId

Hosts = dict[HostId, tuple[bytes, int, str]]  # public key (empty: revoked), role, hostname of each host

_GAP = hash_of(b"")  # stands for the hash of a commit that the signer could not read
NEAR = 4096  # a gap of so many commits is passed over; a wider one only if a commit behind it is validly signed


class NumberTaken(CasError):
    """Another writer's commit has the number; advance over it and try again."""


class Ledger:
    """Follows the chain from where it stands, and appends to it."""

    def __init__(self, backend: Backend, header_hash: bytes, admin_public: bytes, commit_key: bytes) -> None:
        self._backend, self.header_hash = backend, header_hash
        self._admin_public, self._commit_key = admin_public, commit_key
        self.restart()

    def restart(self) -> None:
        """Stand before the first commit."""
        self.resume(0, self.header_hash, {})

    def resume(self, number: int, digest: bytes, hosts: Mapping[HostId, tuple[bytes, int, str]]) -> None:
        """Stand behind a commit that was checked before, with the hosts that were signed in then."""
        self.head = self._read_last = (number, digest)  # the head may be a gap
        self.hosts: Hosts = dict(hosts)
        self.damaged: list[tuple[int, Damaged]] = []  # numbers that could not be read since
        self._hashes = {number: digest}  # of those that the commits to come may link to; O(log n) of them
        self._anchored: tuple[int, bytes] | None = None
        self._later: list[int] = []  # numbers known to exist, so that what lacks before them is a gap

    def holds(self, number: int, digest: bytes) -> bool:
        """Tell whether the commit of that number is stored, with that hash; number 0 is the header."""
        if number == 0:
            return digest == self.header_hash
        data = self._read(number)
        return isinstance(data, bytes) and hash_of(data) == digest

    @property
    def seen(self) -> tuple[int, bytes]:
        """Number and hash of the last commit that was read, now or when the anchor was written."""
        return max(self._read_last, self._anchored or self._read_last)

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
            if commit is None:
                self._move(number, _GAP)
            else:
                self._move(number, commit.id)
                self._read_last = self.head
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

    def _next(self) -> tuple[int, bytes | Damaged] | None:
        """Read the next commit, over a gap if something lies behind it."""
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
        following = self._later[0] if self._later else MOST_NUMBER
        if following - number > NEAR and not any(map(self._is_signed, self._later)):
            self._later = []  # a stranger's object, put there to use up the numbers
            return None
        gap = f"the commits from {number} to {following - 1} are missing"
        one = following == number + 1
        self.damaged.append((number, ObjectMissing(object_name(number)) if one else Damaged(gap)))
        self._move(following - 1, _GAP)
        return self._next()

    def _is_signed(self, number: int) -> bool:
        data = self._read(number)
        try:
            return isinstance(data, bytes) and self._authenticate(data).number == number
        except Damaged:
            return False

    def _read(self, number: int) -> bytes | Damaged | None:
        """Give the stored bytes, why they cannot be had, or None if there are none."""
        try:
            data = self._backend.read(object_name(number), 0, MAX_BYTES + 1)
        except ObjectMissing:
            return None
        except Damaged as error:
            return error
        return data if len(data) <= MAX_BYTES else FormatDamaged("a commit is too long")

    def _listed(self) -> list[int]:
        names = (name.rpartition("/")[2] for name, _ in self._backend.list("ledger"))
        numbers = (int(name) for name in names if len(name) == 20 and name.isascii() and name.isdigit())
        return sorted(number for number in numbers if 1 <= number < MOST_NUMBER)

    def _take(self, number: int, data: bytes | Damaged) -> Commit | None:
        """Check one commit; None if it is damaged, which is noted."""
        try:
            if isinstance(data, Damaged):
                raise data
            clear = self._authenticate(data)
            self._check_chain(number, clear)
            return self._open(data)
        except Damaged as error:
            self.damaged.append((number, error))
            return None

    def _authenticate(self, data: bytes) -> ClearCommit:
        """Check who signed a commit, then read its clear part.

        Raises:
            Damaged, SignatureRefused: it is not what a known signer wrote. FormatTooNew: a known signer wrote that.
        """
        signer = signer_of(data)
        public = self._admin_public if signer == ADMIN else self._public_of(signer)
        if not public:
            raise SignatureRefused("a commit is signed by a host that is not signed in")
        if not verify_signature(data, self.header_hash, public):
            raise SignatureRefused("a commit has a signature that does not hold")
        clear = decode_clear(data)
        by_admin = clear.signer == ADMIN
        if clear.kind is not CommitKind.NOTE and by_admin == (clear.kind is CommitKind.SNAPSHOT):
            raise SignatureRefused(f"commit {clear.number} is a {clear.kind.name.lower()} by one who may not sign it")
        return clear

    def _public_of(self, host: HostId) -> bytes:
        """Give the public key of a host, b"" if nobody vouches for it."""
        if host not in self.hosts:
            try:
                self.hosts[host] = (*self.certified(host), "")
            except Damaged:
                return b""
        return self.hosts[host][0]

    def certified(self, host: HostId) -> tuple[bytes, int]:
        """Give public key and role of a host by its certificate.

        Raises:
            Damaged: there is none that holds.
        """
        data = self._backend.read(certificate.object_name(host), 0, certificate.MAX_BYTES + 1)
        return certificate.open_certificate(data, host, header_hash=self.header_hash, admin_public=self._admin_public)

    def _open(self, data: bytes) -> Commit:
        commit = open_commit(data, self.header_hash, self._commit_key)
        if commit.kind is CommitKind.NOTE and (commit.signer == ADMIN) != (commit.body[0] == ACCEPT):
            raise SignatureRefused(f"commit {commit.number} is a note by one who may not sign it")
        return commit

    def _check_chain(self, number: int, clear: ClearCommit) -> None:
        if clear.number != number:
            raise FormatDamaged(f"commit {clear.number} lies in the place of commit {number}")
        for target, claimed in ((number - 1, clear.previous), (jump_target(number), clear.jump)):
            if claimed and not self._links(target, claimed):
                raise HistoryRewritten(f"commit {number} does not follow the commit {target} that is there")

    def _links(self, target: int, claimed: bytes) -> bool:
        """Whether a signed commit that claims this hash of `target` can stand in this ledger."""
        known = self._hashes.get(target)
        if claimed == known:
            return True
        if target == 0 or (known is not None and known != _GAP):
            return target != 0 and claimed == _GAP
        if claimed == _GAP:
            return True
        data = self._read(target)
        if isinstance(data, bytes):
            if hash_of(data) == claimed:
                return True
            try:
                if self._authenticate(data).number == target:
                    return False
            except Damaged:
                pass
        # What lies there now cannot be read, so only the anchor may still know what it was.
        return self._anchored is None or self._anchored[0] != target or self._anchored[1] == claimed

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
        self.hosts[HostId(host)] = (b"" if revoked else public, role, hostname)

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
            RepositoryUnwritable: it is not acknowledged, though its bytes may be there.
        """
        number, previous = self.head[0] + 1, self.head[1]
        data = encode_commit(
            number, kind, previous, self._jump(number), signer, clock_ns, packs, body,
            header_hash=self.header_hash, commit_key=self._commit_key, seed=seed,
        )  # fmt: skip
        self._authenticate(data)
        commit = self._open(data)
        try:
            self._backend.write(object_name(number), data)
        except ObjectExists:
            if self._read(number) != data:
                raise NumberTaken(f"{object_name(number)} was written by another") from None
        self._move(number, commit.id)
        self._read_last = self.head
        self._sign_in(commit)
        return commit

    def _jump(self, number: int) -> bytes:
        target = jump_target(number)
        if target == 0:
            return b""
        if target not in self._hashes:
            data = self._read(target)
            self._hashes[target] = hash_of(data) if isinstance(data, bytes) and self._is_signed(target) else _GAP
        return self._hashes[target]

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
        damage, last = self._walked(number)
        if damage is None:
            raise HistoryRewritten(f"the ledger was forked: commit {number} is not the one that this host saw")
        rotted = last == number - 1 and self._read(number) is not None
        if last < number and not rotted:
            for unread in map(self._read, range(last + 1, min(number, last + NEAR) + 1)):
                if isinstance(unread, Damaged):
                    raise unread  # a disk that cannot read is no rollback
            raise HistoryRewritten(f"the ledger was rolled back from commit {number} to {last}")
        self._later.append(max(last, number))
        if number <= self.head[0]:
            self.damaged.append((number, damage))

    def _walked(self, number: int) -> tuple[Damaged | None, int]:
        """Say why a commit cannot be read (None: it can), and which is the last that can, by a walk from the start."""
        walk = Ledger(self._backend, self.header_hash, self._admin_public, self._commit_key)
        walk._later = walk._listed()
        read = any([commit.number == number for commit in walk.advance()])  # noqa: C419 (the walk goes to the end)
        damage = [error for at, error in walk.damaged if at <= number]
        return None if read else damage[-1] if damage else ObjectMissing(object_name(number)), walk.seen[0]
