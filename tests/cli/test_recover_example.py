"""`cas recover` of the example application, by either server: from an empty folder to healthy, record by record."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.lost import GIT, Lost, lost_in
from servers import COMMANDS, EXAMPLE, KINDS, LOG, env_of, seed

from casstore.recovery.plan import parse

CHECKS = {"node": ["node", "check.mjs"], "python": [COMMANDS["python"][0], "check.py"]}
SERVERS = {"node": ["node", "server.mjs"], "python": [COMMANDS["python"][0], "app.py", "serve"]}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture(params=KINDS)
def lost(request: pytest.FixtureRequest, seeded: Path, tmp_path: Path) -> Iterator[Lost]:
    """The example with its data on the old host, its code in the repository that is cloned."""
    kind = str(request.param)
    with lost_in(tmp_path) as made:
        code = shutil.copytree(EXAMPLE, tmp_path / "code", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(made.code)
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
            subprocess.run([*GIT, *arguments], cwd=code, check=True)
        subprocess.run([*GIT, "clone", "-q", "--bare", str(code), str(made.code)], check=True)
        shutil.copytree(seeded, made.old.folder, dirs_exist_ok=True)
        made.env = env_of(seeded) | {"PORT": str(made.port)}
        made.app |= {"env-required": ["STRIPE_*", "MASSAFLOW_VAULT_*"], "run": SERVERS[kind]}
        made.app["health"]["http"] = "http://127.0.0.1:${PORT}/api/health"
        made.app["checks"] = [{"name": "bonds", "command": CHECKS[kind]}]
        made.steps.pop(1)
        made.paths = ["data", LOG]
        yield made


def test_the_code_step_of_the_example_copies_what_its_links_lead_to(tmp_path: Path) -> None:
    step = parse((EXAMPLE / "cas.toml").read_text()).recover.steps[0]
    words = [word.replace("${MASSAFLOW_CODE}", str(EXAMPLE)).replace("{folder}", str(tmp_path)) for word in step.run]
    subprocess.run(words, check=True)
    assert (tmp_path / "cas-flush.mjs").read_bytes() == (EXAMPLE / "cas-flush.mjs").read_bytes()


def test_the_example_comes_back_record_by_record(lost: Lost) -> None:
    lost.save(users=None)
    kept = {
        path.relative_to(lost.old.folder): path.read_bytes()
        for path in (*(lost.old.folder / "data").rglob("*.json"), lost.old.folder / LOG)
    }
    assert len(kept) > 5
    lost.lose()
    begun = time.monotonic()
    ran = lost.recover("--json")
    took = time.monotonic() - begun
    assert ran.code == 0, ran.err
    assert {path: (lost.folder / path).read_bytes() for path in kept} == kept
    with urllib.request.urlopen(f"http://127.0.0.1:{lost.port}/api/orders", timeout=10) as answer:
        assert json.load(answer) == json.loads(kept[Path("data/dynamic/orders.json")])
    own = sum(step["duration"] for step in ran.json["steps"] if step["name"] in ("start", "health", "check bonds"))
    print(f"{took:.2f} s, of which the application's own start and checks {own:.2f} s")
    assert took - own < 5
