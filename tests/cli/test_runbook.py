"""`cas runbook` and `cas sheet`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Cas
from cli.test_errors import assert_told

APP = """
[app]
env-file = ".env.local"
env-required = ["STRIPE_SECRET_KEY"]
run = ["npm", "start"]
[promises]
rpo = "1h"
drill-every = "90d"
[contacts]
"on call" = "Ana"
"""
REPORT = {
    "kind": "drill",
    "ok": True,
    "time": "2026-11-25T02:30:00+00:00",
    "facts": {"rpo_minutes": 1, "rto_seconds": 9},
    "steps": [],
}
VALUE = "sk_live_0123456789"


@pytest.fixture
def shop(cas: Cas) -> Cas:
    """The application of a plan, with a snapshot and a runbook."""
    with (cas.folder / "cas.toml").open("a") as file:
        file.write(APP)
    cas.write(".env.local", f"PORT=3000\nSTRIPE_SECRET_KEY={VALUE}\n")
    assert cas("backup").code == 0
    assert cas("runbook").code == 0
    return cas


def edit(cas: Cas, old: str, new: str) -> None:
    file = cas.folder / "cas.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_it_is_written_beside_cas_toml_readable_for_the_team_and_holds(shop: Cas) -> None:
    file = shop.folder / "RUNBOOK.md"
    assert file.stat().st_mode & 0o044 == 0o044
    text = file.read_text()
    assert "STRIPE_SECRET_KEY" in text
    assert VALUE not in text
    assert str(shop.folder / "backups/cas") in text
    ran = shop("runbook", "--check")
    assert (ran.code, ran.err) == (0, f"current: {file}\n")


@pytest.mark.parametrize("change", ["plan", "drill", "spoilt drill", "environment", "slot"])
def test_it_is_old_when_something_changes_and_holds_once_it_is_written_anew(shop: Cas, change: str) -> None:
    match change:
        case "plan":
            edit(shop, 'rpo = "1h"', 'rpo = "30m"')
        case "drill":
            shop.write("drills/20261125-drill.json", json.dumps(REPORT))
        case "spoilt drill":
            shop.write("drills/20261125-drill.json", "{")
        case "environment":
            shop.write(".env.local", "OTHER=x\n")
        case _:
            assert shop("key", "add", CAS_NEW_PASSWORD="x").code == 0
    assert_told(shop("runbook", "--check"), 9, "is older than what it describes: ", "`cas runbook` writes it anew")
    assert shop("runbook").code == 0
    assert shop("runbook", "--check").code == 0


def test_another_value_or_snapshot_does_not_make_it_old(shop: Cas) -> None:
    shop.write(".env.local", "PORT=1\nSTRIPE_SECRET_KEY=other\n")
    shop.write("data/users.json", '[{"id": 1}, {"id": 3}]')
    assert shop("backup").code == 0
    (shop.folder / "cas.toml").touch()
    assert shop("runbook", "--check").code == 0


def test_without_the_env_file_the_names_of_the_newest_snapshot_stand_in_it(shop: Cas) -> None:
    (shop.folder / ".env.local").unlink()
    assert shop("runbook", "--check").code == 0


def test_a_file_that_somebody_wrote_or_changed_is_left_alone(shop: Cas) -> None:
    for name, text in (("RUNBOOK.md", (shop.folder / "RUNBOOK.md").read_text() + "mine\n"), ("own.md", "# mine\n")):
        file = shop.write(name, text)
        assert_told(shop("runbook", "--output", str(file)), 2, "is left alone", "--output")
        assert file.read_text() == text
    assert_told(shop("runbook", "--check"), 9, "was changed by hand", "Move what is yours elsewhere")
    assert not [path for path in shop.folder.iterdir() if path.name.startswith(".RUNBOOK")]


def test_where_there_is_none_the_check_says_how_to_write_one(shop: Cas) -> None:
    assert_told(shop("runbook", "--lang", "pt-BR", "--check"), 9, "there is no runbook at", "`cas runbook` writes it")


def test_each_language_and_format_has_its_file_and_its_check(shop: Cas) -> None:
    assert shop("runbook", "--lang", "pt-BR").code == 0
    assert shop("runbook", "--format", "html").code == 0
    assert "Plano de recuperação" in (shop.folder / "RUNBOOK.pt-BR.md").read_text()
    assert (shop.folder / "RUNBOOK.html").read_text().startswith("<!DOCTYPE html>")
    assert shop("runbook", "--lang", "pt-BR", "--check").code == 0
    assert shop("runbook", "--format", "html", "--check").code == 0
    assert shop("runbook", "--output", "RUNBOOK.md", "--lang", "pt-BR", "--check").code == 9


def test_one_that_lies_in_docs_is_the_one_that_is_meant(shop: Cas) -> None:
    (shop.folder / "docs").mkdir()
    moved = (shop.folder / "RUNBOOK.md").rename(shop.folder / "docs/RUNBOOK.md")
    edit(shop, '"Ana"', '"Eva"')
    assert shop("runbook", "--check", cwd=shop.folder / "data").code == 9
    assert shop("runbook").code == 0
    assert "Eva" in moved.read_text()
    assert not (shop.folder / "RUNBOOK.md").exists()


def test_a_link_to_a_runbook_stays_one(shop: Cas) -> None:
    link = shop.folder / "plan.md"
    link.symlink_to("RUNBOOK.md")
    edit(shop, '"Ana"', '"Eva"')
    assert shop("runbook", "--output", "plan.md").code == 0
    assert link.is_symlink()
    assert "Eva" in (shop.folder / "RUNBOOK.md").read_text()


def test_to_stdout_it_is_the_same_text_and_nothing_else(shop: Cas) -> None:
    ran = shop("runbook", "--output", "-")
    assert ran.out == (shop.folder / "RUNBOOK.md").read_text()
    assert ran.err == ""
    assert_told(shop("runbook", "--output", "-", "--check"), 2, "--check reads a file", "")


def test_with_json_it_says_where_it_is_and_how_it_stands(shop: Cas) -> None:
    fields = {"message_type": "runbook", "file": str(shop.folder / "RUNBOOK.md"), "language": "en", "format": "md"}
    assert shop("runbook", "--json").json == fields | {"state": "written"}
    assert shop("runbook", "--check", "--json").json == fields | {"state": "current"}
    edit(shop, '"Ana"', '"Eva"')
    ran = shop("runbook", "--check", "--json")
    assert ran.code == 9
    assert json.loads(ran.err)["code"] == 9


@pytest.mark.parametrize(("name", "message"), [("data", "is not a file"), ("nowhere/x.md", "no such file")])
def test_a_place_that_cannot_be_written_is_named(shop: Cas, name: str, message: str) -> None:
    ran = shop("runbook", "--output", name)
    assert ran.code in (1, 2)
    assert message in ran.err


def test_without_a_cas_toml_there_is_nothing_to_write_about(bare: Cas) -> None:
    assert_told(bare("runbook"), 2, "no cas.toml here or above", "`cas init`")


def test_an_env_file_that_is_none_is_told_with_its_line(shop: Cas) -> None:
    shop.write(".env.local", "PORT=1\n=x\n")
    assert_told(shop("runbook"), 1, ".env.local line 2", "NAME=value")


# ── sheet ──


def test_the_sheet_has_address_id_and_slots_and_no_secret(shop: Cas, tmp_path: Path) -> None:
    assert shop("key", "add", "--label", "office", CAS_NEW_PASSWORD="hunter2").code == 0
    ran = shop("sheet")
    assert ran.code == 0, ran.err
    header = shop("cat", "header", "--json").json
    for fact in (str(shop.folder / "backups/cas"), "office", "Ana", header["repository"]):
        assert fact in ran.out
    assert "hunter2" not in ran.out
    assert VALUE not in ran.out
    file = tmp_path / "folha.html"
    ran = shop("sheet", "--lang", "pt-BR", "--output", str(file))
    assert (ran.code, ran.out) == (0, "")
    assert "Palavras de recuperação" in file.read_text()
    assert shop("sheet", "--output", str(file), "--json").json["file"] == str(file)


def test_the_sheet_as_json_has_the_same_facts(shop: Cas) -> None:
    told = shop("sheet", "--json").json
    anchor = shop("anchor", "show", "--json").json
    assert told["head"] == anchor
    assert told["repository"] == str(shop.folder / "backups/cas")
    assert told["openings"] == []


def test_a_sheet_of_a_repository_needs_no_cas_toml(shop: Cas, tmp_path: Path) -> None:
    ran = shop("-r", str(shop.folder / "backups/cas"), "sheet", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "cas recover --repo" in ran.out


def test_a_sheet_replaces_no_file_that_is_something_else(shop: Cas) -> None:
    file = shop.write("own.html", "mine")
    assert_told(shop("sheet", "--output", str(file)), 2, "is left alone", "")
    assert file.read_text() == "mine"


def test_a_page_that_cannot_be_written_is_named_as_it_was_asked_for(shop: Cas) -> None:
    assert_told(shop("runbook", "--output", "nowhere/plan.md"), 1, "nowhere/plan.md: no such file or directory", "")
