"""A file restored in part: by the road of every restore in place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from restore.cuts import cut
from restore.folders import Folder, fill

from casstore.backends.local import LocalBackend
from casstore.errors import ApplicationRunning
from casstore.restore import (
    ChangedMeanwhile,
    NothingToRewrite,
    Restored,
    read_live,
    resume,
    rewrite,
    undo,
    unfinished,
)
from casstore.restore.given import Revise
from casstore.snapshot import Snapshot


class Rewritten(Folder):
    """A folder in which one file is restored in part."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, LocalBackend(folder / "repository"))
        fill(self.tree)
        (self.tree / "data/.users*.json").write_bytes(b"old" * 100_000)
        self.file = self.tree / "data/.users*.json"
        self.saved: Snapshot = self.snapshot()

    def rewrite(self, revise: Revise, path: bytes = b"data/.users*.json", *, force: bool = False) -> Restored:
        with self.opened() as repository:
            return rewrite(
                repository, self.saved, self.tree, path, revise, force=force, now_ns=self.now, zone_minutes=0,
                hostname="h",
            )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Rewritten:
    return Rewritten(tmp_path)


def test_only_the_bytes_change_and_it_can_be_undone(folder: Rewritten) -> None:
    folder.file.chmod(0o640)
    os.setxattr(folder.file, "user.note", b"kept")
    if os.geteuid() == 0:
        os.chown(folder.file, 12, 34)
    before, was, inode = folder.copy("before"), folder.file.stat(), folder.file.stat().st_ino
    done = folder.rewrite(lambda data: data + b"new")
    now = folder.file.stat()
    assert folder.file.read_bytes() == b"old" * 100_000 + b"new"
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)
    assert os.getxattr(folder.file, "user.note") == b"kept"
    assert now.st_mtime_ns == folder.now
    assert now.st_ino != inode  # another file took its name
    assert (done.replaced, done.new, done.deleted, done.problems) == (1, 0, 0, 0)
    assert done.pre_restore is not None
    assert done.pre_restore.pre_restore
    assert folder.leftovers() == []
    folder.undo()
    assert folder.file.read_bytes() == (before / "data/.users*.json").read_bytes()
    assert os.getxattr(folder.file, "user.note") == b"kept"
    assert folder.file.stat().st_mtime_ns == was.st_mtime_ns


def test_all_other_files_stay_as_they_are(folder: Rewritten) -> None:
    (folder.tree / "a.json").write_bytes(b"changed since the snapshot")
    (folder.tree / "data/users.json").write_bytes(b"the glob would match this")
    before = {path: path.read_bytes() for path in folder.tree.rglob("*") if path.is_file()}
    folder.rewrite(lambda _data: b"new")
    after = {path: path.read_bytes() for path in folder.tree.rglob("*") if path.is_file()}
    assert after == before | {folder.file: b"new"}


@pytest.mark.parametrize("size", [0, 1, 9_000_000])
def test_any_size_is_written_and_read_back(folder: Rewritten, size: int) -> None:
    data = os.urandom(size)
    folder.rewrite(lambda _data: data)
    assert folder.file.read_bytes() == data


def test_equal_bytes_touch_nothing(folder: Rewritten) -> None:
    was = folder.file.stat()
    done = folder.rewrite(lambda data: data)
    now = folder.file.stat()
    assert (done.replaced, done.unchanged, done.pre_restore) == (0, 1, None)
    assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (was.st_ino, was.st_mtime_ns, was.st_ctime_ns)


def test_what_is_written_meanwhile_is_not_lost(folder: Rewritten) -> None:
    def revise(data: bytes) -> bytes:
        folder.file.write_bytes(b"by the application")
        return data + b"new"

    with pytest.raises(ChangedMeanwhile):
        folder.rewrite(revise)
    assert folder.file.read_bytes() == b"by the application"
    assert folder.leftovers() == []
    assert unfinished(folder.tree) is None


def test_a_writing_application_stops_it(folder: Rewritten) -> None:
    program = "import sys; file = open(sys.argv[1], 'r+'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, folder.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as application:
        assert application.stdout is not None
        application.stdout.readline()
        with pytest.raises(ApplicationRunning):
            folder.rewrite(lambda _data: b"new")
        assert folder.file.read_bytes() == b"old" * 100_000
        folder.rewrite(lambda _data: b"new", force=True)
        application.communicate(b"")
    assert folder.file.read_bytes() == b"new"


def test_what_is_no_live_file_cannot_be_changed(folder: Rewritten) -> None:
    os.mkfifo(folder.tree / "pipe")
    for path, why in (
        (b"none", "no such file"),
        (b"link", "symbolic"),
        (b"data", "no regular"),
        (b"pipe", "no regular"),
    ):
        with pytest.raises(NothingToRewrite, match=why):
            folder.rewrite(lambda data: data, path)
        with pytest.raises(NothingToRewrite, match=why):
            read_live(folder.tree, path)
    assert folder.leftovers() == []


@pytest.mark.parametrize("way", [resume, undo])
def test_a_crash_at_any_change_leads_to_the_old_or_the_new_file(folder: Rewritten, way: object) -> None:
    old, new = folder.file.read_bytes(), b"new" * 50_000
    swaps = 0
    for at in range(100):
        folder.file.write_bytes(old)
        if not cut(lambda: folder.rewrite(lambda _data: new) and None, at, from_journal=False):
            break
        assert folder.file.read_bytes() in (old, new)
        if unfinished(folder.tree) is not None:
            swaps += 1
            way(folder.tree, state=folder.home.state)  # type: ignore[operator]
            assert folder.file.read_bytes() == (new if way is resume else old)
    assert at > 20
    assert swaps > 3
