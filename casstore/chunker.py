"""Bytes into chunks, cut by content: FastCDC 2020 (Xia et al.). The only door to `pyfastcdc`.

A restart at a cut gives the same later cuts, so a stream is fed in windows: what is left behind the last sure cut of
a window is carried in front of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

LEAST = 8 << 10
AVERAGE = 32 << 10
MOST = 256 << 10
WINDOW = 4 << 20  # bytes read at once

Buffer = bytes | bytearray | memoryview


class Chunker:
    """Cuts streams with one secret seed (63 bits)."""

    def __init__(self, seed: int, *, least: int = LEAST, average: int = AVERAGE, most: int = MOST) -> None:
        self._seed, self._least, self._average, self._most = seed, least, average, most
        self._cutter: Callable[[Buffer], Iterator[object]] | None = None

    def cut(self, read: Callable[[int], Buffer]) -> Iterator[memoryview]:
        """Yield the chunks of the stream that `read(max_bytes)` gives piece by piece until it gives nothing.

        A chunk is valid until the next but one window is read; it may be kept, at the price of its window.
        """
        carried: Buffer = b""
        while window := read(WINDOW):
            data = memoryview(window)
            if carried and len(data) > self._most:
                # The chunk that begins in what was carried ends within its greatest length: only so much is copied.
                seam, at = memoryview(b"".join((carried, data[: self._most]))), 0
                for length in self._lengths(seam):
                    yield seam[at : at + length]
                    at += length
                    if at >= len(carried):
                        break
                data = data[at - len(carried) :]
            elif carried:
                data = memoryview(b"".join((carried, data)))
            carried = b""
            if len(data) <= self._least and len(window) < WINDOW:
                carried = data
                continue
            at = 0
            for length in self._lengths(data):
                if at + length == len(data) and length < self._most:
                    break  # the end of the window is no cut yet
                yield data[at : at + length]
                at += length
            carried = data[at:]
        data = memoryview(carried)
        at = 0
        for length in self._lengths(data) if len(data) > self._least else [len(data)] if data else []:
            yield data[at : at + length]
            at += length

    def _lengths(self, data: memoryview) -> Iterator[int]:
        if self._cutter is None:
            from pyfastcdc import FastCDC

            cutter = FastCDC(avg_size=self._average, min_size=self._least, max_size=self._most, seed=self._seed)
            self._cutter = cutter.cut_buf
        return (chunk.length for chunk in self._cutter(data))  # type: ignore[attr-defined]
