"""Programs that are run for an application: an argument list, a folder, an environment, and an end in time.

There is no shell. A program gets a session of its own, so that a Ctrl-C meant for `cas` is not its own, and what
runs over its time is killed with all that it started there. It reads nothing; its output is read on until it ends,
however much it is, and the end of it is kept. What a program left running in the background is not waited for.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from casstore.errors import CasError
from casstore.recovery import masking
from casstore.values import dataclass

MOST_OUTPUT = 64 << 10  # bytes of the output that are kept: its end, where the reason stands
MOST_LINE = 300  # characters
_WINDOW = 64 << 10  # bytes read at once


class CommandNotFound(CasError):
    """A program cannot be started: there is none of that name, or it is none."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. `code` is negative if a signal ended it; `output` is both streams, secrets masked."""

    code: int
    output: str
    duration_ns: int
    timed_out: bool

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.code == 0 and not self.timed_out

    @property
    def how(self) -> str:
        """Say how it ended, as the end of a sentence."""
        if self.timed_out:
            return f"did not end within {self.duration_ns / 1e9:.2f} s"
        return f"ended with code {self.code}"

    @property
    def why(self) -> str:
        """Say how it ended and the last two lines that it said, where the reason stands, as the end of a sentence."""
        said = " / ".join(self._lines()[-2:])
        return f"{self.how}: {said}" if said else self.how

    @property
    def last_line(self) -> str:
        """Give the last line that it said; "" if it said nothing."""
        return next(reversed(self._lines()), "")

    def _lines(self) -> list[str]:
        return [line.strip()[:MOST_LINE] for line in self.output.splitlines() if line.strip()]


def run(
    arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_ns: int, hide: Iterable[str] = ()
) -> Ran:
    """Run a program to its end, or to the end of its time; `hide` are the values that its output must not show.

    `env` is all of its environment, and its PATH is where the program is looked for. Names in `arguments` that are
    relative are so to `folder`.

    Raises:
        CommandNotFound: there is no such program or folder, or it cannot be executed.
    """
    hidden = tuple(hide)
    begun = time.monotonic_ns()
    process = launch(arguments, folder=folder, env=env, output=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        kept = _Tail(MOST_OUTPUT + masking.margin(hidden))
        try:
            timed_out = not _follow(process, output, kept, begun + timeout_ns)
        except BaseException:
            kill(process)
            raise
        if timed_out:
            kill(process)
        kept.drain(output)
    words = masking.tail(bytes(kept.data), MOST_OUTPUT, hidden)
    return Ran(process.wait(), words, time.monotonic_ns() - begun, timed_out)


def launch(
    arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], output: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its two streams to `output`, and give it.

    Raises:
        CommandNotFound: as `run`.
    """
    try:
        return subprocess.Popen(
            list(arguments), cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise CommandNotFound(_reason(arguments, folder, error)) from error


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started in its session, at once; what runs as another (sudo) is left to end."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        process.returncode = -signal.SIGKILL  # nobody waits for it
        return
    process.wait()


def _follow(process: subprocess.Popen[bytes], output: IO[bytes], kept: _Tail, deadline_ns: int) -> bool:
    """Read until the program ends; whether it did before the deadline (of the monotonic clock)."""
    ended = os.pidfd_open(process.pid)
    try:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        waiting.register(output, select.POLLIN)
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            ready = {fd for fd, _ in waiting.poll(left_ns / 1e6)}
            if output.fileno() in ready and not kept.take(output):
                waiting.unregister(output)
            if ended in ready:
                return True
        return False
    finally:
        os.close(ended)


class _Tail:
    """The last bytes of an output, in bounded memory."""

    def __init__(self, most_bytes: int) -> None:
        self.data = bytearray()
        self._most = most_bytes

    def take(self, output: IO[bytes]) -> bool:
        """Take what can be read now, waiting if that is nothing; False at its end."""
        read = os.read(output.fileno(), _WINDOW)
        self.data += read
        del self.data[: -self._most]
        return bool(read)

    def drain(self, output: IO[bytes]) -> None:
        """Take what is left in the pipe; who else may still write to it is not waited for."""
        os.set_blocking(output.fileno(), False)
        with suppress(BlockingIOError):
            for _ in range(1 + (1 << 20) // _WINDOW):  # a pipe holds no more; somebody may write on for ever
                if not self.take(output):
                    return


def _reason(arguments: Sequence[str], folder: Path, error: Exception) -> str:
    if not folder.is_dir():
        return f"{folder} is no folder to run {arguments[0]} in"
    if isinstance(error, FileNotFoundError):
        return f"there is no program {arguments[0]}"  # or no interpreter of a script
    if isinstance(error, ValueError):
        return f"{arguments[0]} cannot be started: an argument or a value of its environment holds a NUL"
    return f"{arguments[0]} cannot be started: {(getattr(error, 'strerror', None) or str(error)).lower()}"
