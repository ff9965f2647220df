"""The environment that an application runs under: its env file over the environment of whoever asks.

Values are taken as they stand between their quotes: nothing in them is expanded. No message holds one, nor a line of
the file. What a snapshot keeps of it are fingerprints, by which a value is known again, and the file itself only where
the plan says so. The only door to `dotenv`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType

from casstore.errors import CasError
from casstore.recovery.masking import LEAST_SECRET
from casstore.recovery.plan import App
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.values import dataclass

MOST_BYTES = 1 << 20  # of an env file
_NO_SECRET = re.compile(  # as whole values: a port, a switch, the name of a mode or of a level
    r"[0-9]{1,5}|true|false|none|null|production|development|staging|test|debug|info|warn|warning|error|localhost",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class EnvFileUnreadable(CasError):
    """The env file is not there, or may not be read, or is none."""

    hint = "See that `env-file` under [app] in cas.toml names a file that is there, and that this account may read."


class EnvFileInvalid(CasError):
    """A line of the env file cannot be read."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file} line {line}: {reason}", hint="Each line is NAME=value; what has several is quoted.")
        self.line = line


class NameUnset(CasError):
    """Something names a variable that has no value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"`${{{name}}}` has no value", hint=f"Set {name} in the env file or in the environment.")
        self.name = name


class Compared(Enum):
    """How a variable stands here against what the files of a snapshot were written under."""

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"


def read_env_file(path: Path) -> dict[str, str]:
    """Read the names and values of an env file; of a name given twice the last.

    Raises:
        EnvFileUnreadable, EnvFileInvalid: it cannot be read; never says a value.
    """
    return parse_env(env_bytes(path), path.name)


def env_bytes(path: Path) -> bytes:
    """Give an env file as it stands, of at most MOST_BYTES.

    Raises:
        EnvFileUnreadable: it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise EnvFileUnreadable(f"{path.name} cannot be read: {os.strerror(error.errno or 0).lower()}") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise EnvFileUnreadable(f"{path.name or path} is not a file")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MOST_BYTES:
        raise EnvFileUnreadable(f"{path.name} is larger than any env file needs to be")
    return data


def parse_env(data: bytes, file: str) -> dict[str, str]:
    """Read the text of an env file; `file` is only how complaints call it.

    Raises:
        EnvFileInvalid: a line cannot be read.
    """
    from io import StringIO

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EnvFileInvalid(file, data.count(b"\n", 0, error.start) + 1, "this is not UTF-8") from None
    found: dict[str, str] = {}
    for binding in _parser().parse_stream(StringIO(text)):
        if binding.key is None and not binding.error:
            continue  # a comment, or nothing
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string.count("\n", 0, blank)
        if binding.key is None or binding.value is None or not _NAME.fullmatch(binding.key) or "\0" in binding.value:
            raise EnvFileInvalid(file, line, "this is no NAME=value")
        found[binding.key] = binding.value
    return found


@cache
def _parser() -> ModuleType:
    """Give `dotenv.parser` alone: 1.3 ms of a snapshot; its package, with `logging` and `tempfile`, 9.8."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    package = PathFinder.find_spec("dotenv")
    spec = package and PathFinder.find_spec("dotenv.parser", package.submodule_search_locations)
    if not spec or not spec.loader:
        raise ModuleNotFoundError("dotenv.parser", name="dotenv.parser")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True, repr=False)  # a repr would show the values
class Environment:
    """Names and values. `process` is the environment of whoever asks; `file` counts before it.

    `tokens` are names of what is sent along when the application is asked: secrets, though the plan may require none.
    """

    file: Mapping[str, str] = field(default_factory=dict)
    process: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()  # globs of names
    tokens: tuple[str, ...] = ()

    @classmethod
    def of(cls, app: App, folder: Path, process: Mapping[str, str]) -> Environment:
        """Read the env file of an application, if it has one.

        Raises:
            EnvFileUnreadable, EnvFileInvalid: it cannot be read.
        """
        return cls.over(app, read_env_file(folder / app.env_file) if app.env_file else {}, process)

    @classmethod
    def over(cls, app: App, file: Mapping[str, str], process: Mapping[str, str]) -> Environment:
        """Put what an env file held over the rest, for an application."""
        asked = (one.token_env for one in (app.flush, app.release) if one is not None)
        return cls(file, process, app.env_required, tuple(filter(None, asked)))

    def get(self, name: str) -> str | None:
        """Give a value; None if there is none. An empty one is one."""
        return self.file.get(name, self.process.get(name))

    def values(self) -> dict[str, str]:
        """Give all of it, for a program that is run."""
        return {**self.process, **self.file}

    def expand(self, text: str) -> str:
        """Put values in the place of `${NAME}`.

        Raises:
            NameUnset: a name has no value, or an empty one.
        """
        return _REFERENCE.sub(lambda match: self.need(match[1]), text)

    def need(self, name: str) -> str:
        """Give a value.

        Raises:
            NameUnset: there is none, or it is empty.
        """
        found = self.get(name)
        if not found:
            raise NameUnset(name)
        return found

    def missing(self) -> list[str]:
        """Give what is required and not there: a name without a value, or a glob that no name answers to."""
        return missing(self.required, {name for name, value in self.values().items() if value})

    def told(self) -> dict[str, str]:
        """Give what is the application's: all of its env file, and of the rest what is required."""
        asked = {
            name: value
            for name, value in self.process.items()
            if _NAME.fullmatch(name) and any(fnmatchcase(name, glob) for glob in self.required)
        }
        return {**asked, **self.file}

    def secrets(self) -> tuple[str, ...]:
        """Give the values that nothing may show or keep: all but those that are plainly none.

        None are those of fewer than LEAST_SECRET letters, numbers of up to five digits, and words such as `true` and
        `production`: taken out, they would leave holes in messages that hold no secret.
        """
        values = {*self.told().values(), *(self.get(name) or "" for name in self.tokens)}
        return tuple(value for value in values if len(value) >= LEAST_SECRET and not _NO_SECRET.fullmatch(value))

    def fingerprints(self, repository: Repository) -> tuple[tuple[str, bytes], ...]:
        """Give the fingerprint of each value that is the application's, by name, as a snapshot keeps them."""
        told = self.told()
        return tuple((name, fingerprint(repository, name, told[name])) for name in sorted(told))


def missing(required: Sequence[str], names: Iterable[str]) -> list[str]:
    """Give the globs that no name answers to, in their order."""
    there = set(names)
    return [glob for glob in required if not any(fnmatchcase(name, glob) for name in there)]


def fingerprint(repository: Repository, name: str, value: str) -> bytes:
    """Give 16 bytes by which whoever holds the repository's key knows the value again (docs/format.md § Manifest)."""
    return repository.keys.fingerprint_of(name, value)


def compare(repository: Repository, snapshot: Snapshot, environment: Environment) -> dict[str, Compared]:
    """Say of each name that the files of a snapshot were written under how it stands here.

    Raises:
        Damaged: the beginning of the manifest cannot be read.
    """
    found = {}
    for name, before in repository.head(snapshot).fingerprints:
        value = environment.get(name)
        if value is None:
            found[name] = Compared.MISSING
        else:
            same = fingerprint(repository, name, value) == before
            found[name] = Compared.SAME if same else Compared.DIFFERS
    return found


def captured_env(repository: Repository, snapshot: Snapshot) -> bytes | None:
    """Give the env file that was kept with a snapshot, byte for byte; None if none was.

    Raises:
        Damaged: it cannot be read.
    """
    root = repository.head(snapshot).sidecar
    return None if root is None else b"".join(repository.read(root))
