"""Real programs: they end, or are ended, with all that they started."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from casstore.recovery import commands
from casstore.recovery.commands import MOST_OUTPUT, CommandNotFound, Ran

SECOND = 10**9
ENV = {"PATH": os.environ["PATH"]}


def run(folder: Path, *arguments: str, seconds: float = 30, **options: object) -> Ran:
    env = options.pop("env", ENV)
    return commands.run(arguments, folder=folder, env=env, timeout_ns=int(seconds * SECOND), **options)  # type: ignore[arg-type]


def python(folder: Path, program: str, **options: object) -> Ran:
    return run(folder, sys.executable, "-c", program, **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.01)


def test_a_program_runs_in_its_folder_with_its_environment_alone(tmp_path: Path) -> None:
    ran = python(tmp_path, "import os; print(os.getcwd(), os.environ['A'], 'HOME' in os.environ)", env={"A": "1"})
    assert (ran.code, ran.output, ran.timed_out) == (0, f"{tmp_path} 1 False\n", False)
    assert ran.ok
    assert 0 < ran.duration_ns < 30 * SECOND


def test_both_streams_and_the_exit_code_are_kept(tmp_path: Path) -> None:
    ran = python(tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)")
    assert (ran.code, ran.output) == (7, "out\nerr\n")
    assert not ran.ok


def test_arguments_are_no_shell_words(tmp_path: Path) -> None:
    ran = run(tmp_path, "echo", "$HOME; *", "`id`")
    assert ran.output == "$HOME; * `id`\n"


def test_a_program_that_reads_finds_the_end_at_once(tmp_path: Path) -> None:
    assert run(tmp_path, "cat").code == 0


def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    ran = python(tmp_path, "import os; print(os.getsid(0) == os.getpid())")
    assert ran.output == "True\n"


def test_what_runs_over_its_time_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    program = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "print(os.getpid(), child.pid, flush=True)\n"
        "time.sleep(1000)"
    )
    begun = time.monotonic()
    ran = python(tmp_path, program, seconds=1)
    assert time.monotonic() - begun < 10
    assert ran.timed_out
    assert not ran.ok
    assert ran.code == -signal.SIGKILL
    for pid in ran.output.split():
        wait_gone(int(pid))


def test_what_it_left_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)']).pid, flush=True)"
    )
    begun = time.monotonic()
    ran = python(tmp_path, program)
    assert time.monotonic() - begun < 10
    assert (ran.code, ran.timed_out) == (0, False)
    pid = int(ran.output)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_of_much_output_the_end_is_kept(tmp_path: Path) -> None:
    ran = python(tmp_path, "import sys; sys.stdout.write('x' * 5_000_000 + 'the reason')")
    assert ran.code == 0
    assert len(ran.output) == MOST_OUTPUT
    assert ran.output.endswith("xthe reason")


def test_what_writes_for_ever_is_ended_by_its_time_in_bounded_memory(tmp_path: Path) -> None:
    ran = run(tmp_path, "yes", seconds=0.5)
    assert ran.timed_out
    assert len(ran.output) == MOST_OUTPUT


def test_secrets_are_not_in_the_output(tmp_path: Path) -> None:
    program = "print('key=s3cret-and-longer s3cret'); print('one'); print('-----BEGIN\\nabcd')"
    ran = python(tmp_path, program, hide=["s3cret", "s3cret-and-longer", "", "-----BEGIN\nabcd\n-----END"])
    assert ran.output == "key=••• •••\none\n•••\n•••\n"


@pytest.mark.parametrize("shift", range(10))
def test_a_secret_at_the_cut_does_not_show_in_half(tmp_path: Path, shift: int) -> None:
    after = MOST_OUTPUT - shift
    ran = python(
        tmp_path, f"import sys; sys.stdout.write('x' * 100_000 + '0123456789' + 'x' * {after})", hide=["0123456789"]
    )
    assert set(ran.output) <= set("x•")


def test_bytes_that_are_no_text_are_no_error(tmp_path: Path) -> None:
    assert python(tmp_path, "import sys; sys.stdout.buffer.write(b'\\xff\\x1b[2J')").output == "\ufffd\x1b[2J"


def test_a_program_killed_by_a_signal_says_so(tmp_path: Path) -> None:
    ran = python(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert (ran.code, ran.timed_out) == (-signal.SIGTERM, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-program"], "there is no program no-such-program"),
        (["./plain.txt"], "plain.txt cannot be started: permission denied"),
        (["./garbage"], "garbage cannot be started: exec format error"),
        (["./orphan"], "there is no program ./orphan"),
        (["echo", "\0"], "holds a NUL"),
    ],
)
def test_what_cannot_be_started_is_told_in_a_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "plain.txt").write_text("x")
    for name, content in (("garbage", b"\x7fELF"), ("orphan", b"#!/no/such/interpreter\n")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    with pytest.raises(CommandNotFound, match=words):
        run(tmp_path, *arguments)


def test_a_folder_that_is_none_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(CommandNotFound, match="none is no folder to run echo in"):
        run(tmp_path / "none", "echo")


def test_the_program_is_looked_for_in_the_path_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "hello").chmod(0o755)
    assert run(tmp_path, "hello", env={"PATH": str(tmp_path)}).output == "hello\n"
    with pytest.raises(CommandNotFound):
        run(tmp_path, "hello")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not end its own program")
def test_what_may_not_be_ended_such_as_sudo_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys; from pathlib import Path; from casstore.recovery import commands\n"
        "process = commands.launch(['sleep', '60'], folder=Path('/'), env=os.environ, output=subprocess.DEVNULL)\n"
        "os.setresuid(65534, 65534, 65534); commands.kill(process); print(process.pid, process.returncode)"
    )
    ran = python(tmp_path, program, seconds=30)
    assert ran.ok, ran.output
    pid, code = map(int, ran.output.split())
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert code == -signal.SIGKILL
