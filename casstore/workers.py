"""A few threads for work that leaves the GIL: compressing, sealing, reading, writing.

Jobs are handed in from one thread and harvested in the order they were handed in. Made without `concurrent.futures`,
whose import costs as much as all else that a small backup loads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
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
        self._jobs: deque[Job[object]] = deque()
        self._ready = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], T]) -> Job[T]:
        """Hand in work."""
        job = Job(work)
        self._jobs.append(job)  # type: ignore[arg-type]
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._loop, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._ready.release()
        return job

    def close(self) -> None:
        """Let the threads end once their work is done."""
        for _ in self._threads:
            self._jobs.append(_STOP)
            self._ready.release()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _loop(self) -> None:
        while True:
            self._ready.acquire()
            job = self._jobs.popleft()
            if job is _STOP:
                return
            job.run()


_STOP: Job[object] = Job(lambda: None)
