"""Manifests: head, then blocks of entries in path order (docs/format.md § Manifest)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from casstore.entry import EMPTY, Entry, Kind, Root, check_name, join
from casstore.errors import FormatDamaged
from casstore.format import record
from casstore.ids import ChunkId

_FIELDS: dict[int, type] = {
    0: bytes, 1: int, 2: int, 3: int, 4: int, 5: bytes, 6: bytes, 7: int, 8: list, 9: list, 10: int, 11: bytes,
    12: int, 13: bytes, 14: list, 15: int,
}  # fmt: skip
_TORN = 1
_HEAD: dict[int, type] = {0: dict, 1: list}


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the entries: the selection as a record, and the root of the `cas.toml` it was taken by."""

    selection: dict[int, Any]
    config: Root


def encode_root(root: Root) -> list[Any]:
    """Give the array of a root."""
    return [root.height, root.length, b"".join(root.ids)]


def decode_root(value: Any) -> Root:
    """Read the array of a root.

    Raises:
        FormatDamaged: it names no stream.
    """
    if (
        type(value) is not list
        or len(value) != 3
        or [type(item) for item in value] != [int, int, bytes]
        or len(value[2]) % 32
        or not 0 <= value[0] <= 8
        or value[1] < 0
        or (value[1] > 0) != bool(value[2])
    ):
        raise FormatDamaged("a root names no stream")
    joined = value[2]
    return Root(value[0], value[1], tuple(ChunkId(joined[at : at + 32]) for at in range(0, len(joined), 32)))


def encode_head(head: Head) -> bytes:
    """Encode what stands before the first block."""
    fields: dict[int, Any] = {0: head.selection}
    if head.config != EMPTY:
        fields[1] = encode_root(head.config)
    return record.encode(fields)


def encode_entry(entry: Entry) -> bytes:
    """Encode one entry; its folder is told by the block it stands in."""
    fields: dict[int, Any] = {0: entry.name}
    if entry.kind:
        fields[1] = int(entry.kind)
    fields[2] = entry.mode
    if entry.uid:
        fields[3] = entry.uid
    if entry.gid:
        fields[4] = entry.gid
    if entry.user:
        fields[5] = entry.user
    if entry.group:
        fields[6] = entry.group
    fields[7] = entry.mtime_ns
    if entry.content.length:
        fields[8] = encode_root(entry.content)
    if entry.extents is not None:
        fields[9] = [list(extent) for extent in entry.extents]
        fields[10] = entry.size
    if entry.target:
        fields[11] = entry.target
    if entry.device:
        fields[12] = entry.device
    if entry.link:
        fields[13] = entry.link
    if entry.xattrs:
        fields[14] = [list(pair) for pair in entry.xattrs]
    if entry.torn:
        fields[15] = _TORN
    return record.encode(fields)


def encode_block(entries: Sequence[bytes]) -> bytes:
    """Encode a folder: how many entries, then they, encoded and sorted by name."""
    return record.encode(len(entries)) + b"".join(entries)


def decode_head(value: Any) -> Head:
    """Read the first record of a manifest."""
    fields = record.check_map(value, _HEAD, "manifest head")
    return Head(record.need(fields, 0, "manifest head"), decode_root(fields[1]) if 1 in fields else EMPTY)


def decode_entry(folder: bytes, value: Any) -> Entry:
    """Read one entry of the block of `folder`.

    Raises:
        FormatDamaged: it is no entry, or one that could lead out of the tree.
    """
    fields = record.check_map(value, _FIELDS, "manifest entry")
    name = check_name(record.need(fields, 0, "manifest entry"))
    try:
        kind = Kind(fields.get(1, 0))
    except ValueError:
        raise FormatDamaged("a manifest entry is of an unknown kind") from None
    content = decode_root(fields[8]) if 8 in fields else EMPTY
    extents = _decode_extents(fields[9], fields.get(10, 0), content.length) if 9 in fields else None
    mode = record.need(fields, 2, "manifest entry")
    link = fields.get(13, b"")
    if (
        not 0 <= mode <= 0o7777
        or fields.get(3, 0) < 0
        or fields.get(4, 0) < 0
        or fields.get(12, 0) < 0
        or len(link) not in (0, 8)
    ):
        raise FormatDamaged("a manifest entry has impossible numbers")
    has_content = content.length > 0 or extents is not None
    if (kind is not Kind.FILE and has_content) or (kind is Kind.SYMLINK) != (11 in fields):
        raise FormatDamaged("a manifest entry has fields of another kind")
    return Entry(
        join(folder, name), kind, mode, fields.get(3, 0), fields.get(4, 0), fields.get(5, b""), fields.get(6, b""),
        record.need(fields, 7, "manifest entry"), content.length if extents is None else fields[10], content, extents,
        fields.get(11, b""), fields.get(12, 0), link, _decode_xattrs(fields.get(14, [])),
        bool(fields.get(15, 0) & _TORN),
    )  # fmt: skip


def decode_blocks(values: Iterator[Any]) -> Iterator[tuple[bytes, list[Entry]]]:
    """Yield each folder's path and entries, from the records behind the head, in manifest order.

    Raises:
        FormatDamaged: names out of order, a block too few or too many.
    """
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        count = next(values, None)
        if type(count) is not int or not count >= 0:
            raise FormatDamaged("a manifest lacks a block")
        entries: list[Entry] = []
        last = b""
        for _ in range(count):
            entry = decode_entry(folder, next(values, None))
            if entries and entry.name <= last:
                raise FormatDamaged("a manifest has names out of order")
            last = entry.name
            entries.append(entry)
        yield folder, entries
        waiting.extend(entry.path for entry in reversed(entries) if entry.kind is Kind.FOLDER)
    if next(values, None) is not None:
        raise FormatDamaged("a manifest goes on behind its last block")


def decode_block(folder: bytes, block: bytes) -> list[Entry]:
    """Read one block that was kept apart (in a cache)."""
    values = record.decode_sequence(iter((block,)), "manifest entry")
    next(values, None)
    return [decode_entry(folder, value) for value in values]


def _decode_extents(value: list[Any], size: int, length: int) -> tuple[tuple[int, int], ...]:
    extents: list[tuple[int, int]] = []
    end = 0
    for item in value:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not int or type(item[1]) is not int:
            raise FormatDamaged("a sparse file has extents that are none")
        if item[0] < end or item[1] <= 0:
            raise FormatDamaged("a sparse file has extents that overlap")
        end = item[0] + item[1]
        extents.append((item[0], item[1]))
    if end > size or sum(part for _, part in extents) != length:
        raise FormatDamaged("a sparse file has extents that do not fit its content")
    return tuple(extents)


def _decode_xattrs(value: Iterable[Any]) -> tuple[tuple[bytes, bytes], ...]:
    pairs: list[tuple[bytes, bytes]] = []
    for item in value:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not bytes or type(item[1]) is not bytes:
            raise FormatDamaged("a manifest entry has extended attributes that are none")
        pairs.append((item[0], item[1]))
    return tuple(pairs)
