"""Who should know is told, and is told nothing by halves; what cannot be told stops nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

import pytest
from recovery.servers import free_port, server

from casstore.recovery.notify import NotTold, ping

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Heard:
    """Takes what is asked, and answers as it was told."""

    def __init__(self, answer: bytes = OK) -> None:
        self.lines: list[str] = []
        self.answer = answer

    def __call__(self, head: bytes) -> Iterable[bytes]:
        self.lines.append(head.decode().split("\r\n")[0])
        return [self.answer]


@pytest.mark.parametrize(
    ("asked", "failed", "line"),
    [
        ("{}/uuid", False, "GET /uuid HTTP/1.1"),
        ("{}/uuid", True, "GET /uuid/fail HTTP/1.1"),
        ("POST {}/uuid/?rid=7", True, "POST /uuid/fail?rid=7 HTTP/1.1"),
        ("{}", True, "GET /fail HTTP/1.1"),
    ],
)
def test_the_address_is_asked_with_fail_at_the_end_of_its_path_after_a_failure(
    asked: str, failed: bool, line: str
) -> None:
    heard = Heard()
    with server(heard) as address:
        ping(asked.format(address), failed=failed)
    assert heard.lines == [line]


def test_what_is_refused_was_not_told_and_the_secret_of_the_address_is_not_said() -> None:
    with server(Heard(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as address:
        for where in (address, f"http://127.0.0.1:{free_port()}"):
            with pytest.raises(NotTold) as told:
                ping(f"{where}/s3cret", failed=False)
            assert "s3cret" not in str(told.value) + told.value.hint


@pytest.mark.parametrize("failed", [True, False])
def test_an_address_that_is_none_is_not_told_and_stops_nothing(failed: bool) -> None:
    with pytest.raises(NotTold, match="was not told"):
        ping("http://[bad/uuid", failed=failed)


SEND = """
import sys
from casstore.recovery.notify import NotTold, send
try:
    send(sys.argv[1:], "shop: red", "the newest is 2 h old")
except NotTold as error:
    print(error, error.hint)
"""


def told(*addresses: str, hidden: bool = False) -> str:
    """Send in a process of its own, as the command does: what apprise warns of is none of ours."""
    begin = "import sys; sys.modules['apprise'] = None\n" if hidden else ""
    ran = subprocess.run([sys.executable, "-c", begin + SEND, *addresses], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout


def test_a_message_reaches_those_that_can_be_reached_and_the_others_are_named_without_their_secrets() -> None:
    bodies: list[bytes] = []

    def takes(head: bytes) -> Iterable[bytes]:
        bodies.append(head)
        return [OK]

    with server(takes) as address:
        out = told(f"json://:s3cret@127.0.0.1:{free_port()}", address.replace("http", "json"), "nothing://of/the/kind")
    assert len(bodies) == 1
    assert "json://…, nothing://… did not take it" in out
    assert "s3cret" not in out
    body = bodies[0].partition(b"\r\n\r\n")[2]
    assert not body or json.loads(body)["title"] == "shop: red"


def test_where_apprise_is_not_installed_it_is_said_how_to_install_it() -> None:
    assert "pipx inject casstore apprise" in told("json://127.0.0.1", hidden=True)
