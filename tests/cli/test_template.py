"""`cas init --template`: a cas.toml that is read without a complaint, and tells of the application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cascli.template import TEMPLATES, cas_toml
from cli.conftest import Cas
from cli.test_terminal import Terminal

from casstore import config
from casstore.recovery import plan


@pytest.mark.parametrize("capture", [None, True, False])
@pytest.mark.parametrize("has_env", [True, False])
@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_template_is_read_by_both_readers(kind: str, has_env: bool, capture: bool | None) -> None:
    template = TEMPLATES[kind]
    text = cas_toml("shop", "backups/cas", template.paths, template=template, has_env=has_env, capture=capture)
    saved = config.parse(text)
    assert (saved.paths, saved.append_only) == (template.paths, ("*.log", "*.jsonl"))
    assert set(saved.recovery) >= {"app", "recover", "drill", "promises"}
    app = plan.parse(text).app
    assert app.env_capture is capture
    assert app.env_file == (template.env_file if has_env or template.env_is_known else "")


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_a_template_has_as_a_comment_is_read_once_it_is_none(kind: str) -> None:
    template = TEMPLATES[kind]
    text = cas_toml("shop", "backups/cas", template.paths, template=template)
    commented = re.compile(r"# (?=(\w+|env-where|env-capture|\"on call\") +?= |  \{ name|\]$|\[\[)")
    lines = [commented.sub("", line) for line in text.splitlines()]
    found = plan.parse("\n".join(lines))
    assert found.app.release is not None
    assert found.app.stop is not None
    assert [step.name for step in found.recover.steps] == ["code", "dependencies", "data", "start"]
    assert found.notify.to == ("mailto://…",)
    assert found.contacts == {"on call": "…"}


def test_the_one_for_nextjs_has_what_massaflow_needs() -> None:
    template = TEMPLATES["nextjs"]
    text = cas_toml("massaflow", "backups/cas", template.paths, template=template)
    found = plan.parse(text)
    assert found.app.env_file == ".env.local"
    assert "MASSAFLOW_VAULT_KEY" in found.app.env_required
    assert found.app.flush is not None
    assert found.app.flush.required
    assert found.app.health is not None
    assert found.app.health.json == {"status": "OK"}
    assert found.drill.keep_env == ("MASSAFLOW_VAULT_*",)
    assert found.external[0].check is not None
    assert config.parse(text).isolate == ("data/secureVault.json",)


def test_a_name_that_looks_like_a_place_to_be_filled_stays_as_it_is() -> None:
    text = cas_toml("{paths}", "{isolate}", ["{name}"], template=TEMPLATES["generic"])
    found = config.parse(text)
    assert (found.name, found.repository, found.paths) == ("{paths}", "{isolate}", ("{name}",))


@pytest.mark.parametrize("kind", TEMPLATES)
def test_init_with_a_template_is_followed_by_a_backup(bare: Cas, kind: str) -> None:
    ran = bare("init", "--template", kind, "--key-file-only")
    assert ran.code == 0, ran.err
    assert "env-capture = true" not in (bare.folder / "cas.toml").read_text().replace("# env-capture = true", "")
    bare.write(TEMPLATES[kind].env_file, "PORT=1\n")  # nobody listens there
    assert bare("backup").code == 0


def test_paths_count_before_those_of_the_template(bare: Cas) -> None:
    assert bare("init", "events.log", "--template", "node", "--key-file-only").code == 0
    assert config.parse((bare.folder / "cas.toml").read_text()).paths == ("events.log",)


def test_a_template_without_a_new_config_and_an_unknown_one_are_refused(cas: Cas, tmp_path: Path) -> None:
    again = cas("init", "-r", str(tmp_path / "other"), "--template", "node", "--key-file-only")
    assert (again.code, "--template goes into a new cas.toml" in again.err) == (2, True)
    assert cas("init", "--template", "rails").code == 2


@pytest.mark.parametrize(("answer", "stored"), [("y", True), ("n", False)])
def test_on_a_terminal_init_asks_whether_the_env_file_is_stored(bare: Cas, answer: str, stored: bool) -> None:
    bare.write(".env.local", "PORT=1\n")
    terminal = Terminal(bare, "init", "--template", "nextjs", "--key-file-only")
    terminal.expect(r"Store .env.local itself with each snapshot")
    terminal.type("")  # there is no default
    terminal.expect(r"Store .env.local itself with each snapshot")
    terminal.type(answer)
    assert terminal.end() == 0
    assert plan.parse((bare.folder / "cas.toml").read_text()).app.env_capture is stored
