"""One question by HTTP, and its answer, within bounds: of time from the first to the last byte, and of memory.

A redirection is an answer like any other: whoever answers at an address cannot lead us to another. No proxy is used.
Errors name scheme, host and port only: a path or a query may be a secret. Answers are read by the parser of Node, since
the one of Python's own `http.client` brings its mail package with it: 25 ms more before each snapshot.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import httptools

from casstore.errors import CasError, UsageError
from casstore.values import dataclass

_SAFE = "%/:=&?~+!$,;'@()*[]-._"  # what stands in a path or a query as it is
_METHOD = re.compile(r"[A-Z]+")
_LINE = re.compile(r"[^\r\n\0]*")  # what one line of a head can hold
_MOST_AROUND = 256 << 10  # bytes around a body that are read: heads, sizes of chunks, trailers
_READ_BYTES = 64 << 10


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
        head = _head(self.method, self.where, self.headers)
        with self._connected() as connection:
            connection.sendall(head)
            return self._read(connection)

    def _connected(self) -> socket.socket:
        """Connect; for https with the handshake done."""
        host = self.where.hostname or ""
        # Bytes, since a name as text brings the tables of international ones with it.
        name: Any = host.encode("ascii" if host.isascii() else "idna")
        port = self.where.port or (443 if self.where.scheme == "https" else 80)
        timeout = self.timeout_ns / 1e9 + 1  # behind the end of all: `ask` tells of it
        connection = socket.create_connection((name, port), timeout)
        try:
            self._may_go_on(connection)
            if self.where.scheme == "https":
                import ssl  # slow, and applications are asked without

                connection = ssl.create_default_context().wrap_socket(
                    connection, server_hostname=host, do_handshake_on_connect=False
                )
                self._may_go_on(connection)
                connection.do_handshake()
                self._may_go_on(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _may_go_on(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._hung_up:  # a name server or a handshake took all the time: nobody waits for an answer
            raise TimeoutError

    def _read(self, connection: socket.socket) -> Answer:
        reply = _Reply(self.method)
        # One byte more than was asked for tells whether there is more.
        while not reply.is_whole and len(reply.body) <= self.most_bytes:
            data = connection.recv(_READ_BYTES)
            if not data:
                reply.end()
                break
            reply.feed(data)
            if reply.status:
                self.said = f" (status {reply.status})"
        return Answer(reply.status, bytes(reply.body[: self.most_bytes]), len(reply.body) <= self.most_bytes)


class _BrokenOff(Exception):
    """The other side hung up in the middle of its answer, or before it."""


class _Reply:
    """An answer while it comes in; `on_…` are called by the parser."""

    def __init__(self, method: str) -> None:
        self.status = 0  # until the head is there
        self.body = bytearray()
        self.is_whole = False
        self._has_length = False  # else it ends where the connection does
        self._without_body = method == "HEAD"
        self._read_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        # A health page may be a script's: lines that end with LF alone, or go on in the next one, hurt nobody here.
        self._parser.set_dangerous_leniencies(lenient_headers=True, lenient_optional_cr_before_lf=True)

    def feed(self, data: bytes) -> None:
        """Take what came in.

        Raises:
            httptools.HttpParserError: it is not HTTP, or too much around a body.
        """
        self._read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.is_whole:  # what comes behind an answer is not ours
                raise
        if self._read_bytes - len(self.body) > _MOST_AROUND and not self.is_whole:
            raise httptools.HttpParserError("a head without end")

    def end(self) -> None:
        """Take it that the other side hung up.

        Raises:
            _BrokenOff: there is something missing.
        """
        if not self.status or self._has_length:
            raise _BrokenOff(self._read_bytes)
        self.is_whole = True

    def on_header(self, name: bytes, _value: bytes) -> None:
        self._has_length = self._has_length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # else a word in between; the answer follows
            self.status = status
            self.is_whole = self._without_body
        else:
            self._has_length = False

    def on_body(self, body: bytes) -> None:
        if not self.is_whole:
            self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = self.status > 0


def _head(method: str, where: SplitResult, headers: dict[str, str]) -> bytes:
    """Give the request, which is a head alone.

    Raises:
        UsageError: it cannot be sent.
    """
    fields = {"Host": _host(where), "User-Agent": "cas", "Accept": "*/*", "Connection": "close"}
    if method not in ("GET", "HEAD"):
        fields["Content-Length"] = "0"
    lines = [f"{method} {_target(where)} HTTP/1.1", *(f"{name}: {value}" for name, value in (fields | headers).items())]
    try:
        if not _METHOD.fullmatch(method) or not all(map(_LINE.fullmatch, lines)):
            raise ValueError(method)
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    except ValueError:
        raise UsageError(f"an address at {_origin(where)}, or a header for it, cannot be sent") from None


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


def _host(where: SplitResult) -> str:
    host = where.hostname or ""
    name = f"[{host}]" if ":" in host else host if host.isascii() else host.encode("idna").decode()
    return f"{name}:{where.port}" if where.port else name


def _origin(where: SplitResult) -> str:
    host = where.hostname or ""
    port = f":{where.port}" if where.port else ""
    return f"{where.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _translated(error: Exception, origin: str) -> CasError:
    """Give the error of ours for whatever a connection ended with; never its text, which may hold a header."""
    if isinstance(error, CasError):
        return error
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(f"{origin} refuses the connection: nothing listens there")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{origin} did not answer in time")
    if isinstance(error, _BrokenOff) and error.args[0]:
        return NotHttp(f"{origin} broke off in the middle of its answer")
    if isinstance(error, _BrokenOff | ConnectionError):
        return NotHttp(f"{origin} hung up without an answer")
    if isinstance(error, httptools.HttpParserError | httptools.HttpParserUpgrade):
        return NotHttp(f"{origin} answered what is not HTTP")
    if isinstance(error, socket.gaierror):
        return NoAnswer(f"{origin} is not known: no address belongs to that name")
    if isinstance(error, OSError):
        return NoAnswer(f"{origin} cannot be reached: {(error.strerror or type(error).__name__).lower()}")
    return UsageError(f"an address at {origin} cannot be asked")
