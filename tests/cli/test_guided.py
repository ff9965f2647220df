"""`cas drill --guided`: somebody is led through the runbook in its language, and what they say is the report."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from cli.conftest import Cas
from cli.test_drill import Shop, status
from cli.test_errors import assert_told
from cli.test_terminal import Terminal

WORDS = {"en": ("Done\\? ", "no", "If it failed"), "pt-BR": ("Feito\\? ", "não", "Se não deu certo")}


@pytest.fixture
def shop(cas: Cas) -> Iterator[Shop]:
    made = Shop(cas)
    made.plan(rest='[[external]]\nname = "Webhook"\nhow = "Dashboard: new endpoint"\n')
    yield made
    made.close()


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_who_is_led_walks_the_steps_of_the_runbook_and_has_his_remarks_in_the_report(shop: Shop, language: str) -> None:
    asked, no, begins = WORDS[language]
    page = shop.cas("runbook", "--lang", language, "--output", "-").out
    chapters = re.split(r"^## (\d)\. .*$", page, flags=re.MULTILINE)[1:]
    steps = [
        (f"{chapter}.{number}", words)
        for chapter, text in zip(chapters[::2], chapters[1::2], strict=True)
        for number, words in re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE)
        if chapter != "7"  # the drills: this is one
    ]
    remarks = {
        "3.2": "took long: the disk is slow", "4.5": f"{no}, port 3000 was taken", "6.1": "it is called Developers",
        "4.6": "nao" if language == "pt-BR" else "No.",
    }  # fmt: skip
    shown, terminal = "", Terminal(shop.cas, "drill", "--guided", "--lang", language)
    for at, _ in steps:
        shown += terminal.expect(f".*?{asked}")[0]
        terminal.type(remarks.get(at, ""))
    assert terminal.end() == 8
    told = [(step["name"].partition(" ")[0], step["words"]) for step in shop.report["steps"]]
    said = remarks | {"4.6": "it failed"}
    assert told == [(at, said.get(at, "done").removeprefix(f"{no}, ")) for at, _ in steps]
    assert [name.partition(" ")[0] for name in shop.failed()] == ["4.5", "4.6"]
    for words in (begins, "Dashboard: new endpoint", f"cas recover --repo {shop.folder / 'backups/cas'}"):
        assert words in shown
    assert "{folder}" not in shown


@pytest.mark.parametrize("key", ["\x03", "\x04"])  # Ctrl-C, Ctrl-D
def test_who_leaves_midway_keeps_his_remarks_in_a_report_that_did_not_hold(shop: Shop, key: str) -> None:
    terminal = Terminal(shop.cas, "drill", "--guided")
    terminal.expect(WORDS["en"][0])
    terminal.type("the cupboard was locked")
    terminal.expect(WORDS["en"][0])
    terminal.press(key)
    assert terminal.end() == 130
    assert [step["words"] for step in shop.report["steps"]] == [
        "the cupboard was locked", "broken off here: the drill was not brought to its end",
    ]  # fmt: skip
    assert shop.report["ok"] is False
    assert shop.report["facts"]["rto_seconds"] is None
    assert not [one for one in status(shop) if one["topic"] == "reports"]  # it is noted as it is


def test_who_leaves_at_the_first_step_leaves_no_report(shop: Shop) -> None:
    terminal = Terminal(shop.cas, "drill", "--guided")
    terminal.expect(WORDS["en"][0])
    terminal.press("\x03")
    assert terminal.end() == 130
    assert not (shop.folder / "drills").exists()


@pytest.mark.parametrize("answers", ["", "\n" * 100])
def test_nobody_is_led_where_there_is_no_terminal(shop: Shop, answers: str) -> None:
    assert_told(shop.cas("drill", "--guided", stdin=answers), 2, "there is no terminal to ask on", "by hand")
    assert not (shop.folder / "drills").exists()
