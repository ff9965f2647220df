"""What was started with a mark in its environment, and all that it started: ended, whoever its parent is by now."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from casstore.errors import CasError
from casstore.processes import Process, carrying

_STEP_S = 0.01


class NotEnded(CasError):
    """A process cannot be ended."""

    def __init__(self, process: Process) -> None:
        super().__init__(f"process {process.pid} cannot be ended")
        self.process = process


def end(variable: str, within_ns: int) -> int:
    """Kill all that carries `NAME=value`, also what is started meanwhile; gives how many there were.

    Raises:
        NotEnded: one is still there after that time.
    """
    deadline = time.monotonic_ns() + within_ns
    killed = set()
    while found := carrying(variable):
        if time.monotonic_ns() > deadline:
            raise NotEnded(found[0])
        for process in found:
            killed.add(process.pid)
            with suppress(ProcessLookupError, PermissionError):
                _kill(process.pid, variable)
        time.sleep(_STEP_S)
    return len(killed)


def _kill(pid: int, variable: str) -> None:
    handle = os.pidfd_open(pid)
    try:  # looked at again: the number may have been given away meanwhile
        if any(process.pid == pid for process in carrying(variable)):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)  # if it is ours
    finally:
        os.close(handle)
