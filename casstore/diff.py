"""What differs between two trees: a merge of two streams of entries in manifest order. Pure; nothing is kept.

The letters are restic's: `+` only in the new tree, `-` only in the old one, `T` another kind, `M` other content,
`U` other metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from casstore.entry import Entry, Kind
from casstore.values import dataclass

ADDED, REMOVED, TYPE, MODIFIED, METADATA = "+", "-", "T", "M", "U"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that is not alike on both sides."""

    letter: str
    old: Entry | None
    new: Entry | None

    @property
    def entry(self) -> Entry:
        """The entry as it is now, or as it was last."""
        entry = self.new or self.old
        assert entry is not None  # one side is always there
        return entry


def alike(old: Entry, new: Entry) -> bool:
    """Whether two files of a repository have the same bytes; the roots tell without reading them."""
    return old.content == new.content and old.size == new.size


def compare(
    old: Iterable[Entry],
    new: Iterable[Entry],
    *,
    same_bytes: Callable[[Entry, Entry], bool] = alike,
    folder_times: bool = False,
) -> Iterator[Difference]:
    """Yield what differs, in manifest order; both sides must come in that order.

    `same_bytes` is asked for two files under one path. A folder's mtime changes with every name in it and is passed
    over unless `folder_times`.
    """
    for before, after in _merge(old, new):
        if before is None or after is None:
            yield Difference(ADDED if before is None else REMOVED, before, after)
        elif before.kind is not after.kind:
            yield Difference(TYPE, before, after)
        elif not _same_content(before, after, same_bytes):
            yield Difference(MODIFIED, before, after)
        elif _metadata(before, folder_times) != _metadata(after, folder_times):
            yield Difference(METADATA, before, after)


def order(path: bytes) -> bytes:
    """Give a key that sorts paths as a manifest does: a folder's own entries, then its subfolders' blocks."""
    folder, _, name = path.rpartition(b"/")
    blocks = b"\2" + folder.replace(b"/", b"\0\2") + b"\0" if folder else b""
    return blocks + b"\1" + name  # NUL ends a name, so "a" sorts before "a.b" whatever follows


def _merge(old: Iterable[Entry], new: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    olds, news = iter(old), iter(new)
    before, after = next(olds, None), next(news, None)
    while before is not None or after is not None:
        if after is None or (before is not None and order(before.path) < order(after.path)):
            yield before, None
            before = next(olds, None)
        elif before is None or order(after.path) < order(before.path):
            yield None, after
            after = next(news, None)
        else:
            yield before, after
            before, after = next(olds, None), next(news, None)


def _same_content(old: Entry, new: Entry, same_bytes: Callable[[Entry, Entry], bool]) -> bool:
    if old.kind is Kind.FILE:
        return same_bytes(old, new)
    return (old.target, old.device) == (new.target, new.device)


def _metadata(entry: Entry, folder_times: bool) -> Entry:
    """Give what remains of an entry without its content: also without its hard link label, which names no fact."""
    time = 0 if entry.kind is Kind.FOLDER and not folder_times else entry.mtime_ns
    return entry._replace(
        content=_NOTHING.content, size=0, extents=None, link=b"", torn=False, mtime_ns=time, proven_ns=0
    )


_NOTHING = Entry(b"", Kind.FILE, 0, 0, 0, b"", b"", 0)
