"""The loop of `cas watch`, with a clock of its own: what is saved when, what fails, and how it goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from stores import NOW, Store, files_of

from casstore import LocalBackend
from casstore.backup import backup
from casstore.errors import CasError, HistoryRewritten, RepositoryNotFound, RepositoryUnwritable, RestoreUnfinished
from casstore.progress import Lost, Notice, Problem, Torn
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.source import Source
from casstore.watch import (
    CaughtUp,
    Failed,
    FileChanges,
    OriginMissing,
    Pace,
    Taken,
    Unchanged,
    Watcher,
    WatchfilesMissing,
    Watching,
)

SECOND = 10**9
HOUR = 3600 * SECOND


class Time:
    """A clock that only waiting moves, and changes that are said, not made: each wait takes what stands next."""

    def __init__(self) -> None:
        self.now = NOW + HOUR
        self.started = self.now
        self.script: list[tuple[float, Callable[[], object] | None, Collection[bytes] | None]] = []
        self.followed: list[bytes] = []
        self.refused: OSError | None = None

    def __call__(self) -> int:
        return self.now

    @property
    def seconds(self) -> float:
        return (self.now - self.started) / SECOND

    def then(self, after_s: float, *changed: bytes | None, do: Callable[[], object] | None = None) -> None:
        """So many seconds after what was said before, do that and tell of these changes; None: some were missed."""
        told = None if None in changed else [path for path in changed if path is not None]
        self.script.append((after_s, do, told))

    def follow(self, folders: Collection[bytes]) -> list[bytes]:
        if self.refused:
            raise self.refused
        self.followed = sorted(folders)
        return []

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> Collection[bytes] | None:
        if not self.script or self.script[0][0] > seconds:
            self.now += round(seconds * SECOND)
            if self.script:
                after, do, told = self.script[0]
                self.script[0] = (after - seconds, do, told)
            return ()
        after, do, told = self.script.pop(0)
        self.now += round(after * SECOND)
        if do is not None:
            do()
        return told

    def close(self) -> None:
        self.followed = []


class Watched:
    """A tree, its repository, and a watcher on it."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.place = folder / "tree", folder / "store"
        (self.tree / "data").mkdir(parents=True)
        (self.tree / "data" / "a.json").write_text("[]")
        self.log = self.tree / "app.log"
        self.log.write_text("started\n")
        self.store = Store(folder / "home", LocalBackend(self.place))
        self.store.create()
        self.time = Time()
        self.told: list[Any] = []
        self.repository: Repository = self.store.open()
        self.watcher = self.watch()

    def watch(self, selection: Selection | None = None, **more: Any) -> Watcher:
        self.watcher = Watcher(
            self.repository, os.fsencode(self.tree), selection, hostname="h", clock=self.time,
            changes=self.time, progress=self.told.append, **more,
        )  # fmt: skip
        return self.watcher

    def path(self, name: str) -> bytes:
        return os.fsencode(self.tree / name)

    def write(self, name: str, text: str) -> Callable[[], object]:
        return lambda: (self.tree / name).write_text(text)

    def run(self, seconds: float) -> list[tuple[float, Any]]:
        """Give what is yielded in so many seconds of the clock, and when. For once."""
        found: list[tuple[float, Any]] = []
        self.time.then(seconds - sum(after for after, *_ in self.time.script), do=self._end)
        for event in self.watcher:
            found.append((round(self.time.seconds, 3), event))
        return found

    def _end(self) -> None:
        self.watcher.stop(abandon=True)

    def taken(self, seconds: float) -> list[float]:
        return [at for at, event in self.run(seconds) if isinstance(event, Taken)]

    def newest(self) -> dict[bytes, bytes]:
        self.repository.refresh()
        snapshot = self.repository.snapshots()[-1]
        self.repository.acknowledge()
        return self.store.contents(snapshot)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.repository.close()


def kinds(found: list[tuple[float, Any]]) -> list[type]:
    return [type(event) for _, event in found]


# ── when ──


def test_the_first_snapshot_is_taken_at_once_and_a_change_is_saved_when_it_has_been_quiet(watched: Watched) -> None:
    watched.time.then(20, watched.path("data/a.json"), do=watched.write("data/a.json", "[1]"))
    found = watched.run(30)
    assert kinds(found) == [Watching, Taken, Taken]
    assert [at for at, _ in found] == [0, 0, 22]
    assert watched.newest() == files_of(watched.tree)


def test_what_never_falls_quiet_is_saved_as_often_as_may_be(watched: Watched) -> None:
    for i in range(300):
        watched.time.then(0.1, watched.path("app.log"), do=watched.write("app.log", f"{i}\n"))
    taken = watched.taken(31)
    assert len(taken) == 4
    assert all(10 <= later - sooner <= 10.2 for sooner, later in pairwise(taken))


def test_a_quiet_night_still_proves_that_backups_run(watched: Watched) -> None:
    assert watched.taken(3 * 3600 + 1) == [0, 3600, 7200, 10800]


def test_what_was_saved_by_an_earlier_process_is_not_saved_again_before_that_proof_is_due(watched: Watched) -> None:
    assert watched.taken(1) == [0]
    watched.time.now += 30 * 60 * SECOND
    watched.watch()
    found = watched.run(40 * 60)
    assert kinds(found) == [Watching, Unchanged, Taken]
    assert found[-1][0] == 3600


def test_a_clock_that_is_set_back_delays_nothing(watched: Watched) -> None:
    watched.time.then(5, do=lambda: setattr(watched.time, "now", watched.time.now - 1000 * SECOND))
    watched.time.then(1, watched.path("app.log"), do=watched.write("app.log", "more\n"))
    found = watched.run(60)
    assert kinds(found) == [Watching, Taken, Taken]
    assert 9 <= found[-1][0] + 1000 <= 12


# ── of what ──


def test_what_is_not_saved_calls_for_no_snapshot(watched: Watched) -> None:
    watched.watch(Selection(paths=(b"data", b"*.log"), exclude=(b"*.tmp", b"scratch/")))
    (watched.tree / "data" / "scratch").mkdir()
    (watched.tree / "data" / ".casignore").write_text("*.part\n")
    for name in ("data/a.json.tmp", "data/x.part", "junk", "data/scratch"):
        path = watched.tree / name
        watched.time.then(1, watched.path(name), do=lambda path=path: path.is_dir() or path.write_text("x"))
    assert kinds(watched.run(60)) == [Watching, Taken]
    assert watched.time.followed == []


def test_only_folders_that_are_saved_are_listened_to(watched: Watched) -> None:
    (watched.tree / "data" / "deep").mkdir()
    (watched.tree / "other").mkdir()
    heard: list[list[bytes]] = []
    watched.watch(Selection(paths=(b"data",)))
    watched.time.then(1, do=lambda: heard.append(watched.time.followed))
    watched.run(2)
    assert heard == [[os.fsencode(watched.tree), watched.path("data"), watched.path("data/deep")]]


def test_the_log_that_the_events_are_written_to_calls_for_no_snapshot(watched: Watched) -> None:
    status = watched.log.stat()
    watched.watch(unheard=[(status.st_dev, status.st_ino)])
    watched.time.then(1, watched.path("app.log"), do=watched.write("app.log", "a line of ours\n"))
    assert kinds(watched.run(60)) == [Watching, Taken]


def test_a_folder_that_comes_is_listened_to_and_looked_through_once_more(watched: Watched) -> None:
    def come() -> None:
        (watched.tree / "new" / "inner").mkdir(parents=True)
        (watched.tree / "new" / "inner" / "f").write_text("1")

    heard: list[list[bytes]] = []
    watched.time.then(20, watched.path("new"), do=come)
    watched.time.then(10, do=lambda: heard.append(watched.time.followed))
    found = watched.run(60)
    assert kinds(found) == [Watching, Taken, Taken, Unchanged]
    assert watched.path("new/inner") in heard[0]
    assert watched.newest() == files_of(watched.tree)


def test_a_watched_folder_that_is_replaced_is_saved_as_the_new_one(watched: Watched, tmp_path: Path) -> None:
    def replace() -> None:
        watched.tree.rename(tmp_path / "old")
        (watched.tree / "data").mkdir(parents=True)
        (watched.tree / "data" / "b.json").write_text("{}")

    watched.time.then(20, do=replace)
    watched.time.then(20, watched.path("data/b.json"), do=watched.write("data/b.json", '{"a": 1}'))
    assert kinds(watched.run(60)) == [Watching, Taken, Taken, Taken]
    assert watched.newest() == {b"data/b.json": b'{"a": 1}'}


def test_where_the_kernel_refuses_to_tell_it_is_looked_for_changes_instead(watched: Watched) -> None:
    watched.time.refused = OSError(None, "OS file watch limit reached")
    watched.time.then(20, do=watched.write("app.log", "unheard\n"))
    found = watched.run(45)
    assert [type(event) for _, event in found if not isinstance(event, Unchanged)] == [Taken, Taken]
    assert len(found) >= 4
    assert [event.reason for event in watched.told if isinstance(event, Notice)] == [
        "changes cannot be listened to, so they are looked for instead: OS file watch limit reached"
    ]
    watched.time.refused = None


def test_changes_that_went_untold_are_looked_for(watched: Watched) -> None:
    watched.time.then(20, None, do=watched.write("app.log", "unheard\n"))
    assert kinds(watched.run(60)) == [Watching, Taken, Taken]
    assert watched.newest() == files_of(watched.tree)


# ── what fails ──


def test_a_repository_out_of_reach_is_said_once_and_what_changed_is_saved_when_it_is_back(
    watched: Watched, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    watched.time.then(20, watched.path("app.log"), do=lambda: (watched.place.rename(away), watched.log.write_text("1")))
    watched.time.then(300, do=lambda: away.rename(watched.place))
    found = watched.run(500)
    assert kinds(found) == [Watching, Taken, Failed, CaughtUp, Taken]
    failed, caught_up = found[2], found[3]
    assert isinstance(failed[1].error, RepositoryNotFound)
    assert failed[0] == 22
    assert caught_up[1].since_ns == watched.time.started + 22 * SECOND
    assert 320 <= caught_up[0] <= 320 + 61
    assert watched.newest() == files_of(watched.tree)
    assert not list(watched.store.home.cache.rglob("*-journal"))


def test_a_repository_that_comes_back_as_another_folder_in_the_tree_is_not_saved(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    inside = watched.tree / "store"
    watched.repository.close()
    watched.place.rename(inside)
    watched.store.backend = LocalBackend(inside)
    watched.repository = watched.store.open()
    watched.watch()
    watched.time.then(20, watched.path("store"), do=lambda: shutil.move(inside, tmp_path / "away"))
    watched.time.then(20, watched.path("store"), do=lambda: shutil.copytree(tmp_path / "away", inside))
    watched.time.then(1, watched.path("app.log"), do=watched.write("app.log", "more\n"))
    watched.run(200)
    assert watched.newest() == {b"app.log": b"more\n", b"data/a.json": b"[]"}
    watched.repository.close()


def test_another_history_ends_the_watch_at_the_second_look(watched: Watched) -> None:
    def turn_back() -> None:
        sorted((watched.place / "ledger").iterdir())[-1].unlink()

    watched.time.then(20, watched.path("app.log"), do=lambda: (turn_back(), watched.log.write_text("1")))
    events = iter(watched.watcher)
    assert [type(next(events)) for _ in range(2)] == [Watching, Taken]
    with pytest.raises(HistoryRewritten):
        next(events)
    assert watched.time.seconds == 23
    watched.repository.cache.begin()  # no transaction was left open
    watched.repository.cache.rollback()


def test_an_error_in_the_middle_leaves_nothing_behind(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = watched.repository.backend.write, [3]

    def failing(name: str, data: bytes) -> None:
        if name.startswith("ledger/") and left[0]:
            left[0] -= 1
            raise RepositoryUnwritable("the disk is full")
        write(name, data)

    watched.time.then(20, watched.path("app.log"), do=lambda: (watched.log.write_text("1"),
                      monkeypatch.setattr(watched.repository.backend, "write", failing)))  # fmt: skip
    found = watched.run(60)
    assert kinds(found) == [Watching, Taken, Failed, CaughtUp, Taken]
    assert [at for at, _ in found] == [0, 0, 22, 22 + 1 + 2 + 4, 22 + 1 + 2 + 4]
    assert watched.newest() == files_of(watched.tree)


def test_a_watched_folder_that_is_gone_is_said_once_and_saved_as_soon_as_it_is_back(
    watched: Watched, tmp_path: Path
) -> None:
    watched.time.then(20, do=lambda: watched.tree.rename(tmp_path / "gone"))
    watched.time.then(3600.5, do=lambda: ((tmp_path / "gone").rename(watched.tree), watched.log.write_text("back")))
    found = watched.run(3700)
    assert kinds(found) == [Watching, Taken, Failed, CaughtUp, Taken]
    assert isinstance(found[2][1].error, OriginMissing)
    assert found[4][0] <= 3622
    assert watched.newest() == files_of(watched.tree)


def test_while_a_restore_is_unfinished_nothing_is_saved(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    from casstore.restore import recover

    def refuse(_origin: Path) -> None:
        raise RestoreUnfinished("a restore is at work")

    staging = watched.tree / ".cas-restore-0123456789abcdef"
    monkeypatch.setattr(recover, "refuse_unfinished", refuse)
    watched.time.then(20, watched.path(staging.name), do=staging.mkdir)
    watched.time.then(20, watched.path(staging.name), do=staging.rmdir)
    found = watched.run(100)
    assert [one for one in kinds(found) if one is not Unchanged] == [Watching, Taken, Failed, CaughtUp]
    assert isinstance(found[2][1].error, RestoreUnfinished)


def test_what_cannot_be_read_is_told_once_as_long_as_it_lasts(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Selection(paths=(b"data", b"*.log", b"coming"))
    watched.watch(gone)
    for i in range(3):
        watched.time.then(20, watched.path("app.log"), do=watched.write("app.log", f"{i}"))
    watched.time.then(20, watched.path("coming"), do=watched.write("coming", "here"))
    watched.time.then(20, watched.path("coming"), do=(watched.tree / "coming").unlink)
    assert len(watched.taken(130)) == 6
    assert [event.path for event in watched.told if isinstance(event, Notice | Problem)] == [b"coming", b"coming"]


# ── many snapshots in one process, and others beside it ──


def test_one_open_repository_survives_many_snapshots_and_another_writer_between_them(watched: Watched) -> None:
    def other() -> None:
        with watched.store.open() as repository:
            source = Source(watched.path("data"), Selection(), never=repository.never)
            backup(repository, source, now_ns=watched.time.now, zone_minutes=0, hostname="h", name="other")

    for i in range(60):
        watched.time.then(15, watched.path("app.log"), do=watched.write("app.log", f"{i}\n" * i))
        if i % 3 == 0:
            watched.time.then(0, do=other)
    assert len(watched.taken(950)) == 61
    assert watched.newest() == files_of(watched.tree)
    assert len(watched.repository.snapshots()) == 81
    with watched.store.open() as repository:
        repository.refresh()
        assert len(repository.snapshots()) == 81
        repository.acknowledge()


def test_a_cache_that_another_process_holds_is_left_and_gone_back_to(watched: Watched) -> None:
    [path] = watched.store.home.cache.rglob("cache.sqlite")
    holder = sqlite3.connect(path, isolation_level=None)

    def hold() -> None:
        holder.execute("BEGIN IMMEDIATE")
        watched.log.write_text("held")

    watched.repository.cache._database.execute("PRAGMA busy_timeout=1")
    watched.time.then(20, watched.path("app.log"), do=hold)
    watched.time.then(20, watched.path("app.log"), do=lambda: (holder.rollback(), watched.log.write_text("free")))
    assert len(watched.taken(60)) == 3
    assert watched.newest() == files_of(watched.tree)
    commits = holder.execute("SELECT count(*) FROM commits").fetchone()[0]
    assert commits == len(list((watched.place / "ledger").iterdir()))  # the file knows all of them
    holder.close()


def test_a_cache_that_is_deleted_or_spoilt_meanwhile_costs_no_snapshot(watched: Watched) -> None:
    [path] = watched.store.home.cache.rglob("cache.sqlite")

    def delete() -> None:
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        watched.log.write_text("deleted")

    watched.time.then(20, watched.path("app.log"), do=delete)
    watched.time.then(20, watched.path("app.log"), do=watched.write("app.log", "after"))
    assert len(watched.taken(60)) == 3
    assert watched.newest() == files_of(watched.tree)
    assert path.exists()


# ── the end, and what is missing ──


@pytest.mark.parametrize(("abandon", "end"), [(True, [Watching, Taken]), (False, [Watching, Taken, Taken])])
def test_what_is_pending_is_saved_at_the_end_unless_it_is_to_be_given_up(
    watched: Watched, abandon: bool, end: list[type]
) -> None:
    watched.time.then(5, watched.path("app.log"), do=watched.write("app.log", "once"))
    watched.time.then(0.1, do=lambda: watched.watcher.stop(abandon=abandon))
    assert [type(event) for event in watched.watcher] == end


def test_watchfiles_is_asked_for_by_name_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "watchfiles._rust_notify", None)
    with pytest.raises(WatchfilesMissing) as caught:
        FileChanges()
    assert "pip install watchfiles" in caught.value.hint
    assert isinstance(caught.value, CasError)
    assert Pace().at_least_every_ns == HOUR


# ── what the kernel tells ──


def never() -> bool:
    return False


def test_changes_are_told_of_a_folder_itself_and_not_of_what_is_deeper(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    changes = FileChanges()
    assert changes.follow([os.fsencode(tmp_path)]) == []
    (tmp_path / "deep" / "inner").write_text("x")
    assert changes.wait(0.3, never) == ()
    (tmp_path / "file").write_text("x")
    assert changes.wait(20, never) == {os.fsencode(tmp_path / "file")}
    assert changes.wait(20, lambda: True) == ()
    changes.close()


def test_what_changed_just_before_a_stop_is_told_after_it(tmp_path: Path) -> None:
    changes = FileChanges()
    changes.follow([os.fsencode(tmp_path)])
    (tmp_path / "file").write_text("x")
    found: set[bytes] = set(changes.wait(20, lambda: True) or ())
    for _ in range(100):
        found.update(changes.wait(0, never) or ())
        if found:
            break
    assert found == {os.fsencode(tmp_path / "file")}
    changes.close()


def test_a_name_that_is_no_text_is_a_change_that_went_untold(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    changes = FileChanges()
    assert changes.follow([os.fsencode(tmp_path), folder]) == [folder]
    with open(os.fsencode(tmp_path) + b"/\xfe", "wb"):
        pass
    assert changes.wait(20, never) is None
    assert changes.wait(0.2, never) == ()  # nothing is followed, and the time passes all the same
    changes.close()


def test_a_folder_that_is_gone_by_now_is_passed_over(tmp_path: Path) -> None:
    changes = FileChanges()
    assert changes.follow([os.fsencode(tmp_path / "gone"), os.fsencode(tmp_path)]) == []
    (tmp_path / "file").write_text("x")
    assert changes.wait(20, never) == {os.fsencode(tmp_path / "file")}
    changes.close()


# ── guards ──


def test_what_stays_torn_and_what_was_lost_is_told_once(watched: Watched) -> None:
    watched.write("data/b.json", '[{"id": 1}, {"id": 2}, {"id": 3}]')()
    watched.time.then(20, watched.path("data/a.json"), do=watched.write("data/a.json", "[1, "))
    watched.time.then(20, watched.path("app.log"), do=watched.write("app.log", "more\n"))
    watched.time.then(20, watched.path("data/b.json"), do=watched.write("data/b.json", "[]"))
    watched.time.then(20, watched.path("app.log"), do=watched.write("app.log", "and more\n"))
    snapshots = [event.snapshot for _, event in watched.run(100) if isinstance(event, Taken)]
    assert [(one.torn, one.guarded is not None) for one in snapshots] == [
        (0, False),
        (1, False),
        (1, False),
        (1, True),
        (1, False),
    ]
    assert [type(event) for event in watched.told if isinstance(event, Torn | Lost)] == [Torn, Lost]


def test_a_cache_that_is_lost_between_is_read_into_once(watched: Watched) -> None:
    def lose() -> None:
        watched.repository.cache.path.unlink()  # type: ignore[union-attr]

    watched.time.then(20, watched.path("app.log"), do=lose)
    for _ in range(2):
        watched.time.then(20, watched.path("app.log"))
    found = watched.run(80)
    assert kinds(found) == [Watching, Taken, Unchanged, Unchanged, Unchanged]
    with watched.store.open() as repository:
        source = Source(os.fsencode(watched.tree), Selection(), never=repository.never)
        snapshot = backup(
            repository, source, now_ns=watched.time.now, zone_minutes=0, hostname="h", skip_if_unchanged=True
        )
    assert (snapshot.number, snapshot.read) == (0, 0)
