"""Folders with the application of shop.py, and the processes of it: all ended when a test is over."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recovery.servers import free_port

from casstore.processes import carrying
from casstore.recovery import running
from casstore.recovery.application import Application
from casstore.recovery.plan import App, Command, Health
from casstore.selection import Selection

SECOND = 10**9
RUN = (sys.executable, str(Path(__file__).with_name("shop.py")))


@dataclass(frozen=True)
class Plain:
    """An environment without a file."""

    names: Mapping[str, str]

    def values(self) -> Mapping[str, str]:
        return self.names

    def expand(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"${{{name}}}", value)
        return text

    def secrets(self) -> list[str]:
        return [self.names["TOKEN"]] if "TOKEN" in self.names else []


class Shop:
    """A folder with the application."""

    def __init__(self, folder: Path, name: str = "shop") -> None:
        self.folder = folder / name
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.users = self.folder / "data/users.json"
        self.users.write_text('["ann"]')
        self.log = folder / "logs/shop.log"
        self.port = free_port()
        self.values = {"PATH": os.environ["PATH"], "PORT": str(self.port), "TOKEN": "s3cret-token"}
        self.app = App(
            run=RUN,
            stop=Command((), 3 * SECOND),
            health=Health("http://127.0.0.1:${PORT}/health", json={"status": "OK"}, within_ns=10 * SECOND),
        )

    def application(self, *, env: Mapping[str, str] | None = None, **app: Any) -> Application:
        return Application(
            replace(self.app, **app), self.folder, Plain({**self.values, **(env or {})}), Selection((b"data",))
        )

    def start(self, **options: Any) -> Application:
        """Start it and wait until it can be seen."""
        application = self.application(**options)
        before = self.log.read_text().count("started") if self.log.exists() else 0
        running.start(application, log=self.log)
        wait_for(lambda: self.log.read_text().count("started") > before)
        return application

    def pids(self) -> list[int]:
        return [process.pid for process in carrying(f"{running.CARRIED}={os.path.realpath(self.folder)}")]

    def end(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def shop_in(folder: Path, name: str = "shop") -> Iterator[Shop]:
    shop = Shop(folder, name)
    try:
        yield shop
    finally:
        shop.end()


def wait_for(what: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
