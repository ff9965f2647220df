"""Blobs: what is compressed and sealed at once. The only door to zstandard (docs/format.md § Blob)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import zstandard

from casstore.errors import BlobDamaged, FormatDamaged
from casstore.ids import ChunkId
from casstore.values import dataclass

RAW, ZSTD, DIFFERENCE = 0, 1, 2
MAX_CHUNK = 16 << 20
MAX_DEPTH = 64
MAX_WINDOW = 8 << 20
RUN_BYTES = 128 << 10  # whole chunks share a blob up to here
LEVEL = 3
DIFFERENCE_LEVEL = 9  # a difference is small and few: a better search costs little and pays at every reading

DATA, MANIFEST, LIST = 1, 2, 3  # types of chunks

_threads = threading.local()


@dataclass(frozen=True, slots=True)
class Blob:
    """One line of a pack's directory. Lengths in bytes; `stored` counts the tag."""

    encoding: int
    stored: int
    kind: int
    ids: tuple[ChunkId, ...]
    lengths: tuple[int, ...]
    base: ChunkId | None = None
    depth: int = 0

    def to_record(self) -> list[Any]:
        """Give the array of the directory."""
        record: list[Any] = [self.encoding, self.stored, self.kind, b"".join(self.ids), list(self.lengths)]
        if self.base is not None:
            record += [self.base, self.depth]
        return record

    @classmethod
    def from_record(cls, record: Any) -> Blob:
        """Check and read the array of the directory.

        Raises:
            FormatDamaged: it describes no blob.
        """
        if type(record) is not list or len(record) not in (5, 7):
            raise FormatDamaged("a directory holds something that is no blob")
        encoding, stored, kind, joined, lengths = record[:5]
        base, depth = record[5:] if len(record) == 7 else (None, 0)
        whole = (
            type(encoding) is type(stored) is type(kind) is type(depth) is int
            and type(joined) is bytes
            and type(lengths) is list
            and 0 < len(lengths) == len(joined) / 32
            and all(type(length) is int and 0 < length <= MAX_CHUNK for length in lengths)
            and 16 < stored <= MAX_CHUNK + 1024
            and sum(lengths) <= MAX_CHUNK
            and kind in (DATA, MANIFEST, LIST)
        )
        difference = type(base) is bytes and len(base) == 32 and 1 <= depth <= MAX_DEPTH and len(lengths) == 1
        if not whole or (encoding == DIFFERENCE) != (base is not None) or (base is not None and not difference):
            raise FormatDamaged("a directory describes an impossible blob")
        if encoding not in (RAW, ZSTD, DIFFERENCE):
            raise FormatDamaged("a blob has an unknown encoding")
        ids = tuple(ChunkId(joined[at : at + 32]) for at in range(0, len(joined), 32))
        return cls(encoding, stored, kind, ids, tuple(lengths), base, depth)


def compress(text: bytes | memoryview) -> tuple[int, bytes]:
    """Give encoding and payload of whole chunks, joined."""
    # Copied, since what the compressor gives keeps the memory of its upper bound, not of its length.
    payload = bytes(memoryview(_compressor().compress(text)))
    return (ZSTD, payload) if len(payload) < len(text) else (RAW, bytes(text))


def compress_difference(text: bytes | memoryview, base: bytes) -> bytes:
    """Compress one chunk with `base` as raw-content dictionary."""
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    # Parameters for the length of the base, not of the text: else the table would not hold a base of 256 KiB.
    size = len(text) + len(base)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        DIFFERENCE_LEVEL, source_size=size, dict_size=len(base), write_checksum=0, write_dict_id=0
    )
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(text)


def decompress(blob: Blob, payload: bytes, base: bytes | None = None) -> bytes:
    """Give the chunks of a blob, joined. The ids are not checked here.

    Raises:
        BlobDamaged: the payload is not one frame of exactly the recorded length.
    """
    length = sum(blob.lengths)
    if blob.encoding == RAW:
        if len(payload) != length:
            raise BlobDamaged("a blob is not as long as its directory says")
        return payload
    try:
        frame = zstandard.get_frame_parameters(payload)
        # The library ignores max_output_size when the frame states a size, so the frame's word is checked first.
        if frame.content_size != length or frame.window_size > MAX_WINDOW:
            raise BlobDamaged("a blob states another length than its directory")
        return _decompressor(base).decompress(payload, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BlobDamaged("a blob cannot be decompressed") from error


def split(blob: Blob, text: bytes) -> Sequence[bytes]:
    """Cut what `decompress` gave into its chunks."""
    if len(blob.lengths) == 1:
        return [text]
    out, at = [], 0
    for length in blob.lengths:
        out.append(text[at : at + length])
        at += length
    return out


def _compressor() -> zstandard.ZstdCompressor:
    try:
        return _threads.compressor  # type: ignore[no-any-return]
    except AttributeError:
        _threads.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
        return _threads.compressor  # type: ignore[no-any-return]


def _decompressor(base: bytes | None) -> zstandard.ZstdDecompressor:
    if base is not None:
        dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        return zstandard.ZstdDecompressor(dict_data=dictionary)
    try:
        return _threads.decompressor  # type: ignore[no-any-return]
    except AttributeError:
        _threads.decompressor = zstandard.ZstdDecompressor()
        return _threads.decompressor  # type: ignore[no-any-return]
