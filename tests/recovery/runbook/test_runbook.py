"""The runbook: equal in all languages, true to its plan, safe whatever the plan holds, and old when it is."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from cascli.main import COMMANDS, cli
from recovery.paper.reading import Read, kinds, shown, tokens
from recovery.runbook import plans

from casstore.recovery.paper.mark import is_own
from casstore.recovery.paper.page import Block, Heading, Look, Paragraph, Steps, Table, Words
from casstore.recovery.paper.phrases import LANGUAGES, load
from casstore.recovery.runbook import Described, Form, RunbookOutdated, check, page_of, write
from casstore.recovery.runbook.described import shell, span, without_password

PLANS = [plans.massaflow, plans.bare, plans.hostile]
OTHERS = [language for language in LANGUAGES if language != "en"]
Plan = Callable[[], Described]


# ── languages ──


def code_in(words: Words) -> list[str]:
    return [span.text for span in words if span.look is Look.CODE]


def shape(block: Block) -> object:
    """All of a block that is the same in each language."""
    match block:
        case Heading(level, words):
            return "heading", level, code_in(words)
        case Paragraph(words, loud):
            return "paragraph", loud, sorted(code_in(words))
        case Table(heads, rows):
            return "table", len(heads), [[sorted(code_in(cell)) for cell in row] for row in rows]
        case Steps(steps):
            return [
                (
                    [re.sub(r" --lang \S+", "", command) for command in step.commands],
                    *(Counter(code_in(words)) for words in (step.do, step.expect, *step.otherwise)),
                )
                for step in steps
            ]
        case _:
            return block


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("language", OTHERS)
def test_each_language_has_the_same_chapters_steps_and_commands(plan: Plan, language: str) -> None:
    ours, theirs = page_of(plan(), "en"), page_of(plan(), language)
    assert [shape(block) for block in ours.blocks] == [shape(block) for block in theirs.blocks]
    assert ours.language != theirs.language
    assert ours.expected != theirs.expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_chapters_are_numbered_as_the_sentences_name_them(language: str) -> None:
    titles = [b.words[0].text for b in page_of(plans.massaflow(), language).blocks if isinstance(b, Heading)][1:]
    assert [title.partition(".")[0] for title in titles] == [str(number) for number in range(1, 9)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_step_with_a_command_says_what_is_seen_then(language: str) -> None:
    for block in page_of(plans.massaflow(), language).blocks:
        for step in block.steps if isinstance(block, Steps) else ():
            assert step.expect or not step.commands


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_plan_of_the_nextjs_template_is_written_as_it_was(language: str) -> None:
    golden = Path(__file__).parent / f"golden/nextjs.{language}.md"
    assert write(plans.massaflow(), language, Form.MARKDOWN, written="2026-11-25") == golden.read_text()


# ── commands ──

LATER = {"drill"}  # checked too as soon as it is there


def commands_of_cas() -> Iterator[str]:
    for plan in (plans.massaflow, plans.bare):
        for block in page_of(plan(), "en").blocks:
            if isinstance(block, Steps):
                yield from (command for step in block.steps for command in step.commands)
    for phrase in load("en").values():
        for sentence in [phrase] if isinstance(phrase, str) else phrase:
            yield from re.findall(r"`((?:sudo )?cas [^`{]+)`", sentence)


@pytest.mark.parametrize("command", sorted({one for one in commands_of_cas() if "cas " in one}))
def test_each_command_that_is_named_exists_with_its_options(command: str) -> None:
    words = shlex.split(command.removeprefix("sudo "))
    assert words[0] == "cas"
    words = words[3:] if words[1] == "-r" else words[1:]
    if (words[0] in LATER and words[0] not in COMMANDS) or words[0] == "--version":
        return
    context = click.Context(cli)
    found: click.Command | None = cli.get_command(context, words[0])
    while isinstance(found, click.Group):
        words = words[1:]
        found = found.get_command(context, words[0])
    assert found is not None
    options = {name for parameter in found.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize(
    "arguments",
    [
        ["npm", "start"],
        ["a b", "c'd", "$HOME", "`id`", '"', "\\"],
        ["", "*"],
        ["é\n\x1b", "a'\\\n", "\u202e"],
        ["\udcff"],
    ],
)
def test_a_command_is_written_so_that_a_shell_reads_the_same_arguments(arguments: list[str]) -> None:
    line = shell(arguments)
    assert line.isprintable()
    ran = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], env={"LC_ALL": "C.UTF-8"}, stdout=subprocess.PIPE, check=True
    )
    assert ran.stdout.decode(errors="surrogateescape").split("\0")[:-1] == arguments


def test_a_value_of_the_environment_is_left_to_the_shell_and_nothing_else_is() -> None:
    line = shell(["x", 'http://h:${PORT}/`id`"$HOME"\\'])
    ran = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], env={"PORT": "3000"}, stdout=subprocess.PIPE, check=True
    )
    assert ran.stdout == b'x\0http://h:3000/`id`"$HOME"\\\0'


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_command_within_a_sentence_is_written_for_a_shell_as_well(language: str) -> None:
    folder = '/srv/ap p\'%h "q"'
    repository = f"{folder}/backups/cas"
    page = page_of(replace(plans.massaflow(), folder=folder, repository=repository), language)
    rows = [row for block in page.blocks if isinstance(block, Table) for row in block.rows]
    steps = [step for block in page.blocks if isinstance(block, Steps) for step in block.steps]
    told = [words for step in steps for words in (step.do, step.expect, *step.otherwise)]
    commands = [one for words in (*told, *(cell for row in rows for cell in row)) for one in code_in(words)]
    read = [shlex.split(one) for one in commands if one.startswith(("mkdir ", "rsync ", "cas -r ", "cas recover --r"))]
    assert ["mkdir", "-p", repository] in read
    assert ["rsync", "-a", "COPY/", f"{repository}/"] in read
    assert ["cas", "-r", repository, "restore", "latest", "--here"] in read
    assert ["cas", "recover", "--resume", "--recovery-words", folder] in read


def test_a_check_on_a_bare_server_is_run_in_the_folder_of_the_application() -> None:
    steps = [block.steps for block in page_of(plans.massaflow(), "en").blocks if isinstance(block, Steps)]
    checks = [step.commands for chapter in steps for step in chapter if step.do[0].text.startswith("Run the check")]
    assert checks == [("node scripts/check.js",), ("cd /srv/massaflow", "node scripts/check.js")]


def test_passwords_in_addresses_are_left_out() -> None:
    assert without_password("git+https://u:p@h/x u@h, ssh://git@h") == "git+https://•••@h/x u@h, ssh://•••@h"


@pytest.mark.parametrize(
    ("ns", "words"),
    [(3600 * 10**9, "1 h"), (90 * 60 * 10**9, "90 min"), (95 * 10**9, "95 s"), (500_000_000, "500 ms"),
     (1_234_567_890, "1.23 s"), (61_234_567_890, "61 s"), (90 * 86_400 * 10**9, "90 d"), (0, "0.00 s")],
)  # fmt: skip
def test_a_length_of_time_is_told_without_losing_any(ns: int, words: str) -> None:
    assert span(ns) == words


# ── hostile values ──


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_value_becomes_markup_in_markdown(language: str) -> None:
    hostile = write(plans.hostile(), language, Form.MARKDOWN, written="2026-11-25")
    assert kinds(hostile).isdisjoint({"html_block", "html_inline", "link_open", "image", "s_open", "code_block", "hr"})
    titles = [token.tag for token in tokens(hostile) if token.type == "heading_open"]
    assert titles == ["h1"] + ["h2"] * 8
    assert any("<script>alert(1)</script> `whoami`" in line for line in shown(hostile))
    assert all(line.isprintable() for line in hostile.split("\n"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_value_becomes_markup_in_html(language: str) -> None:
    own, hostile = (
        Read(write(plan(), language, Form.HTML, written="2026-11-25")) for plan in (plans.massaflow, plans.hostile)
    )
    assert set(hostile.tags) <= set(own.tags)
    assert hostile.attributes == own.attributes
    assert not any("src" in name or "href" in name for name, _ in own.attributes)
    assert not own.open
    assert "".join(hostile.text).count("<script>alert(1)</script>") > 5


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("plan", [plans.massaflow, plans.hostile])
def test_no_value_of_an_environment_and_no_password_stands_in_it(plan: Plan, form: Form) -> None:
    text = write(plan(), "en", form, written="2026-11-25")
    assert "hunter2" not in text
    assert "sk_test_drill" not in text
    assert "0a1b2c" not in text


def test_html_loads_nothing() -> None:
    text = write(plans.massaflow(), "en", Form.HTML, written="2026-11-25")
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text
    assert "@media print" in text


# ── what it says ──


def text_of(described: Described) -> str:
    return "\n".join(shown(write(described, "en", Form.MARKDOWN, written="2026-11-25")))


def test_promises_are_held_against_the_last_drill() -> None:
    rows = [block.rows for block in page_of(plans.massaflow(), "en").blocks if isinstance(block, Table)]
    told = ["|".join("".join(span.text for span in cell) for cell in row) for table in rows for row in table]
    assert "Data lost at most (RPO)|1 h|12 min|yes" in told
    assert "Away at most (RTO)|10 min|95 s|yes" in told
    assert "Recovery rehearsed every|90 d|last 2026-11-18; due again by 2027-02-16|cas status" in told


def test_a_promise_that_the_last_drill_broke_is_told() -> None:
    described = plans.massaflow()
    text = text_of(replace(described, reports=(replace(described.reports[-1], rto_ns=3600 * 10**9),)))
    assert "Away at most (RTO)\n10 min\n1 h\nno" in text


def test_problems_of_the_last_drill_are_listed_and_those_of_an_older_one_are_not() -> None:
    described = plans.massaflow()
    assert "port 3999 was in use" not in text_of(described)
    assert "port 3999 was in use" in text_of(replace(described, reports=described.reports[:1]))


def test_only_the_repository_inside_the_application_is_warned_of() -> None:
    assert "lies inside the folder" in text_of(plans.massaflow())
    assert "lies inside the folder" not in text_of(replace(plans.massaflow(), repository="/srv/massaflow-cas"))


def test_a_name_says_where_its_value_is_or_that_nobody_said() -> None:
    text = text_of(plans.massaflow())
    assert "MASSAFLOW_VAULT_KEY\nyes\npassword manager, entry “MassaFlow vault”" in text
    assert "NEXT_PUBLIC_STRIPE_PRICE_ID_*\nyes\nnobody has said" in text
    assert "PORT\nno\nnobody has said" in text


def test_an_application_that_cas_cannot_start_is_stopped_and_started_by_hand() -> None:
    text = text_of(plans.bare())
    assert "Stop the application" in text
    assert "--restart" not in write(plans.bare(), "en", Form.MARKDOWN, written="")


# ── old, or changed ──


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("plan", PLANS)
def test_a_runbook_holds_on_another_day(plan: Plan, form: Form, language: str) -> None:
    text = write(plan(), language, form, written="2026-11-25")
    assert is_own(text)
    check(text, plan(), language, form, file="x")
    other = write(plan(), language, form, written="2027-01-01")
    assert other != text
    check(other, plan(), language, form, file="x")


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    ("changed", "chapter"),
    [
        ({"folder": "/srv/other"}, "2. Backup"),
        ({"repository_id": "ff"}, "1. What this plan is about"),
        ({"variables": ("NEW",)}, "5. Environment variables"),
        ({"reports": ()}, "7. Drills"),
        ({"ways": ()}, "4. A bare server"),
        ({"version": "9"}, "4. A bare server"),
    ],
)
def test_a_runbook_is_old_when_what_it_describes_changes(form: Form, changed: dict[str, object], chapter: str) -> None:
    described = plans.massaflow()
    now = replace(described, **changed)  # type: ignore[arg-type]
    text = write(described, "en", form, written="2026-11-25")
    with pytest.raises(RunbookOutdated, match="older than what it describes") as error:
        check(text, now, "en", form, file="RUNBOOK.md")
    assert chapter in str(error.value)
    assert "8. Contacts" not in str(error.value)
    assert error.value.exit_code == 9


@pytest.mark.parametrize("form", Form)
def test_a_change_by_hand_shows_and_the_file_is_nobodys_to_replace(form: Form) -> None:
    text = write(plans.massaflow(), "en", form, written="2026-11-25")
    changed = text.replace("systemctl stop massaflow", "rm -rf /").replace("Ana", "Eve")
    assert changed != text
    assert not is_own(changed)
    with pytest.raises(RunbookOutdated, match=r"changed by hand.*8\. Contacts"):
        check(changed, plans.massaflow(), "en", form, file="x")


@pytest.mark.parametrize("text", ["", "\n", "# mine", "# mine\n_sha256:" + "0" * 64 + "_\n"])
def test_what_was_not_written_here_is_not_ours(text: str) -> None:
    assert not is_own(text)
    with pytest.raises(RunbookOutdated):
        check(text, plans.massaflow(), "en", Form.MARKDOWN, file="x")
