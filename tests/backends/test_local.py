"""The local backend: order of a write, and what a disk can do to it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.backends.local import Files, LocalBackend
from casstore.errors import ObjectExists, ObjectMissing, RepositoryExists, RepositoryUnwritable


class Recording(Files):
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

    def unlink(self, path: str) -> None:
        self._note("unlink")
        super().unlink(path)

    def sync_folder(self, path: str) -> None:
        self._note("sync_folder")
        super().sync_folder(path)


def made(tmp_path: Path, files: Files | None = None) -> LocalBackend:
    LocalBackend(tmp_path / "repository").create()
    return LocalBackend(tmp_path / "repository", files=files)


def test_bytes_are_durable_before_the_name_and_the_name_before_it_is_told(tmp_path: Path) -> None:
    files = Recording()
    made(tmp_path, files).write("ledger/1", b"0123456789")
    assert files.calls == ["create", "write", "write", "sync", "link", "sync_folder", "unlink"]


@pytest.mark.parametrize("step", ["create", "write", "sync", "link", "sync_folder"])
def test_a_failing_step_is_told_and_leaves_no_temporary(tmp_path: Path, step: str) -> None:
    files = Recording(fail=step)
    backend = made(tmp_path, files)
    with pytest.raises(RepositoryUnwritable, match="Input/output error"):
        backend.write("ledger/1", b"0123456789")
    assert list((tmp_path / "repository" / "tmp").iterdir()) == []
    assert files.calls.count("sync") <= 1  # a failed sync is never repeated
    if step != "sync_folder":
        with pytest.raises(ObjectMissing):
            backend.read("ledger/1")


def test_a_full_disk_has_a_hint(tmp_path: Path) -> None:
    backend = made(tmp_path, Recording(fail="write", number=errno.ENOSPC))
    with pytest.raises(RepositoryUnwritable) as caught:
        backend.write("ledger/1", b"x")
    assert "room" in caught.value.hint


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RepositoryExists):
        LocalBackend(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    backend = made(tmp_path)
    backend.write("ledger/1", b"x")
    for path in (tmp_path / "repository", *(tmp_path / "repository").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_stale_temporaries_are_swept_and_young_ones_left(tmp_path: Path) -> None:
    backend = made(tmp_path)
    folder = tmp_path / "repository" / "tmp"
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (1, 1))
    (folder / "young").write_bytes(b"x")
    backend.write("ledger/1", b"x")
    assert [path.name for path in folder.iterdir()] == ["young"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_user_is_not_written_to(tmp_path: Path) -> None:
    backend = made(tmp_path)
    os.chown(tmp_path / "repository", 65534, 65534)
    with pytest.raises(RepositoryUnwritable) as caught:
        backend.write("ledger/1", b"x")
    assert "sudo -u" in caught.value.hint


def test_of_two_processes_that_create_a_name_one_wins(tmp_path: Path) -> None:
    made(tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "from casstore.backends.local import LocalBackend\n"
        "from casstore.errors import ObjectExists\n"
        "backend = LocalBackend(Path(sys.argv[1])); won = 0\n"
        "for n in range(200):\n"
        "    try: backend.write(f'ledger/{n}', sys.argv[2].encode()); won += 1\n"
        "    except ObjectExists: pass\n"
        "print(won)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "repository"), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    assert sum(int(process.communicate()[0]) for process in both) == 200


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    backend = made(tmp_path)
    for name in ("../x", "ledger/../../x", "/x", "ledger//x", ""):
        with pytest.raises(ValueError, match="impossible"):
            backend.write(name, b"x")


def test_control_the_recording_sees_a_taken_name(tmp_path: Path) -> None:
    files = Recording()
    backend = made(tmp_path, files)
    backend.write("ledger/1", b"x")
    files.calls.clear()
    with pytest.raises(ObjectExists):
        backend.write("ledger/1", b"y")
    assert files.calls[-2:] == ["sync_folder", "unlink"]  # whoever took it may not have synced it
