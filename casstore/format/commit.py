"""Commits: a clear part that anyone may check, a sealed part, a signature (docs/format.md § Commit)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any

from casstore.crypto import SIGNATURE, Unauthentic, hash_of, host_id, is_signed, seal, sign, unseal
from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.manifest import decode_root, encode_root
from casstore.ids import HostId, PackId, SnapshotId
from casstore.losses import Accepted, Guarded, How, Loss
from casstore.snapshot import Asked, Flush, Outcome, Snapshot
from casstore.values import dataclass

ADMIN = HostId(bytes(16))  # the signer that is no host
ACCEPT = "accept"  # the one note that the admin signs
MOST_NUMBER = 2**63 - 1
MAX_BYTES = 16 << 20

_FIXED = struct.Struct("<4sB16sI")  # magic, version, signer, length of the clear record
_MAGIC = b"CASC"
_VERSION = 1
_SIGNED = b"casstore commit"
_CLEAR: dict[int, type] = {0: int, 1: int, 2: bytes, 3: bytes, 4: int, 5: list}
_KEY: dict[int, type] = {0: bytes, 1: bytes, 2: int, 3: str, 4: int}
_NOTE: dict[int, type] = {0: str, 1: dict}
_SNAPSHOT: dict[int, type] = {
    0: int, 1: int, 2: str, 3: str, 4: list, 5: bytes, 6: list, 7: int, 8: list, 9: list, 10: int, 11: str, 12: int,
    13: int, 14: list, 15: list,
}  # fmt: skip
_OMITTED = frozenset((14, 15))  # fields of a snapshot that may be missing
PRE_RESTORE, IMPORTED = 1, 2  # what was read, if not simply the origin
MOST_LOSSES = 64  # so many are listed in a commit
_DAY_MINUTES = 24 * 60


class CommitKind(IntEnum):
    """What a commit says; those after NOTE are reserved and not read by this version."""

    KEY = 1
    SNAPSHOT = 2
    NOTE = 3
    FORGET = 4
    CONDEMN = 5
    CHECKPOINT = 6
    LOST = 7


_BODIES = {CommitKind.KEY: _KEY, CommitKind.SNAPSHOT: _SNAPSHOT, CommitKind.NOTE: _NOTE}


@dataclass(frozen=True, slots=True)
class ClearCommit:
    """What can be read of a commit without a key."""

    number: int
    kind: CommitKind
    previous: bytes
    jump: bytes  # empty if there is nothing to jump to
    signer: HostId  # or ADMIN
    clock_ns: int
    packs: tuple[tuple[PackId, int], ...]
    id: SnapshotId


@dataclass(frozen=True, slots=True)
class Commit(ClearCommit):
    """A commit with what was sealed in it."""

    body: dict[int, Any]
    stored: bytes


def object_name(number: int) -> str:
    """Give the name under which a commit is stored."""
    return f"ledger/{number:020}"


def jump_target(number: int) -> int:
    """Give the number that a commit's jump leads to; 0 if to none."""
    return number & (number - 1)


def encode_commit(
    number: int,
    kind: CommitKind,
    previous: bytes,
    jump: bytes,
    signer: bytes,
    clock_ns: int,
    packs: tuple[tuple[PackId, int], ...],
    body: dict[int, Any],
    *,
    header_hash: bytes,
    commit_key: bytes,
    seed: bytes,
) -> bytes:
    """Seal and sign a commit; twice the same gives other bytes, since the seal is salted."""
    named = [[pack, length] for pack, length in packs]
    clear: bytes = record.encode({0: number, 1: int(kind), 2: previous, 3: jump, 4: clock_ns, 5: named})
    start = _FIXED.pack(_MAGIC, _VERSION, signer, len(clear)) + clear
    unsigned = start + seal(commit_key, record.encode(body), start)
    return unsigned + sign(seed, _SIGNED + header_hash + unsigned)


def signer_of(data: bytes) -> HostId:
    """Tell who claims to have signed; read this and verify the signature before anything is parsed.

    Raises:
        FormatDamaged: this is no commit.
    """
    if not _FIXED.size + SIGNATURE <= len(data) <= MAX_BYTES:
        raise FormatDamaged(f"a commit cannot be {len(data)} bytes long")
    magic, _, signer, _ = _FIXED.unpack_from(data)
    if magic != _MAGIC:
        raise FormatDamaged("a commit does not begin as one")
    return HostId(signer)


def verify_signature(data: bytes, header_hash: bytes, public_key: bytes) -> bool:
    """Tell whether the last 64 bytes sign all the others for this repository."""
    return len(data) > SIGNATURE and is_signed(public_key, _SIGNED + header_hash + data[:-SIGNATURE], data[-SIGNATURE:])


def decode_clear(data: bytes) -> ClearCommit:
    """Read what is not sealed; the signature is looked at elsewhere, and before.

    Raises:
        FormatDamaged: this is no commit. FormatTooNew: of another version, or of an unknown kind.
    """
    return _decode_clear(data)[0]


def open_commit(data: bytes, header_hash: bytes, commit_key: bytes) -> Commit:
    """Read a commit whole. The signature is not looked at.

    Raises:
        FormatDamaged: this is no commit. FormatTooNew: of another version or kind. Unauthentic: it does not open.
    """
    clear, end = _decode_clear(data)
    if clear.number == 1 and clear.previous != header_hash:
        raise Unauthentic("the first commit belongs to another repository")
    known = _BODIES.get(clear.kind)
    if known is None:
        raise FormatTooNew(f"commit {clear.number} is a {clear.kind.name.lower()}, which this version cannot read")
    text = unseal(commit_key, data[end:-SIGNATURE], data[:end])
    body = record.decode_map(text, known, "commit")
    for key in known:
        if clear.kind is not CommitKind.SNAPSHOT or key not in _OMITTED:
            record.need(body, key, "commit")
    commit = Commit(
        clear.number, clear.kind, clear.previous, clear.jump, clear.signer, clear.clock_ns, clear.packs, clear.id,
        body, bytes(data),
    )  # fmt: skip
    if clear.kind is CommitKind.KEY:
        _check_key(body)
    elif clear.kind is CommitKind.SNAPSHOT:
        snapshot_from_commit(commit)
    return commit


def _decode_clear(data: bytes) -> tuple[ClearCommit, int]:
    signer = signer_of(data)
    _, version, _, length = _FIXED.unpack_from(data)
    if version != _VERSION:
        raise FormatTooNew(f"a commit has the version {version}, which this version does not know")
    end = _FIXED.size + length
    if end > len(data) - SIGNATURE:
        raise FormatDamaged("a commit ends too early")
    fields = record.decode_map(data[_FIXED.size : end], _CLEAR, "commit")
    number, kind, previous, jump, clock, packs = (record.need(fields, key, "commit") for key in _CLEAR)
    if not 1 <= number <= MOST_NUMBER or len(previous) != 32:
        raise FormatDamaged("a commit has a clear part that cannot be")
    if len(jump) != (32 if jump_target(number) else 0):
        raise FormatDamaged(f"commit {number} has a jump that leads nowhere")
    if kind < 1:
        raise FormatDamaged(f"a commit cannot be of the kind {kind}")
    try:
        known = CommitKind(kind)
    except ValueError:
        raise FormatTooNew(f"commit {number} is of the kind {kind}, which this version does not know") from None
    named = tuple(_decode_pack(pack) for pack in packs)
    clear = ClearCommit(number, known, previous, jump, signer, clock, named, SnapshotId(hash_of(data)))
    return clear, end


def _decode_pack(value: Any) -> tuple[PackId, int]:
    if type(value) is not list or [type(item) for item in value] != [bytes, int]:
        raise FormatDamaged("a commit names no pack where it should")
    if len(value[0]) != 32 or value[1] < 1:
        raise FormatDamaged("a commit names a pack that cannot be")
    return PackId(value[0]), value[1]


def _check_key(body: dict[int, Any]) -> None:
    if len(body[1]) != 32 or body[0] != host_id(body[1]) or body[2] not in (1, 2, 3) or body[4] not in (0, 1):
        raise FormatDamaged("a key commit signs in a host that cannot be")


def snapshot_to_body(snapshot: Snapshot) -> dict[int, Any]:
    """Give what is sealed in a snapshot's commit; id, number, host and clock are told by the commit itself."""
    s = snapshot
    counts = [s.files, s.folders, s.others, s.new, s.changed, s.unchanged, s.problems, s.torn]
    body: dict[int, Any] = {
        0: s.time_ns, 1: s.zone_minutes, 2: s.hostname, 3: s.name, 4: list(s.tags), 5: s.origin,
        6: encode_root(s.manifest), 7: PRE_RESTORE if s.pre_restore else IMPORTED if s.imported else 0,
        8: counts, 9: [s.size, s.read, s.added, s.stored],
        10: s.duration_ns, 11: s.program, 12: s.previous, 13: s.unproven_since_ns,
    }  # fmt: skip
    if s.guarded is not None:
        losses = [[loss.path, int(loss.how), loss.before, loss.after] for loss in s.guarded.losses[:MOST_LOSSES]]
        body[14] = [s.guarded.since, s.guarded.total, losses]
    if s.flush is not None:
        body[15] = [int(s.flush.how), int(s.flush.outcome), s.flush.after_ms, int(s.flush.required)]
    return body


def snapshot_from_commit(commit: Commit) -> Snapshot:
    """Read the snapshot that a commit of that kind tells of.

    Raises:
        FormatDamaged: its fields make no snapshot.
    """
    body = commit.body
    origin, zone, tags = body[5], body[1], body[4]
    if not origin.startswith(b"/") or b"\0" in origin:
        raise FormatDamaged("a snapshot has an origin that is no absolute path")
    if (
        not -_DAY_MINUTES < zone < _DAY_MINUTES
        or body[7] not in (0, PRE_RESTORE, IMPORTED)
        or any(type(tag) is not str for tag in tags)
    ):
        raise FormatDamaged("a snapshot has fields that cannot be")
    if body[10] < 0 or body[13] < 0 or not 0 <= body[12] < commit.number:
        raise FormatDamaged("a snapshot has numbers that cannot be")
    manifest = decode_root(body[6])
    if len(manifest.ids) > 1:
        raise FormatDamaged("a snapshot has a manifest that is not one chunk")
    files, folders, others, new, changed, unchanged, problems, torn = _numbers(body[8], 8)
    size, read, added, stored = _numbers(body[9], 4)
    return Snapshot(
        id=commit.id, number=commit.number, host=commit.signer, clock_ns=commit.clock_ns, time_ns=body[0],
        zone_minutes=zone, hostname=body[2], name=body[3], tags=tuple(tags), origin=origin,
        pre_restore=body[7] == PRE_RESTORE, manifest=manifest, program=body[11], files=files, folders=folders,
        others=others, new=new, changed=changed, unchanged=unchanged, problems=problems, torn=torn, size=size,
        read=read, added=added, stored=stored, duration_ns=body[10], previous=body[12],
        unproven_since_ns=body[13],
        guarded=_decode_guarded(body[14], commit.number) if 14 in body else None,
        flush=_decode_flush(body[15]) if 15 in body else None, imported=body[7] == IMPORTED,
    )  # fmt: skip


def _decode_guarded(value: list[Any], number: int) -> Guarded:
    if [type(item) for item in value] != [int, int, list] or not 0 < value[0] < number or value[1] < 1:
        raise FormatDamaged("a snapshot has losses that cannot be")
    if len(value[2]) > value[1] or any(
        type(item) is not list or [type(part) for part in item] != [bytes, int, int, int] for item in value[2]
    ):
        raise FormatDamaged("a snapshot has losses that are none")
    for path, how, before, after in value[2]:
        if not path or how not in list(How) or before < 0 or after < 0:
            raise FormatDamaged("a snapshot has a loss that cannot be")
    return Guarded(value[0], value[1], tuple(Loss(path, How(how), *numbers) for path, how, *numbers in value[2]))


def _decode_flush(value: list[Any]) -> Flush:
    how, outcome, after_ms, required = _numbers(value, 4)
    if how not in list(Asked) or outcome not in list(Outcome) or required > 1:
        raise FormatDamaged("a snapshot has a flush that cannot be")
    return Flush(Asked(how), Outcome(outcome), after_ms, bool(required))


def accepted_to_body(accepted: Accepted) -> dict[int, Any]:
    """Give what is sealed in the note that accepts losses."""
    hostname, name, origin = accepted.source
    return {0: ACCEPT, 1: {0: hostname, 1: name, 2: origin, 3: list(accepted.paths)}}


def accepted_from_commit(commit: Commit) -> Accepted | None:
    """Read which losses a note accepts; None if none, as the note of `cas anchor accept`."""
    facts = commit.body[1]
    if commit.body[0] != ACCEPT or commit.signer != ADMIN or list(facts) != [0, 1, 2, 3]:
        return None
    hostname, name, origin, paths = facts.values()
    if [type(value) for value in facts.values()] != [str, str, bytes, list] or any(type(p) is not bytes for p in paths):
        return None
    return Accepted(commit.number, (hostname, name, origin), tuple(paths))


def _numbers(value: list[Any], count: int) -> list[int]:
    if len(value) != count or any(type(item) is not int or item < 0 for item in value):
        raise FormatDamaged("a snapshot has counts that cannot be")
    return value
