"""Before a snapshot the running application is asked to write what it holds in memory, and afterwards released.

Nothing that goes wrong here stops a snapshot: it is an outcome, with a sentence that says why. What counts is that the
application says it is done: a 2xx answer, a file that it touches, a program that ends with 0.

A hold, where the plan has a `release`, is never left to this process alone: a helper in a session of its own waits at a
pipe, which the kernel closes when this process is killed, and sends the release then.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

from casstore.errors import CasError
from casstore.processes import FileId, Process, began_s, catches, has_terminal, listening_below, standing_below
from casstore.recovery.environment import Environment
from casstore.recovery.plan import App, Ask
from casstore.snapshot import Asked, Flush, Outcome
from casstore.values import dataclass

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # signals that end this process, and must not end its helper
MOST_BODY = 4 << 10  # bytes of an answer that are read
MOST_TOUCHED = 4 << 10  # bytes of the file that answers a signal
POLL_S = 0.002  # between two looks at that file
SLACK_S = 2.0  # between the clocks of a process and of its pid file


@dataclass(frozen=True, slots=True)
class Said:
    """What came of asking, and why: a sentence."""

    outcome: Outcome
    reason: str

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to be done by who was asked."""
        return self.outcome in (Outcome.ACKNOWLEDGED, Outcome.NOT_RUNNING)


@dataclass(slots=True)
class Flushed:
    """What goes into the snapshot, and a sentence for who looks on."""

    flush: Flush
    reason: str
    unreleased: str = ""  # why the application was not told to go on; known at the end of `asked`


@contextmanager
def asked(
    app: App, folder: Path, environment: Environment, *, clock: Callable[[], int] = time.monotonic_ns
) -> Iterator[Flushed]:
    """Ask for `app.flush`, which there must be; with an `app.release` the application holds until the end of the block.

    `clock` tells ns from any beginning.
    """
    assert app.flush is not None
    began = clock()
    try:
        held = _hold(app, folder, environment)
    except OSError as error:  # without a helper nothing is held
        said = Said(Outcome.FAILED, f"the helper that would release it cannot be started: {error.strerror}")
        yield Flushed(Flush(way(app.flush), said.outcome, 0, app.flush.required), said.reason)
        return
    flushed = None
    try:
        with held as releaser:
            said = _unless_down(app, folder, environment, ask(app.flush, folder, environment))
            after_ms = (clock() - began) // 1_000_000
            flushed = Flushed(Flush(way(app.flush), said.outcome, after_ms, app.flush.required), said.reason)
            yield flushed
    finally:  # also if the block failed: that the application still holds is worth a word then too
        if flushed is not None and releaser is not None and not releaser.said.is_well:
            flushed.unreleased = releaser.said.reason


def _hold(app: App, folder: Path, environment: Environment) -> AbstractContextManager[Releaser | None]:
    return nullcontext() if app.release is None else Releaser(app.release, folder, environment)


def _unless_down(app: App, folder: Path, environment: Environment, said: Said) -> Said:
    """A program that fails says nothing of the application; its health, and what listens in its folder, may."""
    if said.outcome is Outcome.REFUSED and app.flush is not None and app.flush.command and app.health is not None:
        health = Ask(http=app.health.http, timeout_ns=app.flush.timeout_ns)
        if ask(health, folder, environment).outcome is Outcome.NOT_RUNNING:
            return Said(Outcome.NOT_RUNNING, said.reason)
    return said


class Releaser:
    """Releases the application when this block ends; a helper process does, if this process ends before."""

    def __init__(self, what: Ask, folder: Path, environment: Environment) -> None:
        """Start the helper.

        Raises:
            OSError: it cannot be started.
        """
        self.said = Said(Outcome.FAILED, "nobody was asked")
        self._what, self._folder, self._environment = what, folder, environment
        theirs, self._pipe = os.pipe()
        quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        try:
            self._pid = os.posix_spawn(
                sys.executable, [sys.executable, "-P", "-m", "casstore.recovery.releaser"], dict(environment.process),
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 0), *quiet], setsid=True, setsigmask=ENDS,
            )  # fmt: skip
            os.close(theirs)
            theirs = -1
            with suppress(BrokenPipeError):  # it ended at once; this process is still there
                _write(self._pipe, _instructions(what, folder, environment))
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            if theirs >= 0:
                os.close(theirs)

    def __enter__(self) -> Releaser:
        return self

    def __exit__(self, *_: object) -> None:
        """Send the release; only when it was heard is the helper not needed any more, else it tries once more."""
        try:
            self.said = ask(self._what, self._folder, self._environment)
            if self.said.is_well:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
        finally:
            os.close(self._pipe)
            with suppress(ChildProcessError):  # who ignores SIGCHLD has no child to wait for
                if os.waitpid(self._pid, 0)[1] == 0 and not self.said.is_well:
                    self.said = Said(Outcome.ACKNOWLEDGED, "it was heard the second time")


def _instructions(what: Ask, folder: Path, environment: Environment) -> bytes:
    import json

    told = {
        "ask": asdict(what),
        "folder": str(folder),
        "file": dict(environment.file),
        "process": dict(environment.process),
        "required": environment.required,
    }
    return json.dumps(told).encode() + b"\n"


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def way(ask: Ask) -> Asked:
    """Give how it is asked."""
    return Asked.HTTP if ask.http else Asked.SIGNAL if ask.signal else Asked.COMMAND


def ask(what: Ask, folder: Path, environment: Environment) -> Said:
    """Ask the application in the one way that is said, and wait for its acknowledgement."""
    by = {Asked.HTTP: _by_http, Asked.SIGNAL: _by_signal, Asked.COMMAND: _by_command}[way(what)]
    try:
        return by(what, folder, environment)
    except CasError as error:
        return Said(Outcome.FAILED, str(error))
    except OSError as error:
        return Said(Outcome.FAILED, f"the application's folder cannot be looked into: {error.strerror}")


def _by_http(what: Ask, folder: Path, environment: Environment) -> Said:
    from casstore.recovery import web

    token = environment.get(what.token_env) if what.token_env else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = web.ask(
            environment.expand(what.http), headers=headers, timeout_ns=what.timeout_ns, most_bytes=MOST_BODY
        )
    except web.ConnectionRefused as error:
        return _refused(folder, error)
    except web.TimedOut as error:
        return Said(Outcome.TIMED_OUT, str(error))
    if 200 <= answer.status < 300:
        return Said(Outcome.ACKNOWLEDGED, f"it answered {answer.status}")
    lacking = f", and {what.token_env} has no value" if what.token_env and not token else ""
    return Said(Outcome.REFUSED, f"it answered {answer.status}{lacking}")


def _refused(folder: Path, error: CasError) -> Said:
    """Nothing listens there: the application is down, or listens elsewhere, which is worth a word."""
    return _unless_it_listens(folder, str(error), "listens elsewhere: is the address right?")


def _by_signal(what: Ask, folder: Path, environment: Environment) -> Said:
    number = signal.Signals[what.signal]
    found = _named(folder, environment.expand(what.pid_file)) if what.pid_file else _only_one(folder, number)
    if isinstance(found, Said):
        return found
    pid = found
    if not catches(pid, number):
        return Said(Outcome.REFUSED, f"process {pid} does not handle {what.signal}, so it was not sent")
    answer = folder / environment.expand(what.answer)
    before, deadline = _touched(answer), time.monotonic_ns() + what.timeout_ns
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return Said(Outcome.NOT_RUNNING, "there is no such process")
    except PermissionError:
        return Said(Outcome.FAILED, f"process {pid} is another user's and may not be sent {what.signal}")
    while _touched(answer) == before:
        if began_s(pid) is None:
            return Said(Outcome.FAILED, f"process {pid} ended and did not touch {what.answer}")
        if time.monotonic_ns() >= deadline:
            return Said(Outcome.TIMED_OUT, f"process {pid} did not touch {what.answer} in time")
        time.sleep(POLL_S)
    return Said(Outcome.ACKNOWLEDGED, f"it touched {what.answer}")


def _only_one(folder: Path, number: signal.Signals) -> int | Said:
    """Find the application by its listening socket."""
    pids = {process.pid for process in _listeners(folder)}
    if len(pids) == 1:
        return pids.pop()
    if pids:
        many = f"{len(pids)} processes listen in its folder"
        return Said(Outcome.FAILED, f"{many}, and no `pid-file` says which is meant")
    for process in standing_below(_identity(folder)):
        # A worker that serves nobody? Somebody's shell or editor is none, nor is a `cas watch` of the folder.
        if catches(process.pid, number) and not has_terminal(process.pid) and not _is_cas(process):
            may_be = f"{_called(process)} handles {number.name} and may be meant: name its `pid-file`"
            return Said(Outcome.FAILED, f"no process listens in its folder, but {may_be}")
    return Said(Outcome.NOT_RUNNING, "there is no such process")


def _is_cas(process: Process) -> bool:
    return "cas" in (Path(word).name for word in process.command.split(" ")[:2])


def _named(folder: Path, name: str) -> int | Said:
    """Find the process that a pid file names.

    Raises:
        CasError: the file cannot be read, or holds no number of a process.
    """
    try:
        with (folder / name).open("rb") as file:
            text, written_s = file.read(32).strip(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return _unless_it_listens(folder, f"there is no {name}")
    except OSError as error:
        raise CasError(f"{name} cannot be read: {os.strerror(error.errno or 0).lower()}") from None
    if not text.isdigit() or not 1 < int(text) < 1 << 31:
        raise CasError(f"{name} holds no number of a process")
    pid, began = int(text), began_s(int(text))
    if began is None:
        return _unless_it_listens(folder, f"there is no process {pid}, which {name} names")
    # One that began later is another one by now; or the clock was set meanwhile, and it is the one that listens.
    if began > written_s + SLACK_S and pid not in {process.pid for process in _listeners(folder)}:
        return _unless_it_listens(folder, f"process {pid} began after {name} was written: it is another one")
    return pid


def _unless_it_listens(folder: Path, reason: str, words: str = "listens: is `pid-file` right?") -> Said:
    """It does not run, unless it is seen to."""
    listeners = _listeners(folder)
    if not listeners:
        return Said(Outcome.NOT_RUNNING, reason)
    return Said(Outcome.FAILED, f"{reason}, but {_called(listeners[0])} {words}")


def _touched(path: Path) -> tuple[int, int, int, bytes] | None:
    """Give all by which a touched or rewritten file shows."""
    with suppress(OSError), path.open("rb") as file:
        status = os.fstat(file.fileno())
        return status.st_ino, status.st_mtime_ns, status.st_size, file.read(MOST_TOUCHED)
    return None


def _by_command(what: Ask, folder: Path, environment: Environment) -> Said:
    from casstore.recovery import commands

    ran = commands.run(
        [environment.expand(argument) for argument in what.command], folder=folder, env=environment.values(),
        timeout_ns=what.timeout_ns, hide=environment.secrets(),
    )  # fmt: skip
    if ran.ok:
        return Said(Outcome.ACKNOWLEDGED, f"`{what.command[0]}` ended well")
    outcome = Outcome.TIMED_OUT if ran.timed_out else Outcome.REFUSED
    return Said(outcome, f"`{what.command[0]}` {ran.why}")


def _listeners(folder: Path) -> list[Process]:
    return listening_below(_identity(folder))


def _identity(folder: Path) -> FileId:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _called(process: Process) -> str:
    return f"process {process.pid} of its folder"
