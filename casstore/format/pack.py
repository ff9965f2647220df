"""Packs: blobs, then their directory (docs/format.md § Pack)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from casstore.crypto import TAG, Keys, PackKey, Unauthentic, hash_of, keyed_hash, random_bytes, same
from casstore.errors import FormatDamaged
from casstore.format import record
from casstore.format.blob import Blob
from casstore.ids import PackId
from casstore.values import dataclass

MAX_BYTES = 16 << 20
FIXED = struct.Struct("<4sBBHI16s16sH")  # magic, suite, key source, epoch, domain, repository, session, S
HEADER = FIXED.size + 64
TRAILER = struct.Struct("<4s8s")  # masked directory length in bytes, magic: as in docs/format.md § Pack
MAGIC, END, SUITE = b"CASP", b"CASPEND1", 1


def object_name(pack: bytes) -> str:
    """Give the name under which a pack is stored."""
    name = pack.hex()
    return f"packs/{name[:2]}/{name}"


def pack_named(name: str) -> PackId | None:
    """Give the pack that is stored under a name, None if it is no pack's."""
    try:
        pack = PackId(bytes.fromhex(name.rpartition("/")[2]))
    except ValueError:
        return None
    return pack if object_name(pack) == name else None


@dataclass(frozen=True, slots=True)
class PackHeader:
    """The opened header of a pack: what every blob in it is sealed to."""

    raw: bytes
    key: PackKey

    @classmethod
    def open(cls, raw: bytes, keys: Keys) -> PackHeader:
        """Read the first HEADER bytes of a pack.

        Raises:
            FormatDamaged: no pack of this version and repository. Unauthentic: its key is not ours.
        """
        if len(raw) < HEADER or raw[:4] != MAGIC:
            raise FormatDamaged("an object among the packs is no pack")
        _, suite, source, epoch, domain, repository, session, sealed = FIXED.unpack_from(raw)
        if suite != SUITE or source or sealed or epoch or domain:
            # Not "too new": nothing here is authenticated, and one flipped bit must not stop a whole command.
            raise FormatDamaged("a pack names keys that this version does not know")
        if repository != keys.repository:
            raise FormatDamaged("a pack belongs to another repository")
        raw = bytes(raw[:HEADER])
        key = PackKey.of(keys.session_key(session), raw[: FIXED.size], raw[FIXED.size : FIXED.size + 32])
        if not same(key.commitment, raw[FIXED.size + 32 :]):
            raise Unauthentic("a pack is sealed with another key")
        return cls(raw, key)

    def unseal(self, number: int, blob: Blob, sealed: bytes | memoryview) -> bytes:
        """Open blob `number`.

        Raises:
            Unauthentic: it is not that blob.
        """
        return self.key.unseal(number, sealed, _associated(self.raw, number, blob))

    def directory_length(self, trailer: bytes, pack_length: int) -> int:
        """Give the length of the sealed directory from the last bytes of the pack.

        Raises:
            FormatDamaged: it is no pack, or cut.
        """
        if len(trailer) < TRAILER.size:
            raise FormatDamaged("a pack is cut short")
        masked, magic = TRAILER.unpack(trailer[-TRAILER.size :])
        length = int.from_bytes(_masked(masked, self.key), "little")
        if magic != END or not TAG < length <= pack_length - HEADER - TRAILER.size:
            raise FormatDamaged("a pack does not end as a pack does")
        return length


@dataclass(frozen=True, slots=True)
class Directory:
    """The blobs of a pack in order, and where each begins."""

    header: PackHeader
    blobs: tuple[Blob, ...]
    offsets: tuple[int, ...]


def build_pack(contents: Sequence[tuple[Blob, bytes]], keys: Keys, session: bytes) -> tuple[PackId, bytes]:
    """Seal payloads into a pack. A blob's `stored` must be its payload's length and TAG."""
    fixed = FIXED.pack(MAGIC, SUITE, 0, 0, 0, keys.repository, session, 0)
    lines = record.encode([blob.to_record() for blob, _ in contents])
    directory = len(lines).to_bytes(4, "little") + lines
    # Fresh randomness *and* the content: a cloned machine cannot repeat a key for other content.
    salt = keyed_hash(random_bytes(32), directory, *(payload for _, payload in contents))
    key = PackKey.of(keys.session_key(session), fixed, salt)
    header = fixed + salt + key.commitment
    pieces = [header]
    for number, (blob, payload) in enumerate(contents):
        pieces.append(key.seal(number, payload, _associated(header, number, blob)))
    length = sum(map(len, pieces)) + len(directory) + TAG + TRAILER.size
    pieces.append(key.seal_directory(directory + bytes(padme(length) - length), header))
    # Masked: in the clear it would tell how much is blobs, and the padding, which the directory holds, nothing.
    pieces.append(TRAILER.pack(_masked(len(pieces[-1]).to_bytes(4, "little"), key), END))
    data = b"".join(pieces)
    return PackId(hash_of(data)), data


def open_directory(header: PackHeader, sealed: bytes, pack_length: int) -> Directory:
    """Read the sealed directory of a pack.

    Raises:
        Unauthentic, FormatDamaged: it is not what was written.
    """
    text = header.key.unseal_directory(sealed, header.raw)
    length = int.from_bytes(text[:4], "little")
    lines = record.decode(text[4 : 4 + length], "directory")
    if type(lines) is not list or any(text[4 + length :]):
        raise FormatDamaged("a directory is no list and its padding")
    blobs = tuple(Blob.from_record(line) for line in lines)
    offsets, at = [], HEADER
    for blob in blobs:
        offsets.append(at)
        at += blob.stored
    if at != pack_length - TRAILER.size - len(sealed):
        raise FormatDamaged("the blobs of a pack do not end where its directory begins")
    return Directory(header, blobs, tuple(offsets))


def open_pack(data: bytes, keys: Keys) -> Directory:
    """Read header and directory of a whole pack."""
    header = PackHeader.open(data[:HEADER], keys)
    length = header.directory_length(data[-TRAILER.size :], len(data))
    end = len(data) - TRAILER.size
    return open_directory(header, data[end - length : end], len(data))


def padme(length: int) -> int:
    """Round up so that at most log log of the length shows (Nikitin et al., PURBs, 2019): at most 12 % more."""
    exponent = length.bit_length() - 1
    bits = exponent - exponent.bit_length()
    return length if bits <= 0 else (length + (1 << bits) - 1) >> bits << bits


def _masked(length: bytes, key: PackKey) -> bytes:
    return bytes(one ^ other for one, other in zip(length, key.mask, strict=True))


def _associated(header: bytes, number: int, blob: Blob) -> bytes:
    return header + number.to_bytes(4, "little") + record.encode(blob.to_record())
