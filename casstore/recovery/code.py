"""What an application needs beside its data, brought into a scratch folder: its code, without a way back to the live.

A snapshot holds the data; the code is copied from the live folder around what was restored: all that is not saved, but
for the repository and other backups, reports, `.git` and env files. Copies share their blocks with the original where
the file system can do that, and never an inode. A link into the live folder leads into the scratch folder there, and
one that leads to a folder elsewhere is left out.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Collection
from dataclasses import field
from pathlib import Path

from casstore.entry import join
from casstore.processes import FileId
from casstore.recovery.harmless import is_env_file
from casstore.recovery.report_files import DRILLS, RECOVERIES
from casstore.selection import Selection
from casstore.source import Source, is_staging
from casstore.values import dataclass

_AT_TOP = {b".git", b"backups", DRILLS.encode(), RECOVERIES.encode()}
_LEADS = "leads to {}, which no snapshot holds"
_FICLONE = 0x40049409
_SYSTEM = ("/usr/", "/etc/", "/opt/", "/lib")  # links to files there are no way to anybody's data


@dataclass(slots=True)
class Copied:
    """What was copied, and what was not, with the reason."""

    files: int = 0
    size: int = 0  # bytes
    left_out: list[str] = field(default_factory=list)


def copy_code(live: Path, scratch: Path, selection: Selection, never: Collection[FileId], env_file: str) -> Copied:
    """Copy what is not saved; what lies there already stays, and `env_file` is for the caller to write.

    Raises:
        OSError: it cannot be written, or the live folder not be read.
    """
    walk = Source(os.fsencode(live), selection, never=never).walk()
    saved = {join(listing.path, name) for listing in walk for name in listing.names}
    copying = _Copying(os.fsencode(live), os.fsencode(scratch), saved | {os.fsencode(env_file)}, set(never))
    copying.folder(b"")
    return copying.copied


def seal(scratch: Path, live: Path, env_file: str) -> list[str]:
    """Turn the links that lead out, and remove all env files but `env_file`; gives what was left out, and why."""
    left_out: list[str] = []
    for here, folders, files in os.walk(scratch):
        for name in (*folders, *files):
            path = Path(here, name)
            relative = str(path.relative_to(scratch))
            if path.is_symlink():
                if reason := _turned(path, live, scratch):
                    left_out.append(f"{relative}: {reason}")
            elif is_env_file(name) and relative != env_file and path.is_file():
                path.unlink()
                left_out.append(f"{relative}: holds values that nobody looked at")
    return left_out


def _turned(link: Path, live: Path, scratch: Path) -> str:
    """Have a link lead nowhere that is live; gives why it was removed, "" if it is there."""
    target = os.readlink(link)
    for folder in (str(live), os.path.realpath(live)):
        if target == folder or target.startswith(f"{folder}/"):
            link.unlink()
            link.symlink_to(f"{scratch}{target[len(folder) :]}")
            return ""
    real = os.path.realpath(link)
    if Path(real).is_relative_to(os.path.realpath(scratch)) or not os.path.exists(real):
        return ""
    mode = os.stat(real).st_mode
    if stat.S_ISREG(mode) and _is_program(real):
        return ""
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return ""
    link.unlink()
    return _LEADS.format(real)


def _is_program(file: str) -> bool:
    """Whether a file is one that is run, or the system's: no way to anybody's data."""
    return bool(os.stat(file).st_mode & 0o111) or file.startswith(_SYSTEM)


class _Copying:
    """One copy on its way, folder by folder."""

    def __init__(self, live: bytes, scratch: bytes, saved: set[bytes], never: set[FileId]) -> None:
        self._live, self._scratch, self._saved, self._never = live, scratch, saved, never
        self.copied = Copied()

    def folder(self, path: bytes) -> None:
        """Copy what lies in a folder."""
        with os.scandir(join(self._live, path) if path else self._live) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            try:
                self._entry(join(path, entry.name), entry.stat(follow_symlinks=False))
            except (FileNotFoundError, PermissionError) as error:
                if error.filename2 is not None or os.fsencode(error.filename or b"").startswith(self._scratch):
                    raise
                self._leave(join(path, entry.name), (error.strerror or "").lower())

    def _entry(self, path: bytes, status: os.stat_result) -> None:
        name = path.rpartition(b"/")[2]
        if (status.st_dev, status.st_ino) in self._never or path in _AT_TOP or is_staging(name):
            return
        source, target = join(self._live, path), join(self._scratch, path)
        if stat.S_ISDIR(status.st_mode):
            if not os.path.lexists(target):
                if path in self._saved:
                    return  # it came since
                os.mkdir(target, stat.S_IMODE(status.st_mode) | 0o700)
            self.folder(path)
        elif path in self._saved or os.path.lexists(target):
            return
        elif is_env_file(os.fsdecode(name)):
            self._leave(path, "an env file")
        elif stat.S_ISLNK(status.st_mode):
            self._link(path, source, target)
        elif stat.S_ISREG(status.st_mode):
            _copy(source, target, status)
            self.copied.files += 1
            self.copied.size += status.st_size

    def _link(self, path: bytes, source: bytes, target: bytes) -> None:
        """Copy a link; one to a file elsewhere, as a module that applications share, becomes that file."""
        real = os.path.realpath(source)
        inside = os.path.realpath(self._live)
        if os.path.isdir(real) and real != inside and not real.startswith(inside + b"/"):
            self._leave(path, _LEADS.format(os.fsdecode(real)))
        elif real == inside or real.startswith(inside + b"/") or not os.path.isfile(real):
            os.symlink(os.readlink(source), target)
        elif _is_program(os.fsdecode(real)):
            os.symlink(real, target)
        else:
            _copy(real, target, os.stat(real))

    def _leave(self, path: bytes, reason: str) -> None:
        self.copied.left_out.append(f"{os.fsdecode(path)}: {reason}")


def _copy(source: bytes, target: bytes, status: os.stat_result) -> None:
    """Copy a file's bytes, mode and times; the blocks are shared where the file system can."""
    with open(source, "rb") as there, open(target, "xb") as here:
        try:
            fcntl.ioctl(here.fileno(), _FICLONE, there.fileno())
        except OSError:
            shutil.copyfileobj(there, here, 1 << 20)
    os.chmod(target, stat.S_IMODE(status.st_mode) & 0o777 | 0o600)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
