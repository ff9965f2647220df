"""Who uses a folder now, as `/proc` tells: pure reading, no process is touched.

This process and its ancestors are never reported: the shell that runs the command may well stand in the
folder. Processes of other users can only be looked into by root; what may not be seen is not reported, so an
empty answer means "none that this user can see". Device and inode decide, never a path: a path may be another
one in a container.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from casstore.values import dataclass

MOST_COMMAND = 64 << 10  # bytes of a command line
_LISTENING_TCP = "0A"  # TCP_LISTEN in net/tcp
_ACCEPTING_UNIX = 0x10000  # __SO_ACCEPTCON in net/unix

FileId = tuple[int, int]  # st_dev, st_ino


@dataclass(frozen=True, slots=True)
class Process:
    """A process at the moment it was looked at; `command` is its command line, which may hold secrets."""

    pid: int
    command: str

    @property
    def program(self) -> str:
        """Give the name of what it runs, which everybody may see."""
        return os.path.basename(self.command.partition(" ")[0]) or "?"


def open_for_writing(proc: str = "/proc") -> dict[FileId, Process]:
    """Give each regular file that another process has open, or mapped, for writing."""
    found: dict[FileId, Process] = {}
    for pid in _others(proc):
        base = f"{proc}/{pid}"
        for file in (*_written(base), *_mapped(base)):
            if file not in found:
                found[file] = Process(pid, _command(base))
    return found


def listening_below(folder: FileId, proc: str = "/proc") -> list[Process]:
    """Give the processes that listen on a TCP or Unix socket with their working folder in `folder` or below."""
    found = []
    for pid in _others(proc):
        base = f"{proc}/{pid}"
        if _stands_below(base, folder) and _listens(base):
            found.append(Process(pid, _command(base)))
    return found


def standing_below(folder: FileId, proc: str = "/proc") -> list[Process]:
    """Give the processes with their working folder in `folder` or below, listening or not; also a deleted one."""
    return [Process(pid, _command(base)) for pid in _others(proc) if _stands_below(base := f"{proc}/{pid}", folder)]


def listening_on(port: int, proc: str = "/proc") -> list[Process | None]:
    """Give who listens on a TCP port, seen from this network: None for each socket whose process cannot be seen."""
    sockets = set(_listening_on(port, proc))
    found: list[Process | None] = []
    seen = set()
    for pid in _others(proc) if sockets else ():
        base = f"{proc}/{pid}"
        if held := {link for number in _list(f"{base}/fd") if (link := _socket(base, number)) in sockets}:
            seen |= held
            found.append(Process(pid, _command(base)))
    return found + [None] * len(sockets - seen)


def descends(pid: int, ancestor: int, proc: str = "/proc") -> bool:
    """Whether a process is another one, or was started by it, as far as those in between still live."""
    while pid > 1 and pid != ancestor:
        pid = _parent(f"{proc}/{pid}")
    return pid == ancestor


def started_by(child: int, proc: str = "/proc") -> list[Process]:
    """Give a child of this process and what it started, as far as those in between still live.

    One that is waited for is nobody's child any more, and its number may be another's: then there is none.
    """
    if _parent(f"{proc}/{child}") != os.getpid():
        return []
    return [Process(pid, _command(f"{proc}/{pid}")) for pid in _others(proc) if descends(pid, child, proc)]


def catches(pid: int, number: int, proc: str = "/proc") -> bool:
    """Whether a process handles a signal; one that does not is ended by most of them, or never hears of it."""
    with suppress(OSError, ValueError), open(f"{proc}/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"SigCgt:"):
                return bool(int(line[7:], 16) >> (number - 1) & 1)
    return False


def began_s(pid: int, proc: str = "/proc") -> float | None:
    """Give when a process began, in seconds since 1970, give or take one; None if there is none of that number."""
    with suppress(OSError, ValueError, IndexError, StopIteration):
        with open(f"{proc}/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open(f"{proc}/stat", "rb") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    return None


def has_terminal(pid: int, proc: str = "/proc") -> bool:
    """Whether a process belongs to a session of a terminal, as shells and editors do, and services do not."""
    with suppress(OSError, ValueError, IndexError), open(f"{proc}/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[4]) != 0
    return False


def carrying(variable: str, proc: str = "/proc") -> list[Process]:
    """Give the processes that were started with `NAME=value` in their environment, and those that they started."""
    wanted = os.fsencode(variable)
    found = []
    for pid in _others(proc):
        base = f"{proc}/{pid}"
        with suppress(OSError), open(f"{base}/environ", "rb") as file:
            if wanted in file.read().split(b"\0"):
                found.append(Process(pid, _command(base)))
    return found


def _others(proc: str) -> Iterator[int]:
    own = set()
    pid = os.getpid()
    while pid > 0 and pid not in own:
        own.add(pid)
        pid = _parent(f"{proc}/{pid}")
    for name in os.listdir(proc):
        if name.isdigit() and int(name) not in own:
            yield int(name)


def _parent(base: str) -> int:
    with suppress(OSError, ValueError, IndexError), open(f"{base}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0


def _command(base: str) -> str:
    with suppress(OSError), open(f"{base}/cmdline", "rb") as file:
        line = file.read(MOST_COMMAND).rstrip(b"\0").replace(b"\0", b" ")
        if line:
            return line.decode(errors="replace")
    with suppress(OSError), open(f"{base}/comm", "rb") as file:
        return file.read().decode(errors="replace").strip()
    return "?"


def _written(base: str) -> Iterator[FileId]:
    """Yield the files behind descriptors that may write."""
    for number in _list(f"{base}/fd"):
        with suppress(OSError, ValueError):
            if not os.readlink(f"{base}/fd/{number}").startswith("/"):
                continue
            with open(f"{base}/fdinfo/{number}", "rb") as file:
                flags = next(int(line[6:], 8) for line in file if line.startswith(b"flags:"))
            if flags & os.O_ACCMODE == os.O_RDONLY:
                continue
            status = os.stat(f"{base}/fd/{number}")
            if stat.S_ISREG(status.st_mode):
                yield status.st_dev, status.st_ino


def _mapped(base: str) -> Iterator[FileId]:
    """Yield the files that are mapped shared and writable: their descriptor may be closed long since."""
    with suppress(OSError), open(f"{base}/maps", "rb") as file:
        for line in file:
            parts = line.split(None, 5)
            if len(parts) == 6 and parts[1][1:2] == b"w" and parts[1][3:4] == b"s" and parts[4] != b"0":
                major, _, minor = parts[3].partition(b":")
                yield os.makedev(int(major, 16), int(minor, 16)), int(parts[4])


def _stands_below(base: str, folder: FileId) -> bool:
    """Walk up from the working folder; a deleted one still leads to where it was."""
    try:
        at = os.open(f"{base}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        here = _identity(at)
        while here != folder:
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = above
            there = _identity(at)
            if there == here:
                return False
            here = there
        return True
    except OSError:
        return False
    finally:
        os.close(at)


def _identity(fd: int) -> FileId:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _listens(base: str) -> bool:
    sockets = {_socket(base, number) for number in _list(f"{base}/fd")} - {""}
    # Through the process's own net folder: it may live in another network namespace.
    return bool(sockets) and any(inode in sockets for inode in _listening_sockets(base))


def _socket(base: str, number: str) -> str:
    """Give the inode of the socket behind a descriptor, "" if it is none."""
    with suppress(OSError):
        link = os.readlink(f"{base}/fd/{number}")
        return link[8:-1] if link.startswith("socket:[") else ""
    return ""


def _listening_on(port: int, proc: str) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError), open(f"{proc}/self/net/{name}") as file:
            for line in file:
                parts = line.split()
                if len(parts) > 9 and parts[3] == _LISTENING_TCP and int(parts[1].rpartition(":")[2], 16) == port:
                    yield parts[9]


def _listening_sockets(base: str) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError), open(f"{base}/net/{name}") as file:
            for line in file:
                parts = line.split()
                if len(parts) > 9 and parts[3] == _LISTENING_TCP:
                    yield parts[9]
    with suppress(OSError), open(f"{base}/net/unix", errors="replace") as file:
        next(file, None)
        for line in file:
            parts = line.split()
            with suppress(ValueError, IndexError):
                if int(parts[3], 16) & _ACCEPTING_UNIX:
                    yield parts[6]


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
