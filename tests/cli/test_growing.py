"""Files that only grow, as the command shows them."""

from __future__ import annotations

import hashlib
import os

import pytest
from cli.conftest import Cas

LINES = "".join(f"{number:07} happened\n" for number in range(60_000))
LOG = "data/app.log"


@pytest.fixture
def logged(cas: Cas) -> Cas:
    """An application with a snapshot of a log of 1 MB that is declared to be append-only."""
    text = (cas.folder / "cas.toml").read_text().replace('"events.log"', '"data/*.log"')
    cas.write("cas.toml", text)
    cas.write(LOG, LINES)
    assert cas("backup").code == 0
    return cas


def append(cas: Cas, text: str) -> None:
    with (cas.folder / LOG).open("a") as log:
        log.write(text)


def test_only_what_was_appended_is_read(logged: Cas) -> None:
    append(logged, "one more\n")
    ran = logged("backup", "--json")
    assert ran.json["bytes_read"] < len(LINES) // 2
    assert logged("dump", "latest", LOG).out == LINES + "one more\n"


def test_prove_logs_of_the_cas_toml_counts(logged: Cas) -> None:
    text = (logged.folder / "cas.toml").read_text()
    logged.write("cas.toml", text.replace('# prove-logs = "24h"', 'prove-logs = "0s"'))
    append(logged, "one more\n")
    assert logged("backup", "--json").json["bytes_read"] > len(LINES)


def test_whole_lines_of_the_cas_toml_counts(logged: Cas) -> None:
    text = (logged.folder / "cas.toml").read_text()
    logged.write("cas.toml", text.replace("whole-lines = false", "whole-lines = true"))
    append(logged, "one more\nand ha")
    assert logged("backup").code == 0
    assert logged("dump", "latest", LOG).out == LINES + "one more\n"
    assert logged("restore", "latest", "--yes").code == 0  # the live one is saved first, and whole
    assert (logged.folder / LOG).read_text() == LINES + "one more\n"
    pre_restore = logged.snapshots()[-1]
    assert pre_restore["pre_restore"]
    assert logged("dump", pre_restore["id"], LOG).out == LINES + "one more\nand ha"


def test_a_pattern_can_be_given_without_a_cas_toml(bare: Cas) -> None:
    assert bare("init", "-r", "elsewhere", "--key-file-only").code == 0
    bare.write("logs/app.txt", LINES)
    command = ["-r", "elsewhere", "backup", "logs", "--append-only", "*.log", "--append-only", "./*.txt", "--json"]
    assert bare(*command).code == 0
    with (bare.folder / "logs/app.txt").open("a") as log:
        log.write("one more\n")
    assert bare(*command).json["bytes_read"] < len(LINES) // 2


@pytest.mark.parametrize("pattern", ["../*.log", "/var/log/*", "~/x.log"])
def test_a_pattern_that_leads_out_is_refused(logged: Cas, pattern: str) -> None:
    ran = logged("backup", "--append-only", pattern)
    assert ran.code == 2
    assert "leads out of" in ran.err


def test_what_was_rewritten_is_a_warning_and_the_snapshots_are_marked(logged: Cas) -> None:
    append(logged, "one more\n")
    assert logged("backup").code == 0
    assert "unproven" not in logged("snapshots").out
    with (logged.folder / LOG).open("r+") as log:
        log.seek(0, os.SEEK_END)
        log.seek(log.tell() - 3)
        log.write("x")
    ran = logged("backup", "--quiet")
    assert ran.code == 0
    assert ran.err.startswith(f"warning: {LOG}: was rewritten")
    shown = logged("snapshots")
    assert [line.count("unproven") for line in shown.out.splitlines()] == [0, 0, 1, 0]
    assert "unproven: taken after" in shown.err
    assert [snapshot["unproven"] for snapshot in logged.snapshots()] == [False, True, False]


def test_ls_computes_digests_when_asked(logged: Cas) -> None:
    with (logged.folder / "data/sparse.log").open("wb") as sparse:
        sparse.seek(300_000)
        sparse.write(b"x" * 5000)
        sparse.truncate(900_000)
    assert logged("backup").code == 0
    names = ["app.log", "orders.json", "sparse.log", "users.json"]
    digests = [hashlib.sha256((logged.folder / "data" / name).read_bytes()).hexdigest() for name in names]
    expected = [f"{'-':<64}  data/"] + [f"{one}  data/{name}" for one, name in zip(digests, names, strict=True)]
    assert logged("ls", "latest", "--digest", "data").out.splitlines() == expected
    lines = logged("ls", "latest", "--digest", "--json", "data").lines
    assert [line.get("sha256") for line in lines[1:]] == [None, *digests]
    assert logged("ls", "latest", "-l", "--digest", "data/app.log").out.startswith(digests[0])
