"""`cas watch` as a process: files change, snapshots appear; signals, a repository that goes and comes back."""

from __future__ import annotations

import json
import os
import pty
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cas

PATIENCE_S = 30  # until a test that would hang fails
QUICK = ("--quiet-for", "100ms", "--at-most-every", "200ms")


class Watch:
    """`cas watch --json`, and the events that it has written."""

    def __init__(self, cas: Cas, *arguments: str, **settings: Any) -> None:
        self.cas = cas
        self.process = cas.process("watch", "--json", *QUICK, *arguments, **settings)
        self.events: list[Any] = []
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def until(self, kind: str) -> Any:
        """Read until an event of that kind."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line, f"ended before {kind}: {self.events} {self.error()}"
            self.events.append(json.loads(line))
            if self.events[-1]["message_type"] == kind:
                return self.events[-1]

    def rest(self) -> list[str]:
        """Read to the end."""
        while line := self._lines.get(timeout=PATIENCE_S):
            self.events.append(json.loads(line))
        return [event["message_type"] for event in self.events]

    def change(self, path: str, text: str) -> Any:
        """Write a file and give the snapshot that holds it."""
        self.cas.write(path, text)
        while True:
            snapshot = self.until("summary")
            if self.saved(path, snapshot) == text:
                return snapshot

    def saved(self, path: str, snapshot: Any) -> str | None:
        place = str(self.cas.folder / "backups/cas")  # named, since some cas.toml here is bad
        ran = self.cas("dump", "-q", "-r", place, snapshot["snapshot_id"], path, cwd=self.cas.home)
        return ran.out if ran.code == 0 else None

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def error(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode() if self.process.poll() is not None else ""

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def start(cas: Cas) -> Iterator[Callable[..., Watch]]:
    """Start watches, and end those that a test left."""
    started: list[Watch] = []

    def begin(*arguments: str, **settings: Any) -> Watch:
        started.append(Watch(cas, *arguments, **settings))
        return started[-1]

    yield begin
    for watch in started:
        watch.close()


@pytest.fixture
def watch(start: Callable[..., Watch]) -> Watch:
    """One that has taken its first snapshot."""
    begun = start()
    begun.until("summary")
    return begun


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def on_terminal(cas: Cas) -> tuple[int, int]:
    """Start it on a terminal of its own; gives its process id and the other side of the terminal."""
    pid, handle = pty.fork()
    if pid == 0:  # the child becomes the command
        os.chdir(cas.folder)
        program = [sys.executable, "-c", "from cascli.start import main; main()", "watch", *QUICK]
        os.execve(sys.executable, program, cas.environment | {"TERM": "xterm"})
    return pid, handle


# ── what changes is saved ──


def test_each_change_becomes_a_snapshot(watch: Watch) -> None:
    watch.change("data/users.json", "[1]")
    watch.change("events.log", "started\nmore\n")
    snapshot = watch.change("data/new.json", "{}")
    assert watch.events[0]["message_type"] == "watching"
    assert snapshot["files_new"] == 1
    assert watch.cas("verify", "-q").code == 0


def test_folders_that_come_and_go_are_followed(watch: Watch) -> None:
    watch.cas.write("cas.toml", (watch.cas.folder / "cas.toml").read_text().replace("data/*.json", "data"))
    watch.process.send_signal(signal.SIGHUP)
    watch.until("reloaded")
    watch.until("summary")
    watch.change("data/new/deep/a.json", "[1]")
    watch.change("data/new/deep/a.json", "[2]")
    (watch.cas.folder / "data/new/deep/a.json").unlink()
    (watch.cas.folder / "data/new/deep").rmdir()
    watch.change("data/new/deep/a.json", "[3]")


def test_a_rotated_log_is_followed(watch: Watch) -> None:
    log = watch.cas.folder / "events.log"
    watch.change("events.log", "started\nlast\n")
    log.rename(log.with_name("events.log.1"))
    watch.change("events.log", "new\n")
    watch.change("events.log", "new\nlines\n")


def test_a_watched_folder_that_is_replaced_is_followed(watch: Watch, tmp_path: Path) -> None:
    old = watch.cas.folder.rename(tmp_path / "old")
    watch.cas.folder.mkdir()
    (old / "cas.toml").rename(watch.cas.folder / "cas.toml")
    (watch.cas.folder / "backups").mkdir()
    (old / "backups/cas").rename(watch.cas.folder / "backups/cas")
    watch.change("data/users.json", "[7]")
    watch.change("data/users.json", "[8]")


def test_what_it_writes_itself_calls_for_no_snapshot(cas: Cas, start: Callable[..., Watch]) -> None:
    home = cas.home
    cas.write("cas.toml", (cas.folder / "cas.toml").read_text().replace('["data/*.json", "events.log"]', '["."]'))
    moved = cas.folder / "home"
    home.rename(moved)
    cas.home, cas.environment["HOME"] = moved, str(moved)
    watch = start()  # repository, cache, anchor and key lie in the tree now
    watch.until("summary")
    watch.change("data/users.json", "[1]")
    with pytest.raises(queue.Empty):
        watch._lines.get(timeout=1.2)
    assert watch.end() == 0
    assert watch.rest()[-1] == "stopped"


def test_a_backup_at_the_same_time_succeeds_and_so_does_the_watch(watch: Watch) -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            with (watch.cas.folder / "events.log").open("a") as log:
                log.write("line\n")
            time.sleep(0.01)

    writer = threading.Thread(target=busy)
    writer.start()
    try:
        codes = []
        for _ in range(4):
            with watch.cas.process("backup", "--quiet") as backup:
                codes.append(backup.wait(PATIENCE_S))
                assert backup.stderr is not None
                assert backup.stderr.read() == b""
        watch.until("summary")
    finally:
        stop.set()
        writer.join()
    assert codes == [0, 0, 0, 0]
    watch.change("data/users.json", '[{"id": 1}, {"id": 9}]')
    assert watch.end() == 0
    kinds = watch.rest()
    assert "retrying" not in kinds
    assert watch.error() == ""
    assert len(watch.cas.snapshots()) == 4 + kinds.count("summary")
    assert watch.cas("verify", "-q").code == 0


def test_while_another_process_holds_the_cache_it_takes_snapshots_all_the_same(watch: Watch) -> None:
    [path] = watch.cas.home.rglob("cache.sqlite")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    watch.cas.write("data/users.json", "[1]")
    assert watch.until("summary")["files_changed"] == 1
    holder.rollback()
    watch.change("data/users.json", "[2]")
    ledger = watch.cas.folder / "backups/cas/ledger"
    assert holder.execute("SELECT count(*) FROM commits").fetchone()[0] == len(list(ledger.iterdir()))
    holder.close()


def test_a_restore_in_place_beside_it_succeeds_and_is_saved(watch: Watch) -> None:
    first = watch.events[-1]["snapshot_id"]
    watch.change("data/users.json", "[1]")
    with watch.cas.process("restore", first, "--yes", "--quiet") as restore:
        assert restore.stderr is not None
        said = restore.stderr.read()
        assert restore.wait(PATIENCE_S) == 0, said
    snapshot = watch.change("data/orders.json", "[2]")
    assert watch.saved("data/users.json", snapshot) == '[{"id": 1}]'


# ── signals ──


def test_term_ends_it_with_0_and_saves_what_is_pending(start: Callable[..., Watch], cas: Cas) -> None:
    watch = start("--quiet-for", "60s", "--at-most-every", "60s")
    watch.until("summary")
    cas.write("data/users.json", "[1]")
    time.sleep(0.1)
    assert watch.end() == 0
    assert watch.rest() == ["watching", "summary", "summary", "stopped"]
    assert watch.saved("data/users.json", watch.events[-2]) == "[1]"


def test_ctrl_c_ends_it_with_130(watch: Watch) -> None:
    assert watch.end(signal.SIGINT) == 130
    assert watch.rest()[-1] == "stopped"
    assert watch.error() == ""


def test_ctrl_c_while_the_passphrase_is_asked_for_ends_it_at_once(bare: Cas) -> None:
    assert bare("init", "data", CAS_PASSWORD="x").code == 0
    [key] = bare.home.rglob("host.key")
    key.unlink()
    pid, handle = on_terminal(bare)
    seen = ""
    while "Passphrase" not in seen:
        seen += os.read(handle, 4096).decode()
    os.write(handle, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    os.close(handle)


def test_it_ends_while_the_repository_is_out_of_reach(watch: Watch, tmp_path: Path) -> None:
    (watch.cas.folder / "backups/cas").rename(tmp_path / "away")
    watch.cas.write("data/users.json", "[1]")
    watch.until("retrying")
    assert watch.end() == 0
    assert watch.rest()[-1] == "stopped"


def test_a_kill_at_any_moment_costs_nothing_that_was_acknowledged(start: Callable[..., Watch], cas: Cas) -> None:
    acknowledged = []
    for i in range(3):
        watch = start()
        watch.until("watching")
        cas.write("data/users.json", f"[{i}]")
        cas.write("data/large.json", os.urandom(200_000))
        acknowledged.append(watch.until("summary")["snapshot_id"])
        cas.write("data/large.json", os.urandom(200_000))
        time.sleep(0.1 * i)
        assert watch.end(signal.SIGKILL) == -signal.SIGKILL
    assert set(acknowledged) <= {snapshot["id"] for snapshot in cas.snapshots()}
    assert cas("verify", "-q").code == 0


def test_a_snapshot_under_way_is_given_up_by_the_second_signal(start: Callable[..., Watch], cas: Cas) -> None:
    with open(cas.folder / "data/large.json", "wb") as file:
        for _ in range(6):
            file.write(os.urandom(8 << 20))
    watch = start()
    watch.until("watching")
    wait_for(lambda: any((cas.folder / "backups/cas/packs").rglob("*/*")))
    watch.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    began = time.monotonic()
    assert watch.end() == 0
    assert time.monotonic() - began < 5
    assert cas("snapshots").code == 0


def test_hang_up_reads_cas_toml_again(watch: Watch) -> None:
    config = watch.cas.folder / "cas.toml"
    watch.cas.write("notes.txt", "not saved yet")
    config.write_text(config.read_text().replace('"events.log"', '"events.log", "*.txt"'))
    watch.process.send_signal(signal.SIGHUP)
    watch.until("reloaded")
    assert watch.saved("notes.txt", watch.until("summary")) == "not saved yet"
    watch.change("notes.txt", "saved from now on")


def test_a_bad_cas_toml_is_said_and_the_old_one_stays_in_force(watch: Watch) -> None:
    config = watch.cas.folder / "cas.toml"
    good = config.read_text()
    config.write_text(good + "\nnonsense = 1\n")
    watch.process.send_signal(signal.SIGHUP)
    said = watch.until("reload_failed")
    assert "cas.toml line" in said["message"]
    watch.change("data/users.json", "[1]")
    config.unlink()
    watch.process.send_signal(signal.SIGHUP)
    watch.until("reload_failed")
    watch.change("data/users.json", "[2]")
    config.write_text(good)
    watch.process.send_signal(signal.SIGHUP)
    watch.until("reloaded")
    watch.change("data/users.json", "[3]")


def test_another_repository_in_cas_toml_is_gone_over_to(watch: Watch) -> None:
    cas, config = watch.cas, watch.cas.folder / "cas.toml"
    assert cas("init", "-r", "other", "--key-file-only").code == 0
    good = config.read_text()
    config.write_text(good.replace('"backups/cas"', '"nowhere"'))
    watch.process.send_signal(signal.SIGHUP)
    assert "no repository" in watch.until("reload_failed")["message"]
    config.write_text(good.replace('"backups/cas"', '"other"'))
    watch.process.send_signal(signal.SIGHUP)
    watch.until("reloaded")
    watch.until("summary")
    assert len(cas("snapshots", "-r", "other", "--json").json) == 1


# ── the repository goes and comes back ──


def test_a_repository_out_of_reach_is_said_once_and_what_changed_meanwhile_is_saved(
    watch: Watch, tmp_path: Path
) -> None:
    place, away = watch.cas.folder / "backups/cas", tmp_path / "away"
    place.rename(away)
    watch.cas.write("data/users.json", "[1]")
    assert watch.until("retrying")["code"] == 10
    watch.cas.write("data/users.json", "[2]")
    time.sleep(1.2)  # at least one attempt more, which is not told
    away.rename(place)
    watch.until("recovered")
    assert watch.saved("data/users.json", watch.until("summary")) == "[2]"
    kinds = [event["message_type"] for event in watch.events]
    assert (kinds.count("retrying"), kinds.count("recovered")) == (1, 1)


def test_another_history_ends_it_with_21(watch: Watch) -> None:
    watch.change("data/users.json", "[1]")
    ledger = watch.cas.folder / "backups/cas/ledger"
    max(ledger.iterdir()).unlink()
    watch.cas.write("data/users.json", "[2]")
    assert watch.process.wait(PATIENCE_S) == 21
    assert "retrying" not in watch.rest()
    assert "rolled back" in watch.error()


def test_a_repository_that_is_not_there_at_the_start_is_an_error(bare: Cas) -> None:
    ran = bare("watch", "-r", "nowhere", "data")
    assert ran.code == 10
    assert "there is no repository" in ran.err


# ── what a person sees ──


def test_in_a_pipe_it_says_only_what_goes_wrong_and_when_that_is_over(cas: Cas, tmp_path: Path) -> None:
    place, away = cas.folder / "backups/cas", tmp_path / "away"
    with cas.process("watch", *QUICK) as process:
        wait_for(lambda: len(list((place / "ledger").iterdir())) == 2)
        place.rename(away)
        cas.write("data/users.json", '[{"id": 1}, {"id": 9}]')
        assert process.stderr is not None
        assert process.stdout is not None
        first = [process.stderr.readline().decode() for _ in range(3)]
        away.rename(place)
        over = process.stderr.readline().decode()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""
    assert first[0].startswith("cas watch: there is no repository at ")
    assert first[2].startswith("cas watch: It is tried again")
    assert over.startswith("cas watch: it works again, after ")


def test_on_a_terminal_each_snapshot_is_a_line_and_the_terminal_takes_it_along_when_it_closes(cas: Cas) -> None:
    pid, handle = on_terminal(cas)
    seen = ""
    while "snapshot " not in seen:
        seen += os.read(handle, 4096).decode()
    assert f"watching {cas.folder}" in seen
    assert "new" in seen
    os.close(handle)
    wait_for(lambda: os.waitpid(pid, os.WNOHANG) != (0, 0))


def test_without_watchfiles_it_says_what_to_install(cas: Cas) -> None:
    probe = "import sys; sys.modules['watchfiles._rust_notify'] = None; from cascli.start import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", probe, "watch"], cwd=cas.folder, env=cas.environment, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "pip install watchfiles" in ran.stderr


@pytest.mark.parametrize("span", ["2", "x", "-1s", "1 week", ""])
def test_a_span_that_is_none_is_refused(cas: Cas, span: str) -> None:
    ran = cas("watch", f"--quiet-for={span}")
    assert ran.code == 2
    assert "span of time" in ran.err
