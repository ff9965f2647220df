"""Start-up is most of what `cas backup` costs, so what it may import is named here. A new import needs a new line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from cli.conftest import Cas

OURS = {
    "cascli": {
        "codes", "commands", "commands.backup", "display", "main", "opening", "options", "paths", "pinging", "render",
        "secret", "selecting", "session", "world",
    },
    "casstore": {
        "anchor", "backends", "backends.base", "backends.local", "backup", "backup.compared", "backup.contents",
        "backup.counts", "backup.folders", "backup.growing", "backup.guard", "backup.taking", "backup.torn", "cache",
        "catalogue", "chunker", "chunkstore", "chunkstore.lists", "chunkstore.packing", "chunkstore.payloads",
        "chunkstore.previous", "chunkstore.reading", "chunkstore.runs", "chunkstore.writing", "config", "crypto",
        "database", "entry", "errors", "format", "format.blob", "format.certificate", "format.commit", "format.header",
        "format.manifest", "format.pack", "format.record", "format.slot", "ids", "keyring", "ledger", "losses",
        "moments", "openfile", "opening", "private", "progress", "recent", "repository", "rows", "selection", "slots",
        "snapshot", "source", "tables", "treelock", "values", "workers",
    },
}  # fmt: skip
OTHERS = {
    "blake3",
    "click",
    "cryptography",
    "msgpack",
    "pyfastcdc",
    "zstandard",
    "_cffi_backend",
    "cffi",
    "cython_runtime",
}
NEVER = {
    "asyncio", "base64", "concurrent", "difflib", "email", "http", "importlib.metadata", "json", "logging",
    "mnemonic", "multiprocessing", "pathspec", "pickle", "rich", "secrets", "shlex", "socket", "ssl", "subprocess",
    "tempfile", "unittest",
}  # fmt: skip
PROBE = """
import sys
before = set(sys.modules)
from cascli.main import run
code = run(sys.argv[1:])
print(code, *sorted(set(sys.modules) - before))
"""


@pytest.fixture
def imported(saved: Cas) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "backup", "--quiet"], cwd=saved.folder, env=saved.environment,
        stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    code, *modules = ran.stdout.split()
    assert code == "0"
    return set(modules)


def test_backup_imports_only_these_rooms_of_ours(imported: set[str]) -> None:
    for package, rooms in OURS.items():
        found = {name.removeprefix(f"{package}.") for name in imported if name.startswith(f"{package}.")}
        assert found <= rooms, f"{package}: {sorted(found - rooms)} is new at the start of every backup"


def test_backup_imports_only_these_packages_of_others(imported: set[str]) -> None:
    roots = {name.partition(".")[0] for name in imported}
    found = {root for root in roots if root not in sys.stdlib_module_names and not re.match(r"_|cascli|casstore", root)}
    assert found <= OTHERS


def test_backup_imports_nothing_that_is_slow_and_of_no_use_to_it(imported: set[str]) -> None:
    assert not {name for name in imported if name in NEVER or name.partition(".")[0] in NEVER}


def test_help_imports_no_command(bare: Cas) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "--help"], cwd=bare.folder, env=bare.environment, stdout=subprocess.PIPE,
        check=True, text=True,
    )  # fmt: skip
    modules = set(ran.stdout.splitlines()[-1].split())
    assert not {name for name in modules if name.startswith(("cascli.commands", "cryptography", "zstandard"))}
