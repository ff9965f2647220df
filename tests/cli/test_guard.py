"""What the command says and does when guarded files lost what they held, or are torn."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from cli.conftest import Cas, Ran

FULL = json.dumps([{"id": n} for n in range(50)])


@pytest.fixture
def full(cas: Cas) -> Cas:
    """Saved once, with users to lose."""
    cas.write("data/users.json", FULL)
    assert cas("backup").code == 0
    return cas


@pytest.fixture
def lost(full: Cas) -> Cas:
    """And saved once more without them."""
    full.write("data/users.json", "[]")
    ran = full("backup")
    assert ran.code == 4
    assert "guarded: data/users.json: holds nothing but its brackets; it held 590 B" in ran.err
    assert "1 guarded file lost what it held" in ran.err
    return full


def shown(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    return ran.out


def test_a_loss_ends_one_backup_with_4_and_the_next_with_0(lost: Cas) -> None:
    assert lost("backup").code == 0


def test_what_was_lost_which_is_told_once_wins_over_what_could_not_be_saved(full: Cas) -> None:
    full.write("data/users.json", "[]")
    full.write("data/orders.json", "[1, ")
    full.write("events.log", "")
    ran = full("backup", "--json")
    assert ran.code == 4
    assert (ran.json["torn"], ran.json["losses"]) == (1, 2)
    assert {json.loads(line)["message_type"] for line in ran.err.splitlines()} >= {"torn", "guarded"}


def test_of_a_disaster_twenty_files_are_named_and_the_rest_counted(cas: Cas) -> None:
    for number in range(30):
        cas.write(f"data/{number}.json", FULL)
    assert cas("backup").code == 0
    for number in range(30):
        cas.write(f"data/{number}.json", "[]")
    ran = cas("backup", "--dry-run")
    assert ran.err.count("guarded: data/") == 20
    assert "guarded: and others; --json names all" in ran.err
    assert "30 guarded files lost what they held" in ran.err
    assert cas("backup", "--json").err.count('"message_type":"guarded"') == 30


def test_last_good_is_a_snapshot_as_any_other_moment(lost: Cas) -> None:
    assert shown(lost("dump", "last-good", "data/users.json")) == FULL
    assert "data/users.json" in shown(lost("diff", "last-good", "latest"))
    assert shown(lost("ls", "LAST-GOOD")) == shown(lost("ls", "latest"))
    assert lost("dump", "last-good~1", "data/users.json").code == 7


def test_without_a_loss_last_good_is_the_latest(saved: Cas) -> None:
    assert shown(saved("dump", "last-good", "data/users.json")) == '[{"id": 1}, {"id": 2}]'
    assert shown(saved("dump", "last-good~1", "data/users.json")) == '[{"id": 1}]'


def test_snapshots_shows_what_is_in_doubt_since_when(lost: Cas) -> None:
    assert lost("backup").code == 0
    ran = lost("snapshots")
    assert re.search(r"guarded", ran.out)
    assert "is in doubt; if it was meant, say `cas accept`:\n  data/users.json holds nothing" in ran.err
    first, second, third = lost.snapshots()
    assert [one["good"] for one in (first, second, third)] == [True, False, False]
    [loss] = second["guarded"]
    assert loss == {"path": "data/users.json", "how": "bare", "counts": "bytes", "before": len(FULL), "after": 2}


def test_a_restore_of_what_is_in_doubt_stops_before_anything_and_offers_last_good(lost: Cas) -> None:
    lost.write("data/users.json", "[7]")
    for arguments in (
        ["latest"],
        ["now"],
        ["latest", "data/users.json"],
        ["latest", "data"],
        ["latest", "data/*.json"],
    ):
        ran = lost("restore", *arguments, "--yes")
        assert ran.code == 4
        assert "in doubt: data/users.json holds nothing but its brackets" in ran.err
        assert "Nothing was touched. `last-good` is " in ran.err
        assert "--despite-guard" in ran.err
    assert (lost.folder / "data/users.json").read_text() == "[7]"


def test_a_restore_of_last_good_goes_on_and_what_it_replaces_is_no_loss(lost: Cas) -> None:
    assert lost("restore", "last-good", "--yes").code == 0
    assert (lost.folder / "data/users.json").read_text() == FULL
    assert lost("backup").code == 0


def test_what_is_back_is_in_no_doubt_any_more(lost: Cas) -> None:
    assert lost("restore", "last-good", "--yes").code == 0
    assert lost("backup").code == 0
    assert "no difference" in lost("diff", "last-good", "latest").err
    assert lost("restore", "latest", "--yes").code == 0
    good = [one["good"] for one in lost.snapshots() if not one["pre_restore"]]
    assert good == [True, False, True]


def test_a_folder_that_was_away_for_one_backup_is_in_doubt_for_that_one_only(full: Cas) -> None:
    (full.folder / "data").rename(full.folder / "elsewhere")
    assert full("backup").code == 4
    (full.folder / "elsewhere").rename(full.folder / "data")
    assert full("backup").code == 0
    assert [one["good"] for one in full.snapshots()] == [True, False, True]
    assert "no guarded file lost" in full("status").out


def test_most_of_the_old_records_end_the_doubt_and_others_of_the_same_size_do_not(lost: Cas) -> None:
    old = json.loads(FULL)
    for records, good in (
        ([{"id": number + 1000} for number in range(50)], False),  # an application that began anew
        (old[:20] + [{"id": number + 1000} for number in range(30)], False),
        ([*old[5:], {"id": 77, "new": True}], True),  # put back, and at work since
    ):
        lost.write("data/users.json", json.dumps(records))
        assert lost("backup").code == 0
        assert lost.snapshots()[-1]["good"] is good


def test_a_wiped_log_that_grew_again_is_still_in_doubt_until_it_begins_with_what_it_held(cas: Cas) -> None:
    before = "".join(f"{number} happened\n" for number in range(100))
    for log, code, good in (
        (before, 0, True), ("", 4, False), ("other things\n" * 60, 0, False), (before + "and more\n", 0, True),
    ):  # fmt: skip
        cas.write("events.log", log)
        assert cas("backup").code == code
        assert cas.snapshots()[-1]["good"] is good


def test_a_restore_of_an_older_smaller_state_is_no_loss(full: Cas) -> None:
    full.write("data/users.json", json.dumps([{"id": n} for n in range(500)]))
    assert full("backup").code == 0
    assert full("restore", "latest~1", "--yes").code == 0
    assert full("backup").code == 0


def test_a_loss_that_only_the_snapshot_before_a_restore_met_is_told_and_written_down(full: Cas) -> None:
    full.write("data/users.json", "[]")
    full.write("events.log", "")
    ran = full("restore", "latest", "events.log", "--yes")
    assert ran.code == 0
    assert "data/users.json: before the restore: it lost what it held" in ran.err
    assert [len(one["guarded"]) for one in full.snapshots()] == [0, 1]


def test_paths_that_lost_nothing_and_ids_are_restored_as_ever(lost: Cas) -> None:
    lost.write("data/orders.json", "[1, 2]")
    assert lost("restore", "latest", "data/orders.json", "--yes").code == 0
    newest = lost.snapshots()[1]["short_id"]
    assert lost("restore", newest, "--target", "elsewhere").code == 0


def test_a_restore_despite_the_guard_goes_on(lost: Cas) -> None:
    lost.write("data/users.json", "[7]")
    assert lost("restore", "latest", "--despite-guard", "--yes").code == 0
    assert (lost.folder / "data/users.json").read_text() == "[]"


def test_what_is_accepted_is_in_no_doubt_any_more(lost: Cas) -> None:
    assert "data/users.json holds nothing" in shown(lost("accept", "--dry-run"))
    assert lost("restore", "latest", "--dry-run").code == 4
    assert "nothing is in doubt there" in lost("accept", "data/orders.json").err
    assert lost("restore", "latest", "--dry-run").code == 4
    assert "data/users.json holds nothing" in shown(lost("accept", "data"))
    assert lost("restore", "latest", "--dry-run").code == 0
    assert shown(lost("dump", "last-good", "data/users.json")) == "[]"
    assert "nothing is in doubt" in lost("accept").err
    ledger = [line["kind"] for line in lost("cat", "ledger").lines]
    assert ledger[-1] == "note"


def test_accepting_a_rolled_back_history_accepts_no_loss(lost: Cas) -> None:
    assert lost("anchor", "accept", "--yes").code == 0
    assert lost("restore", "latest", "--dry-run").code == 4


def test_a_torn_file_ends_each_backup_with_3_until_it_is_whole_or_accepted(full: Cas) -> None:
    full.write("data/users.json", FULL[:-5])
    for _ in range(2):
        ran = full("backup")
        assert ran.code == 3
        assert "torn: data/users.json: is no whole JSON" in ran.err
    assert "torn" in full("snapshots").out
    assert full.snapshots()[-1]["complete"] is False
    ran = full("restore", "latest", "--yes")
    assert ran.code == 4
    assert "1 JSON file torn" in ran.err
    assert full("restore", "latest", "events.log", "--yes").code == 0
    assert shown(full("dump", "last-good", "data/users.json")) == FULL
    assert "1 JSON file torn" in shown(full("accept"))
    assert full("backup").code == 0


def test_damage_wins_over_what_is_torn_or_lost(full: Cas) -> None:
    def packs() -> set[Path]:
        return {path for path in (full.folder / "backups" / "cas" / "packs").rglob("*") if path.is_file()}

    before = packs()
    full.write("elsewhere/other.txt", "of another application")
    assert full("-r", "backups/cas", "backup", "elsewhere", "--host", "another").code == 0
    for pack in packs() - before:
        pack.unlink()
    shutil.rmtree(full.home / ".cache")
    full.write("data/users.json", FULL[:-5])
    full.write("events.log", "")
    ran = full("backup", "--json")
    assert ran.code == 20
    assert (ran.json["torn"], ran.json["losses"]) == (1, 1)


def test_a_snapshot_may_be_in_doubt_and_unproven(cas: Cas) -> None:
    log = cas.folder / "events.log"
    cas.write("events.log", "".join(f"{number:07} happened\n" for number in range(60_000)))
    cas.write("data/users.json", FULL)
    assert cas("backup").code == 0
    with log.open("a") as file:
        file.write("one more\n")
    cas.write("data/users.json", "[]")
    assert cas("backup").code == 4
    log.write_text(log.read_text()[:-3] + "###")
    ran = cas("backup")
    assert (ran.code, ran.err.count("was rewritten")) == (0, 1), ran.err
    listed = cas("snapshots")
    assert ["guarded" in line and "unproven" in line for line in listed.out.splitlines()[1:]] == [False, True, False]
    assert "unproven: taken after" in listed.err
    assert "is in doubt; if it was meant" in listed.err
    marks = [(one["good"], one["unproven"]) for one in cas.snapshots()]
    assert marks == [(True, False), (False, True), (False, False)]
