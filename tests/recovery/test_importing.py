"""Old backups of a former script become snapshots at their own times, and are proven."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from stores import DAY, Store

from casstore.backends.local import LocalBackend
from casstore.errors import CasError
from casstore.progress import Event, Notice, Problem, Progress, Stage, Torn, Warned
from casstore.recovery.importing import Imported, Imports, Owner, What, import_backups
from casstore.selection import Selection
from casstore.snapshot import Snapshot

PATHS = (b"data/dynamic/*.json", b"data/secureVault.json", b"engagement_events.log")
APP = Selection(paths=PATHS, append_only=(b"engagement_events.log",), isolate=(b"data/secureVault.json",))
FILES = {
    "data/dynamic/users.json": json.dumps([{"id": n, "name": f"user {n}"} for n in range(200)]),
    "data/dynamic/orders.json": json.dumps([{"id": n} for n in range(50)]),
    "data/secureVault.json": '{"payload": "c2VhbGVk"}',
    "engagement_events.log": '{"event": "login"}\n' * 40,
}
FLAT = {path.rpartition("/")[2]: path for path in FILES}


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


class Shop:
    """An application with old backups beside its repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = write(folder / "shop", FILES)
        self.backups = self.folder / "backups"
        self.backups.mkdir()
        self.store = Store(folder, LocalBackend(self.backups / "cas"))
        self.store.create()
        self.selection = APP
        self.events: list[Event] = []

    def old(self, name: str, files: dict[str, str] | None = None, *, flat: bool = True, day: int = 0) -> Path:
        """Make an old backup of the files, in which that many users had come."""
        files = dict(FILES if files is None else files)
        if "data/dynamic/users.json" in files:
            files["data/dynamic/users.json"] = json.dumps([{"id": n, "name": f"user {n}"} for n in range(100 + day)])
        if flat:
            files = {path.rpartition("/")[2]: text for path, text in files.items()}
        return write(self.backups / name, files)

    def imports(
        self,
        folder: Path | None = None,
        *,
        dry_run: bool = False,
        zone_at: Callable[[int], int] = lambda _: 0,
        progress: Progress | None = None,
    ) -> Imports:
        self.events = []
        self.store.now += 60 * 10**9
        application = Owner(os.fsencode(self.folder), "h", "shop", self.selection, b"name = 'shop'\n")
        with self.store.open() as repository:
            return import_backups(
                repository, folder or self.backups, application, now_ns=self.store.now, zone_at=zone_at,
                dry_run=dry_run, progress=progress or self.events.append,
            )  # fmt: skip

    def backup(self, **options: object) -> Snapshot:
        return self.store.backup(self.folder, self.selection, name="shop", **options)

    def snapshots(self) -> list[Snapshot]:
        with self.store.open() as repository:
            repository.refresh()
            return repository.snapshots()

    def told(self, kind: type[Problem | Notice | Warned | Torn]) -> list[bytes]:
        return [event.path for event in self.events if isinstance(event, kind)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def only(done: Imports) -> Imported:
    assert len(done.imported) == 1
    return done.imported[0]


def reasons(done: Imports) -> dict[str, str]:
    return {refused.folder.name: refused.reason for refused in done.refused}


def ns(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc,arg-type]


# ── times ──


def test_each_becomes_a_snapshot_at_its_own_time_and_in_order_of_time(shop: Shop) -> None:
    for day, name in enumerate(("20231104_103000", "20231102-103000-000Z", "20231103-103000-250Z")):
        shop.old(name, day=day)
    done = shop.imports()
    assert [one.old.folder.name[:8] for one in done.imported] == ["20231102", "20231103", "20231104"]
    assert all(one.is_proven and one.is_new and not one.is_incomplete for one in done.imported)
    times = [ns(2023, 11, 2, 10, 30), ns(2023, 11, 3, 10, 30) + 250_000_000, ns(2023, 11, 4, 10, 30)]
    assert [snapshot.time_ns for snapshot in shop.snapshots()] == times
    assert all(snapshot.imported and snapshot.clock_ns == shop.store.now for snapshot in shop.snapshots())


def test_a_name_without_a_zone_is_read_on_the_clock_of_this_machine_as_it_went_then(shop: Shop) -> None:
    change = ns(2023, 7, 1)  # summer time, ended

    def zone_at(time_ns: int) -> int:
        return 120 if time_ns < change else 60

    for name in ("20230601_103000", "20231102_103000", "20231102-103000-000Z"):
        shop.old(name)
    found = {one.old.folder.name: one.snapshot for one in shop.imports(zone_at=zone_at).imported}
    told = {name: (s.time_ns, s.zone_minutes) for name, s in found.items() if s is not None}
    assert told == {
        "20230601_103000": (ns(2023, 6, 1, 8, 30), 120),
        "20231102_103000": (ns(2023, 11, 2, 9, 30), 60),
        "20231102-103000-000Z": (ns(2023, 11, 2, 10, 30), 60),
    }


def test_the_folder_of_one_old_backup_is_imported_alone(shop: Shop) -> None:
    shop.old("20231103_103000")
    assert only(shop.imports(shop.old("20231102_103000"))).old.folder.name == "20231102_103000"


# ── places ──


def test_flat_files_are_put_where_the_application_has_them(shop: Shop) -> None:
    shop.old("20231102_103000")
    snapshot = only(shop.imports()).snapshot
    assert snapshot is not None
    contents = shop.store.contents(snapshot)
    assert sorted(contents) == sorted(map(os.fsencode, FILES))
    assert contents[b"data/secureVault.json"].decode() == FILES["data/secureVault.json"]
    assert (snapshot.origin, snapshot.name, snapshot.hostname) == (os.fsencode(shop.folder), "shop", "h")


def test_a_kept_tree_stays_a_tree(shop: Shop) -> None:
    shop.old("20231102_103000", flat=False)
    snapshot = only(shop.imports()).snapshot
    assert snapshot is not None
    assert sorted(shop.store.contents(snapshot)) == sorted(map(os.fsencode, FILES))


def test_without_live_data_the_newest_snapshot_tells_where_files_belong(shop: Shop) -> None:
    shop.selection = Selection(paths=(b"data", b"engagement_events.log"))
    shop.backup()
    shutil.rmtree(shop.folder / "data")
    shop.old("20231102_103000")
    one = only(shop.imports())
    assert {os.fsdecode(path): os.fsdecode(place) for path, place in one.old.places.items()} == FLAT


def test_without_any_data_the_patterns_tell_it(shop: Shop) -> None:
    shutil.rmtree(shop.folder / "data")
    shop.old("20231102_103000")
    one = only(shop.imports())
    assert {os.fsdecode(path): os.fsdecode(place) for path, place in one.old.places.items()} == FLAT


def test_what_belongs_nowhere_or_to_two_places_keeps_its_path_and_is_told(shop: Shop) -> None:
    shop.selection = Selection(paths=(b"data", b"engagement_events.log"))
    write(shop.folder, {"data/a/same.json": "{}", "data/b/same.json": "{}"})
    shop.old("20231102_103000", {**FILES, "same.json": "{}", "notes.txt": "by hand"})
    one = only(shop.imports())
    assert shop.told(Notice) == [b"20231102_103000/notes.txt", b"20231102_103000/same.json"]
    assert one.is_proven
    assert not one.is_incomplete
    assert one.snapshot is not None
    assert {b"same.json", b"notes.txt"} <= set(shop.store.contents(one.snapshot))


def test_old_backups_that_are_saved_themselves_say_nothing_of_where_files_belong(shop: Shop) -> None:
    shop.selection = Selection()
    shop.old("20231102_103000")
    shop.old("by hand")
    shop.backup()
    one = only(shop.imports())
    assert {os.fsdecode(path): os.fsdecode(place) for path, place in one.old.places.items()} == FLAT
    shutil.rmtree(shop.folder / "data")
    assert not only(shop.imports()).is_new


def test_a_folder_is_as_open_as_the_applications_own(shop: Shop) -> None:
    os.chmod(shop.folder / "data", 0o700)
    os.chmod(shop.old("20231102_103000", flat=False) / "data", 0o755)
    snapshot = only(shop.imports()).snapshot
    assert snapshot is not None
    with shop.store.open() as repository:
        repository.refresh()
        assert next(e.mode for e in repository.entries(snapshot) if e.path == b"data") == 0o700


def test_empty_folders_and_odd_kinds_come_along(shop: Shop) -> None:
    folder = shop.old("20231102_103000", flat=False)
    (folder / "data" / "uploads").mkdir()
    os.mkfifo(folder / "queue")
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(600_000)
        file.write(b"in the middle")
    one = only(shop.imports())
    assert one.is_proven
    assert one.snapshot is not None
    with shop.store.open() as repository:
        repository.refresh()
        assert {b"data/uploads", b"queue", b"sparse.bin"} <= {e.path for e in repository.entries(one.snapshot)}


# ── what is skipped, and what is marked ──


def test_what_is_no_old_backup_is_named_and_the_repository_is_passed_over_in_silence(shop: Shop) -> None:
    old = shop.old("20231102_103000")
    (shop.backups / ".gitignore").write_text("*\n")
    (shop.backups / "20231103_103000").symlink_to(old)
    (shop.backups / "20231104_103000").write_text("a file")
    for name in ("latest", "20231105", "20231399_103000", "22231102_103000", "20231106_103000.tmp"):
        (shop.backups / name).mkdir()
    (shop.backups / "20231107_103000" / "data").mkdir(parents=True)
    shop.old("20231108_103000")
    (shop.backups / "20231108_103000" / ".incomplete").touch()
    shop.old("20231109_103000")
    (shop.backups / "20231109_103000" / "users.json.tmp").touch()
    done = shop.imports()
    only(done)
    odd = "its name is no moment such as 20231102-103000-000Z or 20231102_103000"
    assert reasons(done) == {
        "20231103_103000": "it is a symlink",
        "20231104_103000": "it is no folder",
        **dict.fromkeys(("latest", "20231105", "20231399_103000", "20231106_103000.tmp"), odd),
        "22231102_103000": "its name is a moment that is still to come, or long before any backup",
        "20231107_103000": "it holds no files",
        "20231108_103000": "it was never finished: it holds .incomplete",
        "20231109_103000": "it was never finished: it holds users.json.tmp",
    }


def test_a_folder_that_holds_the_repository_or_the_application_is_no_backup(shop: Shop, tmp_path: Path) -> None:
    shop.old("20231102_103000")
    shutil.move(shop.folder, tmp_path / "20231101_103000")
    shop.folder = tmp_path / "20231101_103000"
    shop.store.backend = LocalBackend(shop.folder / "backups" / "cas")
    done = shop.imports(tmp_path / "20231101_103000")
    assert not done.imported
    assert reasons(done) == {"20231101_103000": "the repository or the application itself lies in it"}


def test_torn_json_is_imported_marked_and_told(shop: Shop) -> None:
    shop.old("20231102_103000")
    shop.old("20231103_103000")
    whole = (shop.backups / "20231103_103000" / "orders.json").read_text()
    (shop.backups / "20231103_103000" / "users.json").write_text('[{"id": 1}, {"i')
    (shop.backups / "20231103_103000" / "orders.json").write_text(whole + "}]")  # a shorter text over a longer one
    (shop.backups / "20231103_103000" / "secureVault.json").write_text("")  # met when it had just been truncated
    first, second = shop.imports().imported
    assert first.snapshot is not None
    assert second.snapshot is not None
    assert (first.is_incomplete, first.snapshot.torn) == (False, 0)
    assert (second.is_incomplete, second.is_proven, second.snapshot.torn) == (True, True, 3)
    assert [path.rpartition(b"/")[2] for path in shop.told(Torn)] == [
        b"orders.json",
        b"secureVault.json",
        b"users.json",
    ]


def test_json_lines_and_logs_that_grow_are_not_torn(shop: Shop) -> None:
    shop.selection = Selection(paths=(b"data",), append_only=(b"data/log.json",))
    write(shop.folder, {"data/log.json": "", "data/lines.json": ""})
    lines = '{"a": 1}\n{"a": 2}\n'
    shop.old("20231102_103000", {"data/lines.json": lines, "data/log.json": lines + '{"a'})
    assert only(shop.imports()).old.torn == frozenset()


def test_a_file_that_the_others_have_is_missed(shop: Shop) -> None:
    for day in range(2, 8):
        shop.old(f"2023110{day}_103000")
    (shop.backups / "20231104_103000" / "users.json").unlink()
    (shop.backups / "20231105_103000" / "users.json").unlink()
    (shop.backups / "20231107_103000" / "orders.json").unlink()
    for day in (6, 7):  # a table that came later is missed nowhere
        write(shop.backups / f"2023110{day}_103000", {"tickets.json": "[]"})
    done = shop.imports()
    assert shop.told(Warned) == [
        b"20231104_103000/data/dynamic/users.json",
        b"20231105_103000/data/dynamic/users.json",
        b"20231107_103000/data/dynamic/orders.json",
    ]
    assert [one.is_incomplete for one in done.imported] == [False, False, True, True, False, True]
    assert all(one.is_proven for one in done.imported)
    assert [one.is_done_with for one in done.imported] == [True, True, False, False, True, False]


def test_no_symlink_is_followed(shop: Shop, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"secret.json": "{}"})
    folder = shop.old("20231102_103000", flat=False)
    (folder / "data" / "dynamic" / "users.json").unlink()
    (folder / "data" / "dynamic" / "users.json").symlink_to(tmp_path / "elsewhere" / "secret.json")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    one = only(shop.imports())
    assert (one.is_proven, one.is_incomplete) == (True, True)
    assert one.snapshot is not None
    assert not {b"data/dynamic/users.json", b"more/secret.json"} & set(shop.store.contents(one.snapshot))
    assert shop.told(Warned) == [b"20231102_103000/data/dynamic/users.json", b"20231102_103000/more"]


def test_what_cas_toml_leaves_out_stays_outside_and_so_the_folder_is_not_proven(shop: Shop) -> None:
    shop.selection = Selection(paths=PATHS, exclude=(b".env*",))
    shop.old("20231102_103000", {**FILES, ".env.local": "KEY=secret"})
    one = only(shop.imports())
    assert [(finding.path, finding.what) for finding in one.findings] == [(b".env.local", What.UNSAVED)]
    assert (one.is_proven, one.has_failed, one.is_incomplete) == (False, False, True)
    assert one.snapshot is not None
    assert b".env.local" not in shop.store.contents(one.snapshot)
    assert not only(shop.imports()).is_new


def test_a_socket_in_a_folder_keeps_it_from_being_proven(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.old("20231102_103000"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("app.sock")
    one = only(shop.imports())
    assert (one.is_proven, one.has_failed, one.is_incomplete) == (False, False, True)


# ── again ──


def test_a_second_run_adds_nothing_and_proves_again(shop: Shop) -> None:
    for day in range(2, 6):
        shop.old(f"2023110{day}_103000", day=day)
    shop.backup()
    shop.imports()
    count = len(shop.snapshots())
    done = shop.imports()
    assert [(one.is_new, one.is_proven) for one in done.imported] == [(False, True)] * 4
    assert len(shop.snapshots()) == count


def test_two_folders_of_one_moment_are_kept_apart(shop: Shop) -> None:
    shop.old("20231102_103000", day=1)
    shop.old("20231102-103000-000Z", day=2)
    assert [one.is_new for one in shop.imports().imported] == [True, True]
    again = shop.imports().imported
    assert [one.is_new for one in again] == [False, False]
    assert again[0].snapshot != again[1].snapshot


def test_a_run_that_was_interrupted_is_taken_up_by_the_next(shop: Shop) -> None:
    for day in range(2, 6):
        shop.old(f"2023110{day}_103000", day=day)
    done = 0

    def interrupt(event: Event) -> None:
        nonlocal done
        done += isinstance(event, Stage) and event.name.startswith("importing")
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.imports(progress=interrupt)
    assert len(shop.snapshots()) == 2
    shop.backup()
    assert [one.is_new for one in shop.imports().imported] == [False, False, True, True]
    assert [one.is_proven for one in shop.imports().imported] == [True] * 4


def test_a_folder_that_was_half_removed_since_is_named_and_skipped(shop: Shop) -> None:
    for day in range(2, 5):
        shop.old(f"2023110{day}_103000", day=day)
    shop.imports()
    (shop.backups / "20231103_103000" / "engagement_events.log").unlink()
    for _ in range(2):
        done = shop.imports()
        assert reasons(done) == {
            "20231103_103000": "it is not what was imported of this moment before: "
            "engagement_events.log is in the snapshot only"
        }
        assert [one.is_new for one in done.imported] == [False, False]
    assert len(shop.snapshots()) == 3


def test_one_of_two_folders_of_a_moment_may_come_later_while_the_other_is_there(shop: Shop) -> None:
    shop.old("20231102_103000", day=1)
    shop.imports()
    second = shop.old("20231102-103000-000Z", day=2)
    assert sorted(one.is_new for one in shop.imports().imported) == [False, True]
    (second / "users.json").unlink()
    assert [one.is_new for one in shop.imports().imported] == [False]


@pytest.mark.parametrize("at", [5, 600_005, 1_048_570])
def test_one_other_byte_of_a_file_is_seen_even_in_a_hole(shop: Shop, at: int) -> None:
    folder = shop.old("20231102_103000")
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(600_000)
        file.write(b"in the middle")
    shop.imports()
    with (folder / "sparse.bin").open("r+b") as file:
        file.seek(at)
        file.write(b"X")
    assert list(reasons(shop.imports())) == ["20231102_103000"]


def test_a_dry_run_stores_nothing(shop: Shop) -> None:
    shop.old("20231102_103000")
    one = only(shop.imports(dry_run=True))
    assert (one.snapshot, one.is_new, one.is_proven) == (None, True, False)
    assert shop.snapshots() == []


def test_damage_in_the_repository_is_found_and_not_saved_over(shop: Shop) -> None:
    shop.old("20231102_103000")
    one = only(shop.imports())
    harm(shop)
    again = only(shop.imports())
    assert (again.is_new, again.has_failed, again.is_proven) == (False, True, False)
    assert {finding.what for finding in again.findings} == {What.DAMAGED}
    assert again.snapshot == one.snapshot


def harm(shop: Shop) -> None:
    """Change a byte of the first blob in each pack."""
    for pack in filter(Path.is_file, (shop.backups / "cas" / "packs").rglob("*")):
        data = bytearray(pack.read_bytes())
        data[80] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)


def test_what_is_harmed_once_it_is_written_is_not_proven_from_memory(shop: Shop) -> None:
    for day in range(2, 5):
        shop.old(f"2023110{day}_103000", day=day)

    def harm_then(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "comparing":
            harm(shop)

    assert all(one.has_failed for one in shop.imports(progress=harm_then).imported)


# ── the live application is left alone ──


def test_imports_disturb_nothing_of_the_live_tree(shop: Shop) -> None:
    shop.backup()
    shop.store.now += DAY
    live = shop.backup()  # settled by now
    for day in range(2, 8):
        shop.old(f"2023110{day}_103000", day=day)
    shop.imports()
    after = shop.backup()
    assert (after.read, after.stored, after.changed, after.previous) == (0, 0, 0, live.number)
    assert after.manifest == live.manifest
    assert shop.backup(skip=True).number == 0  # what `watch` asks for


def test_old_backups_cost_what_changed_between_them(shop: Shop) -> None:
    shop.backup()
    for day in range(2, 8):
        shop.old(f"2023110{day}_103000", day=day)
    snapshots = [one.snapshot for one in shop.imports().imported]
    stored = [snapshot.stored for snapshot in snapshots if snapshot is not None]
    assert max(stored[1:]) < 1500  # users.json alone would be more, compressed
    assert [s.previous for s in snapshots[1:] if s] == [s.number for s in snapshots[:-1] if s]


def test_a_log_that_was_rotated_between_old_backups_raises_no_alarm(shop: Shop) -> None:
    log, lines = shop.folder / "engagement_events.log", [f'{{"event": {n * n}}}\n' for n in range(60_000)]
    log.write_text("".join(lines[:40_000]))
    shop.backup()
    shop.store.now += DAY // 4
    with log.open("a") as file:
        file.writelines(lines[40_000:])
    shop.backup()  # of which only the end is read
    shop.old("20231102_103000", {"engagement_events.log": "".join(lines[::-1]) * 2})
    shop.old("20231103_103000", {"engagement_events.log": "".join(lines[1::2]) * 4})
    assert all(one.snapshot and not one.snapshot.unproven_since_ns for one in shop.imports().imported)
    assert shop.told(Warned) == []


def test_no_guard_is_tripped_by_what_old_backups_lack(shop: Shop) -> None:
    shop.backup()
    shop.old("20231102_103000")
    shop.old("20231103_103000", {"data/dynamic/users.json": ""})
    shop.imports()
    assert all(snapshot.guarded is None for snapshot in shop.snapshots())
    assert shop.backup().guarded is None


def test_a_folder_that_cannot_be_listed_is_said(shop: Shop) -> None:
    with pytest.raises(CasError, match="cannot be listed"):
        shop.imports(shop.backups / "nowhere")
