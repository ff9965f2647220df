"""A slot and a host key file are read back as written; a slot is bound to every word it says in the clear."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.crypto import Argon2, Unauthentic, public_key
from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.slot import (
    HostKey,
    Role,
    SlotHead,
    SlotKind,
    Unlocked,
    decode_host_key,
    decode_slot,
    encode_host_key,
    is_of_admin,
    seal_slot,
    unseal_slot,
)

SECRET = b"s" * 32
HEAD = SlotHead(SlotKind.PASSPHRASE, Role.ADMIN, b"h" * 32, b"t" * 32, Argon2(64, 1, 1), "of ana", 7)
UNLOCKED = Unlocked((b"0" * 32, b"1" * 32), b"a" * 32)
HOST = HostKey(b"h" * 32, b"r" * 16, Role.ADMIN, b"s" * 32, (b"0" * 32, b"1" * 32), b"a" * 32)
KEYS = st.binary(min_size=32, max_size=32)


def altered(stored: bytes, fields: dict[int, Any]) -> bytes:
    values = record.decode(stored) | fields
    return record.encode({key: values[key] for key in sorted(values) if values[key] is not None})


@given(st.sampled_from(SlotKind), KEYS, st.lists(KEYS, min_size=1, max_size=3), KEYS, st.text(max_size=20))
def test_a_slot_gives_back_what_was_put_in(
    kind: SlotKind, secret: bytes, roots: list[bytes], admin: bytes, label: str
) -> None:
    cost = Argon2(64, 1, 1) if kind is SlotKind.PASSPHRASE else None
    head = SlotHead(kind, Role.ADMIN, b"h" * 32, b"t" * 32, cost, label, 7)
    slot = decode_slot(seal_slot(head, secret, Unlocked(tuple(roots), admin)))
    assert slot.head == head
    assert unseal_slot(slot, secret) == Unlocked(tuple(roots), admin)
    assert is_of_admin(slot, public_key(admin))
    assert not is_of_admin(slot, public_key(b"e" * 32))


@pytest.mark.parametrize(
    "fields",
    [{0: 3, 4: []}, {1: 1}, {2: b"H" * 32}, {3: b"T" * 32}, {4: [65, 1, 1]}, {5: "of eve"}, {6: 8}, {7: b"c" * 32}],
    ids=str,
)
def test_a_slot_with_any_clear_word_exchanged_opens_no_more(fields: dict[int, Any]) -> None:
    stored = seal_slot(HEAD, SECRET, UNLOCKED)
    assert unseal_slot(decode_slot(stored), SECRET) == UNLOCKED
    with pytest.raises(Unauthentic):
        unseal_slot(decode_slot(altered(stored, fields)), SECRET)


@pytest.mark.parametrize(
    "fields",
    [{0: 3, 4: []}, {1: 1}, {2: b"H" * 32}, {3: b"T" * 32}, {4: [65, 1, 1]}, {5: "of eve"}, {6: 8}, {7: b"c" * 32},
     {8: b""}, {9: bytes(64)}, {64: 1}],
    ids=str,
)  # fmt: skip
def test_the_signature_is_over_all_the_others(fields: dict[int, Any]) -> None:
    stored = seal_slot(HEAD, SECRET, UNLOCKED)
    assert is_of_admin(decode_slot(stored), public_key(UNLOCKED.admin_seed))
    assert not is_of_admin(decode_slot(altered(stored, fields)), public_key(UNLOCKED.admin_seed))


def test_a_slot_longer_than_any_is_refused_before_it_is_parsed() -> None:
    stored = altered(seal_slot(HEAD, SECRET, UNLOCKED), {5: "x" * (64 << 10)})
    with pytest.raises(FormatDamaged, match="larger"):
        decode_slot(stored)


@given(KEYS.filter(lambda other: other != SECRET))
def test_another_secret_does_not_open_it(other: bytes) -> None:
    with pytest.raises(Unauthentic):
        unseal_slot(decode_slot(seal_slot(HEAD, SECRET, UNLOCKED)), other)


@pytest.mark.parametrize("sealed", [b"", bytes(31), bytes(200)])
def test_spoilt_secrets_are_damage_and_no_wrong_secret(sealed: bytes) -> None:
    slot = decode_slot(altered(seal_slot(HEAD, SECRET, UNLOCKED), {8: sealed}))
    with pytest.raises(FormatDamaged):
        unseal_slot(slot, SECRET)
    with pytest.raises(Unauthentic):
        unseal_slot(slot, b"o" * 32)


@pytest.mark.parametrize("key", range(10))
def test_no_field_of_a_slot_may_be_missing(key: int) -> None:
    with pytest.raises(FormatDamaged):
        decode_slot(altered(seal_slot(HEAD, SECRET, UNLOCKED), {key: None}))


@pytest.mark.parametrize(
    "fields",
    [
        {0: 0}, {0: 4}, {1: 0}, {1: 4}, {2: bytes(31)}, {3: bytes(33)}, {5: b"label"}, {6: "now"}, {7: bytes(31)},
        {9: bytes(63)},
        {4: []}, {0: 2}, {4: [64, 1]}, {4: [64, True, 1]}, {4: [64, "1", 1]}, {4: [7, 1, 1]}, {4: [64, 1, 9]},
        {4: [64, 0, 1]}, {4: [64, 65, 1]}, {4: [64, 1, 0]}, {4: [1024, 1, 65]}, {4: [(4 << 20) + 1, 1, 1]},
        {4: [-64, 1, 1]}, {4: [1 << 63, 1, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_slot_with_impossible_values_is_refused_when_it_is_read(fields: dict[int, Any]) -> None:
    with pytest.raises(FormatDamaged):
        decode_slot(altered(seal_slot(HEAD, SECRET, UNLOCKED), fields))


def test_a_field_of_a_later_version_is_too_new() -> None:
    with pytest.raises(FormatTooNew):
        decode_slot(altered(seal_slot(HEAD, SECRET, UNLOCKED), {10: 1}))
    with pytest.raises(FormatTooNew):
        decode_host_key(altered(encode_host_key(HOST), {7: 1}))


@given(KEYS, st.lists(KEYS, min_size=1, max_size=3), KEYS)
def test_a_host_key_is_read_back(seed: bytes, roots: list[bytes], admin: bytes) -> None:
    key = HostKey(b"h" * 32, b"r" * 16, Role.ADMIN, seed, tuple(roots), admin)
    assert decode_host_key(encode_host_key(key)) == key


@pytest.mark.parametrize(
    "fields",
    [{0: "a key"}, {1: bytes(31)}, {2: bytes(32)}, {3: 1}, {3: 9}, {4: b""}, {5: []}, {5: [bytes(31)]}, {5: ["r"]},
     {6: b""}, *({key: None} for key in range(7))],
    ids=str,
)  # fmt: skip
def test_a_spoilt_host_key_is_refused(fields: dict[int, Any]) -> None:
    with pytest.raises(FormatDamaged):
        decode_host_key(altered(encode_host_key(HOST), fields))


@given(st.binary(max_size=300))
def test_bytes_of_any_other_kind_are_refused(data: bytes) -> None:
    for decode in (decode_slot, decode_host_key):
        with pytest.raises((FormatDamaged, FormatTooNew)):
            decode(data)
