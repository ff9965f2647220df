"""A real application is seen to run, stopped, started, and well again; or it is said why not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from recovery.servers import server
from recovery.shops import RUN, SECOND, Shop, shop_in, wait_for

from casstore.errors import CasError, UsageError
from casstore.processes import Process
from casstore.recovery import health, running
from casstore.recovery.masking import mask, tail
from casstore.recovery.plan import Check, Command, Health
from casstore.recovery.report import Done, Report
from casstore.recovery.running import NotStarted, Seen, StillRunning, Unhealthy


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_in(tmp_path) as made:
        yield made


@contextmanager
def process(program: str, cwd: Path) -> Iterator[int]:
    """Run a program that we did not start as the application."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; print(flush=True); sys.stdin.read()"], cwd=cwd, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


# ── is it running ──


def test_nothing_runs_in_a_folder_that_nobody_uses(shop: Shop) -> None:
    assert not running.seen(shop.application())


def test_who_listens_below_the_folder_or_writes_to_a_file_of_the_set_is_seen_without_configuration(shop: Shop) -> None:
    bare = shop.application(health=None)
    listens = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"
    writes = f"import sys; f = open({str(shop.users)!r}, 'a')"
    for program, cwd in ((listens, shop.folder / "data"), (writes, Path("/"))):
        with process(program, cwd) as pid:
            assert [one.pid for one in running.seen(bare).processes] == [pid]


def test_who_writes_to_what_is_no_file_of_the_set_is_not_seen(shop: Shop) -> None:
    with process(f"import sys; f = open({str(shop.folder / 'other.log')!r}, 'a')", Path("/")):
        assert not running.seen(shop.application())


def test_what_we_started_is_seen_though_it_listens_to_nobody_yet(shop: Shop) -> None:
    shop.start(env={"QUIET": "1"})
    assert [one.pid for one in running.seen(shop.application()).processes] == shop.pids()


def test_whatever_health_says_it_runs(shop: Shop) -> None:
    says = [b"HTTP/1.1 503 Not Well\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"garbage\r\n\r\n"]
    for said in says:
        with server(lambda _head, said=said: [said]) as address:  # type: ignore[misc]
            assert running.seen(shop.application(health=Health(address))) == Seen((), True)


def test_a_hung_application_whose_health_does_not_answer_runs(shop: Shop) -> None:
    application = shop.start(env={"HANG": "1"})
    wait_for(lambda: running.seen(application).answers)
    (pid,) = shop.pids()
    os.kill(pid, signal.SIGSTOP)
    found = running.seen(shop.application(), timeout_ns=SECOND // 5)
    assert found.answers
    assert [one.pid for one in found.processes] == [pid]


# ── stop ──


def test_stop_asks_and_proves_that_it_is_down(shop: Shop) -> None:
    application = shop.start()
    assert running.wait_healthy(application).startswith("healthy after")
    assert running.stop(application).startswith("down after")
    assert shop.pids() == []
    assert shop.log.read_text().endswith("ended\n")  # it was asked, not killed
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", shop.port))


def test_stop_of_what_does_not_run_says_so(shop: Shop) -> None:
    assert running.stop(shop.application()) == "was not running"


def test_what_does_not_stop_in_time_is_named_and_not_killed(shop: Shop) -> None:
    application = shop.start(env={"DEAF": "1"}, stop=Command((), SECOND // 2))
    (pid,) = shop.pids()
    with pytest.raises(StillRunning, match=rf"process {pid} \(.*shop.py\) still runs \d+\.\d+ s after") as raised:
        running.stop(application)
    assert raised.value.exit_code == 5
    assert "Nothing was killed" in raised.value.hint
    assert shop.pids() == [pid]


def test_a_process_that_only_has_files_open_is_asked_too(shop: Shop) -> None:
    with process(f"import sys; f = open({str(shop.users)!r}, 'a')", Path("/")) as pid:
        assert running.stop(shop.application()).startswith("down")
        assert not Path(f"/proc/{pid}/exe").exists()


def test_the_command_that_stops_is_used_and_its_failure_told_if_it_runs_on(shop: Shop) -> None:
    kill = f"import os, signal; os.kill(int(open('{shop.folder}/pid').read()), signal.SIGTERM)"
    application = shop.start(stop=Command((sys.executable, "-c", kill), 5 * SECOND))
    (shop.folder / "pid").write_text(str(shop.pids()[0]))
    assert running.stop(application).startswith("down after")
    assert len(shop.pids()) == 0


def test_a_command_that_fails_is_told_with_its_reason_and_not_waited_for_as_long_as_one_that_works(shop: Shop) -> None:
    says = "print('Failed to stop shop.service: Access denied'); print('See the logs.'); exit(4)"
    fails = shop.start(stop=Command((sys.executable, "-c", says), 600 * SECOND))
    reason = r"ended with code 4: Failed to stop shop.service: Access denied / See the logs\.$"
    with pytest.raises(StillRunning, match=reason):
        running.stop(fails)
    assert len(shop.pids()) == 1


def test_a_command_that_fails_though_all_is_down_is_no_failure(shop: Shop) -> None:
    assert running.stop(shop.application(stop=Command(("false",)))) == "was not running; `false` ended with code 1"


def test_something_at_the_address_that_is_no_process_of_ours_is_not_down(shop: Shop) -> None:
    with server(lambda _head: [b"HTTP/1.1 200 OK\r\n\r\n"]) as address:
        application = shop.application(health=Health(address), stop=Command((), SECOND // 5))
        with pytest.raises(StillRunning, match="cannot see"):
            running.stop(application)


def test_who_has_the_address_is_named_if_he_can_be_seen_though_he_stands_elsewhere(shop: Shop) -> None:
    listens = f"import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', {shop.port})); s.listen()"
    with process(listens, Path("/")) as pid:
        found = running.seen(shop.application(), timeout_ns=SECOND // 5)
        assert found == Seen((), True)
        told = running.named(found, shop.application())
    assert re.fullmatch(rf"process {pid} \(.*\) at the address of the application's health", told)
    far = shop.application(health=Health("https://shop.example/health"))
    assert running.named(found, far) == "something at the address of the application's health"


# ── start ──


def test_what_is_started_outlives_the_process_that_started_it(shop: Shop, tmp_path: Path) -> None:
    program = f"""
import sys
sys.path[:0] = {[path for path in sys.path if path]!r}
from pathlib import Path
from casstore.recovery import running
from casstore.recovery.application import Application
from casstore.recovery.plan import App
from recovery.shops import RUN, Plain
application = Application(App(run=RUN), Path({str(shop.folder)!r}), Plain({shop.values!r}))
print(running.start(application, log=Path({str(shop.log)!r})).pid, flush=True)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    pid = int(ran.stdout)
    assert running.wait_healthy(shop.application()).startswith("healthy")
    assert shop.pids() == [pid]
    assert os.getsid(pid) == pid


def test_its_output_is_appended_to_a_log_that_only_we_can_read(shop: Shop) -> None:
    shop.log.parent.mkdir()
    shop.log.write_text("before\n")
    shop.log.chmod(0o600)
    shop.start()
    assert shop.log.read_text() == "before\nstarted with s3cret-token\n"
    shop.end()
    wait_for(lambda: not running.seen(shop.application()))  # its port is free later than its environment gone
    shop.log.unlink()
    shop.start()
    assert stat.S_IMODE(shop.log.stat().st_mode) == 0o600


def test_what_dies_at_once_is_told_with_its_last_words_and_without_secrets(shop: Shop) -> None:
    application = shop.application(env={"DIE": "1"})
    begun = time.monotonic()
    with pytest.raises(NotStarted, match="ended, with code 7") as raised:
        running.wait_healthy(application, running.start(application, log=shop.log))
    assert time.monotonic() - begun < 5  # not the time that its health has
    assert raised.value.output == "started with •••\nError: listen EADDRINUSE"
    assert "EADDRINUSE" in raised.value.hint
    assert str(shop.log) in raised.value.hint
    assert raised.value.exit_code == 6


def test_without_a_health_page_death_is_seen_too_and_life_is_enough(shop: Shop) -> None:
    dies = shop.application(env={"DIE": "1"}, health=None)
    with pytest.raises(NotStarted, match="code 7"):
        running.wait_healthy(dies, running.start(dies, log=shop.log))
    lives = shop.application(health=None)
    assert running.wait_healthy(lives, running.start(lives, log=shop.log)).startswith("runs")
    running.stop(lives)
    with pytest.raises(Unhealthy, match="nothing of the application is seen"):
        running.wait_healthy(lives)


def test_a_port_in_use_is_told_before_anything_is_started(shop: Shop) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", shop.port))
        other.listen()
        with pytest.raises(NotStarted, match="is at the address of the application's health already") as raised:
            running.start(shop.application(), log=shop.log)
    assert "ss -ltnp" in raised.value.hint
    assert not shop.log.exists()


def test_a_log_that_grew_too_large_makes_room_at_a_start_and_one_before_is_kept(shop: Shop) -> None:
    before = shop.log.with_name(f"{shop.log.name}.1")
    shop.log.parent.mkdir()
    before.write_text("older")
    shop.log.touch(mode=0o600)
    os.truncate(shop.log, running.MOST_LOG)
    running.stop(shop.start())
    assert before.read_text() == "older"  # as large as it may be
    running.wait_healthy(shop.application(), running.start(shop.application(), log=shop.log))
    assert shop.log.read_text().startswith("started")
    assert before.stat().st_size > running.MOST_LOG
    assert stat.S_IMODE(before.stat().st_mode) == 0o600
    assert sorted(path.name for path in shop.log.parent.iterdir()) == ["shop.log", "shop.log.1"]


@pytest.mark.parametrize("broken", ["the folder is a file", "the log is a folder"])
def test_a_log_that_cannot_be_written_is_told_as_a_step_and_nothing_is_started(shop: Shop, broken: str) -> None:
    if broken == "the log is a folder":
        shop.log.mkdir(parents=True)
    else:
        shop.log.parent.write_text("")
    report = Report()
    assert not running.bring_up(shop.application(), report, log=shop.log)
    (step,) = report.steps
    assert step.words.startswith("the log of the application cannot be written: ")
    assert not shop.pids()


def test_a_start_command_returns_and_what_it_left_behind_lives(shop: Shop) -> None:
    launcher = f"import subprocess; subprocess.Popen({list(RUN)!r}); print('launched', flush=True)"
    application = shop.application(start=Command((sys.executable, "-c", launcher)))
    started = running.start(application, log=shop.log)
    assert started.pid is None
    assert running.wait_healthy(application, started).startswith("healthy")
    assert "launched" in shop.log.read_text()
    running.stop(application)
    assert shop.log.read_text().endswith("ended\n")  # its output never was a pipe of ours


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('no such unit'); exit(4)", r"failed with code 4"),
        ("import time; time.sleep(1000)", r"did not return within 0\.50 s"),
    ],
)
def test_a_start_command_that_fails_or_stays_is_told(shop: Shop, program: str, words: str) -> None:
    application = shop.application(start=Command((sys.executable, "-c", program), SECOND // 2))
    with pytest.raises(NotStarted, match=words):
        running.start(application, log=shop.log)


def test_without_run_nothing_can_be_started(shop: Shop) -> None:
    with pytest.raises(UsageError, match="nothing says how"):
        running.start(shop.application(run=()), log=shop.log)


# ── health ──


def test_health_is_waited_for(shop: Shop) -> None:
    application = shop.start(env={"LATE": "0.5"})
    assert running.wait_healthy(application).startswith("healthy after")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"HTTP/1.1 503 Not Well\r\n\r\nstripe: s3cret-token is missing", "it answers 503, and says stripe: ••• is"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "it answers 302"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "200 with what is no JSON"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, "200 with what is no JSON"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"status": "DEGRADED"}', 'status is "DEGRADED", not "OK"'),
        (b"garbage", "answered what is not HTTP"),
    ],
)
def test_an_answer_that_is_not_well_is_the_reason_when_the_time_is_over(shop: Shop, page: bytes, words: str) -> None:
    with server(lambda _head: [page]) as address:
        wanted = Health(f"{address}/health", json={"status": "OK"}, within_ns=SECOND // 5)
        with pytest.raises(Unhealthy, match=words) as raised:
            running.wait_healthy(shop.application(health=wanted))
        assert raised.value.exit_code == 6


@pytest.mark.parametrize("letters", range(940, 1000, 7))
def test_no_half_of_a_secret_shows_where_an_answer_is_cut(shop: Shop, letters: int) -> None:
    said = b"x" * letters + b"s3cret-token"
    field = json.dumps({"status": "x" * (letters - 800) + "s3cret-token"}).encode()
    for page in (b"HTTP/1.1 503 Not Well\r\n\r\n" + said, b"HTTP/1.1 200 OK\r\n\r\n" + field):
        with server(lambda _head, page=page: [page]) as address:  # type: ignore[misc]
            wanted = Health(f"{address}/health", json={"status": "OK"})
            assert "s3" not in health.complaint(shop.application(), wanted, SECOND)


@pytest.mark.parametrize("letters", range(180, 200, 3))
def test_no_half_of_a_secret_shows_where_a_command_line_is_cut(shop: Shop, letters: int) -> None:
    found = Seen((Process(7, "x" * letters + "s3cret-token"),), False)
    assert "s3" not in running.named(found, shop.application())


def test_the_lines_of_a_secret_are_hidden_but_not_each_brace() -> None:
    secret = '{\n  "private_key": "MIIEvQ"\n}\n'
    assert mask('{"key": 1} was "private_key": "MIIEvQ"', [secret]) == '{"key": 1} was •••'
    assert mask(f"it is {secret}", [secret]) == "it is •••\n"


HARD = "se\"cr'et\\with/quo té\tund  (ends)"


@pytest.mark.parametrize(
    "write",
    [
        json.dumps, lambda value: json.dumps(value, ensure_ascii=False), repr, str, quote, quote_plus,
        partial(quote, safe=""), partial(quote, safe="!'()*"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_however_it_is_written(write: Callable[[str], str]) -> None:
    shown = write(HARD).replace(write(HARD).strip("'\""), "•••")
    assert mask(f"it is {write(HARD)}.", [HARD]) == f"it is {shown}."
    data = f"it is {write(HARD)}.".encode()
    assert tail(data, len(data), [HARD]) == f"it is {shown}."
    assert tail(data, 9, [HARD]) == f"•••{shown.partition('•••')[2]}."


def test_a_sick_page_shows_no_secret_that_it_holds_as_json(shop: Shop) -> None:
    for status, wanted in (("503 Sick", {}), ("200 OK", {"secret": "none"})):
        page = f"HTTP/1.1 {status}\r\n\r\n{json.dumps({'secret': HARD})}".encode()
        with server(lambda _head, page=page: [page]) as address:  # type: ignore[misc]
            wrong = health.complaint(shop.application(env={"TOKEN": HARD}), Health(address, json=wanted), SECOND)
        assert "•••" in wrong
        assert "with/quo" not in wrong


def test_a_page_that_never_ends_is_not_healthy_and_takes_no_longer_than_it_may(shop: Shop) -> None:
    def endless(_head: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            time.sleep(0.01)
            yield b" "

    with server(endless) as address:
        wanted = Health(address, json={"status": "OK"}, within_ns=SECOND // 2)
        begun = time.monotonic()
        with pytest.raises(Unhealthy, match="did not answer to the end"):
            running.wait_healthy(shop.application(health=wanted))
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("wanted", "found", "reason"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, ""),
        ({"a": [1, 2]}, {"a": [1, 2]}, ""),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b is 2, not 1"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1, 2], not [1]"),
        ({"a": {"b": 1}}, {"a": 1}, "a is no object"),
        ({"a": 1}, {}, "a is missing"),
        ({"a": 1}, [], "the answer is no object"),
        ({"a": True}, {"a": 1}, "a is 1, not true"),
        ({"a": 1.0}, {"a": 1}, ""),
        ({}, None, "the answer is no object"),
    ],
)
def test_an_answer_must_hold_at_least_what_is_wanted(wanted: Any, found: Any, reason: str) -> None:
    assert health.differs(wanted, json.loads(json.dumps(found))) == reason


# ── checks, and all together ──


def test_all_checks_are_run_and_reported_without_secrets(shop: Shop) -> None:
    checks = (
        Check("users", (sys.executable, "-c", "print('2 users')")),
        Check("broken", (sys.executable, "-c", "import os; print(os.environ['TOKEN']); exit(3)")),
        Check("slow", ("sleep", "100"), SECOND // 5),
        Check("absent", ("no-such-program",)),
    )
    told: list[Done] = []
    report = Report(["s3cret-token"], told.append)
    assert not running.run_checks(shop.application(checks=checks), report)
    assert told == report.steps
    assert [(step.name, step.ok) for step in report.steps] == [
        ("check users", True), ("check broken", False), ("check slow", False), ("check absent", False),
    ]  # fmt: skip
    words = [step.words for step in report.steps]
    assert words[:2] == ["2 users", "the check broken ended with code 3\n•••"]
    assert words[2].startswith("the check slow did not end within 0.2")
    assert words[3] == "there is no program no-such-program"
    assert [step.name for step in report.failed] == ["check broken", "check slow", "check absent"]


def test_bringing_it_up_starts_it_once_and_reports_each_step(shop: Shop) -> None:
    application = shop.application(checks=(Check("users", ("cat", "data/users.json")),))
    first, second = Report(), Report()
    assert running.bring_up(application, first, log=shop.log)
    assert running.bring_up(application, second, log=shop.log)
    assert [step.name for step in first.steps] == ["start", "health", "check users"]
    assert first.ok
    assert all(step.duration_ns > 0 for step in first.steps)
    assert first.steps[2].fields() | {"duration": 0} == {
        "name": "check users",
        "ok": True,
        "duration": 0,
        "words": '["ann"]',
    }
    assert second.steps[0].words == "runs already"
    assert len(shop.pids()) == 1


def test_bringing_up_what_is_sick_ends_with_its_reason(shop: Shop) -> None:
    report = Report()
    sick = Health("http://127.0.0.1:${PORT}/health", within_ns=SECOND)
    assert not running.bring_up(shop.application(env={"SICK": "1"}, health=sick), report, log=shop.log)
    assert [(step.name, step.ok) for step in report.steps] == [("start", True), ("health", False)]
    assert "it answers 503" in report.steps[-1].words


def test_a_report_takes_down_what_was_raised_and_lets_it_go_on() -> None:
    report = Report(["k3y-of-it"])
    with pytest.raises(CasError), report.step("one"):
        raise CasError("with k3y-of-it")
    with pytest.raises(KeyboardInterrupt), report.step("two"):
        raise KeyboardInterrupt
    assert [(step.ok, step.words) for step in report.steps] == [(False, "with •••"), (False, "KeyboardInterrupt")]
