"""The env file: read as it stands, never shown, known again by fingerprints."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import Store

from casstore.errors import CasError
from casstore.recovery.environment import (
    MOST_BYTES,
    Compared,
    EnvFileInvalid,
    EnvFileUnreadable,
    Environment,
    NameUnset,
    captured_env,
    compare,
    missing,
    parse_env,
    read_env_file,
)
from casstore.recovery.plan import App, Ask
from casstore.snapshot import Circumstances
from casstore.verify import verify

SECRET = "s3cret-of-the-vault"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "users.json").write_text("[1]")
    return folder


def read(text: str) -> dict[str, str]:
    return parse_env(text.encode(), ".env")


def test_an_env_file_is_read_as_applications_read_it() -> None:
    assert read('# of the shop\n\nPORT=3000\nexport A = "two words" # why\nB=\'$PORT\'\nC=x=y#z\nEMPTY=\n') == {
        "PORT": "3000", "A": "two words", "B": "$PORT", "C": "x=y#z", "EMPTY": "",
    }  # fmt: skip


def test_a_value_of_several_lines_stands_in_quotes() -> None:
    assert read('KEY="-----BEGIN\nabc=\n-----END"\nB=1') == {"KEY": "-----BEGIN\nabc=\n-----END", "B": "1"}


def test_of_a_name_given_twice_the_last_counts_and_windows_lines_are_lines() -> None:
    assert read("\ufeffA=1\r\nA=2\r\n") == {"A": "2"}


def test_nothing_in_a_value_is_expanded() -> None:
    assert read("A=1\nB=${A}") == {"A": "1", "B": "${A}"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"A=1\n{SECRET}\nB=2", 2),
        (f"A=1\n\n# why\n{SECRET}=\n", 4),
        (f'A=1\nB="{SECRET}\n', 2),
        (f"A=1\n1{SECRET}=2", 2),
        (f"A=1\n='{SECRET}'", 2),
        (f"A=1\nB={SECRET}\0", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_named_by_its_number_and_never_shown(text: str, line: int) -> None:
    with pytest.raises(EnvFileInvalid) as caught:
        read(text)
    assert caught.value.line == line
    assert "s3cret" not in str(caught.value) + caught.value.hint


def test_what_is_no_utf8_is_named_by_its_line() -> None:
    with pytest.raises(EnvFileInvalid) as caught:
        parse_env(b"A=1\nB=\xff\n", ".env")
    assert caught.value.line == 2


@given(st.binary(max_size=200))
def test_any_bytes_give_names_and_values_or_the_documented_error(data: bytes) -> None:
    with suppress(EnvFileInvalid):
        assert all(name and "=" not in name for name in parse_env(data, ".env"))


def test_an_env_file_that_is_none_is_refused_and_nothing_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b"A=1\n" * (MOST_BYTES // 4 + 1))
    for name in ("gone", "pipe", "huge", "."):
        with pytest.raises(EnvFileUnreadable) as caught:
            read_env_file(tmp_path / name)
        assert "env-file" in caught.value.hint


def test_the_env_file_counts_before_the_environment(tree: Path) -> None:
    (tree / ".env").write_text("PORT=3000\n")
    found = Environment.of(App(env_file=".env"), tree, {"PORT": "1", "HOME": "/root"})
    assert (found.get("PORT"), found.get("HOME"), found.get("NONE")) == ("3000", "/root", None)
    assert found.expand("http://127.0.0.1:${PORT}/x?${HOME}$PORT") == "http://127.0.0.1:3000/x?/root$PORT"
    assert found.values() == {"PORT": "3000", "HOME": "/root"}


@pytest.mark.parametrize("text", ["${NONE}", "${EMPTY}"])
def test_a_name_without_a_value_is_said(text: str) -> None:
    with pytest.raises(NameUnset):
        Environment({"EMPTY": ""}).expand(text)


def test_what_is_required_and_not_there_is_named_globs_as_they_are_written() -> None:
    assert missing(["A", "B_*", "C_*", "d"], ["A", "C_1", "D"]) == ["B_*", "d"]
    assert Environment({"A": ""}, {"B": "1"}, ("A", "B", "C")).missing() == ["A", "C"]


def test_no_way_of_writing_an_environment_shows_a_value() -> None:
    found = Environment({"KEY": SECRET}, {"TOKEN": SECRET})
    assert SECRET not in f"{found!r}{found}"


def test_secret_are_the_values_of_the_file_and_what_is_required_of_the_rest() -> None:
    found = Environment({"KEY": SECRET, "N": "1"}, {"API_KEY": "key-of-api", "PATH": "/usr/bin"}, ("API_*",))
    assert set(found.secrets()) == {SECRET, "key-of-api"}


def test_a_token_that_is_only_in_the_environment_is_secret_too_and_nothing_else_there(tree: Path) -> None:
    app = App(flush=Ask(http="POST http://x", token_env="FLUSH"), release=Ask(command=("true",)))
    found = Environment.of(app, tree, {"FLUSH": "t0ken-of-flush", "HOME": "/home/ann"})
    assert found.secrets() == ("t0ken-of-flush",)
    assert found.told() == {}  # no snapshot knows it


@pytest.mark.parametrize("value", ["3000", "65535", "true", "False", "production", "localhost", "abc", ""])
def test_what_is_plainly_no_secret_stays_in_messages(value: str) -> None:
    assert Environment({"A": value}).secrets() == ()


@pytest.mark.parametrize("value", ["123456", "s3cr", "productions", "true!", "hunter"])
def test_what_may_be_a_secret_is_one(value: str) -> None:
    assert Environment({"A": value}).secrets() == (value,)


# ── what a snapshot keeps ──


def known(store: Store, environment: Environment, sidecar: bytes | None = None) -> Circumstances:
    with store.open() as repository:
        return Circumstances(None, environment.fingerprints(repository), sidecar)


def test_a_snapshot_knows_its_environment_again_and_holds_no_value(store: Store, tree: Path) -> None:
    before = Environment({"KEY": SECRET, "GONE": "1", "PORT": "3000"})
    snapshot = store.backup(tree, circumstances=known(store, before))
    with store.open() as repository:
        repository.refresh()
        assert compare(repository, snapshot, Environment({"KEY": SECRET + "x", "PORT": "3000"})) == {
            "GONE": Compared.MISSING, "KEY": Compared.DIFFERS, "PORT": Compared.SAME,
        }  # fmt: skip
        assert SECRET.encode() not in b"".join(repository.read(snapshot.manifest))
        assert captured_env(repository, snapshot) is None


def test_a_fingerprint_is_of_name_and_value_and_of_this_repository(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.create()
    found = {known(at, Environment(values)).fingerprints[0][1] for at in (store, other) for values in (
        {"AB": "c"}, {"A": "bc"}, {"A": "b"}, {"B": "b"},
    )}  # fmt: skip
    assert len(found) == 8
    assert {len(one) for one in found} == {16}


@pytest.mark.parametrize("raw", [b"", f"KEY={SECRET}\n".encode(), os.urandom(300_000)])
def test_a_captured_env_file_comes_back_byte_for_byte_and_is_no_file_of_the_tree(
    store: Store, tree: Path, raw: bytes
) -> None:
    snapshot = store.backup(tree, circumstances=Circumstances(sidecar=raw))
    with store.open() as repository:
        repository.refresh()
        assert captured_env(repository, snapshot) == raw
        assert list(verify(repository)) == []
    assert store.contents(snapshot) == {b"users.json": b"[1]"}


def test_what_is_kept_beside_the_tree_costs_nothing_while_it_is_unchanged(store: Store, tree: Path) -> None:
    same = known(store, Environment({"KEY": SECRET}), b"KEY=" + SECRET.encode())
    first = store.backup(tree, circumstances=same)
    again = store.backup(tree, circumstances=same)
    assert (again.stored, again.added, again.manifest) == (0, 0, first.manifest)
    assert store.backup(tree, circumstances=known(store, Environment({"KEY": "new"}))).manifest != first.manifest


def test_a_captured_env_file_that_is_lost_is_damage(store: Store, tree: Path) -> None:
    first = store.backup(tree)
    snapshot = store.backup(tree, circumstances=Circumstances(sidecar=b"KEY=" + SECRET.encode()))
    with store.open() as repository:
        repository.refresh()
        [pack] = [name for name, length in store.backend.list("packs") if length == snapshot.stored]
        store.backend.delete(pack)
    with store.open() as repository:
        repository.refresh()
        assert list(verify(repository))
        with pytest.raises(CasError):
            captured_env(repository, snapshot)
    assert store.contents(first)
