"""Slots and key files as a repository uses them: which secret opens what, and where it is kept."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from casstore import private
from casstore.backends.base import Backend
from casstore.crypto import KEY, SALT, Argon2, Unauthentic, hash_of, random_bytes, secret_of_words, stretch
from casstore.errors import CasError, Damaged, FormatDamaged, FormatTooNew, UsageError, WrongSecret
from casstore.format import header
from casstore.format.slot import (
    MAX_BYTES,
    HostKey,
    Role,
    SlotHead,
    SlotKind,
    SlotRecord,
    Unlocked,
    decode_host_key,
    decode_slot,
    encode_host_key,
    is_of_admin,
    seal_slot,
    unseal_slot,
)
from casstore.ids import SlotId
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What a person remembers. `typed`: by a person, just now; else it may lie on this host and nowhere else."""

    text: str
    typed: bool = False


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file: this or another host's key file, or 32 random bytes that a slot was made for."""

    path: Path


@dataclass(frozen=True, slots=True)
class RecoveryWords:
    """24 words on paper."""

    words: str


Secret = Passphrase | KeyFile | RecoveryWords
SLOT_ID = 8
_HOST_KEY_BYTES = 1024  # more than one takes
_ACL = struct.Struct("<HHI")  # an entry of an access list: tag, rights, uid or gid
_ACL_OWNER, _ACL_USER, _ACL_MASK = 1, 2, 16


def slot_id(stored: bytes) -> SlotId:
    """Give the id of a slot from its bytes, so that damage to it shows without its secret."""
    return SlotId(hash_of(stored)[:SLOT_ID])


def slot_name(slot: SlotId) -> str:
    """Give the name under which a slot is stored."""
    return f"keys/{slot.hex()}"


def _slot_of(name: str) -> SlotId | None:
    """Give the slot that is stored under a name; None if no cas stores one there."""
    try:
        slot = SlotId(bytes.fromhex(name.rpartition("/")[2]))
    except ValueError:
        return None
    return slot if len(slot) == SLOT_ID and slot_name(slot) == name else None


def read_slots(
    backend: Backend, header_hash: bytes, admin_public: bytes
) -> tuple[dict[SlotId, SlotRecord], dict[SlotId, CasError]]:
    """Read all slots that the admin made. Others are told apart, with the reason, since any one opens the repository.

    The header hash is known to anyone, so whoever can write to the store could plant slots: costly ones that delay the
    true one, or one to take its place. Only the signature makes a slot.
    """
    found: dict[SlotId, SlotRecord] = {}
    unread: dict[SlotId, CasError] = {}
    for name, _ in sorted(backend.list("keys")):
        slot = _slot_of(name)
        if slot is None:
            continue
        try:
            stored = backend.read(name, 0, MAX_BYTES + 1)
            found[slot] = _checked(slot, stored, header_hash, admin_public)
        except (Damaged, FormatTooNew) as error:
            unread[slot] = error
    return found, unread


def _checked(slot: SlotId, stored: bytes, header_hash: bytes, admin_public: bytes) -> SlotRecord:
    decoded = decode_slot(stored)
    if slot_id(stored) != slot:
        raise FormatDamaged("the slot does not answer to its name")
    if decoded.head.header_hash != header_hash:
        raise FormatDamaged("the slot is of another repository")
    if not is_of_admin(decoded, admin_public):
        raise FormatDamaged("the slot is not signed by the admin of this repository")
    return decoded


def damaged_slots(backend: Backend) -> Iterator[tuple[str, str]]:
    """Yield the names of slots that are not as the admin wrote them, and why."""
    try:
        stored = backend.read(header.NAME, 0, header.MAX_BYTES + 1)
        admin_public = header.decode_header(stored).admin_public
    except CasError as error:
        yield header.NAME, str(error)
        return
    _, unread = read_slots(backend, hash_of(stored), admin_public)
    yield from ((slot_name(slot), str(error)) for slot, error in unread.items())


def open_slot(secret: Secret, backend: Backend, header_hash: bytes, admin_public: bytes) -> tuple[SlotId, Unlocked]:
    """Open the repository's slots with a secret: the first that it fits.

    Raises:
        WrongSecret: it fits none. FormatDamaged: it fits one whose content is damaged, and no other.
    """
    found, unread = read_slots(backend, header_hash, admin_public)
    kind = _kind_of(secret)
    tried = 0
    fits_damaged: FormatDamaged | None = None
    for slot, stored in found.items():
        if stored.head.kind is not kind:
            continue
        tried += 1
        try:
            return slot, unseal_slot(stored, _strong(secret, stored.head))
        except Unauthentic:
            continue
        except FormatDamaged as error:
            fits_damaged = error
    if fits_damaged:
        raise fits_damaged
    what = {
        SlotKind.PASSPHRASE: "passphrase",
        SlotKind.KEY_FILE: "key file",
        SlotKind.RECOVERY: "recovery words",
    }[kind]
    if not tried and not unread:
        raise WrongSecret(
            f"this repository has no slot for {'' if kind is SlotKind.RECOVERY else 'a '}{what}",
            hint="`cas key list`, where it opens, shows which secrets exist.",
        )
    told = f"the {what} {'open' if kind is SlotKind.RECOVERY else 'opens'} no slot of this repository"
    if unread:
        told += f"; not tried, since damaged or not of its admin: {', '.join(map(slot_name, unread))}"
    raise WrongSecret(told)


def add_slot(
    backend: Backend,
    secret: Secret,
    unlocked: Unlocked,
    *,
    header_hash: bytes,
    label: str,
    now_ns: int,
    cost: Argon2,
) -> SlotId:
    """Make a slot that `secret` opens; on return it is durable."""
    kind = _kind_of(secret)
    head = SlotHead(
        kind,
        Role.ADMIN,
        header_hash,
        random_bytes(SALT),
        cost if kind is SlotKind.PASSPHRASE else None,
        label,
        now_ns,
    )
    stored = seal_slot(head, _strong(secret, head), unlocked)
    slot = slot_id(stored)
    backend.write(slot_name(slot), stored)
    return slot


def remove_slot(backend: Backend, slot: SlotId, header_hash: bytes, admin_public: bytes) -> None:
    """Remove a slot, also one that is damaged or that somebody planted; but never the last that is sound.

    Raises:
        UsageError: there is no such slot, or no sound one would be left.
    """
    found, unread = read_slots(backend, header_hash, admin_public)
    if slot not in found and slot not in unread:
        raise UsageError(f"there is no slot {slot.hex()}", hint="`cas key list` shows the slots.")
    if not found.keys() - {slot}:
        raise UsageError(
            "this is the last slot: without it a lost host would mean a lost repository",
            hint="Add another first, with `cas key add` or `cas key recovery`.",
        )
    backend.delete(slot_name(slot))


def load_key_file(path: Path) -> HostKey | bytes:
    """Read a key file: a host's, or the 32 bytes of a slot.

    Raises:
        WrongSecret: it is missing, neither of the two, or others may read it.
    """
    try:
        status = path.stat()
        data = path.read_bytes()
    except OSError as error:
        raise WrongSecret(f"the key file {path} cannot be read: {os.strerror(error.errno or 0)}") from error
    if status.st_mode & 0o077 and not _is_credential(path, status):
        raise WrongSecret(f"the key file {path} may be read by others", hint=f"Type `chmod 600 {path}`.")
    if len(data) == KEY:
        return data
    try:
        return decode_host_key(data)
    except Damaged as error:
        raise WrongSecret(f"{path} is no key file") from error


def _is_credential(path: Path, status: os.stat_result) -> bool:
    """Whether root gave this to us alone by an access list, as systemd does: its mask shows as rights of the group."""
    if status.st_uid != 0 or status.st_mode & 0o037:
        return False
    try:
        entries = list(_ACL.iter_unpack(os.getxattr(path, "system.posix_acl_access")[4:]))
    except (OSError, struct.error):
        return False
    readers = {(tag, who) for tag, rights, who in entries if rights and tag not in (_ACL_OWNER, _ACL_MASK)}
    return bool(entries) and readers <= {(_ACL_USER, os.geteuid())}


def load_host_key(path: Path, repository: bytes) -> HostKey:
    """Read the key file of a host of this repository.

    Raises:
        WrongSecret: as `load_key_file`, or it is the key of a slot, or of another repository.
    """
    key = load_key_file(path)
    if not isinstance(key, HostKey):
        raise WrongSecret(f"{path} is the key file of a slot, not of a host")
    if key.repository != repository:
        raise WrongSecret(f"the key file {path} belongs to another repository")
    return key


def write_private(path: Path, data: bytes) -> None:
    """Make a file that only its owner may read, durably.

    Raises:
        UsageError: it exists, or cannot be made.
    """
    try:
        private.create(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error


def keep_host_key(path: Path, key: HostKey) -> None:
    """Keep the key of this host, durably, unless a key is there that opens the same; one that does not is replaced.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        found = load_key_file(path)
    except WrongSecret:
        found = b""  # none, or a spoilt one, which would be in the way of every later command
    if isinstance(found, HostKey) and opens_the_same(found, key):
        return
    try:
        private.replace(path, encode_host_key(key))
    except OSError as error:
        raise _unwritable(path, error) from error


def check_host_key_place(path: Path) -> None:
    """Find out whether a key could be kept there.

    Raises:
        UsageError: it could not.
    """
    try:
        private.try_to_replace(path, _HOST_KEY_BYTES)
    except OSError as error:
        raise _unwritable(path, error) from error


def opens_the_same(one: HostKey, other: HostKey) -> bool:
    """Whether two host keys hold the same secrets of the same repository; the hosts may be others."""
    return replace(one, seed=other.seed) == other


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be made: {os.strerror(error.errno or 0)}")


def _kind_of(secret: Secret) -> SlotKind:
    if isinstance(secret, Passphrase):
        return SlotKind.PASSPHRASE
    return SlotKind.KEY_FILE if isinstance(secret, KeyFile) else SlotKind.RECOVERY


def _strong(secret: Secret, head: SlotHead) -> bytes:
    """Turn a secret into 32 strong bytes."""
    if isinstance(secret, Passphrase):
        assert head.cost is not None
        try:
            return stretch(secret.text, head.salt, head.cost)
        except UnicodeEncodeError:  # bytes of an environment variable that are no UTF-8
            raise UsageError("the passphrase is no UTF-8 text") from None
    if isinstance(secret, RecoveryWords):
        return secret_of_words(secret.words)
    loaded = load_key_file(secret.path)
    if isinstance(loaded, HostKey):
        raise WrongSecret(f"{secret.path} is a host's key file of another repository")
    return loaded
