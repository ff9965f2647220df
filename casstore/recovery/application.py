"""The application in its folder: what is asked of it, and with which environment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Protocol

from casstore.processes import FileId
from casstore.recovery import commands
from casstore.recovery.masking import mask
from casstore.recovery.plan import App, Check, Command
from casstore.selection import Selection
from casstore.values import dataclass


class Surroundings(Protocol):
    """What is asked of an environment."""

    def values(self) -> Mapping[str, str]:
        """Give all names with their values."""

    def expand(self, text: str) -> str:
        """Put values in the place of `${NAME}`."""

    def secrets(self) -> Iterable[str]:
        """Give the values that must not be shown."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application in its folder. `selection` is the set that it writes; `never` are folders that are not its own."""

    app: App
    folder: Path
    environment: Surroundings
    selection: Selection = field(default_factory=Selection)
    never: Collection[FileId] = ()

    def run(self, what: Command | Check) -> commands.Ran:
        """Run one of its commands to the end, in its folder and environment.

        Raises:
            CommandNotFound: it cannot be started. CasError: it names a variable that is not set.
        """
        return commands.run(
            self.expanded(what), folder=self.folder, env=self.environment.values(), timeout_ns=what.timeout_ns,
            hide=self.environment.secrets(),
        )  # fmt: skip

    def expanded(self, what: Command | Check) -> list[str]:
        """Give the arguments of one of its commands."""
        return [self.environment.expand(word) for word in what.command]

    def masked(self, words: str) -> str:
        """Give words without the values that must not be shown."""
        return mask(words, self.environment.secrets())
