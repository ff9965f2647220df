"""The README's library examples run as they stand there, and the public names mean what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import casstore

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def python(source: str, folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_there_are_two_examples_and_they_are_short():
    assert len(EXAMPLES) == 2
    assert all(len(example.splitlines()) <= 20 for example in EXAMPLES)


def test_the_second_example_goes_on_from_the_first_and_watches(tmp_path):
    assert python(EXAMPLES[0] + EXAMPLES[1], tmp_path).endswith("\nsaved\n")


def test_the_example_saves_and_proves(tmp_path):
    said = python(EXAMPLES[0], tmp_path)
    assert said == "1 new, damage: []\n"
    assert len(list((tmp_path / "store" / "ledger").iterdir())) == 2  # the host's key, a snapshot


def test_a_damaged_repository_is_seen_by_the_example(tmp_path):
    spoil = (
        "for pack in Path('store/packs').glob('*/*'):\n"
        "    pack.chmod(0o600)\n"
        "    pack.write_bytes(pack.read_bytes()[:-1] + b'x')\n"
    )
    example = EXAMPLES[0]
    at = example.index("    damage =")
    spoilt = example[:at] + "".join(f"    {line}\n" for line in spoil.splitlines()) + example[at:]
    assert "damage: []" not in python(spoilt, tmp_path)


def test_importing_casstore_imports_nothing_else_of_it(tmp_path):
    probe = "import sys, casstore; print(*[name for name in sys.modules if name.startswith('casstore.')])"
    assert python(probe, tmp_path) == "\n"


@pytest.mark.parametrize("name", casstore.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(casstore)
    assert getattr(casstore, name) is not None


@pytest.mark.parametrize(
    "first", ["import casstore.backup", "from casstore import backup", "from casstore import CasError"]
)
def test_a_verb_is_a_function_whatever_was_imported_first(first, tmp_path):
    probe = f"{first}\nfrom casstore import backup\nfrom casstore.backup import PROGRAM\nimport casstore\n"
    assert python(probe + "print(callable(backup), casstore.backup is backup)", tmp_path) == "True True\n"


def test_what_is_not_public_is_not_there():
    with pytest.raises(AttributeError):
        _ = casstore.nothing_of_the_kind


def test_each_key_of_cas_toml_is_explained():
    from casstore import config
    from casstore.recovery import plan

    page = (README.parent / "docs" / "cas-toml.md").read_text(encoding="utf-8")
    tables = [config._KEYS, config._TUNING, plan._ASK, plan._HEALTH, plan._CHECK, plan._EVIDENCE]
    tables += [plan._STEP, plan._DRILL, plan._PROMISES, plan._NOTIFY, plan._app(None), plan._recover(None)]
    keys = {key for known in tables for key in known} | set(config.RECOVERY)
    assert len(keys) > 50
    assert [
        key for key in sorted(keys) if f"`{key}`" not in page and f"{key} =" not in page and f"[{key}]" not in page
    ] == []
