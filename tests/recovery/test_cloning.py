"""A clone is made aside and moved beside what lies in the folder, which stays as it is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from casstore.recovery import cloning


def clone(folder: Path) -> None:
    place = cloning.prepare(folder)
    assert not place.exists()
    for name in ("app.py", "backups/README", "backups/cas/header", "src/deep/a.js", ".env"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("cloned")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backups/cas").mkdir(parents=True)
    (tmp_path / "backups/cas/header").write_text("mine")
    (tmp_path / ".env").write_text("mine")
    return tmp_path


def assert_settled(folder: Path) -> None:
    assert not (folder / cloning.ASIDE).exists()
    assert (folder / "backups/cas/header").read_text() == "mine"
    assert (folder / ".env").read_text() == "mine"
    for name in ("app.py", "backups/README", "src/deep/a.js"):
        assert (folder / name).read_text() == "cloned"


def test_what_was_there_stays_and_is_told(folder: Path) -> None:
    clone(folder)
    assert cloning.settle(folder) == [".env", "backups/cas/header"]
    assert_settled(folder)


def test_moving_that_was_cut_off_goes_on(folder: Path) -> None:
    clone(folder)
    aside = folder / cloning.ASIDE
    (aside / "clone").rename(aside / "whole")
    (aside / "whole/app.py").rename(folder / "app.py")
    assert cloning.is_whole(folder)
    cloning.settle(folder)
    assert_settled(folder)


def test_a_symlink_in_the_folder_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "src").symlink_to(elsewhere)
    clone(folder)
    assert "src" in cloning.settle(folder)
    assert list(elsewhere.iterdir()) == []


MEMORY = Path("/dev/shm")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no second file system")
def test_what_belongs_onto_another_file_system_is_copied_there(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as mounted:
        if Path(mounted).stat().st_dev == folder.stat().st_dev:
            pytest.skip("there is no second file system")
        place, there = folder / "whole", Path(mounted)
        for name in ("app.py", "src/deep/a.js"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("cloned")
        (place / "link").symlink_to("app.py")
        (there / f"{cloning.ASIDE}-src").mkdir()  # left by an attempt that was killed
        assert list(cloning._move(place, there)) == []
        assert sorted(path.name for path in there.iterdir()) == ["app.py", "link", "src"]
        assert list(place.iterdir()) == []  # so that nothing of it is told as there already, if this is done again
        assert (there / "src/deep/a.js").read_text() == (there / "link").read_text() == "cloned"


def test_half_a_clone_of_before_is_removed(folder: Path) -> None:
    clone(folder)
    clone(folder)
    cloning.discard(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".env", "backups"]


def test_only_what_clones_into_the_folder_is_a_clone() -> None:
    assert cloning.is_clone(["git", "clone", "-q", "address", "{folder}"])
    assert not cloning.is_clone(["git", "clone", "address", "elsewhere"])
    assert not cloning.is_clone(["chown", "-R", "app", "{folder}"])
