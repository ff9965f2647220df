"""`cas recover` that is asked, refused a step, or ends with an application that is not well."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cli.lost import USERS, Lost, assert_back, killed, users
from cli.test_errors import assert_told
from cli.test_terminal import Terminal
from recovery.shops import wait_for


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


def test_a_clone_that_fails_leaves_only_the_plan_to_be_mended(lost: Lost) -> None:
    lost.save()
    lost.lose()
    lost.code.rename(lost.code.with_name("away"))
    assert_told(lost.recover(), 1, "the step code failed: `git` ended with code 128")
    assert sorted(path.name for path in lost.folder.iterdir()) == [".env.local", "backups", "cas.toml", "recoveries"]
    lost.code.with_name("away").rename(lost.code)
    assert lost.recover().code == 0  # nothing was done yet, so it may as well begin again
    assert_back(lost)


def test_behind_a_clone_that_failed_the_code_still_brings_its_own_cas_toml(lost: Lost) -> None:
    lost.commit("cas.toml", 'paths = ["data"]\n')
    lost.save()
    lost.lose()
    lost.code.rename(lost.code.with_name("away"))
    assert_told(lost.recover(), 1, "the step code failed")
    assert (lost.folder / "cas.toml").read_text() == lost.toml
    lost.code.with_name("away").rename(lost.code)
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "says other things than the plan" in ran.err
    assert (lost.folder / "cas.toml").read_text() == 'paths = ["data"]\n'


def test_where_the_code_moved_the_plan_is_there_to_be_mended(lost: Lost) -> None:
    lost.save()
    lost.lose()
    moved = lost.code.rename(lost.code.with_name("moved.git"))
    assert_told(lost.recover(), 1, "the step code failed", "cas.toml there if you mend it")
    config = lost.folder / "cas.toml"
    assert config.read_text() == lost.toml
    ran = lost.recover("--resume")
    assert_told(ran, 1, "the step code failed: `git` ended with code 128")
    assert "which was changed meanwhile" not in ran.err
    config.write_text(config.read_text().replace(str(lost.code), str(moved)))
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "which was changed meanwhile" in ran.err
    assert_back(lost)
    assert "moved.git" in config.read_text()


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
