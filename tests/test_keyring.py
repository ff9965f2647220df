"""Which secret opens what, and how key files lie on a disk."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from casstore.backends.memory import MemoryBackend
from casstore.crypto import Argon2, hash_of, new_words, public_key, sign
from casstore.errors import CasError, FormatDamaged, FormatTooNew, UsageError, WrongSecret
from casstore.format import record
from casstore.format.header import Header, encode_header
from casstore.format.slot import HostKey, Role, Unlocked, encode_host_key
from casstore.ids import SlotId
from casstore.keyring import (
    KeyFile,
    Passphrase,
    RecoveryWords,
    Secret,
    add_slot,
    damaged_slots,
    keep_host_key,
    load_key_file,
    open_slot,
    read_slots,
    remove_slot,
    slot_id,
    slot_name,
    write_private,
)

HASH = b"h" * 32
ADMIN = b"a" * 32
PUBLIC = public_key(ADMIN)
EVIL = b"e" * 32  # the seed of somebody who can write to the store and knows no secret of it
UNLOCKED = Unlocked((b"r" * 32,), b"a" * 32)
HOST = HostKey(HASH, b"r" * 16, Role.ADMIN, b"s" * 32, (b"r" * 32,), b"a" * 32)
MONSTER = [1 << 40, 3, 4]


def add(
    backend: MemoryBackend, secret: Secret, unlocked: Unlocked = UNLOCKED, *, header_hash: bytes = HASH, label: str = ""
) -> SlotId:
    return add_slot(
        backend, secret, unlocked, header_hash=header_hash, label=label, now_ns=7, cost=Argon2(64, 1, 1)
    )  # fmt: skip


def alter(backend: MemoryBackend, slot: SlotId, key: int, value: object, *, seed: bytes = ADMIN) -> SlotId:
    """Exchange a field; whoever has the seed signs the result."""
    fields = record.decode(backend.objects.pop(slot_name(slot))) | {key: value}
    fields.pop(9, None)
    signature = sign(seed, b"casstore slot" + fields[2] + record.encode(dict(sorted(fields.items()))))
    stored = record.encode(dict(sorted((fields | {9: signature}).items())))
    backend.objects[slot_name(slot_id(stored))] = stored
    return slot_id(stored)


def refused(secret: Secret, backend: MemoryBackend, header_hash: bytes = HASH) -> CasError:
    with pytest.raises(WrongSecret) as caught:
        open_slot(secret, backend, header_hash, PUBLIC)
    assert caught.value.exit_code == 12
    return caught.value


def test_each_kind_of_secret_opens_its_own_slot_only(tmp_path: Path) -> None:
    write_private(tmp_path / "one", b"1" * 32)
    write_private(tmp_path / "two", b"2" * 32)
    secrets = [Passphrase("p"), Passphrase("q"), KeyFile(tmp_path / "one"), KeyFile(tmp_path / "two"),
               RecoveryWords(new_words()), RecoveryWords(new_words())]  # fmt: skip
    backend = MemoryBackend()
    expected = {}
    for number, secret in enumerate(secrets):
        unlocked = Unlocked((bytes([number]) * 32,), b"a" * 32)
        expected[add(backend, secret, unlocked)] = (secret, unlocked)
    for slot, (secret, unlocked) in expected.items():
        assert open_slot(secret, backend, HASH, PUBLIC) == (slot, unlocked)


def test_a_wrong_secret_of_any_kind_opens_nothing(tmp_path: Path) -> None:
    backend = MemoryBackend()
    write_private(tmp_path / "right", b"1" * 32)
    write_private(tmp_path / "wrong", b"2" * 32)
    add(backend, Passphrase("right"))
    add(backend, KeyFile(tmp_path / "right"))
    add(backend, RecoveryWords(new_words()))
    for secret in (Passphrase("wrong"), Passphrase(""), KeyFile(tmp_path / "wrong"), RecoveryWords(new_words())):
        refused(secret, backend)


def test_a_kind_without_a_slot_says_so() -> None:
    backend = MemoryBackend()
    add(backend, Passphrase("p"))
    assert "no slot for recovery words" in str(refused(RecoveryWords(new_words()), backend))


def test_a_passphrase_counts_by_its_letters_not_by_how_they_were_typed() -> None:
    backend = MemoryBackend()
    slot = add(backend, Passphrase("caf\u00e9"))
    assert open_slot(Passphrase("cafe\u0301"), backend, HASH, PUBLIC)[0] == slot
    refused(Passphrase("cafe"), backend)


def test_recovery_words_may_be_typed_in_capitals_and_with_any_space() -> None:
    backend, words = MemoryBackend(), new_words()
    slot = add(backend, RecoveryWords(words))
    assert open_slot(RecoveryWords("  " + words.upper().replace(" ", "\n ")), backend, HASH, PUBLIC)[0] == slot


def test_a_passphrase_that_is_no_text_is_refused_in_a_sentence() -> None:
    backend = MemoryBackend()
    add(backend, Passphrase("p"))
    with pytest.raises(UsageError, match="UTF-8"):
        open_slot(Passphrase("p\udcff"), backend, HASH, PUBLIC)


def test_under_an_exchanged_header_nothing_opens() -> None:
    backend = MemoryBackend()
    slot = add(backend, Passphrase("p"))
    refused(Passphrase("p"), backend, b"H" * 32)
    alter(backend, slot, 2, b"H" * 32)  # nor when the slot is made to name the new header, even by the admin
    refused(Passphrase("p"), backend, b"H" * 32)


def test_a_monstrous_slot_is_never_run_and_the_good_one_beside_it_opens() -> None:
    backend = MemoryBackend()
    good = add(backend, Passphrase("p"))
    monster = alter(backend, add(backend, Passphrase("p")), 4, MONSTER)
    assert open_slot(Passphrase("p"), backend, HASH, PUBLIC)[0] == good
    assert list(read_slots(backend, HASH, PUBLIC)[1]) == [monster]
    del backend.objects[slot_name(good)]
    refused(Passphrase("p"), backend)


def test_damaged_too_new_and_stray_objects_leave_the_good_slot_usable() -> None:
    backend = MemoryBackend()
    good, newer = add(backend, Passphrase("p")), add(backend, Passphrase("q"))
    newer = alter(backend, newer, 10, 1)
    backend.objects |= {"keys/" + "0" * 16: b"", "keys/README": b"x", "keys/ab": b"x", "keys/" + "AB" * 8: b"x"}
    slots, unread = read_slots(backend, HASH, PUBLIC)
    assert set(slots) == {good}
    assert {slot: type(error) for slot, error in unread.items()} == {bytes(8): FormatDamaged, newer: FormatTooNew}
    assert open_slot(Passphrase("p"), backend, HASH, PUBLIC)[0] == good


def test_the_right_passphrase_for_spoilt_content_is_told_damage() -> None:
    backend = MemoryBackend()
    alter(backend, add(backend, Passphrase("p")), 8, bytes(200))
    with pytest.raises(FormatDamaged) as caught:
        open_slot(Passphrase("p"), backend, HASH, PUBLIC)
    assert caught.value.exit_code == 20
    refused(Passphrase("q"), backend)
    second = add(backend, Passphrase("p"))
    assert open_slot(Passphrase("p"), backend, HASH, PUBLIC)[0] == second


def test_the_last_slot_stays() -> None:
    backend = MemoryBackend()
    first, second = add(backend, Passphrase("p")), add(backend, Passphrase("q"))
    remove_slot(backend, first, HASH, PUBLIC)
    refused(Passphrase("p"), backend)
    with pytest.raises(UsageError) as caught:
        remove_slot(backend, second, HASH, PUBLIC)
    assert caught.value.hint
    assert open_slot(Passphrase("q"), backend, HASH, PUBLIC)[0] == second


def planted(backend: MemoryBackend, way: str, real: SlotId) -> str:
    """Put a slot there as one can who may write and has no key."""
    stored = backend.objects[slot_name(real)]
    if way == "another header":
        return slot_name(add(backend, Passphrase("evil"), header_hash=b"H" * 32))
    if way == "another admin":
        return slot_name(add(backend, Passphrase("evil"), Unlocked((b"R" * 32,), EVIL)))
    if way == "unsigned":
        stored = record.encode({key: value for key, value in record.decode(stored).items() if key != 9})
    elif way == "a field of a later version":
        stored = record.encode(record.decode(stored) | {64: 1})
    elif way == "another label":
        stored = record.encode(record.decode(stored) | {5: "evil"})
    name = "keys/" + "e" * 16 if way == "another name" else slot_name(slot_id(stored))
    backend.objects[name] = stored
    return name


@pytest.mark.parametrize(
    "way",
    ["another header", "another admin", "unsigned", "a field of a later version", "another label", "another name"],
)
def test_a_planted_slot_is_named_and_neither_tried_nor_counted(way: str) -> None:
    backend = MemoryBackend()
    own = add(backend, Passphrase("p"))
    name = planted(backend, way, own)
    found, unread = read_slots(backend, HASH, PUBLIC)
    assert (set(found), [slot_name(slot) for slot in unread]) == ({own}, [name])
    assert name in str(refused(Passphrase("evil"), backend))
    assert open_slot(Passphrase("p"), backend, HASH, PUBLIC)[0] == own
    with pytest.raises(UsageError, match="last slot"):
        remove_slot(backend, own, HASH, PUBLIC)
    remove_slot(backend, SlotId(bytes.fromhex(name[5:])), HASH, PUBLIC)
    assert set(backend.objects) == {slot_name(own)}


def test_a_damaged_slot_is_removed_only_while_a_sound_one_is_there() -> None:
    backend = MemoryBackend()
    slot = alter(backend, add(backend, Passphrase("p")), 5, "label", seed=EVIL)
    with pytest.raises(UsageError, match="last slot"):
        remove_slot(backend, slot, HASH, PUBLIC)


def test_a_huge_object_among_the_slots_is_damage_and_not_read() -> None:
    class Sparse(MemoryBackend):
        def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
            if name == huge:
                assert length is not None
                return bytes(length)
            return super().read(name, offset, length)

    backend, huge = Sparse(), "keys/" + "0" * 16
    good = add(backend, Passphrase("p"))
    backend.objects[huge] = b""
    found, unread = read_slots(backend, HASH, PUBLIC)
    assert (set(found), [slot_name(slot) for slot in unread]) == ({good}, [huge])


def test_verify_names_planted_slots_and_a_header_that_cannot_be_read() -> None:
    backend = MemoryBackend()
    stored = encode_header(Header(b"r" * 16, PUBLIC, 7))
    backend.objects["header"] = stored
    own = add(backend, Passphrase("p"), header_hash=hash_of(stored))
    assert list(damaged_slots(backend)) == []
    name = planted(backend, "another admin", own)
    assert [damaged for damaged, _ in damaged_slots(backend)] == [name]
    backend.objects["header"] = bytes(1 << 20)
    assert [damaged for damaged, _ in damaged_slots(backend)] == ["header"]


def test_a_slot_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UsageError):
        remove_slot(MemoryBackend(), SlotId(bytes(8)), HASH, PUBLIC)


def test_a_host_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config" / "casstore" / "host.key"
    before = os.umask(0o022)
    try:
        keep_host_key(path, HOST)
    finally:
        os.umask(before)
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert load_key_file(path) == HOST


def test_a_host_key_that_opens_the_same_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    keep_host_key(path, HOST)
    keep_host_key(path, replace(HOST, seed=b"t" * 32))
    assert load_key_file(path) == HOST


@pytest.mark.parametrize("harm", ["empty", "open to others", "of a slot", "of other secrets", "of another repository"])
def test_a_host_key_that_does_not_is_replaced(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "host.key"
    found = HOST
    if harm == "of other secrets":
        found = replace(HOST, root_secrets=(b"R" * 32,))
    elif harm == "of another repository":
        found = replace(HOST, header_hash=b"H" * 32)
    path.write_bytes({"empty": b"", "of a slot": bytes(32)}.get(harm, encode_host_key(found)))
    path.chmod(0o640 if harm == "open to others" else 0o600)
    keep_host_key(path, HOST)
    assert load_key_file(path) == HOST
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        keep_host_key(tmp_path / "file" / "below" / "host.key", HOST)


def test_a_key_that_does_not_fit_on_the_disk_leaves_no_half_of_itself(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys, pathlib; from casstore.errors import UsageError\n"
        "from casstore.keyring import write_private\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: write_private(pathlib.Path(sys.argv[1]), bytes(300))\n"
        "except UsageError: sys.exit(7)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(tmp_path / "key")], cwd=root, check=False, timeout=60
    )
    assert done.returncode == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_open_to_others_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_private(path, bytes(32))
    path.chmod(mode)
    with pytest.raises(WrongSecret) as caught:
        load_key_file(path)
    assert caught.value.exit_code == 12
    assert f"chmod 600 {path}" in caught.value.hint


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), b"\x80"])
def test_a_file_of_another_kind_is_no_key_file(tmp_path: Path, data: bytes) -> None:
    write_private(tmp_path / "key", data)
    with pytest.raises(WrongSecret):
        load_key_file(tmp_path / "key")


def test_a_missing_key_file_or_a_folder_is_a_wrong_secret(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(WrongSecret):
            load_key_file(path)


def test_a_host_key_opens_no_slot(tmp_path: Path) -> None:
    backend = MemoryBackend()
    write_private(tmp_path / "slot", bytes(32))
    add(backend, KeyFile(tmp_path / "slot"))
    keep_host_key(tmp_path / "host", HOST)
    refused(KeyFile(tmp_path / "host"), backend)


def _give_to(path: Path, *entries: tuple[int, int, int]) -> None:
    """Set an access list: (tag, rights, uid or gid) in the order of tags."""
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns what systemd passes on")
@pytest.mark.parametrize(("reader", "may"), [(os.geteuid(), True), (4711, False)])
def test_a_key_that_root_gave_to_us_alone_by_an_access_list_is_as_private_as_one_of_our_own(
    tmp_path: Path, reader: int, may: bool
) -> None:
    path = tmp_path / "key"
    write_private(path, b"k" * 32)
    none = 0xFFFFFFFF
    try:
        _give_to(path, (1, 4, none), (2, 4, reader), (4, 0, none), (16, 4, none), (32, 0, none))
    except OSError:
        pytest.skip("this file system keeps no access lists")
    assert path.stat().st_mode & 0o777 == 0o440  # the mask shows as rights of the group
    if may:
        assert load_key_file(path) == b"k" * 32
    else:
        with pytest.raises(WrongSecret, match="read by others"):
            load_key_file(path)
