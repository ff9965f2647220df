"""What a drill starts is gone with it, however it hides; what cannot be known to be the drill's is named, and lives."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from cli.conftest import Cas
from cli.test_drill import Shop, listens
from recovery.shops import wait_for

from casstore.processes import listening_on, started_by

HIDES = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    os.chdir(sys.argv[1])  # execve has the environment of what comes
    os.execve(sys.executable, [sys.executable, "-c", sys.argv[2]], {"PORT": os.environ["PORT"]})
open("foreground.pid", "w").write(str(os.getpid()))
signal.pause()
"""
ANSWERS = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "OK"}')
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def shop(cas: Cas) -> Iterator[Shop]:
    made = Shop(cas)
    cas.write("hides.py", HIDES)
    yield made
    for pid in holders(made.drill_port):
        os.kill(pid, signal.SIGKILL)
    made.close()


def holders(port: int) -> list[int]:
    """Give the processes that this test started and that listen on a port."""
    return [process.pid for process in listening_on(port) if process is not None]


def run(*words: str) -> str:
    return json.dumps([*words])


def step(shop: Shop, name: str) -> str:
    return next(str(one["words"]) for one in shop.report["steps"] if one["name"] == name)


@pytest.mark.parametrize("stands", [".", "/"])
def test_a_server_in_a_session_and_an_environment_of_its_own_is_ended_and_the_port_is_free(
    shop: Shop, stands: str
) -> None:
    shop.plan(run=run(sys.executable, "hides.py", stands, ANSWERS))
    for _ in range(2):
        ran = shop.drill()
        assert ran.code == 0, (ran.err, shop.failed())
        assert not listens(shop.drill_port)
        assert step(shop, "end") == f"2 processes ended; port {shop.drill_port} is free"
        assert shop.report["notes"] == []


def test_what_runs_without_the_environment_of_the_drill_is_ended_by_the_next_after_a_kill(shop: Shop) -> None:
    shop.plan(run=run("env", "-i", f"PORT={shop.drill_port}", "LATE=30", sys.executable, "server.py"), within="60s")
    with shop.cas.process("drill") as process:
        assert process.stderr is not None
        wait_for(lambda: standing(shop))
        process.kill()
        process.communicate()
    assert len(standing(shop)) == 1
    shop.plan()
    ran = shop.drill()
    assert ran.code == 0, ran.err
    assert shop.report["notes"][0].endswith("removed its folder and ended 1 process of it")
    assert standing(shop) == []


def test_a_leftover_whose_folder_is_deleted_is_ended_by_the_next(shop: Shop) -> None:
    assert shop.drill().code == 0
    (place,) = shop.cas.home.glob(".cache/casstore/*/drill/*")
    (place / "scratch").mkdir()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "import os, sys, signal; os.setsid(); os.chdir(sys.argv[1]); signal.pause()",
         str(place / "scratch")], {},
    )  # fmt: skip
    try:
        wait_for(lambda: standing(shop))
        (place / "scratch").rmdir()
        assert shop.drill().code == 0
        assert shop.report["notes"] == ["an earlier drill did not come to its end: ended 1 process of it"]
        with pytest.raises(ChildProcessError):  # waited for, as a child of this process
            os.waitpid(child, 0)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_who_is_not_known_to_be_of_the_drill_any_more_lives_and_the_drill_says_that_the_port_is_held(
    shop: Shop,
) -> None:
    check = ["sh", "-c", "kill -9 $(cat foreground.pid); exit 1"]
    shop.plan(
        app=f'checks = [ {{ name = "dies", command = {json.dumps(check)} }} ]',
        run=run(sys.executable, "hides.py", "/", ANSWERS),
    )
    assert shop.drill().code == 8
    (holder,) = holders(shop.drill_port)
    assert list(shop.failed()) == ["check dies", "end"]
    assert shop.failed()["end"].startswith(f"port {shop.drill_port} is held by process {holder}, though all")


def test_an_orphan_of_a_number_that_was_given_away_is_nobody_of_ours() -> None:
    assert started_by(os.getppid()) == []
    assert started_by(1) == []
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    assert [process.pid for process in started_by(child)] == [child]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert started_by(child) == []


def standing(shop: Shop) -> list[int]:
    """Give what stands in the place of this test's drills."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd").startswith(f"{shop.cas.home}/.cache/"):
                found.append(int(pid))
    return found
