"""The helper that tells a held application to go on, whatever becomes of the process that had it hold.

It is told what to send through a pipe, not by its arguments, which others may see. Then it waits until the other end
of the pipe is closed, sends the release, and says what came of it, if somebody is left to hear. It lives in a session
of its own, and was born with those signals blocked that end the other process: they have the release sent, not lost.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import casstore.recovery.web  # noqa: F401 - so that it is at hand when it is needed
from casstore.recovery import flush
from casstore.recovery.environment import Environment
from casstore.recovery.plan import Ask


def main() -> None:
    """Be the helper."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # it was never told all, so nothing was asked to hold
        return
    told = json.loads(line)
    sys.stdin.buffer.read()  # until the other end is closed
    what = Ask(**told["ask"] | {"command": tuple(told["ask"]["command"])})
    environment = Environment(told["file"], told["process"], tuple(told["required"]))
    said = flush.ask(what, Path(told["folder"]), environment)
    with suppress(OSError):
        os.write(1, json.dumps([int(said.outcome), said.reason]).encode())


if __name__ == "__main__":
    main()
