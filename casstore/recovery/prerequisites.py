"""Programs that a recovery needs, and in which versions.

A range is a list of bounds such as ">=18 <21": all must hold. "18" means any 18, "*" any at all; of `^` and `~` as
npm writes them the first number, or the first two, must be the same. What a program calls its version is the first
number with a dot, or the first number, that it says when it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import which

from casstore.errors import CasError, UsageError
from casstore.recovery import commands
from casstore.values import dataclass

_ASK_NS = 20 * 10**9  # for one program to tell its version
_ASKED = {"go": "version", "java": "-version", "ssh": "-V"}  # all others know --version
_BOUND = re.compile(r"(>=|<=|==|!=|>|<|=|\^|~|)\s*v?(\d+(?:\.\d+)*)(?:\.[x*])*")
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+)|(?<![\w.])v?(\d+)(?![\w.])")

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """A program that is needed. `found`: its version here, "" if it was not asked; `reason`: why it will not do."""

    program: str
    wanted: str
    found: str
    reason: str  # "": it will do


def look(require: Mapping[str, str], *, folder: Path, env: Mapping[str, str]) -> list[Prerequisite]:
    """Look for each program on the PATH of `env`, and ask it for its version where one is wanted.

    Raises:
        UsageError: a range is none.
    """
    bounds = {program: read_range(program, wanted) for program, wanted in require.items()}
    return [_look(program, wanted, bounds[program], folder, env) for program, wanted in require.items()]


def read_range(program: str, wanted: str) -> list[tuple[str, Numbers]]:
    """Read a range of versions.

    Raises:
        UsageError: it is none.
    """
    rest = wanted.replace(",", " ").strip()
    if rest == "*":
        return []
    found: list[tuple[str, Numbers]] = []
    while rest:
        match = _BOUND.match(rest)
        if match is None or (match.end() < len(rest) and not rest[match.end()].isspace()):
            raise UsageError(
                f"[recover] require wants {program} in versions `{wanted}`, which is no range",
                hint='Write it like ">=18", ">=18 <21", "18" or "*".',
            )
        found.append((match[1], _numbers(match[2])))
        rest = rest[match.end() :].lstrip()
    return found


def holds(version: Numbers, sign: str, bound: Numbers) -> bool:
    """Whether a version is within one bound; 18 is 18.0.0."""
    if sign == "":
        return version[: len(bound)] == bound
    length = max(len(version), len(bound))
    mine, other = (one + (0,) * (length - len(one)) for one in (version, bound))
    if sign in "^~":
        same = 1 if sign == "^" else 2
        return mine >= other and mine[: min(same, len(bound))] == other[: min(same, len(bound))]
    return {
        ">=": mine >= other, "<=": mine <= other, ">": mine > other, "<": mine < other, "!=": mine != other,
    }.get(sign, mine == other)  # fmt: skip


def _look(
    program: str, wanted: str, bounds: list[tuple[str, Numbers]], folder: Path, env: Mapping[str, str]
) -> Prerequisite:
    if which(program, path=env.get("PATH")) is None:
        return Prerequisite(program, wanted, "", "not installed")
    if not bounds:
        return Prerequisite(program, wanted, "", "")
    try:
        asked = [program, _ASKED.get(Path(program).name, "--version")]
        ran = commands.run(asked, folder=folder, env=env, timeout_ns=_ASK_NS)
    except CasError as error:
        return Prerequisite(program, wanted, "", str(error))
    match = _VERSION.search(ran.output) if ran.ok else None
    if match is None:
        return Prerequisite(program, wanted, "", "does not tell its version")
    found = match[1] or match[2]
    held = all(holds(_numbers(found), sign, bound) for sign, bound in bounds)
    return Prerequisite(program, wanted, found, "" if held else f"is {found}, not {wanted}")


def _numbers(version: str) -> Numbers:
    return tuple(int(part[:9]) for part in version.split("."))
