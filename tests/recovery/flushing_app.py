"""An application that holds its data in memory: it is run by tests as a process of its own, in its folder.

It writes its port to stdout. Its ways are told by its environment: TOKEN is asked for, STATUS is answered to a flush,
HANG has it never answer, CHATTY has it write a line into access.log so many seconds behind each answer, PIDFILE has it
write its pid, DEAF has it not heed the signal, HARD has it refuse the first release.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MEMORY = [{"id": 1}]
ENV = os.environ


def write() -> None:
    """Write what is in memory as careful applications do, by another file that takes the place."""
    Path("data").mkdir(exist_ok=True)
    Path("data/users.json.tmp").write_text(json.dumps(MEMORY))
    Path("data/users.json.tmp").replace("data/users.json")


def note(word: str) -> None:
    with open("asked.txt", "a") as file:
        file.write(f"{word}\n")


def log(line: str) -> None:
    with open("access.log", "a") as file:
        file.write(line)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        word = self.path.rpartition("/")[2]
        if "TOKEN" in ENV and self.headers["Authorization"] != f"Bearer {ENV['TOKEN']}":
            return self.answer(401)
        note(word)
        if word == "flush":
            if "HANG" in ENV:
                time.sleep(3600)
            write()
            return self.answer(int(ENV.get("STATUS", "204")))
        if word == "release" and "HARD" in ENV and Path("asked.txt").read_text().count("release") < 2:
            return self.answer(503)
        return self.answer(204 if word == "release" else 404)

    def do_GET(self) -> None:
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if "CHATTY" in ENV:
            threading.Timer(float(ENV["CHATTY"]), log, (f"{self.command} {self.path} {status}\n",)).start()

    def log_message(self, *_: Any) -> None:
        pass


def by_signal(*_: object) -> None:
    if "HANG" not in ENV:
        write()
        Path("flushed").touch()


def main() -> None:
    if "DEAF" not in ENV:
        signal.signal(signal.SIGUSR2, by_signal)
    server = ThreadingHTTPServer(("127.0.0.1", int(ENV.get("PORT", "0"))), Handler)
    if "PIDFILE" in ENV:
        Path(ENV["PIDFILE"]).write_text(f"{os.getpid()}\n")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()  # until whoever started it is gone


if __name__ == "__main__":
    main()
