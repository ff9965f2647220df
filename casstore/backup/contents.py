"""One file into its entry: read with care, its bytes put on the road."""

from __future__ import annotations

import stat
from collections.abc import Callable

from casstore.backup.counts import Counts
from casstore.chunker import Buffer
from casstore.chunkstore import Writer
from casstore.entry import EMPTY, Entry, Root, join
from casstore.selection import Selection
from casstore.source import Listing, Xattrs

Heard = Callable[[Buffer], object]
Version = tuple[int, int, int, int, int]  # of a file's content: device, inode, size, mtime, ctime


class Contents:
    """Reads files. What has several names is read once, as long as it is the same."""

    def __init__(self, writer: Writer, selection: Selection, counts: Counts) -> None:
        self._writer, self._selection, self._counts = writer, selection, counts
        self._linked: dict[Version, Root] = {}  # content of files with several names

    def read(
        self,
        listing: Listing,
        i: int,
        before: Entry | None,
        read: tuple[int, bytes, Xattrs] | None,
        heard: Heard | None = None,
    ) -> Entry:
        """Give the entry of what is listed there; `read` is its content if that is at hand already.

        `heard` is told all bytes that are read, and has each name of a file read by itself.

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
            return listing.describe(i, self._writer.put_small(data, older), size=len(data), xattrs=xattrs)
        file = listing.open(i)
        try:
            s = file.stat
            version = (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
            root = self._linked.get(version) if heard is None else None
            if root is None or root.length != file.data_size:
                read_on = file.read if heard is None else _telling(file.read, heard)
                root = self._writer.put(read_on, previous=older, isolated=isolated)
                self._counts.read += root.length
                if s.st_nlink > 1:
                    self._linked[version] = root
            extents = _trimmed(file.extents, root.length)
            whole = extents is not None and root.length == file.data_size
            size = file.size if whole else sum(extents[-1]) if extents else root.length
            xattrs = listing.xattrs(i, file.fileno())
            return listing.describe(i, root, extents=extents, size=size, mtime_ns=s.st_mtime_ns, xattrs=xattrs)
        finally:
            file.close()


def _telling(read: Callable[[int], bytearray], heard: Heard) -> Callable[[int], bytearray]:
    def read_and_tell(max_bytes: int) -> bytearray:
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
