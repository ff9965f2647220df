"""A loss that is only played, in a scratch folder: files deleted, cut off, overwritten, and a folder gone.

Which ones is no chance, so that a drill can be repeated: they are spread evenly over all. What is overwritten keeps its
size and its time, as rot does: only who reads it can tell.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from casstore.processes import FileId
from casstore.values import dataclass

MOST = 30  # files


@dataclass(slots=True)
class Lost:
    """What was done to which paths; `folder`: one that is gone with all in it, "" if there is none."""

    deleted: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    folder: str = ""

    @property
    def files(self) -> int:
        """How many files were touched one by one."""
        return len(self.deleted) + len(self.cut) + len(self.overwritten)


def play(folder: Path, files: Sequence[str]) -> Lost:
    """Lose some of the files, given relative to the folder; one at least if there is one.

    Raises:
        OSError: one cannot be written.
    """
    lost = Lost()
    ways = (_overwrite, _cut, _delete)
    seen: set[FileId] = set()
    for number, name in enumerate(_some(files)):
        status = (folder / name).stat()
        if (status.st_dev, status.st_ino) not in seen:  # flipped by another of its names, it would be flipped back
            seen.add((status.st_dev, status.st_ino))
            ways[number % len(ways)](folder / name, name, lost)
    touched = {*lost.deleted, *lost.cut, *lost.overwritten}
    deepest = max((os.path.dirname(name) for name in files if name not in touched), default="")
    if deepest:
        _remove(folder / deepest)
        lost.folder = deepest
    return lost


def _some(files: Sequence[str]) -> Sequence[str]:
    every = max(1, -(-len(files) // MOST))
    return files[::every]


def _overwrite(path: Path, name: str, lost: Lost) -> None:
    status = path.stat()
    if not status.st_size:
        return _delete(path, name, lost)
    _writable(path)
    with path.open("r+b") as file:
        file.seek(status.st_size // 2)
        letter = file.read(1)
        file.seek(status.st_size // 2)
        file.write(bytes((letter[0] ^ 0xFF,)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.chmod(status.st_mode & 0o7777)
    lost.overwritten.append(name)
    return None


def _cut(path: Path, name: str, lost: Lost) -> None:
    size = path.stat().st_size
    if not size:
        return _delete(path, name, lost)
    _writable(path)
    os.truncate(path, size // 2)
    lost.cut.append(name)
    return None


def _delete(path: Path, name: str, lost: Lost) -> None:
    _writable(path.parent)
    path.unlink()
    lost.deleted.append(name)


def _remove(folder: Path) -> None:
    _writable(folder.parent)
    for place, _, _ in os.walk(folder):
        _writable(Path(place))
    shutil.rmtree(folder)


def _writable(path: Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)
