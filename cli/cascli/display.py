"""What a verb tells while it works: a moving display on a terminal, restic's lines with --json, silence in a pipe.

Problems and notices are always told, on stderr. With --json status and errors go there too, so that stdout holds data.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from cascli import render
from cascli.options import Common
from casstore.losses import How, Loss
from casstore.progress import Advanced, Event, Lost, Notice, Problem, Stage, Torn, Warned
from casstore.snapshot import Flush, Outcome

STATUS_S = 1.0  # seconds between two status lines
FRAME_S = 0.1  # seconds between two movements of the display
MOST_LOST = 20  # guarded files that are named, unless it is data; how many there are is said at the end
SHOW_AFTER_S = 0.5  # what is faster than this shows no display at all: rich costs more than most snapshots


def note(options: Common, text: str, kind: str = "notice") -> None:
    """Say something that is no data, on stderr: as it is, or with --json as an object."""
    if options.json:
        render.err(render.to_json({"message_type": kind, "message": text}))
    elif kind != "notice" or not options.quiet:
        render.err(text)


def lost_words(count: int) -> str:
    """Tell how many guarded files lost what they held."""
    return f"{render.count(count, 'guarded file')} lost what {'it' if count == 1 else 'they'} held"


def loss_words(loss: Loss) -> str:
    """Tell what a guarded file lost."""
    before = render.count(loss.before, "record") if loss.how is How.THINNED else render.size(loss.before)
    after = f"{loss.after:,}" if loss.how is How.THINNED else render.size(loss.after)
    return {
        How.VANISHED: f"vanished; it held {before}",
        How.EMPTY: f"is empty; it held {before}",
        How.BARE: f"holds nothing but its brackets; it held {before}",
        How.SHRANK: f"shrank from {before} to {after}",
        How.THINNED: f"holds {after} records; it held {before}",
    }[loss.how]


def loss_fields(loss: Loss) -> dict[str, object]:
    """Give a loss as JSON; what it counts are bytes, or records where those went."""
    numbers = {"counts": "records" if loss.how is How.THINNED else "bytes", "before": loss.before, "after": loss.after}
    return {**render.plain("path", loss.path), "how": loss.how.name.lower(), **numbers}


def flush_words(flush: Flush) -> str:
    """Tell what came of asking the application to flush."""
    after = render.duration(flush.after_ms * 1_000_000) if flush.after_ms >= 1000 else f"{flush.after_ms} ms"
    return {
        Outcome.ACKNOWLEDGED: f"flushed in {after}",
        Outcome.NOT_RUNNING: "nothing to flush: the application did not run",
        Outcome.REFUSED: "unflushed: the application refused",
        Outcome.TIMED_OUT: f"unflushed: the application did not answer within {after}",
        Outcome.FAILED: "unflushed: the application could not be asked",
    }[flush.outcome]


def flush_fields(flush: Flush | None) -> dict[str, object] | None:
    """Give a flush as JSON."""
    if flush is None:
        return None
    told = {"how": flush.how.name.lower(), "outcome": flush.outcome.name.lower(), "flushed": flush.is_flushed}
    return {**told, "after_ms": flush.after_ms, "required": flush.required}


class Display:
    """A `progress` for verbs; to be used as a context manager around the verb."""

    def __init__(self, options: Common, during: str) -> None:
        self.problems: list[Problem] = []
        self.notices: list[Notice] = []
        self._options, self._during = options, during
        self._began = self._told = time.monotonic()
        self._moving = not options.quiet and not options.json and sys.stderr.isatty()
        self._bar: Any = None  # rich's Progress, once there is one
        self._task: Any = None
        self._stage = during
        self._lost = 0

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Clear the terminal, so that somebody can be asked; the display comes back with the next event."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Advanced):
            self._advance(event)
        elif isinstance(event, Problem):
            self.problems.append(event)
            self._say(event.path, event.reason, "error")
        elif isinstance(event, Notice):
            self.notices.append(event)
            if not self._options.quiet:
                self._say(event.path, event.reason, "notice")
        elif isinstance(event, Warned):
            self._say(event.path, event.reason, "warning")
        elif isinstance(event, Torn):
            self._say(event.path, "is no whole JSON: it was caught half-written, or is broken; saved as it is", "torn")
        elif isinstance(event, Lost):
            self._lost += 1
            if self._lost <= MOST_LOST or self._options.json:
                self._say(event.loss.path, loss_words(event.loss), "guarded")
            elif self._lost == MOST_LOST + 1:
                self._say(b"", "and others; --json names all", "guarded")
        elif isinstance(event, Stage):
            self._stage = event.name

    def _say(self, path: bytes, reason: str, kind: str) -> None:
        if self._options.json:
            fields: dict[str, object] = {"message_type": kind, "during": self._during, **render.plain("item", path)}
            fields[kind] = {"message": reason}
            render.err(render.to_json(fields))
            return
        where = f"{render.name(path)}: " if path else ""
        line = f"{'note' if kind == 'notice' else kind}: {where}{render.name(reason)}"
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            render.err(line)

    def _advance(self, event: Advanced) -> None:
        now = time.monotonic()
        if self._options.json:
            if now - self._told >= STATUS_S and not self._options.quiet:
                self._told = now
                render.err(render.to_json(self._status(event, now - self._began)))
        elif self._moving and now - self._told >= (FRAME_S if self._bar else SHOW_AFTER_S):
            self._told = now
            self._move(event)

    def _status(self, event: Advanced, seconds: float) -> dict[str, object]:
        part = event.bytes / event.total_bytes if event.total_bytes else 0
        fields: dict[str, object] = {"message_type": "status", "seconds_elapsed": int(seconds), "percent_done": part}
        if event.total_files or event.total_bytes:
            fields |= {"total_files": event.total_files, "total_bytes": event.total_bytes}
        return fields | {"files_done": event.files, "bytes_done": event.bytes, "error_count": len(self.problems)}

    def _move(self, event: Advanced) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                TextColumn("{task.fields[done]}", markup=False), TimeElapsedColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task(self._stage, total=None, done="")
            self._bar.start()
        total = f" of {render.size(event.total_bytes)}" if event.total_bytes else ""
        done = f"{render.count(event.files, 'file')}, {render.size(event.bytes)}{total}"
        self._bar.update(
            self._task, description=self._stage, completed=event.bytes, total=event.total_bytes or None, done=done
        )
