"""A tiny application: state in data/*.json, held in memory, written on change and at its end; HTTP on $PORT.

It misbehaves as the environment says: SICK (health 503), DIE (ends at once), DEAF (ignores SIGTERM), HANG (answers
nobody), QUIET (listens to nobody), DRIP (a health page without end), LATE (seconds before it listens), LINGERS (seconds
before it ends). It is sick too while data/users.json holds "sick".
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USERS = Path("data/users.json")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        while os.environ.get("HANG"):
            time.sleep(0.05)
        users = json.loads(USERS.read_text())
        if os.environ.get("DRIP"):
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)
        sick = bool(os.environ.get("SICK")) or "sick" in users
        body = json.dumps({"status": "DEGRADED" if sick else "OK", "users": users, "pid": os.getpid()}).encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def end(*_: object) -> None:
    time.sleep(float(os.environ.get("LINGERS", "0")))
    if os.environ.get("WRITES"):  # memory is written last of all, over whatever is there
        USERS.write_text(json.dumps(["from memory"]))
    print("ended", flush=True)
    os._exit(0)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("DEAF") else end)
    print("started with", os.environ.get("TOKEN", "no token"), flush=True)
    if os.environ.get("DIE"):
        print("Error: listen EADDRINUSE", file=sys.stderr, flush=True)
        sys.exit(7)
    if os.environ.get("QUIET"):
        signal.pause()
    time.sleep(float(os.environ.get("LATE", "0")))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
