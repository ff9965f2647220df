"""That an application was stopped by us, for which restore, and by which plan: durable before it is asked to stop.

It is what is left when `cas` is killed in the middle, or the host dies: whoever comes next knows that the application
is to be started again, and how. A small file of this host in its state folder, until the application is up again.
Where the restore stands is not written there: its journal and the record of the last finished restore say so.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path

from casstore import private
from casstore.errors import FormatDamaged, FormatTooNew, RestoreUnfinished
from casstore.format import record
from casstore.restore import NothingToUndo, unfinished
from casstore.restore.finished import read_record
from casstore.values import dataclass

VERSION = 1


class Standing(Enum):
    """Where the restore stands that an application was stopped for."""

    UNTOUCHED = "nothing is replaced"  # not yet, or not any more: it was put back
    REPLACING = "it replaces files"
    REPLACED = "all is replaced"
    PUTTING_BACK = "it puts files back"


@dataclass(frozen=True, slots=True)
class Stopped:
    """An application that was stopped. `started_ns`: that of the restore; `toml`: the cas.toml it is started by.

    `undoes`: the restore goes back behind the last one that came to its end.
    """

    folder: Path
    repository: bytes
    started_ns: int
    toml: bytes
    undoes: bool = False

    def standing(self, state: Path) -> Standing:
        """Say where its restore stands; `state` is this host's folder, as for the restore itself."""
        lying = unfinished(self.folder)
        if lying is not None:
            ours = lying.header is not None and lying.header.started_ns == self.started_ns
            return Standing.REPLACING if ours else Standing.PUTTING_BACK
        try:
            last = read_record(state, self.repository, self.folder)
        except NothingToUndo:
            return Standing.UNTOUCHED
        return Standing.REPLACED if last.header.started_ns == self.started_ns else Standing.UNTOUCHED


def read(state: Path, folder: Path) -> Stopped | None:
    """Give what is kept of a folder, if its application was asked to stop and is not known to be up again.

    Raises:
        FormatDamaged, FormatTooNew: the file is none of ours.
    """
    try:
        data = _path(state, folder).read_bytes()
    except FileNotFoundError:
        return None
    fields = record.check_map(record.decode(data), {0: int, 1: bytes, 2: bytes, 3: int, 4: bytes, 5: int}, "stopped")
    version, place, repository, started, toml = (record.need(fields, key, "stopped") for key in range(5))
    if version != VERSION:
        raise FormatTooNew("what is kept of a stopped application was written by a newer version of cas")
    if place != _real(folder):
        raise FormatDamaged("what is kept of a stopped application is of another folder")
    return Stopped(folder, repository, started, toml, bool(fields.get(5, 0)))


def write(state: Path, stopped: Stopped) -> None:
    """Keep it; durable on return."""
    fields = {0: VERSION, 1: _real(stopped.folder), 2: stopped.repository, 3: stopped.started_ns, 4: stopped.toml}
    private.replace(_path(state, stopped.folder), record.encode(fields | ({5: 1} if stopped.undoes else {})))


def drop(state: Path, folder: Path) -> None:
    """Forget it: the application is up again."""
    private.remove(_path(state, folder))


def refuse_stopped(state: Path, folder: Path) -> None:
    """Refuse to begin anything else while an application waits to be started again.

    Raises:
        RestoreUnfinished: it does.
    """
    if read(state, folder) is not None:
        raise _unfinished(folder)


def refuse_replaced(state: Path, folder: Path) -> None:
    """Refuse to restart it anew while the restore that it was stopped for is at work, or has replaced files.

    Raises:
        RestoreUnfinished: it is, or has. Where nothing was replaced the new one brings it up again.
    """
    case = read(state, folder)
    if case is not None and case.standing(state) is not Standing.UNTOUCHED:
        raise _unfinished(folder)


def _unfinished(folder: Path) -> RestoreUnfinished:
    return RestoreUnfinished(
        f"the application in {folder} was asked to stop for a restore that did not come to its end"
    )


def holding(state: Path, folder: Path) -> AbstractContextManager[None]:
    """Wait until no other process of this host restores or starts the same application, and keep it so."""
    return private.locked(_path(state, folder))


def log_path(state: Path, folder: Path) -> Path:
    """Give the log of what is started for a folder."""
    return _path(state, folder).with_name("log")


def _path(state: Path, folder: Path) -> Path:
    return state / "applications" / hashlib.sha256(_real(folder)).hexdigest()[:32] / "stopped"


def _real(folder: Path) -> bytes:
    return os.path.realpath(os.fsencode(folder))
