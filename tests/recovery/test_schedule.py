"""Units and lines that keep the promises, written and removed without touching anybody else's."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from casstore.errors import UsageError
from casstore.recovery.plan import App, Ask, Notify, Plan, Promises
from casstore.recovery.schedule import (
    _EVERY,
    Every,
    Place,
    Unit,
    at_most,
    cron_lines,
    install,
    installed,
    jobs,
    mark,
    remove,
    starts,
    units,
    usual,
)

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
PLAN = Plan(
    promises=Promises(rpo_ns=HOUR, verify_every_ns=7 * DAY, drill_every_ns=90 * DAY), notify=Notify(to=("mailto://x",))
)
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def place(root: Path, **other: str) -> Place:
    """A place whose folders and program are there, so that systemd finds nothing to say."""
    facts = {
        "cas": shutil.which("true") or "/bin/true", "name": "shop", "folder": str(root / "shop"),
        "repository": str(root / "shop/backups/cas"), "key": str(root / "host.key"), "state": str(root / "state/id"),
        "state_home": str(root / "state"), "cache": str(root / "cache/id"), "cache_home": str(root / "cache"),
        "user": "root", "group": "root", "home": "/root",
    } | other  # fmt: skip
    return Place(**facts)


@pytest.mark.parametrize(
    ("period_ns", "calendar"),
    [
        (1, "*:*"),
        (30 * MINUTE, "*:0/30"),
        (44 * MINUTE, "*:0/30"),
        (HOUR, "*:00"),
        (7 * HOUR, "0/6:00"),
        (3 * DAY, "*-*-* 03:20"),
        (900 * DAY, "*-1,4,7,10-1 03:20"),
    ],
)
def test_a_period_is_put_on_the_calendar_and_never_longer_than_it_may_be(period_ns: int, calendar: str) -> None:
    assert at_most(period_ns).calendar == calendar


@needs_systemd
@pytest.mark.parametrize("every", _EVERY, ids=lambda every: every.calendar)
def test_systemd_reads_each_period_as_we_do(every: Every) -> None:
    assert ANALYZE is not None
    ran = subprocess.run(
        [ANALYZE, "calendar", "--iterations=60", every.calendar], capture_output=True, text=True, check=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    )  # fmt: skip
    found = dict.fromkeys(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", ran.stdout))
    at = [datetime.strptime(one, "%Y-%m-%d %H:%M:%S %Z") for one in found]
    assert len(at) == 60
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(at)]
    assert max(gaps) * 10**9 == every.most_ns


def test_backups_run_twice_as_often_as_was_promised_and_proofs_before_they_are_due() -> None:
    made = jobs(PLAN)
    periods = {name: job.every.most_ns for name, job in made.items() if job.every is not None}
    assert periods == {"backup": 30 * MINUTE, "verify": 4 * DAY, "drill": 31 * DAY, "status": HOUR}
    assert made["watch"].every is None
    assert made["status"].command == ("status", "--quiet", "--notify")


def test_without_promises_a_backup_is_taken_daily_and_no_drill_is_held() -> None:
    assert jobs(Plan())["backup"].every == at_most(DAY)
    assert usual(Plan()) == ["backup", "verify", "status"]
    assert usual(PLAN) == ["backup", "verify", "drill", "status"]


def made(root: Path, *names: str, **other: str) -> list[Unit]:
    every = jobs(PLAN)
    return units(place(root, **other), [every[name] for name in names or every])


HOSTILE = 'a "b" 100%n $HOME \\x ü'


@needs_systemd
@pytest.mark.parametrize("name", ["shop", HOSTILE])
def test_systemd_finds_nothing_wrong_with_any_unit(tmp_path: Path, name: str) -> None:
    root, into = tmp_path / name, tmp_path / "units"
    for folder in ("shop/backups/cas", "state/id", "cache/id"):
        (root / folder).mkdir(parents=True)
    (root / "host.key").write_bytes(b"")
    into.mkdir()
    written = install(made(root, name=name), str(root / "shop"), into)
    assert ANALYZE is not None
    ran = subprocess.run(
        [ANALYZE, "verify", "--man=no", *map(str, written)], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in ran.stderr.splitlines() if "cas-" in line or str(into) in line]
    assert (ran.returncode, ours) == (0, [])


def test_a_unit_runs_as_the_account_and_writes_only_what_must_be_written(tmp_path: Path) -> None:
    backup, drill = (made(tmp_path, name, user="app", group="web")[0].text for name in ("backup", "drill"))
    lines = backup.splitlines()
    assert {"User=app", "Group=web", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="} <= set(
        lines
    )
    assert f"LoadCredential=host.key:{tmp_path}/host.key" in lines
    folders = [f'"{tmp_path}/{folder}"' for folder in ("shop/backups/cas", "state/id", "cache/id")]
    assert f"ReadWritePaths={' '.join(folders)}" in lines
    assert f'ReadWritePaths={" ".join(folders)} "{tmp_path}/shop/drills"' in drill.splitlines()
    timer = made(tmp_path, "backup")[1].text.splitlines()
    assert {"OnCalendar=*:0/30", "Persistent=true"} <= set(timer)


def test_where_a_flush_is_a_command_it_may_write_in_the_folder_of_the_application(tmp_path: Path) -> None:
    plan = Plan(App(flush=Ask(command=("pg_dump", "--file", "data/all.sql"))))
    for name, may in (("backup", True), ("watch", True), ("drill", True), ("verify", False), ("status", False)):
        text = units(place(tmp_path), [jobs(plan)[name]])[0].text
        (line,) = (line for line in text.splitlines() if line.startswith("ReadWritePaths="))
        assert (f'"{tmp_path}/shop"' in line) is may


def test_a_rehearsal_may_restore_folders_that_give_their_group_to_what_is_made_in_them(tmp_path: Path) -> None:
    forbidden = {job.name for job in jobs(PLAN).values() if "RestrictSUIDSGID=yes" in made(tmp_path, job.name)[0].text}
    assert forbidden == {"backup", "watch", "verify", "status"}


def test_what_always_runs_is_started_with_the_machine_and_again_when_it_fails(tmp_path: Path) -> None:
    (watch,) = made(tmp_path, "watch")
    assert {"Restart=on-failure", "WantedBy=multi-user.target"} <= set(watch.text.splitlines())
    assert starts(made(tmp_path, "watch", "verify")) == ["cas-shop-watch.service", "cas-shop-verify.timer"]


def test_a_path_that_would_write_lines_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        made(tmp_path, folder="/srv/x\nExecStartPre=/bin/evil")


def test_a_crontab_line_is_one_command_in_the_folder(tmp_path: Path) -> None:
    every = jobs(PLAN)
    lines = cron_lines(place(tmp_path, folder="/srv/a b'%c"), [every["backup"], every["watch"]])
    assert lines[0].startswith("*/30 * * * * cd '/srv/a b'\"'\"'\\%c' && ")
    assert lines[1].startswith("@reboot cd ")


def test_a_crontab_line_names_what_does_not_lie_where_the_account_has_it(tmp_path: Path) -> None:
    usual = {
        "folder": "/srv/shop", "repository": "/srv/cas", "cas": "/usr/bin/cas", "home": "/home/app",
        "key": "/home/app/.config/casstore/id/host.key", "state_home": "/home/app/.local/state",
        "cache_home": "/home/app/.cache/casstore",
    }  # fmt: skip

    def line(**other: str) -> str:
        return cron_lines(place(tmp_path, **(usual | other)), [jobs(PLAN)["verify"]])[0].partition(" && ")[2]

    assert line() == "/usr/bin/cas -r /srv/cas verify --quiet"
    assert line(key="/x/id/host.key") == "/usr/bin/cas -r /srv/cas --key-file /x/id/host.key verify --quiet"
    assert line(state_home="/x y").startswith("env 'XDG_STATE_HOME=/x y' /usr/bin/cas -r ")
    assert line(cache_home="/x").startswith("env CAS_CACHE_DIR=/x /usr/bin/cas -r ")


def test_only_what_was_written_for_this_folder_is_replaced_or_removed(tmp_path: Path) -> None:
    into = tmp_path / "units"
    into.mkdir()
    foreign = into / "cas-shop-verify.service"
    foreign.write_text("[Service]\nExecStart=/bin/true\n")
    (into / "cas-else-backup.timer").write_text(f"{mark('/srv/else')}\n")
    mine = made(tmp_path, "backup")
    folder = str(tmp_path / "shop")
    assert install(mine, folder, into) == install(mine, folder, into)
    with pytest.raises(UsageError, match=r"cas-shop-verify\.service is there and was not written for"):
        install(made(tmp_path, "watch", "verify"), folder, into)
    assert [path.name for path in installed(folder, into)] == ["cas-shop-backup.service", "cas-shop-backup.timer"]
    assert [path.name for path in remove(folder, into)] == ["cas-shop-backup.service", "cas-shop-backup.timer"]
    assert sorted(path.name for path in into.iterdir()) == ["cas-else-backup.timer", "cas-shop-verify.service"]
    assert remove(folder, into) == []
