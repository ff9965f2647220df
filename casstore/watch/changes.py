"""Which paths changed, as the kernel tells. The only door to `watchfiles`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from casstore.errors import CasError

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

STEP_S, LEAST_S = 0.1, 0.01  # so long a stop or a change may go unnoticed; and the least
TOGETHER_S = 0.5  # changes that follow each other closer than STEP_S are told together, for so long at most


class WatchfilesMissing(CasError):
    """The package that tells of changes is not installed."""

    hint = "Type `pipx inject casstore watchfiles`, or `pip install watchfiles` where casstore is installed."


class Changes(Protocol):
    """Tells of changes in folders: of their own entries, not of what is deeper."""

    def follow(self, folders: Collection[bytes]) -> list[bytes]:
        """Listen to these folders from now on, and to no others. Gives those that cannot be listened to, ever.

        Those that are gone by now are passed over.

        Raises:
            OSError: none is listened to; the kernel's limit is reached, perhaps.
        """

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> Collection[bytes] | None:
        """Give the paths that changed, as soon as there are some; none after so long, or once `stopped()`.

        None instead: some changes may have gone untold, and the folders are not followed any more.
        """

    def close(self) -> None:
        """Listen no more."""


class FileChanges:
    """Changes of a local file system, by inotify."""

    def __init__(self) -> None:
        """Begin to follow nothing.

        Raises:
            WatchfilesMissing: `watchfiles` is not installed.
        """
        try:
            from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError
        except ImportError as error:
            raise WatchfilesMissing("watching needs the package `watchfiles`, which is not installed") from error
        self._make, self._fails = RustNotify, WatchfilesRustInternalError
        self._following: RustNotify | None = None

    def follow(self, folders: Collection[bytes]) -> list[bytes]:
        """Listen to all of them anew; what the old ears heard and did not tell is lost."""
        paths, unheard = [], []
        for folder in folders:
            try:
                paths.append(folder.decode())  # watchfiles takes text
            except UnicodeDecodeError:
                unheard.append(folder)
        self.close()
        while True:
            try:
                self._following = self._make(paths, False, False, 0, False, False)
            except self._fails as error:
                raise OSError(None, str(error)) from error
            except (FileNotFoundError, PermissionError):
                left = [path for path in paths if os.access(path, os.R_OK | os.X_OK)]
                if len(left) == len(paths):
                    raise
                paths = left  # gone since they were walked, which those above tell if they come again
            else:
                return unheard

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> Collection[bytes] | None:
        """Wait in steps, since a signal is heard between two of them only, and `watchfiles`, told to stop, forgets."""
        while True:
            step = min(STEP_S, max(seconds, LEAST_S))
            if self._following is None:
                time.sleep(step)
            else:
                try:
                    told = self._following.watch(int(TOGETHER_S * 1000), int(step * 1000), 1, None)
                except self._fails:  # a name that is no UTF-8, for one
                    self.close()
                    return None
                if told == "signal":
                    raise KeyboardInterrupt
                if isinstance(told, set):
                    return {os.fsencode(path) for _, path in told}
            seconds -= step
            if seconds <= 0 or stopped():
                return ()

    def close(self) -> None:
        """End the thread that listens."""
        if self._following is not None:
            self._following.close()
            self._following = None
