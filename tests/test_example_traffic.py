"""The example's customers: what they say was acknowledged is compared, record by record, with what the files hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from servers import EXAMPLE, KINDS, LOG, Server, env_of, seed, table, until

EVENTS_AT_FIRST = 22_000
TRAFFIC = EXAMPLE / "traffic.py"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture
def shop(seeded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(seeded, tmp_path / "shop")


class Driving:
    """Customers at a server, until `end`."""

    def __init__(self, server: Server, *options: str) -> None:
        self.journal = server.folder.parent / "traffic.json"
        command = [sys.executable, TRAFFIC, "drive", server.url, "--seconds", "60", "--rate", "300"]
        env = {**os.environ, "CAS_FLUSH_TOKEN": env_of(server.folder)["CAS_FLUSH_TOKEN"]}
        command += ["--journal", self.journal, *options]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)

    def end(self) -> dict[str, Any]:
        self.process.terminate()
        assert self.process.wait(30) == 0
        journal: dict[str, Any] = json.loads(self.journal.read_bytes())
        return journal


def has_grown(shop: Path, events: int, since: Path | None = None) -> bool:
    """By so many events since a copy, or since it was seeded."""
    before = (since / LOG).read_bytes().count(b"\n") if since else EVENTS_AT_FIRST
    return (shop / LOG).read_bytes().count(b"\n") > before + events


def lost(shop: Path, *options: str) -> list[str]:
    command = [sys.executable, TRAFFIC, "lost", shop.parent / "traffic.json", shop, *options]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (int(bool(ran.stdout)), "")
    return ran.stdout.splitlines()


def acknowledged(journal: dict[str, Any]) -> list[dict[str, Any]]:
    return [request for request in journal["requests"] if request["acknowledged_ns"]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_flush_acknowledged_outlives_a_kill(kind: str, shop: Path) -> None:
    with Server(kind, shop, FLUSH_EVERY="3600") as server:
        driving = Driving(server, "--flush-every", "0.1")
        until(lambda: has_grown(shop, 100))
        journal = driving.end()  # before the kill: one in the midst of a flush tears a table
        server.process.kill()
        server.process.wait()
    assert len(acknowledged(journal)) > 100
    assert any(flush["acknowledged_ns"] for flush in journal["flushes"])
    assert lost(shop) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_taken_during_a_hold_is_whole_and_has_all_that_was_acknowledged_before(kind: str, shop: Path) -> None:
    with Server(kind, shop) as server:  # which writes with each change: without a hold a copy would be torn
        driving = Driving(server)
        until(lambda: has_grown(shop, 50))
        asked = time.time_ns()
        assert server.post("/internal/flush?hold=60")[1]["held"]
        held = shutil.copytree(shop, shop.parent / "held")
        assert server.post("/internal/release") == (200, {"released": True})
        until(lambda: has_grown(shop, 50, held))
        journal = driving.end()
    assert lost(held, "--until", str(asked)) == []
    assert len(acknowledged(journal)) > 100
    assert lost(held, "--until", str(time.time_ns())) != []
    assert lost(shop, "--until", str(time.time_ns())) == []


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_flush_what_was_in_memory_is_found_lost(kind: str, shop: Path) -> None:
    with Server(kind, shop, FLUSH_EVERY="3600") as server:
        driving = Driving(server)
        until(lambda: has_grown(shop, 50))
        server.process.kill()
        journal = driving.end()
    assert lost(shop) == []  # nothing was promised
    changed = {"/api/" + line.replace(" ", "/") for line in lost(shop, "--until", str(time.time_ns()))}
    assert changed == {request["target"] for request in acknowledged(journal) if request["method"] == "PATCH"}


def test_customers_go_on_when_the_server_comes_back(shop: Path) -> None:
    with Server("python", shop) as server:
        driving = Driving(server)
        until(lambda: has_grown(shop, 20))
    before = shutil.copytree(shop, shop.parent / "before")
    with Server("python", shop, PORT=server.url.rpartition(":")[2]):
        until(lambda: has_grown(shop, 20, before))
        journal = driving.end()
    answered = [bool(request["acknowledged_ns"]) for request in journal["requests"]]
    assert answered[0]
    assert False in answered
    assert answered[-1]


def test_a_record_an_event_and_a_file_that_are_gone_are_named(shop: Path) -> None:
    with Server("python", shop) as server:
        driving = Driving(server)
        until(lambda: has_grown(shop, 50))
        journal = driving.end()
    now = ["--until", str(time.time_ns())]
    assert lost(shop, *now) == []
    changes = [request for request in acknowledged(journal) if "/orders/" in request["target"]]
    number = int(changes[-1]["target"].rpartition("/")[2])
    orders = table(shop, "orders")
    orders[number - 1]["traffic"] = "older"
    (shop / "data/dynamic/orders.json").write_text(json.dumps(orders))
    whole = (shop / LOG).read_bytes().splitlines(keepends=True)
    last = json.loads(whole[-1])["traffic"]
    (shop / LOG).write_bytes(b"".join(whole[:-1]) + whole[-1][:-2])
    assert sorted(lost(shop, *now)) == [f"event {last}", f"orders {number}"]
    (shop / "data/dynamic/orders.json").write_text("[{")
    every = {f"orders {request['target'].rpartition('/')[2]}" for request in changes}
    assert set(lost(shop, *now)) == {f"event {last}"} | every
