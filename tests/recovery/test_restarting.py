"""A restore of a live application: well again, or back; killed at any moment, one of two states and running."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recovery.shops import SECOND, Shop, shop_in, wait_for
from restore.cuts import cut
from restore.folders import Folder
from trees import strict_difference

from casstore.backends.local import LocalBackend
from casstore.errors import ApplicationRunning, CasError, Damaged, Interrupted
from casstore.progress import Event, Stage, silent
from casstore.recovery import restarting, running, stopped
from casstore.recovery.plan import Check, Command, Health
from casstore.recovery.report import Done, Report
from casstore.recovery.restarting import Finished, NotPutBack, Restarted, Restarting
from casstore.recovery.stopped import Standing, Stopped
from casstore.restore import Restored, restore, undo_finished, unfinished
from casstore.snapshot import Snapshot

KEPT = ("app", "repository", "config", "state", "cache")
SAVED, LIVE, SICK = ["saved"], ["live"], ["sick"]


class Live(Folder):
    """A folder with its running application, a snapshot of how it was, and what is there now."""

    def __init__(self, folder: Path, shop: Shop, saved: list[str]) -> None:
        super().__init__(folder, LocalBackend(folder / "repository"))
        self.shop, self.tree = shop, shop.folder
        self.done: list[Done] = []
        self.write(saved, "saved")
        self.saved: Snapshot = self.snapshot()
        self.new = self.copy("new")
        self.write(LIVE, "live")
        self.old = self.copy("old")

    def write(self, users: list[str], text: str) -> None:
        self.shop.users.write_text(json.dumps(users))
        for number in range(6):
            (self.tree / f"data/{number}.json").write_text(json.dumps([text, number]))
        (self.tree / f"data/only-{text}.json").write_text("[]")
        for other in {"saved", "live"} - {text}:
            (self.tree / f"data/only-{other}.json").unlink(missing_ok=True)

    def restarting(self, started_ns: int | None = None, **options: Any) -> Restarting:
        case = stopped.read(self.home.state, self.tree)
        if started_ns is not None:
            case = Stopped(self.tree, self.repository_id, started_ns, b"the plan")
        assert case is not None
        return Restarting(
            self.shop.application(**options), case, state=self.home.state,
            new_report=lambda: Report(["s3cret-token"], self.done.append),
        )  # fmt: skip

    @property
    def repository_id(self) -> bytes:
        with self.open() as repository:
            return repository.header.repository

    def restart(self, *, rollback: bool = True, paths: tuple[bytes, ...] = (), **options: Any) -> Restarted:
        progress = options.pop("progress", silent)
        with self.opened() as repository:
            now = self.now

            def work() -> Restored:
                return restore(
                    repository, self.saved, self.tree, paths=paths, in_place=True, delete=not paths, now_ns=now,
                    zone_minutes=0, hostname="h", progress=progress,
                )  # fmt: skip

            return self.restarting(now, **options).restart(work, self.put_back if rollback else None)

    def put_back(self) -> Restored:
        with self.opened() as repository:
            return undo_finished(repository, self.tree, now_ns=self.now, zone_minutes=0, hostname="h")

    def differs(self, state: Path) -> list[str]:
        return strict_difference(os.fsencode(state), os.fsencode(self.tree))

    def answer(self) -> Mapping[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.shop.port}/", timeout=5) as page:
            found: Mapping[str, Any] = json.load(page)
            return found

    def assert_up_with(self, users: list[str], state: Path) -> None:
        """The tree is exactly one state, and one process of the application serves it."""
        assert self.differs(state) == []
        assert self.answer()["users"] == users
        assert [self.answer()["pid"]] == self.shop.pids()
        assert stopped.read(self.home.state, self.tree) is None
        assert self.leftovers() == []

    def again(self, *, runs: bool = True) -> None:
        """Put everything back as it was before the restart."""
        self.shop.end()
        wait_for(lambda: not self.shop.pids())
        # The store and what the host remembers too: a restart would do less each time.
        pristine = self.folder / "pristine"
        if not pristine.exists():
            pristine.mkdir()
            subprocess.run(["cp", "-a", *(str(self.folder / name) for name in KEPT), str(pristine)], check=True)
        for name in KEPT:
            shutil.rmtree(self.folder / name)
        subprocess.run(["cp", "-a", *(str(pristine / name) for name in KEPT), str(self.folder)], check=True)
        self.done.clear()
        if runs:
            running.wait_healthy(self.shop.application(), running.start(self.shop.application(), log=self.shop.log))

    def sweep(self) -> None:
        """Remove what the next restore would: a staging folder that is over."""
        assert unfinished(self.tree) is None
        for path in self.tree.glob(".cas-restore-*"):
            shutil.rmtree(path)

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.done]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_in(tmp_path, "app") as made:
        made.app = replace(made.app, checks=(Check("users", ("cat", "data/users.json")),))
        yield made


@pytest.fixture
def live(tmp_path: Path, shop: Shop) -> Live:
    made = Live(tmp_path, shop, SAVED)
    made.again()
    return made


@pytest.fixture
def sick(tmp_path: Path, shop: Shop) -> Live:
    """What was saved makes the application sick; what is there does not."""
    shop.app = replace(shop.app, health=Health("http://127.0.0.1:${PORT}/health", within_ns=2 * SECOND))
    made = Live(tmp_path, shop, SICK)
    made.again()
    return made


# ── it goes well ──


def test_the_application_is_stopped_restored_started_and_well(live: Live) -> None:
    before = live.shop.pids()
    done = live.restart()
    assert done.ok
    assert done.before is None
    assert [step.name for step in done.after.steps] == ["stop", "restore", "start", "health", "check users"]
    assert done.after.steps == live.done
    live.assert_up_with(SAVED, live.new)
    assert live.shop.pids() != before


def test_only_some_files_go_the_same_way(live: Live) -> None:
    assert live.restart(paths=(b"data/users.json",)).ok
    assert live.answer()["users"] == SAVED
    assert json.loads((live.tree / "data/1.json").read_text()) == ["live", 1]


def test_what_it_writes_at_its_end_is_saved_and_does_not_come_through(live: Live) -> None:
    live.again(runs=False)
    live.shop.start(env={"WRITES": "1"})
    assert live.restart().ok
    live.assert_up_with(SAVED, live.new)
    running.stop(live.shop.application())
    live.put_back()
    assert json.loads(live.shop.users.read_text()) == ["from memory"]


def test_one_that_was_down_is_started_too(live: Live) -> None:
    live.again(runs=False)
    done = live.restart()
    assert done.after.steps[0].words == "was not running"
    live.assert_up_with(SAVED, live.new)


# ── it does not ──


def test_one_that_does_not_stop_is_left_alone(live: Live) -> None:
    live.again(runs=False)
    live.shop.start(env={"DEAF": "1"})
    (pid,) = live.shop.pids()
    with pytest.raises(ApplicationRunning, match=f"process {pid} ") as raised:
        live.restart(stop=Command((), SECOND // 2))
    assert raised.value.exit_code == 5
    assert live.restarting().resume().ok
    live.assert_up_with(LIVE, live.old)
    assert live.shop.pids() == [pid]


def test_one_that_stops_too_late_is_not_left_down_for_good(live: Live) -> None:
    live.again(runs=False)
    live.shop.start(env={"LINGERS": "1"})
    with pytest.raises(ApplicationRunning):
        live.restart(stop=Command((), SECOND // 5))
    wait_for(lambda: not live.shop.pids())
    assert live.restarting().resume().ok
    live.assert_up_with(LIVE, live.old)


def test_a_second_attempt_that_cannot_ask_does_not_forget_it_either(live: Live) -> None:
    live.again(runs=False)
    live.shop.start(env={"LINGERS": "1"})
    with pytest.raises(ApplicationRunning):
        live.restart(stop=Command((), SECOND // 5))
    wait_for(lambda: not live.shop.pids())
    with pytest.raises(CasError, match="no-such-program"):
        live.restart(stop=Command(("no-such-program",)))
    assert live.restarting().resume().ok
    live.assert_up_with(LIVE, live.old)


def test_what_was_stopped_too_late_can_be_restored_anew(live: Live) -> None:
    live.again(runs=False)
    live.shop.start(env={"LINGERS": "1"})
    with pytest.raises(ApplicationRunning):
        live.restart(stop=Command((), SECOND // 5))
    wait_for(lambda: not live.shop.pids())
    stopped.refuse_replaced(live.home.state, live.tree)
    assert live.restart().ok
    live.assert_up_with(SAVED, live.new)


def test_a_restore_that_cannot_be_done_leaves_the_old_state_running(live: Live) -> None:
    for pack in (live.folder / "repository/packs").rglob("*"):
        if pack.is_file():
            data = pack.read_bytes()
            pack.chmod(0o600)
            pack.write_bytes(data[:200] + bytes(byte ^ 1 for byte in data[200:-100]) + data[-100:])
    with pytest.raises(Damaged):
        live.restart()
    assert live.names == ["stop", "restore", "start", "health", "check users"]
    live.assert_up_with(LIVE, live.old)


def test_an_interrupt_in_the_swap_leaves_the_old_state_running(live: Live) -> None:
    def interrupt(event: Event) -> None:
        if event == Stage("replacing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        live.restart(progress=interrupt)
    live.assert_up_with(LIVE, live.old)


def test_an_interrupt_while_it_is_down_says_what_to_do(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "wait_healthy", interrupted)
        with pytest.raises(Interrupted, match="was down") as raised:
            live.restart()
    assert raised.value.exit_code == 130
    assert "--resume" in raised.value.hint
    assert live.restarting().resume().ok
    live.assert_up_with(SAVED, live.new)


def test_what_is_not_well_is_put_back_and_started_again(sick: Live) -> None:
    done = sick.restart()
    assert not done.ok
    assert "503" in done.after.failed[0].words
    assert done.before is not None
    assert done.before.ok
    assert [step.name for step in done.before.steps] == ["stop", "put back", "start", "health", "check users"]
    sick.assert_up_with(LIVE, sick.old)


def test_a_check_that_fails_is_a_reason_to_put_back_too(live: Live) -> None:
    checks = (Check("live", ("grep", "live", "data/users.json")),)
    done = live.restart(checks=checks)
    assert [step.name for step in done.after.failed] == ["check live"]
    assert done.before is not None
    assert done.before.ok
    live.assert_up_with(LIVE, live.old)


def test_what_dies_at_once_is_put_back(live: Live) -> None:
    done = live.restart(run=("sh", "-c", 'grep -q live data/users.json && exec "$0" "$@"', *live.shop.app.run))
    assert done.after.failed[0].words.startswith("the application ended, with code 1")
    assert done.before is not None
    assert done.before.ok
    live.assert_up_with(LIVE, live.old)


def test_without_rollback_it_is_left_as_it_is(sick: Live) -> None:
    done = sick.restart(rollback=False)
    assert not done.ok
    assert done.before is None
    assert sick.differs(sick.new) == []
    assert len(sick.shop.pids()) == 1
    assert stopped.read(sick.home.state, sick.tree) is None


def test_where_nothing_was_replaced_nothing_is_put_back(sick: Live) -> None:
    """The restore before it would be undone instead."""
    sick.again(runs=False)
    with sick.opened() as repository:
        restore(
            repository, sick.saved, sick.tree, in_place=True, delete=True, now_ns=sick.now, zone_minutes=0, hostname="h"
        )
    done = sick.restart()
    assert not done.ok
    assert done.before is None
    assert sick.differs(sick.new) == []


def test_if_it_cannot_be_put_back_both_reasons_are_told_and_undo_tries_again(
    sick: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> Restored:
        raise restarting.CasError("the repository is out of reach")

    with monkeypatch.context() as patched:
        patched.setattr(sick, "put_back", fails)
        with pytest.raises(
            NotPutBack, match=r"is not well, and .* is not back: the repository is out of reach"
        ) as raised:
            sick.restart()
    assert raised.value.exit_code == 6
    assert sick.restarting().undo(sick.put_back).ok
    sick.assert_up_with(LIVE, sick.old)


# ── killed ──

WAYS = ("resume", "undo")
COUNTED = [
    (running, "stop"), (running, "start"), (running, "wait_healthy"), (running, "run_checks"), (stopped, "write"),
    (stopped, "drop"),
]  # fmt: skip


def finish(live: Live, way: str) -> Finished:
    return live.restarting().resume() if way == "resume" else live.restarting().undo(live.put_back)


def killed(live: Live, step: int) -> Iterator[int]:
    """Yield after each kill, at every `step`-th change or call of a restart."""
    at = 0
    while True:
        live.again()
        if not cut(lambda: live.restart() and None, at, from_journal=False, also=COUNTED):
            return
        yield at
        at += step


def standing(live: Live) -> Standing | None:
    case = stopped.read(live.home.state, live.tree)
    return case.standing(live.home.state) if case is not None else None


def killed_in_the_swap(live: Live) -> int:
    """Kill it with files of both states in the folder; gives at which change that was."""
    for at in killed(live, 3):
        if standing(live) is Standing.REPLACING and live.differs(live.old) and live.differs(live.new):
            return at
    raise AssertionError("there was no swap")


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_moment_it_comes_to_one_of_two_states_and_runs(live: Live, way: str) -> None:
    met = set()
    for at in killed(live, 5):
        found = standing(live)
        met.add(found)
        if found is None:  # it was not begun, or over
            assert unfinished(live.tree) is None, at
            state, users = (live.new, SAVED) if live.differs(live.old) else (live.old, LIVE)
        else:
            assert finish(live, way).standing is found
            is_new = way == "resume" and found in (Standing.REPLACING, Standing.REPLACED)
            state, users = (live.new, SAVED) if is_new else (live.old, LIVE)
        assert found is not Standing.REPLACING or live.leftovers() == []
        live.sweep()
        assert live.differs(state) == [], (at, found)
        assert live.answer()["users"] == users, (at, found)
        assert [live.answer()["pid"]] == live.shop.pids(), (at, found)
    assert {Standing.UNTOUCHED, Standing.REPLACING, Standing.REPLACED} <= met


def test_killed_while_it_is_put_back_it_comes_to_the_old_state_and_runs(sick: Live) -> None:
    met = set()
    for at in killed(sick, 9):
        found = standing(sick)
        met.add(found)
        if found is not None:
            way = WAYS[at % 2]
            done = finish(sick, way)
            if way == "resume" and found in (Standing.REPLACING, Standing.REPLACED):
                assert not done.ok  # finished as it was meant, which is not well: the way back stays open
                sick.sweep()
                assert sick.differs(sick.new) == [], (at, found)
                done = finish(sick, "undo")
            assert done.ok, (at, found)
        sick.sweep()
        assert sick.differs(sick.old) == [], (at, found)
        assert [sick.answer()["pid"]] == sick.shop.pids(), (at, found)
    assert {Standing.UNTOUCHED, Standing.REPLACED, Standing.PUTTING_BACK} <= met


@pytest.mark.parametrize("way", WAYS)
def test_what_is_killed_on_its_way_out_can_be_run_again(live: Live, way: str) -> None:
    middle = killed_in_the_swap(live)
    for at in range(0, 60, 11):
        live.again()
        assert cut(lambda: live.restart() and None, middle, from_journal=False, also=COUNTED)
        again = cut(lambda: finish(live, way) and None, at, from_journal=False, also=COUNTED)
        if stopped.read(live.home.state, live.tree) is not None:
            assert again
            assert finish(live, way).ok
        live.sweep()
        assert live.differs(live.new if way == "resume" else live.old) == [], at
        assert [live.answer()["pid"]] == live.shop.pids(), at


def test_if_the_host_started_it_on_half_a_restore_it_is_stopped_before_that_is_finished(live: Live) -> None:
    killed_in_the_swap(live)
    live.shop.start()
    done = live.restarting().resume()
    assert [step.name for step in done.report.steps] == ["stop", "restore", "start", "health", "check users"]
    assert done.report.steps[0].words.startswith("down after")
    live.assert_up_with(SAVED, live.new)
