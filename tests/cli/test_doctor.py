"""`cas doctor` on a real application: what is wrong is said, and stops it from looking at nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cli.conftest import Cas

APP = """
[app]
env-file = ".env"
env-required = ["STRIPE_KEY", "VAULT_*"]
env-capture = true
"""


def levels(cas: Cas, code: int) -> dict[str, str]:
    ran = cas("doctor", "--json")
    assert ran.code == code, ran.out + ran.err
    worst: dict[str, str] = {}
    for one in reversed(ran.json["findings"]):  # the worst of a topic counts
        worst[one["topic"]] = one["level"]
    return worst


@pytest.fixture
def app(cas: Cas) -> Cas:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text() + APP)
    cas.write(".env", "STRIPE_KEY=sk_live_s3cret\nVAULT_KEY=v4ultkey\n")
    assert cas("backup").code == 0
    return cas


def test_what_is_well_and_what_is_not_is_told_and_warnings_are_no_failure(app: Cas) -> None:
    found = levels(app, 3)
    assert {topic for topic, level in found.items() if level == "warning"} == {"disk", "secret", "schedule"}
    assert {"config", "paths", "repository", "key", "room", "clock", "version", "env", "vault"} <= {
        topic for topic, level in found.items() if level == "ok"
    }


def test_doctor_changes_nothing(app: Cas) -> None:
    before = sorted(path for path in app.folder.rglob("*"))
    levels(app, 3)
    assert sorted(path for path in app.folder.rglob("*")) == before


def test_a_key_of_the_vault_that_changed_or_lacks_is_said_without_its_value(app: Cas) -> None:
    app.write(".env", "STRIPE_KEY=sk_live_s3cret\nVAULT_KEY=another1\n")
    ran = app("doctor")
    assert ran.code == 3
    assert "other values than when the newest snapshot was taken: VAULT_KEY" in ran.out
    app.write(".env", "STRIPE_KEY=sk_live_s3cret\n")
    ran = app("doctor", "--quiet")
    assert ran.code == 1
    assert "required, and without a value: VAULT_*" in ran.out
    assert "gone: VAULT_KEY" in ran.out
    for value in ("s3cret", "v4ultkey", "another1"):
        assert value not in ran.out + ran.err
    assert "\n  ok" not in ran.out


def test_the_environment_is_held_against_the_newest_backup_not_against_what_was_kept_before_a_restore(app: Cas) -> None:
    assert app("restore", "latest", "--yes").code == 0
    app.write("data/users.json", "[1]")
    assert app("restore", "latest", "--yes").code == 0
    app.write(".env", "STRIPE_KEY=sk_live_s3cret\nVAULT_KEY=another1\n")
    assert "other values than when the newest snapshot was taken: VAULT_KEY" in app("doctor").out


def test_what_another_folder_saves_under_the_same_name_says_nothing_of_the_environment_here(app: Cas) -> None:
    other = Cas(app.folder.with_name("other") / "shop", app.home)
    shutil.copytree(app.folder, other.folder, ignore=shutil.ignore_patterns("backups"))
    other.write(".env", "STRIPE_KEY=sk_live_s3cret\nVAULT_KEY=of-the-other\n")
    assert other("backup", "-r", str(app.folder / "backups/cas")).code == 0
    assert {one["name"] for one in app.snapshots()} == {"shop"}
    assert "are those of the newest snapshot" in app("doctor").out


def test_an_env_file_kept_nowhere_else_fails_until_it_is_said_where(app: Cas) -> None:
    config = app.folder / "cas.toml"
    config.write_text(config.read_text().replace("env-capture = true", "env-capture = false"))
    assert levels(app, 1)["vault"] == "failure"
    config.write_text(config.read_text() + 'env-where = { "STRIPE_KEY" = "dashboard", "VAULT_*" = "safe" }\n')
    assert levels(app, 3)["vault"] == "ok"


def test_an_env_file_that_the_newest_snapshot_lacks_is_said_until_the_next_backup(app: Cas) -> None:
    config = app.folder / "cas.toml"
    text = config.read_text()
    config.write_text(text.replace("env-capture = true", "env-capture = false"))
    assert app("backup").code == 0
    config.write_text(text)
    ran = app("doctor")
    assert "the newest snapshot was taken without .env" in ran.out
    assert "ok       vault" not in ran.out
    assert app("backup").code == 0
    assert levels(app, 3)["vault"] == "ok"


def test_isolated_files_without_an_application_are_asked_for_their_key(cas: Cas) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text().replace("isolate = []", 'isolate = ["data/secureVault.json"]'))
    assert levels(cas, 3)["vault"] == "warning"


def test_a_program_in_another_version_and_a_range_that_is_none_are_said(app: Cas) -> None:
    config = app.folder / "cas.toml"
    text = config.read_text()
    config.write_text(f'{text}[recover]\nrequire = {{ python3 = ">=99" }}\n')
    assert levels(app, 3)["programs"] == "warning"
    config.write_text(f'{text}[recover]\nrequire = {{ python3 = "new" }}\n')
    assert levels(app, 1)["programs"] == "failure"


@pytest.mark.parametrize("what", ["no env file", "env folder", "latin1", "folder"])
def test_each_failure_of_a_file_says_what_to_do(app: Cas, what: str) -> None:
    file = app.folder / ("cas.toml" if what in ("latin1", "folder") else ".env")
    file.unlink()
    if what == "latin1":
        file.write_bytes(b"name = '\xe9'\n")
    elif "folder" in what:
        file.mkdir()
    found = app("doctor", "--json").json["findings"]
    failures = [one for one in found if one["level"] == "failure" and one["topic"] in ("config", "env")]
    assert failures
    assert all(one["todo"] for one in failures)


def test_a_path_that_is_spelt_wrongly_is_named(app: Cas) -> None:
    config = app.folder / "cas.toml"
    config.write_text(config.read_text().replace('"events.log"', '"event.log"', 1))
    assert levels(app, 3)["paths"] == "warning"


def test_a_wrong_cas_toml_is_one_failure_among_lines(app: Cas) -> None:
    config = app.folder / "cas.toml"
    config.write_text(config.read_text() + "checks = 7\n")
    ran = app("doctor")
    assert ran.code == 1
    assert "`checks` must be a list of tables" in ran.out
    assert ran.out.count("FAILURE") == 1
    assert "ok       key" in ran.out


def test_a_misspelt_program_or_moment_is_said_before_the_day(app: Cas) -> None:
    config = app.folder / "cas.toml"
    steps = '[recover]\nsteps = [{ name = "data", restore = "ltest" }, { name = "start" }]\n'
    config.write_text(config.read_text() + 'run = ["npn", "start"]\n' + steps)
    ran = app("doctor", "--quiet")
    assert ran.code == 1
    assert "`run` under [app] would fail: there is no program npn" in ran.out
    assert "the step data would fail: `ltest` is neither a snapshot nor a moment" in ran.out


def test_a_repository_that_is_gone_is_one_failure_among_lines(app: Cas) -> None:
    shutil.rmtree(app.folder / "backups")
    found = levels(app, 1)
    assert (found["repository"], found["config"]) == ("failure", "ok")
    assert "schedule" not in found  # it would only say the same


def test_a_key_that_is_gone_is_said(app: Cas) -> None:
    shutil.rmtree(app.home / ".config")
    assert levels(app, 1)["repository"] == "failure"


def test_outside_of_any_application_it_says_so(cas: Cas, tmp_path: Path) -> None:
    ran = cas("doctor", cwd=tmp_path)
    assert ran.code == 1
    assert "there is no cas.toml here or above" in ran.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_cas_toml_of_a_stranger_is_not_trusted(app: Cas) -> None:
    os.chown(app.folder / "cas.toml", 1, 1)
    assert levels(app, 1)["config"] == "failure"
