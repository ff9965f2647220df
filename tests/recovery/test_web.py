"""What answers may be anything: each has its sentence, and none holds us up."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from recovery.servers import free_port, server

from casstore.errors import CasError, UsageError
from casstore.recovery import web
from casstore.recovery.web import Answer, ConnectionRefused, NoAnswer, NotHttp, TimedOut

SECOND = 10**9


def ask(request: str, *, seconds: float = 10, most: int = 1000, **headers: str) -> Answer:
    return web.ask(request, headers=headers, timeout_ns=int(seconds * SECOND), most_bytes=most)


def plain(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_an_answer_has_its_status_and_body() -> None:
    with server(lambda _head: [plain(b'{"status": "DEGRADED"}', "503 Service Unavailable")]) as address:
        assert ask(f"{address}/api/health") == Answer(503, b'{"status": "DEGRADED"}')


def test_method_path_query_and_headers_are_sent_as_they_are() -> None:
    heads = []
    with server(lambda head: heads.append(head) or [plain(b"")]) as address:  # type: ignore[func-returns-value]
        ask(f"POST {address}/a%20b/ü?x=1&y", Authorization="Bearer s3cret")
        ask(address)
    first, second = (head.decode().split("\r\n") for head in heads)
    assert first[0] == "POST /a%20b/%C3%BC?x=1&y HTTP/1.1"
    assert {"Authorization: Bearer s3cret", "Content-Length: 0"} <= set(first)
    assert second[0] == "GET / HTTP/1.1"


def test_a_redirection_is_the_answer_and_is_not_followed() -> None:
    seen = []
    with server(lambda _head: seen.append(1) or [plain(b"")]) as elsewhere:  # type: ignore[func-returns-value]
        moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        with server(lambda _head: [moved]) as address:
            assert ask(address).status == 302
    assert seen == []


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with server(lambda _head: [plain(b"ours")]) as address:
        assert ask(address).body == b"ours"


def test_of_a_body_without_end_only_its_beginning_is_read() -> None:
    def endless(_head: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b"x" * 4096

    with server(endless) as address:
        assert ask(address, most=5000) == Answer(200, b"x" * 5000, whole=False)


def test_a_body_of_exactly_the_most_is_whole() -> None:
    with server(lambda _head: [plain(b"x" * 50)]) as address:
        assert ask(address, most=50) == Answer(200, b"x" * 50)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_for_ever_ends_with_the_time_for_all_of_it(head: bytes) -> None:
    stop = threading.Event()

    def dripping(_head: bytes) -> Iterator[bytes]:
        yield head
        while not stop.wait(0.02):
            yield b"x"

    with server(dripping) as address:
        begun = time.monotonic()
        with pytest.raises(TimedOut, match=r"127.0.0.1:\d+ did not answer to the end within 0.3 s") as raised:
            ask(address, seconds=0.3)
        assert time.monotonic() - begun < 2
        assert ("status 200" in str(raised.value)) == head.endswith(b"\r\n\r\n")
        stop.set()


def test_no_thread_stays_behind_an_answer_that_never_came() -> None:
    stop = threading.Event()

    def silent(_head: bytes) -> Iterator[bytes]:
        stop.wait()
        yield b""

    with server(silent) as address:
        before = {thread for thread in threading.enumerate() if "work" in thread.name}
        with pytest.raises(TimedOut):
            ask(address, seconds=0.1)
        for thread in set(threading.enumerate()) - before:
            if "work" in thread.name:
                thread.join(5)
                assert not thread.is_alive()
        stop.set()


def test_what_is_connected_too_late_is_not_asked_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    may, connect = threading.Event(), socket.create_connection

    def late(*arguments: Any) -> socket.socket:
        may.wait()
        return connect(*arguments)

    monkeypatch.setattr(socket, "create_connection", late)
    before = set(threading.enumerate())
    with server(lambda head: heads.append(head) or [plain(b"")]) as address:  # type: ignore[func-returns-value]
        with pytest.raises(TimedOut):
            ask(f"POST {address}/flush", seconds=0.05)
        (asking,) = (
            thread for thread in set(threading.enumerate()) - before if "ask" in thread.name or "work" in thread.name
        )
        may.set()
        asking.join(5)
        assert not asking.is_alive()
    assert heads == []


def test_where_nothing_listens_the_connection_is_refused_and_no_time_passes() -> None:
    with pytest.raises(ConnectionRefused, match="nothing listens"):
        ask(f"http://127.0.0.1:{free_port()}/secret-path")


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50_000,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"",
    ],
)
def test_what_is_no_http_or_breaks_off_is_told_as_that(said: bytes) -> None:
    with server(lambda _head: [said]) as address, pytest.raises(NotHttp) as raised:
        ask(address)
    assert str(raised.value).startswith(address)


def test_a_length_that_is_a_lie_costs_no_memory() -> None:
    with server(lambda _head: [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * 2000]) as address:
        assert ask(address, most=1000) == Answer(200, b"x" * 1000, whole=False)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"ok"), b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", b"x"),
        (b"HTTP/1.0 200 OK\nContent-Type: text/plain\n\nfrom a script\n", b"from a script\n"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
        (plain(b"ok") + b"and what nobody asked for", b"ok"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_ends_where_http_says(said: bytes, body: bytes, at_once: bool) -> None:
    pieces = [said] if at_once else [said[at : at + 1] for at in range(len(said))]
    with server(lambda _head: pieces) as address:
        assert ask(address) == Answer(200, body)


def test_a_204_is_an_answer_while_the_connection_stays_open() -> None:
    stop = threading.Event()

    def kept_open(_head: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 204 No Content\r\n\r\n"
        stop.wait()

    with server(kept_open) as address:
        assert ask(f"POST {address}/flush") == Answer(204, b"")
        stop.set()


def test_to_head_there_is_no_body_whatever_its_length_is_said_to_be() -> None:
    with server(lambda _head: [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"]) as address:
        assert ask(f"HEAD {address}/health") == Answer(200, b"")


@pytest.mark.parametrize(
    "address", ["ftp://h/", "http://", "http://h:99999/", "http://h:x/", "http://u:pw@h/", "h:3000"]
)
def test_what_is_no_address_is_refused_without_its_secrets(address: str) -> None:
    with pytest.raises(UsageError) as raised:
        ask(f"POST {address}")
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("token", ["two\r\nlines", "☃"])
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(token: str) -> None:
    with server(lambda _head: [plain(b"")]) as address, pytest.raises(UsageError) as raised:
        ask(address, Authorization=token)
    assert "lines" not in str(raised.value)
    assert "☃" not in str(raised.value)


def test_neither_path_nor_query_is_told() -> None:
    with pytest.raises(CasError) as raised:
        ask(f"http://127.0.0.1:{free_port()}/uuid?key=k3y")
    assert "uuid" not in str(raised.value)
    assert "k3y" not in str(raised.value)


def test_https_is_spoken_and_the_certificate_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with server(lambda _head: [plain(b"sealed")], wrap=context.wrap_socket) as address:
        secure = address.replace("http:", "https:").replace("127.0.0.1", "localhost")
        with pytest.raises(NoAnswer, match="cannot be reached"):
            ask(secure)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert ask(secure) == Answer(200, b"sealed")


def test_a_server_that_does_not_speak_https_is_told() -> None:
    with server(lambda _head: [plain(b"")]) as address, pytest.raises((NoAnswer, TimedOut)):
        ask(address.replace("http:", "https:"), seconds=0.5)


def test_a_handshake_that_never_ends_leaves_no_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = set(threading.enumerate())
        with pytest.raises(TimedOut):
            ask(f"https://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.2)
        for thread in set(threading.enumerate()) - before:
            thread.join(5)
            assert not thread.is_alive()


def certified(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"
