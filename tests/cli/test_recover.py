"""`cas recover` as a user meets it on the worst day: a bare server, a repository, one secret."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from cli.lost import USERS, Lost, assert_back, users
from cli.test_errors import assert_told
from cli.test_terminal import Terminal

from casstore.recovery.report_files import digest_of

# ── all the way ──


def test_from_a_folder_with_the_repository_alone_to_a_healthy_application(lost: Lost) -> None:
    lost.external = [
        {"name": "webhook", "how": "Dashboard", "check": {"env-prefix": {"WEBHOOK": "whsec_"}}},
        {"name": "DNS", "how": "point shop.example at this server"},
    ]
    lost.save()
    lost.lose()
    begun = time.monotonic()
    ran = lost.recover()
    took = time.monotonic() - begun
    assert ran.code == 0, ran.err
    assert took < 10  # the figure is measured in benchmarks; this only notices what hangs
    assert_back(lost)
    assert "shop is healthy" in ran.out
    assert "by hand: DNS: point shop.example at this server" in ran.out
    assert "`cas backup` with the same secret makes one" in ran.out
    assert "4. start" in ran.err
    assert "3 values of the environment as the data were written under" in ran.err
    (page,) = (lost.folder / "recoveries").glob("*.md")
    for word in ("measured RTO", "1. code | ok", "2. dependencies", "3. data", "4. start", "check users", "2 users"):
        assert word in page.read_text()
    told = json.loads(page.with_suffix(".json").read_text())
    assert told["ok"] is True
    assert 0 < told["facts"]["steps_seconds"] < told["facts"]["rto_seconds"] < took + 1
    assert told["outside"] == ["webhook"]
    everything = ran.out + ran.err + page.read_text() + page.with_suffix(".json").read_text()
    assert "s3cret" not in everything
    backup = lost.new("backup", CAS_KEY_FILE=str(lost.key))
    assert backup.code == 0, backup.err
    assert lost.new("snapshots").code == 0  # with a key of its own now


def test_a_step_counts_as_done_only_once_what_it_wrote_would_outlive_a_power_loss(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost.save()
    lost.lose()
    at_work: list[str] = []

    def sync() -> None:
        (kept,) = (lost.new.home / ".local/state/casstore/applications").glob("*/recovery")
        told = json.loads(kept.read_text())
        assert told["running"] not in told["ended"]
        at_work.append(told["running"])

    monkeypatch.setattr("os.sync", sync)
    assert lost.recover().code == 0
    assert at_work == ["code", "dependencies"]


def test_a_recovery_whose_report_cannot_be_written_is_one_all_the_same(lost: Lost) -> None:
    lost.save()
    lost.lose()
    (lost.folder / "recoveries").write_text("no folder")
    ran = lost.recover()
    assert ran.code == 0, ran.err
    assert "shop is healthy" in ran.out
    assert "no report could be written" in ran.err


def test_json_tells_each_step_and_the_digest_of_the_report(lost: Lost) -> None:
    lost.save()
    lost.lose()
    ran = lost.recover("--json")
    assert ran.code == 0, ran.err
    assert (ran.json["ok"], ran.json["healthy"], ran.json["problems"]) == (True, True, [])
    assert [step["name"] for step in ran.json["steps"]] == [
        "code", "dependencies", "data", "start", "health", "check users",
    ]  # fmt: skip
    assert ran.json["report"]["digest"] == digest_of(Path(ran.json["report"]["markdown"]))
    assert {json.loads(line)["message_type"] for line in ran.err.splitlines()} == {"step"}


@pytest.mark.parametrize("secret", ["passphrase", "words"])
def test_any_one_slot_is_secret_enough(lost: Lost, secret: str) -> None:
    lost.save()
    if secret == "passphrase":
        assert lost.old("key", "add", CAS_NEW_PASSWORD="battery staple").code == 0
        lost.lose()
        ran = lost.new("recover", "-r", "backups/cas", "-y", CAS_PASSWORD="battery staple")
    else:
        terminal = Terminal(lost.old, "key", "recovery")
        shown = terminal.expect(r"on paper\.\s+(.*)They are not shown again").group(1)
        words = [word for word in shown.split() if word.isalpha()]
        for _ in range(2):
            asked = terminal.expect(r"Word number (\d+): ").group(1)
            terminal.type(words[int(asked) - 1])
        assert terminal.end() == 0
        lost.lose()
        ran = lost.new("recover", "-r", "backups/cas", "-y", "--recovery-words", stdin=" ".join(words))
    assert ran.code == 0, ran.err
    assert_back(lost)


def test_a_copy_elsewhere_recovers_into_a_folder_that_is_made(lost: Lost) -> None:
    lost.save()
    lost.lose()
    copy = lost.folder.parent / "copy"
    (lost.folder / "backups/cas").rename(copy)
    shutil.rmtree(lost.folder)
    ran = lost.new("recover", "-r", str(copy), str(lost.folder), "--key-file", str(lost.key), "-y", cwd=copy.parent)
    assert ran.code == 0, ran.err
    assert users(lost) == json.loads(USERS)
    assert f"`cas backup -r {copy}` with the same secret" in ran.out
    assert "cas.toml names the repository backups/cas" in ran.out


@pytest.mark.parametrize(
    ("brought", "words"),
    [('paths = ["data"]\n', "says other things than the plan"), ("paths = [", "cannot be read")],
)
def test_another_cas_toml_that_the_code_brought_stays_and_is_told(lost: Lost, brought: str, words: str) -> None:
    lost.commit("cas.toml", brought)
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert ran.code == 0, ran.err
    assert words in ran.err
    assert (lost.folder / "cas.toml").read_text() == brought
    assert (lost.folder / "recoveries/cas.toml").read_text() == lost.toml
    (page,) = (lost.folder / "recoveries").glob("*.json")
    assert words in "".join(json.loads(page.read_text())["worth_a_look"])


def test_a_cas_toml_of_the_code_that_says_what_the_plan_says_is_no_problem(lost: Lost) -> None:
    lost.commit("cas.toml", f"# the same\n{lost.toml}")
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert ran.code == 0, ran.err
    assert "the plan of this recovery" not in ran.err
    assert not (lost.folder / "recoveries/cas.toml").exists()


# ── before anything is run ──


def test_a_folder_that_holds_something_else_is_refused(lost: Lost) -> None:
    lost.save()
    lost.lose()
    (lost.folder / "data").mkdir()
    assert_told(lost.recover(), 2, "begins in an empty folder", "cas restore")
    assert sorted(path.name for path in lost.folder.iterdir()) == ["backups", "data"]


def test_what_is_missing_is_told_at_once_and_resume_goes_on_when_it_is_there(lost: Lost) -> None:
    lost.app |= {"env-capture": False, "env-where": {"TOKEN": "the safe"}}
    lost.require = {"git": ">=99", "no-such-program": "*", "python3": ">=3"}
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert_told(ran, 1, "this server is not ready: git is ", "cas recover --resume")
    for words in (
        "not >=99",
        "no-such-program not installed",
        "TOKEN has no value here; kept: the safe",
        "PORT has no",
    ):
        assert words in ran.err
    assert [path.name for path in lost.folder.iterdir()] == ["backups"]
    bin_ = lost.folder.parent / "bin"
    bin_.mkdir()
    for name, text in (("git", f'exec {shutil.which("git")} "$@"'), ("no-such-program", "")):
        (bin_ / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "git version 99.1" && exit\n{text}\n')
        (bin_ / name).chmod(0o755)
    lost.new.environment["PATH"] = f"{bin_}:{os.environ['PATH']}"
    assert_told(lost.recover("--resume"), 1, "TOKEN has no value")
    lost.new.write(".env.local", f"PORT={lost.port}\nTOKEN=another\n").chmod(0o600)
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "TOKEN differs from what the data were written under" in ran.err
    assert "WEBHOOK had a value then, and has none here" in ran.err
    assert_back(lost)


def test_a_snapshot_in_doubt_is_not_recovered_unless_it_is_said_so(lost: Lost) -> None:
    lost.save()
    lost.save(users="[]")
    lost.lose()
    ran = lost.recover()
    assert_told(ran, 4, "in doubt: data/users.json", "`--at last-good` is ")
    assert [path.name for path in lost.folder.iterdir()] == ["backups"]
    ran = lost.recover("--at", "last-good")
    assert ran.code == 0, ran.err
    assert_back(lost)


def test_despite_the_guard_the_newest_comes_back(lost: Lost) -> None:
    lost.save()
    lost.save(users="[]")
    lost.lose()
    ran = lost.recover("--despite-guard")
    assert ran.code == 0, ran.err
    assert users(lost) == []


def test_nobody_to_ask_nothing_is_done(lost: Lost) -> None:
    lost.save()
    lost.lose()
    ran = lost.new("recover", "-r", "backups/cas", "--key-file", str(lost.key))
    assert_told(ran, 2, "no terminal to ask on", "--yes")


def test_a_name_that_the_env_file_lacks_is_to_be_added_to_it(lost: Lost) -> None:
    lost.app["env-capture"] = False
    lost.save()
    lost.lose()
    file = lost.folder / ".env.local"
    assert_told(lost.recover(), 1, "TOKEN has no value", f"Put {file} there")
    file.write_text(f"PORT={lost.port}\nWEBHOOK=whsec_s3cret\n")
    assert_told(lost.recover("--resume"), 1, "TOKEN has no value", f"Add what has no value to {file}")
    with file.open("a") as more:
        more.write("TOKEN=s3cret-token\n")
    assert lost.recover("--resume").code == 0


def test_words_that_do_not_go_together_and_what_is_not_there_are_refused(lost: Lost) -> None:
    lost.save()
    lost.lose()
    assert_told(lost.recover("--resume", "--at", "latest"), 2, "--resume stands alone")
    assert_told(lost.recover("--resume"), 1, "no recovery into")
    assert_told(lost.recover("--at", "1999-01-01"), 7, "no snapshot is as old")
    assert_told(lost.recover("--name", "other"), 7, "there is no snapshot called `other`")
    assert_told(lost.recover(""), 2, "the name of the folder is empty")


def test_of_several_applications_one_must_be_named(lost: Lost) -> None:
    lost.save()
    (lost.old.folder / "cas.toml").write_text('name = "blog"\npaths = ["app.py"]\n')
    assert lost.old("backup").code == 0
    lost.lose()
    assert_told(lost.recover(), 2, "snapshots of several names: blog, shop", "--name")
    ran = lost.recover("--name", "shop")
    assert ran.code == 0, ran.err
    assert_back(lost)


def test_a_port_in_use_is_told_before_the_first_step(lost: Lost) -> None:
    lost.save()
    lost.lose()
    with socket.socket() as other:
        other.bind(("127.0.0.1", lost.port))
        other.listen()
        assert_told(lost.recover(), 5, "at the address of the application's health", "ss -ltnp")
    assert not (lost.folder / "app.py").exists()
    assert lost.recover("--resume").code == 0
