"""Which streams are whole: every chunk that a root names lies in a sound blob, and their lengths add up to its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from casstore.chunkstore.lists import split_ids
from casstore.entry import Root
from casstore.errors import BlobDamaged, ChunkMissing, Damaged, FormatDamaged
from casstore.ids import ChunkId
from casstore.repository import Repository
from casstore.verify.packs import Packs

MANY_ROOTS = 20_000  # so many sound streams of several chunks are remembered, to be passed over in the next snapshot
MANY_LISTS = 50_000  # so many sound lists too: those of a log that grew are those that it had, but the last


class _List(NamedTuple):
    """A list whose chunks are sound: their length in bytes together; the bytes of an id that the next list ends."""

    length: int
    rest: bytes


class Streams:
    """Judges roots, by the directories of the packs and by what was found bad in them."""

    def __init__(self, fresh: Repository, packs: Packs) -> None:
        self._fresh, self._packs = fresh, packs
        self._sound: set[Root] = set()
        self._lists: dict[tuple[ChunkId, bytes], _List] = {}  # by what was left over of the list before

    def missing(self, streams: Sequence[tuple[bytes, Root]]) -> Iterator[tuple[bytes, str]]:
        """Say which of the streams, each with its path, cannot be read, and why."""
        known = self._packs.lengths
        rest = {chunk for _, root in streams if not root.height for chunk in root.ids if chunk not in known}
        lengths = self._fresh.cache.lengths(rest)
        for path, root in streams:
            _, length, ids = root
            if len(ids) == 1 and not root.height and (known.get(ids[0]) or lengths.get(ids[0])) == length:
                continue  # one chunk, sound and as long as it should be: most files
            if root in self._sound:
                continue
            if (reason := self._why(root, lengths)) is not None:
                yield path, reason
                continue
            if len(self._sound) >= MANY_ROOTS:
                self._sound.clear()
            self._sound.add(root)

    def _why(self, root: Root, lengths: dict[ChunkId, int]) -> str | None:
        try:
            length = self._listed(root) if root.height else sum([self._length(chunk, lengths) for chunk in root.ids])
        except Damaged as error:
            return str(error)
        return None if length == root.length else f"is {length} bytes long instead of {root.length}"

    def _listed(self, root: Root) -> int:
        """Give the length in bytes of all chunks that a stream's lists name.

        Raises:
            Damaged: one of them, or of the lists, cannot be read.
        """
        length, begun = 0, b""
        for chunk in self._fresh.chunks.expand(root._replace(height=root.height - 1)):
            step = self._lists.get((chunk, begun))
            if step is None:
                step = self._proven(chunk, begun)
                if len(self._lists) >= MANY_LISTS:
                    self._lists.clear()
                self._lists[chunk, begun] = step
            length, begun = length + step.length, step.rest
            if length > root.length:
                raise FormatDamaged(f"is longer than the {root.length} bytes that its root says")
        if begun:
            raise FormatDamaged("a list of ids is cut")
        return length

    def _proven(self, chunk: ChunkId, begun: bytes) -> _List:
        ids = begun + self._fresh.chunks.get(chunk)
        whole = len(ids) - len(ids) % 32
        named = list(split_ids(ids[:whole]))
        lengths = self._fresh.cache.lengths({one for one in named if one not in self._packs.lengths})
        return _List(sum([self._length(one, lengths) for one in named]), ids[whole:])

    def _length(self, chunk: ChunkId, lengths: dict[ChunkId, int]) -> int:
        """Give the length of a chunk in bytes.

        Raises:
            Damaged: it does not lie in a sound blob.
        """
        length = self._packs.lengths.get(chunk) or lengths.get(chunk)
        if length is None:
            raise BlobDamaged(self._packs.bad[chunk]) if chunk in self._packs.bad else ChunkMissing(chunk)
        return length
