"""Which secret opens a repository when this host's own key file is spoilt, and what others plant beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import Crash, FailingAt
from stores import CHEAP, NOW, Store

from casstore.backends.local import LocalBackend
from casstore.backends.memory import MemoryBackend
from casstore.backup import backup
from casstore.crypto import new_words
from casstore.errors import HistoryRewritten, ObjectMissing, WrongSecret
from casstore.format.commit import CommitKind
from casstore.format.slot import HostKey, Role, SlotHead, SlotKind, Unlocked, encode_host_key, seal_slot
from casstore.keyring import (
    KeyFile,
    Passphrase,
    RecoveryWords,
    Secret,
    load_host_key,
    load_key_file,
    slot_id,
    slot_name,
)
from casstore.opening import create
from casstore.opening import open as open_repository
from casstore.progress import Event, Notice
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.slots import list_slots
from casstore.source import Source
from casstore.verify import verify

EVIL = bytes(32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "one")
    made.create()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    return made


def own_key(store: Store) -> Path:
    return next(store.home.config.rglob("host.key"))


def opened(store: Store, secret: Secret | None) -> tuple[Repository, list[Event]]:
    told: list[Event] = []
    repository = open_repository(
        store.backend, store.home, hostname="h", now_ns=store.now, secret=secret, progress=told.append
    )
    return repository, told


def save(store: Store, secret: Secret | None, tree: Path) -> tuple[list[Event], int]:
    """Take a snapshot; give what opening told, and how many hosts were signed in so far."""
    repository, told = opened(store, secret)
    with repository:
        source = Source(os.fsencode(tree), Selection(), never=repository.never)
        backup(repository, source, now_ns=store.now, zone_minutes=0, hostname="h")
        return told, len(list(repository.cache.commits(CommitKind.KEY)))


def spoil(store: Store, harm: str, tmp_path: Path) -> None:
    key = load_key_file(own_key(store))
    assert isinstance(key, HostKey)
    if harm == "open to others":
        own_key(store).chmod(0o640)
    elif harm == "of other secrets":
        own_key(store).write_bytes(encode_host_key(replace(key, root_secrets=(EVIL,))))
    elif harm == "of another repository":
        other = Store(tmp_path / "two")
        other.create()
        own_key(store).write_bytes(own_key(other).read_bytes())
    else:
        own_key(store).write_bytes({"empty": b"", "of a slot": EVIL, "cut": b"\x87\x00"}[harm])


@pytest.mark.parametrize(
    "harm", ["empty", "cut", "open to others", "of a slot", "of other secrets", "of another repository"]
)
def test_the_right_passphrase_opens_beside_a_spoilt_key_file_which_the_first_write_replaces(
    store: Store, tmp_path: Path, harm: str
) -> None:
    spoil(store, harm, tmp_path)
    told, hosts = save(store, Passphrase("x"), tmp_path / "tree")
    assert [(type(event), event.path) for event in told if isinstance(event, Notice)] == [
        (Notice, os.fsencode(own_key(store)))
    ]
    assert hosts == 2
    assert save(store, Passphrase("x"), tmp_path / "tree") == ([], 2)
    assert save(store, None, tmp_path / "tree") == ([], 2)


@pytest.mark.parametrize("harm", ["empty", "cut", "open to others", "of a slot", "of another repository"])
def test_without_a_secret_a_spoilt_key_file_is_told(store: Store, tmp_path: Path, harm: str) -> None:
    spoil(store, harm, tmp_path)
    with pytest.raises(WrongSecret, match=r"host\.key"):
        opened(store, None)


def test_reading_with_a_passphrase_leaves_a_spoilt_key_file_as_it_is(store: Store, tmp_path: Path) -> None:
    spoil(store, "empty", tmp_path)
    repository, _ = opened(store, Passphrase("x"))
    with repository:
        repository.refresh()
        repository.acknowledge()
    assert own_key(store).read_bytes() == b""


def test_a_key_file_that_knew_another_header_is_an_alarm_whatever_the_passphrase(store: Store) -> None:
    with store.open() as repository:
        key = load_host_key(own_key(store), repository.header.repository)
    own_key(store).write_bytes(encode_host_key(replace(key, header_hash=EVIL)))
    for secret in (None, Passphrase("x")):
        with pytest.raises(HistoryRewritten):
            opened(store, secret)


@pytest.mark.parametrize("own", [True, False])
def test_a_key_file_of_another_admin_opens_nothing(store: Store, tmp_path: Path, own: bool) -> None:
    with store.open() as repository:
        key = load_host_key(own_key(store), repository.header.repository)
    path = own_key(store) if own else tmp_path / "host.key"
    path.write_bytes(encode_host_key(replace(key, root_secrets=(EVIL,), admin_seed=EVIL)))
    path.chmod(0o600)
    with pytest.raises(WrongSecret, match="admin"):
        opened(store, None if own else KeyFile(path))


def test_a_planted_slot_opens_to_nobodys_secrets(store: Store, tmp_path: Path) -> None:
    with store.open() as repository:
        head = SlotHead(SlotKind.KEY_FILE, Role.ADMIN, repository.header_hash, bytes(32), None, "", 0)
    stored = seal_slot(head, EVIL, Unlocked((EVIL,), EVIL))
    assert isinstance(store.backend, MemoryBackend)
    store.backend.objects[slot_name(slot_id(stored))] = stored
    (tmp_path / "evil").write_bytes(EVIL)
    (tmp_path / "evil").chmod(0o600)
    with pytest.raises(WrongSecret):
        opened(store, KeyFile(tmp_path / "evil"))


@pytest.mark.parametrize("after", [False, True])
def test_an_init_that_is_cut_off_can_be_typed_again_or_has_made_a_repository(tmp_path: Path, after: bool) -> None:
    words = RecoveryWords(new_words())
    (tmp_path / "slot.key").write_bytes(b"k" * 32)
    (tmp_path / "slot.key").chmod(0o600)
    secrets: list[Secret] = [Passphrase("x", typed=True), words, KeyFile(tmp_path / "slot.key")]
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    made = 0
    for n in range(1, 100):
        backend = FailingAt(LocalBackend(tmp_path / f"repository {n}"))
        store = Store(tmp_path / f"home {n}", backend)
        backend.arm(n, after=after)

        def init(store: Store = store) -> None:
            create(store.backend, store.home, secrets=secrets, hostname="h", now_ns=NOW, kdf=CHEAP).close()

        try:
            init()
        except Crash:
            pass
        else:
            break
        try:
            backend.size("header")
        except ObjectMissing:
            init()
        else:
            made += 1
        for secret in (None, *secrets):
            elsewhere = Store(tmp_path / f"elsewhere {n} {secrets.index(secret) if secret else ''}", backend)
            host = store if secret is None else elsewhere
            assert save(host, secret, tmp_path / "tree")[0] == []
        with store.open() as repository:
            assert list(verify(repository)) == []
            assert len(list_slots(repository)) == len(secrets)
    assert (n, made) == (8, 4 if after else 3)  # three slots, the header, certificate, sign-in, proof of the passphrase
