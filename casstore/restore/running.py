"""Whether the application whose files would be replaced is running."""

from __future__ import annotations

import os
from collections.abc import Iterable

from casstore.errors import ApplicationRunning
from casstore.processes import Process, listening_below, open_for_writing
from casstore.restore.ground import Ground
from casstore.restore.journal import Step


def refuse_listening(target: Ground) -> None:
    """Refuse while a process that listens has its working folder in the target.

    Raises:
        ApplicationRunning: it names the first of them.
    """
    status = os.fstat(target.fd)
    for process in listening_below((status.st_dev, status.st_ino)):
        raise ApplicationRunning(f"{_named(process)} runs in {_where(target)} and listens for connections")


def refuse_writing(target: Ground, steps: Iterable[Step]) -> None:
    """Refuse while a process may write to a file that is to be replaced or deleted.

    Raises:
        ApplicationRunning: it names the process and the file.
    """
    written = open_for_writing()
    device = os.fstat(target.fd).st_dev
    if not any(device == file[0] for file in written):
        return
    for step in steps:
        process = written.get((device, step.old.inode)) if step.old is not None else None
        if process is not None:
            raise ApplicationRunning(f"{_named(process)} has {os.fsdecode(step.path)} open for writing")


def _named(process: Process) -> str:
    return f"process {process.pid} ({process.program})"


def _where(target: Ground) -> str:
    return os.readlink(f"/proc/self/fd/{target.fd}")
