"""One table of value and bytes, run both ways; its hex stands in docs/format.md § Worked example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casstore.crypto import Keys, public_key
from casstore.entry import Entry, Kind, Root
from casstore.errors import FormatDamaged
from casstore.format.blob import DATA, RAW, Blob
from casstore.format.commit import (
    ADMIN,
    Commit,
    CommitKind,
    encode_commit,
    open_commit,
    snapshot_from_commit,
    snapshot_to_body,
)
from casstore.format.header import Header, decode_header, encode_header
from casstore.format.manifest import Head, decode_block, decode_head, encode_block, encode_entry, encode_head
from casstore.format.pack import build_pack, open_pack
from casstore.format.record import decode, encode
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
from casstore.ids import ChunkId, HostId, SnapshotId
from casstore.snapshot import Asked, Flush, Outcome, Snapshot

FILE = Entry(
    b"users.json", Kind.FILE, 0o640, 1000, 100, b"ana", b"users", 1_700_000_000_000_000_000, 5,
    Root(0, 5, (ChunkId(bytes(range(32))),)),
)  # fmt: skip
LINK = Entry(b"zero", Kind.SYMLINK, 0o777, 0, 0, b"root", b"root", -1, target=b"users.json")

SNAPSHOT = Snapshot(
    id=SnapshotId(bytes(32)), number=2, host=HostId(bytes(16)), clock_ns=1_700_000_000_000_000_000,
    time_ns=1_700_000_000_000_000_000, zone_minutes=-180, hostname="web", name="shop", tags=("daily",),
    origin=b"/srv/shop", pre_restore=False, manifest=Root(0, 9, (ChunkId(b"M" * 32),)), program="cas 0.1.0", files=2,
    folders=1, others=0, new=0, changed=1, unchanged=1, problems=0, torn=0, size=5, read=5, added=5, stored=600,
    duration_ns=90_000_000, previous=0, flush=Flush(Asked.HTTP, Outcome.TIMED_OUT, 10_000, True),
)  # fmt: skip


def committed(body: dict[int, Any]) -> Commit:
    """Give the commit that has this sealed part."""
    s = SNAPSHOT
    return Commit(2, CommitKind.SNAPSHOT, bytes(32), bytes(32), s.host, s.clock_ns, (), s.id, body, b"")


VECTORS: dict[str, tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "header": (Header(b"R" * 16, b"A" * 32, 1_700_000_000_000_000_000), encode_header, decode_header),
    "manifest head": (
        Head({0: [b"data/*.json"]}, Root(0, 0, ())),
        encode_head,
        lambda data: decode_head(decode(data)),
    ),
    "manifest head with what stands beside": (
        Head({}, Root(0, 0, ()), (("PORT", b"p" * 16), ("VAULT_KEY", b"v" * 16)), Root(0, 9, (ChunkId(b"E" * 32),))),
        encode_head,
        lambda data: decode_head(decode(data)),
    ),
    "snapshot": (
        SNAPSHOT,
        lambda snapshot: encode(snapshot_to_body(snapshot)),
        lambda data: snapshot_from_commit(committed(decode(data))),
    ),
    "block": (
        [FILE, LINK],
        lambda entries: encode_block([encode_entry(entry) for entry in entries]),
        lambda data: decode_block(b"", data),
    ),
}

# ── sealed objects: with these keys, and zeros for what is random ──

REPOSITORY, HEADER_HASH, SECRET, ROOT_SECRET = b"R" * 16, b"H" * 32, b"S" * 32, b"K" * 32
ADMIN_SEED, HOST_SEED = b"a" * 32, b"h" * 32
KEYS = Keys.of(ROOT_SECRET, REPOSITORY)
UNLOCKED = Unlocked((ROOT_SECRET,), ADMIN_SEED)
HOST_KEY = HostKey(HEADER_HASH, REPOSITORY, Role.ADMIN, HOST_SEED, (ROOT_SECRET,), ADMIN_SEED)
SLOT = SlotHead(SlotKind.KEY_FILE, Role.ADMIN, HEADER_HASH, bytes(32), None, "on paper", 1_700_000_000_000_000_000)
TEXT = b"hello"
BLOB = Blob(RAW, len(TEXT) + 16, DATA, (ChunkId(KEYS.chunk_id(DATA, TEXT)),), (len(TEXT),))
NOTE: dict[int, Any] = {0: "accept", 1: {}}


def read_blob(data: bytes) -> bytes:
    """Give what lies in the only blob of a pack."""
    directory = open_pack(data, KEYS)
    [blob], [offset] = directory.blobs, directory.offsets
    return directory.header.unseal(0, blob, data[offset : offset + blob.stored])


def read_slot(data: bytes) -> Unlocked:
    """Give what a slot of the admin holds."""
    slot = decode_slot(data)
    if not is_of_admin(slot, ADMIN_PUBLIC):
        raise FormatDamaged("the admin did not sign this")
    return unseal_slot(slot, SECRET)


SEALED: dict[str, tuple[Any, Callable[[], bytes], Callable[[bytes], Any]]] = {
    "slot": (UNLOCKED, lambda: seal_slot(SLOT, SECRET, UNLOCKED), read_slot),
    "host key file": (HOST_KEY, lambda: encode_host_key(HOST_KEY), decode_host_key),
    "pack": (TEXT, lambda: build_pack([(BLOB, TEXT)], KEYS, bytes(16))[1], read_blob),
    "commit": (
        NOTE,
        lambda: encode_commit(
            1, CommitKind.NOTE, HEADER_HASH, b"", ADMIN, 1_700_000_000_000_000_000, (), NOTE,
            header_hash=HEADER_HASH, commit_key=KEYS.commit, seed=ADMIN_SEED,
        ),
        lambda data: open_commit(data, HEADER_HASH, KEYS.commit).body,
    ),
}  # fmt: skip
ADMIN_PUBLIC = public_key(ADMIN_SEED)
