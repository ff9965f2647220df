"""`cas import`: what it says, its exit codes, and that what it prints can be typed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from cli.conftest import Cas, Ran

FULL = json.dumps([{"id": n} for n in range(50)])


@pytest.fixture
def old(saved: Cas) -> Cas:
    """With two old backups, one of them flat, beside its repository."""
    saved.write("backups/20231102-103000-000Z/users.json", '[{"id": "old"}]')
    saved.write("backups/20231102-103000-000Z/events.log", "started\n")
    saved.write("backups/20231103_103000/data/users.json", '[{"id": "older"}]')
    saved.write("backups/20231103_103000/events.log", "started\n")
    return saved


def shown(ran: Ran, code: int = 0) -> str:
    assert ran.code == code, ran.err
    return ran.out


def test_all_is_imported_proven_and_may_be_removed_by_the_lines_that_are_printed(old: Cas) -> None:
    out = shown(old("import", "backups"))
    assert "2 imported, 0 there already; 2 of 2 proven equal to their folders, byte by byte" in out
    lines = [line for line in out.splitlines() if line.startswith("rm -r ")]
    folders = sorted((old.folder / "backups").glob("2023*"))
    assert [shlex.split(line)[2] for line in lines] == [str(folder) for folder in folders]
    assert all(folder.exists() for folder in folders)
    assert shown(old("dump", "20231102-103000-000Z", "data/users.json")) == '[{"id": "old"}]'


def test_the_second_time_nothing_is_added(old: Cas) -> None:
    old("import", "backups")
    count = len(old.snapshots())
    assert "0 imported, 2 there already; 2 of 2 proven" in shown(old("import", "backups"))
    assert len(old.snapshots()) == count


def test_a_folder_that_an_interrupted_removal_left_half_is_skipped_and_its_moment_stays_whole(old: Cas) -> None:
    old("import", "backups")
    (old.folder / "backups/20231103_103000/events.log").unlink()
    ran = old("import", "backups")
    assert ran.code == 3
    assert "skipped: 20231103_103000: it is not what was imported of this moment before: events.log is in" in ran.err
    assert [line for line in ran.out.splitlines() if "rm -r" in line and "20231103" in line] == []
    assert "events.log" in shown(old("ls", "2023-11-03 12:00"))


def test_a_folder_that_lacks_what_the_others_have_is_imported_and_no_line_removes_it(old: Cas) -> None:
    old.write("backups/20231104_103000/data/users.json", "[]")
    old.write("backups/20231105_103000/data/users.json", "[]")
    old.write("backups/20231105_103000/events.log", "started\n")
    ran = old("import", "backups")
    assert ran.code == 3
    assert "20231104_103000/events.log: is missing; the others have it" in ran.err
    removals = [line for line in ran.out.splitlines() if line.startswith("rm -r ")]
    assert [line.rpartition("/")[2][:8] for line in removals] == ["20231102", "20231103", "20231105"]


def test_latest_is_still_what_was_taken_last_and_an_old_moment_restores_in_place(old: Cas) -> None:
    latest = old("snapshots", "--json", "--latest", "1").json[0]["id"]
    old("import", "backups")
    assert old("snapshots", "--json", "--latest", "1").json[0]["id"] == latest
    assert [s["imported"] for s in old.snapshots()] == [True, True, False, False]
    assert old("stats", "--json").json["names"][0]["latest"] == old.snapshots()[-1]["summary"]["total_bytes_processed"]
    assert "imported" in old("snapshots").out
    assert '[{"id": 1}, {"id": 2}]' in shown(old("dump", "latest", "data/users.json"))
    assert old("restore", "2023-11-02 10:30", "--yes").code == 0
    assert (old.folder / "data" / "users.json").read_text() == '[{"id": "old"}]'
    assert not (old.folder / "users.json").exists()
    assert old("restore", "--undo", "--yes").code == 0
    assert (old.folder / "data" / "users.json").read_text() == '[{"id": 1}, {"id": 2}]'


def test_what_doctor_knows_of_the_environment_is_not_forgotten_by_an_import(old: Cas) -> None:
    old.write(".env.local", "VAULT_KEY=one\n")
    config = (old.folder / "cas.toml").read_text()
    old.write(
        "cas.toml", f'{config}\n[app]\nenv-file = ".env.local"\nenv-required = ["VAULT_KEY"]\nenv-capture = true\n'
    )
    assert old("backup").code == 0
    old("import", "backups")
    assert "those of the newest snapshot" in old("doctor").out
    old.write(".env.local", "VAULT_KEY=another\n")
    assert "other values than when the newest snapshot was taken: VAULT_KEY" in old("doctor").out


def test_what_belongs_nowhere_is_restored_and_comes_back_as_it_was(old: Cas) -> None:
    old.write("backups/20231103_103000/notes.txt", "of then")
    notes = old.write("notes.txt", "of now, and in no cas.toml")
    assert "note: 20231103_103000/notes.txt: nothing tells where it belongs" in old("import", "backups").err
    ran = old("restore", "2023-11-03 10:30", "--yes")
    assert (ran.code, notes.read_text()) == (0, "of then"), ran.err
    assert old("restore", "--undo", "--yes").code == 0
    assert notes.read_text() == "of now, and in no cas.toml"


def test_an_open_loss_casts_no_doubt_on_what_is_older(old: Cas) -> None:
    old.write("data/users.json", FULL)
    old("backup")
    old.write("data/users.json", "[]")
    assert old("backup").code == 4
    old("import", "backups")
    assert old("restore", "2023-11-02 10:30", "--dry-run").code == 0
    assert old("restore", "latest", "--dry-run").code == 4
    assert "data/users.json" in shown(old("accept"))  # what was imported last is not what is asked about
    assert old("restore", "latest", "--dry-run").code == 0


def test_what_is_skipped_or_torn_is_named_and_the_code_is_3(old: Cas) -> None:
    old.write("backups/by hand/users.json", "[]")
    old.write("backups/20231103_103000/data/users.json", '[{"id": ')
    ran = old("import", "backups")
    assert ran.code == 3
    assert "skipped: by hand: its name is no moment" in ran.err
    assert "torn: 20231103_103000/data/users.json: is no whole JSON" in ran.err
    assert "2 of 2 proven" in ran.out
    assert old("restore", "2023-11-03 10:30", "--dry-run").code == 4  # in doubt, as any torn snapshot


def test_the_clock_of_this_machine_tells_what_a_name_without_a_zone_means(old: Cas) -> None:
    with old.process("import", "backups", environment={"TZ": "America/Sao_Paulo"}) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    times = [snapshot["time"][:25] for snapshot in old.snapshots()[:2]]
    assert times == ["2023-11-02T07:30:00.00000", "2023-11-03T10:30:00.00000"]
    assert [snapshot["time"][-6:] for snapshot in old.snapshots()[:2]] == ["-03:00", "-03:00"]


def test_a_dry_run_says_what_would_be_and_where_it_belongs(old: Cas) -> None:
    out = shown(old("import", "backups", "--dry-run"))
    assert "20231102-103000-000Z  2023-11-02 10:30:00 +00:00  would be imported  2 entries" in out
    assert "users.json belongs at data/users.json" in out
    assert "dry run, nothing stored: 2 to be imported, 0 there already" in out
    assert len(old.snapshots()) == 2


def test_json_has_an_object_for_each_and_a_summary(old: Cas) -> None:
    old.write("backups/by hand/users.json", "[]")
    ran = old("import", "backups", "--json")
    assert ran.code == 3
    skipped, first, second, summary = ran.lines
    assert (skipped["message_type"], Path(skipped["folder"]).name) == ("skipped", "by hand")
    assert (first["new"], first["proven"], first["moved"]) == (True, True, {"users.json": "data/users.json"})
    assert first["snapshot_id"] == old.snapshots()[0]["id"]
    assert shlex.split(second["remove"])[:2] == ["rm", "-r"]
    assert summary == {
        "message_type": "summary", "old_backups": 2, "new": 2, "proven": 2, "incomplete": 0, "failed": 0, "skipped": 1,
        "dry_run": False,
    }  # fmt: skip


@pytest.mark.parametrize("odd", ["with ' and $HOME", "a\x1b[31mred\nline", os.fsdecode(b"no\xffutf-8\x07\\'")])
def test_a_line_to_remove_can_be_typed_whatever_the_folder_is_called(old: Cas, odd: str) -> None:
    place = old.folder / odd
    os.rename(
        old.folder / "backups" / "20231102-103000-000Z", old.write(f"{odd}/x", "").parent / "20231102-103000-000Z"
    )
    (place / "x").unlink()
    out = shown(old("import", str(place)))
    (line,) = [line for line in out.splitlines() if line.startswith("rm -r ")]
    assert line.isprintable()
    subprocess.run(["bash", "-c", line], check=True)
    assert list(place.iterdir()) == []


def test_nothing_to_import_is_no_failure(old: Cas) -> None:
    old.write("empty/x", "").unlink()
    assert "there is no old backup to import in" in shown(old("import", "empty"))


def test_an_import_that_is_killed_is_taken_up_where_it_stood(old: Cas) -> None:
    for day in range(40):
        old.write(f"backups/202401{day // 24 + 10}_{day % 24:02}0000/users.json", f'[{{"id": {day}}}]')
    with old.process("import", "backups") as process:
        ledger = old.folder / "backups" / "cas" / "ledger"
        deadline = time.monotonic() + 60
        while len(list(ledger.iterdir())) < 8 and time.monotonic() < deadline:
            pass
        process.kill()
        process.communicate()
    there = len(old.snapshots())
    assert 2 < there < 44, "it was killed too early or too late to show anything"
    assert "42 of 42 proven" in shown(old("import", "backups"))
    assert len(old.snapshots()) == 44
    assert old("verify").code == 0


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("nowhere", "does not exist"),
        ("cas.toml", "is no folder"),
        ("", "does not exist"),
        ("backups/cas", "repository"),
    ],
)
def test_what_is_no_folder_of_old_backups_is_refused(old: Cas, typed: str, says: str) -> None:
    ran = old("import", typed)
    assert ran.code == 2
    assert says in ran.err


def test_without_a_cas_toml_nobody_knows_whose_backups_they_are(old: Cas, tmp_path: Path) -> None:
    ran = old("-r", str(old.folder / "backups" / "cas"), "import", str(old.folder / "backups"), cwd=tmp_path)
    assert ran.code == 2
    assert "there is no cas.toml" in ran.err


def test_a_snapshot_that_the_repository_does_not_give_back_ends_with_20(old: Cas) -> None:
    assert old("import", "backups").code == 0
    packs = sorted((old.folder / "backups" / "cas" / "packs").rglob("*"), key=lambda path: path.stat().st_mtime_ns)
    for pack in (path for path in packs if path.is_file()):
        data = bytearray(pack.read_bytes())
        data[80] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    ran = old("import", "backups")
    assert ran.code == 20
    assert "NOT THE SAME: 20231102-103000-000Z" in ran.err
    assert "rm -r" not in ran.out
