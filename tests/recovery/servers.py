"""Servers on free ports, in threads: one that says whatever bytes it is given, and one that is real HTTP."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Says = Callable[[bytes], Iterable[bytes]]  # from the head of a request to what is sent, piece by piece


@contextmanager
def server(says: Says, *, wrap: Callable[..., socket.socket] | None = None) -> Iterator[str]:
    """Serve until the block ends; gives the address. `wrap` makes a connection one of TLS."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # who asked has left
                connection = wrap(self.request, server_side=True) if wrap else self.request
                head = b""
                while b"\r\n\r\n" not in head:
                    read = connection.recv(65536)
                    if not read:
                        return
                    head += read
                for piece in says(head):
                    connection.sendall(piece)
                if wrap:
                    connection.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_address[1]}"
        finally:
            serving.shutdown()
            thread.join()


def free_port() -> int:
    """Give a port where nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
