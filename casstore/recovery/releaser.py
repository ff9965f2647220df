"""The helper that tells a held application to go on if the process that had it hold is gone.

It is told what to send through a pipe, not by its arguments, which others may see, and waits until the other end of the
pipe is closed. It lives in a session of its own, and was born with those signals blocked that end the other process:
they have the release sent, not lost. Where all goes well it is killed before, and sends nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from casstore.recovery import flush
from casstore.recovery.environment import Environment
from casstore.recovery.plan import Ask


def main() -> int:
    """Be the helper; gives 0 if the release was heard."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # it was never told all, so nothing was asked to hold
        return 1
    told = json.loads(line)
    sys.stdin.buffer.read()  # until the other end is closed
    what = Ask(**told["ask"] | {"command": tuple(told["ask"]["command"])})
    environment = Environment(told["file"], told["process"], tuple(told["required"]))
    return 0 if flush.ask(what, Path(told["folder"]), environment).is_well else 1


if __name__ == "__main__":
    sys.exit(main())
