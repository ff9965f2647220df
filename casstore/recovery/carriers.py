"""What was started here, and all that it started: ended, whoever its parent is by now.

Who asks says how it is known: by a mark in its environment, which its children inherit, or by where it stands.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from casstore.errors import CasError
from casstore.processes import Process

_STEP_S = 0.01


class NotEnded(CasError):
    """A process cannot be ended."""

    def __init__(self, process: Process) -> None:
        super().__init__(f"process {process.pid} cannot be ended")
        self.process = process


def end(find: Callable[[], Sequence[Process]], within_ns: int) -> int:
    """Kill all that is found, also what is started meanwhile; gives how many there were.

    Raises:
        NotEnded: one is still there after that time.
    """
    deadline = time.monotonic_ns() + within_ns
    killed = set()
    while found := find():
        if time.monotonic_ns() > deadline:
            raise NotEnded(found[0])
        killed |= {process.pid for process in found}
        _kill(found, find)
        time.sleep(_STEP_S)
    return len(killed)


def _kill(found: Sequence[Process], find: Callable[[], Sequence[Process]]) -> None:
    with ExitStack() as stack:
        handles = {}
        for process in found:
            with suppress(ProcessLookupError):
                handles[process.pid] = os.pidfd_open(process.pid)
                stack.callback(os.close, handles[process.pid])
        for process in find():  # looked at again: a number may have been given away meanwhile
            if process.pid in handles:
                with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    signal.pidfd_send_signal(handles[process.pid], signal.SIGKILL)
                    os.waitpid(process.pid, 0)  # if it is ours
