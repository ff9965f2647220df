"""The folder in which a recovery is rehearsed, and what is left of it when a rehearsal was killed: gone with the next.

It lies beside this host's cache of the repository, never in the live folder: what stands there would be taken for the
application itself. Whoever holds its lock is the only one at work in it; all else that is found there, folders and
processes, is left from before. Processes are known by `CAS_APPLICATION`, which they carry in their environment, or by
where they stand: nothing else has its working folder there, but for somebody who looks around, from a terminal.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from casstore.errors import CasError
from casstore.processes import Process, carrying, has_terminal, standing_below, started_by
from casstore.recovery import carriers
from casstore.recovery.running import CARRIED
from casstore.values import dataclass

_PATIENCE_NS = 5 * 10**9  # for what was killed to be gone


class DrillRunning(CasError):
    """Another rehearsal of the same application is at work."""

    hint = "Wait for it to end, or end it."


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place for one rehearsal. `folder` is the application's there; `leftovers` tell what was found and removed."""

    folder: Path
    leftovers: str

    @property
    def log(self) -> Path:
        """Where the output of what is started goes."""
        return self._beside / "log"

    @property
    def home(self) -> Path:
        """An empty folder, for what must not know this account."""
        return self._beside / "home"

    @property
    def kept(self) -> Path:
        """A folder for what a repository opened only here wants to remember."""
        return self._beside / "kept"

    @property
    def _beside(self) -> Path:
        return self.folder.parent.parent  # not where the application's folder is, which may have any name

    def processes(self, started: int | None = None) -> list[Process]:
        """Give what runs for it; `started` is a child of this process, which counts with all that descends from it."""
        return _running(self._beside.parent, [self.folder]) + ([] if started is None else started_by(started))

    def end_processes(self, started: int | None = None) -> int:
        """Kill what runs for it; gives how many there were.

        Raises:
            NotEnded: some are still there.
        """
        return carriers.end(lambda: self.processes(started), _PATIENCE_NS)


def place_of(cache: Path, live: Path) -> Path:
    """Give the place for rehearsals of the application in a folder; `cache` is this host's, of the repository."""
    return cache / "drill" / hashlib.sha256(os.path.realpath(os.fsencode(live))).hexdigest()[:16]


@contextmanager
def scratch_in(place: Path, name: str) -> Iterator[Scratch]:
    """Have a place for one rehearsal, empty at the beginning, and gone at the end with all that runs there.

    Raises:
        DrillRunning: somebody else has it. NotEnded: what a killed rehearsal left cannot be ended.
    """
    with _alone(place):
        scratch = Scratch(place / "scratch" / "application" / name, _sweep(place))
        try:
            scratch.folder.mkdir(parents=True, mode=0o700)
            yield scratch
        finally:
            scratch.end_processes()
            _remove(place / "scratch")  # the place itself stays: somebody may hold it open, to lock it


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DrillRunning("another drill of this application is running") from None
        yield
    finally:
        os.close(handle)


def _sweep(place: Path) -> str:
    """Remove what an earlier rehearsal left; gives words, "" if there was nothing."""
    there = os.path.lexists(place / "scratch")
    folders = list((place / "scratch" / "application").glob("*"))
    ended = carriers.end(lambda: _running(place, folders), _PATIENCE_NS)
    _remove(place / "scratch")
    done = ["removed its folder"] if there else []
    done += [f"ended {ended} {'process' if ended == 1 else 'processes'} of it"] if ended else []
    return f"an earlier drill did not come to its end: {' and '.join(done)}" if done else ""


def _running(place: Path, folders: Sequence[Path]) -> list[Process]:
    """Give what carries one of the folders, or stands in the place, were it in a folder that is deleted by now."""
    status = place.stat()
    standing = standing_below((status.st_dev, status.st_ino))
    found = [process for process in standing if not has_terminal(process.pid)]
    for folder in folders:
        found += carrying(f"{CARRIED}={os.path.realpath(folder)}")
    return found


def _remove(folder: Path) -> None:
    """Remove a folder, and what its own rights would protect from its owner."""
    for here, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(here, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    if os.path.lexists(folder):
        shutil.rmtree(folder)
