"""The example application, by its command: the demo and the benchmarks rely on what it writes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

APP = Path(__file__).parent.parent / "examples" / "massaflow" / "app.py"
LOG = "engagement_events.log"


def app(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, APP, "--folder", folder, *arguments], check=True, stdout=subprocess.DEVNULL)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    app(folder, "seed")
    return folder


@pytest.fixture
def shop(seeded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(seeded, tmp_path / "shop")


def test_the_same_seed_and_the_same_work_make_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    app(other, "seed")
    for folder in (shop, other):
        app(folder, "work")
    assert tree(shop) == tree(other)


def test_a_minute_of_work_changes_12_records_and_appends_60_lines(shop: Path) -> None:
    before = tree(shop)
    app(shop, "work", "--records", "12", "--events", "60", "--rotate-vault")
    after = tree(shop)
    changed = 0
    for name in (name for name in before if name.startswith("data/dynamic/")):
        pairs = zip(json.loads(before[name]), json.loads(after[name]), strict=True)
        changed += sum(old != new for old, new in pairs)
    assert 6 <= changed <= 12  # a record may be drawn twice
    assert after[LOG].startswith(before[LOG])
    assert after[LOG][len(before[LOG]) :].count(b"\n") == 60
    vaults = [json.loads(files["data/secureVault.json"])["payload"] for files in (before, after)]
    assert vaults[0][:20] != vaults[1][:20]


def test_the_vault_opens_with_the_key_in_env_local_only(shop: Path) -> None:
    env = dict(line.split("=") for line in (shop / ".env.local").read_text().splitlines())
    sealed = base64.b64decode(json.loads((shop / "data/secureVault.json").read_text())["payload"])
    vector = modes.CBC(bytes.fromhex(env["MASSAFLOW_VAULT_IV"]))
    cipher = Cipher(algorithms.AES256(bytes.fromhex(env["MASSAFLOW_VAULT_KEY"])), vector).decryptor()
    plain = cipher.update(sealed) + cipher.finalize()
    assert b'"partner-000"' in plain
    assert b'"partner-000"' not in sealed


def test_health_without_a_server_is_an_exit_code(shop: Path) -> None:
    command = [sys.executable, APP, "--folder", shop, "health"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (shop / ".env.local").unlink()
    assert subprocess.run(command, capture_output=True).returncode == 1
