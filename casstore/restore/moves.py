"""The renames that a swap is made of: atomic, never over something, never through a symlink.

A place is a pair of an open folder and a name in it, so that no path is walked and nothing outside is met. `swap` is
RENAME_EXCHANGE: at every moment, and after every crash, the live name leads to one whole thing. File systems without
it (NFS, some FUSE) take the way over a second hard link, which covers the live name in one step too; only a folder
that takes the place of a file, or a file that of a folder, is then absent for a moment, and the journal brings it back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

_NOREPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

_libc = ctypes.CDLL(None, use_errno=True)

Place = tuple[int, bytes]  # an open folder, a name in it


def _renameat2(source: Place, target: Place, flags: int) -> None:
    if _libc.renameat2(source[0], source[1], target[0], target[1], flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target[1])


def status(place: Place) -> os.stat_result | None:
    """Give what stands there, itself and not what it may point to; None if there is nothing."""
    try:
        return os.stat(place[1], dir_fd=place[0], follow_symlinks=False)
    except FileNotFoundError:
        return None


def move(source: Place, target: Place) -> None:
    """Rename to a name that is free.

    Raises:
        FileExistsError: it is taken; nothing was moved.
    """
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if status(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target[1]) from None
        os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])


def swap(staged: Place, live: Place, aside: Place) -> Place:
    """Put what is staged in the place of what is live, and give the place where that is kept now."""
    try:
        _renameat2(staged, live, _EXCHANGE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _cover(staged, live, aside)
        return aside
    return staged


def _cover(staged: Place, live: Place, aside: Place) -> None:
    """Exchange by two steps, the second of which is the swap."""
    kinds = [os.stat(place[1], dir_fd=place[0], follow_symlinks=False).st_mode for place in (staged, live)]
    if not any(stat.S_ISDIR(kind) for kind in kinds):
        try:
            os.link(live[1], aside[1], src_dir_fd=live[0], dst_dir_fd=aside[0], follow_symlinks=False)
        except FileExistsError:
            pass  # a crash came between the two steps: it stands there already
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EMLINK, *_UNSUPPORTED):
                raise
            os.rename(live[1], aside[1], src_dir_fd=live[0], dst_dir_fd=aside[0])
    else:
        os.rename(live[1], aside[1], src_dir_fd=live[0], dst_dir_fd=aside[0])
    os.rename(staged[1], live[1], src_dir_fd=staged[0], dst_dir_fd=live[0])


def sync_file_system(fd: int) -> None:
    """Make all that was written to the file system durable: one call, not one a file.

    Raises:
        OSError: some of it could not be written back, since the last call with this descriptor.
    """
    if _libc.syncfs(fd):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
