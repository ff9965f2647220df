"""`cas restore --restart` as a user meets it: a real application, real processes, a real kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from cli.conftest import Cas
from cli.test_errors import assert_told
from recovery.servers import server
from recovery.shops import RUN, Shop, shop_in, wait_for

from casstore.recovery import running
from casstore.recovery.running import stop

SECRET = "s3cret-token"
PLAN = """
[app]
env-file = ".env"
run = {run}
health = {{ http = "http://127.0.0.1:${{PORT}}/health", expect-json = {{ status = "OK" }}, within = "2s" }}
checks = [ {{ name = "users", command = ["cat", "data/users.json"] }} ]
"""


class Shopping:
    """An application under cas, with a snapshot of other users than those it has now."""

    def __init__(self, cas: Cas, shop: Shop) -> None:
        self.cas, self.shop = cas, shop
        self.plan = PLAN.format(run=json.dumps(RUN))
        self.toml = cas.folder / "cas.toml"
        self.toml.write_text(self.toml.read_text() + self.plan)
        cas.write(".env", f"PORT={shop.port}\nTOKEN={SECRET}\n")

    def saved(self, users: str) -> None:
        self.cas.write("data/users.json", users)
        ran = self.cas("backup")
        assert ran.code == 0, ran.err
        self.cas.write("data/users.json", '["live"]')
        self.cas.write("data/orders.json", '["live"]')

    def start(self) -> None:
        application = self.shop.application()
        running.wait_healthy(application, running.start(application, log=self.shop.log))

    def users(self) -> list[str]:
        with urlopen(f"http://127.0.0.1:{self.shop.port}/", timeout=5) as page:
            found: list[str] = json.load(page)["users"]
            return found

    def orders(self) -> str:
        return (self.cas.folder / "data/orders.json").read_text()


@pytest.fixture
def shopping(cas: Cas) -> Iterator[Shopping]:
    with shop_in(cas.folder.parent, cas.folder.name) as shop:
        yield Shopping(cas, shop)


@pytest.fixture
def live(shopping: Shopping) -> Shopping:
    shopping.saved('["saved"]')
    shopping.start()
    return shopping


@pytest.fixture
def sick(shopping: Shopping) -> Shopping:
    shopping.saved('["sick"]')
    shopping.start()
    return shopping


def test_without_restart_a_running_application_is_refused_and_the_way_is_said(live: Shopping) -> None:
    (pid,) = live.shop.pids()
    assert_told(live.cas("restore", "latest", "--yes"), 5, f"process {pid} ", "--restart")
    assert live.orders() == '["live"]'
    assert live.users() == ["live"]


def test_a_hung_application_that_stands_elsewhere_is_refused_by_its_address(live: Shopping) -> None:
    stop(live.shop.application())
    with server(lambda _head: [b"HTTP/1.1 500 Broken\r\n\r\n"]) as address:
        live.cas.write(".env", f"PORT={address.rpartition(':')[2]}\n")
        assert_told(live.cas("restore", "latest", "--yes"), 5, "a process that this user cannot see", "--restart")


def test_where_the_env_file_is_missing_a_plain_restore_still_works(live: Shopping) -> None:
    stop(live.shop.application())
    (live.cas.folder / ".env").unlink()
    assert live.cas("restore", "latest", "--yes").code == 0
    assert live.orders() == "[]"
    assert_told(live.cas("restore", "latest", "--yes", "--restart"), 1, ".env cannot be read")


@pytest.fixture
def captured(shopping: Shopping) -> Shopping:
    """It runs, its snapshot keeps the env file, and that is gone."""
    shopping.toml.write_text(shopping.toml.read_text().replace("[app]", "[app]\nenv-capture = true"))
    shopping.saved('["saved"]')
    shopping.start()
    (shopping.cas.folder / ".env").unlink()
    return shopping


@pytest.mark.parametrize("runs", [True, False])
def test_with_env_a_restart_goes_by_the_env_file_that_it_puts_back(captured: Shopping, runs: bool) -> None:
    if not runs:
        captured.shop.end()
        wait_for(lambda: not captured.shop.pids())
    ran = captured.cas("restore", "latest", "--with-env", "--yes", "--restart")
    assert ran.code == 0, ran.err
    assert (captured.cas.folder / ".env").read_text() == f"PORT={captured.shop.port}\nTOKEN={SECRET}\n"
    assert captured.users() == ["saved"]
    assert len(captured.shop.pids()) == 1
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize("words", [("latest",), ("--undo",)])
def test_without_its_env_file_nothing_is_restarted_and_the_way_to_it_is_said(
    captured: Shopping, words: tuple[str, ...]
) -> None:
    stop(captured.shop.application())
    assert captured.cas("restore", "latest", "--yes").code == 0
    captured.shop.start()
    assert_told(captured.cas("restore", *words, "--yes", "--restart"), 1, ".env cannot be read", "--with-env")
    assert captured.orders() == "[]"
    assert len(captured.shop.pids()) == 1


def test_killed_behind_the_stop_resume_starts_it_with_the_env_file_that_came_back(captured: Shopping) -> None:
    killed = (
        "import os, signal\nimport casstore.recovery.restarting as room\n"
        "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\nroom.Restarting._replace = die\n"
        "from cascli.start import main\nmain()\n"
    )
    with captured.cas.program(killed, "restore", "latest", "--with-env", "--yes", "--restart") as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert captured.shop.pids() == []
    ran = captured.cas("restore", "--resume")
    assert ran.code == 3, ran.err
    assert captured.users() == ["live"]


def test_with_restart_it_is_stopped_restored_started_and_well(live: Shopping) -> None:
    before = live.shop.pids()
    ran = live.cas("restore", "latest", "--yes", "--restart")
    assert ran.code == 0, ran.err
    for step in ("stop", "restore", "start", "health", "check users"):
        assert f"ok      {step}" in ran.err
    assert ran.out.startswith("restored ")
    assert live.users() == ["saved"]
    assert live.orders() == "[]"
    assert len(live.shop.pids()) == 1
    assert live.shop.pids() != before
    assert SECRET not in ran.out + ran.err


def test_as_json_the_report_is_one_object(live: Shopping) -> None:
    ran = live.cas("restore", "latest", "data/users.json", "--yes", "--restart", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["healthy"], ran.json["put_back"], ran.json["before"]) == (True, False, None)
    assert [step["name"] for step in ran.json["after"]] == ["stop", "restore", "start", "health", "check users"]
    assert all(step["ok"] and step["duration"] >= 0 for step in ran.json["after"])
    steps = [json.loads(line) for line in ran.err.splitlines()]
    assert [step["name"] for step in steps if step["message_type"] == "step"][:2] == ["stop", "restore"]
    assert live.orders() == '["live"]'


def test_one_record_goes_the_same_way(live: Shopping) -> None:
    live.cas.write("data/orders.json", '[{"id": 1, "n": 1}, {"id": 2, "n": 1}]')
    assert live.cas("backup").code in (0, 4)
    live.cas.write("data/orders.json", '[{"id": 1, "n": 9}, {"id": 2, "n": 9}]')
    record = ("restore", "latest", "data/orders.json", "--record", "id=1", "--yes")
    assert_told(live.cas(*record), 5, "process ", "--restart")
    ran = live.cas(*record, "--restart")
    assert ran.code == 0, ran.err
    assert live.orders() == '[{"id": 1, "n": 1}, {"id": 2, "n": 9}]'
    assert live.users() == ["live"]


def test_what_is_not_well_is_put_back_and_both_are_reported(sick: Shopping) -> None:
    ran = sick.cas("restore", "latest", "--yes", "--restart")
    assert ran.code == 6
    assert "FAILED  health" in ran.err
    assert "503" in ran.err
    assert "ok      put back" in ran.err
    assert "the application is well with it" in ran.err
    assert sick.users() == ["live"]
    assert sick.orders() == '["live"]'
    found = sick.cas("restore", "latest", "--yes", "--restart", "--json").json
    assert [step["ok"] for step in found["after"]] == [True, True, True, False]
    assert [step["name"] for step in found["before"]] == ["stop", "put back", "start", "health", "check users"]


def test_without_rollback_it_stays_and_undo_with_restart_goes_back(sick: Shopping) -> None:
    ran = sick.cas("restore", "latest", "--yes", "--restart", "--no-rollback")
    assert ran.code == 6
    assert "--undo --restart" in ran.err
    assert sick.orders() == "[]"
    assert_told(sick.cas("restore", "--undo", "--yes"), 5, "process ", "--restart")
    back = sick.cas("restore", "--undo", "--restart", "--yes")
    assert back.code == 0, back.err
    assert sick.users() == ["live"]
    assert sick.orders() == '["live"]'


def test_where_nothing_was_replaced_no_undo_is_offered_that_would_go_behind_an_older_restore(live: Shopping) -> None:
    assert live.cas("restore", "latest", "--yes", "--restart").code == 0
    live.toml.write_text(live.toml.read_text().replace(json.dumps(RUN), '["false"]'))
    for words in ((), ("--no-rollback",)):
        ran = live.cas("restore", "latest", "--yes", "--restart", *words)
        assert ran.code == 6, ran.err
        assert "nothing to do" in ran.out
        assert "--undo" not in ran.err
        assert "Nothing was replaced; mend it" in ran.err


@pytest.mark.parametrize(("way", "users"), [("--resume", ["saved"]), ("--undo", ["live"])])
def test_killed_while_it_waits_for_health_resume_and_undo_bring_it_up(
    live: Shopping, way: str, users: list[str]
) -> None:
    live.cas.write(".env", f"PORT={live.shop.port}\nTOKEN={SECRET}\nLATE=1000\n")
    with live.cas.process("restore", "latest", "--yes", "--restart") as process:
        wait_for(lambda: live.orders() == "[]" and live.shop.pids(), 20)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    live.shop.end()  # the one that never listens
    wait_for(lambda: not live.shop.pids())
    live.cas.write(".env", f"PORT={live.shop.port}\nTOKEN={SECRET}\n")
    for again in (("restore", "latest", "--yes"), ("restore", "latest", "--yes", "--restart")):
        assert_told(live.cas(*again), 1, "was asked to stop for a restore", "--resume")
    ran = live.cas("restore", way)
    assert ran.code == 0, ran.err
    assert live.users() == users
    assert live.orders() == ("[]" if way == "--resume" else '["live"]')
    assert len(live.shop.pids()) == 1
    assert live.cas("restore", "--resume").code == 1  # there is nothing left to resume


def test_killed_before_anything_was_replaced_it_is_started_again_and_said(live: Shopping) -> None:
    live.toml.write_text(live.toml.read_text().replace("[app]", '[app]\nstop = { command = ["sleep", "1000"] }'))
    with live.cas.process("restore", "latest", "--yes", "--restart") as process:
        kept = live.cas.home / ".local/state/casstore/applications"
        wait_for(lambda: list(kept.glob("*/stopped")), 20)
        process.kill()
    live.toml.write_text(live.toml.read_text().replace('stop = { command = ["sleep", "1000"] }', ""))
    live.shop.end()
    wait_for(lambda: not live.shop.pids())
    ran = live.cas("restore", "--resume")
    assert ran.code == 3, ran.err
    assert "Nothing is replaced" in ran.err
    assert live.users() == ["live"]


def test_an_undo_that_could_not_stop_the_application_undoes_when_it_is_run_again(live: Shopping) -> None:
    assert live.cas("restore", "latest", "--yes", "--restart").code == 0
    stop(live.shop.application())
    live.shop.start(env={"LINGERS": "1.5"})
    plan = live.toml.read_text()
    live.toml.write_text(
        plan.replace("[app]", '[app]\nstop = { command = ["pkill", "-f", "nobody"], timeout = "200ms" }', 1)
    )
    assert_told(live.cas("restore", "--undo", "--yes", "--restart"), 5, "still runs", "run this again")
    live.toml.write_text(plan)
    ran = live.cas("restore", "--undo", "--yes", "--restart")
    assert ran.code == 0, ran.err
    assert live.users() == ["live"]
    assert live.orders() == '["live"]'


def test_an_undo_behind_a_restore_that_could_not_stop_the_application_undoes_no_older_one(live: Shopping) -> None:
    assert live.cas("restore", "latest", "--yes", "--restart").code == 0
    stop(live.shop.application())
    live.shop.start(env={"LINGERS": "1.5"})
    plan = live.toml.read_text()
    stops = '[app]\nstop = { command = ["pkill", "-f", "nobody"], timeout = "200ms" }'
    live.toml.write_text(plan.replace("[app]", stops, 1))
    assert_told(live.cas("restore", "latest", "--yes", "--restart"), 5, "still runs", "run this again")
    live.toml.write_text(plan)
    ran = live.cas("restore", "--undo", "--yes", "--restart")
    assert ran.code == 0, ran.err
    assert "before the restore that did not come to its end" in ran.out
    assert live.users() == ["saved"]


@pytest.mark.parametrize("way", ["--resume", "--undo"])
def test_who_writes_in_the_repository_below_the_folder_is_not_the_application(live: Shopping, way: str) -> None:
    live.toml.write_text(re.sub(r"(?s)paths = \[.*?\]", 'paths = ["data", "backups"]', live.toml.read_text(), count=1))
    live.cas.write(".env", f"PORT={live.shop.port}\nTOKEN={SECRET}\nLATE=1000\n")
    with live.cas.process("restore", "latest", "--yes", "--restart") as process:
        wait_for(lambda: live.orders() == "[]" and live.shop.pids(), 20)
        process.kill()
    live.shop.end()
    wait_for(lambda: not live.shop.pids())
    live.cas.write(".env", f"PORT={live.shop.port}\nTOKEN={SECRET}\n")
    writes = f"f = open({str(live.cas.folder / 'backups/cas/other')!r}, 'w'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", writes], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        ran = live.cas("restore", way)
        assert ran.code == 0, ran.err
        assert other.poll() is None  # nor was it asked to stop
        other.kill()
    assert len(live.shop.pids()) == 1


def test_the_log_of_what_is_started_is_private_and_holds_its_words(live: Shopping) -> None:
    assert live.cas("restore", "latest", "--yes", "--restart").code == 0
    (log,) = (live.cas.home / ".local/state/casstore/applications").glob("*/log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    assert "started" in log.read_text()


def test_what_cannot_be_meant_is_refused(live: Shopping, tmp_path: Path) -> None:
    for words, told in (
        (("latest", "--no-rollback"), "--no-rollback says"),
        (("latest", "--restart", "--force"), "say one"),
        (("latest", "--restart", "--target", str(tmp_path / "out")), "--restart works in place only"),
        (("--resume", "--restart"), "stand alone"),
    ):
        assert_told(live.cas("restore", *words, "--yes"), 2, told)
    live.toml.write_text(live.toml.read_text().replace(f"run = {json.dumps(RUN)}", ""))
    assert_told(live.cas("restore", "latest", "--restart", "--yes"), 2, "nothing says how", "run = ")
    assert live.users() == ["live"]


def test_nobody_is_stopped_without_a_yes(live: Shopping) -> None:
    pids = live.shop.pids()
    assert_told(live.cas("restore", "latest", "--restart"), 2, "no terminal to ask on", "--yes")
    assert live.shop.pids() == pids


def test_a_hostile_name_in_the_last_words_of_a_start_commands_no_terminal(live: Shopping) -> None:
    evil = ["sh", "-c", "printf '\\033[2Jbye'; exit 3"]
    live.toml.write_text(live.toml.read_text().replace(json.dumps(RUN), json.dumps(evil)))
    ran = live.cas("restore", "latest", "--restart", "--yes", "--no-rollback")
    assert ran.code == 6
    assert "\x1b" not in ran.err + ran.out
    assert "\\x1b[2Jbye" in ran.err


INTERRUPTED = """
import os, signal, subprocess, sys
from cascli import start

for number in start.STOPS:
    signal.signal(number, start._stop)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)  # not heard any more
    subprocess.run(["sh", "-c", "kill -TERM $$; echo was not stopped"])
    print("went on")
"""


def test_what_is_started_again_after_an_interrupt_can_be_stopped(cas: Cas) -> None:
    with cas.program(INTERRUPTED) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"went on\n", b"")
