"""What every backend promises, those that wrap one included."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FailingAt, FragileFiles, Recording, Wrapping

from casstore.backends.base import Backend
from casstore.backends.local import Files, LocalBackend
from casstore.backends.memory import MemoryBackend
from casstore.errors import ObjectExists, ObjectMissing


class WithoutLinks(Files):
    """A file system like exFAT."""

    def link(self, source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")


def fragile(folder: Path) -> Backend:
    folder.mkdir()
    return LocalBackend(folder, files=FragileFiles(folder))


KINDS: dict[str, Callable[[Path], Backend]] = {
    "local": lambda folder: LocalBackend(folder / "deep" / "repository"),
    "local without links": lambda folder: LocalBackend(folder / "repository", files=WithoutLinks()),
    "local on a fragile disk": lambda folder: fragile(folder / "repository"),
    "memory": lambda folder: MemoryBackend(),
    "recording": lambda folder: Recording(MemoryBackend()),
    "failing later": lambda folder: FailingAt(MemoryBackend()),
    "wrapped twice": lambda folder: Wrapping(Recording(LocalBackend(folder / "repository"))),
}


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made = KINDS[request.param](tmp_path)
    made.create()
    return made


def test_what_was_written_is_read_whole_and_in_parts(backend: Backend) -> None:
    backend.write("packs/ab/object", b"0123456789")
    assert backend.read("packs/ab/object") == b"0123456789"
    assert backend.read("packs/ab/object", 2, 3) == b"234"
    assert backend.read("packs/ab/object", -4) == b"6789"
    assert backend.read("packs/ab/object", -4, 2) == b"67"
    assert backend.read("packs/ab/object", -40) == b"0123456789"
    assert backend.read("packs/ab/object", 8, 10) == b"89"
    assert backend.read("packs/ab/object", 20, 10) == b""
    assert backend.read("packs/ab/object", 3, 0) == b""
    assert backend.size("packs/ab/object") == 10


def test_a_taken_name_is_left_alone(backend: Backend) -> None:
    backend.write("ledger/1", b"first")
    with pytest.raises(ObjectExists):
        backend.write("ledger/1", b"second")
    assert backend.read("ledger/1") == b"first"
    assert list(backend.list("ledger")) == [("ledger/1", 5)]


def test_an_empty_object_is_an_object(backend: Backend) -> None:
    backend.write("keys/empty", b"")
    assert backend.read("keys/empty") == b""
    assert list(backend.list("keys")) == [("keys/empty", 0)]


def test_an_object_at_the_top_is_an_object(backend: Backend) -> None:
    backend.write("header", b"h")
    assert backend.read("header") == b"h"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_is_written(backend: Backend, kind: Callable[[bytes], bytes]) -> None:
    backend.write("keys/one", kind(bytes(range(256))))
    assert backend.read("keys/one") == bytes(range(256))


def test_a_buffer_may_be_used_again_after_the_write(backend: Backend) -> None:
    buffer = bytearray(b"one")
    backend.write("keys/one", buffer)
    buffer[:] = b"two"
    assert backend.read("keys/one") == b"one"


def test_what_is_not_there_is_missing(backend: Backend) -> None:
    for ask in (backend.read, backend.size, backend.delete):
        with pytest.raises(ObjectMissing):
            ask("ledger/none")
        with pytest.raises(ObjectMissing):
            ask("none/at/all")


def test_a_deleted_object_is_gone_and_its_name_free(backend: Backend) -> None:
    backend.write("keys/one", b"1")
    backend.delete("keys/one")
    assert list(backend.list("keys")) == []
    backend.write("keys/one", b"2")
    assert backend.read("keys/one") == b"2"


def test_listing_goes_below_a_folder_and_nowhere_else(backend: Backend) -> None:
    backend.write("packs/ab/one", b"1")
    backend.write("packs/cd/two", b"22")
    backend.write("ledger/three", b"333")
    assert sorted(backend.list("packs")) == [("packs/ab/one", 1), ("packs/cd/two", 2)]
    assert sorted(backend.list("packs/ab")) == [("packs/ab/one", 1)]
    assert list(backend.list("parity")) == []


def test_objects_may_be_deleted_while_they_are_listed(backend: Backend) -> None:
    for n in range(5):
        backend.write(f"keys/{n}", b"x")
    for name, _ in backend.list("keys"):
        backend.delete(name)
    assert list(backend.list("keys")) == []


def test_a_folder_that_create_did_not_make_is_made(backend: Backend) -> None:
    backend.write("parity/new/x", b"x")
    assert list(backend.list("parity")) == [("parity/new/x", 1)]


@pytest.mark.parametrize("name", ["", "/x", "../x", "ledger/../../x", "ledger/./x", "ledger//x", "ledger/", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(backend: Backend, name: str) -> None:
    for ask in (backend.read, backend.size, backend.delete, lambda name: list(backend.list(name))):
        with pytest.raises(ValueError, match="impossible"):
            ask(name)
    with pytest.raises(ValueError, match="impossible"):
        backend.write(name, b"x")


def test_of_two_threads_that_create_the_same_names_one_wins_each(backend: Backend) -> None:
    won: list[tuple[int, bytes]] = []
    together = threading.Barrier(2)

    def work(mine: bytes) -> None:
        together.wait()
        for n in range(50):
            try:
                backend.write(f"parity/{n % 3}/{n}", mine)
            except ObjectExists:
                continue
            won.append((n, mine))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in won) == list(range(50))
    assert all(backend.read(f"parity/{n % 3}/{n}") == mine for n, mine in won)
