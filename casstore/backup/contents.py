"""One file into its entry: read with care, its bytes put on the road."""

from __future__ import annotations

import stat
from collections.abc import Callable

from casstore.backup.counts import Counts
from casstore.backup.growing import Growing
from casstore.chunker import Buffer
from casstore.chunkstore import Writer
from casstore.entry import EMPTY, Entry, Root, join
from casstore.openfile import OpenFile
from casstore.selection import Selection
from casstore.source import Listing, Xattrs

Heard = Callable[[Buffer], object]
Version = tuple[int, int, int, int, int]  # of a file's content: device, inode, size, mtime, ctime


class Contents:
    """Reads files. What has several names is read once, as long as it is the same."""

    def __init__(self, writer: Writer, selection: Selection, counts: Counts, growing: Growing) -> None:
        self._writer, self._selection, self._counts, self._growing = writer, selection, counts, growing
        self._linked: dict[Version, tuple[Root, int]] = {}  # content of files with several names, and what proves it

    def read(
        self,
        listing: Listing,
        i: int,
        before: Entry | None,
        read: tuple[int, bytes, Xattrs] | None,
        heard: Heard | None = None,
    ) -> Entry:
        """Give the entry of what is listed there; `read` is its content if that is at hand already.

        `heard` is told all bytes that are read, in their order though perhaps by a worker, and has each name of a file
        read by itself, and whole: what is heard is no file that only grows.

        Raises:
            OSError: it vanished, or may not be read.
        """
        known = listing.stats[i]
        if not stat.S_ISREG(known.st_mode) or known.st_size == 0:
            return listing.describe(i)
        path = join(listing.path, listing.names[i])
        older = before.content if before is not None else EMPTY
        isolated = self._selection.isolates(path)
        if read is not None and not isolated:
            _, data, xattrs = read
            self._counts.read += len(data)
            if heard is not None:
                heard(data)
            inode = known.st_dev, known.st_ino
            if heard is None and self._growing.concerns(path, inode, before):
                root = self._growing.put_small(path, inode, known.st_mtime_ns, data, older)
            else:
                root = self._writer.put_small(data, older)
            return listing.describe(i, root, size=root.length, xattrs=xattrs)
        file = listing.open(i)
        try:
            s = file.stat
            version = (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
            root, proven_ns = self._linked.get(version, (EMPTY, 0))
            if heard is not None or root.length != file.data_size or not root.length:
                root, proven_ns = self._put(file, path, before, isolated, heard)
                if s.st_nlink > 1:
                    self._linked[version] = root, proven_ns
            else:
                self._growing.pass_over(version[:2])
            extents = _trimmed(file.extents, root.length)
            whole = extents is not None and root.length == file.data_size
            size = file.size if whole else sum(extents[-1]) if extents else root.length
            xattrs = listing.xattrs(i, file.fileno())
            entry = listing.describe(i, root, extents=extents, size=size, mtime_ns=s.st_mtime_ns, xattrs=xattrs)
            return entry._replace(proven_ns=proven_ns) if proven_ns else entry
        finally:
            file.close()

    def _put(
        self, file: OpenFile, path: bytes, before: Entry | None, isolated: bool, heard: Heard | None
    ) -> tuple[Root, int]:
        """Put a file's bytes; gives also when it was last read whole if it was read in part, else 0."""
        if heard is None and self._growing.concerns(path, (file.stat.st_dev, file.stat.st_ino), before):
            return self._growing.put(file, path, before, isolated=isolated)
        older = before.content if before is not None else EMPTY
        read_on = file.read if heard is None else _telling(file.read, heard)
        root = self._writer.put(read_on, previous=older, isolated=isolated)
        self._counts.read += root.length
        return root, 0


def _telling(read: Callable[[int], bytes], heard: Heard) -> Callable[[int], bytes]:
    def read_and_tell(max_bytes: int) -> bytes:
        data = read(max_bytes)
        heard(data)
        return data

    return read_and_tell


def _trimmed(extents: tuple[tuple[int, int], ...] | None, length: int) -> tuple[tuple[int, int], ...] | None:
    """Cut the extents of a file that shrank while it was read to what came."""
    if extents is None:
        return None
    out = []
    for offset, part in extents:
        if length <= 0:
            break
        out.append((offset, min(part, length)))
        length -= part
    return tuple(out)
