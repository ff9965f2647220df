"""Trees that are hard to copy, and a comparison that forgives nothing."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress


def strict_difference(one: bytes, other: bytes) -> list[str]:
    """Say what differs between two trees; the roots themselves are not compared."""
    left, right = dict(_walk(one)), dict(_walk(other))
    out = [f"{path!r} is missing" for path in left.keys() - right.keys()]
    out += [f"{path!r} is new" for path in right.keys() - left.keys()]
    for path in left.keys() & right.keys():
        for what in left[path].keys() | right[path].keys():
            a, b = left[path].get(what), right[path].get(what)
            if a != b:
                out.append(f"{path[-60:]!r}: {what} is {str(b)[:80]} instead of {str(a)[:80]}")
    if _linked(one) != _linked(other):
        out.append("hard links differ")
    return sorted(out)


def _descend(root: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield (path, folder descriptor, name); goes by descriptors, since paths may be longer than PATH_MAX."""
    stack = [(b"", os.open(root, os.O_RDONLY | os.O_DIRECTORY))]
    while stack:
        path, fd = stack.pop()
        for name in sorted(os.fsencode(name) for name in os.listdir(fd)):
            below = path + b"/" + name if path else name
            yield below, fd, name
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                stack.append((below, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)))
        os.close(fd)


def _walk(root: bytes) -> Iterator[tuple[bytes, dict[str, object]]]:
    for path, fd, name in _descend(root):
        s = os.stat(name, dir_fd=fd, follow_symlinks=False)
        facts: dict[str, object] = {
            "kind": stat.S_IFMT(s.st_mode), "mode": oct(stat.S_IMODE(s.st_mode)), "owner": (s.st_uid, s.st_gid),
            "mtime": s.st_mtime_ns, "attributes": _attributes(fd, name),
        }  # fmt: skip
        if stat.S_ISLNK(s.st_mode):
            facts["target"] = os.readlink(name, dir_fd=fd)
        elif stat.S_ISREG(s.st_mode):
            facts["size"] = s.st_size
            facts["content"] = _content(fd, name)
        elif stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
            facts["device"] = s.st_rdev
        yield path, facts


def _attributes(fd: int, name: bytes) -> dict[str, bytes]:
    path = b"/proc/self/fd/%d/%s" % (fd, name)
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {each: os.getxattr(path, each, follow_symlinks=False) for each in names}
    except OSError:
        return {}


def _content(fd: int, name: bytes) -> list[tuple[int, bytes]]:
    """Give the runs of bytes between the holes."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    try:
        out, at = [], 0
        while True:
            try:
                at = os.lseek(file, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return out
            end = os.lseek(file, at, os.SEEK_HOLE)
            out.append((at, os.pread(file, end - at, at)))
            at = end
    finally:
        os.close(file)


def _linked(root: bytes) -> set[frozenset[bytes]]:
    groups = defaultdict(set)
    for path, fd, name in _descend(root):
        s = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISDIR(s.st_mode) and s.st_nlink > 1:
            groups[s.st_dev, s.st_ino].add(path)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def build_difficult_tree(root: bytes) -> list[bytes]:
    """Make everything that a tree may hold; gives the paths that cannot be saved (sockets)."""
    os.makedirs(root)
    fd = os.open(root, os.O_RDONLY)

    def path(name: bytes) -> bytes:
        return root + b"/" + name

    def write(name: bytes, data: bytes, mode: int = 0o644) -> None:
        with open(path(name), "wb") as file:
            file.write(data)
        os.chmod(path(name), mode)

    for name in (b"not-utf8-\xff\xfe", b"new\nline", b"n" * 255, b"-rf", b" ", b"a\\b", "ação.json".encode()):
        write(name, name)
    write(b"empty", b"")
    write(b"large", bytes(range(256)) * 5000)
    for name, mode in ((b"setuid", 0o4755), (b"setgid", 0o2755), (b"nothing", 0)):
        write(name, b"x", mode)
    os.mkdir(path(b"sticky"))
    os.chmod(path(b"sticky"), 0o1777)
    os.mkdir(path(b"empty folder"))
    for name, target in ((b"dangling", b"nowhere"), (b"loop", b"loop"), (b"bytes", b"\xff\xfe"), (b"up", b"../..")):
        os.symlink(target, path(name))
    os.link(path(b"large"), path(b"sticky/second name of large"))
    os.link(path(b"dangling"), path(b"second dangling"), follow_symlinks=False)
    with open(path(b"sparse"), "wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"data" * 4096)
    with open(path(b"only a hole"), "wb") as file:
        file.truncate(1 << 20)
    os.mkfifo(path(b"pipe"))
    if os.geteuid() == 0:
        os.mknod(path(b"null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(path(b"disk"), stat.S_IFBLK | 0o600, os.makedev(7, 99))
        os.chown(path(b"-rf"), 12345, 54321)
    at = os.open(b"sticky", os.O_RDONLY, dir_fd=fd)
    for _ in range(300):
        os.mkdir(b"d" * 60, dir_fd=at)
        below = os.open(b"d" * 60, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open(b"bottom", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    with suppress(OSError):  # not every file system has them
        os.setxattr(path(b"empty"), "user.note", b"\0value")
    acl = bytes.fromhex("02000000 01000600ffffffff 02000400d2040000 04000400ffffffff 10000400ffffffff 20000400ffffffff")
    with suppress(OSError):
        os.setxattr(path(b"large"), "system.posix_acl_access", acl)
    server = socket.socket(socket.AF_UNIX)
    server.bind(b"/proc/self/fd/%d/socket" % fd)
    server.close()
    for name, when in ((b"empty", -(10**18)), (b"large", 10**19 - 7), (b"up", 123456789), (b"empty folder", 5)):
        os.utime(path(name), ns=(when, when), follow_symlinks=False)
    os.close(fd)
    return [b"socket"]
