"""The record of the last finished restore of a folder, in this host's state folder: what undo goes by (journal.py)."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from casstore.errors import CasError
from casstore.restore.journal import Action, Header, end, read_header, read_steps
from casstore.values import dataclass


class NothingToUndo(CasError):
    """No restore is on record for that folder on this host."""

    hint = "`cas snapshots` lists the pre-restore snapshots; any of them can be restored by its id."


@dataclass(frozen=True, slots=True)
class Finished:
    """A restore that came to its end. `created` are the paths that it put where nothing was, folders with all below."""

    header: Header
    created: frozenset[bytes]


def record_path(state: Path, repository: bytes, target: bytes) -> Path:
    """Give the place of the record of a target."""
    digest = hashlib.sha256(os.path.realpath(target)).hexdigest()[:32]
    return state / repository.hex() / "restored" / digest


def write_record(state: Path, journal: IO[bytes]) -> None:
    """Keep what an undo needs of a finished journal; on return it is durable."""
    header = read_header(journal)
    path = record_path(state, header.repository, header.target)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(header.encode())
        count = 0
        for step in read_steps(journal, Action.PLACE, Action.REPLACE):
            # A folder in the place of a file: what is in it was created too.
            if step.action is Action.PLACE or (step.new is not None and stat.S_ISDIR(step.new.kind)):
                file.write(step.encode())
                count += 1
        file.write(end(count))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync_folder(path.parent)


def read_record(state: Path, repository: bytes, target: Path) -> Finished:
    """Give the last finished restore of a target.

    Raises:
        NothingToUndo: there was none.
    """
    try:
        file = record_path(state, repository, os.fsencode(target)).open("rb")
    except FileNotFoundError:
        raise NothingToUndo(f"no restore into {target} is on record here") from None
    with file:
        return Finished(read_header(file), frozenset(_created(file)))


def drop_record(state: Path, header: Header) -> None:
    """Forget a restore that was undone after its record was written."""
    path = record_path(state, header.repository, header.target)
    try:
        with path.open("rb") as file:
            same = read_header(file) == header
    except (FileNotFoundError, NotADirectoryError):
        return
    if same:
        path.unlink()
        sync_folder(path.parent)


def _created(file: IO[bytes]) -> Iterator[bytes]:
    for step in read_steps(file):
        yield step.path


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
