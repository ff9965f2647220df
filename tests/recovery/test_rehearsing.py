"""The rooms of a drill, each by itself: code, environment, proof, loss, cost, and what makes a drill due."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stores import DAY, NOW, Store

from casstore import processes
from casstore.notes import Drilled
from casstore.recovery import due, loss
from casstore.recovery.bare import reaches_out
from casstore.recovery.code import copy_code, seal
from casstore.recovery.cost import cost
from casstore.recovery.environment import Environment, parse_env
from casstore.recovery.harmless import RealValues, env_text, harmless, moved
from casstore.recovery.plan import Drill, Step
from casstore.recovery.proof import compare, count
from casstore.recovery.scratch import DrillRunning, scratch_in
from casstore.repository import Repository
from casstore.restore import restore
from casstore.selection import Selection
from casstore.snapshot import Snapshot

LIVE, SCRATCH = Path("/srv/shop"), Path("/tmp/scratch/shop")


class Rehearsal:
    """A live folder, a snapshot of its data, and the data restored."""

    def __init__(self, folder: Path) -> None:
        self.live, self.scratch = folder / "shop", folder / "scratch"
        self.store = Store(folder / "store")
        self.store.create()
        self.repository: Repository | None = None

    def write(self, path: str, text: str, *, below: Path | None = None) -> Path:
        file = (below or self.live) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def save(self, selection: Selection) -> Snapshot:
        return self.store.backup(self.live, selection)

    def open(self) -> Repository:
        if self.repository is None:
            self.repository = self.store.open()
            self.repository.refresh()
        return self.repository

    def restore(self, snapshot: Snapshot) -> None:
        restore(self.open(), snapshot, self.scratch, in_place=False, now_ns=NOW, zone_minutes=0, hostname="h")

    def wrong(self, snapshot: Snapshot) -> list[str]:
        return compare(self.open(), snapshot, self.scratch, self.live).wrong


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    made = Rehearsal(tmp_path)
    for number in range(7):
        made.write(f"data/{number}.json", f'[{{"id": {number}}}, {{"id": 100}}]')
    yield made
    if made.repository is not None:
        made.repository.close()


DATA = Selection((b"data",))


# ── code ──


def test_code_is_all_that_is_not_saved_and_what_came_to_the_data_since_is_no_code(rehearsal: Rehearsal) -> None:
    rehearsal.write("server.js", "1")
    rehearsal.write("node_modules/a/index.js", "2")
    rehearsal.write("backups/cas/header", "3")
    rehearsal.write("drills/old.md", "4")
    rehearsal.write("node_modules/.env", "5")
    snapshot = rehearsal.save(Selection((b"data",), exclude=(b"*.tmp",)))
    rehearsal.restore(snapshot)
    rehearsal.write("data/later.json", "[]")
    rehearsal.write("data/x.tmp", "kept, for it is excluded")
    copied = copy_code(
        rehearsal.live, rehearsal.scratch, Selection((b"data",), exclude=(b"*.tmp",)), (), "node_modules/b"
    )
    there = {str(path.relative_to(rehearsal.scratch)) for path in rehearsal.scratch.rglob("*") if path.is_file()}
    data = {f"data/{number}.json" for number in range(7)}
    assert there == {*data, "server.js", "node_modules/a/index.js", "data/x.tmp"}
    assert copied.left_out == ["node_modules/.env: an env file"]
    assert copied.files == 3


def test_a_copy_never_shares_an_inode_with_the_live_file(rehearsal: Rehearsal) -> None:
    source = rehearsal.write("server.js", "1")
    source.chmod(0o755)
    rehearsal.scratch.mkdir()
    copy_code(rehearsal.live, rehearsal.scratch, DATA, (), "")
    copy = rehearsal.scratch / "server.js"
    copy.write_text("2")
    assert source.read_text() == "1"
    assert copy.stat().st_mode & 0o777 == 0o755


def test_a_link_to_a_file_elsewhere_is_copied_as_that_file_and_one_to_a_program_stays_a_link(
    rehearsal: Rehearsal,
) -> None:
    shared = rehearsal.write("lib/shared.mjs", "shared", below=rehearsal.live.parent)
    (rehearsal.live / "shared.mjs").symlink_to("../lib/shared.mjs")
    (rehearsal.live / "python").symlink_to(sys.executable)
    (rehearsal.live / "lib").symlink_to("../lib")
    rehearsal.scratch.mkdir()
    copied = copy_code(rehearsal.live, rehearsal.scratch, DATA, (), "")
    copy = rehearsal.scratch / "shared.mjs"
    assert not copy.is_symlink()
    copy.write_text("other")
    assert shared.read_text() == "shared"
    assert (rehearsal.scratch / "python").resolve() == Path(sys.executable).resolve()
    assert copied.left_out == [f"lib: leads to {shared.parent}, which no snapshot holds"]
    assert seal(rehearsal.scratch, rehearsal.live, "") == []


def test_sealed_no_link_leads_to_live_files_and_programs_stay_where_they_are(rehearsal: Rehearsal) -> None:
    scratch = rehearsal.scratch
    for folder in (scratch / "data", rehearsal.live.parent / "mnt"):
        folder.mkdir(parents=True)
    outside = rehearsal.write("mnt/own.sqlite", "x", below=rehearsal.live.parent)
    links = {
        "current": rehearsal.live / "data", "uploads": outside.parent, "own.sqlite": outside, "near": Path("data"),
        "python": Path(sys.executable), "gone": rehearsal.live.parent / "nothing",
    }  # fmt: skip
    for name, target in links.items():
        (scratch / name).symlink_to(target)
    rehearsal.write("apps/.env.local", "A=1", below=scratch)
    rehearsal.write(".env", "A=1", below=scratch)
    out = seal(scratch, rehearsal.live, ".env")
    assert sorted(line.partition(":")[0] for line in out) == ["apps/.env.local", "own.sqlite", "uploads"]
    assert os.readlink(scratch / "current") == f"{scratch}/data"
    assert {path.name for path in scratch.iterdir() if path.is_symlink()} == {"current", "near", "python", "gone"}
    assert (scratch / ".env").exists()


# ── environment ──


def test_each_value_is_overridden_or_kept_or_the_drill_is_refused() -> None:
    real = Environment(
        {"A": "real-a", "B": "real-b"}, {"C_KEY": "real-c", "PATH": "/bin", "D": "d", "CODE": "x"}, ("C_*",)
    )
    with pytest.raises(RealValues) as refused:
        harmless(Drill({"A": "test"}), real, LIVE, SCRATCH)
    assert refused.value.names == ("B", "C_KEY")
    assert "real-" not in str(refused.value)
    made = harmless(Drill({"A": "test", "C_KEY": "test-c"}, ("B", "CODE")), real, LIVE, SCRATCH)
    values = dict(made.values())
    assert values.pop("CAS_APPLICATION") == str(SCRATCH)
    assert values == {"A": "test", "B": "real-b", "C_KEY": "test-c", "PATH": "/bin", "CODE": "x"}
    assert set(made.secrets()) == {"real-a", "real-b", "real-c"}


def test_paths_in_the_live_folder_are_moved_and_those_that_only_begin_like_it_are_not() -> None:
    assert moved("/srv/shop/data:/srv/shop", LIVE, SCRATCH) == "/tmp/scratch/shop/data:/tmp/scratch/shop"
    for other in ("/srv/shop2/data", "/srv/shop.old", "/mnt/srv/shop"):
        assert moved(other, LIVE, SCRATCH) == other


def test_an_env_file_is_read_back_as_it_was_written() -> None:
    values = {"A": "it's", "B": 'say "hi" # no comment', "C": "", "D": "back\\slash", "E": "$HOME `x`", "F": "a\nb"}
    assert parse_env(env_text(values).encode(), "env") == values


# ── proof, loss, cost ──


def test_what_is_restored_is_proven_and_each_way_to_differ_is_found(rehearsal: Rehearsal) -> None:
    snapshot = rehearsal.save(DATA)
    rehearsal.restore(snapshot)
    found = compare(rehearsal.open(), snapshot, rehearsal.scratch, rehearsal.live)
    assert (found.files, found.as_live, found.moved_on, found.wrong) == (7, 7, 0, [])
    data = rehearsal.scratch / "data"
    rot = data / "0.json"
    before = rot.stat()
    rot.write_text(rot.read_text().replace("0}", "9}", 1))
    os.utime(rot, ns=(before.st_atime_ns, before.st_mtime_ns))
    (data / "1.json").unlink()
    (data / "2.json").chmod(0o600 if (data / "2.json").stat().st_mode & 0o777 != 0o600 else 0o640)
    (data / "3.json").unlink()
    (data / "3.json").symlink_to("4.json")
    (data / "extra").write_text("")
    found = compare(rehearsal.open(), snapshot, rehearsal.scratch, None)
    assert [line.split(" ", 1)[0] for line in found.wrong[:4]] == [f"data/{number}.json" for number in range(4)]
    assert len(found.wrong) == 4  # one went and one came: that the number of paths is right hides nothing else


def test_live_files_that_moved_on_are_no_difference_and_ones_that_rotted_are(rehearsal: Rehearsal) -> None:
    snapshot = rehearsal.save(DATA)
    rehearsal.restore(snapshot)
    rehearsal.write("data/0.json", "[]")
    (rehearsal.live / "data/1.json").unlink()
    found = compare(rehearsal.open(), snapshot, rehearsal.scratch, rehearsal.live)
    assert (found.as_live, found.moved_on, found.wrong) == (5, 2, [])
    live = rehearsal.live / "data/2.json"
    before = live.stat()
    live.write_text(live.read_text().replace("2}", "3}", 1))
    os.utime(live, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rehearsal.wrong(snapshot) == ["data/2.json holds other bytes than the live file"]


def test_records_are_counted_here_and_there(rehearsal: Rehearsal) -> None:
    rehearsal.write("data/events.log", "one\ntwo\n")
    rehearsal.write("data/word.json", '"a value alone"')
    snapshot = rehearsal.save(DATA)
    rehearsal.restore(snapshot)
    rehearsal.write("data/events.log", "one\ntwo\nthree\n")
    rehearsal.write("data/0.json", "[1, 2, 3, 4, 5]")
    found = count(rehearsal.open(), snapshot, rehearsal.scratch, rehearsal.live)
    assert (found.documents, found.records, found.live_records) == (8, 14, 17)
    assert (found.lines, found.live_lines, found.wrong) == (2, 3, [])


def test_a_played_loss_is_found_whole_and_comes_back_whole(rehearsal: Rehearsal) -> None:
    for number in range(90):
        rehearsal.write(f"data/deep/{number}.log", f"line {number}\n")
    snapshot = rehearsal.save(DATA)
    rehearsal.restore(snapshot)
    files = [os.fsdecode(entry.path) for entry in rehearsal.open().entries(snapshot) if entry.kind == 0]
    lost = loss.play(rehearsal.scratch, files)
    assert loss.MOST // 2 <= lost.files <= loss.MOST
    assert lost.deleted
    assert lost.cut
    assert lost.overwritten
    assert lost.folder == "data/deep"
    assert len(rehearsal.wrong(snapshot)) > lost.files
    rehearsal.restore(snapshot)
    assert rehearsal.wrong(snapshot) == []


def test_an_only_and_empty_file_can_be_lost(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert loss.play(tmp_path, ["a"]).deleted == ["a"]
    assert loss.play(tmp_path, []).files == 0


def test_a_file_with_two_names_is_lost_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    os.link(tmp_path / "a", tmp_path / "d")
    for name in "bce":
        (tmp_path / name).write_bytes(b"abcdef")
    assert loss.play(tmp_path, list("abcde")[:4]).overwritten == ["a"]
    assert (tmp_path / "a").read_bytes() != b"abcdef"


def test_a_loss_can_be_played_in_folders_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = [f"{place}/{number}" for place in ("a", "b/c") for number in range(40)]
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"abcdef")
        every = sorted((folder, *folder.rglob("*")), reverse=True)
        for path in every:
            path.chmod(0o555)
        if os.geteuid() == 0:  # for root nothing is forbidden
            for path in every:
                os.chown(path, 65534, 65534)
        child = os.fork()
        if not child:
            with suppress(BaseException):
                if os.geteuid() == 0:
                    os.setuid(65534)
                loss.play(folder, files)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert 0 < len(list((folder / "a").iterdir())) < 40
        assert not (folder / "b/c").exists()


def test_a_loss_costs_what_came_changed_and_went_and_nothing_for_a_touch(rehearsal: Rehearsal) -> None:
    rehearsal.write("data/events.log", "one\n")
    snapshot = rehearsal.save(DATA)
    now = snapshot.time_ns + DAY

    def lost(before: Snapshot | None) -> tuple[int | None, int, int]:
        found = cost(rehearsal.open(), before, rehearsal.live, DATA, (), now)
        return found.window_ns, found.records, found.files

    (rehearsal.live / "data/0.json").touch()
    assert lost(snapshot) == (0, 0, 0)
    rehearsal.write("data/0.json", '[{"id": 0}, {"id": 1}, {"id": 2}]')  # two came, one went
    rehearsal.write("data/events.log", "one\ntwo\n")
    rehearsal.write("data/new.bin", "x")
    (rehearsal.live / "data/1.json").unlink()
    assert lost(snapshot) == (DAY, 6, 4)
    assert lost(None)[0] is None


# ── due ──


def test_a_drill_proves_less_when_plan_lock_file_or_report_are_others(tmp_path: Path) -> None:
    (tmp_path / "cas.toml").write_text("a")
    (tmp_path / "yarn.lock").write_text("a")
    drilled = [Drilled(NOW, "shop", True, bytes(32), 1, tuple(due.versions(tmp_path).items()))]
    altered = due.altered_report(drilled, tmp_path)
    assert due.since(drilled, tmp_path) == [altered]
    (tmp_path / "cas.toml").write_text("b")
    (tmp_path / "yarn.lock").unlink()
    (tmp_path / "uv.lock").write_text("a")
    assert due.since(drilled, tmp_path) == ["cas.toml changed", "yarn.lock is gone", "uv.lock came", altered]
    assert due.changed({"cas": "1"}, {"cas": "2"}) == ["cas changed (1 → 2)"]
    assert due.since([], tmp_path) == []


def test_what_is_no_file_or_far_too_large_is_no_report_that_was_noted(tmp_path: Path) -> None:
    (tmp_path / "drills").mkdir()
    for name in ("a.json", "b.md", "c.json", "c.md"):
        (tmp_path / "drills" / name).write_text("{}")
    os.mkfifo(tmp_path / "drills/b.json")  # whoever opens it waits for ever
    os.truncate(tmp_path / "drills/c.md", 1 << 40)
    assert due.unproven([], tmp_path) == ["drills/a.json", "drills/b.json", "drills/c.json"]
    (finding,) = due.reports([], tmp_path)
    assert finding.text.endswith(": drills/a.json, drills/b.json, drills/c.json")


# ── what belongs to a drill ──


def test_steps_that_command_the_host_are_none_for_a_drill() -> None:
    assert reaches_out(Step("service", ("/usr/bin/systemctl", "restart", "shop")))
    assert reaches_out(Step("timers", ("cas", "schedule", "install")))
    assert not reaches_out(Step("build", ("npm", "run", "build")))
    assert not reaches_out(Step("start"))


def test_a_place_is_one_drill_s_alone_and_gone_with_it(tmp_path: Path) -> None:
    place = tmp_path / "drill"
    with scratch_in(place, "shop") as scratch:
        (scratch.folder / "locked").mkdir(mode=0o500)
        with pytest.raises(DrillRunning), scratch_in(place, "shop"):
            pass
        assert scratch.folder.is_dir()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["log", "home", "kept", "application"])
def test_the_folder_of_an_application_may_have_any_name(tmp_path: Path, name: str) -> None:
    with scratch_in(tmp_path / "place", name) as scratch:
        for other in (scratch.home, scratch.kept):
            other.mkdir()
        scratch.log.write_text("started")
        assert scratch.folder.name == name
        assert list(scratch.folder.iterdir()) == []


def test_who_listens_on_a_port_is_found_with_what_started_it() -> None:
    program = (
        "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], "
        "flush=True); sys.stdin.read()"
    )
    shell = ["sh", "-c", '"$0" -c "$1"; :', sys.executable, program]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        (found,) = processes.listening_on(port)
        assert found is not None
        assert found.pid != child.pid
        assert processes.descends(found.pid, child.pid)
        assert not processes.descends(child.pid, found.pid)
        child.communicate()
    assert processes.listening_on(port) == []
    with socket.socket() as own:  # of this process, which is never reported: somebody, but nobody who is seen
        own.bind(("127.0.0.1", 0))
        own.listen()
        assert processes.listening_on(own.getsockname()[1]) == [None]
