"""Restore: what comes back, what stays, what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from restore.folders import Folder, fill, spoil
from trees import build_difficult_tree, strict_difference

from casstore.errors import UsageError
from casstore.progress import Advanced, Notice, Problem, Stage
from casstore.restore import NotRestorable


def difference(one: Path, other: Path) -> list[str]:
    return strict_difference(os.fsencode(one), os.fsencode(other))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    fill(made.tree)
    return made


def test_a_tree_is_restored_elsewhere_without_a_difference(folder: Folder, tmp_path: Path) -> None:
    done = folder.restore(folder.snapshot(), tmp_path / "out")
    assert difference(folder.tree, tmp_path / "out") == []
    assert (done.problems, done.damaged, done.pre_restore) == (0, (), None)
    assert folder.leftovers(tmp_path / "out") == []


def test_a_difficult_tree_is_restored_without_a_difference(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    left_out = build_difficult_tree(os.fsencode(folder.tree))
    done = folder.restore(folder.snapshot(), tmp_path / "out", devices=True, read_back=True)
    for path in left_out:
        os.unlink(os.fsencode(folder.tree) + b"/" + path)
    assert done.problems == 0
    assert [x for x in difference(folder.tree, tmp_path / "out") if not x.startswith(r"b'': ")] == []


def test_in_place_with_delete_the_tree_is_what_it_was(folder: Folder) -> None:
    snapshot, before = folder.snapshot(), folder.copy("before")
    spoil(folder.tree)
    done = folder.restore(snapshot, delete=True)
    assert difference(before, folder.tree) == []
    assert done.problems == 0
    assert folder.leftovers() == []


def test_without_delete_what_the_snapshot_does_not_have_stays(folder: Folder) -> None:
    snapshot = folder.snapshot()
    (folder.tree / "new").write_bytes(b"new")
    (folder.tree / "a.json").write_bytes(b"spoilt")
    folder.restore(snapshot)
    assert (folder.tree / "new").read_bytes() == b"new"
    assert (folder.tree / "a.json").read_bytes() == b"a.json" * 50


def test_equal_files_are_left_alone(folder: Folder) -> None:
    snapshot = folder.snapshot()
    inodes = {path: path.lstat().st_ino for path in folder.tree.rglob("*")}
    (folder.tree / "a.json").write_bytes(b"spoilt")
    done = folder.restore(snapshot)
    after = {path: path.lstat().st_ino for path in folder.tree.rglob("*")}
    assert [path.name for path in inodes if inodes[path] != after[path]] == ["a.json"]
    assert (done.new, done.replaced, done.files, done.total_bytes) == (0, 1, 1, 300)


def test_with_nothing_to_do_no_snapshot_is_taken(folder: Folder) -> None:
    snapshot = folder.snapshot()
    done = folder.restore(snapshot)
    assert done.pre_restore is None
    assert done.unchanged > 0


def test_an_undo_returns_to_what_was_there_before(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    spoilt = folder.copy("spoilt")
    folder.restore(snapshot, delete=True)
    folder.undo()
    assert difference(spoilt, folder.tree) == []


def test_an_undo_can_be_undone(folder: Folder) -> None:
    snapshot, before = folder.snapshot(), folder.copy("before")
    spoil(folder.tree)
    folder.restore(snapshot, delete=True)
    folder.undo()
    folder.undo()
    assert difference(before, folder.tree) == []


def test_an_undo_removes_only_what_the_restore_created(folder: Folder) -> None:
    snapshot = folder.snapshot()
    shutil.rmtree(folder.tree / "data")
    folder.restore(snapshot)
    (folder.tree / "data/deep/mine").write_bytes(b"mine")
    folder.undo()
    left = sorted(str(path.relative_to(folder.tree)) for path in (folder.tree / "data").rglob("*"))
    assert left == ["data/deep", "data/deep/mine"]


def test_what_is_excluded_is_never_deleted(folder: Folder) -> None:
    (folder.tree / ".casignore").write_text("*.tmp\n")
    snapshot = folder.snapshot()
    (folder.tree / "new folder").mkdir()
    (folder.tree / "new folder/x.tmp").write_bytes(b"x")
    (folder.tree / "new folder/y").write_bytes(b"y")
    done = folder.restore(snapshot, delete=True)
    assert sorted(path.name for path in (folder.tree / "new folder").iterdir()) == ["x.tmp"]
    assert [event.path for event in folder.events if isinstance(event, Notice)] == [b"new folder"]
    assert done.deleted == 2


def test_deleting_elsewhere_is_refused(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        folder.restore(folder.snapshot(), tmp_path / "out", delete=True)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((b"a.json",), ["a.json"]),
        ((b"data/deep",), ["data", "data/deep", "data/deep/one", "data/deep/two"]),
        ((b"*.json",), ["a.json", "b.json", "same.json"]),
        ((b"**/one",), ["data", "data/deep", "data/deep/one"]),
        ((b"data/deep/one", b"a.json"), ["a.json", "data", "data/deep", "data/deep/one"]),
        ((b"first",), ["first"]),
    ],
)
def test_only_the_paths_asked_for_are_restored(
    folder: Folder, tmp_path: Path, paths: tuple[bytes, ...], expected: list[str]
) -> None:
    done = folder.restore(folder.snapshot(), tmp_path / "out", paths=paths)
    out = tmp_path / "out"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == expected
    assert done.unmatched == ()
    for path in expected:
        assert (out / path).lstat().st_mtime_ns == (folder.tree / path).lstat().st_mtime_ns


def test_a_name_with_the_letters_of_a_glob_is_found(folder: Folder, tmp_path: Path) -> None:
    (folder.tree / "x[1].json").write_bytes(b"x")
    folder.restore(folder.snapshot(), tmp_path / "out", paths=(b"x[1].json",))
    assert os.listdir(tmp_path / "out") == ["x[1].json"]


def test_a_path_that_nothing_answers_to_is_told(folder: Folder, tmp_path: Path) -> None:
    done = folder.restore(folder.snapshot(), tmp_path / "out", paths=(b"a.json", b"nope/*"))
    assert done.unmatched == (b"nope/*",)


def test_the_rest_of_a_folder_stays_when_one_path_is_restored_in_place(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    spoilt = folder.copy("spoilt")
    folder.restore(snapshot, paths=(b"a.json",), delete=True)
    assert (folder.tree / "a.json").read_bytes() == b"a.json" * 50
    assert [line for line in difference(spoilt, folder.tree) if "a.json" not in line] == []


def test_the_plan_says_what_the_restore_then_does(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    with folder.plan(snapshot, delete=True) as plan:
        changes = {(change.what, change.path) for change in plan.changes()}
    done = folder.restore(snapshot, delete=True)
    for what in ("new", "replaced", "attributes", "deleted", "unchanged", "files", "total_bytes"):
        assert getattr(plan, what) == getattr(done, what), what
    assert ("replaced", b"a.json") in changes
    assert ("deleted", b"new folder/below") in changes
    assert ("new", b"b.json") in changes
    assert ("attributes", b"mode") in changes
    assert not any(path == b"same.json" for _, path in changes)
    assert plan.same_origin


def test_the_plan_for_a_folder_that_is_not_there_is_all_new(folder: Folder, tmp_path: Path) -> None:
    with folder.plan(folder.snapshot(), tmp_path / "nowhere") as plan:
        assert (plan.replaced, plan.unchanged, plan.files) == (0, 0, 11)
    assert not (tmp_path / "nowhere").exists()


def test_a_lost_folder_comes_back_in_place(folder: Folder) -> None:
    snapshot, before = folder.snapshot(), folder.copy("before")
    shutil.rmtree(folder.tree)
    folder.restore(snapshot)
    assert difference(before, folder.tree) == []


def test_hard_links_that_are_as_they_were_are_left_alone(folder: Folder) -> None:
    snapshot = folder.snapshot()
    inode = (folder.tree / "first").stat().st_ino
    (folder.tree / "a.json").write_bytes(b"spoilt")
    folder.restore(snapshot)
    assert (folder.tree / "first").stat().st_ino == (folder.tree / "second").stat().st_ino == inode


def test_one_changed_name_of_two_brings_both_back_as_one_file(folder: Folder) -> None:
    snapshot, before = folder.snapshot(), folder.copy("before")
    (folder.tree / "second").unlink()
    (folder.tree / "second").write_bytes(b"linked")
    folder.restore(snapshot)
    assert (folder.tree / "first").stat().st_ino == (folder.tree / "second").stat().st_ino
    assert difference(before, folder.tree) == []


def test_progress_names_the_stages_and_ends_at_the_total(folder: Folder, tmp_path: Path) -> None:
    snapshot = folder.snapshot()
    folder.restore(snapshot, tmp_path / "out")
    assert [event.name for event in folder.events if isinstance(event, Stage)]
    last = [event for event in folder.events if isinstance(event, Advanced)][-1]
    assert (last.files, last.total_files) == (snapshot.files, snapshot.files)
    assert not any(isinstance(event, Problem) for event in folder.events)


def test_nothing_inherits_a_group_or_an_acl_from_the_target(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if os.geteuid() == 0:
        os.chown(out, -1, 1234)
    out.chmod(0o2775)
    acl = bytes.fromhex("02000000 01000700ffffffff 02000700d2040000 04000500ffffffff 10000700ffffffff 20000500ffffffff")
    os.setxattr(out, "system.posix_acl_default", acl)
    folder.restore(folder.snapshot(), out)
    assert difference(folder.tree, out) == []


def test_what_a_user_keeps_in_a_folder_named_like_ours_stays(folder: Folder) -> None:
    snapshot = folder.snapshot()
    spoil(folder.tree)
    for name in (".cas-restore-notes", ".cas-restore-0123456789abcdef"):
        (folder.tree / name).mkdir()
        (folder.tree / name / "mine").write_bytes(b"mine")
    folder.restore(snapshot)
    assert len(folder.leftovers()) == 2
    assert (folder.tree / ".cas-restore-0123456789abcdef/mine").read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make device nodes")
def test_device_nodes_with_several_names_cost_nothing_but_themselves(folder: Folder, tmp_path: Path) -> None:
    os.mknod(folder.tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (folder.tree / "null again").hardlink_to(folder.tree / "null")
    done = folder.restore(folder.snapshot(), tmp_path / "out")
    told = sorted(event.path for event in folder.events if isinstance(event, Problem))
    assert (done.problems, told) == (2, [b"null", b"null again"])
    assert sorted(difference(folder.tree, tmp_path / "out"))[:2] == ["b'null again' is missing", "b'null' is missing"]
    folder.restore(folder.snapshot(), tmp_path / "all", devices=True)
    assert difference(folder.tree, tmp_path / "all") == []


@pytest.fixture
def mounted(folder: Folder) -> Iterator[Path]:
    mount = folder.tree / "data/deep/mount"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    (mount / "there").write_bytes(b"there")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_mount_point_with_nothing_to_replace_stops_nothing(folder: Folder, mounted: Path) -> None:
    snapshot = folder.snapshot()
    (folder.tree / "a.json").unlink()
    (mounted / "there").chmod(0o600)
    (mounted / "mine").write_bytes(b"mine")
    folder.restore(snapshot)
    assert (folder.tree / "a.json").exists()
    assert stat.S_IMODE((mounted / "there").stat().st_mode) == 0o644
    assert (mounted / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other")])
def test_what_lies_below_a_mount_point_is_not_replaced(
    folder: Folder, mounted: Path, change: Callable[[Path], object]
) -> None:
    snapshot = folder.snapshot()
    change(mounted / "there")
    (folder.tree / "a.json").unlink()
    with pytest.raises(NotRestorable, match="another file system"):
        folder.restore(snapshot)
    assert not (folder.tree / "a.json").exists()
