"""`cas schedule`: what it shows and writes, and a unit's command line run under the unit's environment alone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Cas

PROMISES = '\n[promises]\nrpo = "1h"\n'


@pytest.fixture
def promised(cas: Cas) -> Cas:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text() + PROMISES)
    return cas


def run_as_systemd_would(text: str, credentials: Path) -> subprocess.CompletedProcess[str]:
    """Run what ExecStart says, with nothing in the environment but what the unit and systemd's credentials give."""
    values = dict(re.findall(r"^(WorkingDirectory|ExecStart|LoadCredential)=(.*)$", text, re.MULTILINE))
    environment = dict(
        shlex.split(line)[0].split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    )
    name, _, key = values["LoadCredential"].partition(":")
    credentials.mkdir()
    shutil.copyfile(key, credentials / name)
    (credentials / name).chmod(0o400)
    environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    words = shlex.split(values["ExecStart"].replace("${CREDENTIALS_DIRECTORY}", str(credentials)))
    if os.geteuid() == 0 and shutil.which("setpriv"):
        may = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)[1].lower().replace("cap_", "+")  # type: ignore[index]
        words = ["setpriv", f"--bounding-set={','.join(['-all', *may.split()])}", "--no-new-privs", *words]
    return subprocess.run(
        words, cwd=values["WorkingDirectory"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(not Path(sys.executable).with_name("cas").exists(), reason="cas is not installed beside Python")
@pytest.mark.parametrize("job", ["backup", "verify", "status"])
def test_the_command_of_a_unit_works_with_nothing_but_what_the_unit_gives(
    promised: Cas, tmp_path: Path, job: str
) -> None:
    assert promised("backup").code == 0
    units = promised("schedule", "show", "--json", job).json["units"]
    text = next(unit["text"] for unit in units if unit["path"].endswith(f"cas-shop-{job}.service"))
    key = next((promised.home / ".config/casstore").glob("*/host.key"))
    ran = run_as_systemd_would(text, tmp_path / "credentials")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(promised.snapshots()) == (2 if job == "backup" else 1)
    assert key.exists()
    verified = promised("status", "--json").json["applications"][0]["verified"]
    assert (verified is not None) == (job == "verify")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root may give files away")
def test_a_unit_of_root_saves_what_others_own(promised: Cas, tmp_path: Path) -> None:
    for path in (promised.folder / "data", *(promised.folder / "data").rglob("*")):
        os.chown(path, 1, 1)
    text = promised("schedule", "show", "--json", "backup").json["units"][0]["text"]
    ran = run_as_systemd_would(text, tmp_path / "credentials")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "data/users.json" in promised("ls", "latest").out


@pytest.mark.skipif(not Path(sys.executable).with_name("cas").exists(), reason="cas is not installed beside Python")
def test_a_line_for_cron_works_with_nothing_but_what_cron_gives(promised: Cas, tmp_path: Path) -> None:
    assert promised("backup").code == 0
    (line,) = promised("schedule", "show", "--json", "backup").json["cron"]
    command = line.split(" ", 5)[5].replace("\\%", "%")
    bare = {"HOME": str(tmp_path / "elsewhere"), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(["sh", "-c", command], env=bare, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(promised.snapshots()) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_shown_says_where_it_would_lie_and_what_cron_takes(promised: Cas) -> None:
    out = promised("schedule", "show").out
    places = re.findall(r"^# ── (/\S+)$", out, re.MULTILINE)
    assert [Path(place).name for place in places] == [
        f"cas-shop-{job}.{kind}" for job in ("backup", "verify", "status") for kind in ("service", "timer")
    ]
    assert {str(Path(place).parent) for place in places} == {"/etc/systemd/system"}
    assert f"\n*/30 * * * * cd {promised.folder} && " in out


def test_what_is_installed_is_what_was_shown_and_is_removed_again(promised: Cas, tmp_path: Path) -> None:
    into = tmp_path / "units"
    into.mkdir()
    other = into / "nginx.service"
    other.write_text("[Service]\n")
    shown = promised("schedule", "show", "--json", "--into", str(into)).json["units"]
    ran = promised("schedule", "install", "--into", str(into))
    assert ran.code == 0
    assert "systemctl daemon-reload && systemctl enable --now cas-shop-backup.timer" in ran.out
    assert {str(path): path.read_text() for path in into.iterdir() if path != other} == {
        unit["path"]: unit["text"] for unit in shown
    }
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in into.glob("cas-*"))
    ran = promised("schedule", "remove", "--into", str(into))
    assert "systemctl disable --now cas-shop-backup.timer" in ran.out
    assert list(into.iterdir()) == [other]
    assert "nothing of this application" in promised("schedule", "remove", "--into", str(into)).out


def test_a_folder_that_is_not_there_has_a_sentence(promised: Cas, tmp_path: Path) -> None:
    ran = promised("schedule", "install", "--into", str(tmp_path / "nowhere"))
    assert ran.code == 1
    assert "cannot be changed: no such file or directory" in ran.err


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here")
def test_where_systemd_does_not_run_the_lines_for_cron_are_said(promised: Cas) -> None:
    ran = promised("schedule", "install")
    assert ran.code == 2
    assert "systemd does not run here" in ran.err
    assert "\n*/30 * * * * cd " in ran.err


def test_without_a_cas_toml_there_is_nothing_to_schedule(cas: Cas, tmp_path: Path) -> None:
    assert cas("schedule", "show", cwd=tmp_path).code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_schedules_for_the_account_that_made_the_repository_and_no_other(promised: Cas) -> None:
    config = promised.folder / "cas.toml"
    os.chown(config, 1, 1)
    ran = promised("schedule", "show")
    assert ran.code == 2
    assert "belong to two accounts" in ran.err
    os.chown(promised.folder / "backups/cas", 1, 1)
    ran = promised("schedule", "show")
    assert ran.code == 2
    assert re.search(r"\w+, the account of the repository, never used it", ran.err)
    assert promised("backup").code == 2  # to others it is still a stranger's file


def test_a_group_without_a_name_is_named_by_its_number(promised: Cas, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(_number: int) -> None:
        raise KeyError

    assert promised("backup").code == 0
    monkeypatch.setattr("grp.getgrgid", nameless)
    ran = promised("schedule", "show")
    assert ran.code == 0, ran.err
    assert f"Group={os.getegid()}" in ran.out
