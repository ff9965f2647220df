"""`cas recover` as a user meets it on the worst day: a bare server, a repository, one secret."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cli.lost import GIT, USERS, Lost, lost_in
from cli.test_errors import assert_told
from cli.test_terminal import Terminal
from recovery.shops import wait_for

from casstore.recovery.report_files import digest_of


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Lost]:
    with lost_in(tmp_path) as made:
        yield made


def users(lost: Lost) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{lost.port}/health", timeout=10) as answer:
        return json.load(answer)["users"]


def assert_back(lost: Lost) -> None:
    """Code, data, environment and a healthy application; nothing of the way there is left."""
    assert users(lost) == json.loads(USERS)
    assert len(lost.pids()) == 1
    for name in (".env.local", "cas.toml"):
        assert stat.S_IMODE((lost.folder / name).stat().st_mode) == 0o600
    names = {path.name for path in lost.folder.iterdir()}
    assert names >= {".git", "app.py", "backups", "cas.toml", "data", "recoveries"}
    assert not {name for name in names if name.startswith(".cas")}
    assert (lost.folder / "backups/README").exists()
    assert (lost.folder / "backups/cas/header").exists()
    assert not list((lost.new.home / ".local/state/casstore/applications").glob("*/recovery"))


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


def test_words_that_do_not_go_together_and_what_is_not_there_are_refused(lost: Lost) -> None:
    lost.save()
    lost.lose()
    assert_told(lost.recover("--resume", "--at", "latest"), 2, "--resume stands alone")
    assert_told(lost.recover("--resume"), 1, "no recovery into")
    assert_told(lost.recover("--at", "1999-01-01"), 7, "no snapshot is as old")
    assert_told(lost.recover("--name", "other"), 7, "there is none")
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


# ── asked, failed, not well ──


def test_each_step_is_asked_about_and_can_be_done_by_hand(lost: Lost) -> None:
    lost.save()
    lost.lose()
    words = ["recover", "-r", "backups/cas", "--key-file", str(lost.key)]
    terminal = Terminal(lost.new, *words)
    terminal.expect(r"Step 1 of 4, code: git clone .*Run it\?.*: ")
    terminal.type("y")
    terminal.expect(r"Step 2 of 4, dependencies.*: ")
    terminal.type("n")
    assert terminal.end() == 1
    assert "stopped before the step dependencies" in terminal.seen
    terminal = Terminal(lost.new, "recover", "--resume", "--key-file", str(lost.key))
    for step, answer in (("2 of 4, dependencies", "d"), ("3 of 4, data: restore", "y"), ("4 of 4, start", "y")):
        terminal.expect(f"Step {step}.*: ")
        terminal.type(answer)
    assert terminal.end() == 0
    assert not (lost.folder / "dependencies").exists()
    assert_back(lost)
    (page,) = (lost.folder / "recoveries").glob("*.md")
    assert "done by hand" in page.read_text()


def test_ctrl_c_at_a_question_says_how_to_go_on(lost: Lost) -> None:
    lost.save()
    lost.lose()
    terminal = Terminal(lost.new, "recover", "-r", "backups/cas", "--key-file", str(lost.key))
    terminal.expect(r"Run it.*: ")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "interrupted before the step code" in terminal.seen
    assert "cas recover --resume" in terminal.seen


def test_what_opens_the_repository_is_not_handed_to_the_steps_nor_to_the_application(lost: Lost) -> None:
    look = "import os; print(sorted(name for name in os.environ if name.startswith('CAS_')))"
    lost.steps.insert(1, {"name": "look", "run": [sys.executable, "-c", look]})
    lost.save()
    lost.lose()
    ran = lost.new("recover", "-r", "backups/cas", "-y", CAS_KEY_FILE=str(lost.key), CAS_PASSWORD="no")
    assert ran.code == 0, ran.err
    assert "['CAS_RECOVERY']" in ran.err
    (pid,) = lost.pids()
    assert b"CAS_KEY_FILE" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_each_command_of_the_plan_is_shown_before_anything_is_run(lost: Lost) -> None:
    lost.external = [{"name": "DNS", "how": "the registrar", "check": {"command": ["sh", "-c", "touch outside"]}}]
    lost.save()
    lost.lose()
    terminal = Terminal(lost.new, "recover", "-r", "backups/cas", "--key-file", str(lost.key))
    shown = " ".join(terminal.expect(r"(?s)(.*)Step 1 of 4, code: git clone .*Run it\?.*: ").group(1).split())
    terminal.type("n")
    assert terminal.end() == 1
    started = f"4. start start the application ({sys.executable} app.py), wait until it is healthy "
    assert started + "(http://127.0.0.1:${PORT}/health), run its checks" in shown
    assert f"({sys.executable} check.py)" in shown
    assert "to check DNS: sh -c 'touch outside'" in shown
    assert not (lost.folder / "outside").exists()


def test_a_step_that_fails_is_named_keeps_what_is_done_and_is_run_again(lost: Lost) -> None:
    fails = "import os; print(os.environ['TOKEN'], 'E404'); exit(not os.path.exists('../mended'))"
    lost.steps.insert(3, {"name": "build", "run": [sys.executable, "-c", fails]})
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert_told(ran, 1, f"the step build failed: `{sys.executable}` ended with code 1", "cas recover --resume")
    assert "••• E404" in ran.err
    assert "s3cret" not in ran.err
    assert (lost.folder / "data/users.json").read_text() == USERS
    assert_told(lost.recover(), 1, "was begun already", "cas recover --resume")
    assert_told(lost.recover("--resume"), 1, "the step build failed")
    (lost.folder.parent / "mended").touch()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert_back(lost)
    assert (lost.folder / "dependencies").read_text() == "x"  # once
    pages = [path.read_text() for path in sorted((lost.folder / "recoveries").glob("*.md"), key=_number)]
    assert [page.count("build | **failed**") for page in pages] == [1, 2, 2]
    assert [page.splitlines()[0] for page in pages] == [
        *["# Recovery of shop: stopped at the step build"] * 2, "# Recovery of shop: healthy",
    ]  # fmt: skip


def test_a_plan_that_is_wrong_is_mended_in_the_folder(lost: Lost) -> None:
    lost.steps.insert(3, {"name": "build", "run": ["no-such-program"]})
    lost.save()
    lost.lose()
    assert_told(lost.recover(), 1, "the step build failed", "cas.toml there if you mend it")
    config = lost.folder / "cas.toml"
    mended = config.read_text().replace("no-such-program", "true")
    config.write_text(mended.replace('"data", restore', '"other", restore'))
    assert_told(lost.recover("--resume"), 2, "the step other restores", "Keep the names")
    config.write_text(mended.replace('["true"]', '["false"]'))
    assert_told(lost.recover("--resume"), 1, "the step build failed: `false` ended with code 1")
    assert_told(
        lost.recover("--resume"), 1, "the step build failed: `false` ended with code 1"
    )  # still by the mended one
    config.write_text(mended)
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "which was changed meanwhile" in ran.err
    assert_back(lost)
    assert config.read_text() == mended


def _number(report: Path) -> int:
    return int((report.stem.rpartition("recovery")[2] or "-1")[1:])


def test_a_step_that_fails_leaves_a_report_with_the_time_of_each_and_no_secret(lost: Lost) -> None:
    fails = "import os; print(os.environ['TOKEN'], 'E404'); exit(1)"
    lost.steps.insert(3, {"name": "build", "run": [sys.executable, "-c", fails]})
    lost.save()
    lost.lose()
    ran = lost.recover()
    (page,) = (lost.folder / "recoveries").glob("*.json")
    assert str(page.with_suffix(".md")) in ran.err
    told = json.loads(page.read_text())
    assert told["ok"] is False
    assert [(step["name"], step["ok"]) for step in told["steps"]] == [
        ("code", True), ("dependencies", True), ("data", True), ("build", False),
    ]  # fmt: skip
    assert all(step["duration"] > 0 for step in told["steps"])
    assert [problem.split(":")[0] for problem in told["problems"]] == ["build"]
    everything = page.read_text() + page.with_suffix(".md").read_text()
    assert "E404" in everything
    assert "s3cret" not in everything


def test_a_clone_that_fails_leaves_the_folder_as_it_was(lost: Lost) -> None:
    lost.save()
    lost.lose()
    lost.code.rename(lost.code.with_name("away"))
    assert_told(lost.recover(), 1, "the step code failed: `git` ended with code 128")
    assert sorted(path.name for path in lost.folder.iterdir()) == [".env.local", "backups", "recoveries"]
    lost.code.with_name("away").rename(lost.code)
    assert lost.recover().code == 0  # nothing was done yet, so it may as well begin again
    assert_back(lost)


def test_an_application_that_is_not_well_is_6_with_a_report_and_resume_starts_it_again(lost: Lost) -> None:
    lost.app["health"]["within"] = "2s"
    lost.save(users='["sick"]')
    lost.lose()
    ran = lost.recover()
    assert ran.code == 6
    assert "shop is not healthy" in ran.out
    assert "it answers 503" in ran.err
    (page,) = (lost.folder / "recoveries").glob("*.json")
    assert json.loads(page.read_text())["ok"] is False
    assert "503" in page.with_suffix(".md").read_text().partition("## Problems")[2]
    (lost.folder / "data/users.json").write_text(USERS)
    assert lost.recover("--resume").code == 0
    assert_back(lost)


def test_an_application_that_dies_at_once_is_6_too(lost: Lost) -> None:
    lost.env["DIE"] = "1"
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert ran.code == 6
    assert "ended, with code 7" in ran.err
    assert "EADDRINUSE" in ran.err


def test_without_a_health_page_it_is_enough_that_it_runs_also_if_cas_is_killed_at_the_very_end(lost: Lost) -> None:
    del lost.app["health"], lost.app["checks"]
    lost.save()
    lost.lose()
    killed(lost, "casstore.recovery.report_files", "write")
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "runs; no health page says more" in ran.err
    wait_for(lambda: users(lost) == json.loads(USERS))


def test_what_is_not_as_it_should_be_outside_is_3(lost: Lost) -> None:
    lost.external = [
        {"name": "webhook", "how": "Dashboard", "check": {"env-prefix": {"WEBHOOK": "sk_"}}},
        {"name": "mail", "how": "ask", "check": {"command": [sys.executable, "-c", "print('no route'); exit(2)"]}},
    ]
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert ran.code == 3
    assert "problem: webhook: WEBHOOK does not begin with sk_" in ran.out
    assert "ended with code 2: no route" in ran.out
    assert_back(lost)


def test_files_that_are_damaged_are_3_and_named(lost: Lost) -> None:
    lost.old.write("data/big.bin", os.urandom(3 << 20))
    lost.save()
    (largest, *_) = sorted(
        (lost.old.folder / "backups/cas/packs").rglob("*/*"), key=lambda path: path.stat().st_size, reverse=True
    )
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    lost.lose()
    ran = lost.recover()
    assert ran.code == 3, ran.err
    assert "problem: data/big.bin: " in ran.out
    assert users(lost) == json.loads(USERS)


def test_where_nothing_says_how_it_is_started_the_data_come_back_and_that_is_said(lost: Lost) -> None:
    lost.app = {}
    lost.steps = [{"name": "data", "restore": "latest"}, {"name": "start"}]
    lost.save()
    lost.lose()
    ran = lost.recover()
    assert ran.code == 3
    assert "nothing says how the application is started" in ran.out
    assert (lost.folder / "data/users.json").read_text() == USERS
    assert (lost.folder / "cas.toml").read_text() == lost.toml


# ── killed ──


def killed_at(lost: Lost, step: str) -> None:
    """Recover, and be killed by SIGKILL while this step is at work."""
    lost.hold.write_text({"code": "clone"}.get(step, step))
    reached = lost.hold.with_name("reached")
    with lost.process() as process:
        wait_for(lambda: reached.exists() if step != "start" else lost.pids(), 30)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert lost.course()["running"] == step


def test_killed_at_a_clone_resume_clones_again(lost: Lost) -> None:
    held = str(lost.old.folder / "held.py")
    shutil.copy(held, lost.hold.with_name("held.py"))
    lost.steps[0]["run"] = [
        sys.executable,
        str(lost.hold.with_name("held.py")),
        "clone",
        "-q",
        str(lost.code),
        "{folder}",
    ]
    lost.save()
    lost.lose()
    killed_at(lost, "code")
    orphan = int(lost.hold.with_name("reached").read_text())
    assert not (lost.folder / "app.py").exists()
    assert_told(lost.recover(), 1, "was begun already")
    lost.hold.unlink()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert not Path(f"/proc/{orphan}/exe").exists()
    assert_back(lost)


def test_killed_at_a_command_resume_ends_what_it_left_running_and_runs_it_again(lost: Lost) -> None:
    lost.save()
    lost.lose()
    killed_at(lost, "dependencies")
    orphan = int(lost.hold.with_name("reached").read_text())
    assert Path(f"/proc/{orphan}/exe").exists()
    lost.hold.unlink()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert not Path(f"/proc/{orphan}/exe").exists()
    assert (lost.folder / "dependencies").read_text() == "xx"
    assert_back(lost)


def test_killed_at_the_start_resume_waits_for_what_was_started(lost: Lost) -> None:
    lost.env["LATE"] = "1.5"
    lost.save()
    lost.lose()
    killed_at(lost, "start")
    (pid,) = lost.pids()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert lost.pids() == [pid]
    assert_back(lost)


def killed(lost: Lost, module: str, name: str) -> None:
    """Recover, and be killed by SIGKILL where this would be called."""
    program = (
        f"import os, signal\nimport {module} as room\n"
        f"def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\nroom.{name} = die\n"
        "from cascli.start import main\nmain()\n"
    )
    with lost.new.program(program, "recover", *lost.words()) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("casstore.restore.swap", "Swap.forward"),
        ("casstore.restore.staging", "Staging.finish"),
        ("casstore.recovery.recover", "put_config"),
        ("casstore.recovery.cloning", "settle"),
        ("casstore.recovery.cloning", "_move"),
        ("casstore.recovery.course", "Course.ended_with"),
        ("casstore.recovery.report_files", "write"),
        ("casstore.recovery.course", "drop"),
    ],
)
def test_killed_in_the_middle_resume_gets_to_the_end(lost: Lost, module: str, name: str) -> None:
    lost.save()
    lost.lose()
    killed(lost, module, name)
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert_back(lost)


def test_killed_behind_a_clone_that_brought_a_plan_of_its_own_the_plan_stays_the_snapshots(lost: Lost) -> None:
    lost.old.write(
        "cas.toml", 'name = "shop"\npaths = ["data"]\n[recover]\nsteps = [{name = "old", run = ["false"]}]\n'
    )
    for arguments in (
        ["add", "-f", "cas.toml"],
        ["commit", "-qm", "an older plan"],
        ["push", "-q", str(lost.code), "main"],
    ):
        subprocess.run([*GIT, *arguments], cwd=lost.old.folder, check=True)
    lost.save()
    lost.lose()
    killed(lost, "casstore.recovery.course", "Course.ended_with")
    assert "an older" not in (lost.folder / "cas.toml").read_text()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "changed meanwhile" not in ran.err
    assert users(lost) == json.loads(USERS)


def test_what_the_system_refuses_is_a_step_that_failed_and_is_kept(lost: Lost) -> None:
    lost.steps.insert(0, {"name": "first", "run": ["touch", ".cas-recover"]})  # in the way of the clone
    lost.save()
    lost.lose()
    assert_told(lost.recover(), 1, "the step code failed", "--resume")
    (lost.folder / ".cas-recover").unlink()
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert_back(lost)


def test_killed_again_and_again_it_gets_to_the_end(lost: Lost) -> None:
    lost.save()
    lost.lose()
    for tenths in range(3, 40, 2):
        begun = list((lost.new.home / ".local/state/casstore/applications").glob("*/recovery"))
        if not begun and list(lost.folder.glob("recoveries/*.md")):
            break  # it came to its end, killed or not while it said so
        with lost.process(*(["--resume"] if begun else [])) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(tenths / 10)
            process.kill()
            process.communicate()
    assert_back(lost)


def test_ctrl_c_leaves_what_is_done_and_says_how_to_go_on(lost: Lost) -> None:
    lost.save()
    lost.lose()
    lost.hold.write_text("dependencies")
    reached = lost.hold.with_name("reached")
    with lost.process() as process:
        wait_for(reached.exists, 30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted at the step dependencies" in err.decode()
    assert "cas recover --resume" in err.decode()
    assert not Path(f"/proc/{reached.read_text()}/exe").exists()
    lost.hold.unlink()
    assert lost.recover("--resume").code == 0
    assert_back(lost)
