"""The ledger: who may sign what, what chains, and what a host notices."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.anchor import Anchor
from casstore.backends.memory import MemoryBackend
from casstore.crypto import hash_of, host_id, public_key
from casstore.errors import (
    Damaged,
    FormatDamaged,
    FormatTooNew,
    HistoryRewritten,
    ObjectMissing,
    RepositoryUnwritable,
    SignatureRefused,
)
from casstore.format.commit import ADMIN, Commit, CommitKind, decode_clear, encode_commit, object_name
from casstore.ids import HostId
from casstore.ledger import Ledger, NumberTaken

HEADER, KEY = hash_of(b"header"), bytes([3]) * 32
ADMIN_SEED, ONE, TWO = (bytes([n]) * 32 for n in (10, 11, 12))


def ledger_of(backend: MemoryBackend) -> Ledger:
    return Ledger(backend, HEADER, public_key(ADMIN_SEED), KEY)


def read(backend: MemoryBackend) -> tuple[Ledger, list[Commit]]:
    ledger = ledger_of(backend)
    return ledger, list(ledger.advance())


def sign_in(ledger: Ledger, seed: bytes, revoked: int = 0) -> Commit:
    public = public_key(seed)
    body = {0: host_id(public), 1: public, 2: 3, 3: "dyne", 4: revoked}
    return ledger.append(CommitKind.KEY, body, clock_ns=1, seed=ADMIN_SEED, signer=ADMIN)


def note(ledger: Ledger, what: str = "verified", seed: bytes = ONE, signer: HostId | None = None) -> Commit:
    named = host_id(public_key(seed)) if signer is None else signer
    return ledger.append(CommitKind.NOTE, {0: what, 1: {}}, clock_ns=1, seed=seed, signer=named)


def made(commits: int) -> MemoryBackend:
    backend = MemoryBackend()
    ledger = ledger_of(backend)
    sign_in(ledger, ONE)
    sign_in(ledger, TWO)
    while ledger.head[0] < commits:
        note(ledger)
    return backend


def copy(backend: MemoryBackend) -> MemoryBackend:
    twin = MemoryBackend()
    twin.objects = dict(backend.objects)
    return twin


def forged(
    ledger: Ledger, kind: CommitKind, body: dict[int, object], seed: bytes, signer: bytes, **other: bytes
) -> bytes:
    """What someone who does not ask `append` would write next."""
    number, previous = ledger.head
    jump = ledger._jump(number + 1)
    fields = {"previous": previous, "jump": jump} | other
    return encode_commit(
        number + 1, kind, fields["previous"], fields["jump"], signer, 1, (), body, header_hash=HEADER,
        commit_key=KEY, seed=seed,
    )  # fmt: skip


def test_what_is_appended_is_read_back_in_order() -> None:
    backend = made(70)
    ledger, commits = read(backend)
    assert [commit.number for commit in commits] == list(range(1, 71))
    assert ledger.head == (70, hash_of(backend.objects[object_name(70)]))
    assert not ledger.damaged
    assert set(ledger.hosts) == {host_id(public_key(ONE)), host_id(public_key(TWO))}


@given(st.integers(0, 40), st.integers(1, 40))
def test_a_ledger_resumes_anywhere(first: int, more: int) -> None:
    backend = made(2)
    ledger, _ = read(backend)
    for _ in range(first):
        note(ledger)
    resumed = ledger_of(backend)
    resumed.resume(*ledger.head, ledger.hosts)
    for _ in range(more):
        note(ledger)
    assert len(list(resumed.advance())) == more
    assert (resumed.head, resumed.damaged) == (ledger.head, [])
    again = ledger_of(backend)
    again.resume(*ledger.head, ledger.hosts)
    note(again)
    assert not read(backend)[0].damaged


# ── who may sign what ──


def test_a_forged_signature_is_refused() -> None:
    backend = made(3)
    ledger, _ = read(backend)
    signer = host_id(public_key(ONE))
    backend.write(object_name(4), forged(ledger, CommitKind.NOTE, {0: "verified", 1: {}}, TWO, signer))
    assert not list(ledger.advance())
    assert [(number, type(error)) for number, error in ledger.damaged] == [(4, SignatureRefused)]
    assert note(ledger).number == 5
    assert [commit.number for commit in read(backend)[1]] == [1, 2, 3, 5]


def test_a_stranger_is_refused() -> None:
    with pytest.raises(SignatureRefused):
        note(read(made(2))[0], seed=bytes(32))


def test_a_revoked_host_is_refused_from_then_on() -> None:
    backend = made(4)
    ledger, _ = read(backend)
    sign_in(ledger, ONE, revoked=1)
    with pytest.raises(SignatureRefused):
        note(ledger)
    assert len(read(backend)[1]) == 5


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CommitKind.FORGET, {}), (CommitKind.CONDEMN, {}), (CommitKind.CHECKPOINT, {}), (CommitKind.LOST, {}),
        (CommitKind.NOTE, {0: "accept", 1: {}}),
        (CommitKind.KEY, {0: host_id(public_key(bytes(32))), 1: public_key(bytes(32)), 2: 3, 3: "x", 4: 0}),
    ],
)  # fmt: skip
def test_a_host_may_not_sign_what_is_the_admins(kind: CommitKind, body: dict[int, object]) -> None:
    backend = made(3)
    ledger, _ = read(backend)
    signer = host_id(public_key(ONE))
    with pytest.raises(SignatureRefused):
        ledger.append(kind, body, clock_ns=1, seed=ONE, signer=signer)
    backend.write(object_name(4), forged(ledger, kind, body, ONE, signer))
    assert not list(ledger.advance())
    assert isinstance(ledger.damaged[0][1], SignatureRefused)
    assert len(ledger.hosts) == 2


def test_the_admin_signs_the_note_accept_and_no_other() -> None:
    ledger, _ = read(made(2))
    note(ledger, "accept", ADMIN_SEED, ADMIN)
    with pytest.raises(SignatureRefused):
        note(ledger, "verified", ADMIN_SEED, ADMIN)


def test_what_the_admin_signed_in_a_newer_version_is_not_passed_over() -> None:
    backend = made(3)
    ledger, _ = read(backend)
    backend.write(object_name(4), forged(ledger, CommitKind.FORGET, {}, ADMIN_SEED, ADMIN))
    with pytest.raises(FormatTooNew):
        list(ledger.advance())
    assert ledger.head[0] == 3


# ── damage ──

RUIN: list[Callable[[bytes], bytes]] = [
    lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    lambda data: data[:4] + b"\x02" + data[5:],
    lambda data: data[:40],
    lambda data: b"",
]


@pytest.mark.parametrize("number", range(3, 17))
def test_a_ruined_commit_costs_itself_only(number: int) -> None:
    backend = made(20)
    for ruin in RUIN:
        spoilt = copy(backend)
        spoilt.objects[object_name(number)] = ruin(spoilt.objects[object_name(number)])
        ledger, commits = read(spoilt)
        assert len(commits) == 19
        assert [at for at, _ in ledger.damaged] == [number]
        note(ledger)
        assert len(read(spoilt)[1]) == 20


def test_a_host_that_resumes_at_a_ruined_commit_goes_on() -> None:
    backend = made(8)
    after, _ = read(backend)
    backend.objects[object_name(8)] = RUIN[0](backend.objects[object_name(8)])
    ledger, _ = read(backend)
    note(after)
    assert [commit.number for commit in ledger.advance()] == [9]


def test_one_missing_commit_is_a_gap_and_not_the_end() -> None:
    backend = made(9)
    backend.delete(object_name(5))
    ledger, commits = read(backend)
    assert [commit.number for commit in commits] == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [(number, type(error)) for number, error in ledger.damaged] == [(5, ObjectMissing)]


def test_a_wide_gap_is_found_by_a_check() -> None:
    backend = made(9)
    for number in (4, 5, 6):
        backend.delete(object_name(number))
    ledger = ledger_of(backend)
    assert [number for number, _ in ledger.check()] == [4]
    assert ledger.head[0] == 9
    note(ledger)
    assert not {4, 5, 6} & {commit.number for commit in read(backend)[1]}


# ── another history ──


def test_a_fork_does_not_chain() -> None:
    backend = made(5)
    twin = copy(backend)
    for each in (backend, twin):
        ledger, _ = read(each)
        note(ledger)
        note(ledger)
    backend.objects[object_name(7)] = twin.objects[object_name(7)]
    with pytest.raises(HistoryRewritten):
        read(backend)


def test_a_jump_that_leads_to_another_history_is_noticed() -> None:
    backend = made(5)
    ledger, _ = read(backend)
    signer = host_id(public_key(ONE))
    data = forged(ledger, CommitKind.NOTE, {0: "verified", 1: {}}, ONE, signer, jump=bytes(32))
    backend.write(object_name(6), data)
    resumed = ledger_of(backend)
    resumed.resume(*ledger.head, ledger.hosts)
    for each in (ledger, resumed):
        with pytest.raises(HistoryRewritten):
            list(each.advance())


def test_a_commit_under_anothers_number_is_damage_there_and_nothing_else() -> None:
    backend = made(5)
    backend.objects[object_name(6)] = backend.objects[object_name(5)]
    ledger, commits = read(backend)
    assert len(commits) == 5
    assert [number for number, _ in ledger.damaged] == [6]
    note(ledger)
    assert len(read(backend)[1]) == 6


def test_another_header_opens_no_ledger() -> None:
    ledger = Ledger(made(3), hash_of(b"another"), public_key(ADMIN_SEED), KEY)
    assert not list(ledger.advance())
    assert len(ledger.damaged) == 3


# ── the anchor ──


def anchored(backend: MemoryBackend, folder: Path) -> Anchor:
    anchor = Anchor(folder / "state" / "anchor")
    anchor.write(*read(backend)[0].head)
    return anchor


def test_an_anchor_keeps_number_and_hash_for_its_owner_only(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "new" / "anchor")
    assert anchor.read() is None
    for number in (1, 2):
        anchor.write(number, hash_of(b"x"))
    assert anchor.read() == (2, hash_of(b"x"))
    assert stat.S_IMODE(anchor.path.stat().st_mode) == 0o600
    assert list(anchor.path.parent.iterdir()) == [anchor.path]


def test_a_spoilt_anchor_is_told_with_its_path_and_not_taken_for_none(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor")
    for spoilt in (b"", b"\x81", b"\x80", b"\x92\x01\xc4\x01x"):
        anchor.path.write_bytes(spoilt)
        with pytest.raises(FormatDamaged, match=str(anchor.path)) as told:
            anchor.read()
        assert "Remove" in told.value.hint


def test_a_ledger_that_went_on_agrees_with_the_anchor(tmp_path: Path) -> None:
    backend = made(5)
    anchor = anchored(backend, tmp_path)
    note(read(backend)[0])
    ledger_of(backend).check_anchor(anchor)
    ledger = read(backend)[0]
    ledger.check_anchor(anchor)
    assert not ledger.damaged


def test_a_rollback_is_noticed(tmp_path: Path) -> None:
    backend = made(6)
    anchor = anchored(backend, tmp_path)
    full, _ = read(backend)
    backend.delete(object_name(6))
    backend.delete(object_name(5))
    for ledger in (ledger_of(backend), full):
        with pytest.raises(HistoryRewritten, match="rolled back from commit 6 to 4"):
            ledger.check_anchor(anchor)


@pytest.mark.parametrize("more", [0, 2])
def test_a_fork_is_noticed(tmp_path: Path, more: int) -> None:
    backend = made(5)
    twin = copy(backend)
    note(read(backend)[0])
    anchor = anchored(backend, tmp_path)
    forked, _ = read(twin)
    for _ in range(1 + more):
        note(forked)
    for ledger in (ledger_of(twin), forked):
        with pytest.raises(HistoryRewritten, match="forked: commit 6"):
            ledger.check_anchor(anchor)


def test_another_history_cannot_hide_behind_a_ruined_commit(tmp_path: Path) -> None:
    backend = made(4)
    twin = copy(backend)
    note(read(backend)[0])
    anchor = anchored(backend, tmp_path)
    forked, _ = read(twin)
    note(forked)
    note(forked)
    twin.objects[object_name(5)] = b"ruined"
    ledger = ledger_of(twin)
    ledger.check_anchor(anchor)
    with pytest.raises(HistoryRewritten):
        list(ledger.advance())


def test_an_anchored_commit_that_rotted_or_vanished_is_damage_and_no_fork(tmp_path: Path) -> None:
    backend = made(6)
    anchor = anchored(backend, tmp_path)
    note(read(backend)[0])
    for ruin in RUIN:
        spoilt = copy(backend)
        spoilt.objects[object_name(6)] = ruin(spoilt.objects[object_name(6)])
        ledger = ledger_of(spoilt)
        ledger.check_anchor(anchor)
        assert len(list(ledger.advance())) == 6
        assert [number for number, _ in ledger.damaged] == [6]
    backend.delete(object_name(6))
    ledger = ledger_of(backend)
    ledger.check_anchor(anchor)
    assert len(list(ledger.advance())) == 6


def test_a_gap_below_the_anchor_is_found_without_a_check(tmp_path: Path) -> None:
    backend = made(9)
    anchor = anchored(backend, tmp_path)
    for number in (4, 5, 6):
        backend.delete(object_name(number))
    ledger = ledger_of(backend)
    ledger.check_anchor(anchor)
    assert [commit.number for commit in ledger.advance()] == [1, 2, 3, 7, 8, 9]
    assert [number for number, _ in ledger.damaged] == [4]


class Counting(MemoryBackend):
    reads = 0

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.reads += 1
        return super().read(name, offset, length)


def test_an_unchanged_ledger_costs_three_reads(tmp_path: Path) -> None:
    backend = Counting()
    backend.objects = made(30).objects
    anchor = anchored(backend, tmp_path)
    before, _ = read(backend)
    ledger = ledger_of(backend)
    ledger.resume(*before.head, before.hosts)
    backend.reads = 0
    ledger.check_anchor(anchor)
    assert not list(ledger.advance())
    assert backend.reads == 3  # the anchored commit, the next number, and the one behind it, lest this be a gap


# ── writers ──


def test_two_writers_race_for_a_number_and_both_end_up_in() -> None:
    backend = made(3)
    one, two = read(backend)[0], read(backend)[0]
    first = note(one)
    with pytest.raises(NumberTaken):
        note(two, seed=TWO)
    assert list(two.advance()) == [first]
    assert note(two, seed=TWO).number == 5
    assert [commit.number for commit in read(backend)[1]] == [1, 2, 3, 4, 5]


class Fails(MemoryBackend):
    """Tells of a failure once, after the write or instead of it."""

    fails = 0
    keeps = True

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        if self.fails:
            self.fails -= 1
            if self.keeps:
                super().write(name, data)
            raise RepositoryUnwritable("Input/output error")
        super().write(name, data)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_write_that_failed_is_told_and_never_acknowledged_though_it_may_be_there(keeps: bool) -> None:
    backend = Fails()
    backend.objects = made(3).objects
    ledger, _ = read(backend)
    backend.fails, backend.keeps = 1, keeps
    with pytest.raises(RepositoryUnwritable):
        note(ledger)
    if keeps:
        with pytest.raises(NumberTaken):
            note(ledger)
    assert len(list(ledger.advance())) == keeps
    assert note(ledger).number == 4 + keeps
    assert not read(backend)[0].damaged


# ── what cannot be read for a while ──


class Flaky(MemoryBackend):
    """Cannot read the objects in `bad`."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[str] = set()

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name in self.bad:
            raise Damaged(f"{name} cannot be read: Input/output error")
        return super().read(name, offset, length)


@pytest.mark.parametrize("number", range(3, 12))
def test_a_commit_that_could_not_be_read_for_a_while_breaks_no_chain(number: int) -> None:
    backend = Flaky()
    backend.objects = made(number).objects
    backend.bad = {object_name(number)}
    ledger, commits = read(backend)
    assert (len(commits), ledger.head[0], ledger.seen[0]) == (number - 1, number, number - 1)
    while ledger.head[0] < 17:  # as the one before, and as the target of jumps
        note(ledger)
    backend.bad = set()
    after, commits = read(backend)
    assert (len(commits), after.damaged) == (17, [])


def test_a_ruined_commit_that_is_brought_back_takes_its_place_again() -> None:
    backend = made(8)
    kept = backend.objects[object_name(8)]
    backend.objects[object_name(8)] = RUIN[0](kept)
    ledger, _ = read(backend)
    note(ledger)
    backend.objects[object_name(8)] = kept
    after, commits = read(backend)
    assert (len(commits), after.damaged) == (9, [])


def test_an_old_commit_that_cannot_be_read_when_a_jump_needs_it_breaks_no_chain() -> None:
    backend = Flaky()
    backend.objects = made(11).objects
    ledger, _ = read(backend)
    resumed = ledger_of(backend)
    resumed.resume(*ledger.head, ledger.hosts)
    backend.bad = {object_name(8)}
    note(resumed)  # 12, whose jump leads to 8
    backend.bad = set()
    assert not read(backend)[0].damaged


# ── what strangers put there ──


@pytest.mark.parametrize("planted", [[5], [5, 900], [2**63 - 2], [6, 7, 8]])
def test_what_strangers_put_among_the_commits_ends_no_ledger(planted: list[int]) -> None:
    backend = made(3)
    for number in planted:
        backend.write(object_name(number), b"garbage")
    ledger, _ = read(backend)
    for _ in range(5):
        try:
            note(ledger)
        except NumberTaken:
            list(ledger.advance())
    after, commits = read(backend)
    assert len(commits) >= 6
    assert after.head[0] < 1000


def test_a_rollback_that_is_dressed_as_damage_is_a_rollback(tmp_path: Path) -> None:
    backend = made(9)
    anchor = anchored(backend, tmp_path)
    for number in (7, 8, 9):
        backend.delete(object_name(number))
    backend.write(object_name(9), b"garbage")
    with pytest.raises(HistoryRewritten, match="rolled back from commit 9 to 6"):
        ledger_of(backend).check_anchor(anchor)


def test_nothing_of_a_commit_is_parsed_before_its_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = made(3)
    data = bytearray(backend.objects[object_name(3)])
    data[-1] ^= 1
    backend.objects[object_name(3)] = bytes(data)
    parsed: list[bytes] = []
    monkeypatch.setattr("casstore.ledger.decode_clear", lambda data: parsed.append(data) or decode_clear(data))
    read(backend)
    assert [hash_of(data) for data in parsed] == [hash_of(backend.objects[object_name(n)]) for n in (1, 2)]


def test_a_commit_of_any_length_is_not_read_beyond_what_one_may_have() -> None:
    class Endless(MemoryBackend):
        def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            assert length is not None
            return bytes(length) if name == object_name(3) else super().read(name, offset, length)

    backend = Endless()
    backend.objects = made(2).objects
    ledger, _ = read(backend)
    assert [number for number, _ in ledger.damaged][:1] == [3]


@given(st.binary(max_size=200))
def test_any_bytes_in_the_ledger_are_damage_and_no_crash(data: bytes) -> None:
    backend = made(2)
    backend.write(object_name(3), data)
    ledger, commits = read(backend)
    assert (len(commits), ledger.head[0], len(ledger.damaged)) == (2, 3, 1)
