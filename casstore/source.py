"""Reads a tree in manifest order, live files with care.

Everything goes through folder descriptors, so that paths may be longer than PATH_MAX and nothing can be exchanged for
a symlink on the way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b

from casstore.entry import EMPTY, MOST_IN_FOLDER, Entry, Kind, Root, join
from casstore.openfile import OpenFile
from casstore.progress import Notice, Problem, Progress, silent
from casstore.selection import Chooser, Rules, Selection, ignore_rules, ignores, is_literal
from casstore.values import dataclass

IGNORE_FILE = b".casignore"
UNMATCHED = ("does not exist", "matches nothing yet")  # what is said of a path, and of a pattern
STAGING = b".cas-restore-"  # with 16 hex digits behind: what a restore leaves behind is nobody's data
CACHE_TAG, CACHE_SIGNATURE = b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"
Xattrs = tuple[tuple[bytes, bytes], ...]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE, stat.S_IFBLK: Kind.BLOCK_DEVICE,
}  # fmt: skip


@dataclass(slots=True)
class Listing:
    """One folder: its selected entries, sorted by name. `fd` is open until the next listing is asked for.

    `rules` leave something out here, those of the deepest folder last; `whole`: nothing else does.
    """

    path: bytes
    fd: int
    names: list[bytes]
    stats: list[os.stat_result]
    source: Source
    rules: Sequence[tuple[bytes, Rules]] = ()
    whole: bool = True

    def describe(
        self,
        i: int,
        content: Root = EMPTY,
        *,
        extents: tuple[tuple[int, int], ...] | None = None,
        size: int | None = None,
        mtime_ns: int | None = None,
        xattrs: Xattrs | None = None,
    ) -> Entry:
        """Give the entry, with the content that was read; what is not given is asked of the file.

        Raises:
            OSError: it vanished, or may not be read.
        """
        name, s = self.names[i], self.stats[i]
        kind = _KINDS[stat.S_IFMT(s.st_mode)]
        device = s.st_rdev if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) else 0
        target = os.readlink(name, dir_fd=self.folder(i)) if kind is Kind.SYMLINK else b""
        link = b""
        if size is None:
            size = s.st_size if kind is Kind.FILE else 0
        if s.st_nlink > 1 and kind is not Kind.FOLDER:
            # With all that the content is: an inode may be written to, or given to another file, between two names.
            facts = (s.st_dev, s.st_ino, int(kind), size, tuple(content), extents, target, device)
            link = blake2b(repr(facts).encode(), digest_size=8).digest()
        return Entry(
            join(self.path, name), kind, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid, self.source.user(s.st_uid),
            self.source.group(s.st_gid), s.st_mtime_ns if mtime_ns is None else mtime_ns, size, content, extents,
            target, device, link, self.xattrs(i) if xattrs is None else xattrs,
        )  # fmt: skip

    def xattrs(self, i: int, fd: int | None = None) -> Xattrs:
        """Give the extended attributes of an entry, asked of its descriptor if it is open. What is refused is told.

        Raises:
            OSError: it vanished, or cannot be read.
        """
        of: int | bytes = b"/proc/self/fd/%d/%s" % (self.folder(i), self.names[i]) if fd is None else fd
        follow = fd is not None
        try:
            names = os.listxattr(of, follow_symlinks=follow)
        except OSError as error:
            self._pass_over(i, "attributes", error)
            return ()
        found = []
        for name in names:
            try:
                found.append((os.fsencode(name), os.getxattr(of, name, follow_symlinks=follow)))
            except OSError as error:
                self._pass_over(i, f"attribute {name}", error)
        return tuple(sorted(found))

    def _pass_over(self, i: int, what: str, error: OSError) -> None:
        if error.errno in (errno.EACCES, errno.EPERM):
            reason = f"its {what} cannot be read: {os.strerror(error.errno)}"
            self.source.progress(Problem(join(self.path, self.names[i]), reason))
        elif error.errno not in (errno.ENODATA, errno.ENOTSUP):  # gone meanwhile; unknown to this file system
            raise error

    def open(self, i: int) -> OpenFile:
        """Open a file for reading. If another was put in its place, as applications save, `stats` tells of that one.

        Raises:
            OSError: it vanished, may not be read, or is no file by now.
        """
        fd = self._open(i)
        try:
            file = OpenFile(fd)
            if not stat.S_ISREG(file.stat.st_mode):
                raise OSError(errno.ESTALE, "no file by now")
            known = self.stats[i]
            if (file.stat.st_dev, file.stat.st_ino) != (known.st_dev, known.st_ino):
                self.stats[i] = file.stat  # replaced since it was listed: the entry is the file that is read
            return file
        except BaseException:
            os.close(fd)
            raise

    def look(self, i: int) -> None:
        """List one entry once more, since it is about to be read again.

        Raises:
            OSError: it is no more.
        """
        self.stats[i] = os.stat(self.names[i], dir_fd=self.folder(i), follow_symlinks=False)

    def folder(self, i: int) -> int:
        """Give the descriptor of the folder in which an entry lies."""
        return self.fd

    def _open(self, i: int) -> int:
        return self.source.open(self.names[i], _FILE, self.folder(i))

    def read_small(self, wanted: Iterable[int], max_bytes: int) -> Iterator[tuple[int, bytes, Xattrs]]:
        """Yield bytes and attributes of files of at most `max_bytes`; those are missing that `open` must judge.

        Tells nothing, and so may run in any thread while the folder is open. The hot loop of a first backup of many
        files: six system calls each.
        """
        for i in wanted:
            known = self.stats[i]
            try:
                fd = self._open(i)
            except OSError:
                continue
            try:
                s = os.fstat(fd)
                size = s.st_size
                same = s.st_ino == known.st_ino and s.st_dev == known.st_dev and stat.S_ISREG(s.st_mode)
                if not same or size > max_bytes or s.st_mtime_ns != known.st_mtime_ns:
                    continue
                if os.lseek(fd, 0, os.SEEK_HOLE) < size:  # blocks do not tell: attributes take some too
                    continue
                data = os.pread(fd, size, 0)
                if len(data) == size:
                    yield i, data, _quiet_xattrs(fd)
            except OSError:
                continue
            finally:
                os.close(fd)


def _quiet_xattrs(fd: int) -> Xattrs:
    """Give the extended attributes of an open file.

    Raises:
        OSError: some cannot be read.
    """
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple(sorted([(os.fsencode(name), os.getxattr(fd, name)) for name in names])) if names else ()


class Source:
    """A tree below `origin`. `never`: device and inode of folders that are neither entered nor recorded."""

    def __init__(
        self,
        origin: bytes,
        selection: Selection,
        *,
        never: Collection[tuple[int, int]] = (),
        progress: Progress = silent,
    ) -> None:
        self.origin, self.selection, self.progress = origin, selection, progress
        self._no_atime = os.O_NOATIME if os.geteuid() == 0 else 0
        self._never = set(never)
        self._users: dict[int, bytes] = {}
        self._groups: dict[int, bytes] = {}

    def open(self, name: bytes, flags: int, folder: int) -> int:
        """Open what lies in a folder, for root without a new time of access if it may be.

        Raises:
            OSError: it cannot be opened.
        """
        if self._no_atime:
            with suppress(PermissionError):  # without CAP_FOWNER, as in a unit of systemd, only of one's own
                return os.open(name, flags | self._no_atime, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)

    def walk(self) -> Iterator[Listing]:
        """Yield the folders in manifest order: the origin, then depth first.

        Raises:
            OSError: the origin cannot be read.
        """
        chooser = Chooser(self.selection)
        rules = ignore_rules(self.selection.exclude)
        fd = os.open(self.origin, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        start = [(b"", rules)] if rules is not None else []
        yield from self._walk(fd, b"", chooser.everything, chooser, start)
        for pattern in chooser.unmatched():
            self.progress(Notice(pattern, UNMATCHED[0 if is_literal(pattern) else 1]))

    def _walk(
        self, fd: int, path: bytes, whole: bool, chooser: Chooser, rules: list[tuple[bytes, Rules]]
    ) -> Iterator[Listing]:
        """Walk one folder and what is below it; closes `fd`. An explicit stack: trees may be deeper than Python's."""
        stack: list[tuple[int, bytes, bool, list[tuple[bytes, Rules]], Iterator[tuple[bytes, bool | None]]]] = []
        try:
            while True:
                listing, inside, rules = self._list(fd, path, whole, chooser, rules)
                stack.append((fd, path, whole, rules, iter(inside)))
                yield listing
                while stack:
                    fd, path, whole, rules, below = stack[-1]
                    step = next(below, None)
                    if step is None:
                        stack.pop()
                        os.close(fd)
                        continue
                    name, below_it = step
                    path = join(path, name)
                    if below_it is None:
                        yield Listing(path, -1, [], [], self)
                        continue
                    try:
                        fd = self.open(name, _FOLDER, fd)
                    except OSError as error:
                        self.progress(Problem(path, f"cannot be entered: {os.strerror(error.errno or 0)}"))
                        yield Listing(path, -1, [], [], self)
                        continue
                    whole = below_it
                    break
                else:
                    return
        finally:
            for fd, *_ in stack:
                os.close(fd)

    def _list(
        self, fd: int, path: bytes, whole: bool, chooser: Chooser, rules: list[tuple[bytes, Rules]]
    ) -> tuple[Listing, list[tuple[bytes, bool | None]], list[tuple[bytes, Rules]]]:
        found: list[tuple[bytes, os.stat_result]] = []
        device = os.fstat(fd).st_dev if self.selection.one_file_system else None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    try:
                        found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        at = join(path, os.fsencode(entry.name))
                        self.progress(Problem(at, f"cannot be read: {os.strerror(error.errno or 0)}"))
        except OSError as error:
            self.progress(Problem(path, f"cannot be listed: {os.strerror(error.errno or 0)}"))
        found.sort()
        names_found = {name for name, _ in found} & {IGNORE_FILE, CACHE_TAG}
        if self.selection.ignore_files and IGNORE_FILE in names_found:
            own = ignore_rules(self._read_lines(fd, path, IGNORE_FILE))
            if own is not None:
                rules = [*rules, (path, own)]
        tag_only = (
            self.selection.exclude_caches
            and CACHE_TAG in names_found
            and b"\n".join(self._read_lines(fd, path, CACHE_TAG)).startswith(CACHE_SIGNATURE)
        )
        names: list[bytes] = []
        stats: list[os.stat_result] = []
        inside: list[tuple[bytes, bool | None]] = []
        for name, s in found:
            kind = stat.S_IFMT(s.st_mode)
            below = whole
            if not whole:
                verdict = chooser.choose(join(path, name))
                if verdict == Chooser.LEAVE or (verdict == Chooser.THROUGH and kind != stat.S_IFDIR):
                    continue
                below = verdict == Chooser.TAKE
            if tag_only and name != CACHE_TAG:
                continue
            if rules and is_left_out(join(path, name), rules, is_folder=kind == stat.S_IFDIR):
                continue
            if len(names) == MOST_IN_FOLDER:
                self.progress(Problem(path, f"holds more than {MOST_IN_FOLDER:,} entries: only the first are saved"))
                break
            if kind == stat.S_IFDIR:
                if (s.st_dev, s.st_ino) in self._never:
                    continue
                if is_staging(name):
                    self._tell_unfinished(fd, path, name)
                    continue
                # A mount point keeps its place, with nothing in it, unless it was named itself or lies on the way.
                inside.append((name, None if whole and device is not None and s.st_dev != device else below))
            elif kind not in _KINDS:
                self.progress(Notice(join(path, name), "is a socket, which is not saved"))
                continue
            names.append(name)
            stats.append(s)
        return Listing(path, fd, names, stats, self, rules, whole), inside, rules

    def _tell_unfinished(self, fd: int, path: bytes, name: bytes) -> None:
        """Tell of a folder that an interrupted restore left half old, half new; verbs refuse only where they begin."""
        if has_journal(fd, name):
            self.progress(
                Problem(path or b".", "a restore was interrupted here: finish or undo it, then back up again")
            )

    def _read_lines(self, fd: int, path: bytes, name: bytes) -> list[bytes]:
        try:
            file = os.open(name, _FILE, dir_fd=fd)
        except OSError as error:
            self.progress(Problem(join(path, name), f"cannot be read: {os.strerror(error.errno or 0)}"))
            return []
        try:
            return os.read(file, 1 << 20).splitlines() if stat.S_ISREG(os.fstat(file).st_mode) else []
        finally:
            os.close(file)

    def user(self, uid: int) -> bytes:
        """Give a user's name, b"" if there is none."""
        if uid not in self._users:
            import pwd

            try:
                self._users[uid] = os.fsencode(pwd.getpwuid(uid).pw_name)
            except KeyError:
                self._users[uid] = b""
        return self._users[uid]

    def group(self, gid: int) -> bytes:
        """Give a group's name, b"" if there is none."""
        if gid not in self._groups:
            import grp

            try:
                self._groups[gid] = os.fsencode(grp.getgrgid(gid).gr_name)
            except KeyError:
                self._groups[gid] = b""
        return self._groups[gid]


def is_left_out(path: bytes, rules: Sequence[tuple[bytes, Rules]], *, is_folder: bool) -> bool:
    """Whether the rules of its folders leave a path out; the deepest that says anything counts."""
    for folder, spec in reversed(rules):
        verdict = ignores(spec, path[len(folder) + 1 :] if folder else path, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def is_staging(name: bytes) -> bool:
    """Whether a folder of this name is one in which a restore works."""
    digits = name[len(STAGING) :]
    return name.startswith(STAGING) and len(digits) == 16 and not digits.strip(b"0123456789abcdef")


def has_journal(fd: int, name: bytes) -> bool:
    """Whether the restore of such a folder began to replace files, and did not come to its end yet."""
    try:
        os.stat(name + b"/journal", dir_fd=fd, follow_symlinks=False)
    except OSError:
        return False
    return True
