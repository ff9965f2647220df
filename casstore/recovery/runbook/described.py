"""What a runbook describes, and how its values are written in any language. Pure.

Nothing here changes by itself: ages and what comes due are for `cas status`. Values of the environment are not here,
only their names; addresses are written without the passwords that some hold.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from casstore.config import Config
from casstore.recovery.past_reports import Past
from casstore.recovery.plan import App, Plan
from casstore.values import dataclass

_DAY_NS = 86_400 * 10**9
_UNITS = (("d", _DAY_NS), ("h", 3600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6))
_REFERENCE = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\})")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to open the repository: `kind` is "passphrase", "key_file" or "recovery"."""

    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Described:
    """All that a runbook is written from. `variables` are the names in the env file."""

    name: str
    folder: str
    config: Config
    plan: Plan
    repository: str  # its address
    repository_id: str
    ways: tuple[Way, ...]
    variables: tuple[str, ...]
    reports: tuple[Past, ...]  # oldest first
    unreadable: tuple[str, ...]  # names of reports
    unproven: tuple[str, ...]  # names of those of drills that are not as the repository noted them
    version: str  # of cas

    @property
    def is_inside(self) -> bool:
        """Whether the repository lies in the application's folder."""
        return self.repository == self.folder or self.repository.startswith(self.folder.rstrip("/") + "/")

    @property
    def restarts(self) -> bool:
        """Whether `cas` can start the application."""
        return bool(self.plan.app.run or self.plan.app.start)

    @property
    def asking(self) -> str:
        """What has a command ask for the recovery words, if there are any."""
        return " --recovery-words" if any(way.kind == "recovery" for way in self.ways) else ""

    @property
    def start(self) -> tuple[str, ...]:
        """The command that starts it; () if none is known."""
        return self.plan.app.start.command if self.plan.app.start else self.plan.app.run

    def shell(self, arguments: Sequence[str]) -> str:
        """Write a command of the plan as it is typed in a shell, in the folder."""
        return shell([argument.replace("{folder}", self.folder) for argument in arguments])


def shell(arguments: Sequence[str]) -> str:
    """Write arguments as one line for a shell; `${NAME}` stays what it is, passwords in addresses do not."""
    return " ".join(_quoted(without_password(argument)) for argument in arguments)


def _quoted(argument: str) -> str:
    if _SAFE.fullmatch(argument):
        return argument
    if not argument.isprintable():
        return "$'" + "".join(map(_letter, argument)) + "'"
    if _REFERENCE.search(argument):
        pieces = _REFERENCE.split(argument)
        return (
            '"' + "".join(one if at % 2 else re.sub(r'([\\"$`])', r"\\\1", one) for at, one in enumerate(pieces)) + '"'
        )
    return shlex.quote(argument)


def _letter(letter: str) -> str:
    """Write a letter as it stands between `$'` and `'`."""
    code = ord(letter)
    if letter in "\\'":
        return "\\" + letter
    if letter.isprintable():
        return letter
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:  # the latter: a byte that is no UTF-8
        return f"\\x{code & 0xFF:02x}"
    return f"\\U{code:08x}"


def without_password(address: str) -> str:
    """Take out of an address what stands before its `@`."""
    return _PASSWORD.sub("•••", address)


def span(ns: int) -> str:
    """Tell a length of time, the same in each language: `90 min`, `12 s`; the largest unit that leaves no rest."""
    if ns >= 60 * 10**9:
        ns = round(ns / 10**9) * 10**9
    unit, length = next(((unit, length) for unit, length in _UNITS if ns >= length and ns % length == 0), ("", 0))
    return f"{ns // length} {unit}" if unit else f"{ns / 10**9:.2f} s"


def day(at_ns: int) -> str:
    """Tell a moment to the day, in UTC."""
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d}"


def moment(at_ns: int) -> str:
    """Tell a moment to the minute, in UTC."""
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d %H:%M} UTC"


def names(app: App, variables: Sequence[str]) -> list[tuple[str, bool]]:
    """Give the names of the environment, and whether each is required; a glob that no name answers to stands itself."""
    known = set(variables)
    globs = [glob for glob in app.env_required if not any(fnmatchcase(name, glob) for name in known)]
    where = [name for name in app.env_where if not _GLOB.search(name)]
    every = sorted({*known, *globs, *where})
    return [(name, name in globs or any(fnmatchcase(name, glob) for glob in app.env_required)) for name in every]


def kept_at(app: App, name: str) -> str:
    """Say where the value of a name is kept, as `env-where` has it; "" if it does not say. The longest glob counts."""
    fitting = [glob for glob in app.env_where if glob == name or fnmatchcase(name, glob)]
    return app.env_where[max(fitting, key=len)] if fitting else ""
