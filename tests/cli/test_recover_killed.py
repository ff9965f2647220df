"""`cas recover` that is killed or interrupted, at any step, and goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cli.lost import GIT, USERS, Lost, assert_back, killed, users
from cli.test_errors import assert_told
from recovery.shops import wait_for


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


def test_a_plan_that_was_mended_behind_a_kill_is_told_and_gone_by_once_a_step_failed(lost: Lost) -> None:
    lost.steps.insert(3, {"name": "build", "run": ["no-such-program"]})
    lost.save()
    lost.lose()
    assert_told(lost.recover(), 1, "the step build failed")
    killed(lost, "casstore.recovery.recover", "Recovery._run", "--resume")
    config = lost.folder / "cas.toml"
    config.write_text(config.read_text().replace("no-such-program", "true"))
    ran = lost.recover("--resume")
    assert (ran.code, "is not the plan" in ran.err) == (1, True)
    ran = lost.recover("--resume")
    assert ran.code == 0, ran.err
    assert "which was changed meanwhile" in ran.err
    assert_back(lost)


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
