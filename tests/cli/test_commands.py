"""Each command does what its help says."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time

import pytest
from cli.conftest import Cas

from casstore.config import parse
from casstore.format.slot import decode_host_key


def test_init_with_paths_writes_a_commented_cas_toml_that_is_read_again(bare: Cas) -> None:
    ran = bare("init", "data/*.json", "events.log", "--name", 'sh"op', "--key-file-only")
    assert ran.code == 0
    text = (bare.folder / "cas.toml").read_text()
    config = parse(text)
    assert (config.name, config.repository) == ('sh"op', "backups/cas")
    assert config.paths == ("data/*.json", "events.log")
    for key in (
        "append-only",
        "whole-lines",
        "isolate",
        "exclude",
        "exclude-caches",
        "one-file-system",
        "reread",
        "recent-chunks",
    ):
        assert key in text
    assert (bare.folder / "backups/.gitignore").read_text() == "*\n"
    key_file = next(bare.home.rglob("host.key"))
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_a_literal_name_with_stars_in_it_means_itself(bare: Cas) -> None:
    bare.write("data/a*b.json", "{}")
    bare.write("data/axb.json", "{}")
    assert bare("init", "data/a*b.json", "--key-file-only").code == 0
    assert bare("backup").code == 0
    assert "axb" not in bare("ls").out


def test_init_leaves_a_cas_toml_that_is_there_alone_and_uses_it(bare: Cas) -> None:
    bare.write("cas.toml", 'paths = ["data"]\nrepository = "elsewhere"\n')
    assert bare("init", "--key-file-only").code == 0
    assert (bare.folder / "elsewhere/header").is_file()
    assert (bare.folder / "cas.toml").read_text() == 'paths = ["data"]\nrepository = "elsewhere"\n'


def test_init_of_a_repository_alone_needs_no_cas_toml(bare: Cas) -> None:
    assert bare("init", "-r", "elsewhere", "--key-file-only").code == 0
    assert not (bare.folder / "cas.toml").exists()
    assert not (bare.folder / "backups").exists()
    assert bare("backup", "--target", "elsewhere", "data").code == 0
    assert bare("ls", "-r", "elsewhere", "latest").out == "orders.json\nusers.json\n"


def test_the_repository_may_be_named_before_or_after_the_command_or_by_the_environment(bare: Cas) -> None:
    assert bare("-r", "one", "init", "--key-file-only").code == 0
    bare.write("place", "one\n")
    for ran in (
        bare("snapshots", "-r", "one"),
        bare("-r", "two", "snapshots", "--repo", "one"),
        bare("snapshots", CAS_REPOSITORY="one"),
        bare("snapshots", CAS_REPOSITORY_FILE="place"),
    ):
        assert ran.code == 0, ran.err


def test_cas_toml_is_found_from_below(saved: Cas) -> None:
    assert len(saved("snapshots", "--json", cwd=saved.folder / "data").json) == 2


def test_backup_tells_id_counts_bytes_and_duration(cas: Cas) -> None:
    ran = cas("backup")
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert cas.snapshots()[0]["short_id"] in first
    assert "3 new, 0 changed, 0 unchanged files" in first
    assert second.startswith("read ")
    assert " stored " in second
    assert "the only proven way to open this repository lies on this host" in ran.err


def test_a_passphrase_of_the_environment_may_lie_on_this_host_only_until_it_is_given_by_a_person(bare: Cas) -> None:
    def kinds() -> list[tuple[str, bool]]:
        return [(slot["kind"], slot["proven"] is not None) for slot in bare("key", "list", "--json").json]

    assert bare("init", "data", CAS_PASSWORD="pass").code == 0
    assert "only proven way" in bare("backup").err
    assert kinds() == [("passphrase", False)]
    ran = bare("key", "passwd", "--check", CAS_PASSWORD="pass")
    assert ran.code == 2
    assert "nothing came on stdin" in ran.err
    assert kinds() == [("passphrase", False)]
    assert bare("key", "passwd", "--check", stdin="pass\n").code == 0
    assert "only proven way" not in bare("backup").err
    assert kinds() == [("passphrase", True)]


def test_backup_in_json_ends_with_the_summary_of_restic(cas: Cas) -> None:
    ran = cas("backup", "--json", "--tag", "a,b", "--tag", "c", "--host", "web1")
    assert ran.err == ""
    summary = ran.json
    assert summary["message_type"] == "summary"
    assert (summary["files_new"], summary["files_changed"], summary["files_unmodified"]) == (3, 0, 0)
    assert summary["total_files_processed"] == 3
    assert summary["data_added"] > 0 < summary["data_added_packed"]
    snapshot = cas.snapshots()[0]
    assert snapshot["id"] == summary["snapshot_id"]
    assert (snapshot["tags"], snapshot["hostname"], snapshot["name"]) == (["a", "b", "c"], "web1", "shop")


def test_backup_quietly_says_nothing(cas: Cas) -> None:
    ran = cas("backup", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_a_dry_run_stores_nothing(saved: Cas) -> None:
    saved.write("data/users.json", '[{"id": 1}, {"id": 9}]')
    before = sorted((saved.folder / "backups").rglob("*"))
    ran = saved("backup", "--dry-run")
    assert ran.code == 0
    assert "1 changed" in ran.out
    assert sorted((saved.folder / "backups").rglob("*")) == before


def test_an_absolute_pattern_leaves_out_what_it_names_and_is_told_where_that_is_not_saved(cas: Cas) -> None:
    for name in ("data/logs/a.log", "data/deep/logs/a.log"):
        cas.write(name, "x")
    (cas.folder / "patterns").write_text(f"/tmp\n{cas.folder}\n/data/*.json\n")  # as .gitignore has them
    assert cas("backup", "data", "-e", f"{cas.folder}/data/logs", "--exclude-file", "patterns").code == 0
    assert cas("ls").out.split() == ["data/", "data/deep/", "data/deep/logs/", "data/deep/logs/a.log"]
    assert cas("backup", "data", "-e", "/data/logs").code == 0  # as in .gitignore
    assert "data/logs/a.log" not in cas("ls").out.split()
    outside = cas.folder.parent / "outside"
    outside.write_text("x")
    ran = cas("backup", "-e", str(outside))
    assert (ran.code, "leaves nothing out: it is not below" in ran.err) == (0, True)


def test_a_pattern_that_may_be_the_one_or_the_other_is_refused(cas: Cas) -> None:
    cas.write(f"{str(cas.folder)[1:]}/x", "x")
    ran = cas("backup", "-e", f"{cas.folder}/data")
    assert (ran.code, "may be that file" in ran.err, "Write `/data` for the one" in ran.err) == (2, True, True)


def test_skip_if_unchanged_makes_no_snapshot(saved: Cas) -> None:
    assert saved("backup", "--skip-if-unchanged").out.startswith("nothing changed")
    assert len(saved.snapshots()) == 2
    saved.write("data/users.json", '[{"id": 1}, {"id": 9}]')
    assert saved("backup", "--skip-if-unchanged").code == 0
    assert len(saved.snapshots()) == 3


def test_a_backup_may_claim_another_time(cas: Cas) -> None:
    assert cas("backup", "--time", "2020-02-03T04:05:06+02:00").code == 0
    assert cas.snapshots()[0]["time"] == "2020-02-03T04:05:06.000000000+02:00"
    assert cas("ls", "2020-02-03").code == 0


def test_exclusions_come_from_all_their_places(cas: Cas) -> None:
    for name in ("a.tmp", "b.json", "c.json", "d.json"):
        cas.write(f"data/{name}", "{}")
    cas.write("data/.casignore", "d.json\n")
    cas.write("patterns", "# why\n\nc.json\n")
    assert cas("backup", "data", "-e", "*.tmp", "--exclude", "b.json", "--exclude-file", "patterns").code == 0
    assert cas("ls").out.split() == ["data/", "data/.casignore", "data/orders.json", "data/users.json"]


def test_a_path_in_the_application_keeps_its_name_and_origin(cas: Cas) -> None:
    assert cas("backup", "users.json", cwd=cas.folder / "data").code == 0
    snapshot = cas.snapshots()[0]
    assert (snapshot["name"], snapshot["origin"]) == ("shop", str(cas.folder))
    assert cas("ls").out == "data/\ndata/users.json\n"


def test_the_repository_is_never_saved_into_itself(cas: Cas) -> None:
    cas.write("cas.toml", "")
    assert cas("backup").code == 0
    assert "header" not in cas("ls").out
    assert "data/users.json" in cas("ls").out


def test_snapshots_can_be_filtered(saved: Cas) -> None:
    saved("backup", "--host", "other", "--time", "2021-01-01 00:00")

    def count(*arguments: str) -> int:
        return len(saved("snapshots", "--json", *arguments).json)

    assert count() == 3
    assert count("--host", "other") == 1
    assert count("--tag", "second") == 1
    assert count("--tag", "second,more") == 0
    assert count("--latest", "2") == 2
    assert count("--before", "2021-01-02") == 1
    assert count("--after", "2021-01-02") == 2
    assert count("--after", "2021-01-01") == 3
    assert count("--name", "shop") == 3
    assert count("--name", "none") == 0


def test_the_table_of_snapshots_is_plain_in_a_pipe(saved: Cas) -> None:
    ran = saved("snapshots")
    assert "\x1b" not in ran.out
    heads, *rows = ran.out.splitlines()
    assert heads.split() == ["id", "time", "age", "name", "host", "tags", "files", "size", "added"]
    assert [row.split()[0] for row in rows] == [snapshot["short_id"] for snapshot in saved.snapshots()]
    assert "+00:00" in rows[0]


def test_ls_announces_the_moment_with_offset_and_age(saved: Cas) -> None:
    ran = saved("ls", "latest~1")
    first = saved.snapshots()[0]
    assert first["short_id"] in ran.err
    assert "+00:00" in ran.err
    assert " ago)" in ran.err
    assert ran.out == "data/\nevents.log\ndata/orders.json\ndata/users.json\n"
    assert saved("ls", "latest", "data/users.json").out == "data/users.json\n"
    assert saved("ls", "latest", f"{saved.folder}/data").out == "data/\ndata/orders.json\ndata/users.json\n"


def test_ls_shows_long_lines(saved: Cas) -> None:
    (saved.folder / "data/users.json").chmod(0o2604)
    saved("backup")
    line = saved("ls", "-l", "latest", "data/users.json").out.split()
    assert line[0] == "-rw---Sr--"
    assert line[3] == "22"
    assert line[-1] == "data/users.json"


def test_a_hostile_name_is_escaped_for_people_and_exact_in_json(cas: Cas) -> None:
    name = b"\x1b[31m\xff\n.json"
    (cas.folder / "data" / os.fsdecode(name)).write_text("{}")
    assert cas("backup").code == 0
    for arguments in (["ls"], ["ls", "-l"], ["find", "*31m*"], ["diff", "latest"]):
        assert "\x1b" not in cas(*arguments).out
    assert "data/\\x1b[31m\\xff\\n.json" in cas("ls").out
    node = next(node for node in cas("ls", "--json").lines if "path_b64" in node)
    import base64

    assert base64.b64decode(node["path_b64"]) == b"data/" + name


def test_find_tells_versions_and_their_snapshots(saved: Cas) -> None:
    first, second = (snapshot["id"] for snapshot in saved.snapshots())
    found = {line["path"]: line["versions"] for line in saved("find", "*.JSON", "-i", "--json").lines}
    assert [version["snapshots"] for version in found["data/users.json"]] == [[first], [second]]
    assert [version["snapshots"] for version in found["data/orders.json"]] == [[first, second]]
    assert saved("find", "data/users.json").code == 0
    assert saved("find", "users").code == 1
    assert {line["path"] for line in saved("find", "data*", "--json").lines} == {"data"}  # names, not what lies below
    assert saved("find", "*/users.json").code == 0
    assert saved("find", "*users.json/*").code == 1


def test_dump_gives_the_bytes_of_a_file(saved: Cas) -> None:
    assert saved("dump", "latest~1", "data/users.json").raw == b'[{"id": 1}]'
    assert saved("dump", "latest", "data/users.json").raw == b'[{"id": 1}, {"id": 2}]'


def test_dump_gives_the_holes_of_a_sparse_file(cas: Cas) -> None:
    path = cas.folder / "data/sparse.json"
    with path.open("wb") as file:
        file.seek(3 << 20)
        file.write(b"x" * 5000)
        file.truncate(7 << 20)
    assert cas("backup").code == 0
    assert cas("dump", "latest", "data/sparse.json").raw == path.read_bytes()


def test_dump_gives_a_folder_as_tar(cas: Cas) -> None:
    os.symlink("users.json", cas.folder / "data/link.json")
    os.link(cas.folder / "data/users.json", cas.folder / "data/hard.json")
    os.utime(cas.folder / "data/orders.json", ns=(5, 1_000_000_000_123_456_789))
    assert cas("backup").code == 0
    tar = tarfile.open(fileobj=io.BytesIO(cas("dump", "latest", "data").raw))  # noqa: SIM115
    assert tar.getnames() == ["data", "data/hard.json", "data/link.json", "data/orders.json", "data/users.json"]
    assert tar.getmember("data/link.json").linkname == "users.json"
    assert tar.getmember("data/users.json").linkname == "data/hard.json"
    assert tar.getmember("data/orders.json").pax_headers["mtime"] == "1000000000.123456789"
    hard = tar.extractfile("data/hard.json")
    assert hard is not None
    assert hard.read() == b'[{"id": 1}]'
    whole = cas("dump", "latest", ".").raw
    assert cas("dump", "latest", "/").raw == whole
    everything = tarfile.open(fileobj=io.BytesIO(whole))  # noqa: SIM115
    assert "events.log" in everything.getnames()


def test_diff_of_two_snapshots_has_the_letters_of_restic(saved: Cas) -> None:
    assert saved("diff", "latest~1", "latest").out == "M  data/users.json  11 B → 22 B (+11 B)\n"
    assert saved("diff", "latest", "latest").out == ""


def test_diff_with_the_live_tree_is_the_default(saved: Cas) -> None:
    assert saved("diff").out == ""
    data = saved.folder / "data"
    (data / "orders.json").unlink()
    (data / "orders.json").symlink_to("users.json")
    saved.write("data/new.json", "{}")
    saved.write("data/users.json", '[{"id": 1}, {"id": 3}]')
    os.utime(saved.folder / "events.log", (0, 0))
    changes = {line["path"]: line["modifier"] for line in saved("diff", "--json").lines if "path" in line}
    assert changes == {
        "events.log": "U", "data/new.json": "+", "data/orders.json": "T", "data/users.json": "M",
    }  # fmt: skip
    (data / "users.json").unlink()
    assert "-  data/users.json  22 B" in saved("diff", "latest", "live").out.splitlines()
    assert saved("diff", "--path", "data/new.json").out == "+  data/new.json  2 B\n"


def test_diff_reads_what_only_looks_changed(saved: Cas) -> None:
    os.utime(saved.folder / "data/users.json", (1, 1))
    assert saved("diff").out == "U  data/users.json\n"


def test_verify_finds_no_damage_where_there_is_none(saved: Cas) -> None:
    for arguments in ([], ["--quick"], ["--read-data-subset", "1/3"], ["--read-data-subset", "50%"], ["latest"]):
        ran = saved("verify", *arguments)
        assert ran.code == 0, ran.out
        assert ran.out.startswith("no damage found: ")
    assert saved("check").code == 0
    assert saved("verify", "--json").lines[-1]["num_errors"] == 0


def test_stats_add_up(saved: Cas) -> None:
    stats = saved("stats", "--json").json
    assert stats["snapshots"] == 2
    sizes = [snapshot["summary"]["total_bytes_processed"] for snapshot in saved.snapshots()]
    assert stats["raw"] == sum(sizes)
    repository = saved.folder / "backups/cas"
    on_disk = sum(path.stat().st_size for path in repository.rglob("*") if path.is_file() and path.name != "header")
    assert stats["stored"] == on_disk
    assert saved("stats").out.startswith("snapshots  2\n")


def test_cat_shows_every_part_and_no_secret(saved: Cas) -> None:
    key = decode_host_key(next(saved.home.rglob("host.key")).read_bytes())
    secrets = (key.seed, key.admin_seed, *key.root_secrets)
    ledger = saved("cat", "ledger").lines
    assert [line["kind"] for line in ledger].count("snapshot") == 2
    pack = next(line["packs"][0] for line in ledger if line["packs"])
    for arguments in (["header"], ["ledger"], ["commit", "1"], ["commit", "latest"], ["manifest"], ["pack", pack[:9]]):
        ran = saved("cat", *arguments)
        assert ran.code == 0, ran.err
        assert all(isinstance(line, dict) for line in ran.lines)
        assert not any(secret.hex() in ran.out for secret in secrets)


def test_the_anchor_is_shown_and_checked(saved: Cas) -> None:
    number, digest = saved("anchor", "show").out.split()
    assert number == str(len(saved("cat", "ledger").lines))
    assert saved("anchor", "show", "--json").json == {"number": int(number), "hash": digest}
    assert saved("anchor", "check").code == 0


def test_keys_can_be_added_changed_and_removed_but_not_the_last(bare: Cas) -> None:
    bare("init", "data", CAS_PASSWORD="first")
    assert bare("key", "passwd", CAS_PASSWORD="first", CAS_NEW_PASSWORD="second").code == 0
    assert bare("key", "passwd", "--check", stdin="first").code == 12
    assert bare("key", "passwd", "--check", stdin="second").code == 0
    (slot,) = bare("key", "list", "--json").json
    last = bare("key", "remove", slot["id"])
    assert last.code == 2
    assert "the last slot" in last.err
    assert bare("key", "add", "--label", "usb", "--new-key-file", "usb.key").code == 0
    removed = bare("key", "remove", slot["id"][:6])
    assert removed.code == 0
    assert "does not encrypt anything anew" in removed.err
    stranger = Cas(bare.folder, bare.home.parent)
    assert stranger("snapshots", "--key-file", "usb.key").code == 0
    assert stranger("snapshots", CAS_KEY_FILE="usb.key").code == 0
    assert stranger("snapshots", CAS_PASSWORD="second").code == 12


def test_a_passphrase_may_come_from_a_file_or_a_command_without_a_shell(bare: Cas) -> None:
    bare.write("secret", "open sesame\nanother line\n")
    assert bare("init", "data", CAS_PASSWORD_FILE="secret").code == 0
    stranger = Cas(bare.folder, bare.home.parent)
    assert stranger("snapshots", CAS_PASSWORD_COMMAND="cat secret").code == 0
    failed = stranger("snapshots", CAS_PASSWORD_COMMAND="cat nowhere")
    assert failed.code == 1
    assert "CAS_PASSWORD_COMMAND failed with exit code 1" in failed.err
    assert stranger("snapshots", CAS_PASSWORD_COMMAND="cat secret; true").code == 1  # `;` is an argument of cat


def test_two_applications_in_one_repository_do_not_get_each_others_latest(saved: Cas) -> None:
    other = Cas(saved.folder.parent / "other", saved.home)
    other.write("file", "x")
    other.write("cas.toml", f'repository = "{saved.folder}/backups/cas"\n')
    assert other("backup").code == 0
    assert "file" in other("ls").out.split()
    assert "file" not in saved("ls").out.split()
    newest = other.snapshots()[-1]["id"]
    assert "file" in saved("ls", newest).out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(bare: Cas, shell: str) -> None:
    ran = bare("completion", shell)
    assert ran.code == 0
    assert "_CAS_COMPLETE" in ran.out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("cas sn", "plain,snapshots"),
        ("cas key re", "plain,recovery plain,remove"),
        ("cas backup --tar", "plain,--target"),
        ("cas backup da", "file,da"),
        ("cas restore latest da", "file,da"),
        ("cas restore la", "plain,latest plain,last-good"),
        ("cas -r ba", "dir,ba"),
    ],
)
def test_a_shell_completes_commands_options_and_paths(bare: Cas, words: str, answer: str) -> None:
    asked = {"_CAS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    process = bare.process(environment=asked)
    assert process.communicate(timeout=60)[0].decode().split() == answer.split()
    assert process.returncode == 0


def test_every_command_has_help_with_examples(bare: Cas) -> None:
    from cascli.main import COMMANDS

    for command in COMMANDS:
        ran = bare(command, "--help")
        assert ran.code == 0
        assert ran.out.startswith(f"Usage: cas {command}")
        assert command in ("help", "completion") or "Example" in ran.out
        if command != "help":
            assert bare("help", command).out == ran.out
        assert "..." not in ran.out.partition("\n")[2]  # no sentence is cut short
    assert "-C" not in bare("--help").out
    assert bare("--version").out.startswith("cas ")


def test_a_backup_of_nothing_new_is_fast(saved: Cas) -> None:
    """A net for gross mistakes only; benchmarks/ measures."""
    began = time.monotonic()
    assert saved("backup", "-q").code == 0
    assert time.monotonic() - began < 5


def test_with_json_each_command_that_changes_something_says_what_it_did(saved: Cas) -> None:
    assert saved("key", "add", "--new-key-file", str(saved.home / "first")).code == 0
    made = saved("key", "add", "--new-key-file", str(saved.home / "second"), "--json").json["id"]
    ran = saved("key", "remove", made, "--json")
    assert ran.code == 0, ran.err
    assert ran.json == {"message_type": "removed", "id": made}
    shown = saved("anchor", "show", "--json").json
    accepted = saved("anchor", "accept", "--yes", "--json").json
    assert (accepted["message_type"], accepted["number"]) == ("accepted", shown["number"] + 1)


def test_records_that_cannot_be_compared_are_said_in_json_too(saved: Cas) -> None:
    saved.write("data/users.json", "[1, ")
    assert saved("backup").code == 4
    told = saved("diff", "latest~1", "latest", "--json-aware", "--json").lines
    assert [(one["path"], bool(one["reason"])) for one in told if one["message_type"] == "not_compared"] == [
        ("data/users.json", True)
    ]


def test_what_is_stored_is_one_sum_wherever_it_is_told(saved: Cas) -> None:
    assert saved("stats", "--json").json["stored"] == saved("status", "--json").json["stored"]


def test_stdout_is_not_both_a_runbook_and_json(saved: Cas) -> None:
    ran = saved("runbook", "--output", "-", "--json")
    assert (ran.code, ran.out, "cannot be both" in ran.err) == (2, "", True)
