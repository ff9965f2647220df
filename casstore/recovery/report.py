"""What was done, step by step: recover, drill and restart tell of their work by the same small value.

Durations come from the monotonic clock; the moments of a report are its caller's to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from casstore.errors import CasError
from casstore.recovery.masking import mask
from casstore.values import dataclass

BY_HAND = "done by hand"
MOST_WORDS = 4096  # characters of the words of a step: its end is kept


@dataclass(frozen=True, slots=True)
class Done:
    """A step that came to its end. `words` say how, without secrets; lines may follow the first, with output."""

    name: str
    ok: bool
    duration_ns: int
    words: str

    def fields(self) -> dict[str, object]:
        """Give it as JSON does."""
        return {"name": self.name, "ok": self.ok, "duration": self.duration_ns / 1e9, "words": self.words}


class Report:
    """The steps so far. `hide` are the values that no words may show; `tell` is called with each step at its end."""

    def __init__(self, hide: Iterable[str] = (), tell: Callable[[Done], object] = lambda _done: None) -> None:
        self.steps: list[Done] = []
        self._hide, self._tell = tuple(hide), tell

    @property
    def ok(self) -> bool:
        """Whether all steps so far ended well."""
        return all(step.ok for step in self.steps)

    @property
    def failed(self) -> list[Done]:
        """The steps that did not."""
        return [step for step in self.steps if not step.ok]

    def fail(self, name: str, words: str) -> None:
        """Take down that something did not hold that was no step of its own."""
        self._take(Done(name, False, 0, mask(words, self._hide)[-MOST_WORDS:]))

    def by_hand(self, name: str) -> None:
        """Take down that somebody did a step by hand."""
        self._take(Done(name, True, 0, BY_HAND))

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Take down a step: what the block says of it, or the error that it raises, which goes on up."""
        words = ""

        def say(what: str) -> None:
            nonlocal words
            words = what

        begun, ok = time.monotonic_ns(), False
        try:
            yield say
            ok = True
        except CasError as error:
            words = "\n".join(filter(None, (str(error), getattr(error, "output", ""))))
            raise
        except BaseException as error:
            words = type(error).__name__
            raise
        finally:
            self._take(Done(name, ok, time.monotonic_ns() - begun, mask(words, self._hide)[-MOST_WORDS:]))

    def _take(self, done: Done) -> None:
        self.steps.append(done)
        self._tell(done)
