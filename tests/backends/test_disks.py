"""Real disks that are full or fail: a small tmpfs, a limit on file sizes, system calls that strace lets fail."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.backends.local import LocalBackend
from casstore.errors import RepositoryUnwritable


def may_trace() -> bool:
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True).returncode == 0
    )


traced = pytest.mark.skipif(not may_trace(), reason="strace is not installed, or may not trace here")


def made(tmp_path: Path) -> LocalBackend:
    backend = LocalBackend(tmp_path / "repository")
    backend.create()
    return backend


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_works_again_once_there_is_room(small_disk: Path) -> None:
    backend = LocalBackend(small_disk / "repository")
    backend.create()
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            backend.write(f"packs/ab/{written}", bytes([written]) * 60_000)
            written += 1

    with pytest.raises(RepositoryUnwritable, match="No space left") as caught:
        fill()
    assert "Make room" in caught.value.hint
    assert written > 0
    assert list((backend.folder / "tmp").iterdir()) == []
    assert [backend.read(f"packs/ab/{n}") for n in range(written)] == [bytes([n]) * 60_000 for n in range(written)]
    backend.delete("packs/ab/0")
    backend.write("ledger/1", b"x" * 500)
    assert backend.read("ledger/1") == b"x" * 500


WRITE = (
    "import sys\n"
    "from pathlib import Path\n"
    "from casstore.backends.local import LocalBackend\n"
    "from casstore.errors import RepositoryUnwritable\n"
    "try:\n"
    "    LocalBackend(Path(sys.argv[1])).write('ledger/1', b'x' * 100_000)\n"
    "except RepositoryUnwritable as error:\n"
    "    sys.exit(f'{error}')\n"
)


def test_a_write_that_ends_short_leaves_no_object(tmp_path: Path) -> None:
    backend = made(tmp_path)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))

    ran = subprocess.run(
        [sys.executable, "-B", "-c", WRITE, str(backend.folder)], preexec_fn=limit, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (1, f"{backend.folder} cannot be written: File too large\n")
    assert list(backend.list("ledger")) == []
    assert list((backend.folder / "tmp").iterdir()) == []


@traced
@pytest.mark.parametrize(("call", "there"), [(1, False), (2, True)], ids=["the file's", "the folder's"])
def test_a_real_fsync_that_fails_is_told_and_not_repeated(tmp_path: Path, call: int, there: bool) -> None:
    backend = made(tmp_path)
    log = tmp_path / "log"
    ran = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={call}",
         sys.executable, "-c", WRITE, str(backend.folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (1, f"{backend.folder} cannot be written: Input/output error\n")
    assert log.read_text().count("fsync(") == call
    assert list((backend.folder / "tmp").iterdir()) == []
    # after the folder's fsync failed the name may be read back; whether it lasts is told by whoever finds it taken
    assert list(backend.list("ledger")) == ([("ledger/1", 100_000)] if there else [])


READ = (
    "import sys\n"
    "from pathlib import Path\n"
    "from casstore.backends.local import LocalBackend\n"
    "from casstore.errors import Damaged\n"
    "try:\n"
    "    LocalBackend(Path(sys.argv[1])).read('ledger/1')\n"
    "except Damaged as error:\n"
    "    sys.exit(f'{error}')\n"
)


@traced
def test_an_object_that_the_disk_cannot_read_is_damage(tmp_path: Path) -> None:
    backend = made(tmp_path)
    backend.write("ledger/1", b"x")
    ran = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(backend.folder / "ledger" / "1"),
         "-e", "inject=pread64:error=EIO", sys.executable, "-B", "-c", READ, str(backend.folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (1, "ledger/1 cannot be read: Input/output error\n")
