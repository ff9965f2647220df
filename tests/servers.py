"""Runs the example application's server, either of the two, as a process of its own, and asks it over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "massaflow"
LOG = "engagement_events.log"
NODE = shutil.which("node")
COMMANDS = {
    "node": [NODE or "node", str(EXAMPLE / "server.mjs")],
    "python": [sys.executable, str(EXAMPLE / "app.py"), "serve"],
}
KINDS = [pytest.param("node", marks=pytest.mark.skipif(NODE is None, reason="Node is not installed")), "python"]


def seed(folder: Path) -> Path:
    subprocess.run([sys.executable, EXAMPLE / "app.py", "--folder", folder, "seed"], check=True)
    return folder


def env_of(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / ".env.local").read_text().splitlines() if "=" in line)


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / f"data/dynamic/{name}.json").read_bytes())
    return records


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_bytes().splitlines()]


def until(met: Callable[[], Any], seconds: float = 20) -> None:
    """Poll; AssertionError if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Server:
    """Started, and answering, when it is made; killed on leaving."""

    def __init__(self, kind: str, folder: Path, **env: str) -> None:
        self.folder, self.token = folder, env_of(folder).get("CAS_FLUSH_TOKEN")
        self.process = subprocess.Popen(
            COMMANDS[kind], cwd=folder, env={**os.environ, "PORT": "0"} | env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate()[1]

    def send(self, method: str, target: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        """Status and body of the answer; a body of bytes is sent as it is."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.url + target, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def post(self, target: str) -> tuple[int, Any]:
        """As `cas` does, with the token."""
        return self.send("POST", target, token=self.token)

    def stop(self) -> int:
        """By SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
