"""What does it add to a snapshot that the running application is asked to flush, beyond its own time?"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness import Bench, rounds
from inputs import massaflow_shop, settle
from report import report

NAPS = 0.05  # seconds that the application of the control takes
PLAIN, KNOWN, ASKED = "snapshot", "snapshot with an application", "snapshot with a flush"


class Application:
    """Answers at once, or after a nap; what it took since somebody came is its own time."""

    nap = 0.0
    begun = 0.0
    own_seconds = 0.0

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Listen; gives the port."""
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                time.sleep(application.nap)
                self.send_response(204)
                self.end_headers()
                application.own_seconds = time.perf_counter() - application.begun

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def get_request(self) -> tuple[socket.socket, Any]:
                application.begun = time.perf_counter()
                return super().get_request()

        with Server(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()


def main() -> int:
    """The example application's 9 MB; `cas` alone, since nobody else asks an application."""
    bench = Bench("flush", __doc__ or "")
    bench.peers = [peer for peer in bench.peers if peer.name == "cas"]
    source = bench.scratch / "source"
    source.mkdir()
    shop = massaflow_shop(source)
    settle(source)
    rooms = {peer.name: bench.room(peer, source) for peer in bench.peers}
    application = Application()
    with application.serving() as port:
        (source / ".env").write_text(f"PORT={port}\nFLUSH_TOKEN=secret-of-the-benchmark\n")
        paths = 'paths = ["."]\nexclude = [".env"]\n'
        known = paths + '[app]\nenv-file = ".env"\nenv-capture = true\n'
        ask = '{ http = "POST http://127.0.0.1:${PORT}/flush", token-env = "FLUSH_TOKEN", required = true }'
        ways = {PLAIN: paths, KNOWN: known, ASKED: f"{known}flush = {ask}\n"}
        for turn in rounds(200 if bench.full else 10):
            for peer in bench.each():
                with bench.trial(peer):
                    for verb in sorted(ways, reverse=turn % 2 == 0):
                        shop.append([{"event": turn}])
                        (source / "cas.toml").write_text(ways[verb])
                        bench.measure(peer, rooms[peer.name], verb, peer.backup, source)
                    plain, known_s, asked_s = (bench.figures[f"{verb}, s"][peer.name][-1] for verb in ways)
                    bench.note(peer, "an application and its environment add, s", known_s - plain)
                    bench.note(peer, "a flush adds, s", asked_s - known_s - application.own_seconds)
        application.nap = NAPS
        for peer in bench.each():
            with bench.trial(peer):
                shop.append([{"event": "control"}])
                (source / "cas.toml").write_text(ways[ASKED])
                cost = bench.run(peer, rooms[peer.name], peer.backup, source)
                waited = cost.seconds > (bench.value(f"{KNOWN}, s", peer.name) or 0) + NAPS
                bench.control(f"an application that takes {NAPS:g} s is waited for", waited)
    bench.goal_at_most("a flush adds, s", 0.02)
    return report(bench)


if __name__ == "__main__":
    sys.exit(main())
