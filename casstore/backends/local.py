"""A folder of a local file system as backend.

Order of a write: temporary file, exclusively made, 0600 → write → fsync → link to the final name (fails if taken) →
fsync of the folder → unlink of the temporary. A crash between any two leaves a whole object, or none, and at most a
file in `tmp/`, which is swept when it is a day old. After a failed fsync the file is abandoned, never synced again: the
kernel may have dropped the pages and would report success.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from casstore.errors import Damaged, ObjectExists, ObjectMissing, RepositoryExists, RepositoryUnwritable

FOLDERS = ("keys", "ledger", "index", "packs", *(f"packs/{n:02x}" for n in range(256)), "tmp")
STALE_SECONDS = 24 * 3600

_HINTS = {
    errno.ENOSPC: "Make room on that disk, then run the same command again: nothing was lost.",
    errno.EDQUOT: "The quota is used up; make room, then run the same command again: nothing was lost.",
    errno.EROFS: "The file system is mounted read-only; name another place with -r.",
    errno.EACCES: "Run the command as the user who made the repository.",
    errno.EPERM: "Run the command as the user who made the repository.",
}


class Files:
    """The few calls that decide about durability, in one place: a test replaces them by a disk that forgets."""

    def create(self, path: str) -> int:
        """Make a file exclusively and open it for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of `data`, give how many bytes."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Make a file's bytes durable."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close."""
        os.close(fd)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; fails if it is taken."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        os.mkdir(path, 0o700)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class LocalBackend:
    """Objects as files below one folder, owned by one user."""

    def __init__(self, folder: Path, *, files: Files | None = None) -> None:
        self.folder = folder
        self._root = str(folder)
        self._files = files or Files()
        self._ready = False

    @property
    def address(self) -> str:
        """Give the path."""
        return self._root

    def create(self) -> None:
        """Make the folders, durably."""
        try:
            missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
            if not missing and any(self.folder.iterdir()):
                raise RepositoryExists(
                    f"{self._root} is not empty", hint="Name an empty folder or one that does not exist yet."
                )
            for folder in reversed(missing):
                self._files.make_folder(str(folder))
                self._files.sync_folder(str(folder.parent))
            for name in FOLDERS:
                self._files.make_folder(f"{self._root}/{name}")
            for name in ("packs", ""):
                self._files.sync_folder(f"{self._root}/{name}")
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Create an object as the module's text says."""
        path = self._path(name)
        self._prepare()
        temporary = f"{self._root}/tmp/{os.urandom(12).hex()}"
        try:
            fd = self._files.create(temporary)
            try:
                try:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[self._files.write(fd, rest) :]
                    self._files.sync(fd)
                finally:
                    self._files.close(fd)
                try:
                    self._files.link(temporary, path)
                except FileNotFoundError:
                    self._make_folders(name)
                    self._files.link(temporary, path)
                except FileExistsError:
                    # Whoever took the name may have been cut off before this.
                    self._files.sync_folder(os.path.dirname(path))
                    raise
                self._files.sync_folder(os.path.dirname(path))
            finally:
                self._files.unlink(temporary)
        except FileExistsError:
            raise ObjectExists(name) from None
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read by `pread`."""
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(name) from None
        except OSError as error:
            raise _unreadable(name, error) from error
        try:
            size = os.fstat(fd).st_size
            if offset < 0:
                offset = max(0, size + offset)
            wanted = max(0, size - offset if length is None else min(length, size - offset))
            pieces: list[bytes] = []
            while wanted > 0 and (piece := os.pread(fd, wanted, offset)):
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except OSError as error:
            raise _unreadable(name, error) from error
        finally:
            os.close(fd)

    def size(self, name: str) -> int:
        """Give the file's length."""
        try:
            return os.stat(self._path(name)).st_size
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(name) from None
        except OSError as error:
            raise _unreadable(name, error) from error

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the files below a folder."""
        try:
            with os.scandir(self._path(folder)) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unreadable(folder, error) from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self.list(f"{folder}/{entry.name}")
            elif entry.is_file(follow_symlinks=False):
                yield f"{folder}/{entry.name}", entry.stat(follow_symlinks=False).st_size

    def delete(self, name: str) -> None:
        """Remove a file, durably."""
        path = self._path(name)
        try:
            self._files.unlink(path)
            self._files.sync_folder(os.path.dirname(path))
        except FileNotFoundError:
            raise ObjectMissing(name) from None
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def _path(self, name: str) -> str:
        if not name or any(part in ("", ".", "..") for part in name.split("/")):
            raise ValueError(f"impossible object name {name!r}")
        return f"{self._root}/{name}"

    def _make_folders(self, name: str) -> None:
        path = self._root
        for part in name.split("/")[:-1]:
            with contextlib.suppress(FileExistsError):
                self._files.make_folder(f"{path}/{part}")
            self._files.sync_folder(path)
            path = f"{path}/{part}"

    def _prepare(self) -> None:
        """Once: refuse a repository of another user, sweep temporaries that a crash left."""
        if self._ready:
            return
        try:
            owner = os.stat(self._root).st_uid
            if owner != os.geteuid():
                raise RepositoryUnwritable(
                    f"{self._root} belongs to another user, {_name_of(owner)}",
                    hint=f"Type `sudo -u {_name_of(owner)} cas …`: files of two owners would lock each other out.",
                )
            with os.scandir(f"{self._root}/tmp") as found:
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and status.st_mtime < time.time() - STALE_SECONDS:
                        self._files.unlink(entry.path)
        except FileNotFoundError:
            self._make_folders("tmp/x")
        except OSError as error:
            raise _unwritable(self._root, error) from error
        self._ready = True


def _unwritable(place: str, error: OSError) -> RepositoryUnwritable:
    reason = os.strerror(error.errno or 0)
    return RepositoryUnwritable(f"{place} cannot be written: {reason}", hint=_HINTS.get(error.errno or 0, ""))


def _unreadable(name: str, error: OSError) -> Damaged:
    return Damaged(f"{name} cannot be read: {os.strerror(error.errno or 0)}")


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
