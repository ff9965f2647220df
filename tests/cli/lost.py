"""An application whose server is lost: its code in a bare git repository, its snapshots in `backups/`, one key file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cli.conftest import Cas, Ran
from recovery.servers import free_port

from casstore.processes import carrying
from casstore.recovery.running import CARRIED

APP = Path(__file__).parents[1] / "recovery/shop.py"
USERS = '["ann", "bob"]'
CHECK = "import json; print(len(json.load(open('data/users.json'))), 'users')\n"
HELD = """\
import os, subprocess, sys, time
from pathlib import Path
# Does what it is told and then, if the file HOLD is there, waits to be killed.
hold = Path(os.environ["HOLD"])
if sys.argv[1] == "clone":
    subprocess.run(["git", *sys.argv[1:]], check=True)
else:
    with open("dependencies", "a") as file:
        file.write("x")
if hold.exists() and hold.read_text() == sys.argv[1]:
    hold.with_name("reached").write_text(str(os.getpid()))
    time.sleep(1000)
"""
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def value(of: object) -> str:
    """Write a value as TOML does."""
    if isinstance(of, dict):
        return "{" + ", ".join(f"{key} = {value(item)}" for key, item in of.items()) + "}"
    if isinstance(of, (list, tuple)):
        return "[" + ", ".join(map(value, of)) + "]"
    return json.dumps(of)


class Lost:
    """`old` is the host that is lost; `new` a bare one, with the repository in the folder to recover into."""

    def __init__(self, tmp: Path) -> None:
        self.code, self.key, self.hold = tmp / "code.git", tmp / "key", tmp / "hold"
        self.port = free_port()
        self.env = {"PORT": str(self.port), "TOKEN": "s3cret-token", "WEBHOOK": "whsec_s3cret"}
        self.old, self.new = self._host(tmp / "old"), self._host(tmp / "new")
        for host in (self.old, self.new):
            host.environment["HOLD"] = str(self.hold)
        self.folder = self.new.folder
        self.app: dict[str, Any] = {
            "env-file": ".env.local", "env-required": ["TOKEN", "PORT"], "env-capture": True,
            "run": [sys.executable, "app.py"],
            "health": {
                "http": "http://127.0.0.1:${PORT}/health", "expect-json": {"status": "OK"}, "within": "10s",
            },
            "checks": [{"name": "users", "command": [sys.executable, "check.py"]}],
        }  # fmt: skip
        self.paths = ["data"]
        self.require: dict[str, str] = {"git": ">=2", "python3": "*"}
        self.steps: list[dict[str, Any]] = [
            {"name": "code", "run": ["git", "clone", "-q", str(self.code), "{folder}"]},
            {"name": "dependencies", "run": [sys.executable, "held.py", "dependencies"]},
            {"name": "data", "restore": "latest"},
            {"name": "start"},
        ]
        self.external: list[dict[str, Any]] = []
        self._make_code()

    @staticmethod
    def _host(place: Path) -> Cas:
        folder, home = place / "shop", place / "home"
        folder.mkdir(parents=True)
        home.mkdir()
        return Cas(folder, home)

    def _make_code(self) -> None:
        folder = self.old.folder
        shutil.copy(APP, folder / "app.py")
        for name, text in (("check.py", CHECK), ("held.py", HELD), (".gitignore", "backups/cas\ndata\n.env*\n")):
            self.old.write(name, text)
        self.old.write("backups/README", "snapshots lie here\n")
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
            subprocess.run([*GIT, *arguments], cwd=folder, check=True)
        subprocess.run([*GIT, "clone", "-q", "--bare", str(folder), str(self.code)], check=True)

    def commit(self, name: str, text: str) -> None:
        """Have a file come with the code."""
        folder = self.old.folder
        self.old.write(name, text)
        for arguments in (["add", name], ["commit", "-qm", name], ["push", "-q", str(self.code), "main"]):
            subprocess.run([*GIT, *arguments], cwd=folder, check=True)

    @property
    def toml(self) -> str:
        recover = {"require": self.require, "steps": self.steps}
        outside = "".join(f"[[external]]\n{self._keys(one)}" for one in self.external)
        head = f'name = "shop"\npaths = {value(self.paths)}\n'
        return f"{head}[app]\n{self._keys(self.app)}[recover]\n{self._keys(recover)}{outside}"

    @staticmethod
    def _keys(table: dict[str, Any]) -> str:
        return "".join(f"{key} = {value(item)}\n" for key, item in table.items())

    def save(self, users: str | None = USERS) -> None:
        """Take a snapshot on the old host, of these users."""
        self.old.write("cas.toml", self.toml)
        (self.old.folder / "cas.toml").chmod(0o644)
        if users is not None:
            self.old.write("data/users.json", users)
        self.old.write(".env.local", "".join(f"{name}={text}\n" for name, text in self.env.items()))
        if not (self.old.folder / "backups/cas").exists():
            assert self.old("init", "--key-file-only").code == 0
            assert self.old("key", "add", "--new-key-file", str(self.key)).code == 0
        ran = self.old("backup")
        assert ran.code in (0, 3, 4), ran.err

    def lose(self) -> None:
        """All that is left is the repository, in the folder of the new host."""
        (self.old.folder / "backups").rename(self.folder / "backups")
        (self.folder / "backups/README").unlink()
        shutil.rmtree(self.old.folder)

    def recover(self, *arguments: str, **environment: str) -> Ran:
        return self.new("recover", *self.words(*arguments), **environment)

    def words(self, *arguments: str) -> list[str]:
        repo = [] if "--resume" in arguments else ["-r", "backups/cas"]
        return [*repo, "--key-file", str(self.key), "--yes", *arguments]

    def process(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.new.process("recover", *self.words(*arguments))

    def course(self) -> dict[str, Any]:
        (file,) = (self.new.home / ".local/state/casstore/applications").glob("*/recovery")
        told: dict[str, Any] = json.loads(file.read_text())
        return told

    def pids(self) -> list[int]:
        return [process.pid for process in carrying(f"{CARRIED}={os.path.realpath(self.folder)}")]

    def end(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def lost_in(tmp: Path) -> Iterator[Lost]:
    made = Lost(tmp)
    try:
        yield made
    finally:
        made.end()


def users(lost: Lost) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{lost.port}/health", timeout=10) as answer:
        return json.load(answer)["users"]


def assert_back(lost: Lost) -> None:
    """Code, data, environment and a healthy application; nothing of the way there is left."""
    assert users(lost) == json.loads(USERS)
    assert len(lost.pids()) == 1
    for name in (".env.local", "cas.toml"):
        assert stat.S_IMODE((lost.folder / name).stat().st_mode) == 0o600
    names = {path.name for path in lost.folder.iterdir()}
    assert names >= {".git", "app.py", "backups", "cas.toml", "data", "recoveries"}
    assert not {name for name in names if name.startswith(".cas")}
    assert (lost.folder / "backups/README").exists()
    assert (lost.folder / "backups/cas/header").exists()
    assert not list((lost.new.home / ".local/state/casstore/applications").glob("*/recovery"))


def killed(lost: Lost, module: str, name: str, *arguments: str) -> None:
    """Recover, and be killed by SIGKILL where this would be called."""
    program = (
        f"import os, signal\nimport {module} as room\n"
        f"def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\nroom.{name} = die\n"
        "from cascli.start import main\nmain()\n"
    )
    with lost.new.program(program, "recover", *lost.words(*arguments)) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
