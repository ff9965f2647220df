"""One question by HTTP, and its answer, within bounds: of time from the first to the last byte, and of memory.

A redirection is an answer like any other: whoever answers at an address cannot lead us to another. No proxy is used.
Errors name scheme, host and port only: a path or a query may be a secret. The only door to h11, whose import takes less
than half of what `http.client` with `ssl` and `email` adds to every snapshot.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

import h11

from casstore.errors import CasError, UsageError

MOST_HEAD = 32 << 10  # bytes of status and headers that may lie there without their end
_READ = 64 << 10
_SAFE = "%/:=&?~+!$,;'@()*[]-._"  # what stands in a path or a query as it is


class NoAnswer(CasError):
    """There was no answer that counts as one."""


class ConnectionRefused(NoAnswer):
    """Nothing listens at that address."""


class TimedOut(NoAnswer):
    """The answer was not there to its end in time; somebody may listen."""


class NotHttp(NoAnswer):
    """Something answered that is not HTTP, or broke off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `body` is its beginning if it is not `whole`: there was more than was asked for."""

    status: int
    body: bytes
    whole: bool = True


def ask(request: str, *, headers: Mapping[str, str] | None = None, timeout_ns: int, most_bytes: int) -> Answer:
    """Ask ("GET" if `request` is an address alone) and give the answer with at most `most_bytes` of its body.

    Raises:
        UsageError: it is no address, or a header cannot be one. ConnectionRefused, TimedOut, NotHttp, NoAnswer.
    """
    method, _, address = request.rpartition(" ")
    where = _parts(address)
    asking = _Asking(method or "GET", where, dict(headers or {}), timeout_ns, most_bytes)
    # In a thread, since a name server, a TLS handshake or an answer that drips cannot be bounded from within.
    thread = threading.Thread(target=asking.work, daemon=True)
    thread.start()
    thread.join(timeout_ns / 1e9)
    if thread.is_alive():
        said = asking.said  # what is said once we hung up is no answer
        asking.hang_up()
        raise TimedOut(f"{_origin(where)} did not answer to the end within {timeout_ns / 1e9:g} s{said}")
    if asking.error is not None:
        raise _translated(asking.error, _origin(where)) from asking.error
    assert asking.answer is not None
    return asking.answer


@dataclass(slots=True)
class _Asking:
    method: str
    where: SplitResult
    headers: dict[str, str]
    timeout_ns: int
    most_bytes: int
    answer: Answer | None = None
    error: Exception | None = None
    said: str = ""  # the end of a sentence: what was known when the time was over
    _socket: socket.socket | None = None

    def work(self) -> None:
        """Ask; what comes of it is `answer` or `error`."""
        try:
            self.answer = self._ask()
        except Exception as error:
            self.error = error

    def hang_up(self) -> None:
        """Close the connection from without, so that the thread comes to its end."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> Answer:
        talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        asked = (talk.send(self._request()) or b"") + (talk.send(h11.EndOfMessage()) or b"")
        with closing(self._connected()) as link:
            link.sendall(asked)
            status, body = 0, bytearray()
            while True:
                match talk.next_event():
                    case h11.NEED_DATA:
                        talk.receive_data(link.recv(_READ))
                    case h11.Response(status_code=status):
                        self.said = f" (status {status})"
                    case h11.Data(data=data):
                        body += data
                        if len(body) > self.most_bytes:
                            return Answer(status, bytes(body[: self.most_bytes]), whole=False)
                    case h11.EndOfMessage():
                        return Answer(status, bytes(body))
                    case h11.ConnectionClosed():
                        raise ConnectionResetError

    def _request(self) -> h11.Request:
        host = self.where.netloc.rpartition("@")[2]
        headers = {"Host": host, "User-Agent": "cas", "Accept": "*/*", "Connection": "close"} | self.headers
        if self.method not in ("GET", "HEAD"):
            headers["Content-Length"] = "0"
        return h11.Request(method=self.method, target=_target(self.where), headers=list(headers.items()))

    def _connected(self) -> socket.socket:
        host, timeout = self.where.hostname or "", self.timeout_ns / 1e9 + 1  # behind the end of all: `ask` tells of it
        secure = self.where.scheme == "https"
        link = self._socket = socket.create_connection((host, self.where.port or (443 if secure else 80)), timeout)
        if not secure:
            return link
        from ssl import create_default_context

        try:
            self._socket = create_default_context().wrap_socket(link, server_hostname=host)
        except BaseException:
            link.close()
            raise
        return self._socket


def _parts(address: str) -> SplitResult:
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError:
        raise UsageError("an address to ask is none: its host or port cannot be read") from None
    if found.scheme not in ("http", "https") or not found.hostname or port == 0 or "@" in found.netloc:
        raise UsageError("an address to ask must be like http://127.0.0.1:3000/api/health")
    return found


def _target(where: SplitResult) -> str:
    """Give path and query as they may stand in a request."""
    query = f"?{where.query}" if where.query else ""
    return quote((where.path or "/") + query, safe=_SAFE)


def _origin(where: SplitResult) -> str:
    host = where.hostname or ""
    port = f":{where.port}" if where.port else ""
    return f"{where.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _translated(error: Exception, origin: str) -> CasError:
    """Give the error of ours for whatever a connection ended with; never its text, which may hold a header."""
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(f"{origin} refuses the connection: nothing listens there")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{origin} did not answer in time")
    if isinstance(error, ConnectionError):
        return NotHttp(f"{origin} hung up without an answer")
    if isinstance(error, h11.RemoteProtocolError):
        return NotHttp(f"{origin} broke off, or answered what is not HTTP")
    if isinstance(error, socket.gaierror):
        return NoAnswer(f"{origin} is not known: no address belongs to that name")
    if isinstance(error, OSError):
        return NoAnswer(f"{origin} cannot be reached: {(error.strerror or type(error).__name__).lower()}")
    return UsageError(f"an address at {origin}, or a header for it, cannot be sent")
