"""Source and target: what is read is written again, and nowhere else."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from stores import Store
from trees import build_difficult_tree, strict_difference

from casstore.entry import Entry, Kind
from casstore.errors import FormatDamaged
from casstore.progress import Event, Notice, Problem
from casstore.selection import Selection
from casstore.source import Source
from casstore.target import Target, open_beneath


def copy(store: Store, tree: bytes, out: bytes, events: list[Event]) -> None:
    """Back a tree up and write it again by Target, as a restore would."""
    snapshot = store.backup(Path(os.fsdecode(tree)), progress=events.append)
    os.mkdir(out)
    with store.open() as repository:
        repository.refresh()
        target = Target(out, devices=True, progress=events.append)
        made: dict[bytes, bytes] = {}
        entries = list(repository.entries(snapshot))
        for entry in entries:
            if entry.link and entry.link in made:
                target.link(made[entry.link], entry.path)
            elif entry.kind is Kind.FOLDER:
                target.make_folder(entry.path)
            elif entry.kind is Kind.FILE:
                fd = target.make_file(entry.path)
                os.truncate(fd, entry.size)
                data = b"".join(repository.read(entry.content))
                at = 0
                for offset, length in entry.extents if entry.extents is not None else ((0, entry.size),):
                    os.pwrite(fd, data[at : at + length], offset)
                    at += length
                target.dress_open(fd, entry)
                os.close(fd)
            else:
                target.make_other(entry, entry.path)
                target.dress(entry.path, entry)
            if entry.link:
                made.setdefault(entry.link, entry.path)
        for entry in reversed(entries):
            if entry.kind is Kind.FOLDER:
                target.dress(entry.path, entry)
        target.close()


def test_a_difficult_tree_is_copied_without_a_difference(tmp_path: Path) -> None:
    store, events = Store(tmp_path), []  # type: ignore[var-annotated]
    store.create()
    tree, out = os.fsencode(tmp_path / "tree"), os.fsencode(tmp_path / "out")
    left_out = build_difficult_tree(tree)
    copy(store, tree, out, events)
    assert [event.path for event in events if isinstance(event, Notice)] == left_out
    assert [event for event in events if isinstance(event, Problem)] == []
    for path in left_out:
        os.unlink(tree + b"/" + path)
    assert [line for line in strict_difference(tree, out) if not line.startswith(r"b'': ")] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "file").write_bytes(b"Content"),
        lambda root: (root / "file").chmod(0o600),
        lambda root: os.utime(root / "file", ns=(1, 1)),
        lambda root: os.utime(root / "folder", ns=(1, 1)),
        lambda root: os.utime(root / "link", ns=(1, 1), follow_symlinks=False),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("other")),
        lambda root: (root / "second").unlink(),
        lambda root: ((root / "second").unlink(), (root / "second").write_bytes(b"content")),
        lambda root: (root / "new").mkdir(),
        lambda root: os.truncate(root / "file", 1 << 20),
    ],
)
def test_control_the_comparison_finds_each_kind_of_change(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    for name in ("one", "two"):
        root = tmp_path / name
        (root / "folder").mkdir(parents=True)
        (root / "file").write_bytes(b"content")
        (root / "link").symlink_to("file")
        os.link(root / "file", root / "second")
        for path in (root / "file", root / "folder", root / "link"):
            os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    one, two = os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two")
    assert strict_difference(one, two) == []
    change(tmp_path / "two")
    assert strict_difference(one, two) != []


def names(tree: Path, selection: Selection) -> set[str]:
    found = set()
    for listing in Source(os.fsencode(tree), selection).walk():
        found |= {os.fsdecode(listing.describe(i).path) for i in range(len(listing.names))}
    return found


@pytest.fixture
def app(tmp_path: Path) -> Path:
    for path in ("data/a.json", "data/deep/b.json", "data/c.txt", "logs/x.log", "node_modules/m/index.js", "cache/big"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    return tmp_path


def test_globs_stay_within_a_folder_and_double_stars_do_not(app: Path) -> None:
    assert names(app, Selection((b"data/*.json",))) == {"data", "data/a.json"}
    assert names(app, Selection((b"data/**/*.json",))) == {"data", "data/a.json", "data/deep", "data/deep/b.json"}
    assert names(app, Selection((b"logs",))) == {"logs", "logs/x.log"}


def test_what_is_excluded_is_not_entered(app: Path) -> None:
    assert not any("node_modules" in name for name in names(app, Selection(exclude=(b"node_modules",))))
    assert "data/c.txt" not in names(app, Selection(exclude=(b"*.txt",)))
    assert names(app, Selection((b"cache",), exclude_caches=True)) == {"cache", "cache/CACHEDIR.TAG"}


def test_ignore_files_apply_below_their_folder_and_deeper_ones_win(app: Path) -> None:
    (app / ".casignore").write_text("*.json\n")
    (app / "data" / "deep" / ".casignore").write_text("!b.json\n")
    found = names(app, Selection((b"data",)))
    assert "data/a.json" not in found
    assert "data/deep/b.json" in found
    assert "data/a.json" in names(app, Selection((b"data",), ignore_files=False))


def test_the_repository_in_the_tree_is_never_saved(tmp_path: Path) -> None:
    from casstore.backends.local import LocalBackend

    tree = tmp_path / "app"
    (tree / "backups").mkdir(parents=True)
    (tree / "file").write_text("x")
    store = Store(tmp_path, LocalBackend(tree / "backups" / "cas"))
    store.create()
    assert set(store.contents(store.backup(tree))) == {b"file"}


def test_a_process_that_truncates_while_it_is_read_harms_nobody(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "log").write_bytes(bytes(1 << 20))
    program = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    os.ftruncate(fd, 0); os.pwrite(fd, b'x' * (3 << 20), 0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tree / "log")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            store = Store(tmp_path)
            store.create()
            for _ in range(30):
                snapshot = store.backup(tree)
                assert snapshot.problems == 0
                assert snapshot.read <= snapshot.size  # less where it looked sparse just then
        finally:
            process.kill()
    with store.open() as repository:
        repository.refresh()
        for snapshot in repository.snapshots():
            [entry] = repository.entries(snapshot)
            assert sum(map(len, repository.read(entry.content))) == entry.size


def entry(path: bytes, kind: Kind = Kind.FILE, **more: object) -> Entry:
    return Entry(path, kind, 0o644, os.geteuid(), os.getegid(), b"", b"", 0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("openat2", [True, False])
def test_nothing_is_written_through_a_symlink(tmp_path: Path, openat2: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("../out")
    target = Target(os.fsencode(tmp_path / "root"), openat2=openat2)
    for attempt in (target.make_file, target.make_folder, target.open_file):
        with pytest.raises(OSError, match=r"symbolic|Not a directory"):
            attempt(b"link/file")
    assert list((tmp_path / "out").iterdir()) == []
    os.close(open_beneath(target.fd, b"", os.O_RDONLY | os.O_DIRECTORY, openat2=openat2))
    target.close()


@pytest.mark.parametrize("path", [b"../out", b"a/../../out", b"/out", b"a//b", b".", b"x\0y"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "a").mkdir()
    target = Target(os.fsencode(tmp_path))
    with pytest.raises(FormatDamaged):
        target.make_file(path)
    target.close()


def test_a_symlink_or_fifo_in_place_of_a_file_is_not_opened_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("../secret")
    os.mkfifo(tmp_path / "root" / "pipe")
    target = Target(os.fsencode(tmp_path / "root"))
    with pytest.raises(OSError, match="symbolic"):
        target.open_file(b"link")
    fd = target.open_file(b"pipe")  # and does not hang
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    os.close(fd)
    target.close()


def test_devices_are_made_only_when_asked(tmp_path: Path) -> None:
    events: list[Event] = []
    target = Target(os.fsencode(tmp_path), progress=events.append)
    assert not target.make_other(entry(b"null", Kind.CHARACTER_DEVICE, device=259), b"null")
    assert isinstance(events[0], Problem)
    assert list(tmp_path.iterdir()) == []
    target.close()


def test_a_hole_is_kept_in_a_file_whose_attributes_take_as_many_blocks(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, blocks in (("small", 1), ("large", 8)):
        with (tree / name).open("wb") as file:
            file.seek(4096)
            file.write(b"b" * 4096 * blocks)
        os.setxattr(tree / name, "user.note", b"v" * 3000)
    store = Store(tmp_path / "store")
    store.create()
    copy(store, os.fsencode(tree), os.fsencode(tmp_path / "out"), [])
    assert strict_difference(os.fsencode(tree), os.fsencode(tmp_path / "out")) == []


def test_on_one_file_system_a_path_that_was_named_is_taken_wherever_it_lies(tmp_path: Path) -> None:
    if os.stat("/dev/shm").st_dev == os.stat("/").st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        Path(folder, "file").write_bytes(b"x")
        path = folder.lstrip("/")
        found = names(Path("/"), Selection((os.fsencode(path),), one_file_system=True))
        assert {path, path + "/file"} <= found


def test_a_folder_of_the_user_that_only_begins_as_one_of_a_restore_is_saved(tmp_path: Path) -> None:
    for name in (".cas-restore-notes", ".cas-restore-0123456789abcdef"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    assert names(tmp_path, Selection()) == {".cas-restore-notes", ".cas-restore-notes/file"}


def test_an_attribute_that_vanishes_meanwhile_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("user.a", "user.b"):
        os.setxattr(tmp_path / "file", name, b"x")
    real = os.getxattr

    def vanishing(path: object, name: str, **options: bool) -> bytes:
        if name == "user.a":
            raise OSError(errno.ENODATA, "gone")
        return real(path, name, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "getxattr", vanishing)
    walk = Source(os.fsencode(tmp_path), Selection()).walk()
    listing = next(walk)
    assert listing.describe(0).xattrs == ((b"user.b", b"x"),)


def test_an_attribute_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.setxattr(tmp_path / "file", "user.a", b"x")

    def refusing(*_: object, **__: object) -> bytes:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "getxattr", refusing)
    events: list[Event] = []
    walk = Source(os.fsencode(tmp_path), Selection(), progress=events.append).walk()
    listing = next(walk)
    assert listing.describe(0).xattrs == ()
    assert [event.path for event in events if isinstance(event, Problem)] == [b"file"]


def test_a_restore_interrupted_deeper_in_the_tree_is_told(tmp_path: Path) -> None:
    staging = tmp_path / "sub/.cas-restore-0123456789abcdef"
    staging.mkdir(parents=True)
    events: list[Event] = []
    for _ in Source(os.fsencode(tmp_path), Selection(), progress=events.append).walk():
        pass
    assert events == []
    (staging / "journal").touch()
    for _ in Source(os.fsencode(tmp_path), Selection(), progress=events.append).walk():
        pass
    assert [event.path for event in events if isinstance(event, Problem)] == [b"sub"]
