"""The folder in the target where a restore keeps all it does: made, locked, found again, emptied (see journal.py)."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from casstore.crypto import random_bytes
from casstore.errors import CasError
from casstore.source import STAGING, is_staging
from casstore.treelock import RestoreAtWork

JOURNAL, PART, DONE = b"journal", b"journal.part", b"done"
NEW, OLD, FOREIGN = b"new", b"old", b"foreign"
_PARTS = (JOURNAL, DONE, NEW, OLD, FOREIGN, b"scratch-", b"flat-")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Staging:
    """A staging folder, locked as long as it is open: two restores never work in one."""

    def __init__(self, root: int, name: bytes, fd: int) -> None:
        self.root, self.name, self.fd = root, name, fd
        self.new, self.old, self.foreign = (os.open(part, _FOLDER, dir_fd=fd) for part in (NEW, OLD, FOREIGN))
        self._open: tuple[int, ...] = (self.new, self.old, self.foreign, fd)  # the lock last

    @classmethod
    def make(cls, root: int) -> Staging:
        """Make a new one below an open folder."""
        name = STAGING + random_bytes(8).hex().encode()
        os.mkdir(name, 0o700, dir_fd=root)
        fd = os.open(name, _FOLDER, dir_fd=root)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _own(fd)
            for part in (NEW, OLD, FOREIGN):
                os.mkdir(part, 0o700, dir_fd=fd)
            return cls(root, name, fd)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def reopen(cls, root: int, name: bytes) -> Staging:
        """Open one that holds a journal.

        Raises:
            RestoreUnfinished: another process works in it. CasError: it belongs to another user.
        """
        fd = os.open(name, _FOLDER, dir_fd=root)
        try:
            if not belongs(os.fstat(fd)):
                raise CasError(
                    f"the unfinished restore {os.fsdecode(name)} belongs to another user",
                    hint="Run the command as the user who started the restore.",
                )
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RestoreAtWork from None
            return cls(root, name, fd)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Unlock; what is in it stays. A second call does nothing."""
        for fd in self._open:
            os.close(fd)
        self._open = ()

    # ── files in it ──

    def scratch(self) -> IO[bytes]:
        """Give a file without a name, on the target's file system: gone with its descriptor."""
        name = b"scratch-" + random_bytes(8).hex().encode()
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        os.unlink(name, dir_fd=self.fd)
        return os.fdopen(fd, "w+b", buffering=1 << 16)

    def begin_journal(self) -> IO[bytes]:
        """Open the journal for writing, under a name that says nothing yet."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(PART, flags, 0o600, dir_fd=self.fd), "w+b", buffering=1 << 16)

    def publish_journal(self, file: IO[bytes]) -> None:
        """Make the journal durable and give it its name: from now on the restore is unfinished."""
        file.flush()
        os.fsync(file.fileno())
        os.rename(PART, JOURNAL, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)
        os.fsync(self.root)  # the name of this folder

    def open_journal(self) -> IO[bytes]:
        """Open the journal for reading.

        Raises:
            FileNotFoundError: there is none. CasError: another user wrote it.
        """
        file = os.fdopen(os.open(JOURNAL, _READ, dir_fd=self.fd), "rb", buffering=1 << 16)
        status = os.fstat(file.fileno())
        if not belongs(status) or not stat.S_ISREG(status.st_mode):
            file.close()
            raise CasError("the journal of the unfinished restore was not written by this user")
        return file

    def finish(self) -> None:
        """Say durably that the live tree is in one state; `remove` may follow at any time."""
        os.rename(JOURNAL, DONE, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)

    def remove(self) -> bool:
        """Remove all but `foreign` if that holds something; whether all is gone. Ends with `close`."""
        names = [name for name in os.listdir(self.fd) if os.fsencode(name) not in (DONE, FOREIGN, JOURNAL)]
        for name in names:
            _remove(self.fd, os.fsencode(name))
        kept = bool(os.listdir(self.foreign))
        if not kept:
            # The journal last: without it the folder would be rubbish, with it (or `done`) it says what it is.
            os.rmdir(FOREIGN, dir_fd=self.fd)
            for name in os.listdir(self.fd):
                os.unlink(name, dir_fd=self.fd)
            os.rmdir(self.name, dir_fd=self.root)
        self.close()
        return not kept


def _own(fd: int) -> None:
    """Take off what the folder inherited, so that nothing made in it inherits a group or an ACL from the target."""
    for attribute in ("system.posix_acl_default", "system.posix_acl_access"):
        with suppress(OSError):  # it has none, or its file system knows none
            os.removexattr(fd, attribute)
    with suppress(PermissionError):  # without setgid, files get this process's group anyway
        os.fchown(fd, -1, os.getegid())
    os.fchmod(fd, 0o700)  # takes off setgid


def belongs(status: os.stat_result) -> bool:
    """Whether a staging folder or a journal may be believed: made by this user, writable by nobody else."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def find(root: int) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each staging folder's name and the name of its journal; None while nothing was touched.

    One that may not be looked into counts as unfinished.
    """
    for text in os.listdir(root):
        name = os.fsencode(text)
        if not is_staging(name):
            continue
        try:
            fd = os.open(name, _FOLDER, dir_fd=root)
        except PermissionError:
            yield name, JOURNAL
            continue
        except OSError:
            continue  # no folder, or gone by now
        try:
            inside = {os.fsencode(part) for part in os.listdir(fd)}
        finally:
            os.close(fd)
        yield name, next((part for part in (JOURNAL, DONE) if part in inside), None)


def sweep(root: int) -> None:
    """Remove what earlier restores left: never a journal, never what is locked or another user's."""
    for name, journal in list(find(root)):
        if journal == JOURNAL:
            continue
        fd = os.open(name, _FOLDER, dir_fd=root)
        try:
            if not belongs(os.fstat(fd)):
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            inside = [os.fsencode(part) for part in os.listdir(fd)]
            if not all(part.startswith(_PARTS) for part in inside):
                continue  # somebody keeps something of his there
            for part in sorted(inside, key=lambda part: part == DONE):
                if part == FOREIGN:
                    try:
                        os.rmdir(part, dir_fd=fd)
                    except OSError:
                        break  # it holds what nobody may delete; `done` stays with it
                else:
                    _remove(fd, part)
            else:
                os.rmdir(name, dir_fd=root)
        except FileNotFoundError:
            continue
        finally:
            os.close(fd)


def _remove(at: int, name: bytes) -> None:
    """Remove a file or a whole tree. Deep trees are made flat on the way: two descriptors are enough for any depth."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=at)
        return
    waiting = [name]
    count = 0
    while waiting:
        folder = waiting.pop()
        os.chmod(b"/proc/self/fd/%d/%s" % (at, folder), 0o700)  # ours alone: nobody can put a symlink there
        fd = os.open(folder, _FOLDER, dir_fd=at)
        try:
            with os.scandir(fd) as entries:
                inside = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
            for part, is_folder in inside:
                if is_folder:
                    os.chmod(b"/proc/self/fd/%d/%s" % (fd, part), 0o700)  # else it may not be moved
                    count += 1
                    flat = b"flat-%d-%s" % (count, random_bytes(4).hex().encode())
                    os.rename(part, flat, src_dir_fd=fd, dst_dir_fd=at)
                    waiting.append(flat)
                else:
                    os.unlink(part, dir_fd=fd)
        finally:
            os.close(fd)
        os.rmdir(folder, dir_fd=at)
