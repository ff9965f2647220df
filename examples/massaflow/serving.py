"""The Python stand-in for server.mjs: the same requests, answers and files.

    GET /api/health                     200 {"status": "OK"}, or 503 {"status": "DEGRADED", "problems": […]}
    GET /api/TABLE                      its records
    PATCH /api/TABLE/NUMBER             sets fields of one record; `saved` says whether they are in the file
    POST /api/events                    appended to the log
    POST /internal/flush[?hold=SECONDS], /internal/release: see ../flush/cas_flush.py

Tables are written with each change. With FLUSH_EVERY=SECONDS in the environment they stay in memory, and are written
so often, on flush, and at the end. The environment also says PORT; else `.env.local` does.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NoReturn

from app import App
from cas_flush import CasFlush
from records import Record, stamp

Answer = tuple[Any, int]


class Service:
    """The application behind HTTP: what it is asked, and when it writes."""

    def __init__(self, app: App) -> None:
        env = app.env()
        self.app, self.waiting = app, list[Record]()
        self.every = float(env.get("FLUSH_EVERY", 0))
        self.cas = CasFlush(env.get("CAS_FLUSH_TOKEN", ""), self.flush, self.settle)

    def answer(self, method: str, target: str, body: Record | None) -> Answer:
        """Body and status for a request; its own body is None if it was no JSON object."""
        match method, *target.partition("?")[0].split("/")[1:]:
            case "GET", "api", "health":
                return self.app.health()
            case "GET", "api", name if name in self.app.tables:
                with self.app.lock:
                    return [*self.app.tables[name].records], 200
            case "PATCH", "api", name, number if name in self.app.tables:
                return self.change(name, number, body)
            case "POST", "api", "events":
                return self.note(body)
        return {}, 404

    def change(self, name: str, number: str, fields: Record | None) -> Answer:
        """Change one record, and write its table unless it is to stay in memory."""
        table = self.app.tables[name]
        if not re.fullmatch("[0-9]{1,9}", number) or not 0 < int(number) <= len(table.records):
            return {}, 404
        if fields is None:
            return {"error": "not a JSON object"}, 400
        with self.app.lock:
            table.change(int(number), fields | {"updatedAt": stamp(datetime.now(UTC))})
            if not self.every and not self.cas.held:
                self.app.save()
            return {"saved": not table.changed}, 200

    def note(self, event: Record | None) -> Answer:
        """Append to the log, or later if a backup is at work."""
        if event is None:
            return {"error": "not a JSON object"}, 400
        with self.app.lock:
            self.waiting.append({"ts": stamp(datetime.now(UTC))} | event)
            if not self.cas.held:
                self.write_events()
            return {"saved": not self.waiting}, 200

    def write_events(self) -> int:
        """Append those that wait; how many."""
        count = len(self.waiting)
        if count:
            self.app.append(self.waiting)
            self.waiting.clear()
        return count

    def flush(self) -> Record:
        """Write and sync all; says what was only in memory."""
        with self.app.lock:
            flushed = {"tables": self.app.save(), "events": self.write_events()}
            for path in [*(table.path for table in self.app.tables.values()), self.app.log]:
                if path.exists():
                    sync(path)
            return flushed

    def settle(self) -> None:
        """Write what waits, unless a backup is at work."""
        with self.app.lock:
            if not self.cas.held:
                self.app.save()
                self.write_events()


def sync(path: os.PathLike[str]) -> None:
    """Make a file's content survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_handler(service: Service) -> type[BaseHTTPRequestHandler]:
    """The HTTP side of it."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = self.headers.get("Content-Length", "0")
            sent = self.rfile.read(int(length)) if length.isdecimal() else b""
            body, status = attempt(lambda: self.answer(sent)) or ({"error": "could not write"}, 500)
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def answer(self, sent: bytes) -> Answer:
            asked = service.cas.answer(self.command, self.path, self.headers.get("Authorization"))
            return asked or service.answer(self.command, self.path, to_object(sent))

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = respond

    return Handler


def to_object(sent: bytes) -> Record | None:
    """The JSON object that was sent, if it is one."""
    try:
        body = json.loads(sent)
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()  # what could not be written again
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def attempt(act: Callable[[], Any]) -> Any:
    """A full disk ends nothing: what could not be written is still to be written."""
    try:
        return act()
    except OSError as error:
        print(f"massaflow: {error}", file=sys.stderr, flush=True)
        return None


def settle_often(service: Service) -> None:
    """Write so often what is only in memory."""
    while not Event().wait(service.every):
        attempt(service.settle)


def serve(app: App, port: int | None) -> NoReturn:
    """Answer until SIGTERM; then write all and exit."""
    service = Service(app)
    server = listen(int(app.env().get("PORT", 3000)) if port is None else port, make_handler(service))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, lambda *_: sys.exit())
    if service.every:
        Thread(target=settle_often, args=[service], daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        flushed = attempt(service.flush)
        app.lock.acquire()  # and never given back: what comes now is not acknowledged
        sys.exit(0 if flushed else 1)


def listen(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Take the port, or leave with a sentence."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        sys.exit(f"massaflow: port {port} is in use" if in_use else f"massaflow: {error}")
