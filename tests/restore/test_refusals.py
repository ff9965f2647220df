"""In place nothing is touched unless all can be done: damage, a running application, what was not saved."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from restore.folders import Folder, fill, spoil
from trees import strict_difference

from casstore.backends.memory import MemoryBackend
from casstore.errors import ApplicationRunning, CasError, RepositoryUnwritable, RestoreUnfinished
from casstore.progress import Event, Problem, Stage
from casstore.restore import ChangedMeanwhile, NotRestorable, NotSaved, TargetUnwritable, moves, undo, unfinished
from casstore.restore.finished import record_path
from casstore.target import Target


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    fill(made.tree)
    return made


@contextmanager
def untouched(folder: Folder) -> Iterator[None]:
    before = folder.copy("untouched")
    snapshots = count(folder)
    yield
    assert strict_difference(os.fsencode(before), os.fsencode(folder.tree)) == []
    assert folder.leftovers() == []
    assert folder.tree.stat().st_mtime_ns == before.stat().st_mtime_ns
    folder.new_snapshots = count(folder) - snapshots  # type: ignore[attr-defined]


def count(folder: Folder) -> int:
    with folder.opened() as repository:
        return len(repository.snapshots())


# ── damage ──


def damage(folder: Folder) -> None:
    """Spoil the pack that was written last, where the newest file's bytes lie."""
    assert isinstance(folder.backend, MemoryBackend)
    name = next(reversed([n for n in folder.backend.objects if n.startswith("packs/")]))
    data = folder.backend.objects[name]
    folder.backend.objects[name] = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


@pytest.fixture
def damaged(folder: Folder) -> Folder:
    folder.snapshot()
    (folder.tree / "lost").write_bytes(os.urandom(30_000))
    return folder


def test_damage_stops_a_restore_in_place_and_names_the_files(damaged: Folder) -> None:
    snapshot = damaged.snapshot()
    damage(damaged)
    (damaged.tree / "lost").write_bytes(b"gone")
    (damaged.tree / "a.json").write_bytes(b"spoilt")
    with untouched(damaged), pytest.raises(NotRestorable, match="lost") as raised:
        damaged.restore(snapshot)
    assert [path for path, _ in raised.value.paths] == [b"lost"]
    assert raised.value.exit_code == 20
    assert damaged.new_snapshots == 0  # type: ignore[attr-defined]


def test_what_is_whole_comes_back_when_it_is_named(damaged: Folder) -> None:
    snapshot = damaged.snapshot()
    damage(damaged)
    (damaged.tree / "a.json").write_bytes(b"spoilt")
    damaged.restore(snapshot, paths=(b"a.json",))
    assert (damaged.tree / "a.json").read_bytes() == b"a.json" * 50


def test_elsewhere_all_that_is_whole_comes_back_and_the_rest_is_told(damaged: Folder, tmp_path: Path) -> None:
    snapshot = damaged.snapshot()
    damage(damaged)
    done = damaged.restore(snapshot, tmp_path / "out")
    assert [path for path, _ in done.damaged] == [b"lost"]
    assert done.problems == 1
    assert [event.path for event in damaged.events if isinstance(event, Problem)] == [b"lost"]
    left = strict_difference(os.fsencode(damaged.tree), os.fsencode(tmp_path / "out"))
    assert left == ["b'lost' is missing"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and not path.is_symlink()]
    assert done.files == len(files)
    assert done.total_bytes == sum(path.stat().st_size for path in files if path.name != "second")
    assert (done.new, done.replaced) == (sum(1 for _ in (tmp_path / "out").rglob("*")), 0)


def test_of_a_large_file_that_is_damaged_in_its_midst_nothing_stays(folder: Folder, tmp_path: Path) -> None:
    folder.snapshot()
    (folder.tree / "large").write_bytes(os.urandom(24 << 20))  # several packs, many parts
    snapshot = folder.snapshot()
    assert isinstance(folder.backend, MemoryBackend)
    objects = folder.backend.objects
    middle = [name for name in objects if name.startswith("packs/")][-2]
    data = objects[middle]
    objects[middle] = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
    done = folder.restore(snapshot, tmp_path / "out")
    assert [path for path, _ in done.damaged] == [b"large"]
    left = strict_difference(os.fsencode(folder.tree), os.fsencode(tmp_path / "out"))
    assert left == ["b'large' is missing"]


def test_an_older_copy_elsewhere_stays_where_the_new_one_is_damaged(damaged: Folder, tmp_path: Path) -> None:
    snapshot = damaged.snapshot()
    damage(damaged)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lost").write_bytes(b"older")
    done = damaged.restore(snapshot, tmp_path / "out")
    assert (tmp_path / "out/lost").read_bytes() == b"older"
    assert done.replaced == 0


# ── running ──

HOLD = "import sys, time; f = open(sys.argv[1], sys.argv[2]); print('ready', flush=True); sys.stdin.read()"
LISTEN = (
    "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print('ready', flush=True);"
    "sys.stdin.read()"
)
LISTEN_UNIX = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('\\0cas-test-%d' % __import__('os').getpid());"
    "s.listen(); print('ready', flush=True); sys.stdin.read()"
)


@contextmanager
def process(script: str, *arguments: str, cwd: Path) -> Iterator[int]:
    child = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child.pid
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize("mode", ["r+", "a"])
def test_a_process_that_has_a_file_of_the_plan_open_for_writing_is_named(
    folder: Folder, tmp_path: Path, mode: str
) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with process(HOLD, str(folder.tree / "a.json"), mode, cwd=tmp_path) as pid:
        with untouched(folder), pytest.raises(ApplicationRunning, match=rf"process {pid} .*a\.json") as raised:
            folder.restore(snapshot)
        assert raised.value.exit_code == 5
        assert folder.new_snapshots == 0  # type: ignore[attr-defined]
        folder.restore(snapshot, force=True)


@pytest.mark.parametrize(("name", "mode"), [("a.json", "r"), ("same.json", "a")])
def test_readers_and_writers_of_other_files_do_not_matter(folder: Folder, tmp_path: Path, name: str, mode: str) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with process(HOLD, str(folder.tree / name), mode, cwd=tmp_path):
        folder.restore(snapshot)


@pytest.mark.parametrize("script", [LISTEN, LISTEN_UNIX])
def test_a_process_that_listens_with_its_working_folder_below_is_named(folder: Folder, script: str) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with process(script, cwd=folder.tree / "data") as pid:
        with untouched(folder), pytest.raises(ApplicationRunning, match=f"process {pid} "):
            folder.restore(snapshot)
        folder.restore(snapshot, force=True)


def test_a_process_that_listens_elsewhere_does_not_matter(folder: Folder, tmp_path: Path) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with process(LISTEN, cwd=tmp_path):
        folder.restore(snapshot)


def test_this_process_itself_does_not_matter(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with (folder.tree / "a.json").open("a"), socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        folder.restore(snapshot)


# ── not saved ──


def test_what_the_pre_restore_snapshot_does_not_hold_is_not_replaced(folder: Folder) -> None:
    snapshot = folder.snapshot()
    (folder.tree / "a.json").write_bytes(b"new and precious")
    (folder.tree / ".casignore").write_text("a.json\n")
    with untouched(folder), pytest.raises(NotSaved, match=r"a\.json"):
        folder.restore(snapshot)


def test_if_the_pre_restore_snapshot_cannot_be_written_nothing_is_touched(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    backend = folder.backend

    class Full(MemoryBackend):
        def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
            raise RepositoryUnwritable("the disk is full")

    assert isinstance(backend, MemoryBackend)
    full = Full()
    full.objects = backend.objects
    with untouched(folder):
        folder.backend = full
        with pytest.raises(RepositoryUnwritable):
            folder.restore(snapshot, delete=True)
        folder.backend = backend


def test_a_file_written_between_plan_and_swap_goes_nowhere(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)

    def interfere(event: Event) -> None:
        if event == Stage("replacing"):
            (folder.tree / "b.json").write_bytes(b"written in the last moment")

    with pytest.raises(ChangedMeanwhile, match=r"b\.json"):
        folder.restore(snapshot, delete=True, progress=interfere)
    assert (folder.tree / "b.json").read_bytes() == b"written in the last moment"
    assert (folder.tree / "a.json").read_bytes() == b"spoilt"
    assert folder.leftovers() == []


def test_an_interrupt_during_the_swap_goes_back(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    seen: list[Event] = []

    def interrupt(event: Event) -> None:
        seen.append(event)
        if event == Stage("replacing"):
            raise KeyboardInterrupt

    with untouched(folder), pytest.raises(KeyboardInterrupt):
        folder.restore(snapshot, delete=True, progress=interrupt)


def test_a_full_folder_in_the_way_stops_a_restore_in_place(folder: Folder) -> None:
    snapshot = folder.snapshot()
    (folder.tree / "a.json").unlink()
    (folder.tree / "a.json").mkdir()
    (folder.tree / "a.json/inside").write_bytes(b"inside")
    with untouched(folder), pytest.raises(NotRestorable, match=r"a\.json") as raised:
        folder.restore(snapshot)
    assert raised.value.exit_code == 1
    assert "verify" not in (raised.value.hint or "")  # nothing is damaged


def test_a_full_folder_in_the_way_elsewhere_costs_only_that_path(folder: Folder, tmp_path: Path) -> None:
    snapshot = folder.snapshot()
    (tmp_path / "out/a.json").mkdir(parents=True)
    (tmp_path / "out/a.json/inside").write_bytes(b"inside")
    done = folder.restore(snapshot, tmp_path / "out")
    assert done.problems == 1
    assert (tmp_path / "out/a.json/inside").read_bytes() == b"inside"
    assert (tmp_path / "out/b.json").exists()


def test_two_restores_at_once_do_not_meet(folder: Folder, tmp_path: Path) -> None:
    snapshot = folder.snapshot()
    refused: list[CasError] = []

    def again(event: Event) -> None:
        if event == Stage("replacing") and not refused:
            with pytest.raises(CasError) as raised:
                folder.restore(snapshot, tmp_path / "out", progress=lambda _event: None)
            refused.append(raised.value)

    folder.restore(snapshot, tmp_path / "out", progress=again)
    assert len(refused) == 1


def test_if_the_way_back_cannot_be_recorded_nothing_is_touched(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with folder.opened() as repository:
        records = record_path(folder.home.state, repository.header.repository, b"").parent
    records.parent.mkdir(parents=True, exist_ok=True)
    records.write_bytes(b"no folder")
    with untouched(folder), pytest.raises(TargetUnwritable, match="as it was"):
        folder.restore(snapshot, delete=True)


def test_if_even_the_way_back_fails_nobody_says_that_all_is_as_it_was(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    spoilt = folder.copy("spoilt")

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def break_disk(event: Event) -> None:
        if event == Stage("replacing"):
            monkeypatch.setattr(moves, "_renameat2", failing)
            monkeypatch.setattr(Target, "sync", failing)

    with pytest.raises(RestoreUnfinished, match="way back"):
        folder.restore(snapshot, progress=break_disk)
    assert unfinished(folder.tree) is not None
    monkeypatch.undo()
    undo(folder.tree, state=folder.home.state)
    assert strict_difference(os.fsencode(spoilt), os.fsencode(folder.tree)) == []
