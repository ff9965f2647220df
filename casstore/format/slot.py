"""Slots and host key files: what opens a repository (docs/format.md § Slot, § Host key file)."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from casstore.crypto import (
    KEY,
    SIGNATURE,
    Argon2,
    Unauthentic,
    commitment_of,
    derive,
    is_signed,
    same,
    seal,
    sign,
    unseal,
)
from casstore.errors import FormatDamaged
from casstore.format import record
from casstore.values import dataclass

MAGIC = "casstore host key"
MAX_BYTES = 64 << 10  # of a slot
_SIGNED = b"casstore slot"
_SLOT: dict[int, type] = {
    0: int, 1: int, 2: bytes, 3: bytes, 4: list, 5: str, 6: int, 7: bytes, 8: bytes, 9: bytes,
}  # fmt: skip
_HOST: dict[int, type] = {0: str, 1: bytes, 2: bytes, 3: int, 4: bytes, 5: list, 6: bytes}


class SlotKind(IntEnum):
    """By what a slot opens."""

    PASSPHRASE = 1
    KEY_FILE = 2
    RECOVERY = 3


class Role(IntEnum):
    """What the holder may do; now always ADMIN."""

    WRITE = 1
    READ = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class SlotHead:
    """What a slot says in the clear; the seal and the commitment are bound to it."""

    kind: SlotKind
    role: Role
    header_hash: bytes
    salt: bytes
    cost: Argon2 | None
    label: str
    created_ns: int

    def to_record(self) -> dict[int, Any]:
        """Give the fields 0 to 6."""
        cost = [self.cost.memory_kib, self.cost.passes, self.cost.lanes] if self.cost else []
        return {
            0: int(self.kind), 1: int(self.role), 2: self.header_hash, 3: self.salt, 4: cost, 5: self.label,
            6: self.created_ns,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """A stored slot."""

    head: SlotHead
    commitment: bytes
    sealed: bytes
    signed: bytes  # what the signature is over
    signature: bytes


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What a slot holds."""

    root_secrets: tuple[bytes, ...]
    admin_seed: bytes


def seal_slot(head: SlotHead, secret: bytes, unlocked: Unlocked) -> bytes:
    """Encode a slot that `secret` (32 strong bytes) opens, signed by the admin whose seed is in it."""
    statement = record.encode(head.to_record())
    both = derive(secret, head.salt, b"casstore 1 slot", 2 * KEY)
    text = record.encode({0: list(unlocked.root_secrets), 1: unlocked.admin_seed})
    fields = head.to_record() | {
        7: commitment_of(both[KEY:], statement),
        8: seal(both[:KEY], text, statement),
    }
    return record.encode(fields | {9: sign(unlocked.admin_seed, _signed(fields))})


def decode_slot(data: bytes) -> SlotRecord:
    """Read a slot; nothing is proven by it: see `is_of_admin`.

    Raises:
        FormatDamaged, FormatTooNew: it is none of this version.
    """
    if len(data) > MAX_BYTES:
        raise FormatDamaged("a slot is larger than any can be")
    fields = record.decode_map(data, _SLOT, "slot")
    cost = record.need(fields, 4, "slot")
    if cost and (len(cost) != 3 or {type(part) for part in cost} != {int}):
        raise FormatDamaged("a slot states an impossible cost")
    try:
        kind, role = SlotKind(record.need(fields, 0, "slot")), Role(record.need(fields, 1, "slot"))
    except ValueError:
        raise FormatDamaged("a slot is of an unknown kind") from None
    head = SlotHead(
        kind, role, record.need_bytes(fields, 2, 32, "slot"), record.need_bytes(fields, 3, 32, "slot"),
        Argon2(*cost) if cost else None, record.need(fields, 5, "slot"), record.need(fields, 6, "slot"),
    )  # fmt: skip
    if (head.cost is not None) != (kind is SlotKind.PASSPHRASE) or (head.cost and not head.cost.is_bearable()):
        raise FormatDamaged("a slot states an impossible cost")
    return SlotRecord(
        head, record.need_bytes(fields, 7, 32, "slot"), record.need(fields, 8, "slot"),
        _signed({key: value for key, value in fields.items() if key != 9}),
        record.need_bytes(fields, 9, SIGNATURE, "slot"),
    )  # fmt: skip


def is_of_admin(slot: SlotRecord, admin_public: bytes) -> bool:
    """Whether the admin made the slot. Anyone who can write could plant one: its other fields need no key."""
    return is_signed(admin_public, slot.signed, slot.signature)


def _signed(fields: dict[int, Any]) -> bytes:
    """Give what is signed: all fields but the signature, those of later versions too, so that none can be added."""
    header_hash: bytes = fields[2]
    return _SIGNED + header_hash + record.encode(fields)


def unseal_slot(slot: SlotRecord, secret: bytes) -> Unlocked:
    """Open a slot.

    Raises:
        Unauthentic: the secret is another one. FormatDamaged: it is the right one, but the slot holds no secrets.
    """
    statement = record.encode(slot.head.to_record())
    both = derive(secret, slot.head.salt, b"casstore 1 slot", 2 * KEY)
    if not same(commitment_of(both[KEY:], statement), slot.commitment):
        raise Unauthentic("a slot does not open with this secret")
    try:
        text = unseal(both[:KEY], slot.sealed, statement)
    except Unauthentic as error:  # the commitment fits, so to call the secret wrong would mislead
        raise FormatDamaged("the secret is right, but what its slot holds is damaged") from error
    fields = record.decode_map(text, {0: list, 1: bytes}, "slot's secrets")
    return Unlocked(_secrets(record.need(fields, 0, "slot")), record.need_bytes(fields, 1, 32, "slot"))


@dataclass(frozen=True, slots=True)
class HostKey:
    """What this host keeps to itself."""

    header_hash: bytes
    repository: bytes
    role: Role
    seed: bytes
    root_secrets: tuple[bytes, ...]
    admin_seed: bytes


def encode_host_key(key: HostKey) -> bytes:
    """Encode the key file of a host."""
    return record.encode({
        0: MAGIC, 1: key.header_hash, 2: key.repository, 3: int(key.role), 4: key.seed, 5: list(key.root_secrets),
        6: key.admin_seed,
    })  # fmt: skip


def decode_host_key(data: bytes) -> HostKey:
    """Read the key file of a host.

    Raises:
        FormatDamaged, FormatTooNew: it is none of this version.
    """
    fields = record.decode_map(data, _HOST, "host key file")
    if record.need(fields, 0, "host key file") != MAGIC or record.need(fields, 3, "host key file") != Role.ADMIN:
        raise FormatDamaged("this is no host key file that this version can use")
    header_hash, repository, seed, admin = (
        record.need_bytes(fields, key, length, "host key file") for key, length in ((1, 32), (2, 16), (4, 32), (6, 32))
    )
    return HostKey(header_hash, repository, Role.ADMIN, seed, _secrets(record.need(fields, 5, "host key file")), admin)


def _secrets(value: list[Any]) -> tuple[bytes, ...]:
    if not value or any(type(item) is not bytes or len(item) != KEY for item in value):
        raise FormatDamaged("root secrets are not what they should be")
    return tuple(value)
