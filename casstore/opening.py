"""Make a repository, or open one: header, then a secret, then this host's own key.

A host without a key file that comes with a secret gets a key of its own, which the admin signs in with a `key`
commit the first time it writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from casstore.backends.base import Backend
from casstore.crypto import Argon2, hash_of, new_words, public_key, random_bytes
from casstore.errors import (
    HistoryRewritten,
    ObjectExists,
    ObjectMissing,
    RepositoryExists,
    RepositoryNotFound,
    WrongSecret,
)
from casstore.format.header import MAX_BYTES, NAME, Header, decode_header, encode_header
from casstore.format.slot import HostKey, Role, Unlocked
from casstore.keyring import (
    KeyFile,
    Passphrase,
    RecoveryWords,
    Secret,
    add_slot,
    keep_host_key,
    load_host_key,
    load_key_file,
    open_slot,
    opens_the_same,
    slot_name,
)
from casstore.progress import Notice, Progress, silent
from casstore.repository import Home, Repository
from casstore.slots import prove, unusable_slots

new_recovery_words = new_words  # 24 of them, for `RecoveryWords`


def create(
    backend: Backend,
    home: Home,
    *,
    secrets: Sequence[Passphrase | RecoveryWords | KeyFile],
    hostname: str,
    now_ns: int,
    kdf: Argon2 | None = None,
) -> Repository:
    """Make a repository with a slot a secret, and this host as its admin.

    Cut off before the header is written it has made nothing, and may be called again; after that there is a repository
    that opens with each secret and with this host's key, since all of them were durable before.

    Raises:
        RepositoryExists: something is there already. RepositoryUnwritable: it cannot be made.
    """
    try:
        backend.size(NAME)
    except ObjectMissing:
        backend.create()
    else:
        raise RepositoryExists(
            f"{backend.address} is a repository already", hint="`cas snapshots` shows what is in it."
        )
    unlocked = Unlocked((random_bytes(32),), random_bytes(32))
    header = Header(random_bytes(16), public_key(unlocked.admin_seed), now_ns)
    stored = encode_header(header)
    digest = hash_of(stored)
    slots = [
        add_slot(backend, secret, unlocked, header_hash=digest, label="", now_ns=now_ns, cost=kdf or Argon2())
        for secret in secrets
    ]
    host = HostKey(digest, header.repository, Role.ADMIN, random_bytes(32), unlocked.root_secrets, unlocked.admin_seed)
    keep_host_key(home.key_file(header.repository), host)
    try:
        backend.write(NAME, stored)
    except ObjectExists:
        raise RepositoryExists(f"{backend.address} was made by someone else just now") from None
    repository = Repository(backend, header, digest, host, home, hostname=hostname)
    repository.refresh()
    repository.sign_in(hostname, now_ns)
    for slot, secret in zip(slots, secrets, strict=True):
        if isinstance(secret, Passphrase) and secret.typed:
            prove(repository, slot, now_ns)
    for stray in unusable_slots(repository):  # of an attempt that was cut off before its header
        backend.delete(slot_name(stray))
    repository.acknowledge()
    return repository


def open(  # noqa: A001 (casstore.open reads as it should)
    backend: Backend,
    home: Home,
    *,
    hostname: str,
    now_ns: int,
    secret: Secret | None = None,
    progress: Progress = silent,
) -> Repository:
    """Open a repository with this host's key file, or with a secret.

    With a secret a spoilt key file of this host is told as Notice; the first write replaces it.

    Raises:
        RepositoryNotFound: there is none. WrongSecret: nothing opens it. FormatTooNew: it is of a newer version.
        HistoryRewritten: the header is not the one that this host, or the host whose key file was given, knew.
    """
    try:
        stored = backend.read(NAME, 0, MAX_BYTES + 1)
    except ObjectMissing:
        raise RepositoryNotFound(f"there is no repository at {backend.address}") from None
    header, digest = decode_header(stored), hash_of(stored)
    own = home.key_file(header.repository)
    if secret is None:
        if not own.exists():
            raise WrongSecret(
                f"this host has no key for the repository at {backend.address}",
                hint="Give its passphrase (CAS_PASSWORD, or a terminal to type it on), --key-file or --recovery-words. "
                "If you expected a key here, the repository may have been made anew by someone else.",
            )
        host = load_host_key(own, header.repository)
    elif isinstance(secret, KeyFile) and isinstance(load_key_file(secret.path), HostKey):
        host = load_host_key(secret.path, header.repository)
    else:
        _, unlocked = open_slot(secret, backend, digest, header.admin_public)
        host = _host(own, HostKey(
            digest, header.repository, Role.ADMIN, random_bytes(32), unlocked.root_secrets, unlocked.admin_seed
        ), progress)  # fmt: skip
    if host.header_hash != digest:
        raise HistoryRewritten("the header of the repository is not the one this host knew")
    _check_admin(host.admin_seed, header)
    return Repository(backend, header, digest, host, home, hostname=hostname)


def _host(own: Path, new: HostKey, progress: Progress) -> HostKey:
    """Give the key of this host, if it opens what the secret opened or knows another header; else a new one."""
    if not os.path.lexists(own):
        return new
    reason = "it holds other secrets than the ones that were opened"
    try:
        known = load_host_key(own, new.repository)
        if opens_the_same(known, new) or known.header_hash != new.header_hash:
            return known
    except WrongSecret as error:
        reason = str(error)
    progress(Notice(os.fsencode(own), f"this host's own key cannot be used and will be replaced: {reason}"))
    return new


def _check_admin(seed: bytes, header: Header) -> None:
    """Refuse secrets of somebody else: what they sign is refused, and what they seal only they can read.

    Raises:
        WrongSecret: they do not belong to the admin that the header names.
    """
    if public_key(seed) != header.admin_public:
        raise WrongSecret("what this opens does not belong to the admin of this repository")
