"""`cas backup` and `cas watch` ask the running application first, and tell what came of it everywhere."""

from __future__ import annotations

import json
import os
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cas
from cli.test_errors import assert_told
from cli.test_watch import Watch
from recovery.running_app import RunningApp, wait_for

APP = """
[app]
env-file = ".env"
flush = { http = "POST http://127.0.0.1:${PORT}/internal/flush", timeout = "300ms", required = true }
"""
RELEASE = 'release = { http = "POST http://127.0.0.1:${PORT}/internal/release" }\n'
SECRET = "s3cret-of-the-vault"


class Shop:
    """The folder of `cas`, with an application that can be started in it."""

    def __init__(self, cas: Cas) -> None:
        self.cas, self.started = cas, list[RunningApp]()
        self.plan(APP)
        cas.write(".env", f"PORT=1\nKEY={SECRET}\n")

    def plan(self, text: str) -> None:
        base = (self.cas.folder / "cas.toml").read_text().partition("\n[app]")[0]
        self.cas.write("cas.toml", base.rstrip("\n") + "\n" + text)

    def start(self, **environment: str) -> RunningApp:
        self.started.append(RunningApp(self.cas.folder, **environment))
        self.cas.write(".env", f"PORT={self.started[-1].port}\nKEY={SECRET}\n")
        return self.started[-1]

    @property
    def flush(self) -> Any:
        """What the newest snapshot says of it."""
        return self.cas.snapshots()[-1]["flush"]


@pytest.fixture
def shop(cas: Cas) -> Iterator[Shop]:
    made = Shop(cas)
    yield made
    for app in made.started:
        app.close()


# ── backup ──


def test_what_was_in_memory_only_is_in_the_snapshot(shop: Shop) -> None:
    shop.start()
    shop.cas.write("data/users.json", '["old"]')
    ran = shop.cas("backup")
    assert (ran.code, shop.flush["outcome"], shop.flush["required"]) == (0, "acknowledged", True)
    assert "\nflushed in " in ran.out
    assert shop.cas("dump", "latest", "data/users.json").out == '[{"id": 1}]'


def test_without_the_acknowledgement_that_is_required_the_snapshot_is_taken_and_marked(shop: Shop) -> None:
    shop.start(HANG="1")
    ran = shop.cas("backup", "--quiet")
    assert ran.code == 4
    assert ran.err.startswith("warning: unflushed: http://127.0.0.1:")
    assert shop.flush == {
        "how": "http", "outcome": "timed_out", "flushed": False, "after_ms": shop.flush["after_ms"], "required": True,
    }  # fmt: skip
    table = shop.cas("snapshots")
    assert " unflushed " in table.out
    assert "\nunflushed: " in table.err
    assert shop.cas("dump", "latest", "data/users.json").out == '[{"id": 1}]'


def test_a_flush_that_is_not_required_and_refused_is_marked_and_no_failure(shop: Shop) -> None:
    shop.plan(APP.replace("true", "false"))
    shop.start(STATUS="503")
    ran = shop.cas("backup", "--json")
    assert ran.code == 0
    assert (ran.json["flush"]["outcome"], shop.flush["flushed"]) == ("refused", False)
    assert json.loads(ran.err.splitlines()[0])["message_type"] == "warning"


def test_an_application_that_does_not_run_has_nothing_to_flush(shop: Shop) -> None:
    ran = shop.cas("backup")
    assert (ran.code, shop.flush["outcome"]) == (0, "not_running")
    assert "note: the application does not run" in ran.err
    assert "unflushed" not in shop.cas("snapshots").out


def test_an_unchanged_tree_that_was_not_flushed_is_no_snapshot_and_a_failure_all_the_same(shop: Shop) -> None:
    assert shop.cas("backup").code == 0
    shop.start(HANG="1")
    assert shop.cas("backup", "--skip-if-unchanged").code == 4


def test_a_dry_run_asks_nobody(shop: Shop) -> None:
    app = shop.start()
    assert shop.cas("backup", "--dry-run").code == 0
    assert app.asked == []


def test_a_held_application_is_released_when_the_snapshot_is_there(shop: Shop) -> None:
    shop.plan(APP + RELEASE)
    app = shop.start()
    assert shop.cas("backup").code == 0
    assert app.asked == ["flush", "release"]


def test_a_held_application_is_released_when_cas_is_killed(shop: Shop) -> None:
    shop.plan(APP.replace("300ms", "60s") + RELEASE)
    app = shop.start(HANG="1")
    with shop.cas.process("backup") as process:
        wait_for(lambda: app.asked == ["flush"])
        process.kill()
        wait_for(lambda: app.asked == ["flush", "release"])
    assert shop.cas.snapshots() == []


def test_a_release_that_fails_is_a_warning(shop: Shop) -> None:
    shop.plan(APP + RELEASE.replace('release"', 'nowhere"'))
    shop.start()
    ran = shop.cas("backup", "-q")
    assert ran.code == 0
    assert ran.err.startswith("warning: the application was not told to go on: ")


def test_a_wrong_key_in_the_plan_is_named_and_nothing_is_saved(shop: Shop) -> None:
    shop.plan(APP.replace("required", "requird"))
    ran = shop.cas("backup")
    assert ran.code == 2
    assert "Did you mean `required`?" in ran.err


def test_a_restore_says_that_the_snapshot_is_unflushed(shop: Shop) -> None:
    app = shop.start(STATUS="500")
    shop.cas("backup")
    app.close()
    shop.cas.write("data/users.json", "[]")
    plan = shop.cas("restore", "latest", "--dry-run")
    assert plan.code == 0
    assert "note: the snapshot is unflushed: the application refused" in plan.out
    told = shop.cas("restore", "latest", "--dry-run", "--json").lines[-1]
    assert told["flush"]["outcome"] == "refused"
    done = shop.cas("restore", "latest", "--yes")
    assert (done.code, "unflushed: the application refused" in done.err) == (0, True)


# ── environment ──


def everything(shop: Shop) -> str:
    """All that cas shows of the newest snapshot."""
    ran = [
        shop.cas("snapshots", "--json"), shop.cas("cat", "manifest"), shop.cas("cat", "commit", "latest"),
        shop.cas("ls", "latest"), shop.cas("diff", "latest"),
    ]  # fmt: skip
    return "".join(one.out + one.err for one in ran)


def test_a_snapshot_tells_names_and_no_value(shop: Shop) -> None:
    shop.cas("backup")
    shown = shop.cas("cat", "manifest").lines[0]
    assert list(shown["fingerprints"]) == ["KEY", "PORT"]
    assert shown["sidecar"] is None
    assert shop.cas("cat", "commit", "latest").json["body"]["15"][:2] == [1, 2]
    assert SECRET not in everything(shop)


def test_a_captured_env_file_is_in_no_listing_and_no_restore(shop: Shop, tmp_path: Path) -> None:
    shop.plan(APP + "env-capture = true\n")
    shop.cas("backup")
    assert shop.cas("cat", "manifest").lines[0]["sidecar"]["length"] == (shop.cas.folder / ".env").stat().st_size
    assert SECRET not in everything(shop)
    assert shop.cas("restore", "latest", "--target", str(tmp_path / "out")).code == 0
    assert all(SECRET not in path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert shop.cas("verify").code == 0
    size = shop.cas.snapshots()[-1]["summary"]["data_added"]
    shop.cas("backup")
    assert shop.cas.snapshots()[-1]["summary"]["data_added"] == 0 < size


def test_with_env_brings_the_captured_env_file_back_where_there_is_no_other(shop: Shop, tmp_path: Path) -> None:
    shop.cas("backup")
    out = tmp_path / "out"
    ran = shop.cas("restore", "latest", "--with-env", "--target", str(out))
    assert_told(ran, 1, "no env file was kept", "env-capture")
    shop.plan(APP + "env-capture = true\n")
    shop.cas("backup")
    live = shop.cas.folder / ".env"
    text = live.read_text()
    ran = shop.cas("restore", "latest", "--with-env", "--target", str(out))
    assert ran.code == 0, ran.err
    assert (out / ".env").read_text() == text
    assert (out / ".env").stat().st_mode & 0o777 == 0o600
    assert SECRET not in ran.out + ran.err
    live.write_text("KEY=another\n")
    ran = shop.cas("restore", "latest", "--with-env", "--yes")
    assert_told(ran, 1, ".env is there already, and is not the one", "Nothing was touched")
    assert live.read_text() == "KEY=another\n"
    live.unlink()
    ran = shop.cas("restore", "latest", "--with-env", "--yes")
    assert (ran.code, live.read_text()) == (0, text), ran.err
    live.unlink()
    live.symlink_to(tmp_path / "elsewhere")
    assert_told(shop.cas("restore", "latest", "--with-env", "--yes"), 1, "leads out of", "")
    assert_told(shop.cas("restore", "--undo", "--with-env"), 2, "stand alone", "")


def test_an_env_file_that_cannot_be_read_is_a_warning_without_its_words(shop: Shop) -> None:
    shop.cas.write(".env", f"PORT=1\n{SECRET}\n")
    shop.plan('[app]\nenv-file = ".env"\nenv-capture = true\n')
    ran = shop.cas("backup", "-q")
    assert ran.code == 0
    assert ran.err == "warning: the environment is not recorded: .env line 2: this is no NAME=value\n"
    assert shop.cas("cat", "manifest").lines[0]["sidecar"] is not None
    (shop.cas.folder / ".env").unlink()
    ran = shop.cas("backup", "-q")
    assert ran.code == 3
    assert "no such file" in ran.err
    assert "env-capture" in ran.err
    assert shop.cas("snapshots", "--json").json[-1]["complete"] is False
    shop.plan('[app]\nenv-file = ".env"\n')
    assert shop.cas("backup", "-q").code == 0


# ── watch ──


@pytest.fixture
def watch(shop: Shop) -> Iterator[Callable[[], Watch]]:
    started: list[Watch] = []

    def begin() -> Watch:
        started.append(Watch(shop.cas))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def quiet(watch: Watch, seconds: float) -> None:
    """Fail if it tells anything for so long."""
    with pytest.raises(queue.Empty):
        watch.events.append(watch._lines.get(timeout=seconds))


def test_each_snapshot_of_a_watch_is_flushed_and_what_the_flush_writes_calls_for_no_other(
    shop: Shop, watch: Callable[[], Watch]
) -> None:
    app = shop.start()
    begun = watch()
    assert begun.until("summary")["flush"]["outcome"] == "acknowledged"
    assert begun.change("events.log", "one\n")["flush"]["outcome"] == "acknowledged"
    asked = len(app.asked)
    quiet(begun, 2.5)  # ten times what there is between two snapshots
    assert len(app.asked) == asked
    assert begun.change("events.log", "two\n")["flush"]["outcome"] == "acknowledged"


def test_a_log_of_the_flush_itself_is_saved_and_does_not_keep_a_watch_awake(
    shop: Shop, watch: Callable[[], Watch]
) -> None:
    config = (shop.cas.folder / "cas.toml").read_text().replace('"events.log"', '"*.log"', 1)
    shop.cas.write("cas.toml", config)
    app = shop.start(CHATTY="0.3")
    begun = watch()
    begun.until("summary")
    wait_for(lambda: len(app.asked) >= 4)
    before = len(app.asked)
    quiet_for = 0
    while quiet_for < 8:  # each is waited for twice as long as the one before
        try:
            begun._lines.get(timeout=0.25)
            quiet_for = 0
        except queue.Empty:
            quiet_for += 1
    assert len(app.asked) - before < 6
    assert begun.change("events.log", "real\n")
    saved = shop.cas("dump", "latest", "access.log").out
    assert saved.count("POST /internal/flush 204") >= 3


def test_a_watch_says_once_that_the_application_does_not_answer(shop: Shop, watch: Callable[[], Watch]) -> None:
    shop.start(STATUS="500")
    begun = watch()
    assert begun.until("warning")["message"].startswith("warning: unflushed: it answered 500")
    begun.until("summary")
    begun.change("events.log", "one\n")
    assert begun.end() == 0
    assert begun.rest().count("warning") == 1
    assert {one["flush"]["flushed"] for one in shop.cas.snapshots()} == {False}


def test_a_killed_watch_releases_the_application(shop: Shop, watch: Callable[[], Watch]) -> None:
    shop.plan(APP.replace("300ms", "60s") + RELEASE)
    app = shop.start(HANG="1")
    begun = watch()
    wait_for(lambda: app.asked == ["flush"])
    begun.process.kill()
    wait_for(lambda: app.asked == ["flush", "release"])


def test_a_reloaded_plan_is_the_one_that_is_asked(shop: Shop, watch: Callable[[], Watch]) -> None:
    import signal

    app = shop.start()
    begun = watch()
    begun.until("summary")
    shop.plan(APP.replace("/internal/flush", "/internal/other"))
    os.kill(begun.process.pid, signal.SIGHUP)
    begun.until("reloaded")
    wait_for(lambda: app.asked[-1] == "other")
