"""Nothing is written outside the target, whatever the snapshot holds and whatever lies in the target."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from restore.folders import Folder, fill

from casstore.entry import Entry, Kind
from casstore.errors import CasError, FormatDamaged
from casstore.repository import Repository
from casstore.restore import restore, survey
from casstore.snapshot import Snapshot


class Hostile:
    """A repository whose manifest says what it likes; its bytes are genuine."""

    def __init__(self, real: Repository, blocks: list[tuple[bytes, list[Entry]]]) -> None:
        self._real, self._blocks = real, blocks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def blocks(self, _snapshot: Snapshot) -> Iterator[tuple[bytes, list[Entry]]]:
        return iter(self._blocks)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    fill(made.tree)
    return made


def entry(path: bytes, kind: Kind = Kind.FILE, **fields: Any) -> Entry:
    return Entry(path, kind, 0o755, os.geteuid(), os.getegid(), b"", b"", 0)._replace(**fields)


OUTSIDE = [
    pytest.param([(b"", [entry(b"/evil")])], id="absolute"),
    pytest.param([(b"", [entry(b"../evil")])], id="dots in a name"),
    pytest.param([(b"", [entry(b"..", Kind.FOLDER)]), (b"..", [entry(b"../evil")])], id="a folder of dots"),
    pytest.param([(b"", [entry(b".", Kind.FOLDER)]), (b".", [entry(b"./evil")])], id="the folder itself"),
    pytest.param([(b"", [entry(b"a\0b")])], id="NUL"),
    pytest.param([(b"", [entry(b"")])], id="no name"),
    pytest.param([(b"", [entry(b"a//b")])], id="an empty part"),
    pytest.param([(b"/tmp", [entry(b"/tmp/evil")])], id="a block of a folder never announced"),
    pytest.param(
        [(b"", [entry(b"out", Kind.SYMLINK, target=b"..")]), (b"out", [entry(b"out/evil")])], id="below a symlink"
    ),
    pytest.param(
        [
            (b"", [entry(b"out", Kind.SYMLINK, target=b".."), entry(b"out", Kind.FOLDER)]),
            (b"out", [entry(b"out/evil")]),
        ],
        id="a symlink, then a folder of the same name",
    ),
    pytest.param([(b"", [entry(b"d", Kind.FOLDER)]), (b"d", [entry(b"evil")])], id="an entry of another folder"),
]


def outside(folder: Folder) -> dict[str, float]:
    """What lies beside the target, and when it changed."""
    skip = ("out", "cache", "state", "config")
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.folder.rglob("*")
        if path.relative_to(folder.folder).parts[0] not in skip
    }


def restore_hostile(folder: Folder, blocks: list[tuple[bytes, list[Entry]]], **options: Any) -> None:
    snapshot = folder.snapshot()
    with folder.opened() as repository:
        restore(
            Hostile(repository, blocks), snapshot, folder.folder / "out", in_place=False,  # type: ignore[arg-type]
            now_ns=folder.now, zone_minutes=0, hostname="h", **options,
        )  # fmt: skip


@pytest.mark.parametrize("blocks", OUTSIDE)
def test_a_manifest_that_leads_out_is_refused(folder: Folder, blocks: list[tuple[bytes, list[Entry]]]) -> None:
    folder.snapshot()
    before = outside(folder)
    (folder.folder / "out").mkdir()
    with pytest.raises(CasError):
        raise_on_damage(folder, blocks)
    assert outside(folder) == before
    # What came before the lie may be there: a symlink, an empty folder.
    assert set(os.listdir(folder.folder / "out")) <= {"out", "d"}


def raise_on_damage(folder: Folder, blocks: list[tuple[bytes, list[Entry]]]) -> None:
    snapshot = folder.snapshot()
    with folder.opened() as repository:
        done = restore(
            Hostile(repository, blocks), snapshot, folder.folder / "out", in_place=False,  # type: ignore[arg-type]
            now_ns=folder.now, zone_minutes=0, hostname="h",
        )  # fmt: skip
        for path, reason in done.damaged:
            raise FormatDamaged(f"{path!r}: {reason}")


def test_control_without_the_check_a_target_still_refuses_to_leave_its_root(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two protections, each enough: the manifest is checked, and every path is resolved below one descriptor."""
    monkeypatch.setattr(survey, "checked", lambda blocks: blocks)
    before = outside(folder)
    blocks = [(b"", [entry(b"..", Kind.FOLDER)]), (b"..", [entry(b"../evil")])]
    with pytest.raises(CasError):
        raise_on_damage(folder, blocks)
    assert outside(folder).keys() == before.keys()


def test_a_hard_link_is_only_made_to_what_the_restore_wrote(folder: Folder) -> None:
    secret = folder.folder / "secret"
    secret.write_bytes(b"secret")
    out = folder.folder / "out"
    out.mkdir()
    (out / "alias").hardlink_to(secret)
    label = b"L" * 8
    blocks = [(b"", [entry(b"alias", link=label), entry(b"another", link=label)])]
    restore_hostile(folder, blocks)
    assert secret.stat().st_nlink == 1
    assert secret.read_bytes() == b"secret"
    assert (out / "alias").stat().st_ino == (out / "another").stat().st_ino
    assert (out / "alias").read_bytes() == b""


def test_one_label_on_different_files_makes_no_link(folder: Folder) -> None:
    label = b"L" * 8
    blocks = [(b"", [entry(b"a", link=label), entry(b"b", Kind.FIFO, link=label)])]
    restore_hostile(folder, blocks)
    assert (folder.folder / "out/a").is_file()
    assert (folder.folder / "out/b").is_fifo()


def test_device_nodes_come_back_only_when_asked_for(folder: Folder) -> None:
    blocks = [(b"", [entry(b"null", Kind.CHARACTER_DEVICE, device=os.makedev(1, 3))])]
    restore_hostile(folder, blocks)
    assert os.listdir(folder.folder / "out") == []


@pytest.mark.parametrize("in_place", [True, False])
def test_symlinks_in_the_target_are_replaced_and_never_followed(folder: Folder, in_place: bool) -> None:
    snapshot = folder.snapshot()
    elsewhere = folder.folder / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "log").write_bytes(b"theirs")
    (elsewhere / "deep/one").write_bytes(b"theirs")
    os.utime(elsewhere, ns=(1, 1))
    target = folder.tree if in_place else folder.folder / "out"
    target.mkdir(exist_ok=True)
    if in_place:
        (target / "data").rename(folder.folder / "moved")
        (target / "a.json").unlink()
    (target / "data").symlink_to(elsewhere)
    (target / "a.json").symlink_to(elsewhere / "log")
    folder.restore(snapshot, target, in_place=in_place)
    assert not (target / "data").is_symlink()
    assert not (target / "a.json").is_symlink()
    assert (elsewhere / "log").read_bytes() == (elsewhere / "deep/one").read_bytes() == b"theirs"
    assert elsewhere.stat().st_mtime_ns == 1
    assert sorted(os.listdir(elsewhere)) == ["deep", "log"]


def test_a_path_below_a_symlink_of_the_target_is_not_written_through_it(folder: Folder) -> None:
    snapshot = folder.snapshot()
    elsewhere = folder.folder / "elsewhere"
    elsewhere.mkdir()
    out = folder.folder / "out"
    out.mkdir()
    (out / "data").symlink_to(elsewhere)
    folder.restore(snapshot, out, paths=(b"data/log",))
    assert os.listdir(elsewhere) == []
    assert (out / "data/log").read_bytes() == (folder.tree / "data/log").read_bytes()


def test_a_journal_of_another_user_is_not_believed(folder: Folder) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    from casstore.restore import undo

    forged = folder.tree / ".cas-restore-0123456789abcdef"
    for name in ("new", "old", "foreign"):
        (forged / name).mkdir(parents=True)
    (forged / "journal").write_bytes(b"whatever")
    os.chown(forged, 12345, 12345)
    with pytest.raises(CasError, match="another user"):
        undo(folder.tree, state=folder.home.state)
    with pytest.raises(CasError):
        folder.restore(folder.snapshot())


def test_a_journal_does_not_come_out_of_a_snapshot(folder: Folder) -> None:
    forged = b".cas-restore-0123456789abcdef"
    blocks = [(b"", [entry(forged, Kind.FOLDER), entry(b"real")]), (forged, [entry(forged + b"/journal")])]
    restore_hostile(folder, blocks)
    assert os.listdir(folder.folder / "out") == ["real"]
