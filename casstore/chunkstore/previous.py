"""What a new chunk is a difference from: the chunk that stood at its place in the previous version of the stream."""

from __future__ import annotations

from collections.abc import Iterator

from casstore.ids import ChunkId

AHEAD, BEHIND = 4096, 512  # ids of the previous version that are held around where a stream stands


class Previous:
    """Finds what stood in the previous version where a new chunk stands.

    Places are counted in bytes, from the last chunk that matched: cuts come and go, and bytes hardly move. Of the
    previous chunks only a window is held, from BEHIND before that place to AHEAD behind it.
    """

    def __init__(self, chunks: Iterator[tuple[ChunkId, int]]) -> None:
        """Take ids and lengths in bytes of the previous version's chunks."""
        self._chunks = chunks
        self._at: dict[int, tuple[ChunkId, int, int]] = {}  # id, first byte, byte behind the last; by number
        self._where: dict[ChunkId, int] = {}
        self._first = self._end = self._next = 0
        self._end_byte = 0
        self._shift = 0  # from a place in the new version to that in the previous one
        self._move(0)

    def matched(self, chunk: ChunkId, offset: int) -> None:
        """A chunk at this offset is known: if it is one of the previous version's, go on behind it."""
        number = self._where.get(chunk)
        if number is not None:
            self._shift = self._at[number][1] - offset
            self._move(number + 1)

    def stood_at(self, offset: int, length: int) -> ChunkId | None:
        """Give the chunk that shares most bytes with that place; behind the end of the previous version its last."""
        if not self._at:
            return None
        start, end = offset + self._shift, offset + self._shift + length
        number = min(self._next, self._end - 1)
        while number > self._first and self._at[number][1] > start:
            number -= 1
        while number < self._end - 1 and self._at[number][2] <= start:
            number += 1
            self._move(number)
        best, most = number, -1
        while number < self._end and self._at[number][1] < end:
            shared = min(self._at[number][2], end) - max(self._at[number][1], start)
            if shared > most:
                best, most = number, shared
            number += 1
            self._move(number)
        return self._at[best][0]

    def _move(self, number: int) -> None:
        self._next = number
        while self._end <= number + AHEAD and (item := next(self._chunks, None)) is not None:
            chunk, length = item
            self._at[self._end] = (chunk, self._end_byte, self._end_byte + length)
            self._where.setdefault(chunk, self._end)
            self._end += 1
            self._end_byte += length
        while self._first < min(number, self._end) - BEHIND:
            chunk = self._at.pop(self._first)[0]
            if self._where.get(chunk) == self._first:
                del self._where[chunk]
            self._first += 1
