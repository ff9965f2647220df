"""Writes a tree below one root folder only: the mirror of `source`.

Every path is resolved from one descriptor of the root, through no symlink (openat2 with RESOLVE_BENEATH and
RESOLVE_NO_SYMLINKS, else part by part with O_NOFOLLOW), so nothing is written elsewhere, whatever the entries say or
whatever lies in the target. Descriptors of recent folders are kept: a path is not resolved anew for every file.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import OrderedDict

from casstore.entry import Entry, Kind, check_name
from casstore.progress import Notice, Problem, Progress, silent

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE = 0x08 | 0x04  # RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_KEPT = 64  # open folders
OWNERLESS = "its owner could not be restored: setuid, setgid and sticky were dropped"
_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: bytes, flags: int, *, openat2: bool = True) -> int:
    """Open `path` below the folder `root`, through no symlink.

    Raises:
        OSError: it is not there, or a part of it is a symlink.
    """
    if openat2 and len(path) < 4000:
        how = _How(flags | os.O_CLOEXEC, 0, _RESOLVE)
        fd = _libc.syscall(_SYS_OPENAT2, root, path or b".", ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EPERM, errno.EAGAIN):
            raise OSError(number, os.strerror(number), path)
    parts = path.split(b"/") if path else []
    at = os.dup(root)
    try:
        for number, part in enumerate(parts, 1):
            check_name(part)
            below = os.open(part, (_FOLDER if number < len(parts) else flags | os.O_NOFOLLOW) | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        return at
    except BaseException:
        os.close(at)
        raise


class Target:
    """A tree being written. Paths are those of entries, below the root."""

    def __init__(
        self,
        root: bytes,
        *,
        devices: bool = False,
        openat2: bool = True,
        strangers: set[tuple[int, int]] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._devices, self._openat2, self._progress = devices, openat2, progress
        self.strangers = set() if strangers is None else strangers  # owners told already: who is not root meets many
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folders: OrderedDict[bytes, int] = OrderedDict()

    def close(self) -> None:
        """Close all descriptors."""
        self.forget()
        os.close(self.fd)

    # ── folders ──

    def folder(self, path: bytes) -> int:
        """Give an open folder below the root; valid until `_KEPT` others were asked for, or `forget`.

        Raises:
            OSError: it is not there, no folder, or a symlink leads to it.
        """
        if not path:
            return self.fd
        fd = self._folders.get(path)
        if fd is not None:
            self._folders.move_to_end(path)
            return fd
        for part in path.split(b"/"):
            check_name(part)
        fd = open_beneath(self.fd, path, _FOLDER, openat2=self._openat2)
        self._folders[path] = fd
        if len(self._folders) > _KEPT:
            os.close(self._folders.popitem(last=False)[1])
        return fd

    def forget(self) -> None:
        """Close kept folders: their paths may lead elsewhere now."""
        while self._folders:
            os.close(self._folders.popitem()[1])

    def place(self, path: bytes) -> tuple[int, bytes]:
        """Give the open folder of a path and the last part of it."""
        folder, slash, name = path.rpartition(b"/")
        if slash and not folder:
            check_name(folder)  # an absolute path
        return self.folder(folder), check_name(name)

    # ── making ──

    def make_folder(self, path: bytes) -> None:
        """Make a folder, private until it is dressed."""
        fd, name = self.place(path)
        os.mkdir(name, 0o700, dir_fd=fd)

    def make_file(self, path: bytes) -> int:
        """Make a file exclusively, private until it is dressed; gives its descriptor."""
        fd, name = self.place(path)
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)

    def make_other(self, entry: Entry, path: bytes) -> bool:
        """Make a symlink, FIFO or device node; False (and told) where that was not asked for."""
        fd, name = self.place(path)
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, name, dir_fd=fd)
        elif entry.kind is Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=fd)
        elif not self._devices:
            self._progress(Problem(entry.path, "is a device node; say --devices to restore it"))
            return False
        else:
            kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER_DEVICE else stat.S_IFBLK
            os.mknod(name, kind | 0o600, entry.device, dir_fd=fd)
        return True

    def link(self, made: bytes, path: bytes) -> None:
        """Give a file that this target made a second name."""
        fd, name = self.place(made)
        other = os.dup(fd)
        try:
            at, second = self.place(path)
            os.link(name, second, src_dir_fd=other, dst_dir_fd=at, follow_symlinks=False)
        finally:
            os.close(other)

    # ── dressing ──

    def dress(self, path: bytes, entry: Entry) -> None:
        """Set owner, mode, extended attributes and times of what is there; the root is b"".

        What cannot be set is told, and the rest is set all the same.
        """
        fd, name = (self.fd, b".") if not path else self.place(path)
        owned = self._own(fd, name, entry)
        if entry.kind is not Kind.SYMLINK:
            mode = entry.mode
            if not owned and mode & 0o7000:
                mode &= 0o777
                self._progress(Problem(entry.path, OWNERLESS))
            os.chmod(b"/proc/self/fd/%d/%s" % (fd, name), mode)
        self._dress_xattrs(fd, name, entry)
        try:
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)
        except (OSError, OverflowError):
            self._progress(Problem(entry.path, "its time cannot be set on this file system"))

    def dress_open(self, fd: int, entry: Entry) -> None:
        """Dress a regular file by its descriptor: the same as `dress`, with fewer calls."""
        owned = True
        try:
            if (entry.uid, entry.gid) != _ME:
                os.fchown(fd, entry.uid, entry.gid)
        except PermissionError:
            owned = False
            self.tell_owner(entry)
        mode = entry.mode
        if not owned and mode & 0o7000:
            mode &= 0o777
            self._progress(Problem(entry.path, OWNERLESS))
        os.fchmod(fd, mode)
        for attribute, value in entry.xattrs:
            try:
                os.setxattr(fd, attribute, value)
            except OSError as error:
                self._tell_xattr(entry, attribute, error)
        try:
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except (OSError, OverflowError):
            self._progress(Problem(entry.path, "its time cannot be set on this file system"))

    def _own(self, fd: int, name: bytes, entry: Entry) -> bool:
        try:
            os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        except PermissionError:
            if (entry.uid, entry.gid) != _ME:
                self.tell_owner(entry)
                return False
        return True

    def tell_owner(self, entry: Entry) -> None:
        """Tell, once for each owner, that only root can give files to others."""
        owner = (entry.uid, entry.gid)
        if owner not in self.strangers:
            self.strangers.add(owner)
            whose = ":".join(
                os.fsdecode(name) or str(number) for name, number in zip((entry.user, entry.group), owner, strict=True)
            )
            self._progress(
                Notice(entry.path, f"its owner {whose} could not be restored, here and wherever it owns more")
            )

    def _dress_xattrs(self, fd: int, name: bytes, entry: Entry) -> None:
        path = b"/proc/self/fd/%d/%s" % (fd, name)
        for attribute, value in entry.xattrs:
            try:
                os.setxattr(path, attribute, value, follow_symlinks=False)
            except OSError as error:
                self._tell_xattr(entry, attribute, error)

    def _tell_xattr(self, entry: Entry, attribute: bytes, error: OSError) -> None:
        reason = os.strerror(error.errno or 0)
        self._progress(Problem(entry.path, f"its attribute {os.fsdecode(attribute)} cannot be set: {reason}"))

    # ── the rest ──

    def status(self, path: bytes) -> os.stat_result | None:
        """Give what lstat says of a path, None if it is not there."""
        try:
            fd, name = self.place(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def open_file(self, path: bytes) -> int:
        """Open an existing regular file for reading; a FIFO in its place does not hang."""
        fd, name = self.place(path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)

    def sync(self) -> None:
        """Make all that was written to this file system durable, at once."""
        if _libc.syncfs(self.fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


_ME = (os.geteuid(), os.getegid())
