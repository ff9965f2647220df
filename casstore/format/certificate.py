"""Certificates: the admin vouches for the key of a host (docs/format.md § Host certificate).

The `key` commit says the same; this is its second copy, so that one damaged commit does not make all of a host's
snapshots a stranger's.
"""

from __future__ import annotations

from casstore.crypto import SIGNATURE, host_id, is_signed, sign
from casstore.errors import FormatDamaged, SignatureRefused
from casstore.format import record
from casstore.ids import HostId

MAX_BYTES = 1024
_FIELDS: dict[int, type] = {0: bytes, 1: int, 2: bytes}
_SIGNED = b"casstore host"


def object_name(host: HostId) -> str:
    """Give the name under which the certificate of a host is stored."""
    return f"hosts/{host.hex()}"


def encode_certificate(public: bytes, role: int, *, header_hash: bytes, admin_seed: bytes) -> bytes:
    """Let the admin sign the public key and the role of a host."""
    statement = {0: public, 1: role}
    return record.encode(statement | {2: sign(admin_seed, _SIGNED + header_hash + record.encode(statement))})


def open_certificate(data: bytes, host: HostId, *, header_hash: bytes, admin_public: bytes) -> tuple[bytes, int]:
    """Give public key and role of a host.

    Raises:
        FormatDamaged: it is none, or one of another host. SignatureRefused: not the admin's.
    """
    if len(data) > MAX_BYTES:
        raise FormatDamaged("a certificate is too long")
    fields = record.decode_map(data, _FIELDS, "certificate")
    public, role = record.need_bytes(fields, 0, 32, "certificate"), record.need(fields, 1, "certificate")
    signature = record.need_bytes(fields, 2, SIGNATURE, "certificate")
    if host_id(public) != host or role not in (1, 2, 3):
        raise FormatDamaged("a certificate is of another host")
    if not is_signed(admin_public, _SIGNED + header_hash + record.encode({0: public, 1: role}), signature):
        raise SignatureRefused("a certificate is not signed by the admin")
    return public, role
