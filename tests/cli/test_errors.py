"""Whatever goes wrong: one sentence, a hint, its own exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cascli import main
from cli.conftest import Cas, Ran

from casstore.format import record

ROOT = os.geteuid() == 0


def assert_told(ran: Ran, code: int, message: str, hint: str = "") -> None:
    assert ran.code == code, ran.err
    first = next(line for line in ran.err.splitlines() if line.startswith("cas: "))
    assert message in first
    assert hint in ran.err
    assert "Traceback" not in ran.err
    assert "error of its own" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["bakcup"], 2, "there is no command `bakcup`", "Did you mean `cas backup`?"),
        (["xyz"], 2, "there is no command `xyz`", "`cas --help` lists the commands."),
        (["backup", "--tag"], 2, "requires an argument", ""),
        (["backup", "--tagg", "x"], 2, "there is no option `--tagg`", "Did you mean `--tag`?"),
        (["snapshots", "--latest", "0"], 2, "--latest", "`cas snapshots --help`"),
        (["ls", "lastest"], 7, "neither a snapshot nor a moment", "Did you mean `latest`?"),
        (["ls", "1999-01-01"], 7, "no snapshot is as old as `1999-01-01`", "The oldest are:"),
        (["ls", "latest~2"], 7, "goes back too far", "The oldest are:"),
        (["ls", "kkkkkkkk"], 7, "no snapshot has an id that begins with", "Nearest are:"),
        (["ls", "latest", "nothing"], 1, "nothing is not in this snapshot", "cas ls"),
        (["ls", "latest", "../x"], 2, "leads out of the snapshot", ""),
        (["ls", "latest", "/elsewhere"], 2, "is not inside", ""),
        (["dump", "latest", "nothing"], 1, "nothing is not in this snapshot", ""),
        (["find", "nothing*"], 1, "no snapshot holds nothing*", ""),
        (["verify", "--read-data-subset", "8/7"], 2, "`8/7` is no part of the data", "5%"),
        (["verify", "--quick", "--read-data-subset", "5%"], 2, "--quick reads no data", ""),
        (["backup", "nowhere"], 1, "nowhere does not exist", "Nothing was saved."),
        (["backup", "--time", "soon"], 2, "`soon` is no moment", "A moment is"),
        (["backup", "--exclude-file", "nowhere"], 2, "nowhere cannot be read", ""),
        (["-r", "nowhere", "snapshots"], 10, "no such folder", "Name the place with -r"),
        (["-r", "events.log", "snapshots"], 10, "it is a file", ""),
        (["-r", "data", "snapshots"], 10, "the folder holds orders.json, users.json", ""),
        (["-r", "backups", "snapshots"], 10, "no repository at", "Did you mean `-r "),
        (["-r", "sftp://host/x", "snapshots"], 10, "sftp: cannot be reached yet", ""),
        (["-r", "s3:s3.example.com/bucket", "init", "data"], 10, "s3: cannot be reached yet", ""),
        (["-r", "ada@host:/srv/cas", "init", "data"], 10, "ada@host: cannot be reached yet", ""),
        (["-r", " ", "snapshots"], 2, "name is empty", ""),
        (["--key-file", "nowhere", "snapshots"], 12, "nowhere cannot be read", ""),
        (["--recovery-words", "snapshots"], 2, "no terminal to ask on", ""),
        (["key", "remove", "ff"], 1, "there is no slot `ff`", "cas key list"),
        (["key", "recovery"], 2, "shown on a terminal only", ""),
        (["key", "add"], 2, "no terminal to ask on", "CAS_NEW_PASSWORD"),
        (["cat", "commit", "99"], 2, "there is no commit 99", ""),
        (["cat", "pack", "ff"], 1, "`ff`", "cas cat ledger"),
        (["backup", ""], 1, "an empty path does not exist", "Nothing was saved"),
        (["backup", "--exclude", "[z-a]"], 2, "`[z-a]` cannot be excluded", ""),
        (["backup", "--exclude", "!"], 2, "`!` cannot be excluded", ""),
        (["snapshots", "--after", "2026-13-01"], 2, "`2026-13-01` is no date", "A moment is"),
        (["key", "lst"], 2, "there is no command `key lst`", "Did you mean `cas key list`?"),
        (["cat", "xyz"], 2, "there is no command `cat xyz`", "`cas cat --help`"),
        (["backup", "-r", ""], 2, "--repo is empty", "unset"),
        (["snapshots", "--key-file", ""], 2, "--key-file is empty", "unset"),
        (["key", "add", "--new-key-file", ""], 2, "--new-key-file is empty", "unset"),
        (["runbook", "--output", ""], 2, "--output is empty", "unset"),
        (["verify", "--read-data-subset", ""], 2, "`` is no part of the data", "5%"),
        (["drill", "--lang", "pt-BR"], 2, "--lang is the language in which --guided leads", "--guided"),
        (["restore", "--undo", "--here"], 2, "stand alone", ""),
        (["restore", "--resume", "--force"], 2, "stand alone", ""),
        (["restore", "--undo", "--name", "shop"], 2, "stand alone", ""),
        (["backup", "data", "backups/cas/packs"], 2, "backups/cas is the repository", "the application"),
        (["init", ""], 2, "a PATH is empty", "`.`"),
        (["restore", "latest", "--target", ""], 2, "--target is empty", "`.`"),
        (["restore", "--undo", "--target", ""], 2, "--target is empty", "`.`"),
        (["restore", "latest", ""], 2, "a path is empty", "`.`"),
        (["completion", "tcsh"], 2, "tcsh", "--help"),
        (["init"], 2, "is a repository already", ""),
        (["init", "missing"], 2, "missing does not exist", "See how it is spelt; the repository is named with -r"),
        (["init", "backups/cas"], 2, "backups/cas holds a repository", "Did you mean `cas init -r backups/cas`?"),
        (["init", "/etc"], 2, "is not inside this folder", ""),
        (["init", "-r", "data", "--key-file-only"], 2, "is not empty", ""),
        (["anchor", "accept"], 2, "no terminal to ask on", "--yes"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    saved: Cas, arguments: list[str], code: int, message: str, hint: str
) -> None:
    assert_told(saved(*arguments), code, message, hint)
    in_json = saved("--json", *arguments)
    told = json.loads(in_json.err.splitlines()[-1])
    assert told["message_type"] == "exit_error"
    assert told["code"] == in_json.code == code
    assert message in told["message"]
    assert len(saved.snapshots()) == 2


def test_a_group_alone_shows_its_help(saved: Cas) -> None:
    for group in ("key", "cat", "anchor"):
        ran = saved(group)
        assert ran.code == 2
        assert ran.out.startswith(f"Usage: cas {group}")
        assert ran.err == ""


def test_a_passphrase_that_nobody_can_type_exits_2_and_makes_nothing(bare: Cas) -> None:
    assert_told(bare("init", "data"), 2, "there is no terminal to ask on", "--key-file-only")
    assert not (bare.folder / "cas.toml").exists()
    assert not (bare.folder / "backups").exists()


def test_without_cas_toml_and_path_backup_says_what_to_type(bare: Cas) -> None:
    assert_told(bare("backup"), 2, "there is no cas.toml here or above", "cas init PATH…")
    assert_told(bare("snapshots"), 2, "no repository is named", "CAS_REPOSITORY")
    assert_told(bare("init"), 2, "nothing says what to save or where", "cas init PATH…")


def test_an_empty_folder_is_more_likely_meant_as_the_repository(bare: Cas) -> None:
    (bare.folder / "empty").mkdir()
    assert_told(bare("init", "empty", "--key-file-only"), 2, "empty is empty", "Did you mean `cas init -r empty`?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paths = 3", "line 1: `paths` must be a list"),
        ('name = "x"\nexclud = []', "line 2: unknown key `exclud`"),
        ("name = [", "line 1: this is not valid TOML"),
        (b"name = '\xff'", "line 1: this is not UTF-8"),
    ],
)
def test_a_wrong_cas_toml_is_told_with_its_line(saved: Cas, text: str | bytes, message: str) -> None:
    saved.write("cas.toml", text)
    for command in ("backup", "snapshots"):
        assert_told(saved(command), 2, message)


def test_a_folder_called_cas_toml_is_no_file(bare: Cas) -> None:
    (bare.folder / "cas.toml").mkdir()
    assert_told(bare("backup"), 2, "cas.toml is not a file")


def test_a_folder_that_was_deleted_below_our_feet_is_told(bare: Cas) -> None:
    gone = bare.folder / "gone"
    gone.mkdir()
    for arguments in (["init", "x"], ["backup"], ["snapshots"]):
        script = f"import os; os.rmdir({str(gone)!r}); from cascli.start import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=gone, env=bare.environment, capture_output=True, text=True
        )
        assert_told(Ran(ran.returncode, ran.stdout.encode(), ran.stderr), 2, "this folder does not exist any more")
        gone.mkdir()


def test_what_lies_in_the_repository_is_not_saved_into_it(saved: Cas) -> None:
    repository = saved.folder / "backups/cas"
    (saved.folder / "cas.toml").unlink()
    for path in (".", "packs", "packs/00"):
        assert_told(saved("-r", ".", "backup", path, cwd=repository), 2, "is the repository or its cache")


def test_a_pattern_that_is_none_is_told_before_it_saves_what_it_should_leave_out(cas: Cas) -> None:
    cas.write("cas.toml", 'exclude = ["*.tmp", "!"]\n')
    assert_told(cas("backup"), 2, "cas.toml: `!` cannot be excluded")


def test_a_line_of_a_casignore_that_is_no_rule_is_passed_over_as_git_does(cas: Cas) -> None:
    cas.write("cas.toml", 'paths = ["data"]\n')
    cas.write("data/.casignore", "!\n[z-a]\n*.tmp\n")
    cas.write("data/x.tmp", "x")
    assert cas("backup").code == 0
    assert "x.tmp" not in cas("ls", "latest").out


def test_a_cas_toml_that_others_may_write_is_refused(saved: Cas) -> None:
    (saved.folder / "cas.toml").chmod(0o666)
    assert_told(saved("backup"), 2, "can be written by others", "chmod go-w")


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_a_cas_toml_of_another_user_is_refused(saved: Cas) -> None:
    os.chown(saved.folder / "cas.toml", 4242, 4242)
    assert_told(saved("backup"), 2, "belongs to another user (uid 4242)")


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_a_repository_of_another_user_is_not_written_to(saved: Cas) -> None:
    os.chown(saved.folder / "backups/cas", 4242, 4242)
    saved.write("data/users.json", "[]")
    assert_told(saved("backup"), 1, "belongs to another user", "sudo -u '#4242'")


def test_a_newer_format_is_refused(saved: Cas) -> None:
    header = saved.folder / "backups/cas/header"
    fields = record.decode(header.read_bytes())
    fields[1] = 2
    header.chmod(0o600)
    header.write_bytes(record.encode(fields))
    assert_told(saved("snapshots"), 1, "format version 2", "Install a newer cas")


def test_a_wrong_passphrase_exits_12(bare: Cas, tmp_path: Path) -> None:
    assert bare("init", "data", CAS_PASSWORD="right").code == 0
    elsewhere = Cas(bare.folder, tmp_path)
    assert_told(elsewhere("snapshots", CAS_PASSWORD="wrong"), 12, "passphrase")
    assert_told(elsewhere("snapshots"), 12, "this host has no key", "CAS_PASSWORD")
    assert elsewhere("snapshots", CAS_PASSWORD="right").code == 0


def test_a_repository_made_by_someone_else_at_the_same_place_is_noticed(saved: Cas, tmp_path: Path) -> None:
    repository = saved.folder / "backups/cas"
    shutil.rmtree(repository)
    other = Cas(tmp_path, tmp_path)
    assert other("init", "-r", str(repository), "--key-file-only").code == 0
    assert_told(saved("backup"), 12, "this host has no key for the repository", "made anew by someone else")


def test_a_rolled_back_history_exits_21_and_can_be_accepted(saved: Cas) -> None:
    newest = max((saved.folder / "backups/cas/ledger").iterdir())
    newest.unlink()
    assert_told(saved("snapshots"), 21, "rolled back", "cas anchor check")
    assert_told(saved("backup"), 21, "rolled back")
    assert_told(saved("anchor", "check"), 21, "seen here: commit")
    assert saved("anchor", "accept", "--yes").code == 0
    assert len(saved.snapshots()) == 1
    assert saved("backup").code == 0


def test_damage_exits_20_and_says_what_it_costs(saved: Cas) -> None:
    pack = max((saved.folder / "backups/cas/packs").rglob("?" * 64), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(pack.read_bytes())
    data[150] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    ran = saved("verify")
    assert ran.code == 20
    first, second = saved.snapshots()
    assert f"snapshot {second['short_id']}" in ran.out
    assert f"whole: {first['short_id']}" in ran.out
    told = saved("verify", "--json").lines
    assert told[-1]["damaged"] == [second["id"]]
    only_first = saved("verify", first["id"])
    assert only_first.code == 20  # the pack is damaged, whoever needs it
    assert f"whole: {first['short_id']}" in only_first.out


def test_what_matches_nothing_is_a_warning_and_the_rest_is_saved(cas: Cas) -> None:
    (cas.folder / "events.log").unlink()
    text = (cas.folder / "cas.toml").read_text().replace('["data/*.json", ', '["data/*.json", "later/*.json", ')
    cas.write("cas.toml", text)
    ran = cas("backup")
    assert ran.code == 0
    assert "later/*.json" in ran.err
    assert "events.log" in ran.err
    assert cas.snapshots()[0]["summary"]["files"] == 2


def test_a_file_that_may_not_be_read_is_named_and_the_rest_saved(cas: Cas) -> None:
    path = cas.folder / "data/users.json"
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    ran = cas("backup")
    assert ran.code == 3
    assert "data/users.json: cannot be read" in ran.err
    assert cas.snapshots()[0]["summary"]["files"] == 2


def test_what_comes_next_names_a_repository_that_the_cas_toml_here_does_not(cas: Cas, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert f"next        cas -r {other} backup\n" in cas("init", "-r", str(other), "--key-file-only").out


def test_a_choice_that_lacks_is_told_on_one_line(cas: Cas) -> None:
    assert "\\n" not in cas("completion").err


@pytest.mark.parametrize("command", ["forget", "prune", "mount", "copy", "tag", "unlock", "version"])
def test_commands_of_other_programs_are_answered(cas: Cas, command: str) -> None:
    ran = cas(command)
    assert_told(ran, 2, f"there is no command `{command}`", hint=main.ELSEWHERE[command])


def test_a_traceback_is_shown_only_on_demand(saved: Cas) -> None:
    with pytest.raises(Exception, match="neither a snapshot nor a moment"):
        saved("ls", "lastest", CAS_DEBUG="1")


def test_an_error_in_a_hostile_name_commands_no_terminal(saved: Cas) -> None:
    ran = saved("backup", "\x1b[31mred")
    assert ran.code == 1
    assert "\x1b" not in ran.err
    assert "\\x1b[31mred" in ran.err
    folder = saved.folder / "\x1b[31mred"
    folder.mkdir()
    (folder / "cas.toml").write_text("")
    (folder / "cas.toml").chmod(0o666)
    assert "\x1b" not in saved("backup", cwd=folder).err  # nor does the hint


def test_a_password_command_that_cannot_be_run_is_told_without_a_number(saved: Cas, tmp_path: Path) -> None:
    stranger = Cas(saved.folder, tmp_path)
    for command, message in (("/nowhere/at-all", "/nowhere/at-all: no such file or directory"), ("'", "is no command")):
        ran = stranger("snapshots", CAS_PASSWORD_COMMAND=command)
        assert_told(ran, 2, message)
        assert "Errno" not in ran.err


@pytest.mark.skipif(ROOT, reason="root may enter every folder")
def test_diff_tells_a_folder_that_may_not_be_entered(saved: Cas) -> None:
    saved.write("cas.toml", 'paths = ["data"]\n')
    saved.write("data/inner/x.json", "1")
    assert saved("backup").code == 0
    (saved.folder / "data/inner").chmod(0)
    ran = saved("diff")
    (saved.folder / "data/inner").chmod(0o700)
    assert ran.code == 3
    assert "data/inner: cannot be entered" in ran.err


def test_a_backup_into_a_damaged_repository_is_saved_and_says_20_each_time(saved: Cas) -> None:
    pack, *_ = (path for path in (saved.folder / "backups" / "cas" / "packs").rglob("*") if path.is_file())
    pack.unlink()
    shutil.rmtree(saved.home / ".cache")
    for n in range(2):
        saved.write("data/new.json", f'{{"n": {n}}}')
        ran = saved("backup")
        assert ran.code == 20
        assert ran.out.startswith("snapshot ")
        assert f"packs/{pack.parent.name}/{pack.name}" in ran.err
        assert saved("dump", "latest", "data/new.json").out == f'{{"n": {n}}}'


def test_a_target_that_is_the_applications_own_folder_is_a_restore_in_place(saved: Cas) -> None:
    saved.write("data/orders.json", "[]")
    ran = saved("restore", "latest", "--target", ".")
    assert_told(ran, 2, "terminal", "--yes")
    assert (saved.folder / "data" / "orders.json").read_text() == "[]"
    assert saved("restore", "latest", "--target", ".", "--yes").code == 0
    assert saved("restore", "--undo", "--yes").code == 0
    assert (saved.folder / "data" / "orders.json").read_text() == "[]"


def test_a_history_that_contradicts_itself_is_not_accepted_and_nothing_is_forgotten(saved: Cas) -> None:
    ledger = saved.folder / "backups" / "cas" / "ledger"
    common = saved.folder / "common"
    shutil.copytree(ledger, common)
    histories = []
    for text in ("[1]", "[2]"):  # two hosts that never saw each other's commits
        shutil.rmtree(ledger)
        shutil.copytree(common, ledger)
        for state in (saved.home / ".local" / "state", saved.home / ".cache"):
            shutil.rmtree(state)
        saved.write("data/orders.json", text)
        assert [saved("backup").code for _ in range(2)] == [0, 0]
        histories.append({path.name: path.read_bytes() for path in ledger.iterdir()})
    newest = max(histories[1])
    (ledger / newest).write_bytes(histories[0][newest])
    anchor = next((saved.home / ".local" / "state").rglob("anchor")).read_bytes()
    assert_told(saved("anchor", "accept", "--yes"), 21, "contradicts itself", "Nothing was touched")
    assert next((saved.home / ".local" / "state").rglob("anchor")).read_bytes() == anchor


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ('[promises]\nrop = "1h"', "unknown key `rop` in [promises]. Did you mean"),
        ("[promises]\nrpo = 60", "`rpo` must be a duration"),
        ("[[external]]\nname = 'a'", "`external` number 1 needs `how`"),
        ("[recover]\nsteps = [{ name = 'a' }]", "a step 'a' that does nothing"),
        ("[drill]\nenv = { PORT = 3001 }", "`PORT` is none"),
        ("[notify]\nto = 'mailto://x'", "`to` must be a list"),
    ],
)
def test_a_wrong_plan_that_no_snapshot_needs_is_one_warning_and_a_red_status(cas: Cas, plan: str, said: str) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(f"{config.read_text()}\n{plan}\n")
    ran = cas("backup", "--quiet")
    assert ran.code == 0
    (warning,) = ran.err.splitlines()
    assert warning.startswith(f"warning: {config} line ")
    assert said in warning
    assert said in cas("backup", "--dry-run").err
    assert cas("status").code == 30


def test_a_span_of_nothing_between_proofs_of_life_is_refused(saved: Cas) -> None:
    for span in ("0s", "5s"):
        assert_told(saved("watch", "--at-least-every", span), 2, "must be longer than --at-most-every")


def test_a_path_that_neither_side_has_is_no_path_without_differences(saved: Cas) -> None:
    assert_told(saved("diff", "latest", "live", "--path", "dta"), 1, "neither side has dta", "relative to")


def test_a_full_disk_behind_stdout_is_told(saved: Cas) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-c", "from cascli.start import main; main()", "snapshots"], cwd=saved.folder,
            env=saved.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.endswith("cas: no space left on device\n")
    assert "Traceback" not in ran.stderr


def test_a_name_in_bytes_is_told_as_a_name() -> None:
    assert main.told(PermissionError(13, "Permission denied", b"/root"))[0] == "/root: permission denied"


def test_a_repository_named_by_a_file_is_where_init_makes_it(bare: Cas) -> None:
    bare.write("data/users.json", "[]")
    place = bare.folder.with_name("elsewhere")
    bare.write("place", f"{place}\n")
    told = {"CAS_REPOSITORY_FILE": str(bare.folder / "place")}
    assert bare("init", "data", "--key-file-only", **told).code == 0
    assert (place / "header").exists()
    assert bare("backup", **told).code == 0
