"""The environment of a rehearsal: nothing real can act by it, and nothing in it leads into the live folder.

Each value of the application's environment is overridden by `[drill] env` or named in `keep-env`; else there is no
rehearsal. Of the rest of the environment only what any program needs, and what `keep-env` names, is passed on. Where a
value or an argument names the application's folder, it names the scratch folder instead: a `DATA_DIR` must not lead
back to the live files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from casstore.errors import UsageError
from casstore.recovery.environment import Environment
from casstore.recovery.plan import Drill
from casstore.recovery.running import CARRIED
from casstore.values import dataclass

PASSED = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL")


class RealValues(UsageError):
    """A rehearsal would act with real values. `names` are those of the variables."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"a drill would act with the real {', '.join(names)}",
            hint="Give each another value in `env` of [drill], or name it in `keep-env` if its real one does no harm.",
        )
        self.names = tuple(names)


@dataclass(frozen=True, slots=True, repr=False)  # a repr would show values
class Harmless:
    """Names and values of a rehearsal. `file` are those that its env file holds; `real` is never shown."""

    environment: Environment
    file: Mapping[str, str]
    real: tuple[str, ...]

    def values(self) -> Mapping[str, str]:
        """Give all names with their values."""
        return self.environment.values()

    def expand(self, text: str) -> str:
        """Put values in the place of `${NAME}`.

        Raises:
            NameUnset: one has none.
        """
        return self.environment.expand(text)

    def secrets(self) -> tuple[str, ...]:
        """Give the real values: those of `[drill] env` stand in cas.toml for all to read."""
        return self.real


def harmless(drill: Drill, real: Environment, live: Path, scratch: Path, *, home: Path | None = None) -> Harmless:
    """Make the environment of a rehearsal in the `scratch` folder; its HOME is `home`, if that is given.

    Raises:
        RealValues: a value is neither overridden nor named to be kept.
    """
    told = real.told()
    kept = {name: value for name, value in told.items() if name not in drill.env and _answers(name, drill.keep_env)}
    if acting := sorted(told.keys() - kept.keys() - drill.env.keys()):
        raise RealValues(acting)
    asked_for = (*PASSED, *drill.keep_env)
    passed = {name: value for name, value in real.process.items() if name not in told and _answers(name, asked_for)}
    file = {name: moved(value, live, scratch) for name, value in {**kept, **drill.env}.items()}
    process = {name: moved(value, live, scratch) for name, value in passed.items()}
    if home is not None:
        process["HOME"] = str(home)
    process[CARRIED] = os.path.realpath(scratch)
    secret = set(real.secrets()) - set(drill.env.values())
    return Harmless(Environment(file, process), file, tuple(secret))


def moved(text: str, live: Path, scratch: Path) -> str:
    """Give a text in which each path in the live folder is the same one in the scratch folder."""
    for folder in dict.fromkeys((str(live), os.path.realpath(live))):
        text = re.sub(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])", lambda _: str(scratch), text)
    return text


def env_text(values: Mapping[str, str]) -> str:
    """Write an env file: each value between quotes that it does not hold, if there are such."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def is_env_file(name: str) -> bool:
    """Whether a file of this name is one that programs read their environment from by themselves."""
    return name == ".env" or name.startswith(".env.")


def _answers(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _quoted(value: str) -> str:
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
