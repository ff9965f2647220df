"""Windows do not show in the cuts, wherever they end."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest

from casstore.chunker import LEAST, MOST, WINDOW, Chunker

TEXT = random.Random(4).randbytes(3 * WINDOW + 12_345)


def cuts(data: bytes, windows: list[int]) -> list[int]:
    at = 0
    sizes = iter(windows)

    def read(max_bytes: int) -> bytes:
        nonlocal at
        piece = data[at : at + min(max_bytes, next(sizes, max_bytes))]
        at += len(piece)
        return piece

    chunks = [bytes(chunk) for chunk in Chunker(7).cut(read)]
    assert b"".join(chunks) == data
    return list(accumulate(map(len, chunks)))


@pytest.mark.parametrize("text", [TEXT, bytes(2 * WINDOW + 5)], ids=["random", "zeros"])
@pytest.mark.parametrize("first", [1, LEAST, LEAST + 1, MOST - 1, MOST, MOST + 1, WINDOW - 1, WINDOW])
def test_a_stream_is_cut_alike_in_windows_of_any_size(text: bytes, first: int) -> None:
    whole = cuts(text, [])
    assert cuts(text, [first, MOST, MOST + 1, 70_000, LEAST]) == whole
    assert cuts(text, [first] * 40) == whole
