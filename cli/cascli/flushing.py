"""The running application, as snapshots need it: asked to flush, its environment kept as the plan says.

Imported only where cas.toml tells of one. Nothing here stops a snapshot: what goes wrong is said and recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cascli import render
from cascli.options import Common
from cascli.world import surroundings
from casstore.errors import CasError
from casstore.recovery.environment import Environment, env_bytes, parse_env
from casstore.recovery.flush import Flushed, asked
from casstore.recovery.plan import App, parse
from casstore.repository import Repository
from casstore.snapshot import Circumstances, Outcome

Say = Callable[[str, str], None]  # a sentence, and whether it is a "notice" or a "warning"


class Flushing:
    """What a cas.toml says of an application, and what was said of it already."""

    def __init__(self, folder: Path, config: bytes, say: Say) -> None:
        """Read the plan.

        Raises:
            ConfigInvalid: it cannot be read.
        """
        self._folder, self._say = folder, say
        self._app: App = parse(config.decode(), file=str(folder / "cas.toml")).app
        self._said: set[str] = set()  # since the last time: what lasts is said once

    @contextmanager
    def during(self, repository: Repository) -> Iterator[Circumstances]:
        """Ask the application to flush, and to hold if the plan has it so, around the reading of its files."""
        saying: dict[str, str] = {}
        environment, raw = self._environment(saying)
        known = Circumstances(None, environment.fingerprints(repository), *self._kept(raw))
        if self._app.flush is None:
            self._tell(saying)
            yield known
            return
        flushed = None
        try:
            with asked(self._app, self._folder, environment) as flushed:
                saying |= _words(flushed)
                self._tell(saying)
                yield replace(known, flush=flushed.flush)
        finally:
            if flushed is not None and flushed.unreleased:
                reason = render.printable(flushed.unreleased)
                self._say(f"warning: the application was not told to go on: {reason}", "warning")

    def _kept(self, raw: bytes | None) -> tuple[bytes | None, tuple[bytes, str] | None]:
        """Give the env file if it is to be kept, and what is wrong if it cannot be."""
        if not (self._app.env_capture and self._app.env_file):
            return None, None
        if raw is not None:
            return raw, None
        return None, (os.fsencode(self._app.env_file), "is to be kept with the snapshot (env-capture), and cannot be")

    def _environment(self, saying: dict[str, str]) -> tuple[Environment, bytes | None]:
        """Read the env file; what cannot be read is said, and done without."""
        raw: bytes | None = None
        file: dict[str, str] = {}
        if self._app.env_file:
            try:
                raw = env_bytes(self._folder / self._app.env_file)
                file = parse_env(raw, self._app.env_file)
            except CasError as error:
                saying[f"warning: the environment is not recorded: {error}"] = "warning"
        return Environment.over(self._app, file, surroundings()), raw

    def _tell(self, saying: dict[str, str]) -> None:
        for sentence, kind in saying.items():
            if sentence not in self._said:
                self._say(render.printable(sentence), kind)
        self._said = set(saying)


def _words(flushed: Flushed) -> dict[str, str]:
    if flushed.flush.outcome is Outcome.ACKNOWLEDGED:
        return {}
    if flushed.flush.outcome is Outcome.NOT_RUNNING:
        words = f"note: the application does not run, so there is nothing to flush: {flushed.reason}"
        return {words: "notice"}
    return {f"warning: unflushed: {flushed.reason}. What was in memory only is not in this snapshot.": "warning"}


def flushing(options: Common, folder: Path, config: bytes) -> Flushing:
    """Give the application of a cas.toml, which says what goes wrong on stderr."""
    from cascli.display import note

    return Flushing(folder, config, lambda sentence, kind: note(options, sentence, kind))
