"""One table of value and bytes, run both ways; its hex stands in docs/format.md § Worked example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casstore.entry import Entry, Kind, Root
from casstore.format.header import Header, decode_header, encode_header
from casstore.format.manifest import Head, decode_block, decode_head, encode_block, encode_entry, encode_head
from casstore.format.record import decode
from casstore.ids import ChunkId

FILE = Entry(
    b"users.json", Kind.FILE, 0o640, 1000, 100, b"ana", b"users", 1_700_000_000_000_000_000, 5,
    Root(0, 5, (ChunkId(bytes(range(32))),)),
)  # fmt: skip
LINK = Entry(b"zero", Kind.SYMLINK, 0o777, 0, 0, b"root", b"root", -1, target=b"users.json")

VECTORS: dict[str, tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "header": (Header(b"R" * 16, b"A" * 32, 1_700_000_000_000_000_000), encode_header, decode_header),
    "manifest head": (
        Head({0: [b"data/*.json"]}, Root(0, 0, ())),
        encode_head,
        lambda data: decode_head(decode(data)),
    ),
    "block": (
        [FILE, LINK],
        lambda entries: encode_block([encode_entry(entry) for entry in entries]),
        lambda data: decode_block(b"", data),
    ),
}
