"""`cas drill`: real processes in a scratch folder, beside an application that is not touched."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cas, Ran
from recovery.servers import free_port
from recovery.shops import wait_for

from casstore.processes import carrying

SECRET = "sk_live_of_the_shop"
SERVER = Path(__file__).parents[1] / "recovery/shop.py"


class Shop:
    """The folder of `cas` with an application, that can be up beside a drill."""

    def __init__(self, cas: Cas) -> None:
        self.cas, self.folder = cas, cas.folder
        self.port, self.drill_port = free_port(), free_port()
        self.live: subprocess.Popen[bytes] | None = None
        cas.write("server.py", SERVER.read_bytes())
        cas.write(".env", f"PORT={self.port}\nSECRET={SECRET}\n")
        cas.write("data/users.json", '["ann", "bea"]')
        self.base = (cas.folder / "cas.toml").read_text()
        self.plan()

    def plan(self, *, app: str = "", within: str = "5s", rest: str = "", run: str = "", **env: str) -> None:
        values = {"PORT": str(self.drill_port), "SECRET": "sk_test"} | env
        told = ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
        words = run or json.dumps([sys.executable, "server.py"])
        health = f'{{ http = "http://127.0.0.1:${{PORT}}/", expect-json = {{ status = "OK" }}, within = "{within}" }}'
        self.cas.write(
            "cas.toml",
            f'{self.base}\n[app]\nenv-file = ".env"\nrun = {words}\nhealth = {health}\n{app}\n'
            f"[drill]\nenv = {{ {told} }}\n{rest}",
        )

    def drill(self, *arguments: str, **environment: str) -> Ran:
        return self.cas("drill", *arguments, **environment)

    def start(self, port: int) -> None:
        self.live = subprocess.Popen(
            [sys.executable, "server.py"], cwd=self.folder, stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PORT": str(port)},
        )  # fmt: skip

    @property
    def report(self) -> Any:
        return json.loads(
            max((self.folder / "drills").glob("*.json"), key=lambda path: path.stat().st_mtime_ns).read_text()
        )

    def failed(self) -> dict[str, str]:
        return {step["name"]: step["words"] for step in self.report["steps"] if not step["ok"]}

    @property
    def scratches(self) -> list[Path]:
        return list(self.cas.home.glob(".cache/casstore/*/drill/*/scratch"))

    def processes(self) -> list[int]:
        """Give what carries a folder below this test's home."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if f"CAS_APPLICATION={self.cas.home}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(int(pid))
        return found

    def close(self) -> None:
        if self.live is not None:
            self.live.kill()
            self.live.communicate()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def shop(cas: Cas) -> Iterator[Shop]:
    made = Shop(cas)
    yield made
    made.close()


def listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Give all files with times and bytes, but for what a drill adds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        if path.is_file() and not relative.startswith(("drills/", "backups/")):
            status = path.stat()
            found[relative] = (status.st_mtime_ns, status.st_ino, path.read_bytes())
    return found


# ── it holds ──


def test_a_drill_takes_restores_compares_loses_and_starts_and_leaves_nothing_but_its_report(shop: Shop) -> None:
    shop.plan(app='checks = [ { name = "users", command = ["grep", "ann", "data/users.json"] } ]')
    before = listing(shop.folder)
    began = time.monotonic()
    ran = shop.drill()
    assert ran.code == 0, ran.err
    assert time.monotonic() - began < 10
    assert [step["name"] for step in shop.report["steps"]] == [
        "snapshot", "cost", "restore", "compare", "records", "loss", "code", "start", "health", "listener",
        "check users", "listener", "end", "promises",
    ]  # fmt: skip
    assert listing(shop.folder) == before
    assert shop.scratches == []
    assert shop.processes() == []
    assert len(shop.cas.snapshots()) == 1  # the restores of a drill are none of the application's
    assert ran.out.startswith("all held; the application was away 0.")
    (page,) = (shop.folder / "drills").glob("*.md")
    assert "**All held.**" in page.read_text()
    assert SECRET not in page.read_text() + json.dumps(shop.report) + ran.err
    assert shop.report["facts"]["rto_seconds"] > 0


def test_the_cost_of_a_loss_is_what_came_since_the_snapshot_before(shop: Shop) -> None:
    assert shop.cas("backup", "--time", "1970-01-01 00:00:10").code == 0
    shop.cas.write("data/users.json", '["ann", "bea", "cid"]')
    shop.cas.write("events.log", "started\none\ntwo\n")
    assert shop.drill().code == 0
    facts = shop.report["facts"]
    assert facts["rpo_records"] == 3  # one user, two lines
    assert facts["rpo_minutes"] > 1_000_000
    assert facts["newest_event_minutes"] < 1
    assert shop.drill().code == 0
    assert (shop.report["facts"]["rpo_records"], shop.report["facts"]["rpo_minutes"]) == (0, 0)


def test_a_broken_promise_is_what_did_not_hold(shop: Shop) -> None:
    assert shop.cas("backup", "--time", "1970-01-01 00:00:10").code == 0
    shop.cas.write("data/users.json", '["ann", "bea", "cid"]')
    shop.plan(rest='[promises]\nrpo = "1h"\nrto = "1ms"\n')
    assert shop.drill().code == 8
    assert list(shop.failed()) == ["promises"]
    assert "the application was away" in shop.failed()["promises"]
    assert "a loss would have cost" in shop.failed()["promises"]


def test_the_live_application_is_asked_to_flush_and_stays_up(shop: Shop) -> None:
    shop.start(shop.port)
    flush = '"POST http://127.0.0.1:${PORT}/flush"'
    shop.plan(app=f"flush = {{ http = {flush}, required = true }}")
    wait_for(lambda: listens(shop.port))
    assert shop.drill().code == 8  # this one knows no flush, and answers 501
    assert list(shop.failed()) == ["snapshot"]
    assert "unflushed" in shop.failed()["snapshot"]
    assert shop.live is not None
    assert shop.live.poll() is None


def test_the_ledger_notes_the_digest_and_status_says_when_report_or_plan_are_others_by_now(shop: Shop) -> None:
    assert shop.drill().code == 0
    summary = shop.drill("--json").json
    assert summary["held"] is True
    assert shop.report["changes"] == []
    found = {(one["topic"], one["level"]) for one in status(shop)}
    assert ("drill", "ok") in found
    assert ("drill", "warning") not in found
    Path(summary["report"]).write_text("all was well\n")
    assert "the report of the last drill was changed" in drill_warning(shop)
    shop.cas.write("package-lock.json", "{}")
    assert "package-lock.json came" in drill_warning(shop)
    assert shop.drill().code == 0
    assert shop.report["changes"] == ["package-lock.json came"]


def test_a_report_that_was_changed_or_that_no_drill_made_is_named_and_proves_nothing(shop: Shop) -> None:
    shop.plan(DIE="1")
    assert shop.drill().code == 8
    shop.plan()
    assert shop.drill().code == 0
    assert not [one for one in status(shop) if one["topic"] == "reports"]
    first, last = sorted((shop.folder / "drills").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    first.write_text(first.read_text().replace("false", "true"))
    for path in (last, last.with_suffix(".md")):
        forged = path.read_text().replace(shop.report["time"], "2096-11-28T23:59:59+00:00")
        path.with_name(f"20961128-235959Z-drill{path.suffix}").write_text(forged)
    names = f"drills/{first.name}, drills/20961128-235959Z-drill.json"
    (finding,) = (one for one in status(shop) if one["topic"] == "reports")
    assert finding["level"] == "warning"
    assert finding["text"].endswith(f": {names}")
    assert names in shop.cas("doctor").out
    page = shop.cas("runbook", "--output", "-").out
    assert f"not known to it: {names}" in page
    assert "2096-11" not in page.replace(names, "")
    assert page.count("| `drill` | yes |") == 1
    assert page.count("| `drill` |") == 1


def status(shop: Shop) -> list[Any]:
    found: list[Any] = shop.cas("status", "--json").json["applications"][0]["findings"]
    return found


def drill_warning(shop: Shop) -> str:
    return next(one["text"] for one in status(shop) if (one["topic"], one["level"]) == ("drill", "warning"))


def test_what_has_no_health_page_holds_and_that_nothing_proved_it_serves_anybody_is_worth_a_look(shop: Shop) -> None:
    shop.cas.write("cas.toml", f'{shop.base}\n[app]\nrun = ["sleep", "60"]\n')
    ran = shop.drill()
    assert ran.code == 0, ran.err
    assert "listener" not in [step["name"] for step in shop.report["steps"]]
    note = shop.report["notes"][-1]
    assert note.startswith("nothing proved that the application serves anybody")
    (page,) = (shop.folder / "drills").glob("*.md")
    assert "- nothing proved" in page.read_text().partition("## Worth a look")[2]


# ── nothing real acts ──


def test_a_real_value_that_is_neither_overridden_nor_kept_refuses_the_drill_before_anything_is_done(shop: Shop) -> None:
    shop.cas.write(".env", f"PORT=1\nSECRET=x\nSTRIPE_KEY={SECRET}\n")
    ran = shop.drill()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("cas: a drill would act with the real STRIPE_KEY\n")
    assert SECRET not in ran.err
    assert shop.cas.snapshots() == []
    assert not (shop.folder / "drills").exists()
    shop.plan(rest='keep-env = ["STRIPE_*"]\n')
    assert shop.drill().code == 0


def test_a_drill_without_run_is_refused(shop: Shop) -> None:
    shop.cas.write("cas.toml", f'{shop.base}\n[app]\nenv-file = ".env"\n')
    ran = shop.drill()
    assert ran.code == 2
    assert "nothing says how the application is run in a drill" in ran.err


def test_the_environment_of_the_drill_holds_no_real_value_and_no_way_back_to_the_live_folder(shop: Shop) -> None:
    out = shop.cas.home / "seen"
    check = ["sh", "-c", f"env > {out}; cat .env >> {out}; pwd >> {out}; ls -A >> {out}"]
    shop.cas.write(".env", f"PORT=1\nSECRET={SECRET}\nDATA={shop.folder}/data\n")
    shop.cas.write(".env.production", f"SECRET={SECRET}\n")
    shop.plan(
        app=f'checks = [ {{ name = "look", command = {json.dumps(check)} }} ]',
        rest='keep-env = ["DATA"]\n',
        MORE="it's",
    )
    ran = shop.drill(AWS_SECRET="of the shell")
    assert ran.code == 0, ran.err
    seen = out.read_text()
    assert SECRET not in seen
    assert "AWS_SECRET" not in seen
    assert str(shop.folder) not in seen
    assert "SECRET='sk_test'" in seen
    assert "\nDATA='" in seen
    assert ".env.production" not in seen
    assert "left out of the scratch folder: .env.production: an env file" in shop.report["notes"]


def test_links_to_live_data_lead_nowhere_in_a_drill(shop: Shop) -> None:
    uploads = shop.folder.parent / "uploads"
    uploads.mkdir()
    (uploads / "one").write_text("kept")
    (shop.folder / "uploads").symlink_to(uploads)
    (shop.folder / "current").symlink_to(shop.folder / "data")
    check = ["sh", "-c", "rm -f uploads/one current/users.json; test ! -e data/users.json"]
    shop.plan(app=f'checks = [ {{ name = "rm", command = {json.dumps(check)} }} ]')
    before = listing(shop.folder)
    assert shop.drill().code == 0, shop.failed()
    assert listing(shop.folder) == before
    assert (uploads / "one").read_text() == "kept"
    assert any("uploads: leads to" in line for line in shop.report["notes"])


# ── it does not hold ──


def test_a_drill_of_nothing_does_not_hold(shop: Shop) -> None:
    shop.base = shop.base.replace("data/*.json", "dta").replace("events.log", "evnts.log")
    shop.plan()
    ran = shop.drill()
    assert ran.code == 8
    assert "it holds no file, so nothing is saved; see that `paths` in cas.toml" in shop.failed()["snapshot"]


def test_control_the_live_application_on_that_port_is_no_proof(shop: Shop) -> None:
    shop.start(shop.drill_port)
    wait_for(lambda: listens(shop.drill_port))
    ran = shop.drill()
    assert ran.code == 8
    assert "something is at the address of the application's health already" in shop.failed()["start"]
    assert "the drill did not hold: start" in ran.err
    assert shop.live is not None
    assert shop.live.poll() is None
    assert shop.report["facts"]["rto_seconds"] is None


def test_control_who_answers_is_live_and_the_scratch_never_listens(shop: Shop) -> None:
    shop.plan(QUIET="1")

    def come_up() -> None:
        wait_for(shop.processes)
        shop.start(shop.drill_port)

    thread = threading.Thread(target=come_up)
    thread.start()
    ran = shop.drill()
    thread.join()
    assert ran.code == 8
    assert list(shop.failed()) == ["listener"]
    assert "which the drill did not start" in shop.failed()["listener"]
    assert shop.live is not None
    assert shop.live.poll() is None
    assert shop.processes() == []


def test_a_start_command_that_dies_at_once_is_told_with_what_it_said(shop: Shop) -> None:
    shop.plan(DIE="1")
    assert shop.drill().code == 8
    assert "ended, with code 7" in shop.failed()["health"]
    assert "EADDRINUSE" in shop.failed()["health"]


def test_a_start_command_that_is_none_is_told(shop: Shop) -> None:
    shop.plan(run='["no-such-program"]')
    assert shop.drill().code == 8
    assert shop.failed()["start"] == "there is no program no-such-program"


@pytest.mark.parametrize("how", ["DRIP", "HANG", "SICK"])
def test_a_health_page_that_never_ends_or_is_not_well_ends_in_time(shop: Shop, how: str) -> None:
    shop.plan(within="1s", **{how: "1"})
    began = time.monotonic()
    assert shop.drill().code == 8
    assert time.monotonic() - began < 10
    assert list(shop.failed()) == ["health"]
    assert "is not healthy after" in shop.failed()["health"]
    assert shop.processes() == []


def test_json_that_does_not_parse_is_found(shop: Shop) -> None:
    shop.cas.write("data/orders.json", '[{"id": 1}, {"id"')
    assert shop.drill().code == 8
    assert "data/orders.json is not whole, as JSON" in shop.failed()["records"]


def test_a_damaged_repository_is_found(shop: Shop) -> None:
    assert shop.cas("backup").code == 0
    for pack in (shop.folder / "backups/cas/packs").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            data = bytearray(pack.read_bytes())
            data[len(data) // 2] ^= 0xFF
            pack.write_bytes(data)
    shutil.rmtree(shop.cas.home / ".cache")
    assert shop.drill().code in (8, 20)
    assert shop.scratches == []


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True).returncode:
        pytest.skip("this account may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_in_the_scratch_folder_is_told_and_cleaned_up(shop: Shop) -> None:
    assert shop.drill().code == 0
    (cache,) = shop.cas.home.glob(".cache/casstore/*")
    shop.cas.write("data/large.json", json.dumps(["x" * 1000] * 3000))
    with small_disk(cache / "drill", "1m"):
        ran = shop.drill()
        assert ran.code == 8, ran.err
        assert "no space left on device" in shop.failed()["restore"].lower()
        assert shop.scratches == []
    assert shop.drill().code == 0


def test_a_file_that_the_scratch_folder_cannot_take_is_told(shop: Shop) -> None:
    shop.cas.write("data/large.json", json.dumps(["x" * 1000] * 6000))
    limit = (4 << 20, 4 << 20)
    with shop.cas.process("drill", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)) as process:
        _, err = process.communicate()
    assert process.returncode == 8, err
    assert list(shop.failed()) == ["restore"]
    assert shop.scratches == []


# ── killed ──


@pytest.mark.parametrize("step", ["snapshot", "restore", "compare", "loss", "code", "start"])
def test_killed_at_any_step_the_next_drill_removes_what_is_left(shop: Shop, step: str) -> None:
    shop.plan(LATE="1")
    before = listing(shop.folder)
    with shop.cas.process("drill") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.split()[1:2] == [step.encode()]:
                break
        process.kill()
    assert len(shop.scratches) == 1
    assert bool(shop.processes()) == (step == "start")
    shop.plan()
    ran = shop.drill()
    assert ran.code == 0, ran.err
    assert "an earlier drill did not come to its end: removed its folder" in shop.report["notes"][0]
    assert shop.scratches == []
    assert shop.processes() == []
    assert {name for name, file in listing(shop.folder).items() if before[name] != file} <= {"cas.toml"}


def test_interrupted_it_cleans_up_at_once(shop: Shop) -> None:
    shop.plan(LATE="30", within="60s")
    with shop.cas.process("drill") as process:
        wait_for(shop.processes)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert shop.scratches == []
    assert shop.processes() == []


def test_a_second_drill_at_the_same_time_is_refused(shop: Shop) -> None:
    shop.plan(LATE="30", within="60s")
    with shop.cas.process("drill") as process:
        wait_for(shop.processes)
        ran = shop.drill()
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert ran.code == 1
    assert ran.err.startswith("cas: another drill of this application is running\n")


# ── another copy, [recover] ──


def test_a_copy_is_rehearsed_from_without_being_written_to(shop: Shop) -> None:
    assert shop.cas("backup").code == 0
    copy = shop.folder.parent / "copy"
    shutil.copytree(shop.folder / "backups/cas", copy)
    assert shop.cas("backup").code == 0  # the copy is behind by now, which is no rollback
    shop.cas.write("data/users.json", '["ann", "bea", "cid"]')
    before = sorted(copy.rglob("*"))
    ran = shop.drill("--from", str(copy))
    assert ran.code == 0, ran.err
    assert sorted(copy.rglob("*")) == before
    assert shop.report["facts"]["repository"] == str(copy)
    assert shop.report["facts"]["rpo_records"] == 1
    assert len(shop.cas.snapshots()) == 2
    assert shop.cas("status", "--json").json["applications"][0]["drilled"] is not None


@pytest.mark.parametrize("restores", ["data", "secret"])  # the drill has a step that is called so too
def test_recover_is_rehearsed_with_one_secret_and_an_empty_home(shop: Shop, restores: str) -> None:
    kept = shop.folder.parent / "kept.key"
    assert shop.cas("key", "add", "--new-key-file", str(kept)).code == 0
    code = shop.folder.parent / "code"
    code.mkdir()
    shutil.copy(SERVER, code / "server.py")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q", code], check=True)
    subprocess.run([*git, "-C", code, "add", "-A"], check=True)
    subprocess.run([*git, "-C", code, "commit", "-qm", "code"], check=True)
    steps = ", ".join((
        f'{{ name = "code", run = ["git", "clone", "-q", "{code}", "{{folder}}"] }}',
        f'{{ name = "{restores}", restore = "latest" }}',
        '{ name = "home", run = ["sh", "-c", "ls -A $HOME | wc -l"] }',
        '{ name = "service", run = ["systemctl", "stop", "shop"] }',
        '{ name = "start" }',
    ))  # fmt: skip
    shop.plan(rest=f'[recover]\nrequire = {{ git = ">=2" }}\nsteps = [ {steps} ]\n')
    ran = shop.drill("--full", "--key-file", str(kept))
    assert ran.code == 0, ran.err
    done = {step["name"]: step["words"] for step in shop.report["steps"]}
    assert done["home"] == "0"
    assert done["service"] == "done by hand"
    assert "3 files" in done["compare"]
    assert "the step service commands this host, and is none for a drill" in shop.report["notes"]
    assert list(done)[-4:] == ["health", "listener", "end", "promises"]
    assert shop.scratches == []
    assert shop.processes() == []


def test_recover_is_not_rehearsed_with_the_key_of_a_host_that_would_be_gone(shop: Shop) -> None:
    ran = shop.drill("--full")
    assert ran.code == 2
    assert "nothing says with which secret a recovery would begin" in ran.err


def listens(port: int) -> bool:
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_what_carries_is_seen_by_this_test(shop: Shop) -> None:
    """The control of `processes`: it must see what it says is gone."""
    with subprocess.Popen(
        ["sleep", "60"], env={"PATH": os.environ["PATH"], "CAS_APPLICATION": f"{shop.cas.home}/x"}
    ) as process:
        wait_for(lambda: shop.processes() == [process.pid])  # a loaded machine may not have come to its exec yet
        assert [one.pid for one in carrying(f"CAS_APPLICATION={shop.cas.home}/x")] == [process.pid]
        process.kill()
