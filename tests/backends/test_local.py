"""The local backend: order of a write, and what another process or a stranger can do to it."""

from __future__ import annotations

import errno
import os
import pwd  # noqa: F401 - loaded before the test below gives its rights away
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.backends.local import Files, LocalBackend
from casstore.errors import (
    Damaged,
    ObjectExists,
    ObjectMissing,
    RepositoryExists,
    RepositoryUnreadable,
    RepositoryUnwritable,
)

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away or change its uid")


class Steps(Files):
    """Notes the calls that decide about durability; fails the one it was told to."""

    def __init__(self, fail: str = "", number: int = errno.EIO) -> None:
        self.calls: list[str] = []
        self._fail, self._number = fail, number

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self._fail:
            raise OSError(self._number, os.strerror(self._number))

    def create(self, path: str) -> int:
        self._note("create")
        return super().create(path)

    def write(self, fd: int, data: memoryview) -> int:
        self._note("write")
        return super().write(fd, data[:7])  # short writes are allowed

    def sync(self, fd: int) -> None:
        self._note("sync")
        super().sync(fd)

    def link(self, source: str, target: str) -> None:
        self._note("link")
        super().link(source, target)

    def rename(self, source: str, target: str) -> None:
        self._note("rename")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._note("unlink")
        super().unlink(path)

    def sync_folder(self, path: str) -> None:
        self._note("sync_folder")
        super().sync_folder(path)


def made(tmp_path: Path, files: Files | None = None) -> LocalBackend:
    LocalBackend(tmp_path / "repository").create()
    return LocalBackend(tmp_path / "repository", files=files)


def temporaries(backend: LocalBackend) -> list[str]:
    return os.listdir(backend.folder / "tmp")


# ── the order of a write ──


def test_bytes_are_durable_before_the_name_and_the_name_before_it_is_told(tmp_path: Path) -> None:
    files = Steps()
    made(tmp_path, files).write("ledger/1", b"0123456789")
    assert files.calls == ["create", "write", "write", "sync", "link", "sync_folder", "unlink"]


def test_a_new_folder_is_durable_before_the_object_in_it_is_told(tmp_path: Path) -> None:
    files = Steps()
    made(tmp_path, files).write("parity/new/x", b"x")
    assert files.calls[2:] == ["sync", "link", "sync_folder", "sync_folder", "link", "sync_folder", "unlink"]


@pytest.mark.parametrize("step", ["create", "write", "sync", "link", "sync_folder"])
def test_a_failing_step_is_told_and_leaves_no_temporary(tmp_path: Path, step: str) -> None:
    files = Steps(fail=step)
    backend = made(tmp_path, files)
    with pytest.raises(RepositoryUnwritable, match="Input/output error"):
        backend.write("ledger/1", b"0123456789")
    assert temporaries(backend) == []
    assert files.calls.count("sync") <= 1  # a failed sync is never repeated
    if step != "sync_folder":
        with pytest.raises(ObjectMissing):
            backend.read("ledger/1")


def test_a_temporary_that_cannot_be_removed_denies_nothing(tmp_path: Path) -> None:
    backend = made(tmp_path, Steps(fail="unlink"))
    backend.write("ledger/1", b"x")
    assert backend.read("ledger/1") == b"x"


def test_a_name_found_taken_is_synced_for_whoever_took_it(tmp_path: Path) -> None:
    files = Steps()
    backend = made(tmp_path, files)
    backend.write("ledger/1", b"x")
    files.calls.clear()
    with pytest.raises(ObjectExists):
        backend.write("ledger/1", b"y")
    assert files.calls[-3:] == ["link", "sync_folder", "unlink"]
    assert temporaries(backend) == []


def test_a_link_whose_answer_was_lost_is_told_from_a_taken_name(tmp_path: Path) -> None:
    class OverNfs(Files):
        def link(self, source: str, target: str) -> None:
            super().link(source, target)
            super().link(source, target)

    backend = made(tmp_path, OverNfs())
    backend.write("ledger/1", b"x")
    assert backend.read("ledger/1") == b"x"


# ── file systems ──


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_links_a_name_is_taken_by_renaming_and_never_twice(tmp_path: Path, number: int) -> None:
    files = Steps(fail="link", number=number)
    backend = made(tmp_path, files)
    backend.write("ledger/1", b"first")
    assert files.calls[-4:] == ["link", "rename", "sync_folder", "unlink"]
    with pytest.raises(ObjectExists):
        backend.write("ledger/1", b"second")
    assert backend.read("ledger/1") == b"first"
    assert files.calls.count("link") == 1  # it is asked once
    assert temporaries(backend) == []


def test_a_file_system_that_can_neither_link_nor_rename_exclusively_is_refused(tmp_path: Path) -> None:
    class Neither(Files):
        def link(self, source: str, target: str) -> None:
            raise OSError(errno.EPERM, "no")

        def rename(self, source: str, target: str) -> None:
            raise OSError(errno.EINVAL, "no")

    backend = made(tmp_path, Neither())
    with pytest.raises(RepositoryUnwritable, match="neither links"):
        backend.write("ledger/1", b"x")
    assert list(backend.list("ledger")) == []
    assert temporaries(backend) == []


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "room"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EACCES, "user")],
)
def test_what_can_be_done_about_a_refusal_is_said(tmp_path: Path, number: int, word: str) -> None:
    backend = made(tmp_path, Steps(fail="write", number=number))
    with pytest.raises(RepositoryUnwritable, match=os.strerror(number)) as caught:
        backend.write("ledger/1", b"x")
    assert word in caught.value.hint


# ── making ──


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RepositoryExists):
        LocalBackend(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_repository_is_not_made_anew_even_if_its_header_is_lost(tmp_path: Path) -> None:
    backend = made(tmp_path)
    backend.write("ledger/1", b"x")
    with pytest.raises(RepositoryExists, match="is not empty"):
        backend.create()


def test_what_an_interrupted_init_left_is_told_from_a_repository(tmp_path: Path) -> None:
    backend = made(tmp_path)
    backend.create()  # folders only: taken up
    backend.write("keys/0123", b"x")
    backend.create()  # slots without header or history open nothing
    backend.write("packs/00/0123", b"x")
    with pytest.raises(RepositoryExists, match="is not empty"):
        backend.create()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        backend = made(tmp_path)
        backend.write("ledger/1", b"x")
    finally:
        os.umask(before)
    for path in (backend.folder, *backend.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_a_copy_without_its_empty_folders_is_written_to(tmp_path: Path) -> None:
    backend = made(tmp_path)
    for name in ("tmp", "ledger"):
        (backend.folder / name).rmdir()
    backend.write("ledger/1", b"x")
    assert backend.read("ledger/1") == b"x"


def test_a_repository_that_is_gone_is_told(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path / "gone")
    with pytest.raises(RepositoryUnwritable, match="No such file"):
        backend.write("ledger/1", b"x")
    assert not backend.folder.exists()


def test_stale_temporaries_are_swept_and_young_ones_left(tmp_path: Path) -> None:
    backend = made(tmp_path)
    folder = backend.folder / "tmp"
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (1, 1))
    (folder / "young").write_bytes(b"x")
    backend.write("ledger/1", b"x")
    assert temporaries(backend) == ["young"]


# ── others ──


@only_root
@pytest.mark.parametrize("whose", ["", "header"], ids=["folder", "header"])
def test_a_repository_of_another_user_is_not_written_to_not_even_by_root(tmp_path: Path, whose: str) -> None:
    backend = made(tmp_path)
    (backend.folder / "header").write_bytes(b"h")
    (backend.folder / "keys" / "one").write_bytes(b"1")
    os.chown(backend.folder / whose, 4242, 4242)
    for ask in (lambda: backend.write("ledger/1", b"x"), lambda: backend.delete("keys/one")):
        with pytest.raises(RepositoryUnwritable) as caught:
            ask()
        assert "sudo -u '#4242'" in caught.value.hint  # unquoted, a shell takes it for a comment
    assert list(backend.list("ledger")) == []
    assert temporaries(backend) == []


@only_root
def test_a_repository_is_not_made_in_a_folder_of_another_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 4242, 4242)
    with pytest.raises(RepositoryUnwritable, match="another user"):
        LocalBackend(tmp_path).create()
    assert list(tmp_path.iterdir()) == []


@only_root
@pytest.mark.parametrize(("mode", "why"), [(0o711, "belongs to another user, root"), (0o700, "cannot be reached")])
def test_not_being_allowed_to_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, why: str
) -> None:
    made(tmp_path).write("ledger/1", b"x")
    tmp_path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    backend = LocalBackend(Path("repository"))
    os.seteuid(4242)
    try:
        for ask in (backend.read, backend.size, lambda name: list(backend.list(name))):
            with pytest.raises(RepositoryUnreadable, match=why):
                ask("ledger/1")
    finally:
        os.seteuid(0)


def test_of_two_processes_that_create_a_name_one_wins(tmp_path: Path) -> None:
    backend = made(tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "from casstore.backends.local import LocalBackend\n"
        "from casstore.errors import ObjectExists\n"
        "backend = LocalBackend(Path(sys.argv[1])); won = 0\n"
        "print(flush=True); sys.stdin.readline()\n"
        "for n in range(200):\n"
        "    try: backend.write(f'ledger/{n}', sys.argv[2].encode()); won += 1\n"
        "    except ObjectExists: pass\n"
        "print(won)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(backend.folder), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
    won = {name: int(process.communicate("go\n")[0]) for name, process in zip("ab", both, strict=True)}
    held = [backend.read(f"ledger/{n}").decode() for n in range(200)]
    assert won == {name: held.count(name) for name in "ab"}
    assert sum(won.values()) == 200


def test_what_was_planted_in_the_place_of_an_object_is_damage_and_blocks_nothing(tmp_path: Path) -> None:
    backend = made(tmp_path)
    os.mkfifo(backend.folder / "ledger" / "fifo")
    os.symlink("/dev/zero", backend.folder / "ledger" / "symlink")
    (backend.folder / "ledger" / "folder").mkdir()
    for name in ("fifo", "symlink", "folder"):
        with pytest.raises(Damaged):
            backend.read(f"ledger/{name}")
        with pytest.raises(Damaged):
            backend.size(f"ledger/{name}")
    assert list(backend.list("ledger")) == []
