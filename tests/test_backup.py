"""What a backup saves, what it reads, and what it costs."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import DAY, Store, files_of

from casstore import source
from casstore.backends.memory import MemoryBackend
from casstore.backup import backup
from casstore.cache import Cache
from casstore.database import CacheFails
from casstore.entry import Kind
from casstore.errors import UsageError
from casstore.format import manifest
from casstore.format.pack import object_name
from casstore.progress import Event, Notice, Problem, silent
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import Listing, Source
from casstore.verify import verify


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.create()
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "data" / "empty").mkdir(parents=True)
    rows = [{"id": f"usr_{n}", "value": random.Random(n).randrange(10**9)} for n in range(3000)]
    (folder / "data" / "users.json").write_text(json.dumps(rows, indent=1))
    (folder / "events.log").write_text("".join(f'{{"event": {n}, "at": {n * n}}}\n' for n in range(20_000)))
    (folder / "empty").write_bytes(b"")
    return settle(folder)


def settle(tree: Path) -> Path:
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    return tree


def test_what_was_saved_is_read_back_byte_for_byte(store: Store, tree: Path) -> None:
    snapshot = store.backup(tree)
    assert store.contents(snapshot) == files_of(tree)
    with store.open() as repository:
        assert list(verify(repository)) == []


def test_an_unchanged_tree_is_not_read_and_brings_no_pack(store: Store, tree: Path) -> None:
    first = store.backup(tree)
    store.now += DAY  # ctime cannot be set back: let the files settle
    store.backup(tree)
    again = store.backup(tree)
    assert (again.read, again.added, again.stored, again.unchanged) == (0, 0, 0, 3)
    assert again.manifest == first.manifest


def test_a_file_that_changed_within_its_old_times_is_read_while_they_are_young(store: Store, tree: Path) -> None:
    store.now = (tree / "empty").stat().st_ctime_ns  # the clock of this backup: as young as the files
    store.backup(tree)
    log = tree / "events.log"
    before = log.stat()
    log.write_bytes(log.read_bytes()[::-1])
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_every_file_is_read_again_within_a_week(store: Store, tree: Path) -> None:
    store.now += DAY
    store.backup(tree)
    read = 0
    for _ in range(8):
        store.now += DAY
        read += store.backup(tree).read
    assert read == sum(map(len, files_of(tree).values()))


def test_one_changed_record_and_a_grown_log_cost_differences(store: Store, tree: Path) -> None:
    first = store.backup(tree)
    users = tree / "data" / "users.json"
    rows = json.loads(users.read_text())
    rows[1500]["value"] = 7
    users.write_text(json.dumps(rows, indent=1))
    with (tree / "events.log").open("a") as log:
        log.write('{"event": "new"}\n' * 3)
    second = store.backup(tree)
    assert second.stored < 2048 < 20_000 < first.stored
    assert second.changed == 2
    assert store.contents(second) == files_of(tree)


def test_without_a_predecessor_the_same_change_costs_whole_chunks(store: Store, tree: Path) -> None:
    """The control of the test above: what it measures are the differences."""
    store.backup(tree)
    users = tree / "data" / "users.json"
    users.write_text(users.read_text().replace('500"', 'xxx"'))  # in three places
    shutil.move(tree, tree.with_name("moved"))  # another origin: no predecessor
    assert store.backup(tree.with_name("moved")).stored > 2048


def test_a_chain_of_a_hundred_differences_is_read_back(store: Store, tree: Path) -> None:
    states = []
    for n in range(100):
        with (tree / "events.log").open("a") as log:
            log.write(f'{{"event": {n}}}\n')
        states.append((store.backup(tree), files_of(tree)))
    for snapshot, files in states[::9]:
        assert store.contents(snapshot) == files
    with store.open() as repository:
        assert list(verify(repository)) == []


def test_a_lost_cache_costs_a_reading_and_nothing_stored(store: Store, tree: Path) -> None:
    first = store.backup(tree)
    shutil.rmtree(store.home.cache)
    again = store.backup(tree)
    assert again.read == first.read
    assert (again.added, again.stored, again.manifest) == (0, 0, first.manifest)


def test_an_older_copy_of_the_cache_is_late_and_never_wrong(store: Store, tree: Path) -> None:
    store.backup(tree)
    shutil.copytree(store.home.cache, store.folder / "old")
    (tree / "events.log").write_text("anew\n" * 9000)
    store.backup(tree)
    shutil.rmtree(store.home.cache)
    shutil.move(store.folder / "old", store.home.cache)
    (tree / "data" / "users.json").write_text("[]")
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_a_broken_cache_is_made_anew(store: Store, tree: Path) -> None:
    store.backup(tree)
    [database] = store.home.cache.rglob("cache.sqlite")
    database.write_bytes(b"junk" * 5000)
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_after_a_lost_cache_an_unchanged_tree_is_read_once_though_no_snapshot_is_made(store: Store, tree: Path) -> None:
    store.backup(tree)
    store.now += DAY  # let the files settle
    shutil.rmtree(store.home.cache)
    assert [store.backup(tree, skip=True).read > 0 for _ in range(3)] == [True, False, False]
    with store.open() as repository:
        repository.refresh()
        assert len(repository.snapshots()) == 1


@pytest.mark.parametrize(
    ("method", "first"),
    [
        ("execute", "SELECT"),
        ("execute", "INSERT"),
        ("add_pack", None),
        ("remember_commit", None),
        ("remember", "ledger"),
        ("remember", "source"),
        ("commit", None),
    ],
)
def test_a_cache_that_fails_on_the_way_is_done_without_and_one_snapshot_is_made(
    store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch, method: str, first: str | None
) -> None:
    store.backup(tree)
    (tree / "events.log").write_text("anew\n" * 9000)
    real = getattr(Cache, method)

    def on_a_full_disk(self: Cache, *arguments: Any) -> Any:
        if not self.trouble and (first is None or arguments[0].startswith(first)):
            self.rollback()  # as sqlite does
            raise CacheFails("database or disk is full")
        return real(self, *arguments)

    with monkeypatch.context() as full:
        full.setattr(Cache, method, on_a_full_disk)
        with store.open() as repository:
            store.now += DAY
            snapshot = backup(
                repository, Source(os.fsencode(tree), Selection()), now_ns=store.now, zone_minutes=0, hostname="h"
            )
            assert "full" in repository.cache.trouble
            assert [one.number for one in repository.snapshots()][1:] == [snapshot.number]
    assert (snapshot.changed, snapshot.files) == (1, 3)
    assert store.contents(snapshot) == files_of(tree)
    assert store.backup(tree).manifest == snapshot.manifest
    with store.open() as repository:
        assert list(verify(repository)) == []


def test_a_cache_that_fails_when_nothing_changed_costs_nothing(
    store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.backup(tree)

    def on_a_full_disk(self: Cache, name: str, value: bytes) -> None:
        if name.startswith("source"):
            raise CacheFails("database or disk is full")
        real(self, name, value)

    real = Cache.remember
    with monkeypatch.context() as full:
        full.setattr(Cache, "remember", on_a_full_disk)
        assert store.backup(tree, skip=True).number == 0
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_a_cache_that_fails_twice_stops_a_backup(store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(*_arguments: object) -> None:
        raise CacheFails("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(Cache, "execute", on_a_full_disk)
        with pytest.raises(CacheFails):
            store.backup(tree)
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_what_cannot_be_read_is_told_and_the_rest_is_saved(store: Store, tree: Path) -> None:
    (tree / "loop").symlink_to("loop")
    (tree / "gone.json").write_text("x")
    events: list[Event] = []

    def vanish(event: Event) -> None:
        events.append(event)

    class Vanishing(Selection):
        def isolates(self, path: bytes) -> bool:
            if path == b"gone.json":
                (tree / "gone.json").unlink()
            return True  # so that the file is opened after this

    snapshot = store.backup(tree, Vanishing(), progress=vanish)
    assert [event.path for event in events if isinstance(event, Problem)] == [b"gone.json"]
    assert snapshot.problems == 1
    assert store.contents(snapshot) == files_of(tree)


def test_a_path_that_matches_nothing_is_a_notice(store: Store, tree: Path) -> None:
    events: list[Event] = []
    snapshot = store.backup(tree, Selection(paths=(b"data/*.json", b"later/*.json")), progress=events.append)
    assert [event.path for event in events if isinstance(event, Notice)] == [b"later/*.json"]
    assert list(store.contents(snapshot)) == [b"data/users.json"]


def test_a_folder_that_no_block_can_hold_is_told_and_the_rest_is_saved(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MOST_IN_FOLDER", 3)
    monkeypatch.setattr(manifest, "MOST_IN_FOLDER", 3)
    for name in ("full/1", "full/2", "full/3", "more/1", "more/2", "more/3", "more/4/deep"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    events: list[Event] = []
    snapshot = store.backup(tmp_path / "tree", progress=events.append)
    assert [event.path for event in events if isinstance(event, Problem)] == [b"more"]
    assert list(store.contents(snapshot)) == [b"full/1", b"full/2", b"full/3", b"more/1", b"more/2", b"more/3"]


def test_folders_links_and_times_stand_in_the_manifest(store: Store, tree: Path) -> None:
    os.link(tree / "events.log", tree / "second")
    (tree / "data" / "to").symlink_to(b"nowhere\xff".decode("utf-8", "surrogateescape"))
    os.mkfifo(tree / "pipe")
    snapshot = store.backup(tree)
    with store.open() as repository:
        repository.refresh()
        entries = {entry.path: entry for entry in repository.entries(snapshot)}
    assert entries[b"data/empty"].kind is Kind.FOLDER
    assert entries[b"data/to"].target == b"nowhere\xff"
    assert entries[b"pipe"].kind is Kind.FIFO
    assert entries[b"second"].link == entries[b"events.log"].link != b""
    assert entries[b"second"].content == entries[b"events.log"].content
    assert entries[b"empty"].mtime_ns == 10**18


def test_holes_are_neither_read_nor_stored(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    folder.mkdir()
    with (folder / "image").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"in the middle")
    snapshot = store.backup(folder)
    assert snapshot.read < 1 << 20
    with store.open() as repository:
        repository.refresh()
        [entry] = repository.entries(snapshot)
    assert entry.size == 1 << 40
    assert entry.extents is not None


def test_two_backups_at_once_both_end_in_the_ledger(store: Store, tree: Path) -> None:
    store.backup(tree)
    with store.open() as one, store.open() as two:
        one.refresh()
        two.refresh()  # works with a private copy of the cache, since `one` writes
        first = _backup_with(one, tree, store.now + 1)
        second = _backup_with(two, tree, store.now + 2)
    assert (first, second) == (4, 5)
    with store.open() as repository:
        assert list(verify(repository)) == []
        assert len(repository.snapshots()) == 3


def _backup_with(repository: Repository, tree: Path, now: int) -> int:
    source = Source(os.fsencode(tree), Selection())
    return backup(repository, source, now_ns=now, zone_minutes=0, hostname="h").number


class Restless(Source):
    """A source whose tree changes: `change` is called between a folder's listing and its reading."""

    def __init__(self, tree: Path, change: Callable[[bytes], object]) -> None:
        super().__init__(os.fsencode(tree), Selection())
        self._change = change

    def walk(self) -> Iterator[Listing]:
        for listing in super().walk():
            self._change(listing.path)
            yield listing


def backup_while(
    store: Store, tree: Path, change: Callable[[bytes], object], progress: Callable[[Event], None] = silent
) -> Snapshot:
    store.now += DAY
    with store.open() as repository:
        source = Restless(tree, change)
        return backup(repository, source, now_ns=store.now, zone_minutes=0, hostname="h", progress=progress)


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_file_replaced_between_listing_and_reading_is_saved_as_it_is_now(store: Store, tree: Path, size: int) -> None:
    (tree / "state.json").write_bytes(b"1" * size)

    def save(folder: bytes) -> None:
        if not folder:
            (tree / "new").write_bytes(b"2" * size)
            (tree / "new").chmod(0o600)
            (tree / "new").rename(tree / "state.json")

    snapshot = backup_while(store, tree, save)
    assert snapshot.problems == 0
    assert store.contents(snapshot) == files_of(tree)
    with store.open() as repository:
        repository.refresh()
        [entry] = repository.entries(snapshot, b"state.json")
    assert (entry.mode, entry.mtime_ns) == (0o600, (tree / "state.json").stat().st_mtime_ns)
    assert store.contents(store.backup(tree)) == files_of(tree)


def test_a_file_that_vanished_or_is_none_any_more_is_a_problem(store: Store, tree: Path) -> None:
    (tree / "gone").write_bytes(b"x")
    (tree / "pipe").write_bytes(b"x")

    def change(folder: bytes) -> None:
        if not folder:
            (tree / "gone").unlink()
            (tree / "pipe").unlink()
            os.mkfifo(tree / "pipe")

    events: list[Event] = []
    snapshot = backup_while(store, tree, change, events.append)
    assert [event.path for event in events if isinstance(event, Problem)] == [b"gone", b"pipe"]
    assert store.contents(snapshot) == files_of(tree)


def test_a_file_rewritten_between_its_two_names_is_saved_under_each_as_it_was_read(store: Store, tree: Path) -> None:
    (tree / "z").mkdir()
    (tree / "data" / "one").write_bytes(b"1" * 9000)
    os.link(tree / "data" / "one", tree / "z" / "two")

    def rewrite(folder: bytes) -> None:
        if folder == b"z":
            (tree / "z" / "two").write_bytes(b"2" * 9000)
            os.utime(tree / "z" / "two", ns=(1, 1))

    snapshot = backup_while(store, tree, rewrite)
    contents = store.contents(snapshot)
    assert (contents[b"data/one"][:1], contents[b"z/two"][:1]) == (b"1", b"2")
    with store.open() as repository:
        repository.refresh()
        one, two = (entry for entry in repository.entries(snapshot) if entry.link)
    assert one.link != two.link  # a restore would make one file of them


def test_a_clock_that_was_ahead_for_a_day_keeps_no_file_from_being_read(store: Store, tree: Path) -> None:
    settled = store.now + DAY
    store.now = settled + 3650 * DAY
    store.backup(tree)
    store.now = settled
    assert store.backup(tree).read == sum(map(len, files_of(tree).values()))
    assert store.backup(tree).read == 0


@pytest.mark.parametrize("what", ["states", "due", "block", "counts", "proof"])
def test_a_row_of_the_cache_that_rotted_is_no_row(store: Store, tree: Path, what: str) -> None:
    store.now += DAY
    first = store.backup(tree)
    with altered(store) as database:
        [(value,)] = database.execute(f"SELECT {what} FROM folders WHERE path=x''")
        rotted = value + 1 if what == "due" else value[:-20] + bytes([value[-20] ^ 1]) + value[-19:]
        database.execute(f"UPDATE folders SET {what}=? WHERE path=x''", (rotted,))
    again = store.backup(tree)
    assert again.manifest == first.manifest
    assert again.read == len((tree / "events.log").read_bytes())
    assert store.backup(tree).read == 0


def test_a_row_of_another_folder_is_no_row(store: Store, tree: Path) -> None:
    store.now += DAY
    first = store.backup(tree)
    with altered(store) as database:
        row = database.execute("SELECT states, due, block, counts, proof FROM folders WHERE path=x''").fetchone()
        change = "UPDATE folders SET states=?, due=?, block=?, counts=?, proof=? WHERE path=CAST('data' AS BLOB)"
        assert database.execute(change, row).rowcount == 1
    assert store.backup(tree).manifest == first.manifest


@contextmanager
def altered(store: Store) -> Iterator[sqlite3.Connection]:
    [path] = store.home.cache.rglob("cache.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        yield database


def test_a_damaged_manifest_stops_no_later_backup(store: Store, tree: Path) -> None:
    first = store.backup(tree)
    with store.open() as repository:
        repository.refresh()
        [place] = repository.cache.places(first.manifest.ids).values()
    assert isinstance(store.backend, MemoryBackend)
    stored = bytearray(store.backend.objects[object_name(place.pack)])
    stored[place.offset] ^= 1
    store.backend.objects[object_name(place.pack)] = bytes(stored)
    shutil.rmtree(store.home.cache)
    (tree / "new").write_bytes(b"new")
    events: list[Event] = []
    second = store.backup(tree, progress=events.append)
    assert second.number == first.number + 1
    assert ["damaged" in event.reason for event in events if isinstance(event, Notice)] == [True]


@pytest.mark.parametrize("what", [{"hostname": "h\udcff"}, {"name": "n\udcff"}, {"tags": ("fine", "t\udcff")}])
def test_names_that_are_no_text_are_refused_before_anything_is_read(
    store: Store, tree: Path, what: dict[str, Any]
) -> None:
    with store.open() as repository, pytest.raises(UsageError, match="not UTF-8"):
        backup(
            repository, Source(os.fsencode(tree / "is not there"), Selection()), now_ns=store.now, zone_minutes=0,
            **{"hostname": "h", **what},
        )  # fmt: skip


def test_of_attributes_only_those_are_left_out_that_cannot_be_read(
    store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"user.gone": errno.ENODATA, "user.refused": errno.EACCES}

    def read(_of: int | bytes, name: str, *, follow_symlinks: bool) -> bytes:
        if name in reasons:
            raise OSError(reasons[name], os.strerror(reasons[name]))
        return b"value"

    def names(of: int | bytes, *, follow_symlinks: bool) -> list[str]:
        if follow_symlinks and isinstance(of, int):  # a file that is being read
            return ["user.kept", *reasons]
        raise OSError(errno.ENOTSUP, "unknown here")

    monkeypatch.setattr(os, "listxattr", names)
    monkeypatch.setattr(os, "getxattr", read)
    events: list[Event] = []
    snapshot = store.backup(tree, progress=events.append)
    assert {(event.path, event.reason) for event in events if isinstance(event, Problem)} == {
        (path, "its attribute user.refused cannot be read: Permission denied")
        for path in (b"data/users.json", b"events.log")
    }
    with store.open() as repository:
        repository.refresh()
        attributes = {entry.path: entry.xattrs for entry in repository.entries(snapshot)}
    assert attributes[b"events.log"] == attributes[b"data/users.json"] == ((b"user.kept", b"value"),)
    assert attributes[b"data"] == ()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=40_000), max_size=4), max_size=5))
def test_any_sequence_of_trees_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, trees: list[dict[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    store = Store(folder)
    store.create()
    taken = []
    for files in trees:
        shutil.rmtree(folder / "tree", ignore_errors=True)
        (folder / "tree").mkdir()
        for name, data in files.items():
            (folder / "tree" / name).write_bytes(data)
        taken.append(store.backup(folder / "tree"))
    for snapshot, files in zip(taken, trees, strict=True):
        assert store.contents(snapshot) == {name.encode(): data for name, data in files.items()}
