"""A few threads for work that leaves the GIL: compressing, sealing, reading, writing.

Jobs are handed in from one thread and harvested in the order they were handed in. Made without `concurrent.futures`,
whose import costs as much as all else that a small backup loads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """Work under way; `result` waits for it."""

    __slots__ = ("_done", "_error", "_value", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._done = threading.Lock()
        self._done.acquire()
        self._value: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work, in a worker."""
        try:
            assert self._work is not None
            self._value = self._work()
        except BaseException as error:  # carried over to the thread that asks for the result
            self._error = error
        self._work = None
        self._done.release()

    @property
    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        return not self._done.locked()

    def wait(self) -> None:
        """Wait until it is over, however it went."""
        with self._done:
            return

    def result(self) -> T:
        """Wait, and give what the work gave or raise what it raised."""
        with self._done:
            if self._error is not None:
                raise self._error
            return self._value  # type: ignore[return-value]


class Workers:
    """At most `count` daemon threads, started when there is work for them."""

    def __init__(self, count: int = 2) -> None:
        self._count = count
        self._jobs: SimpleQueue[Job[object]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], T]) -> Job[T]:
        """Hand in work."""
        job = Job(work)
        self._jobs.put(job)  # type: ignore[arg-type]
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._loop, daemon=True)
            self._threads.append(thread)
            thread.start()
        return job

    def close(self) -> None:
        """Let the threads end once their work is done."""
        for _ in self._threads:
            self._jobs.put(_STOP)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _loop(self) -> None:
        while True:
            job = self._jobs.get()
            if job is _STOP:
                return
            job.run()


_STOP: Job[object] = Job(lambda: None)
