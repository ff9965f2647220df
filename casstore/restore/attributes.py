"""What stays where it is and only changes its mode, owner, times and extended attributes.

The live thing is pinned by a descriptor first, so that nobody can exchange it for a symlink between look and change.
"""

from __future__ import annotations

import errno
import os
import stat

from casstore.entry import Entry, Kind
from casstore.progress import Problem, Progress
from casstore.restore.ground import Ground
from casstore.target import OWNERLESS

KINDS = {
    stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE, stat.S_IFBLK: Kind.BLOCK_DEVICE,
}  # fmt: skip
_ALL = (b"",)
_OWN = (b"user.", b"system.posix_acl_")  # what a user who is not root can set


def describe(target: Ground, path: bytes, status: os.stat_result) -> Entry:
    """Give the entry of what is live, without content. `status` must be of a kind that entries know."""
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    fd, name = target.place(path)
    symlink = os.readlink(name, dir_fd=fd) if kind is Kind.SYMLINK else b""
    device = status.st_rdev if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) else 0
    return Entry(
        path, kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, b"", b"", status.st_mtime_ns,
        status.st_size if kind is Kind.FILE else 0, target=symlink, device=device,
        xattrs=_read_xattrs(b"/proc/self/fd/%d/%s" % (fd, name)),
    )  # fmt: skip


def alike(wanted: Entry, live: Entry) -> bool:
    """Whether nothing is left to set that this user can set."""
    root = os.geteuid() == 0
    owned = (wanted.uid, wanted.gid) == (live.uid, live.gid)
    if root and not owned:
        return False
    bits = 0o7777 if owned else 0o777
    if wanted.kind is not Kind.SYMLINK and (wanted.mode ^ live.mode) & bits:
        return False
    prefixes = _ALL if root else _OWN
    return wanted.mtime_ns == live.mtime_ns and [x for x in wanted.xattrs if x[0].startswith(prefixes)] == [
        x for x in live.xattrs if x[0].startswith(prefixes)
    ]


def dress(target: Ground, path: bytes, entry: Entry, progress: Progress) -> None:
    """Set all that differs; what cannot be set is told.

    Raises:
        FileNotFoundError: nothing of that kind is there.
    """
    fd, name = target.place(path)
    pin = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        status = os.fstat(pin)
        if KINDS.get(stat.S_IFMT(status.st_mode)) is not entry.kind:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        _dress(target, b"/proc/self/fd/%d" % pin, status, entry, progress)
    finally:
        os.close(pin)


def _dress(target: Ground, at: bytes, status: os.stat_result, entry: Entry, progress: Progress) -> None:
    mode = entry.mode
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        try:
            os.chown(at, entry.uid, entry.gid)
        except PermissionError:
            target.tell_owner(entry)
            if mode & 0o7000:
                mode &= 0o777
                progress(Problem(entry.path, OWNERLESS))
    if entry.kind is not Kind.SYMLINK:
        try:
            os.chmod(at, mode)
        except OSError as error:
            progress(Problem(entry.path, f"its mode cannot be set: {os.strerror(error.errno or 0)}"))
    _dress_xattrs(at, entry, progress)
    try:
        os.utime(at, ns=(entry.mtime_ns, entry.mtime_ns))
    except (OSError, OverflowError):
        progress(Problem(entry.path, "its time cannot be set on this file system"))


def _dress_xattrs(at: bytes, entry: Entry, progress: Progress) -> None:
    have, wanted = dict(_read_xattrs(at)), dict(entry.xattrs)
    for name in have.keys() - wanted.keys():
        try:
            os.removexattr(at, name)
        except OSError as error:
            if not name.startswith(b"security."):  # labels are set by the system, for new files too
                _tell(entry, name, "removed", error, progress)
    for name, value in wanted.items():
        if have.get(name) != value:
            try:
                os.setxattr(at, name, value)
            except OSError as error:
                _tell(entry, name, "set", error, progress)


def _tell(entry: Entry, name: bytes, what: str, error: OSError, progress: Progress) -> None:
    reason = os.strerror(error.errno or 0)
    progress(Problem(entry.path, f"its attribute {os.fsdecode(name)} cannot be {what}: {reason}"))


def _read_xattrs(at: bytes) -> tuple[tuple[bytes, bytes], ...]:
    follow = at.count(b"/") == 4  # a pinned descriptor is followed to the thing itself, a name in a folder is not
    try:
        found = os.listxattr(at, follow_symlinks=follow)
        if not found:
            return ()
        return tuple(sorted((os.fsencode(x), os.getxattr(at, x, follow_symlinks=follow)) for x in found))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.EBADF):
            return ()
        raise
