"""Keys, keyed ids, seal and unseal. The only door to `cryptography`, `blake3` and `mnemonic`; the only randomness.

Invariant: no key is ever used with two nonces by accident. Each sealed thing has a key of its own, derived from a fresh
salt; within a pack the nonce is the number of the blob. docs/format.md § Keys, § Pack; docs/security.md says what
each key opens.
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from hashlib import sha256

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from casstore.errors import Damaged, UsageError
from casstore.ids import HostId
from casstore.values import dataclass

KEY = 32
SALT = 32
TAG = 16
SIGNATURE = 64
FINGERPRINT = 16
_ZERO_NONCE = bytes(12)
DIRECTORY_NONCE = b"\xff" * 12


class Unauthentic(Damaged):
    """Sealed bytes do not open with this key, or belong elsewhere."""


def random_bytes(length: int) -> bytes:
    """Give `length` bytes from the operating system."""
    return os.urandom(length)


def hash_of(data: bytes | memoryview) -> bytes:
    """SHA-256, for names that anyone may check."""
    return sha256(data).digest()


def derive(secret: bytes, salt: bytes, info: bytes, length: int = KEY) -> bytes:
    """HKDF-SHA256 (RFC 5869)."""
    key = hmac.digest(salt, secret, "sha256")
    out = block = b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def keyed_hash(key: bytes, *parts: bytes | memoryview) -> bytes:
    """Keyed BLAKE3 over the parts, joined."""
    hasher = blake3(key=key)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


@dataclass(frozen=True, slots=True)
class Keys:
    """What the root secret of an epoch opens (docs/format.md § Keys)."""

    repository: bytes
    id: bytes
    chunker_seed: int
    session: bytes
    commit: bytes
    cache: bytes
    recent: bytes
    fingerprint: bytes

    @classmethod
    def of(cls, root_secret: bytes, repository: bytes, epoch: int = 0) -> Keys:
        """Derive all keys of one epoch."""

        def key(purpose: str) -> bytes:
            return derive(root_secret, repository, b"casstore 1 " + purpose.encode() + epoch.to_bytes(2, "little"))

        seed = int.from_bytes(key("chunker")[:8], "little") >> 1
        return cls(
            repository, key("id"), seed, key("session"), key("commit"), key("cache"), key("recent"),
            key("fingerprint"),
        )  # fmt: skip

    def chunk_id(self, kind: int, content: bytes | bytearray | memoryview) -> bytes:
        """Give the id of a chunk: BLAKE3 over its type, length and content."""
        return (
            blake3(kind.to_bytes(1, "little") + len(content).to_bytes(4, "little"), key=self.id)
            .update(content)
            .digest()
        )

    def fingerprint_of(self, name: str, value: str) -> bytes:
        """Give 16 bytes by which a value can be known again, and not be learnt."""
        named = name.encode()
        length = len(named).to_bytes(4, "little")
        return keyed_hash(self.fingerprint, length, named, value.encode(errors="surrogateescape"))[:FINGERPRINT]

    def session_key(self, session: bytes) -> bytes:
        """Give the key of a session of a host that may read."""
        return hmac.digest(self.session, session, "sha256")


@dataclass(frozen=True, slots=True)
class PackKey:
    """Seals and unseals what lies in one pack."""

    cipher: AESGCM
    commitment: bytes
    mask: bytes  # hides the directory's length, 4 bytes

    @classmethod
    def of(cls, session_key: bytes, header: bytes, salt: bytes) -> PackKey:
        """Derive the key and the commitment to it; `header` is H without salt and commitment."""
        both = hmac.digest(session_key, header + salt, "sha512")
        mask = hmac.digest(session_key, header + salt + b"length", "sha512")[:4]
        return cls(AESGCM(both[:KEY]), both[KEY:], mask)

    def seal(self, number: int, text: bytes, associated: bytes) -> bytes:
        """Seal blob `number`."""
        return self.cipher.encrypt(number.to_bytes(12, "big"), text, associated)

    def unseal(self, number: int, sealed: bytes | memoryview, associated: bytes) -> bytes:
        """Open blob `number`.

        Raises:
            Unauthentic: it was altered, or is another blob.
        """
        return _open(self.cipher, number.to_bytes(12, "big"), sealed, associated)

    def seal_directory(self, text: bytes, associated: bytes) -> bytes:
        """Seal the directory."""
        return self.cipher.encrypt(DIRECTORY_NONCE, text, associated)

    def unseal_directory(self, sealed: bytes, associated: bytes) -> bytes:
        """Open the directory.

        Raises:
            Unauthentic: it was altered.
        """
        return _open(self.cipher, DIRECTORY_NONCE, sealed, associated)


def seal(key: bytes, text: bytes, associated: bytes) -> bytes:
    """Seal under a key of its own: salt ‖ ciphertext ‖ tag.

    The salt hangs on the text too: a cloned machine, whose randomness repeats, cannot seal two texts under one key.
    """
    salt = keyed_hash(random_bytes(KEY), len(associated).to_bytes(8, "little"), associated, text)
    return salt + AESGCM(hmac.digest(key, salt, "sha256")).encrypt(_ZERO_NONCE, text, associated)


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        Unauthentic: it was altered, or another key sealed it.
    """
    own = AESGCM(hmac.digest(key, sealed[:SALT], "sha256"))
    return _open(own, _ZERO_NONCE, sealed[SALT:], associated)


def _open(cipher: AESGCM, nonce: bytes, sealed: bytes | memoryview, associated: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise Unauthentic("sealed bytes fail authentication") from error


def commitment_of(key: bytes, statement: bytes) -> bytes:
    """HMAC-SHA256 by which a slot opens with one secret only."""
    return hmac.digest(key, statement, "sha256")


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


# ── signatures ──


def public_key(seed: bytes) -> bytes:
    """Give the Ed25519 public key (32 bytes) of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def host_id(public: bytes) -> HostId:
    """Give the id of the host that signs with this key."""
    return HostId(hash_of(public)[:16])


def sign(seed: bytes, message: bytes) -> bytes:
    """Sign with Ed25519: 64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# ── secrets of people ──


@dataclass(frozen=True, slots=True)
class Argon2:
    """Cost of turning a passphrase into a key: memory in KiB, passes, lanes."""

    memory_kib: int = 256 << 10
    passes: int = 3
    lanes: int = 4

    def is_bearable(self) -> bool:
        """Whether parameters that someone else wrote may be run."""
        return 8 * self.lanes <= self.memory_kib <= 4 << 20 and 1 <= self.passes <= 64 and 1 <= self.lanes <= 64


def stretch(passphrase: str, salt: bytes, cost: Argon2) -> bytes:
    """Argon2id over the passphrase in NFC: 32 bytes."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=KEY, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return kdf.derive(unicodedata.normalize("NFC", passphrase).encode())


def new_words() -> str:
    """Make 24 recovery words (BIP-39, English): 256 random bits and a checksum."""
    from mnemonic import Mnemonic

    return str(Mnemonic("english").to_mnemonic(random_bytes(KEY)))


def secret_of_words(words: str) -> bytes:
    """Give the 32 bytes that 24 recovery words stand for.

    Raises:
        UsageError: a word is unknown, missing or misplaced.
    """
    from mnemonic import Mnemonic

    list_of_words = Mnemonic("english")
    given = words.lower().split()
    for number, word in enumerate(given, 1):
        if word not in list_of_words.wordlist:
            raise UsageError(f"word {number}, {word!r}, is not in the list of recovery words")
    if len(given) != 24:
        raise UsageError(f"{len(given)} recovery words were given instead of 24")
    try:
        return bytes(list_of_words.to_entropy(given))
    except (ValueError, LookupError) as error:
        raise UsageError("the recovery words do not fit together: one is wrong or misplaced") from error
