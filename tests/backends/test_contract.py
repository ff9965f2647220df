"""What every backend promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.backends.base import Backend
from casstore.backends.local import LocalBackend
from casstore.backends.memory import MemoryBackend
from casstore.errors import ObjectExists, ObjectMissing


@pytest.fixture(params=["local", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made: Backend = LocalBackend(tmp_path / "deep" / "repository") if request.param == "local" else MemoryBackend()
    made.create()
    return made


def test_what_was_written_is_read_whole_and_in_parts(backend: Backend) -> None:
    backend.write("packs/ab/object", b"0123456789")
    assert backend.read("packs/ab/object") == b"0123456789"
    assert backend.read("packs/ab/object", 2, 3) == b"234"
    assert backend.read("packs/ab/object", -4) == b"6789"
    assert backend.read("packs/ab/object", -40) == b"0123456789"
    assert backend.read("packs/ab/object", 8, 10) == b"89"
    assert backend.read("packs/ab/object", 20, 10) == b""
    assert backend.size("packs/ab/object") == 10


def test_a_taken_name_is_left_alone(backend: Backend) -> None:
    backend.write("ledger/1", b"first")
    with pytest.raises(ObjectExists):
        backend.write("ledger/1", b"second")
    assert backend.read("ledger/1") == b"first"


def test_an_empty_object_is_an_object(backend: Backend) -> None:
    backend.write("keys/empty", b"")
    assert backend.read("keys/empty") == b""
    assert list(backend.list("keys")) == [("keys/empty", 0)]


def test_what_is_not_there_is_missing(backend: Backend) -> None:
    for ask in (backend.read, backend.size, backend.delete):
        with pytest.raises(ObjectMissing):
            ask("ledger/none")


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
    assert list(backend.list("parity")) == []


def test_a_folder_that_create_did_not_make_is_made(backend: Backend) -> None:
    backend.write("parity/new/x", b"x")
    assert list(backend.list("parity")) == [("parity/new/x", 1)]
