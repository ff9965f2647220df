"""The address under [notify] hears of each backup, of how it went, and cannot make it fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Cas
from recovery.servers import free_port, server
from recovery.test_notify import Heard


def names(cas: Cas, address: str) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(f'{config.read_text()}\n[notify]\nping = "{address}/uuid"\n')


@pytest.fixture
def heard(cas: Cas):  # type: ignore[no-untyped-def]
    heard = Heard()
    with server(heard) as address:
        names(cas, address)
        yield heard


def test_the_address_hears_that_a_backup_went_well(cas: Cas, heard: Heard) -> None:
    assert cas("backup").code == 0
    assert heard.lines == ["GET /uuid HTTP/1.1"]


def test_the_address_hears_that_a_backup_failed_or_saved_a_disaster(cas: Cas, heard: Heard) -> None:
    assert cas("backup").code == 0
    cas.write("data/users.json", "")
    assert cas("backup").code == 4
    (cas.folder / "backups/cas/header").unlink()
    assert cas("backup").code == 10
    assert heard.lines[1:] == ["GET /uuid/fail HTTP/1.1"] * 2


def test_the_address_may_hold_a_secret_of_the_env_file(cas: Cas, heard: Heard) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text().replace("/uuid", "/${PING}") + '[app]\nenv-file = ".env"\n')
    cas.write(".env", "PING=s3cret\n")
    assert cas("backup").code == 0
    (cas.folder / ".env").write_text("")
    ran = cas("backup")
    assert (ran.code, heard.lines) == (0, ["GET /s3cret HTTP/1.1"])
    assert "`${PING}` has no value" in ran.err


def test_a_dry_run_tells_nobody(cas: Cas, heard: Heard) -> None:
    assert cas("backup", "--dry-run").code == 0
    assert heard.lines == []


def test_an_address_that_does_not_answer_costs_one_line_and_no_backup(cas: Cas) -> None:
    names(cas, f"http://127.0.0.1:{free_port()}")
    ran = cas("backup", "--quiet")
    assert ran.code == 0
    assert [line for line in ran.err.splitlines() if "notify" in line] == [
        line for line in ran.err.splitlines() if line.startswith("warning: `ping` of [notify] was not told")
    ]
    assert "was not told" in ran.err
    assert "uuid" not in ran.err
    assert len(cas.snapshots()) == 1


def test_a_watch_tells_of_each_snapshot_it_takes(cas: Cas, heard: Heard, tmp_path: Path) -> None:
    process = cas.process("watch", "--json", "--quiet-for", "10ms", "--at-most-every", "10ms")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b'"summary"' in line:
                break
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert heard.lines[:1] == ["GET /uuid HTTP/1.1"]
