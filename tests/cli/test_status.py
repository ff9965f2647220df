"""`cas status` on real repositories: the exit code, the screen, the figures, and who is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cli.conftest import Cas
from recovery.servers import server
from recovery.test_notify import OK

MEMORY = Path("/dev/shm")
PROMISES = '\n[promises]\nrpo = "1h"\nverify-every = "7d"\n'


def promise(cas: Cas, more: str = PROMISES) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text() + more)


def levels(cas: Cas, *arguments: str) -> dict[str, str]:
    ran = cas("status", "--json", *arguments)
    return {one["topic"]: one["level"] for one in ran.json["applications"][0]["findings"]}


def test_no_snapshot_is_red(cas: Cas) -> None:
    ran = cas("status")
    assert ran.code == 30
    assert re.match(r"shop: red \(1 failure, \d warnings\)\n  FAILURE  snapshot +there is none\n +→ ", ran.out)


def test_kept_promises_are_yellow_while_one_accident_takes_all(cas: Cas) -> None:
    promise(cas)
    assert cas("backup").code == 0
    assert cas("verify").code == 0
    ran = cas("status", "--json")
    assert (ran.code, ran.json["status"]) == (0, "yellow")
    found = levels(cas)
    assert {topic for topic, level in found.items() if level == "warning"} == {"copies", "secret"}
    assert "failure" not in found.values()


def test_a_snapshot_older_than_was_promised_is_red(cas: Cas) -> None:
    promise(cas)
    assert cas("backup", "--time", "2 hours ago").code == 0
    ran = cas("status", "--quiet")
    assert ran.code == 30
    assert "the newest is 2 h old, and at most 1 h was promised" in ran.out
    assert "\n  ok" not in ran.out


def test_what_another_host_saves_under_the_same_name_keeps_no_promise_here(cas: Cas) -> None:
    promise(cas)
    assert cas("backup", "--time", "2 hours ago").code == 0
    assert cas("backup", "--host", "staging").code == 0
    assert "the newest is 2 h old" in cas("status", "--quiet").out


def test_the_backup_of_a_disaster_is_seen(cas: Cas) -> None:
    promise(cas)
    assert cas("backup").code == 0
    cas.write("data/users.json", "")
    assert cas("backup").code == 4
    assert levels(cas)["guard"] == "warning"
    assert cas("status").code == 0  # the one before is young enough
    assert cas("accept").code == 0
    assert levels(cas)["guard"] == "ok"


@pytest.fixture
def memory() -> Iterator[Path]:
    if not MEMORY.is_dir() or os.stat(tempfile.gettempdir()).st_dev == MEMORY.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


def test_green_is_another_disk_and_a_proven_secret_and_kept_promises(bare: Cas, memory: Path) -> None:
    place = str(memory / "cas")
    assert bare("init", "-r", place, CAS_PASSWORD="long enough").code == 0
    bare.write("cas.toml", f'name = "shop"\nrepository = "{place}"\npaths = ["data"]\n' + PROMISES)
    assert bare("backup").code == 0
    assert bare("verify").code == 0
    assert bare("status", "--json").json["status"] == "yellow"
    assert bare("key", "passwd", "--check", stdin="long enough").code == 0
    ran = bare("status", "--json")
    assert (ran.code, ran.json["status"]) == (0, "green"), ran.out
    assert bare("status", "--quiet").out == ""


def test_a_copy_is_judged_by_the_promises_that_its_newest_snapshot_carries(cas: Cas, tmp_path: Path) -> None:
    promise(cas)
    assert cas("backup", "--time", "2 hours ago").code == 0
    shutil.copytree(cas.folder / "backups/cas", tmp_path / "copy")
    ran = cas("-r", str(tmp_path / "copy"), "status", cwd=tmp_path)
    assert ran.code == 30
    assert "at most 1 h was promised" in ran.out


def test_only_a_verification_of_everything_keeps_that_promise(saved: Cas) -> None:
    for arguments in (["--quick"], ["--read-data-subset", "50%"], ["latest"]):
        assert saved("verify", *arguments).code == 0
        assert levels(saved)["verify"] == "warning"
    for part in ("1/2", "2/2"):
        assert saved("verify", "--read-data-subset", part).code == 0
    assert levels(saved)["verify"] == "ok"


def test_found_damage_is_remembered(saved: Cas) -> None:
    pack = next((saved.folder / "backups/cas/packs").glob("*/*"))
    whole = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert saved("verify").code == 20
    assert levels(saved)["damage"] == "failure"
    assert saved("status").code == 30
    pack.write_bytes(whole)
    assert saved("verify").code == 0
    assert "damage" not in levels(saved)


def test_verify_on_a_host_without_a_key_of_its_own_leaves_nothing_there(saved: Cas, tmp_path: Path) -> None:
    key = next((saved.home / ".config/casstore").glob("*/host.key"))
    assert saved("key", "add", "--new-key-file", str(tmp_path / "slot.key")).code == 0
    shutil.move(key, tmp_path / "away")
    ran = saved("--key-file", str(tmp_path / "slot.key"), "verify")
    assert ran.code == 0
    assert "not recorded" in ran.err
    assert not key.exists()


def test_the_figures_are_for_all_to_read_and_replaced_whole(saved: Cas, tmp_path: Path) -> None:
    promise(saved)
    file = tmp_path / "cas.prom"
    file.write_text("stale\n")
    before = os.umask(0o077)
    try:
        assert saved("status", "--prometheus", str(file)).code == 0
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir() if "prom" in path.name] == ["cas.prom"]
    for line in file.read_text().splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) cas_\w+ .+|cas_\w+(\{(\w+="[^"\\\n]*",?)+\})? [-+.e\d]+', line), line
    figures = dict(line.rsplit(" ", 1) for line in file.read_text().splitlines() if line[0] != "#")
    assert figures['cas_rpo_seconds{application="shop"}'] == "3600"
    assert figures['cas_status{application="shop"}'] == "1"
    assert figures['cas_snapshots{application="shop"}'] == "2"


def test_what_a_killed_run_of_the_same_number_left_stops_no_figures(saved: Cas, tmp_path: Path) -> None:
    (tmp_path / f".cas.prom.{os.getpid()}.tmp").write_text("half")
    assert saved("status", "--prometheus", str(tmp_path / "cas.prom")).code == 0
    assert "cas_status" in (tmp_path / "cas.prom").read_text()


def test_a_hostile_name_of_an_application_commands_neither_terminal_nor_collector(cas: Cas, tmp_path: Path) -> None:
    config = cas.folder / "cas.toml"
    config.write_text(config.read_text().replace('name = "shop"', 'name = "a\\"} 1 \\\\ \\u202e"'))
    assert cas("backup").code == 0
    ran = cas("status", "--prometheus", str(tmp_path / "x.prom"))
    assert "\u202e" not in ran.out
    assert r'cas_status{application="a\"} 1 \\\\ \\u202e"} 1' in (tmp_path / "x.prom").read_text()


def test_figures_that_cannot_be_written_have_a_sentence(saved: Cas, tmp_path: Path) -> None:
    ran = saved("status", "--prometheus", str(tmp_path / "no" / "cas.prom"))
    assert ran.code == 1
    assert "cas.prom cannot be written: no such file or directory" in ran.err


def told(cas: Cas, *arguments: str) -> tuple[int, list[bytes], str]:
    """Run in a process of its own, since what apprise imports warns."""
    heads: list[bytes] = []

    def takes(head: bytes) -> Iterable[bytes]:
        heads.append(head)
        return [OK]

    with server(takes) as address:
        promise(cas, f'\n[notify]\nto = ["{address.replace("http", "json")}"]\n')
        process = cas.process("status", "--quiet", *arguments)
        _, err = process.communicate(timeout=60)
    return process.returncode, heads, err.decode()


def test_people_are_told_when_a_promise_is_broken(cas: Cas) -> None:
    code, heads, err = told(cas, "--notify")
    assert (code, len(heads), err) == (30, 1, "")


def test_people_are_told_when_the_repository_is_gone(cas: Cas) -> None:
    shutil.rmtree(cas.folder / "backups")
    code, heads, _ = told(cas, "--notify")
    assert (code, len(heads)) == (10, 1)


def test_nobody_is_told_while_all_promises_are_kept_or_where_nobody_asked_for_it(saved: Cas) -> None:
    assert told(saved, "--notify")[:2] == (0, [])


def test_nobody_is_told_where_nobody_asked_for_it(cas: Cas) -> None:
    assert told(cas)[:2] == (30, [])


def test_what_was_promised_cannot_be_judged_while_cas_toml_is_wrong(saved: Cas) -> None:
    promise(saved, '\n[promises]\nrpo = "soon"\n')
    ran = saved("status", "--json")
    assert (ran.code, ran.json["status"]) == (30, "red")
    found = ran.json["applications"][0]["findings"]
    text = next(one["text"] for one in found if one["topic"] == "promises")
    assert re.search(r"cas\.toml line \d+: `rpo` must be a duration", text), json.dumps(found)
