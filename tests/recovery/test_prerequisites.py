"""Programs that a recovery needs are there in a version that will do, or it is said why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.errors import UsageError
from casstore.recovery.prerequisites import Prerequisite, holds, look, read_range


@pytest.mark.parametrize(
    ("wanted", "version", "will_do"),
    [
        ("*", "1", True),
        (">=18", "18.0.0", True),
        (">=18", "17.9.9", False),
        (">=18 <21", "20.11.1", True),
        (">=18, <21", "21.0", False),
        ("18", "18.19.1", True),
        ("18.x", "18.2", True),
        ("18", "180.1", False),
        ("v18.2", "18.2.0", True),
        ("^18.2", "18.10", True),
        ("^18.2", "18.1", False),
        ("^18.2", "19.0", False),
        ("~18.2", "18.2.9", True),
        ("~18.2", "18.3", False),
        ("==18", "18.0.0", True),
        ("=18", "18.0.1", False),
        ("!=18.1", "18.2", True),
        ("> 9", "10.1", True),
        ("<=9.2", "9.2.0", True),
    ],
)
def test_a_version_is_within_a_range_or_not(wanted: str, version: str, will_do: bool) -> None:
    numbers = tuple(map(int, version.split(".")))
    assert all(holds(numbers, sign, bound) for sign, bound in read_range("node", wanted)) is will_do


@pytest.mark.parametrize("wanted", ["new", ">=", "18 or so", ">>1", "1..2", "latest", "18beta"])
def test_what_is_no_range_is_refused_with_an_example(wanted: str) -> None:
    with pytest.raises(UsageError, match="wants node in versions") as raised:
        read_range("node", wanted)
    assert ">=18 <21" in raised.value.hint


def test_programs_are_looked_for_on_the_path_and_asked_for_their_version(tmp_path: Path) -> None:
    says = {
        "node": "echo v20.11.1", "npm": "echo 10.2.4", "git": "echo git version 2.39.5; echo more 9.9",
        "java": '[ "$1" = -version ] && echo \'openjdk version "17.0.9" 2023-10-17\' >&2', "mute": "echo hello",
        "fails": "echo 1.2.3; exit 1", "old": "echo old 3",
    }  # fmt: skip
    for name, line in says.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    require = {
        "node": ">=18", "npm": "*", "git": ">=2 <3", "java": "17", "mute": ">=1", "fails": "1", "old": ">=4",
        "gone": "*",
    }  # fmt: skip
    found = look(require, folder=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert found == [
        Prerequisite("node", ">=18", "20.11.1", ""),
        Prerequisite("npm", "*", "", ""),
        Prerequisite("git", ">=2 <3", "2.39.5", ""),
        Prerequisite("java", "17", "17.0.9", ""),
        Prerequisite("mute", ">=1", "", "does not tell its version"),
        Prerequisite("fails", "1", "", "does not tell its version"),
        Prerequisite("old", ">=4", "3", "is 3, not >=4"),
        Prerequisite("gone", "*", "", "not installed"),
    ]
