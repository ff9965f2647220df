"""`cas restore` as a user meets it; what it does to files is tried in tests/restore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cli.conftest import Cas
from cli.test_errors import assert_told
from cli.test_terminal import Terminal

from casstore.ids import from_letters

OLD, NEW = '[{"id": 1}]', '[{"id": 1}, {"id": 2}]'


def users(cas: Cas) -> str:
    return (cas.folder / "data/users.json").read_text()


def test_in_place_takes_a_pre_restore_snapshot_and_can_be_undone(saved: Cas) -> None:
    saved.write("data/users.json", "broken")
    saved.write("data/mine.json", "unsaved")
    ran = saved("restore", "latest~1", "--yes")
    assert ran.code == 0, ran.err
    assert users(saved) == OLD
    before = saved.snapshots()[-1]
    assert before["pre_restore"]
    assert before["short_id"] in ran.out
    assert "+00:00" in ran.err
    undone = saved("restore", "--undo", "--yes")
    assert undone.code == 0, undone.err
    assert users(saved) == "broken"
    assert (saved.folder / "data/mine.json").read_text() == "unsaved"
    assert saved("ls", "latest").err.startswith(f"snapshot {saved.snapshots()[1]['short_id']}")


def test_without_a_yes_nobody_to_ask_nothing_is_touched(saved: Cas) -> None:
    ran = saved("restore", "latest~1")
    assert_told(ran, 2, "no terminal to ask on", "--yes")
    assert "M  data/users.json" in ran.err
    assert users(saved) == NEW
    assert len(saved.snapshots()) == 2


def test_on_a_terminal_the_plan_is_shown_and_asked_about(saved: Cas) -> None:
    for answer, code, text in (("n", 1, NEW), ("y", 0, OLD)):
        terminal = Terminal(saved, "restore", "latest~1")
        assert "M  data/users.json" in terminal.expect(r"restoring .* ago\).*Replace these in .*\[y/N\]: ")[0]
        terminal.type(answer)
        assert terminal.end() == code
        assert ("Nothing was touched." in terminal.seen) == (code == 1)
        assert users(saved) == text


def test_a_dry_run_shows_the_plan_and_touches_nothing(saved: Cas) -> None:
    (saved.folder / "data/orders.json").unlink()
    saved.write("data/more.json", "{}")
    ran = saved("restore", "latest~1", "--dry-run", "--delete")
    assert ran.code == 0
    *changes, counts = ran.out.splitlines()
    assert sorted(line.split()[:2] for line in changes if not line.startswith("U")) == [
        ["+", "data/orders.json"],
        ["-", "data/more.json"],
        ["M", "data/users.json"],
    ]
    assert counts.startswith("1 new, 1 replaced, ")
    assert users(saved) == NEW
    plan = saved("restore", "latest~1", "-n", "--json").lines
    assert (plan[-1]["message_type"], plan[-1]["new"], plan[-1]["replaced"]) == ("plan", 1, 1)


def test_delete_removes_what_the_snapshot_does_not_have_and_undo_brings_it_back(saved: Cas) -> None:
    saved.write("data/more.json", "{}")
    assert saved("restore", "latest", "--yes", "--delete").code == 0
    assert not (saved.folder / "data/more.json").exists()
    assert saved("restore", "--undo", "-y").code == 0
    assert (saved.folder / "data/more.json").read_text() == "{}"


def test_a_target_gets_a_copy_and_nothing_live_is_touched(saved: Cas) -> None:
    ran = saved("restore", "latest~1", "--target", "copy", "--read-back", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["files_restored"] == 3
    assert (saved.folder / "copy/data/users.json").read_text() == OLD
    assert users(saved) == NEW
    assert len(saved.snapshots()) == 2


def test_single_paths_can_be_restored(saved: Cas) -> None:
    (saved.folder / "data/orders.json").unlink()
    assert saved("restore", "latest~1", "data/orders.json", "-y").code == 0
    assert (saved.folder / "data/orders.json").exists()
    assert users(saved) == NEW
    assert_told(saved("restore", "latest", "data/none.json", "-y"), 1, "not in this snapshot: data/none.json")


def test_what_is_equal_already_is_left_alone(saved: Cas) -> None:
    ran = saved("restore", "latest", "--yes")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("nothing to do")
    assert len(saved.snapshots()) == 2


def test_another_host_or_folder_needs_here(saved: Cas) -> None:
    moved = saved.folder.parent / "moved"
    saved.folder.rename(moved)
    elsewhere = Cas(moved, saved.home)
    (moved / "data/users.json").write_text("x")
    assert_told(elsewhere("restore", "latest", "--yes"), 2, "the snapshot is of the folder", "--here")
    assert elsewhere("restore", "latest", "--yes", "--here").code == 0
    assert users(elsewhere) == NEW
    elsewhere("backup", "--host", "another")
    (moved / "data/users.json").write_text("x")
    assert_told(elsewhere("restore", "latest", "--yes"), 2, "the snapshot is of host another", "--here")


def test_source_is_another_word_for_the_repository(saved: Cas) -> None:
    ran = saved("restore", "latest", "--source", "backups/cas", "--target", "copy", cwd=saved.folder)
    assert ran.code == 0, ran.err
    assert_told(saved("restore", "latest", "--source", "data", "--target", "copy"), 10, "the folder holds orders.json")


def test_a_running_application_is_named_and_left_alone(saved: Cas) -> None:
    saved.write("data/users.json", "in use")
    program = "import sys; file = open('data/users.json', 'a'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=saved.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as application:
        assert application.stdout is not None
        application.stdout.readline()
        refused = saved("restore", "latest", "--yes")
        forced = saved("restore", "latest", "--yes", "--force")
        application.communicate(b"")
    assert_told(refused, 5, f"process {application.pid} ", "--force")
    assert forced.code == 0, forced.err


def test_words_that_do_not_go_together_are_refused(saved: Cas) -> None:
    for arguments, message in (
        ([], "say which snapshot"),
        (["latest", "--undo"], "stand alone"),
        (["--undo", "--resume"], "stand alone"),
        (["latest", "--delete", "--target", "x"], "works in place only"),
        (["latest", "--target", "events.log"], "events.log is not a folder"),
    ):
        assert_told(saved("restore", *arguments), 2, message)
    assert_told(saved("restore", "--resume"), 1, "no restore lies unfinished")
    assert_told(saved("restore", "--undo"), 1, "no restore into")


def test_an_interrupted_restore_stops_backup_and_restore_until_it_is_resumed_or_undone(saved: Cas) -> None:
    """The journal of a real one, cut short by a process that dies in the middle of the swap."""
    program = (
        "import os\n"
        "from casstore.restore import swap\n"
        "def die(*_): os._exit(9)\n"
        "swap.Swap.forward = die\n"
        "from cascli.main import main\n"
        "main()\n"
    )
    for way, text in (("--undo", NEW), ("--resume", OLD)):
        died = subprocess.run(
            [sys.executable, "-c", program, "restore", "latest~1", "--yes", "--quiet"], cwd=saved.folder,
            env=saved.environment, check=False,
        )  # fmt: skip
        assert died.returncode == 9
        for command in (["backup"], ["restore", "latest", "--yes"]):
            assert_told(saved(*command), 1, "was interrupted while it replaced files", "cas restore --resume")
        for command, code in (("status", 30), ("doctor", 1)):
            ran = saved(command)
            assert (ran.code, "was interrupted while it replaced files" in ran.out) == (code, True)
        assert_told(saved("restore", "--resume", "--dry-run"), 2, "has no --dry-run", "--undo --dry-run")
        ran = saved("restore", "--undo", "--dry-run")
        assert (ran.code, "would be undone" in ran.out) == (0, True), ran.err
        assert_told(saved("backup"), 1, "was interrupted while it replaced files")  # still: nothing was touched
        ran = saved("restore", way)
        assert ran.code == 0, ran.err
        assert users(saved) == text
        assert not [name for name in os.listdir(saved.folder) if name.startswith(".cas-restore")]


def test_damage_is_told_with_20_and_what_is_whole_is_restored(saved: Cas) -> None:
    pack = max((saved.folder / "backups/cas/packs").rglob("?" * 64), key=lambda path: path.stat().st_mtime_ns)
    manifest = saved.snapshots()[-1]["id"]
    assert from_letters(manifest)
    data = bytearray(pack.read_bytes())
    data[120] ^= 1  # in the first blob, that of the file
    pack.chmod(0o600)
    pack.write_bytes(data)
    ran = saved("restore", "latest", "--target", "copy", "--json")
    assert ran.code == 20
    assert [item["path"] for item in json.loads(ran.out)["damaged"]] == ["data/users.json"]
    assert (saved.folder / "copy/data/orders.json").exists()
    saved.write("data/users.json", "broken")
    in_place = saved("restore", "latest", "--yes")
    assert_told(in_place, 20, "nothing was touched")
    assert users(saved) == "broken"


def test_a_snapshot_that_lacks_what_could_not_be_saved_is_restored_with_a_warning(cas: Cas, tmp_path: Path) -> None:
    cas.write("cas.toml", (cas.folder / "cas.toml").read_text() + '[app]\nenv-file = ".env"\nenv-capture = true\n')
    (cas.folder / ".env").mkdir()  # nobody can read that as a file, not even root
    assert cas("backup").code == 3
    for quiet in ((), ("--quiet",)):
        ran = cas("restore", "latest", "--target", str(tmp_path / "elsewhere"), *quiet)
        assert ran.code == 0
        assert "warning: 1 entry could not be saved whole when it was taken" in ran.err
