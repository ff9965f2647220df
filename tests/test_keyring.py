"""Which secret opens what, and how key files lie on a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.backends.memory import MemoryBackend
from casstore.crypto import Argon2, new_words
from casstore.errors import CasError, FormatDamaged, FormatTooNew, UsageError, WrongSecret
from casstore.format import record
from casstore.format.slot import HostKey, Role, SlotKind, Unlocked
from casstore.ids import SlotId
from casstore.keyring import (
    KeyFile,
    Passphrase,
    RecoveryWords,
    Secret,
    add_slot,
    listed,
    load_key_file,
    open_slot,
    read_slots,
    remove_slot,
    slot_name,
    write_host_key,
    write_private,
)

HASH = b"h" * 32
UNLOCKED = Unlocked((b"r" * 32,), b"a" * 32)
HOST = HostKey(HASH, b"r" * 16, Role.ADMIN, b"s" * 32, (b"r" * 32,), b"a" * 32)
MONSTER = [1 << 40, 3, 4]


def add(
    backend: MemoryBackend, secret: Secret, unlocked: Unlocked = UNLOCKED, *, header_hash: bytes = HASH, label: str = ""
) -> SlotId:
    return add_slot(
        backend, secret, unlocked, header_hash=header_hash, label=label, now_ns=7, cost=Argon2(64, 1, 1)
    )  # fmt: skip


def alter(backend: MemoryBackend, slot: SlotId, key: int, value: object) -> None:
    stored = record.decode(backend.objects[slot_name(slot)])
    backend.objects[slot_name(slot)] = record.encode(stored | {key: value})


def refused(secret: Secret, backend: MemoryBackend, header_hash: bytes = HASH) -> CasError:
    with pytest.raises(WrongSecret) as caught:
        open_slot(secret, backend, header_hash)
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
        assert open_slot(secret, backend, HASH) == (slot, unlocked)


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
    assert open_slot(Passphrase("cafe\u0301"), backend, HASH)[0] == slot
    refused(Passphrase("cafe"), backend)


def test_recovery_words_may_be_typed_in_capitals_and_with_any_space() -> None:
    backend, words = MemoryBackend(), new_words()
    slot = add(backend, RecoveryWords(words))
    assert open_slot(RecoveryWords("  " + words.upper().replace(" ", "\n ")), backend, HASH)[0] == slot


def test_a_passphrase_that_is_no_text_is_refused_in_a_sentence() -> None:
    backend = MemoryBackend()
    add(backend, Passphrase("p"))
    with pytest.raises(UsageError, match="UTF-8"):
        open_slot(Passphrase("p\udcff"), backend, HASH)


def test_under_an_exchanged_header_nothing_opens() -> None:
    backend = MemoryBackend()
    slot = add(backend, Passphrase("p"))
    refused(Passphrase("p"), backend, b"H" * 32)
    alter(backend, slot, 2, b"H" * 32)  # nor when the slot is made to name the new header
    refused(Passphrase("p"), backend, b"H" * 32)


def test_a_monstrous_slot_is_never_run_and_the_good_one_beside_it_opens() -> None:
    backend = MemoryBackend()
    good = add(backend, Passphrase("p"))
    monster = add(backend, Passphrase("p"))
    alter(backend, monster, 4, MONSTER)
    assert open_slot(Passphrase("p"), backend, HASH)[0] == good
    assert [name for name, _ in read_slots(backend)[1]] == [slot_name(monster)]
    del backend.objects[slot_name(good)]
    refused(Passphrase("p"), backend)


def test_damaged_too_new_and_stray_objects_leave_the_good_slot_usable() -> None:
    backend = MemoryBackend()
    good, newer = add(backend, Passphrase("p")), add(backend, Passphrase("q"))
    alter(backend, newer, 9, 1)
    backend.objects |= {"keys/" + "0" * 16: b"", "keys/README": b"x", "keys/ab": b"x", "keys/" + "AB" * 8: b"x"}
    slots, unread = read_slots(backend)
    assert set(slots) == {good}
    assert {name: type(error) for name, error in unread} == {
        "keys/" + "0" * 16: FormatDamaged,
        slot_name(newer): FormatTooNew,
    }
    assert open_slot(Passphrase("p"), backend, HASH)[0] == good


def test_the_right_passphrase_for_spoilt_content_is_told_damage() -> None:
    backend = MemoryBackend()
    add_damaged = add(backend, Passphrase("p"))
    alter(backend, add_damaged, 8, bytes(200))
    with pytest.raises(FormatDamaged) as caught:
        open_slot(Passphrase("p"), backend, HASH)
    assert caught.value.exit_code == 20
    refused(Passphrase("q"), backend)
    second = add(backend, Passphrase("p"))
    assert open_slot(Passphrase("p"), backend, HASH)[0] == second


def test_slots_are_listed_with_what_they_say_and_when_they_were_proven() -> None:
    backend = MemoryBackend()
    slot = add(backend, Passphrase("p"), label="of ana")
    (shown,) = listed(read_slots(backend)[0].items(), {slot: 9})
    assert (shown.id, shown.kind, shown.role, shown.label, shown.created_ns, shown.proven_ns) == (
        slot, SlotKind.PASSPHRASE, Role.ADMIN, "of ana", 7, 9,
    )  # fmt: skip


def test_the_last_slot_stays() -> None:
    backend = MemoryBackend()
    first, second = add(backend, Passphrase("p")), add(backend, Passphrase("q"))
    remove_slot(backend, first)
    refused(Passphrase("p"), backend)
    with pytest.raises(UsageError) as caught:
        remove_slot(backend, second)
    assert caught.value.hint
    assert open_slot(Passphrase("q"), backend, HASH)[0] == second


def test_a_planted_slot_of_another_header_does_not_count_as_a_second_one() -> None:
    backend = MemoryBackend()
    own = add(backend, Passphrase("p"))
    add(backend, Passphrase("evil"), header_hash=b"H" * 32)
    with pytest.raises(UsageError):
        remove_slot(backend, own)


def test_a_slot_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UsageError):
        remove_slot(MemoryBackend(), SlotId(bytes(8)))


def test_a_host_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config" / "casstore" / "host.key"
    before = os.umask(0o022)
    try:
        write_host_key(path, HOST)
    finally:
        os.umask(before)
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert load_key_file(path) == HOST


def test_a_host_key_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    write_private(path, b"1" * 32)
    with pytest.raises(UsageError):
        write_host_key(path, HOST)
    assert load_key_file(path) == b"1" * 32


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        write_host_key(tmp_path / "file" / "below" / "host.key", HOST)


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
    write_host_key(tmp_path / "host", HOST)
    refused(KeyFile(tmp_path / "host"), backend)
