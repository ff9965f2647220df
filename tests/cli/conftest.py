"""The real command on real files, in a home of its own; in this process, or as one where that matters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cascli import main

ENVIRONMENT = ("HOME", "PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass
class Ran:
    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cas:
    """Runs `cas` in a folder, with a home that nobody else has."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        self.environment = {key: value for key, value in os.environ.items() if key in ENVIRONMENT} | {
            "HOME": str(home),
            "TZ": "UTC",
            "COLUMNS": "120",
        }

    def __call__(self, *arguments: str, cwd: Path | None = None, stdin: str = "", **environment: str) -> Ran:
        streams = sys.stdin, sys.stdout, sys.stderr
        before, here = dict(os.environ), os.getcwd()
        out = io.TextIOWrapper(io.BytesIO(), "utf-8")
        err = io.TextIOWrapper(io.BytesIO(), "utf-8")
        os.environ.clear()
        os.environ.update(self.environment | environment)
        os.chdir(cwd or self.folder)
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(stdin), out, err
        try:
            code = main.run(arguments)
            out.flush(), err.flush()
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
        return Ran(code, out.buffer.getvalue(), err.buffer.getvalue().decode())  # type: ignore[attr-defined]

    def process(self, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process of its own."""
        return self.program("from cascli.start import main; main()", *arguments, **settings)

    def program(self, program: str, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process of a program that becomes the command."""
        environment = self.environment | settings.pop("environment", {})
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=settings.pop("cwd", self.folder), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **settings,
        )  # fmt: skip

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def snapshots(self) -> list[Any]:
        found: list[Any] = self("snapshots", "--json").json
        return found


@pytest.fixture
def bare(tmp_path: Path) -> Cas:
    """An application's folder without anything of ours."""
    folder, home = tmp_path / "shop", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    made = Cas(folder, home)
    made.write("data/users.json", '[{"id": 1}]')
    made.write("data/orders.json", "[]")
    made.write("events.log", "started\n")
    return made


@pytest.fixture
def cas(bare: Cas) -> Cas:
    """The same with a cas.toml and a repository."""
    ran = bare("init", "data/*.json", "events.log", "--key-file-only")
    assert ran.code == 0, ran.err
    return bare


@pytest.fixture
def saved(cas: Cas) -> Cas:
    """The same with two snapshots."""
    assert cas("backup").code == 0
    cas.write("data/users.json", '[{"id": 1}, {"id": 2}]')
    assert cas("backup", "--tag", "second").code == 0
    return cas


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Any]:
    """An application whose server is lost (`cli.lost`)."""
    from cli.lost import lost_in  # which needs this module

    with lost_in(tmp_path) as made:
        yield made
