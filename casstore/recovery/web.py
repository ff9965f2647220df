"""One question by HTTP, and its answer, within bounds: of time from the first to the last byte, and of memory.

A redirection is an answer like any other: whoever answers at an address cannot lead us to another. No proxy is used.
Errors name scheme, host and port only: a path or a query may be a secret.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, quote, urlsplit

from casstore.errors import CasError, UsageError
from casstore.values import dataclass

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
    _hung_up: bool = False

    def work(self) -> None:
        """Ask; what comes of it is `answer` or `error`."""
        try:
            self.answer = self._ask()
        except Exception as error:
            self.error = error

    def hang_up(self) -> None:
        """Close the connection from without, so that the thread comes to its end; what was not sent yet is not sent."""
        self._hung_up = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> Answer:
        connection = self._connection()
        try:
            connection.connect()
            self._socket = connection.sock  # the connection itself gives it away with the answer
            if self._hung_up:  # a name server or a handshake took all the time: nobody waits for an answer
                raise TimeoutError
            headers = {"User-Agent": "cas", "Accept": "*/*", "Connection": "close"} | self.headers
            connection.request(self.method, _target(self.where), headers=headers)
            response = connection.getresponse()
            self.said = f" (status {response.status})"
            # One byte more tells whether there is more; `length` is what was promised and did not come.
            body = response.read(self.most_bytes + 1)
            if response.length and len(body) <= self.most_bytes:
                raise http.client.IncompleteRead(b"", response.length)
            return Answer(response.status, body[: self.most_bytes], len(body) <= self.most_bytes)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, timeout = self.where.hostname or "", self.timeout_ns / 1e9 + 1  # behind the end of all: `ask` tells of it
        if self.where.scheme == "https":
            return http.client.HTTPSConnection(host, self.where.port, timeout=timeout)
        return http.client.HTTPConnection(host, self.where.port, timeout=timeout)


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
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return NotHttp(f"{origin} hung up without an answer")
    if isinstance(error, http.client.IncompleteRead):
        return NotHttp(f"{origin} broke off in the middle of its answer")
    if isinstance(error, http.client.InvalidURL | UnicodeError):
        return UsageError(f"an address at {origin}, or a header for it, cannot be sent")
    if isinstance(error, http.client.HTTPException):
        return NotHttp(f"{origin} answered what is not HTTP ({type(error).__name__})")
    if isinstance(error, socket.gaierror):
        return NoAnswer(f"{origin} is not known: no address belongs to that name")
    if isinstance(error, OSError):
        return NoAnswer(f"{origin} cannot be reached: {(error.strerror or type(error).__name__).lower()}")
    return UsageError(f"an address at {origin}, or a header for it, cannot be sent")
