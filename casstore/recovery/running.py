"""The running application: whether it runs, stopped and proven down, started to outlive us, well again.

It *runs* if one of these is seen, whatever its health says:
- a process listens with its working folder in the application's folder or below;
- a process has a file of the set open for writing;
- a process was started by us for this folder (it carries `CAS_APPLICATION` in its environment), listening or not;
- something is at the address of its health: any answer, or a connection that nobody answers (it hangs).
What belongs to other users is only seen by root (casstore.processes).

Nothing here kills the application: it is asked to stop, and what does not is named. Each function gives words for a
report, or raises an error whose text says why not. Durations come from the monotonic clock.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import urlsplit

from casstore.errors import ApplicationRunning, CasError, UsageError
from casstore.processes import Process, carrying, listening_below, listening_on, open_for_writing
from casstore.recovery import commands, health, masking
from casstore.recovery.application import Application
from casstore.recovery.plan import Check, Command
from casstore.recovery.report import Report
from casstore.source import Source
from casstore.values import dataclass

CARRIED = "CAS_APPLICATION"  # in the environment of what we start: the folder that it was started for
MOST_NAMED = 200  # characters of a command line that are shown
LAST_OUTPUT = 2 << 10  # bytes of a log that an error shows
MOST_LOG = 10 << 20  # bytes of a log that a start goes on with; a larger one becomes the one before, `log.1`

_SECOND_NS = 10**9
_LOOK_NS = _SECOND_NS  # for one look whether something is there at all
_GRACE_NS = 3 * _SECOND_NS  # until it is down after a command that failed to stop it: it may have asked all the same
_SHORTEST_NS = _SECOND_NS // 10  # for a look at a health page before the time is over
_SETTLE_NS = _SECOND_NS  # without a health page: what lived so long was not dead on arrival
_STEP_S = 0.02
_LONGEST_STEP_S = 0.5
_THIS_HOST = ("localhost", "127.0.0.1", "::1")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What shows that an application runs; `answers`: something is at its health's address."""

    processes: tuple[Process, ...]
    answers: bool

    def __bool__(self) -> bool:
        return bool(self.processes) or self.answers


@dataclass(frozen=True, slots=True)
class Started:
    """A start. `pid`: the foreground process, None where a service was asked. Its words are in `log` from `offset`."""

    log: Path
    offset: int
    pid: int | None = None


class StillRunning(ApplicationRunning):
    """The application was asked to stop, and runs."""

    hint = (
        "Nothing was killed. If something starts it again, name the command that stops it for good as `stop` in [app]; "
        "if it hangs, end it yourself. Then run this again, or `cas restore --resume` to have it up as it was."
    )


class NotStarted(CasError):
    """The application did not come up. `output` is the end of what it said."""

    exit_code = 6

    def __init__(self, message: str, *, hint: str | None = None, output: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


class Unhealthy(NotStarted):
    """The application runs, but is not well."""


# ── is it running ──


def seen(application: Application, *, timeout_ns: int = _LOOK_NS) -> Seen:
    """Look whether the application runs; see the head of this module."""
    return Seen(tuple(_processes(application)), health.answers(application, timeout_ns))


def _processes(application: Application) -> list[Process]:
    found = {process.pid: process for process in carrying(_carried(application.folder))}
    with suppress(FileNotFoundError):
        status = application.folder.stat()
        below = listening_below((status.st_dev, status.st_ino))
        found |= {process.pid: process for process in (*below, *_writing(application))}
    return sorted(found.values(), key=lambda process: process.pid)


def _writing(application: Application) -> list[Process]:
    written = open_for_writing()
    device = application.folder.stat().st_dev
    if not any(file[0] == device for file in written):
        return []
    source = Source(os.fsencode(application.folder), application.selection, never=application.never)
    stats = (status for listing in source.walk() for status in listing.stats)
    return [written[file] for status in stats if (file := (status.st_dev, status.st_ino)) in written]


def _carried(folder: Path) -> str:
    return f"{CARRIED}={os.path.realpath(folder)}"


# ── stop ──


def stop(application: Application) -> str:
    """Ask the application to stop, and wait until nothing of it is seen any more.

    Raises:
        StillRunning: it runs after the time that it has; names what is seen.
    """
    command = application.app.stop or Command((), 30 * _SECOND_NS)
    begun = time.monotonic_ns()
    deadline = begun + command.timeout_ns
    before = seen(application)
    said = _ask_to_stop(application, command, before.processes)
    if said:
        deadline = min(deadline, time.monotonic_ns() + _GRACE_NS)
    now = before

    def is_down() -> bool | None:
        nonlocal now
        now = seen(application)
        return None if now else True

    if not _until(is_down, deadline):
        raise StillRunning(
            f"{named(now, application)} still runs {_seconds(time.monotonic_ns() - begun)} after it was asked to "
            f"stop{said}"
        )
    return (f"down after {_seconds(time.monotonic_ns() - begun)}" if before else "was not running") + said


def _ask_to_stop(application: Application, command: Command, processes: Iterable[Process]) -> str:
    """Ask, and give the end of a sentence if that went wrong: what counts is whether it is down."""
    if command.command:
        ran = application.run(command)
        return "" if ran.ok else f"; `{command.command[0]}` {ran.why}"
    _terminate(application, processes)
    return ""


def _terminate(application: Application, processes: Iterable[Process]) -> None:
    """Send SIGTERM to these processes and no others, should a number have been given away meanwhile."""
    with ExitStack() as handles:
        held = {}
        for process in processes:
            with suppress(ProcessLookupError):
                held[process] = os.pidfd_open(process.pid)
                handles.callback(os.close, held[process])
        for process in _processes(application):  # looked at again: who is still there is who it was
            if process in held:
                with suppress(ProcessLookupError, PermissionError):  # then it is seen to run, and named
                    signal.pidfd_send_signal(held[process], signal.SIGTERM)


def named(found: Seen, application: Application) -> str:
    """Name what is seen of an application, without secrets."""
    if found.processes:
        process = found.processes[0]
        more = f" and {len(found.processes) - 1} more" if len(found.processes) > 1 else ""
        return f"{_named(process, application)}{more}"
    return f"{_holder(application)} at the address of the application's health"


def _named(process: Process, application: Application) -> str:
    return f"process {process.pid} ({application.masked(process.command)[:MOST_NAMED]})"


def _holder(application: Application) -> str:
    """Name who has the port of the application's health; it stands elsewhere, or it would have been seen."""
    health = application.app.health
    address = urlsplit(application.environment.expand(health.http).rpartition(" ")[2] if health is not None else "")
    if address.hostname not in _THIS_HOST:
        return "something"
    port = address.port or (443 if address.scheme == "https" else 80)
    held = (_named(process, application) for process in listening_on(port) if process is not None)
    return next(held, "a process that this user cannot see")


# ── start ──


def start(application: Application, *, log: Path) -> Started:
    """Start the application, its output appended to `log` (0600): `start`, which must return, or else `run`, which not.

    What is started outlives this process, in a session of its own.

    Raises:
        UsageError: nothing says how. NotStarted: the port is taken, the log cannot be written, or the command failed
        or did not return.
    """
    app = application.app
    command = app.start or Command(app.run)
    if not command.command:
        raise UsageError("nothing says how the application is started", hint="Add `run` to [app] in cas.toml.")
    if health.answers(application, _LOOK_NS):
        raise NotStarted(
            "something is at the address of the application's health already, before it was started",
            hint="Another process has the port: `ss -ltnp` shows which.",
        )
    with _opened(log) as output:
        offset = output.tell()
        pid = _launch(application, command, output)
    started = Started(log, offset, pid)
    if app.start is not None:
        _await_return(application, command, started)
        return Started(log, offset)
    return started


def _launch(application: Application, command: Command, output: IO[bytes]) -> int:
    name, _, value = _carried(application.folder).partition("=")
    process = commands.launch(
        application.expanded(command), folder=application.folder,
        env={**application.environment.values(), name: value}, output=output,
    )  # fmt: skip
    process.returncode = 0  # it outlives us: `_end_of` asks for its end, and nobody waits for it
    return process.pid


def _await_return(application: Application, command: Command, started: Started) -> None:
    deadline = time.monotonic_ns() + command.timeout_ns
    code = _until(lambda: _end_of(started.pid), deadline)
    if code == 0:
        return
    if code is None:
        raise _failed(
            application, started, f"`{command.command[0]}` did not return within {_seconds(command.timeout_ns)}",
            hint="A command that stays belongs into `run` of [app]; `start` is one that returns.",
        )  # fmt: skip
    raise _failed(application, started, f"`{command.command[0]}` failed with code {code}")


def _opened(log: Path) -> IO[bytes]:
    """Open a log at its end, for its owner only; one that is too large is kept beside it, in the place of an older one.

    Raises:
        NotStarted: it cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if log.is_file() and log.stat().st_size > MOST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotStarted(
            f"the log of the application cannot be written: {os.strerror(error.errno or 0).lower()}",
            hint=f"See to {error.filename or log}: what the application says is written there, and it was not started.",
        ) from None
    os.lseek(fd, 0, os.SEEK_END)
    return os.fdopen(fd, "ab", buffering=0)


def _end_of(pid: int | None) -> int | None:
    """Give the exit code of a process of ours that ended (negative: the signal); None while it runs."""
    if pid is None:
        return None
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None  # not our child: whether it runs is seen
    return os.waitstatus_to_exitcode(status) if ended else None


def _failed(application: Application, started: Started, what: str, *, hint: str = "") -> NotStarted:
    output = last_output(application, started)
    where = f"Its output is in {started.log}."
    return NotStarted(what, hint="\n".join(filter(None, (output, hint, where))), output=output)


def last_output(application: Application, started: Started) -> str:
    """Give the end of what the application said since it was started, without secrets."""
    hide = tuple(application.environment.secrets())
    with started.log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(started.offset, end - LAST_OUTPUT - masking.margin(hide)))
        return masking.tail(file.read(LAST_OUTPUT + masking.margin(hide)), LAST_OUTPUT, hide).strip()


# ── health and checks ──


def wait_healthy(application: Application, started: Started | None = None) -> str:
    """Wait until the health page says that all is well; without one, until what was started lived for a second.

    Raises:
        NotStarted: what was started ended. Unhealthy: the time is over; the last answer is the reason.
    """
    wanted = application.app.health
    begun = time.monotonic_ns()
    within_ns = wanted.within_ns if wanted is not None else _SETTLE_NS
    reason = ""

    def look() -> bool | None:
        nonlocal reason
        if started is not None and (code := _end_of(started.pid)) is not None:
            raise _failed(application, started, f"the application ended, with code {code}")
        if wanted is None:
            return None
        left_ns = begun + within_ns - time.monotonic_ns()
        if reason and left_ns < _SHORTEST_NS:
            return None  # an answer cut off by the end of the time would say less than the one before
        reason = health.complaint(application, wanted, max(left_ns, _SHORTEST_NS))
        return True if not reason else None

    well = _until(look, begun + within_ns)
    took = _seconds(time.monotonic_ns() - begun)
    if wanted is None:
        if not seen(application):
            raise Unhealthy("nothing of the application is seen to run", hint="Name its `health` page in [app].")
        return "runs; no health page says more"
    if not well:
        raise Unhealthy(f"the application is not healthy after {took}: {reason}")
    return f"healthy after {took}"


def run_check(application: Application, check: Check) -> str:
    """Run one check.

    Raises:
        Unhealthy: it did not end with 0 in time.
    """
    ran = application.run(check)
    if not ran.ok:
        raise Unhealthy(f"the check {check.name} {ran.how}", output=ran.output[-LAST_OUTPUT:].strip())
    return ran.last_line


def run_checks(application: Application, report: Report) -> bool:
    """Run all checks, also after one that failed; whether all held."""
    held = True
    for check in application.app.checks:
        try:
            with report.step(f"check {check.name}") as say:
                say(run_check(application, check))
        except CasError:
            held = False
    return held


def bring_up(application: Application, report: Report, *, log: Path) -> bool:
    """Start the application unless it runs, wait for its health, run the checks; whether all of it went well."""
    try:
        started = None
        with report.step("start") as say:
            if seen(application).processes:
                say("runs already")
            else:
                started = start(application, log=log)
                say(f"its output is in {log}")
        with report.step("health") as say:
            say(wait_healthy(application, started))
    except CasError:
        return False
    return run_checks(application, report)


# ── small things ──


def _until(look: Callable[[], T | None], deadline_ns: int) -> T | None:
    """Look again and again until there is something other than None, or the time is over."""
    step = _STEP_S
    while True:
        begun = time.monotonic_ns()
        found = look()
        left_ns = deadline_ns - time.monotonic_ns()
        if found is not None or left_ns <= 0:
            return found
        took = (time.monotonic_ns() - begun) / 1e9
        time.sleep(min(max(step, took), left_ns / 1e9))  # looking costs no more than half the time
        step = min(step * 1.5, _LONGEST_STEP_S)


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.2f} s"
