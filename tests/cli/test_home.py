"""The files that cas keeps in a home: spoilt, or in a home that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Cas


@pytest.fixture
def known(bare: Cas) -> Cas:
    """A repository with a passphrase and one snapshot."""
    assert bare("init", "data/*.json", "events.log", CAS_PASSWORD="x").code == 0
    assert bare("backup").code == 0
    return bare


def own_key(cas: Cas) -> Path:
    return next(cas.home.rglob("host.key"))


@pytest.mark.parametrize("harm", ["empty", "open to others"])
def test_the_passphrase_goes_on_beside_a_spoilt_key_file(known: Cas, harm: str) -> None:
    if harm == "empty":
        own_key(known).write_bytes(b"")
    else:
        own_key(known).chmod(0o640)
    ran = known("snapshots")
    assert (ran.code, ran.out) == (12, "")
    assert "host.key" in ran.err
    for command in ("snapshots", "backup"):
        ran = known(command, CAS_PASSWORD="x")
        assert (ran.code, "warning: " in ran.err, "host.key" in ran.err) == (0, True, True), ran.err
    ran = known("backup")
    assert (ran.code, "host.key" in ran.err) == (0, False)


def test_what_was_planted_among_the_slots_is_named_and_can_be_taken_away(known: Cas) -> None:
    known.write("backups/cas/keys/" + "ab" * 8, b"planted")
    ran = known("key", "list", "--json")
    assert (ran.code, len(ran.json), "abababab" in ran.err) == (0, 1, True)
    assert known("verify").code == 20
    (real,) = ran.json
    ran = known("key", "remove", real["id"])
    assert (ran.code, "last slot" in ran.err) == (2, True)
    assert known("key", "remove", "abab").code == 0
    assert known("verify").code == 0
