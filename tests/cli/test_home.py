"""The files that cas keeps in a home: spoilt, or in a home that cannot be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli.conftest import Cas

from casstore import private
from casstore.cache import Cache
from casstore.database import CacheFails


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


# ── a home that cannot be written ──

READS = [
    ("snapshots",), ("ls",), ("dump", "latest", "data/users.json"), ("find", "users.json"), ("verify",), ("stats",),
    ("key", "list"), ("anchor", "check"), ("restore", "latest", "--target", "out"), ("diff", "latest", "latest"),
]  # fmt: skip
WRITES = [("backup",), ("key", "add"), ("restore", "latest", "--yes"), ("anchor", "accept", "--yes")]


def spoil_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there cannot be replaced; as root, rights alone would not show it."""

    def refused(path: Path, *_rest: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(private, "replace", refused)
    monkeypatch.setattr(private, "try_to_replace", refused)


def spoil_cache(cas: Cas) -> None:
    shutil.rmtree(cas.home / ".cache")
    (cas.home / ".cache").write_text("no folder")


def go_on(cas: Cas) -> None:
    """Let the ledger have a commit that the anchor does not know of yet."""
    anchor = next(cas.home.rglob("anchor"))
    before = anchor.read_bytes()
    assert cas("backup").code == 0
    assert anchor.read_bytes() != before
    anchor.write_bytes(before)


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
@pytest.mark.parametrize("harm", ["state", "cache", "both"])
def test_what_reads_goes_on_with_one_notice(
    saved: Cas, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], harm: str
) -> None:
    go_on(saved)
    expected = saved("ls").out
    go_on(saved)
    if harm != "cache":
        spoil_state(monkeypatch)
    if harm != "state":
        spoil_cache(saved)
    ran = saved(*arguments)
    assert ran.code == 0, ran.err
    assert ran.err.count("warning: ") == 1, ran.err
    assert ("/anchor " in ran.err, "/cache.sqlite " in ran.err) == (harm != "cache", harm != "state")
    if arguments[0] == "ls":
        assert ran.out == expected


@pytest.mark.parametrize("arguments", WRITES, ids=" ".join)
def test_what_writes_is_refused_where_it_could_not_be_noted_and_nothing_is_written(
    saved: Cas, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def stored() -> list[Path]:
        return sorted(path for path in (saved.folder / "backups" / "cas").rglob("*") if path.is_file())

    before = stored()
    saved.write("data/users.json", "[3]")
    spoil_state(monkeypatch)
    ran = saved(*arguments, CAS_NEW_PASSWORD="y")
    assert ran.code == 1, ran.err
    assert "/anchor cannot be written: Read-only file system" in ran.err
    assert stored() == before


def test_a_backup_goes_on_without_a_cache_and_says_so(saved: Cas) -> None:
    spoil_cache(saved)
    saved.write("data/users.json", '[{"id": 1}, {"id": 3}]')
    ran = saved("backup")
    assert (ran.code, ran.err.count("warning: ")) == (0, 1), ran.err
    assert saved("dump", "latest", "data/users.json").out == '[{"id": 1}, {"id": 3}]'


@pytest.mark.parametrize("when", ["at the first row", "at the end"])
def test_a_cache_on_a_full_disk_stops_no_reading(saved: Cas, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    expected = saved("ls").out
    next(saved.home.rglob("cache.sqlite")).unlink()
    method = {"at the first row": "remember_commit", "at the end": "commit"}[when]
    real = getattr(Cache, method)

    def on_a_full_disk(self: Cache, *arguments: object) -> None:
        if not self.trouble:
            self.rollback()  # as sqlite does
            raise CacheFails("database or disk is full")
        real(self, *arguments)

    monkeypatch.setattr(Cache, method, on_a_full_disk)
    ran = saved("ls")
    assert (ran.code, ran.out, ran.err.count("warning: ")) == (0, expected, 1), ran.err
    assert "full" in ran.err


def test_reading_syncs_nothing_if_nothing_moved(saved: Cas, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_handle: int) -> None:
        raise AssertionError("a sync")

    monkeypatch.setattr("os.fsync", refused)
    assert saved("ls").code == 0


def test_a_cache_that_cannot_even_be_looked_for_stops_no_backup(known: Cas, tmp_path: Path) -> None:
    ran = known("backup", CAS_CACHE_DIR=str(tmp_path / ("x" * 300)))
    assert (ran.code, "cannot be used: File name too long" in ran.err) == (0, True), ran.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_in_the_home_of_somebody_else_leaves_nothing_there(
    known: Cas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "root"
    own.mkdir()
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: SimpleNamespace(pw_dir=str(own)))
    before = sorted(known.home.rglob("*"))
    for path in (known.home, *before):
        os.chown(path, 1, 1)
    assert known("snapshots", CAS_PASSWORD="x").code == 0
    assert sorted(known.home.rglob("*")) == before
    assert (own / ".cache/casstore").is_dir()
