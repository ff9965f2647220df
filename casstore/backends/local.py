"""A folder of a local file system as backend.

Order of a write: temporary file, exclusively made, 0600 → write → fsync → link to the final name (fails if taken) →
fsync of the folder → unlink of the temporary. A crash between any two leaves a whole object, or none, and at most a
file in `tmp/`, which is swept when it is a day old. After a failed fsync the file is abandoned, never synced again: the
kernel may have dropped the pages and would report success. A file system that cannot link renames without replacing.

What decides about durability goes through `Files`. It opens folders anew for each sync: that costs 4 µs of the 5 ms.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from casstore.backends.base import checked
from casstore.errors import (
    CasError,
    Damaged,
    ObjectExists,
    ObjectMissing,
    RepositoryExists,
    RepositoryUnreadable,
    RepositoryUnwritable,
)

TOPS = ("keys", "hosts", "ledger", "index", "packs", "tmp")
FOLDERS = (*TOPS, *(f"packs/{n:02x}" for n in range(256)))
STALE_SECONDS = 24 * 3600

_HINTS = {
    errno.ENOSPC: "Make room on that disk, then run the same command again: nothing was lost.",
    errno.EDQUOT: "The quota is used up; make room, then run the same command again: nothing was lost.",
    errno.EFBIG: "Files may not grow so large here (`ulimit -f`); lift that limit, and run the same command again.",
    errno.EROFS: "The file system is mounted read-only; name another place with -r.",
    errno.EACCES: "Run the command as the user who made the repository.",
    errno.EPERM: "Run the command as the user who made the repository.",
    errno.EIO: "The disk reports errors: look at it before anything else; what was acknowledged is still there.",
}
_CANNOT_LINK = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_CANNOT_RENAME = _CANNOT_LINK | {errno.EINVAL}
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1


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

    def rename(self, source: str, target: str) -> None:
        """Give a file another name; fails if it is taken, as `os.rename` would not."""
        import ctypes  # only a file system without links needs it

        call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), source, None, target)

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
    """Objects as files below one folder, owned by one user. Threads and processes may share it."""

    def __init__(self, folder: Path, *, files: Files | None = None) -> None:
        self.folder = folder
        self._root = str(folder)
        self._files = files or Files()
        self._ready = False  # two threads may both find it so, and do twice what does no harm twice
        self._links = True

    @property
    def address(self) -> str:
        """Give the path."""
        return self._root

    # ── making ──

    def create(self) -> None:
        """Make the folders, durably. What an earlier `create` left when it was cut off is taken up."""
        try:
            missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
            if not missing:
                self._check_free()
                self._check_owner()
            for folder in reversed(missing):
                self._make_folder(str(folder))
            for name in FOLDERS:
                self._make_folder(f"{self._root}/{name}")
            for path in (f"{self._root}/packs", self._root, *(str(folder.parent) for folder in missing)):
                self._files.sync_folder(path)
            if not missing:
                with contextlib.suppress(PermissionError):  # whoever made the folder was perhaps not us
                    self._files.sync_folder(str(self.folder.parent))
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def _check_free(self) -> None:
        """Refuse a folder that holds anything but what an interrupted init leaves: our folders, and slots at most."""
        if set(os.listdir(self._root)) <= set(TOPS):
            objects = (name for top in TOPS if top != "tmp" for name, _ in self.list(top))
            if all(name.startswith("keys/") for name in objects):
                return
        raise RepositoryExists(
            f"{self._root} is not empty", hint="Name an empty folder or one that does not exist yet."
        )

    def _make_folder(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            self._files.make_folder(path)

    def _make_folders(self, name: str) -> None:
        """Make the folders above an object, durably also where another process made them just now."""
        path = self._root
        for part in name.split("/")[:-1]:
            self._make_folder(f"{path}/{part}")
            self._files.sync_folder(path)
            path = f"{path}/{part}"

    # ── writing ──

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Create an object as the module's text says."""
        path = self._path(name)
        try:
            self._check_owner()
            temporary, fd = self._temporary()
            try:
                self._fill(fd, data)
                self._publish(temporary, name, path)
            finally:
                # Renamed, or swept a day later: no reason to deny what was written.
                with contextlib.suppress(OSError):
                    self._files.unlink(temporary)
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def _temporary(self) -> tuple[str, int]:
        path = f"{self._root}/tmp/{os.urandom(12).hex()}"
        try:
            fd = self._files.create(path)
        except FileNotFoundError:
            self._make_folders("tmp/x")  # copies of a repository often come without its empty folders
            fd = self._files.create(path)
        if not self._ready:
            self._sweep(os.fstat(fd).st_mtime)
            self._ready = True
        return path, fd

    def _fill(self, fd: int, data: bytes | bytearray | memoryview) -> None:
        try:
            rest = memoryview(data).cast("B")
            while rest:
                rest = rest[self._files.write(fd, rest) :]
            self._files.sync(fd)
        finally:
            self._files.close(fd)

    def _publish(self, temporary: str, name: str, path: str) -> None:
        try:
            try:
                self._enter(temporary, path)
            except FileNotFoundError:
                self._make_folders(name)
                self._enter(temporary, path)
        except FileExistsError:
            # Over NFS an answer may be lost and the question asked again: two names mean that we took it.
            taken = os.stat(temporary).st_nlink != 2
            # If another did, it may have been cut off before this.
            self._files.sync_folder(os.path.dirname(path))
            if taken:
                raise ObjectExists(name) from None
            return
        self._files.sync_folder(os.path.dirname(path))

    def _enter(self, temporary: str, path: str) -> None:
        """Give the file its name, if that is free."""
        if self._links:
            try:
                self._files.link(temporary, path)
                return
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
        try:
            self._files.rename(temporary, path)
        except OSError as error:
            if error.errno not in _CANNOT_RENAME:
                raise
            raise RepositoryUnwritable(
                f"{self._root} cannot be written: this file system neither links files nor renames without replacing",
                hint="Name a place on another one with -r: two writers could not be kept apart here.",
            ) from error
        self._links = False

    def delete(self, name: str) -> None:
        """Remove a file, durably."""
        path = self._path(name)
        try:
            self._check_owner()
            self._files.unlink(path)
            self._files.sync_folder(os.path.dirname(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing(name) from None
        except OSError as error:
            raise _unwritable(self._root, error) from error

    def _check_owner(self) -> None:
        """Once: refuse a repository of another user. Root could write, and what it wrote its owner could not read."""
        if self._ready:
            return
        for path in (f"{self._root}/header", self._root):
            with contextlib.suppress(FileNotFoundError):
                owner = os.stat(path).st_uid
                if owner != os.geteuid():
                    raise RepositoryUnwritable(f"{self._root} belongs to another user, {_user(owner)}", hint=_as(owner))

    def _sweep(self, now: float) -> None:
        """Remove temporaries that a crash left. `now` as this file system tells the time, since it dated them."""
        with contextlib.suppress(OSError), os.scandir(f"{self._root}/tmp") as found:
            for entry in found:
                with contextlib.suppress(OSError):  # another process may sweep as well
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and status.st_mtime < now - STALE_SECONDS:
                        self._files.unlink(entry.path)

    # ── reading ──

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read by `pread`."""
        try:
            # Neither led elsewhere nor kept waiting by what somebody put in the place of an object.
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return _read(fd, _length(name, os.fstat(fd)), offset, length)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def size(self, name: str) -> int:
        """Give the file's length."""
        try:
            return _length(name, os.stat(self._path(name), follow_symlinks=False))
        except OSError as error:
            raise self._unreadable(name, error) from error

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the files below a folder; what is neither file nor folder is passed over."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self._path(folder)) as found:
                    entries = list(found)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._unreadable(folder, error) from error
            for entry in entries:
                name = f"{folder}/{entry.name}"
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # deleted meanwhile
                except OSError as error:
                    raise self._unreadable(name, error) from error
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(name)
                elif stat.S_ISREG(status.st_mode):
                    yield name, status.st_size

    def _path(self, name: str) -> str:
        return f"{self._root}/{checked(name)}"

    def _unreadable(self, name: str, error: OSError) -> CasError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return ObjectMissing(name)
        if error.errno in (errno.EACCES, errno.EPERM):
            try:
                owner = os.stat(self._root).st_uid
            except OSError:
                return RepositoryUnreadable(
                    f"{self._root} cannot be reached by this user", hint="Run the command as the user who made it."
                )
            if owner != os.geteuid():
                return RepositoryUnreadable(
                    f"{self._root} cannot be read: it belongs to another user, {_user(owner)}", hint=_as(owner)
                )
        return Damaged(f"{name} cannot be read: {os.strerror(error.errno or 0)}")


def _length(name: str, status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise Damaged(f"{name} is not a file")
    return status.st_size


def _read(fd: int, size: int, offset: int, length: int | None) -> bytes:
    if offset < 0:
        offset = max(0, size + offset)
    wanted = max(0, size - offset if length is None else min(length, size - offset))
    pieces: list[bytes] = []
    while wanted > 0 and (piece := os.pread(fd, wanted, offset)):
        pieces.append(piece)
        offset += len(piece)
        wanted -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unwritable(place: str, error: OSError) -> RepositoryUnwritable:
    reason = os.strerror(error.errno or 0)
    return RepositoryUnwritable(f"{place} cannot be written: {reason}", hint=_HINTS.get(error.errno or 0, ""))


def _as(uid: int) -> str:
    user = _user(uid)
    typed = f"'{user}'" if user.startswith("#") else user  # else the shell takes the rest for a comment
    return f'Type `sudo -u {typed} "$(command -v cas)" …`: files of two owners would lock each other out.'


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
