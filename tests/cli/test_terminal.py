"""What a person meets: prompts, recovery words, colours, Ctrl-C, a pipe that closes."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cascli import display
from cascli.options import Common
from cli.conftest import Cas

from casstore.progress import Advanced, Notice, Problem, Stage

PATIENCE_S = 60  # until a test that would hang fails


class Terminal:
    """`cas` on a terminal of its own: wait for words, then type."""

    def __init__(self, cas: Cas, *arguments: str, **environment: str) -> None:
        self.seen = ""
        self._pid, self._handle = pty.fork()
        if self._pid == 0:  # the child becomes the command
            os.chdir(cas.folder)
            program = [sys.executable, "-c", "from cascli.start import main; main()", *arguments]
            os.execve(sys.executable, program, cas.environment | {"TERM": "xterm"} | environment)

    def expect(self, pattern: str) -> re.Match[str]:
        """Read until the pattern was written; what came before it is done with."""
        while (match := re.search(pattern, self.seen, re.DOTALL)) is None:
            assert self._more(), f"ended before {pattern!r}: {self.seen}"
        self.seen = self.seen[match.end() :]
        return match

    def type(self, line: str) -> None:
        os.write(self._handle, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.press("\x03")

    def press(self, key: str) -> None:
        """Press a key once it waits for an answer; before that `input` may lose it while it flushes stderr."""
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"S":
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.write(self._handle, key.encode())

    def end(self) -> int:
        """Read to the end and give the exit code."""
        while self._more():
            pass
        os.close(self._handle)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _more(self) -> bool:
        ready, _, _ = select.select([self._handle], [], [], PATIENCE_S)
        assert ready, f"hangs after {self.seen!r}"
        try:
            data = os.read(self._handle, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.seen += data.decode()
        return bool(data)


def test_init_asks_twice_shows_the_words_once_and_asks_for_two_of_them(bare: Cas, tmp_path: Path) -> None:
    terminal = Terminal(bare, "init", "data")
    for prompt, answer in (
        ("A passphrase for the new repository: ", "correct horse"),
        ("The same once more: ", "correct hose"),
        ("not the same.*A passphrase for the new repository: ", "correct horse"),
        ("The same once more: ", "correct horse"),
    ):
        terminal.expect(prompt)
        terminal.type(answer)
    shown = terminal.expect(r"write them down.*not shown again")[0]
    assert "correct horse" not in shown
    words = dict(re.findall(r"(\d+) ([a-z]+)", shown))
    assert len(words) == 24
    first = terminal.expect(r"Word number (\d+): ")[1]
    terminal.type("wrong")
    assert terminal.expect(r"another word.*Word number (\d+): ")[1] == first
    terminal.type(words[first].upper())
    terminal.type(words[terminal.expect(r"Word number (\d+): ")[1]])
    assert terminal.end() == 0
    slots = bare("key", "list", "--json").json
    assert {slot["kind"] for slot in slots if slot["proven"]} == {"passphrase", "recovery"}  # both were typed
    in_a_row = " ".join(words[str(number)] for number in range(1, 25))
    stranger = Cas(bare.folder, tmp_path)
    assert stranger("snapshots", "--recovery-words", stdin=in_a_row).code == 0
    assert stranger("snapshots", "--recovery-words", stdin=in_a_row.replace(words["1"], words["2"], 1)).code in (2, 12)
    checked = bare("key", "recovery", "--check", stdin=in_a_row)
    assert checked.code == 0
    assert "the date is recorded" in checked.err


def test_a_host_without_a_key_asks_for_the_passphrase(bare: Cas, tmp_path: Path) -> None:
    bare("init", "data", CAS_PASSWORD="correct horse")
    terminal = Terminal(Cas(bare.folder, tmp_path), "snapshots")
    terminal.expect("Passphrase of .*: ")
    terminal.type("wrong")
    terminal.expect("opens no slot.*Passphrase of .*: ")
    terminal.type("correct horse")
    terminal.expect("There is no snapshot yet")
    assert terminal.end() == 0


def test_ctrl_c_at_a_prompt_exits_130_and_makes_nothing(bare: Cas) -> None:
    terminal = Terminal(bare, "init", "data")
    terminal.expect("A passphrase for the new repository: ")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "cas: interrupted" in terminal.seen
    assert sorted(path.name for path in bare.folder.iterdir()) == ["data", "events.log"]


def test_ctrl_c_in_the_middle_of_the_work_exits_130(cas: Cas) -> None:
    key = next(cas.home.rglob("host.key"))
    key.unlink()
    os.mkfifo(cas.folder / "gate")
    process = cas.process("snapshots", environment={"CAS_PASSWORD_COMMAND": "cat gate"})
    with (cas.folder / "gate").open("w"):  # opens once `cat` reads, so cas surely waits now
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)  # behind the gate: `cat`, which may outlive cas, holds stderr open
    assert process.returncode == 130
    assert err.decode().splitlines()[-2:] == [
        "cas: interrupted",
        "What was acknowledged is safe; there is nothing to clean up.",
    ]


def run_script(cas: Cas, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=cas.folder, env=cas.environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_interrupt_and_later_ones_do_not_disturb_the_cleaning_up(saved: Cas, number: int) -> None:
    script = f"""
import os
from cascli import main
from cascli.start import main as start
def invoke(arguments):
    try:
        os.kill(os.getpid(), {number})
    finally:
        os.kill(os.getpid(), {number})
        print("cleaned up")
main._invoke = invoke
start()
"""
    ran = run_script(saved, script)
    assert (ran.returncode, ran.stdout) == (130, "cleaned up\n")
    assert ran.stderr.startswith("cas: interrupted\n")


def test_a_signal_while_modules_are_imported_ends_it_without_a_traceback(saved: Cas) -> None:
    script = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "cascli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from cascli.start import main
main()
"""
    ran = run_script(saved, script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")


def test_what_nohup_ignores_stays_ignored(saved: Cas) -> None:
    script = """
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from cascli import main
from cascli.start import main as start
main._invoke = lambda arguments: os.kill(os.getpid(), signal.SIGHUP)
start()
"""
    assert run_script(saved, script).stderr == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_nobodys_loss(saved: Cas, closed: tuple[int, ...]) -> None:
    shell = " ".join(f"{number}>&-" for number in closed)
    for arguments, code in (("backup", 0), ("snapshots", 0), ("bakcup", 2)):
        command = f"exec {sys.executable} -c 'from cascli.start import main; main()' {arguments} {shell}"
        ran = subprocess.run(
            ["sh", "-c", command], cwd=saved.folder, env=saved.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_reader_that_leaves_ends_the_command_in_silence(saved: Cas) -> None:
    process = saved.process("ls", "--quiet")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 141


def test_heads_are_bold_on_a_terminal_unless_no_color(saved: Cas) -> None:
    plain = Terminal(saved, "snapshots", NO_COLOR="1")
    assert plain.end() == 0
    assert "\x1b" not in plain.seen
    bold = Terminal(saved, "snapshots")
    assert bold.end() == 0
    assert "\x1b[1mid" in bold.seen


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_backup_shows_a_display_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "SHOW_AFTER_S", 0)
    monkeypatch.setattr(display, "FRAME_S", 0)
    monkeypatch.setattr(sys, "stderr", FakeTerminal())
    monkeypatch.setenv("TERM", "xterm")
    with display.Display(Common(), "backup") as shown:
        shown(Stage("reading"))
        shown(Advanced(3, 1 << 20))
        shown(Problem(b"data/\x1bx", "cannot be read: [/bold]"))
        shown(Advanced(4, 2 << 20, 5, 4 << 20))
    told = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "error: data/\\x1bx: cannot be read: [/bold]" in told
    assert [problem.path for problem in shown.problems] == [b"data/\x1bx"]


def test_in_a_pipe_only_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "SHOW_AFTER_S", 0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with display.Display(Common(quiet=True), "backup") as shown:
        shown(Advanced(3, 1 << 20))
        shown(Notice(b"socket", "is a socket"))
        shown(Problem(b"file", "vanished"))
    assert sys.stderr.getvalue() == "error: file: vanished\n"  # type: ignore[attr-defined]


def test_with_json_status_and_errors_are_objects_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    monkeypatch.setattr(display, "STATUS_S", 0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with display.Display(Common(json=True), "backup") as shown:
        shown(Advanced(3, 5, 6, 10))
        shown(Problem(b"\xff", "vanished"))
    status, error = (json.loads(line) for line in sys.stderr.getvalue().splitlines())  # type: ignore[attr-defined]
    assert (status["message_type"], status["percent_done"], status["files_done"]) == ("status", 0.5, 3)
    assert (error["message_type"], error["error"]["message"], error["item_b64"]) == ("error", "vanished", "/w==")
