"""Commits: what the ledger is made of (docs/format.md § Commit)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from casstore.crypto import SIGNATURE, hash_of, is_signed, seal, sign, unseal
from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.manifest import decode_root, encode_root
from casstore.ids import HostId, PackId, SnapshotId
from casstore.snapshot import Snapshot

MAGIC, VERSION = b"CASC", 1
FIXED = struct.Struct("<4sBI")
_SIGNED = b"casstore commit"
_CLEAR: dict[int, type] = {0: int, 1: int, 2: bytes, 3: bytes, 4: bytes, 5: int, 6: list, 7: list, 8: list}
_SNAPSHOT: dict[int, type] = {
    0: int, 1: int, 2: str, 3: str, 4: list, 5: bytes, 6: list, 7: int, 8: list, 9: list, 10: int, 11: str, 12: int,
}  # fmt: skip


class CommitKind(IntEnum):
    """What a commit says; the numbers of docs/format.md."""

    KEY = 1
    SNAPSHOT = 2
    NOTE = 3
    FORGET = 4
    CONDEMN = 5
    CHECKPOINT = 6
    LOST = 7


@dataclass(frozen=True, slots=True)
class ClearCommit:
    """What anyone may read of a commit."""

    number: int
    kind: CommitKind
    previous: bytes
    jump: bytes
    signer: HostId  # empty: the admin
    clock_ns: int
    packs: tuple[tuple[PackId, int], ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, opened; `stored` are its bytes."""

    clear: ClearCommit
    body: dict[int, Any]
    stored: bytes

    @property
    def number(self) -> int:
        """Its place in the ledger."""
        return self.clear.number

    @property
    def kind(self) -> CommitKind:
        """What it says."""
        return self.clear.kind

    @property
    def packs(self) -> tuple[tuple[PackId, int], ...]:
        """Names and lengths of the packs it brings."""
        return self.clear.packs

    @property
    def id(self) -> SnapshotId:
        """SHA-256 of its stored bytes."""
        return SnapshotId(hash_of(self.stored))


def object_name(number: int) -> str:
    """Give the name under which a commit is stored."""
    return f"ledger/{number:020}"


def jump_of(number: int) -> int:
    """Give the number to which commit `number` jumps back; 0 is none."""
    return number - (number & -number)


def encode_commit(
    clear: ClearCommit, body: Mapping[int, Any], *, header_hash: bytes, commit_key: bytes, seed: bytes
) -> bytes:
    """Seal and sign."""
    fields: dict[int, Any] = {
        0: clear.number, 1: int(clear.kind), 2: clear.previous, 3: clear.jump, 4: clear.signer, 5: clear.clock_ns,
        6: [[name, length] for name, length in clear.packs],
    }  # fmt: skip
    text = record.encode(fields)
    front = FIXED.pack(MAGIC, VERSION, len(text)) + text
    data = front + seal(commit_key, record.encode(dict(body)), front)
    return data + sign(seed, _SIGNED + header_hash + data)


def decode_clear(data: bytes) -> ClearCommit:
    """Read what is in the clear; nothing is proven by it.

    Raises:
        FormatDamaged, FormatTooNew: it is no commit of this version.
    """
    front, fields = _front(data)
    del front
    number, kind = record.need(fields, 0, "commit"), record.need(fields, 1, "commit")
    if kind not in CommitKind.__members__.values():
        raise FormatTooNew(f"commit {number} is of a kind that this version does not know")
    if fields.get(7) or fields.get(8):
        raise FormatTooNew(f"commit {number} condemns packs, which this version does not know")
    packs = []
    for item in record.need(fields, 6, "commit"):
        if (
            type(item) is not list
            or [type(part) for part in item] != [bytes, int]
            or len(item[0]) != 32
            or item[1] <= 0
        ):
            raise FormatDamaged(f"commit {number} names a pack that is none")
        packs.append((PackId(item[0]), item[1]))
    jump, signer = record.need(fields, 3, "commit"), record.need(fields, 4, "commit")
    if number < 1 or len(jump) not in (0, 32) or len(signer) not in (0, 16):
        raise FormatDamaged("a commit has impossible fields")
    previous = record.need_bytes(fields, 2, 32, "commit")
    clock = record.need(fields, 5, "commit")
    return ClearCommit(number, CommitKind(kind), previous, jump, HostId(signer), clock, tuple(packs))


def verify_signature(data: bytes, header_hash: bytes, public_key: bytes) -> bool:
    """Tell whether the signature over the stored bytes holds."""
    return is_signed(public_key, _SIGNED + header_hash + data[:-SIGNATURE], data[-SIGNATURE:])


def open_commit(data: bytes, commit_key: bytes) -> Commit:
    """Read all of a commit; the signature is `verify_signature`'s business.

    Raises:
        FormatDamaged, FormatTooNew, Unauthentic: it is not what was written.
    """
    clear = decode_clear(data)
    front, _ = _front(data)
    body = record.decode(unseal(commit_key, data[len(front) : -SIGNATURE], front), "commit")
    if type(body) is not dict:
        raise FormatDamaged(f"commit {clear.number} says nothing")
    return Commit(clear, body, bytes(data))


def snapshot_to_body(snapshot: Snapshot) -> dict[int, Any]:
    """Give the sealed record of a snapshot."""
    s = snapshot
    return {
        0: s.time_ns, 1: s.zone_minutes, 2: s.hostname, 3: s.name, 4: list(s.tags), 5: s.origin,
        6: encode_root(s.manifest), 7: int(s.pre_restore),
        8: [s.files, s.folders, s.others, s.new, s.changed, s.unchanged, s.problems, s.torn],
        9: [s.size, s.read, s.added, s.stored], 10: s.duration_ns, 11: s.program, 12: s.previous,
    }  # fmt: skip


def snapshot_from_commit(commit: Commit) -> Snapshot:
    """Read the sealed record of a snapshot.

    Raises:
        FormatDamaged: it describes none.
    """
    body = record.check_map(commit.body, _SNAPSHOT, "snapshot")
    get = [record.need(body, key, "snapshot") for key in range(13)]
    counts, sizes = get[8], get[9]
    if len(counts) != 8 or len(sizes) != 4 or {type(item) for item in counts + sizes} != {int}:
        raise FormatDamaged("a snapshot has counts that are none")
    if any(type(tag) is not str for tag in get[4]):
        raise FormatDamaged("a snapshot has tags that are none")
    return Snapshot(
        commit.id, commit.number, commit.clear.signer, commit.clear.clock_ns, get[0], get[1], get[2], get[3],
        tuple(get[4]), get[5], bool(get[7]), decode_root(get[6]), get[11], counts[0], counts[1], counts[2], sizes[0],
        counts[3], counts[4], counts[5], sizes[1], sizes[2], sizes[3], counts[6], counts[7], get[10], get[12],
    )  # fmt: skip


def _front(data: bytes) -> tuple[bytes, dict[int, Any]]:
    if len(data) < FIXED.size + SIGNATURE or data[:4] != MAGIC:
        raise FormatDamaged("an object in the ledger is no commit")
    _, version, length = FIXED.unpack_from(data)
    if version != VERSION:
        raise FormatTooNew("a commit was written by a newer cas")
    end = FIXED.size + length
    if end > len(data) - SIGNATURE:
        raise FormatDamaged("a commit is cut short")
    return data[:end], record.decode_map(data[FIXED.size : end], _CLEAR, "commit")
