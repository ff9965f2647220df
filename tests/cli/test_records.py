"""Records of JSON files, as a user meets them: restore --record, log, diff --json-aware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from cli.conftest import Cas
from cli.test_errors import assert_told
from cli.test_terminal import Terminal

OLD = '[\r\n  {"id": "usr_1", "name": "Ann"},\r\n  {"id": "usr_42", "name": "Zoë", "mail": "z@x"}\r\n]\r\n'
NEW = '[\r\n  {"id": "usr_1", "name": "Anna"},\r\n  {"id": "usr_42", "name": "?"}\r\n]\r\n'
GONE = '[\r\n  {"id": "usr_1", "name": "Anna"}\r\n]\r\n'
RECORD = ("data/users.json", "--record", "id=usr_42")


@pytest.fixture
def shop(cas: Cas) -> Cas:
    """Three snapshots: the record whole, spoilt, gone."""
    for text in (OLD, NEW, GONE):
        cas.write("data/users.json", text)
        assert cas("backup").code == 0
    return cas


def users(cas: Cas) -> str:
    return (cas.folder / "data/users.json").read_bytes().decode()


# ── restore --record ──


def test_one_record_comes_back_and_all_else_stays(shop: Cas) -> None:
    shop.write("data/users.json", NEW)
    shop.write("data/orders.json", "[1]")
    ran = shop("restore", "latest~2", *RECORD, "--yes")
    assert ran.code == 0, ran.err
    assert users(shop) == NEW.replace('"name": "?"', '"name": "Zoë", "mail": "z@x"')
    assert (shop.folder / "data/orders.json").read_text() == "[1]"
    before = shop.snapshots()[-1]
    assert before["pre_restore"]
    assert "put back record id=usr_42 of data/users.json" in ran.out
    assert before["short_id"] in ran.out
    assert shop("restore", "--undo", "--yes").code == 0
    assert users(shop) == NEW


def test_a_missing_record_is_put_in_between_its_neighbours(shop: Cas) -> None:
    ran = shop("restore", "latest~2", *RECORD, "-y", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["replaced"], ran.json["record"]) == (1, "id=usr_42")
    assert users(shop) == OLD.replace("Ann", "Anna")


def test_a_record_that_is_there_already_touches_nothing(shop: Cas) -> None:
    file = shop.write("data/users.json", '[{"mail":"z@x","id":"usr_42","name":"Zo\\u00eb"}]')
    was = (file.stat().st_ino, file.stat().st_ctime_ns)  # no atime: it is read
    ran = shop("restore", "latest~2", *RECORD)
    assert ran.code == 0, ran.err
    assert ran.out == "nothing to do: record id=usr_42 of data/users.json is as in the snapshot\n"
    assert (file.stat().st_ino, file.stat().st_ctime_ns) == was
    assert len(shop.snapshots()) == 3
    assert shop("restore", "latest~2", *RECORD, "-n", "--json").json["action"] == "unchanged"


def test_a_dry_run_masks_values_unless_they_are_asked_for(shop: Cas) -> None:
    shop.write("data/users.json", NEW)
    ran = shop("restore", "latest~2", *RECORD, "--dry-run")
    assert ran.out.splitlines() == [
        "M  data/users.json  record id=usr_42", "     name ••• → •••", "     +mail •••",
    ]  # fmt: skip
    shown = shop("restore", "latest~2", *RECORD, "-n", "--show-values")
    assert shown.out.splitlines()[1:] == ['     name "?" → "Zoë"', '     +mail "z@x"']
    masked = shop("restore", "latest~2", *RECORD, "-n", "--json")
    assert masked.json["fields"] == [{"name": "name", "change": "modified"}, {"name": "mail", "change": "added"}]
    assert "Zo" not in masked.out + masked.err
    with_values = shop("restore", "latest~2", *RECORD, "-n", "--json", "--show-values").json
    assert with_values["fields"][0] == {"name": "name", "change": "modified", "old": '"?"', "new": '"Zoë"'}
    assert users(shop) == NEW
    assert len(shop.snapshots()) == 3


def test_it_is_asked_about_on_a_terminal_with_values_masked(shop: Cas) -> None:
    assert_told(shop("restore", "latest~2", *RECORD), 2, "no terminal to ask on", "--yes")
    terminal = Terminal(shop, "restore", "latest~2", *RECORD)
    assert "+mail •••" in terminal.expect(r"restoring .*Put this record back\? \[y/N\]: ")[0]
    terminal.type("n")
    assert terminal.end() == 1
    assert users(shop) == GONE


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (None, "data/users.json cannot be changed: no such file", "Restore the whole file"),
        ('[{"id": "usr_42"', "data/users.json as it is now is not whole JSON: it breaks at byte 16", "Whole files"),
        ("7", "is neither a JSON array nor an object", "Whole files"),
        ("{}", "not of one kind", "Whole files"),
        ('[{"id":"usr_42"},{"id":"usr_42"}]', "2 records of data/users.json as it is now answer to id=usr_42", "Name"),
        ("[" * 50_000, "nested deeper than can be followed", "Whole files"),
    ],
)
def test_a_live_file_that_cannot_take_a_record_is_left_alone(
    shop: Cas, text: str | None, message: str, hint: str
) -> None:
    file = shop.write("data/users.json", text or "")
    if text is None:
        file.unlink()
    assert_told(shop("restore", "latest~2", *RECORD, "-y"), 1, message, hint)
    assert users(shop) == text if text is not None else not file.exists()
    assert len(shop.snapshots()) == 3


def test_a_record_that_the_snapshot_does_not_hold_is_named(shop: Cas) -> None:
    ran = shop("restore", "latest", *RECORD, "-y")
    assert_told(ran, 1, "data/users.json in the snapshot holds no record id=usr_42", "cas log")


def test_while_the_application_runs_it_is_refused(shop: Cas) -> None:
    program = "import sys; file = open('data/users.json', 'a'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=shop.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as application:
        assert application.stdout is not None
        application.stdout.readline()
        refused = shop("restore", "latest~2", *RECORD, "--yes")
        assert users(shop) == GONE
        forced = shop("restore", "latest~2", *RECORD, "--yes", "--force")
        application.communicate(b"")
    assert_told(refused, 5, f"process {application.pid} ", "--force")
    assert forced.code == 0, forced.err
    assert "usr_42" in users(shop)


def test_words_that_do_not_go_with_a_record_are_refused(shop: Cas) -> None:
    for arguments, message in (
        (["latest", "--record", "id=1"], "a record of one file in place"),
        (["latest", "data/users.json", "data/orders.json", "--record", "id=1"], "a record of one file in place"),
        (["latest", "data/users.json", "--record", "id=1", "--target", "x"], "a record of one file in place"),
        (["latest", "data/*.json", "--record", "id=1"], "a record of one file"),
        (["latest", "data/users.json", "--record", "id="], "names no value"),
        (["--undo", "--record", "id=1"], "stand alone"),
        (["latest", "data/users.json", "--show-values"], "--record"),
    ):
        assert_told(shop("restore", *arguments), 2, message)
    assert_told(shop("restore", "latest", "data/none.json", "--record", "a"), 1, "not in this snapshot: data/none.json")


def test_another_folder_needs_here(shop: Cas) -> None:
    moved = shop.folder.parent / "moved"
    shop.folder.rename(moved)
    elsewhere = Cas(moved, shop.home)
    assert_told(elsewhere("restore", "latest~2", *RECORD, "-y"), 2, "the snapshot is of the folder", "--here")
    assert elsewhere("restore", "latest~2", *RECORD, "-y", "--here").code == 0
    assert users(elsewhere) == OLD.replace("Ann", "Anna")


# ── log ──


def test_the_log_of_a_file_names_its_versions(shop: Cas) -> None:
    shop.write("data/orders.json", "[7]")
    shop("backup")
    (shop.folder / "data/users.json").unlink()
    shop("backup")
    lines = shop("log", "data/users.json").out.splitlines()
    ids = [snapshot["short_id"] for snapshot in shop.snapshots()]
    assert [line.split()[0] for line in lines] == [*ids[:3], ids[4]]
    assert [line.split("  ")[2] for line in lines] == ["92 B", "75 B (-17 B)", "41 B (-34 B)", "gone"]
    found = shop("log", "data/users.json", "--json").lines
    assert [one.get("size") for one in found] == [len(text.encode()) for text in (OLD, NEW, GONE)] + [None]
    assert found[0]["message_type"] == "version"


def test_the_log_of_a_record_tells_what_became_of_it(shop: Cas) -> None:
    shop("restore", "latest~2", *RECORD, "-y")
    shop("backup")
    lines = shop("log", *RECORD).out.splitlines()
    assert [line.split("  ", 2)[2] for line in lines] == ["added", "changed  name, -mail", "removed", "added"]
    found = shop("log", *RECORD, "--json").lines
    assert [one["change"] for one in found] == ["added", "changed", "removed", "added"]
    assert found[1]["fields"] == [{"name": "name", "change": "modified"}, {"name": "mail", "change": "removed"}]
    assert "Zo" not in json.dumps(found)
    assert shop("log", "data/users.json", "--record", "usr_1").out.count("changed  name") == 1


def test_a_version_that_is_no_whole_json_is_told_in_its_place(shop: Cas) -> None:
    shop.write("data/users.json", OLD[:40])
    shop("backup")
    ran = shop("log", *RECORD)
    assert ran.code == 3
    assert "unreadable: the file is not whole JSON: it breaks at byte 40 of 40" in ran.out.splitlines()[-1]
    assert shop("log", *RECORD, "--json").lines[-1]["change"] == "unreadable"
    assert shop("log", "data/users.json").out.splitlines()[-1].endswith("torn")


def test_what_no_snapshot_holds_has_no_log(shop: Cas) -> None:
    assert_told(shop("log", "data/none.json"), 1, "no snapshot holds data/none.json")
    assert_told(shop("log", "data/none.json", "--record", "1"), 1, "no snapshot holds data/none.json")
    assert_told(shop("log", "data/users.json", "--record", "id=7"), 1, "no snapshot holds a record id=7", "--record")
    assert_told(shop("log", "data"), 1, "a folder has no versions", "Name a file")
    assert_told(shop("log", "data/users.json", "--record", ""), 2, "names no value")


def test_a_damaged_version_is_told_with_20(shop: Cas) -> None:
    pack = min((shop.folder / "backups/cas/packs").rglob("?" * 64), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(pack.read_bytes())
    data[120] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    for path in (shop.home / ".cache").rglob("*"):  # where the bytes are at hand they are not read from the pack
        if path.is_file():
            path.unlink()
    ran = shop("log", *RECORD)
    assert ran.code == 20
    assert "unreadable: " in ran.out.splitlines()[0]


# ── diff --json-aware ──


def test_a_diff_tells_of_records(shop: Cas) -> None:
    ran = shop("diff", "latest~2", "latest", "--json-aware")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        "M  data/users.json  92 B → 41 B (-51 B)",
        '     M id=usr_1  name "Ann" → "Anna"',
        "     - id=usr_42",
    ]
    shop.write("data/users.json", NEW.replace("?", "x" * 100))
    live = shop("diff", "latest~2", "--json-aware", "--mask-values").out.splitlines()
    assert live[1:] == ["     M id=usr_1  name ••• → •••", "     M id=usr_42  name ••• → •••, -mail •••"]
    cut = shop("diff", "latest~2", "--json-aware").out.splitlines()[2]
    assert cut == f'     M id=usr_42  name "Zoë" → "{"x" * 39}…, -mail "z@x"'


def test_a_diff_of_records_as_json(shop: Cas) -> None:
    def told(*options: str) -> list[Any]:
        lines = shop("diff", "latest~2", "latest", "--json-aware", "--json", *options).lines
        return [line for line in lines if line["message_type"] == "record"]

    changed, removed = told()
    assert (changed["modifier"], changed["by"], changed["record"]) == ("M", "id", "usr_1")
    assert changed["fields"] == [{"name": "name", "change": "modified", "old": '"Ann"', "new": '"Anna"'}]
    assert (removed["modifier"], removed["record"]) == ("-", "usr_42")
    assert told("--mask-values")[0]["fields"] == [{"name": "name", "change": "modified"}]


def test_what_cannot_be_compared_by_record_is_said_and_stops_nothing(shop: Cas) -> None:
    shop.write("data/orders.json", '[1, "two\u202e"]')
    shop.write("data/users.json", "[")
    out = shop("diff", "latest", "--json-aware").out
    assert "its records are not compared: the new version is not whole JSON" in out
    assert "     by position: no field names each record\n     + number 1\n     + number 2\n" in out
    shop.write("data/orders.json", "[ ]")
    assert "no record differs" in shop("diff", "latest", "--json-aware").out
    assert_told(shop("diff", "--mask-values"), 2, "--json-aware")


def test_no_value_commands_a_terminal(cas: Cas) -> None:
    cas.write("data/users.json", '{"a": {"x": 1}}')
    cas("backup")
    cas.write("data/users.json", '{"a": {"x": "\u009b31m\u202e", "\\u001b[2J": 1}, "\\u001b]0;": {}}')
    out = cas("diff", "--json-aware").out
    assert not any(letter in out for letter in "\x1b\x9b\u202e")
    assert "\\x1b[2J" in out
    assert os.fsencode(out)
