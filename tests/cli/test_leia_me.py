"""The Portuguese guide: its commands run as they stand there, and what it says of codes is what the table says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cli.conftest import Cas

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
GUIDE = (DOCS / "pt-BR/LEIA-ME.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_commands_of_its_blocks_run_one_after_the_other(bare: Cas) -> None:
    lines = [line for block in BLOCKS for line in block.splitlines()]
    assert len(lines) == 8
    for line in lines:
        words = shlex.split(line, comments=True)
        asks = ["--yes"] if words[1] == "restore" and "--dry-run" not in words else []
        if words[-1] == "latest":
            bare.write("data/users.json", "[]")  # so that there is something to restore, and to undo
        ran = bare(*words[1:], *asks, CAS_PASSWORD="x")
        assert ran.code == 0, f"{line}: {ran.err}"
    assert (bare.folder / "data/users.json").read_text() == "[]"


def test_every_code_that_it_explains_is_in_the_table() -> None:
    known = set(re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(), re.MULTILINE))
    told = re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)
    assert len(told) == 15
    assert {*told, *re.findall(r"código (\d+)", GUIDE)} <= known


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        assert (DOCS / "pt-BR" / link).is_file()
