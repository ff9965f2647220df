"""A private file is whole, for its owner only, and there after a loss of power."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore import private

WAYS = [private.create, private.replace]


@pytest.fixture(autouse=True)
def _lax_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_file_and_new_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "file"
    private.replace(path, b"content")
    assert path.read_bytes() == b"content"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)] == [
        0o600, 0o700, 0o700,
    ]  # fmt: skip
    assert list(path.parent.iterdir()) == [path]


def test_bytes_are_durable_before_the_name_and_folders_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    private.replace(tmp_path / "new" / "file", b"content")
    assert synced[0] == str(tmp_path)
    assert synced[1].startswith(str(tmp_path / "new" / ".file"))
    assert synced[2:] == [str(tmp_path / "new")]


def test_a_folder_is_not_made_for_a_file_that_somebody_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        private.create(tmp_path / "no stick is mounted" / "file", b"content")


def test_what_is_there_is_not_made_again_but_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    private.create(path, b"one")
    with pytest.raises(FileExistsError):
        private.create(path, b"two")
    assert path.read_bytes() == b"one"
    private.replace(path, b"two")
    assert path.read_bytes() == b"two"


@pytest.mark.parametrize("put", [*WAYS, lambda path, data: private.try_to_replace(path, len(data))])
def test_a_full_disk_leaves_all_as_it_was(
    tmp_path: Path, put: Callable[[Path, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_process_out_of_descriptors_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> int:
        raise OSError(24, "Too many open files")

    private.create(tmp_path / "file", b"content")
    monkeypatch.setattr(os, "open", refused)
    for put in WAYS:
        with pytest.raises(OSError, match="Too many"):
            put(tmp_path / "file", b"other")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"content"]


def test_a_trial_changes_nothing(tmp_path: Path) -> None:
    private.create(tmp_path / "file", b"content")
    private.try_to_replace(tmp_path / "file", 100)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"content"]


@pytest.mark.parametrize("name", ["a" * 255, "\N{SNOWMAN}" * 85, ".env"])
def test_any_name_is_replaced_and_what_a_kill_leaves_of_an_env_file_is_called_like_one(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.replace(tmp_path / name, b"one")
    monkeypatch.setattr(Path, "replace", lambda *_: os._exit)  # as if it were killed before
    private.replace(tmp_path / name, b"two")
    assert (tmp_path / name).read_bytes() == b"one"
    (left,) = (path.name for path in tmp_path.iterdir() if path.name != name)
    assert left.startswith(".")
    assert name != ".env" or left.startswith(".env.")
