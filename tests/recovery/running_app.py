"""Starts the application of the tests, and knows what it was asked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(__file__).with_name("flushing_app.py")
PATIENCE_S = 20  # until a test that would hang fails


class RunningApp:
    """The application in its folder; `port` is where it listens."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def asked(self) -> list[str]:
        """What it was asked by HTTP, in order."""
        file = self.folder / "asked.txt"
        return file.read_text().split() if file.exists() else []

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def wait_for(true: Callable[[], bool]) -> None:
    """Look until it is true; a test that would wait for ever fails."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
