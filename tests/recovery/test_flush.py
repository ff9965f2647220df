"""The running application is asked to flush, by each way; a hold is released whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recovery.running_app import PATIENCE_S, RunningApp, wait_for

from casstore.recovery.environment import Environment
from casstore.recovery.flush import Flushed, asked
from casstore.recovery.plan import App, parse
from casstore.snapshot import Asked, Outcome

Start = Callable[..., RunningApp]
PROCESS = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    return made


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[RunningApp] = []

    def begin(**environment: str) -> RunningApp:
        started.append(RunningApp(folder, **environment))
        return started[-1]

    yield begin
    for app in started:
        app.close()


def app(*lines: str) -> App:
    return parse("[app]\n" + "\n".join(lines)).app


HTTP = 'flush = { http = "POST http://127.0.0.1:${PORT}/internal/flush", timeout = "2s", required = true }'
RELEASE = 'release = { http = "POST http://127.0.0.1:${PORT}/internal/release", timeout = "2s" }'


def flushed(plan: App, folder: Path, **values: object) -> Flushed:
    environment = Environment({key: str(value) for key, value in values.items()}, PROCESS)
    with asked(plan, folder, environment) as found:
        pass
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


# ── by HTTP ──


def test_a_2xx_answer_acknowledges_and_the_files_are_written_by_then(folder: Path, start: Start) -> None:
    running = start()
    found = flushed(app(HTTP), folder, PORT=running.port)
    assert (found.flush.how, found.flush.outcome, found.flush.required) == (Asked.HTTP, Outcome.ACKNOWLEDGED, True)
    assert (folder / "data/users.json").read_text() == '[{"id": 1}]'


@pytest.mark.parametrize("status", ["302", "404", "503"])
def test_any_other_answer_is_a_refusal(folder: Path, start: Start, status: str) -> None:
    found = flushed(app(HTTP), folder, PORT=start(STATUS=status).port)
    assert found.flush.outcome is Outcome.REFUSED
    assert status in found.reason


def test_the_token_is_sent_and_never_said(folder: Path, start: Start) -> None:
    running = start(TOKEN="t0ken-of-cas")
    plan = app(HTTP.replace("timeout", 'token-env = "CAS_TOKEN", timeout'))
    assert flushed(plan, folder, PORT=running.port, CAS_TOKEN="t0ken-of-cas").flush.outcome is Outcome.ACKNOWLEDGED
    wrong = flushed(plan, folder, PORT=running.port, CAS_TOKEN="t0ken-of-others")
    assert wrong.flush.outcome is Outcome.REFUSED
    assert "t0ken" not in wrong.reason
    unset = flushed(plan, folder, PORT=running.port)
    assert (unset.flush.outcome, running.asked) == (Outcome.REFUSED, ["flush"])
    assert "CAS_TOKEN" in unset.reason


def test_an_application_that_hangs_costs_no_more_than_its_time(folder: Path, start: Start) -> None:
    running = start(HANG="1")
    found = flushed(app(HTTP.replace("2s", "200ms")), folder, PORT=running.port)
    assert found.flush.outcome is Outcome.TIMED_OUT
    assert 200 <= found.flush.after_ms < 2000


def test_where_nothing_listens_the_application_does_not_run(folder: Path) -> None:
    found = flushed(app(HTTP), folder, PORT=free_port())
    assert (found.flush.outcome, found.flush.is_flushed) == (Outcome.NOT_RUNNING, True)


def test_an_application_that_listens_elsewhere_is_not_taken_for_one_that_is_down(folder: Path, start: Start) -> None:
    running = start()
    found = flushed(app(HTTP), folder, PORT=free_port())
    assert found.flush.outcome is Outcome.FAILED
    assert str(running.process.pid) in found.reason


def test_an_address_whose_port_nobody_knows_is_said(folder: Path) -> None:
    found = flushed(app(HTTP), folder)
    assert found.flush.outcome is Outcome.FAILED
    assert "PORT" in found.reason


# ── by signal ──

SIGNAL = 'flush = { signal = "SIGUSR2", answer = "flushed", timeout = "2s" }'


def test_a_file_that_is_touched_acknowledges_a_signal_each_time_anew(folder: Path, start: Start) -> None:
    start()
    for _ in range(2):
        found = flushed(app(SIGNAL), folder)
        assert (found.flush.how, found.flush.outcome) == (Asked.SIGNAL, Outcome.ACKNOWLEDGED)


def test_a_signal_that_is_not_heeded_is_not_sent_since_it_would_end_the_application(folder: Path, start: Start) -> None:
    running = start(DEAF="1")
    assert flushed(app(SIGNAL), folder).flush.outcome is Outcome.REFUSED
    assert running.process.poll() is None


def test_a_signal_that_is_not_answered_times_out(folder: Path, start: Start) -> None:
    start(HANG="1")
    (folder / "flushed").write_text("of yesterday")
    assert flushed(app(SIGNAL.replace("2s", "100ms")), folder).flush.outcome is Outcome.TIMED_OUT


def test_without_a_process_there_is_nothing_to_signal(folder: Path) -> None:
    assert flushed(app(SIGNAL), folder).flush.outcome is Outcome.NOT_RUNNING


def test_of_two_processes_a_pid_file_says_which(folder: Path, start: Start) -> None:
    start(DEAF="1")
    start(PIDFILE="app.pid")
    assert flushed(app(SIGNAL), folder).flush.outcome is Outcome.FAILED
    with_file = app(SIGNAL.replace("timeout", 'pid-file = "app.pid", timeout'))
    assert flushed(with_file, folder).flush.outcome is Outcome.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("", Outcome.FAILED), ("1", Outcome.FAILED), ("-1", Outcome.FAILED), ("4194305", Outcome.NOT_RUNNING)],
)
def test_a_pid_file_that_names_nobody_signals_nobody(folder: Path, text: str, outcome: Outcome) -> None:
    (folder / "app.pid").write_text(text)
    plan = app(SIGNAL.replace("timeout", 'pid-file = "app.pid", timeout'))
    assert flushed(plan, folder).flush.outcome is outcome


BY_PID_FILE = SIGNAL.replace("timeout", 'pid-file = "app.pid", timeout')


def test_a_process_elsewhere_that_began_after_the_pid_file_was_written_is_another_one(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = RunningApp(tmp_path / "other", PIDFILE=str(folder / "app.pid"))
    try:
        os.utime(folder / "app.pid", (0, 0))
        found = flushed(app(BY_PID_FILE), folder)
    finally:
        other.close()
    assert (found.flush.outcome, "another one" in found.reason) == (Outcome.NOT_RUNNING, True)
    assert not (tmp_path / "other" / "flushed").exists()


def test_a_clock_that_was_set_does_not_make_the_application_another_one(folder: Path, start: Start) -> None:
    start(PIDFILE="app.pid")
    os.utime(folder / "app.pid", (0, 0))
    assert flushed(app(BY_PID_FILE), folder).flush.outcome is Outcome.ACKNOWLEDGED


@pytest.mark.parametrize("text", ["4194305", None])
def test_an_application_that_listens_is_not_down_because_its_pid_file_is_wrong(
    folder: Path, start: Start, text: str | None
) -> None:
    running = start()
    if text is not None:
        (folder / "app.pid").write_text(text)
    found = flushed(app(BY_PID_FILE), folder)
    assert found.flush.outcome is Outcome.FAILED
    assert f"process {running.process.pid}" in found.reason
    assert "`pid-file`" in found.reason


def test_cas_itself_in_the_folder_is_no_worker_of_the_application(folder: Path) -> None:
    watching = subprocess.Popen(
        ["cas", "-c", WORKER], executable=sys.executable, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        found = flushed(app(SIGNAL), folder)
        watching.kill()
    assert found.flush.outcome is Outcome.NOT_RUNNING


def test_who_only_stands_in_the_folder_is_not_signalled_for_a_pid_file_that_is_older(folder: Path) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", WORKER], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    with stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        (folder / "app.pid").write_text(f"{stranger.pid}\n")
        os.utime(folder / "app.pid", (0, 0))
        found = flushed(app(BY_PID_FILE), folder)
        assert stranger.poll() is None
        stranger.kill()
    assert (found.flush.outcome, "another one" in found.reason) == (Outcome.NOT_RUNNING, True)


WORKER = "import signal; signal.signal(signal.SIGUSR2, print); print(flush=True); signal.pause()"


@pytest.mark.parametrize(
    ("code", "outcome"), [(WORKER, Outcome.FAILED), ("print(flush=True); input()", Outcome.NOT_RUNNING)]
)
def test_a_worker_that_does_not_listen_is_not_guessed_at_and_not_taken_for_down(
    folder: Path, code: str, outcome: Outcome
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        found = flushed(app(SIGNAL), folder)
        worker.kill()
    assert found.flush.outcome is outcome
    assert ("`pid-file`" in found.reason) == (outcome is Outcome.FAILED)


# ── by a command ──


def command(code: str, timeout: str = "5s") -> str:
    return f"flush = {{ command = ['{sys.executable}', '-c', '{code}'], timeout = '{timeout}' }}"


def test_a_program_that_ends_well_acknowledges_and_has_the_environment(folder: Path) -> None:
    plan = app(f"flush = {{ command = ['{sys.executable}', '-c', 'import os; open(os.environ[\"X\"], \"w\")'] }}")
    found = flushed(plan, folder, X="made")
    assert (found.flush.how, found.flush.outcome) == (Asked.COMMAND, Outcome.ACKNOWLEDGED)
    assert (folder / "made").exists()


def test_a_program_that_fails_refuses_and_its_last_words_hold_no_secret(folder: Path) -> None:
    plan = app(f"flush = {{ command = ['{sys.executable}', '-c', 'import os,sys; sys.exit(os.environ[\"KEY\"])'] }}")
    found = flushed(plan, folder, KEY="s3cret")
    assert found.flush.outcome is Outcome.REFUSED
    assert "s3cret" not in found.reason


def test_a_program_that_hangs_is_ended_and_one_that_is_not_there_is_said(folder: Path) -> None:
    hanging = app(f"flush = {{ command = ['{sys.executable}', '-c', 'input() or 1; import time; time.sleep(99)'] }}")
    assert flushed(hanging, folder).flush.outcome is Outcome.REFUSED  # stdin is closed
    sleeping = app("flush = { command = ['sleep', '99'], timeout = '100ms' }")
    assert flushed(sleeping, folder).flush.outcome is Outcome.TIMED_OUT
    gone = flushed(app("flush = { command = ['no-such-program'] }"), folder)
    assert gone.flush.outcome is Outcome.FAILED
    assert "no-such-program" in gone.reason


def test_a_failing_program_of_an_application_that_is_down_has_nothing_to_flush(folder: Path, start: Start) -> None:
    plan = app('flush = { command = ["false"] }', 'health = { http = "http://127.0.0.1:${PORT}/" }')
    assert flushed(plan, folder, PORT=free_port()).flush.outcome is Outcome.NOT_RUNNING
    assert flushed(plan, folder, PORT=start().port).flush.outcome is Outcome.REFUSED


# ── hold and release ──


def test_a_hold_is_released_at_the_end_and_not_before(folder: Path, start: Start) -> None:
    running = start()
    with asked(app(HTTP, RELEASE), folder, Environment({"PORT": str(running.port)}, PROCESS)) as found:
        assert running.asked == ["flush"]
    assert running.asked == ["flush", "release"]
    assert found.unreleased == ""


def test_a_hold_is_released_when_the_work_fails(folder: Path, start: Start) -> None:
    running = start()
    environment = Environment({"PORT": str(running.port)}, PROCESS)
    with pytest.raises(KeyboardInterrupt), asked(app(HTTP, RELEASE), folder, environment):
        raise KeyboardInterrupt
    assert running.asked == ["flush", "release"]


def test_a_release_that_is_refused_is_said_and_the_flush_stands(folder: Path, start: Start) -> None:
    running = start()
    found = flushed(app(HTTP, RELEASE.replace('release"', 'other"')), folder, PORT=running.port)
    assert found.flush.outcome is Outcome.ACKNOWLEDGED
    assert "404" in found.unreleased


def test_a_release_that_is_refused_is_tried_once_more_and_said_though_the_work_failed(
    folder: Path, start: Start
) -> None:
    running = start()
    environment = Environment({"PORT": str(running.port)}, PROCESS)
    plan = app(HTTP, RELEASE.replace('release"', 'other"'))
    with pytest.raises(KeyboardInterrupt), asked(plan, folder, environment) as found:
        raise KeyboardInterrupt
    assert "404" in found.unreleased
    assert running.asked == ["flush", "other", "other"]


def test_a_release_that_is_heard_the_second_time_is_one(folder: Path, start: Start) -> None:
    running = start(HARD="1")
    assert flushed(app(HTTP, RELEASE), folder, PORT=running.port).unreleased == ""
    assert running.asked == ["flush", "release", "release"]


def test_a_process_that_ignores_its_children_flushes_all_the_same(folder: Path, start: Start) -> None:
    running = start()
    ignoring = f"import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n{HOLDER}"
    plan = f"[app]\n{HTTP}\n{RELEASE}"
    ran = subprocess.run(
        [sys.executable, "-c", ignoring, plan, str(folder), str(running.port)],
        input=b"",
        capture_output=True,
        check=True,
    )
    assert ran.stdout == b"ACKNOWLEDGED\n"
    assert running.asked == ["flush", "release"]


def test_without_an_interpreter_for_the_helper_nothing_is_held(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    found = flushed(app(HTTP, RELEASE), folder, PORT=running.port)
    assert (found.flush.outcome, running.asked) == (Outcome.FAILED, [])


def test_a_helper_that_dies_is_stood_in_for(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    monkeypatch.setattr(sys, "executable", "/bin/true")
    found = flushed(app(HTTP, RELEASE), folder, PORT=running.port)
    assert (found.flush.outcome, found.unreleased) == (Outcome.ACKNOWLEDGED, "")
    assert running.asked == ["flush", "release"]


def test_no_helper_is_left_behind(folder: Path, start: Start) -> None:
    running = start()

    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = children()
    flushed(app(HTTP, RELEASE), folder, PORT=running.port)
    assert children() <= before


HOLDER = """
import sys
from pathlib import Path
from casstore.recovery.environment import Environment
from casstore.recovery.flush import asked
from casstore.recovery.plan import parse
plan, folder, port = sys.argv[1:]
with asked(parse(plan).app, Path(folder), Environment({"PORT": port}, {})) as found:
    print(found.flush.outcome.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_hold_is_released_when_the_process_is_killed(folder: Path, start: Start, number: int) -> None:
    running = start()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, "\n".join(("[app]", HTTP, RELEASE)), str(folder), str(running.port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"ACKNOWLEDGED\n"
    assert running.asked == ["flush"]
    os.killpg(holder.pid, number)  # as a terminal does, or a service that is stopped
    holder.wait(PATIENCE_S)
    wait_for(lambda: running.asked == ["flush", "release"])
    holder.stdin.close()
    holder.stdout.close()


def test_a_hold_is_released_when_the_process_is_killed_while_it_still_asks(folder: Path, start: Start) -> None:
    running = start(HANG="1")
    plan = f"[app]\n{HTTP.replace('2s', '60s')}\n{RELEASE}"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, plan, str(folder), str(running.port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: running.asked == ["flush"])
    holder.kill()
    holder.wait(PATIENCE_S)
    wait_for(lambda: running.asked == ["flush", "release"])
