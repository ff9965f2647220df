"""Customers for the example application: real requests over HTTP, and a journal of what was acknowledged when.

    python traffic.py drive http://127.0.0.1:3000 --seconds 10 --rate 50 --journal traffic.json
    python traffic.py lost traffic.json FOLDER [--until MOMENT]

`drive` works on either server, until its time is over or SIGTERM. With `--flush-every SECONDS` it also asks for
flushes, with the token in CAS_FLUSH_TOKEN. The server may die and come back meanwhile: what is not answered is not
acknowledged. One request after the other, so the order in the journal is the order in which the server saw them:

    {"requests": [{"method", "target", "body", "sent_ns", "acknowledged_ns": null if it was not}],
     "flushes": [{"asked_ns", "acknowledged_ns"}]}

`lost` compares, record by record and event by event, a folder with what it must hold: all that was acknowledged
before the last acknowledged flush was asked for, or before `--until` (ns since 1970). It prints what is lost; 1 if
anything is.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

TABLES = {"orders": 2000, "payments": 1900, "users": 2000, "tickets": 420}
EVENTS = 0.5  # of all requests
PATIENCE_SECONDS = 10
Request = dict[str, Any]


class Customers:
    """What is sent to the server at `url`, and what it acknowledged."""

    def __init__(self, url: str, token: str = "", clock: Callable[[], int] = time.time_ns) -> None:
        self.address, self.token, self.clock = urlsplit(url), token, clock
        self.requests: list[Request] = []
        self.flushes: list[Request] = []

    def send(self, request: Request) -> None:
        """One change or event."""
        self.requests.append(request | {"sent_ns": self.clock(), "acknowledged_ns": None})
        if self.ask(request["method"], request["target"], request["body"]):
            self.requests[-1]["acknowledged_ns"] = self.clock()

    def flush(self) -> None:
        """Ask the server to write what it holds."""
        asked = self.clock()
        acknowledged = self.ask("POST", "/internal/flush", {}, {"Authorization": f"Bearer {self.token}"})
        self.flushes.append({"asked_ns": asked, "acknowledged_ns": self.clock() if acknowledged else None})

    def ask(self, method: str, target: str, body: Request, headers: dict[str, str] | None = None) -> bool:
        """Whether the server said yes."""
        connection = HTTPConnection(self.address.hostname or "", self.address.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, target, json.dumps(body), headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def keep(self, journal: Path) -> None:
        """Write down what was acknowledged."""
        journal.write_text(json.dumps({"requests": self.requests, "flushes": self.flushes}, indent=1))


def make_requests(random: Random) -> Iterator[Request]:
    """Changes of records and events, without end; each has a number that nothing else has."""
    run, number = f"{random.getrandbits(32):08x}", 0
    while True:
        number += 1
        mark = {"traffic": f"{run}-{number}"}
        if random.random() < EVENTS:
            yield {"method": "POST", "target": "/api/events", "body": {"event": "traffic"} | mark}
        else:
            table = random.choice(list(TABLES))
            yield {"method": "PATCH", "target": f"/api/{table}/{random.randrange(TABLES[table]) + 1}", "body": mark}


def drive(customers: Customers, random: Random, *, rate: float, end: Event, flush_seconds: float = 0) -> None:
    """Send `rate` requests a second until `end` is set."""
    flushing = Thread(target=every, args=[flush_seconds, customers.flush, end])
    if flush_seconds:
        flushing.start()
    requests = make_requests(random)
    every(1 / rate, lambda: customers.send(next(requests)), end)
    if flush_seconds:
        flushing.join()


def every(seconds: float, act: Callable[[], None], end: Event) -> None:
    """Act so often until `end` is set; what was missed is not made up for."""
    due = time.monotonic()
    while not end.wait(max(0, due - time.monotonic())):
        act()
        due = max(due + seconds, time.monotonic() - seconds)


def find_lost(journal: Request, folder: Path, until_ns: int | None = None) -> list[str]:
    """What `folder` must hold and does not. Acknowledged: before `until_ns`, or before the last acknowledged flush."""
    if until_ns is None:
        until_ns = max((flush["asked_ns"] for flush in journal["flushes"] if flush["acknowledged_ns"]), default=0)
    lost, tables = [], {name: read_marks(folder / "data" / "dynamic" / f"{name}.json") for name in TABLES}
    log = read_log(folder / "engagement_events.log")
    may_be: dict[str, set[str]] = {}  # of a record: the newest value that was promised, and all that came after it
    for request in journal["requests"]:
        mark, target = request["body"]["traffic"], request["target"]
        promised = request["acknowledged_ns"] is not None and request["acknowledged_ns"] <= until_ns
        if request["method"] == "POST":
            lost += [f"event {mark}"] if promised and mark not in log else []
        elif promised:
            may_be[target] = {mark}
        elif target in may_be:
            may_be[target].add(mark)
    for target, marks in may_be.items():
        _, _, table, number = target.split("/")
        if tables[table].get(int(number)) not in marks:
            lost.append(f"{table} {number}")
    return lost


def read_marks(path: Path) -> dict[int, str | None]:
    """What the traffic wrote into each record of a table, by its number; empty if there is none to be read."""
    try:
        return {record["number"]: record.get("traffic") for record in json.loads(path.read_bytes())}
    except (FileNotFoundError, ValueError):
        return {}


def read_log(path: Path) -> set[str]:
    """The traffic's events in a log, of whole lines."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return {json.loads(line)["traffic"] for line in lines if b'"traffic"' in line and line.endswith(b"}")}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Requests to the example application, and what became of them.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    driver = verbs.add_parser("drive")
    driver.add_argument("url")
    driver.add_argument("--seconds", type=float, default=10)
    driver.add_argument("--rate", type=float, default=50)
    driver.add_argument("--flush-every", type=float, default=0)
    driver.add_argument("--seed", type=int)
    driver.add_argument("--journal", type=Path, default=Path("traffic.json"))
    judge = verbs.add_parser("lost")
    judge.add_argument("journal", type=Path)
    judge.add_argument("folder", type=Path)
    judge.add_argument("--until", type=int)
    asked = parser.parse_args()
    if asked.verb == "drive":
        drive_for(asked)
    else:
        lost = find_lost(json.loads(asked.journal.read_bytes()), asked.folder, asked.until)
        print(*lost, sep="\n", end="\n" if lost else "")
        sys.exit(bool(lost))


def drive_for(asked: argparse.Namespace) -> None:
    """Drive for so many seconds, or until SIGTERM; then write the journal."""
    customers, end = Customers(asked.url, os.environ.get("CAS_FLUSH_TOKEN", "")), Event()
    pace = {"rate": asked.rate, "end": end, "flush_seconds": asked.flush_every}
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    driving = Thread(target=drive, args=[customers, Random(asked.seed)], kwargs=pace)
    driving.start()
    signal.sigtimedwait([signal.SIGTERM], asked.seconds)
    end.set()
    driving.join()
    customers.keep(asked.journal)
    acknowledged = sum(request["acknowledged_ns"] is not None for request in customers.requests)
    print(f"{acknowledged} of {len(customers.requests)} acknowledged")


if __name__ == "__main__":
    main()
