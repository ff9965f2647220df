"""Commits: bytes and values, and what a reader refuses."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.crypto import Unauthentic, hash_of, host_id, public_key
from casstore.entry import Root
from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.commit import (
    ADMIN,
    CommitKind,
    accepted_from_commit,
    accepted_to_body,
    decode_clear,
    encode_commit,
    jump_target,
    object_name,
    open_commit,
    snapshot_from_commit,
    snapshot_to_body,
    verify_signature,
)
from casstore.ids import ChunkId, HostId, PackId, SnapshotId
from casstore.losses import Accepted, Guarded, How, Loss
from casstore.snapshot import Asked, Flush, Outcome, Snapshot

HEADER, KEY, SEED = hash_of(b"header"), bytes([3]) * 32, bytes([2]) * 32
PUBLIC = public_key(SEED)
HOST = host_id(PUBLIC)
SNAPSHOT = Snapshot(
    id=SnapshotId(bytes(32)), number=0, host=HostId(bytes(16)), clock_ns=7, time_ns=-5, zone_minutes=-180,
    hostname="dyne", name="home", tags=("a", "b"), origin=b"/home/\xff", pre_restore=True,
    manifest=Root(1, 99, (ChunkId(bytes([9]) * 32),)), program="cas 0.1", files=1, folders=2, others=3, new=4,
    changed=5, unchanged=6, problems=7, torn=8, size=9, read=10, added=11, stored=12, duration_ns=13, previous=2,
    unproven_since_ns=14,
    guarded=Guarded(2, 3, (Loss(b"a.json", How.VANISHED, 9, 0), Loss(b"b.json", How.THINNED, 500, 2))),
    flush=Flush(Asked.SIGNAL, Outcome.REFUSED, 15, True),
)  # fmt: skip
PACKS = ((PackId(bytes([5]) * 32), 1000), (PackId(bytes([6]) * 32), 1))


def stored(body: dict[int, Any], kind: CommitKind = CommitKind.SNAPSHOT, number: int = 6, **other: Any) -> bytes:
    jump = hash_of(b"jump") if jump_target(number) else b""
    fields: dict[str, Any] = {"previous": HEADER, "jump": jump, "signer": HOST, "clock_ns": 7, "packs": PACKS} | other
    return encode_commit(number, kind, body=body, header_hash=HEADER, commit_key=KEY, seed=SEED, **fields)


def test_a_snapshot_comes_back_from_its_commit() -> None:
    data = stored(snapshot_to_body(SNAPSHOT))
    commit = open_commit(data, HEADER, KEY)
    assert (commit.number, commit.kind, commit.signer, commit.packs) == (6, CommitKind.SNAPSHOT, HOST, PACKS)
    assert (commit.id, commit.stored) == (hash_of(data), data)
    assert snapshot_from_commit(commit) == replace(SNAPSHOT, id=SnapshotId(hash_of(data)), number=6, host=HOST)


def test_the_clear_part_is_read_without_a_key() -> None:
    clear = decode_clear(stored(snapshot_to_body(SNAPSHOT)))
    assert (clear.number, clear.previous, clear.jump, clear.clock_ns) == (6, HEADER, hash_of(b"jump"), 7)


def test_a_commit_is_named_by_twenty_digits() -> None:
    assert object_name(42) == "ledger/00000000000000000042"


def test_a_jump_leaves_out_the_largest_power_of_two() -> None:
    assert [jump_target(number) for number in (1, 2, 3, 6, 7, 8, 12)] == [0, 0, 2, 4, 6, 0, 8]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_breaks_the_signature(at: int, change: int) -> None:
    data = bytearray(stored(snapshot_to_body(SNAPSHOT)))
    assert verify_signature(bytes(data), HEADER, PUBLIC)
    data[at % len(data)] ^= change
    assert not verify_signature(bytes(data), HEADER, PUBLIC)


def test_a_signature_holds_for_one_repository_only() -> None:
    assert not verify_signature(stored(snapshot_to_body(SNAPSHOT)), hash_of(b"another"), PUBLIC)


def test_a_changed_clear_part_does_not_open() -> None:
    data = stored(snapshot_to_body(SNAPSHOT), clock_ns=7)
    clear = record.encode(7)
    at = data.index(b"\x04" + clear + b"\x05")
    with pytest.raises(Unauthentic):
        open_commit(data[: at + 1] + b"\x08" + data[at + 2 :], HEADER, KEY)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Unauthentic):
        open_commit(stored(snapshot_to_body(SNAPSHOT)), HEADER, bytes(32))


def test_the_first_commit_of_another_repository_is_refused() -> None:
    with pytest.raises(Unauthentic):
        open_commit(stored(snapshot_to_body(replace(SNAPSHOT, previous=0)), number=1), hash_of(b"another"), KEY)


@pytest.mark.parametrize("kind", [CommitKind.FORGET, CommitKind.CONDEMN, CommitKind.CHECKPOINT, CommitKind.LOST])
def test_reserved_kinds_are_too_new(kind: CommitKind) -> None:
    with pytest.raises(FormatTooNew):
        open_commit(stored({}, kind, signer=ADMIN), HEADER, KEY)


def test_another_version_is_too_new() -> None:
    data = stored(snapshot_to_body(SNAPSHOT))
    with pytest.raises(FormatTooNew):
        decode_clear(data[:4] + b"\x02" + data[5:])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (1, 24 * 60), (4, ["a", 1]), (5, b"relative"), (5, b"/a\0b"), (6, [0, 1, b""]), (7, 3), (8, [1] * 7),
        (8, [1] * 7 + [-1]), (9, [1, 2, 3, "4"]), (10, -1), (12, 6), (2, b"bytes"),
        (14, []), (14, [6, 1, []]), (14, [0, 1, []]), (14, [1, 0, []]), (14, [1, 1, [[b"a", 6, 1, 0]]]),
        (14, [1, 1, [[b"", 1, 1, 0]]]), (14, [1, 1, [[b"a", 1, -1, 0]]]), (14, [1, 1, [[b"a", 1, 1]]]),
        (14, [1, 1, [[b"a", 1, 1, 0], [b"b", 1, 1, 0]]]),
        (15, []), (15, [1, 1, 5]), (15, [0, 1, 5, 0]), (15, [4, 1, 5, 0]), (15, [1, 6, 5, 0]), (15, [1, 1, -1, 0]),
        (15, [1, 1, 5, 2]), (15, [1, 1, 5, True]), (15, [1, "1", 5, 0]),
    ],
)  # fmt: skip
def test_a_snapshot_with_an_impossible_field_is_refused(field: int, value: object) -> None:
    with pytest.raises(FormatDamaged):
        open_commit(stored(snapshot_to_body(SNAPSHOT) | {field: value}), HEADER, KEY)


def test_a_snapshot_that_lacks_a_field_is_refused() -> None:
    body = snapshot_to_body(SNAPSHOT)
    del body[11]
    with pytest.raises(FormatDamaged):
        open_commit(stored(body), HEADER, KEY)


def test_a_snapshot_that_lost_nothing_has_no_such_field() -> None:
    body = snapshot_to_body(replace(SNAPSHOT, guarded=None))
    assert 14 not in body
    assert snapshot_from_commit(open_commit(stored(body), HEADER, KEY)).guarded is None


def test_a_snapshot_before_which_nobody_was_asked_has_no_flush() -> None:
    body = snapshot_to_body(replace(SNAPSHOT, flush=None))
    assert 15 not in body
    assert snapshot_from_commit(open_commit(stored(body), HEADER, KEY)).flush is None


@given(
    st.builds(Flush, st.sampled_from(Asked), st.sampled_from(Outcome), st.integers(0, 2**63 - 1), st.booleans()),
)
def test_any_flush_comes_back_from_its_commit(flush: Flush) -> None:
    body = snapshot_to_body(replace(SNAPSHOT, flush=flush))
    assert snapshot_from_commit(open_commit(stored(body), HEADER, KEY)).flush == flush


@pytest.mark.parametrize("outcome", Outcome)
def test_unflushed_is_what_runs_and_did_not_acknowledge(outcome: Outcome) -> None:
    snapshot = replace(SNAPSHOT, flush=Flush(Asked.HTTP, outcome, 1))
    assert snapshot.is_unflushed == (outcome not in (Outcome.ACKNOWLEDGED, Outcome.NOT_RUNNING))


@pytest.mark.parametrize(("pre_restore", "imported"), [(False, False), (True, False), (False, True)])
def test_a_snapshot_says_what_was_read(pre_restore: bool, imported: bool) -> None:
    body = snapshot_to_body(replace(SNAPSHOT, pre_restore=pre_restore, imported=imported))
    read = snapshot_from_commit(open_commit(stored(body), HEADER, KEY))
    assert (read.pre_restore, read.imported) == (pre_restore, imported)


def test_of_many_losses_the_first_64_are_listed_and_all_are_counted() -> None:
    losses = tuple(Loss(b"%d.json" % n, How.VANISHED, 9, 0) for n in range(100))
    body = snapshot_to_body(replace(SNAPSHOT, guarded=Guarded(2, 100, losses)))
    assert snapshot_from_commit(open_commit(stored(body), HEADER, KEY)).guarded == Guarded(2, 100, losses[:64])


ACCEPTED = Accepted(6, ("dyne", "home", b"/home/ada"), (b"data/users.json",))


def test_what_was_accepted_comes_back_from_its_note() -> None:
    data = stored(accepted_to_body(ACCEPTED), CommitKind.NOTE, signer=ADMIN)
    assert accepted_from_commit(open_commit(data, HEADER, KEY)) == ACCEPTED


@pytest.mark.parametrize(
    "body",
    [
        {0: "accept", 1: {}},
        {0: "proven", 1: {0: "dyne", 1: "home", 2: b"/", 3: []}},
        {0: "accept", 1: {0: "dyne", 1: "home", 2: b"/"}},
        {0: "accept", 1: {0: "dyne", 1: "home", 2: b"/", 3: ["a"]}},
    ],
)
def test_another_note_accepts_no_loss(body: dict[int, Any]) -> None:
    assert accepted_from_commit(open_commit(stored(body, CommitKind.NOTE, signer=ADMIN), HEADER, KEY)) is None


def test_a_host_accepts_no_loss() -> None:
    data = stored(accepted_to_body(ACCEPTED), CommitKind.NOTE)
    assert accepted_from_commit(open_commit(data, HEADER, KEY)) is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    commit = open_commit(stored(snapshot_to_body(SNAPSHOT) | {64: "later"}), HEADER, KEY)
    assert snapshot_from_commit(commit).name == "home"


@pytest.mark.parametrize(
    "body",
    [
        {0: bytes(16), 1: PUBLIC, 2: 3, 3: "dyne", 4: 0},
        {0: HOST, 1: PUBLIC[:31], 2: 3, 3: "dyne", 4: 0},
        {0: HOST, 1: PUBLIC, 2: 4, 3: "dyne", 4: 0},
        {0: HOST, 1: PUBLIC, 2: 3, 3: "dyne", 4: 2},
    ],
)
def test_a_key_commit_of_an_impossible_host_is_refused(body: dict[int, Any]) -> None:
    with pytest.raises(FormatDamaged):
        open_commit(stored(body, CommitKind.KEY, signer=ADMIN), HEADER, KEY)


@pytest.mark.parametrize(
    "other",
    [
        {"number": 0}, {"previous": b""}, {"jump": b""}, {"packs": ((b"short", 1),)},
        {"packs": ((bytes(32), 0),)}, {"number": 4, "jump": bytes(32)},
    ],
)  # fmt: skip
def test_an_impossible_clear_part_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(FormatDamaged):
        decode_clear(stored(snapshot_to_body(SNAPSHOT), **other))


def is_documented(data: bytes) -> None:
    with suppress(FormatDamaged, FormatTooNew):
        decode_clear(data)
    with suppress(FormatDamaged, FormatTooNew, Unauthentic):
        open_commit(data, HEADER, KEY)
    verify_signature(data, HEADER, PUBLIC)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_commit_or_a_documented_error(data: bytes) -> None:
    is_documented(data)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.integers(0, 3))
def test_a_commit_overwritten_anywhere_gives_a_documented_error(at: int, new: bytes, cut: int) -> None:
    data = stored(snapshot_to_body(SNAPSHOT))
    at %= len(data)
    is_documented(data[:at] + new + data[at + cut :])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.integers(0, 70), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from([CommitKind.KEY, CommitKind.SNAPSHOT, CommitKind.NOTE]), st.integers(0, 15), VALUES)
def test_any_sealed_field_gives_a_commit_or_a_documented_error(kind: CommitKind, field: int, value: object) -> None:
    bodies: dict[CommitKind, dict[int, Any]] = {
        CommitKind.SNAPSHOT: snapshot_to_body(SNAPSHOT),
        CommitKind.KEY: {0: HOST, 1: PUBLIC, 2: 3, 3: "dyne", 4: 0},
        CommitKind.NOTE: {0: "verified", 1: {}},
    }
    body = dict(sorted((bodies[kind] | {field: value}).items()))
    with suppress(FormatDamaged, FormatTooNew):
        open_commit(stored(body, kind), HEADER, KEY)


@given(st.integers(0, 9), VALUES)
def test_any_clear_field_gives_a_commit_or_a_documented_error(field: int, value: object) -> None:
    fields = {0: 6, 1: 2, 2: HEADER, 3: HEADER, 4: HOST, 5: 7, 6: []} | {field: value}
    clear = record.encode(dict(sorted(fields.items())))
    is_documented(b"CASC\x01" + len(clear).to_bytes(4, "little") + clear + bytes(200))
