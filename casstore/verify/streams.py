"""Which streams are whole: every chunk that a root names lies in a sound blob, and their lengths add up to its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from casstore.entry import Root
from casstore.errors import ChunkMissing, Damaged
from casstore.ids import ChunkId
from casstore.repository import Repository
from casstore.verify.packs import Packs

MANY_ROOTS = 20_000  # so many sound streams of several chunks are remembered, to be passed over in the next snapshot


class Streams:
    """Judges roots, by the directories of the packs and by what was found bad in them."""

    def __init__(self, fresh: Repository, packs: Packs) -> None:
        self._fresh, self._packs = fresh, packs
        self._sound: set[Root] = set()

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
        length = 0
        try:
            for chunk in self._fresh.chunks.expand(root):
                part = self._packs.lengths.get(chunk) or lengths.get(chunk)
                if part is None and root.height:
                    part = self._fresh.cache.lengths([chunk]).get(chunk)
                if part is None:
                    return self._packs.bad.get(chunk) or str(ChunkMissing(chunk))
                length += part
        except Damaged as error:
            return str(error)
        return None if length == root.length else f"is {length} bytes long instead of {root.length}"
