"""What a recovery rests on, looked at one by one: each has its line, its level, and what to do."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from recovery.test_status import DAY, MINUTE, NOW, snapshot

from casstore.recovery import doctor
from casstore.recovery.application import Application
from casstore.recovery.environment import Compared, Environment
from casstore.recovery.findings import Finding, Level
from casstore.recovery.plan import App, Ask, Check, Command, Evidence, External, Health, Recover
from casstore.selection import Selection

OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE


def levels(findings: Iterable[Finding]) -> list[Level]:
    found = list(findings)
    assert all(bool(one.todo) == bool(one.level) for one in found), (
        "what is wrong says what to do, and nothing else does"
    )
    return [one.level for one in found]


def text(findings: Iterable[Finding]) -> str:
    return "\n".join(f"{one.text} {one.todo}" for one in findings)


# ── paths ──


def test_a_pattern_that_matches_nothing_is_named_and_a_socket_is_no_such_thing(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text("[]")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s.json"))
        origin = os.fsencode(tmp_path)
        assert levels(doctor.paths(origin, Selection((b"*.json",)), ())) == [OK]
        found = list(doctor.paths(origin, Selection((b"*.json", b"user.json")), ()))
    assert levels(found) == [WARNING]
    assert "user.json" in found[0].text


# ── environment ──


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (App(env_file=".env", env_capture=True), []),  # the newest snapshot tells
        (App(env_capture=True), [FAILURE]),  # and captures nothing
        (App(env_capture=False), [FAILURE]),
        (App(), [FAILURE]),
        (App(env_where={"VAULT_*": "the safe"}), [FAILURE]),
        (App(env_where={"VAULT_*": "the safe", "PORT": "unit"}), [OK]),
    ],
)
def test_a_vault_without_its_key_is_scrap(app: App, expected: list[Level]) -> None:
    environment = Environment({"VAULT_KEY": "k" * 64, "PORT": "3000"})
    found = list(doctor.kept_environment(app, environment, ()))
    assert levels(found) == expected
    assert "k" * 64 not in text(found)


def test_where_there_is_no_environment_nothing_is_said_of_it() -> None:
    assert levels(doctor.kept_environment(App(), Environment(), ())) == []
    assert levels(doctor.captured_environment(App(), None)) == []
    assert levels(doctor.variables(Environment(), {})) == []


def test_a_vault_without_any_environment_is_asked_for_its_key() -> None:
    found = list(doctor.kept_environment(App(), Environment(), ("data/vault.json",)))
    assert levels(found) == [WARNING]
    assert "data/vault.json" in found[0].text
    assert levels(doctor.kept_environment(App(env_where={"*": "safe"}), Environment(), ("data/vault.json",))) == []


@pytest.mark.parametrize(("is_kept", "expected"), [(True, OK), (None, OK), (False, WARNING)])
def test_an_env_file_that_is_to_be_kept_is_looked_for_in_the_newest_snapshot(
    is_kept: bool | None, expected: Level
) -> None:
    assert levels(doctor.captured_environment(App(env_file=".env", env_capture=True), is_kept)) == [expected]


def test_variables_that_lack_are_gone_or_differ_are_named_and_their_values_are_not() -> None:
    environment = Environment({"A": "s3cret", "B": ""}, required=("A", "B", "C_*"))
    assert levels(doctor.variables(Environment({"A": "s3cret"}, required=("A",)), {"A": Compared.SAME})) == [OK]
    found = list(doctor.variables(environment, {"A": Compared.DIFFERS, "D": Compared.MISSING}))
    assert levels(found) == [FAILURE, WARNING, WARNING]
    assert [one.text.rpartition(": ")[2] for one in found] == ["B, C_*", "D", "A"]
    assert "s3cret" not in text(found)


# ── room, clock, programs ──


@pytest.mark.parametrize(
    ("free", "growth", "beside", "expected"),
    [
        (1 << 40, 1 << 20, 1 << 40, [OK]),
        (1 << 30, 0, None, [OK]),
        (1 << 20, 0, 1 << 40, [FAILURE]),
        (1 << 30, 1 << 26, 1 << 40, [WARNING]),  # sixteen days
        (1 << 40, 0, 5, [OK, WARNING]),  # a restore of ten bytes has no room
    ],
)
def test_there_must_be_room_for_snapshots_and_for_a_restore(
    free: int, growth: int, beside: int | None, expected: list[Level]
) -> None:
    assert levels(doctor.room(free, growth, snapshot(1, MINUTE), beside)) == expected


def test_a_clock_behind_that_of_a_snapshot_is_wrong() -> None:
    assert levels(doctor.clock(NOW, [snapshot(1, MINUTE), snapshot(2, -MINUTE)])) == [OK]
    assert levels(doctor.clock(NOW, [snapshot(1, -DAY), snapshot(2, MINUTE)])) == [FAILURE]


@pytest.mark.parametrize(
    ("path", "wanted", "expected", "said"),
    [
        ("{}", ">=18", OK, "installed: node 20.1.0"),
        ("{}", "*", OK, "installed: node"),
        ("{}", ">=99", WARNING, "node: is 20.1.0, not >=99"),
        ("/nowhere", ">=18", WARNING, "node: not installed"),
    ],
)
def test_programs_that_a_recovery_needs_are_looked_for_in_their_versions(
    tmp_path: Path, path: str, wanted: str, expected: Level, said: str
) -> None:
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    (tmp_path / "node").chmod(0o755)
    there = Application(App(), tmp_path, Environment({"PATH": path.format(tmp_path)}))
    found = list(doctor.programs(Recover(require={"node": wanted}), there))
    assert levels(found) == [expected]
    assert said in found[0].text


def test_where_nothing_is_required_no_program_is_named(tmp_path: Path) -> None:
    assert levels(doctor.programs(Recover(), Application(App(), tmp_path, Environment()))) == []


def test_a_snapshot_of_another_version_of_cas_is_told() -> None:
    assert levels(doctor.version(snapshot(1, 0, program="cas 1"), "cas 1")) == [OK]
    assert levels(doctor.version(snapshot(1, 0, program="cas 9"), "cas 1")) == [WARNING]


# ── outside ──


def test_what_lies_outside_is_checked_as_far_as_it_can_be_seen(tmp_path: Path) -> None:
    environment = Environment({"HOOK": "whsec_s3cret", "CODE": "3"}, {"PATH": os.environ["PATH"]})
    exits = (sys.executable, "-c", "import sys, os; print(os.environ['HOOK']); sys.exit(int(sys.argv[1]))")
    found = list(
        doctor.outside(
            [
                External("by hand", "look at the dashboard"),
                External("right", "how", Evidence(env_prefix={"HOOK": "whsec_"})),
                External("wrong", "how", Evidence(env_prefix={"HOOK": "sk_"})),
                External("unset", "how", Evidence(env_prefix={"NONE": "sk_"})),
                External("runs", "how", Evidence(command=(*exits, "0"))),
                External("fails", "how", Evidence(command=(*exits, "${CODE}"))),
                External("not there", "how", Evidence(command=("/no/such/program",))),
            ],
            Application(App(), tmp_path, environment), environment,
        )
    )  # fmt: skip
    assert levels(found) == [OK, OK, FAILURE, FAILURE, OK, FAILURE, FAILURE]
    assert [one.text for one in found[2:4]] == ["HOOK does not begin with sk_", "NONE has no value"]
    assert "ended with code 3: •••" in found[5].text
    assert "s3cret" not in text(found)


# ── what runs by itself ──


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"ActiveState": "active", "Result": "success", "LastTriggerUSec": "Tue 2026-11-24 10:00:00 UTC"}, [OK]),
        ({"ActiveState": "inactive", "Result": "success"}, [FAILURE]),
        ({"ActiveState": "active", "Result": "exit-code"}, [FAILURE]),
        ({}, [WARNING]),  # systemd does not run here, or may not be asked
    ],
)
def test_a_timer_must_be_active_and_its_job_must_have_gone_well(says: dict[str, str], expected: list[Level]) -> None:
    assert levels(doctor.timers(["cas-shop-backup.timer"], [], {"cas-shop-backup.timer": says})) == expected


def test_timers_that_lack_or_are_of_an_older_plan_are_warned_of() -> None:
    assert levels(doctor.timers(["a.timer", "b.timer"], ["a.service"], {"a.timer": {}})) == [WARNING] * 3


# ── the application ──

SERVED = Environment({"PORT": "3000"}, {"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (App(), ""),
        (App(run=("sh", "-c", "true"), health=Health("http://127.0.0.1:${PORT}/")), ""),
        (App(run=("npn", "start")), "`run` under [app] would fail: there is no program npn"),
        (App(stop=Command(("./stop.sh",))), "`stop` under [app] would fail: there is no program ./stop.sh"),
        (App(health=Health("http://127.0.0.1:${PROT}/")), "`health` under [app] would fail: `${PROT}` has no value"),
        (App(flush=Ask(http="POST http://x/", token_env="TOKEN")), "`flush` under [app] would fail: `${TOKEN}`"),
        (App(checks=(Check("users", ("sh", "${WHAT}")),)), "`checks: users` under [app] would fail: `${WHAT}`"),
    ],
)
def test_what_the_application_needs_on_the_day_is_looked_for_today(app: App, expected: str, tmp_path: Path) -> None:
    found = [one for one in doctor.application(app, SERVED, tmp_path) if one.level]
    assert len(found) == bool(expected)
    assert expected in text(found)


def test_a_program_beside_the_application_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "stop.sh").write_text("")
    (tmp_path / "stop.sh").chmod(0o755)
    assert levels(doctor.application(App(stop=Command(("./stop.sh",))), SERVED, tmp_path)) == [OK]
