"""Manifests: head, then blocks of entries in path order (docs/format.md § Manifest)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from casstore.crypto import FINGERPRINT
from casstore.entry import EMPTY, MOST_IN_FOLDER, Entry, Kind, Root, check_name
from casstore.errors import FormatDamaged
from casstore.format import record
from casstore.ids import ChunkId
from casstore.values import dataclass

_FIELDS: dict[int, type] = {
    0: bytes, 1: int, 2: int, 3: int, 4: int, 5: bytes, 6: bytes, 7: int, 8: list, 9: list, 10: int, 11: bytes,
    12: int, 13: bytes, 14: list, 15: int, 16: int, 17: int,
}  # fmt: skip
_TORN = 1
_SECOND = 10**9  # in ns
_HEAD: dict[int, type] = {0: dict, 1: list, 2: list, 3: list}
_SELECTION: dict[int, type] = {0: list, 1: list, 2: int, 3: int, 4: list, 5: list, 6: int}
_KINDS = tuple(Kind)
_FILE, _FOLDER, _SYMLINK = Kind.FILE, Kind.FOLDER, Kind.SYMLINK  # looked up once, not an entry
MOST_IDS = 128  # in a root
_CUT = re.compile(rb"\xc4\x20[\x00-\x07]")  # one of 32 ids


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the entries: the selection as a record, and the root of the `cas.toml` it was taken by.

    And what was kept beside the tree: `fingerprints` by name, and the root of the sidecar if there is one.
    """

    selection: dict[int, Any]
    config: Root
    fingerprints: tuple[tuple[str, bytes], ...] = ()
    sidecar: Root | None = None


def encode_root(root: Root) -> list[Any]:
    """Give the array of a root."""
    return [root.height, root.length, b"".join(root.ids)]


def decode_root(value: Any) -> Root:
    """Read the array of a root.

    Raises:
        FormatDamaged: it names no stream.
    """
    if type(value) is not list or len(value) != 3:
        raise FormatDamaged("a root names no stream")
    height, length, joined = value
    if (
        type(height) is not int
        or type(length) is not int
        or type(joined) is not bytes
        or len(joined) % 32
        or len(joined) > MOST_IDS * 32
        or not 0 <= height <= 8
        or length < 0
        or (length > 0) != bool(joined)
    ):
        raise FormatDamaged("a root names no stream")
    if len(joined) == 32:  # nearly all
        return Root(height, length, (ChunkId(joined),))
    return Root(height, length, tuple(ChunkId(joined[at : at + 32]) for at in range(0, len(joined), 32)))


def encode_head(head: Head) -> bytes:
    """Encode what stands before the first block."""
    fields: dict[int, Any] = {0: head.selection}
    if head.config != EMPTY:
        fields[1] = encode_root(head.config)
    if head.fingerprints:
        fields[2] = [list(pair) for pair in head.fingerprints]
    if head.sidecar is not None:
        fields[3] = encode_root(head.sidecar)
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
    far = not -(2**63) <= entry.mtime_ns < 2**63  # a record has no such numbers
    fields[7] = entry.mtime_ns % _SECOND if far else entry.mtime_ns
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
    if far:
        fields[16] = entry.mtime_ns // _SECOND
    if entry.proven_ns:
        fields[17] = entry.proven_ns
    return record.encode(fields)


def encode_block(entries: Sequence[bytes]) -> bytes:
    """Encode a folder: how many entries, then they, encoded and sorted by name."""
    return record.encode(len(entries)) + b"".join(entries)


def decode_head(value: Any) -> Head:
    """Read the first record of a manifest."""
    fields = record.check_map(value, _HEAD, "manifest head")
    selection = record.check_map(record.need(fields, 0, "manifest head"), _SELECTION, "selection")
    return Head(
        selection,
        decode_root(fields[1]) if 1 in fields else EMPTY,
        _decode_fingerprints(fields[2]) if 2 in fields else (),
        decode_root(fields[3]) if 3 in fields else None,
    )


def decode_entry(folder: bytes, value: Any) -> Entry:
    """Read one entry of the block of `folder`.

    Raises:
        FormatDamaged: it is no entry, or one that could lead out of the tree.
    """
    return _decode_entry(_before(folder), value)


@lru_cache(256)
def _check_shape(keys: tuple[int, ...], types: tuple[type, ...]) -> None:
    """Check which fields an entry has. What passed is remembered: a manifest has a dozen shapes, and this is dear."""
    record.check_shape(keys, types, _FIELDS, "manifest entry")
    for key in (0, 2, 7):
        if key not in keys:
            raise FormatDamaged(f"a manifest entry lacks its field {key}")
    if (9 in keys) != (10 in keys):
        raise FormatDamaged("a sparse file has extents without a length, or a length without extents")


def _decode_entry(before: bytes, value: Any) -> Entry:
    """Read an entry; `before` is what stands before its name in the path: the folder and a slash."""
    _check_shape(*record.shape(value, "manifest entry"))
    field = value.get
    number, mode, uid, gid, device, link = field(1, 0), value[2], field(3, 0), field(4, 0), field(12, 0), field(13, b"")
    if not 0 <= number < len(_KINDS):
        raise FormatDamaged("a manifest entry is of an unknown kind")
    kind = _KINDS[number]
    if not 0 <= mode <= 0o7777 or uid < 0 or gid < 0 or device < 0 or len(link) not in (0, 8) or field(17, 1) < 1:
        raise FormatDamaged("a manifest entry has impossible numbers")
    content = decode_root(value[8]) if 8 in value else EMPTY
    extents = _decode_extents(value[9], value[10], content.length) if 9 in value else None
    if (kind is not _FILE and (content.length or extents is not None or 17 in value)) or (kind is _SYMLINK) != (
        11 in value
    ):
        raise FormatDamaged("a manifest entry has fields of another kind")
    return Entry(
        before + check_name(value[0]), kind, mode, uid, gid, field(5, b""), field(6, b""),
        value[7] + field(16, 0) * _SECOND,
        content.length if extents is None else value[10], content, extents, field(11, b""), device, link,
        _decode_xattrs(value[14]) if 14 in value else (), bool(field(15, 0) & _TORN), field(17, 0),
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
        if count > MOST_IN_FOLDER:
            raise FormatDamaged(f"a manifest has a block of {count} entries")
        before = _before(folder)
        entries: list[Entry] = []
        last = b""  # no path is empty
        for value in islice(values, count):
            entry = _decode_entry(before, value)
            if entry.path <= last:
                raise FormatDamaged("a manifest has names out of order")
            last = entry.path
            entries.append(entry)
        if len(entries) != count:
            raise FormatDamaged("a manifest ends within a block")
        yield folder, entries
        waiting.extend(entry.path for entry in reversed(entries) if entry.kind is _FOLDER)
    if next(values, None) is not None:
        raise FormatDamaged("a manifest goes on behind its last block")


class Stand(NamedTuple):
    """Where one stands between two pieces of a manifest: all that the next piece's records hang on, but for counts.

    `cut`: the bytes of the record that the next piece ends. `last`: the name of the entry before, b"" if a block has
    just begun; None before the head.
    """

    cut: bytes = b""
    last: bytes | None = None


class Span(NamedTuple):
    """What a piece holds for whoever comes to it by the same `Stand`, whichever manifest it is a piece of."""

    stand: Stand  # behind it
    before: int = 0  # entries before the first block that begins in it
    entries: int | None = None  # still to come of the last block that begins in it; None: none does
    blocks: int = 0  # that its folders announce, less those that begin in it
    fewest: int = 0  # the least that `blocks` is on the way

    def then(self, later: Span) -> Span:
        """Give what both hold, one behind the other.

        Raises:
            FormatDamaged: a block has more or fewer entries than it says.
        """
        before, entries = self.before, self.entries
        if entries is None:
            before, entries = before + later.before, later.entries
        elif later.before > entries or (later.entries is not None and later.before < entries):
            raise FormatDamaged("a manifest has a block of more or fewer entries than it says")
        else:
            entries = entries - later.before if later.entries is None else later.entries
        fewest = min(self.fewest, self.blocks + later.fewest)
        return Span(later.stand, before, entries, self.blocks + later.blocks, fewest)

    def check_whole(self) -> None:
        """Check that it is all of a manifest: the block of the origin, and those announced in it and below.

        Raises:
            FormatDamaged: it is less, or more.
        """
        if self.fewest < -1:
            raise FormatDamaged("a manifest goes on behind its last block")
        if self.stand.cut or self.before or self.entries or self.blocks != -1:
            raise FormatDamaged("a manifest lacks a block, or ends within one")


def cut_pieces(data: bytes) -> list[bytes]:
    """Cut a part of a manifest into pieces of some 32 entries, so that equal parts give equal pieces.

    Cut is before any id of a content that begins so: wherever that is, `decode_piece` goes on there.
    """
    cuts = [0, *(found.start() for found in _CUT.finditer(data, 1)), len(data)]
    return [data[start:end] for start, end in pairwise(cuts)]


def decode_piece(stand: Stand, piece: bytes) -> tuple[Head | None, list[Entry], Span]:
    """Read what comes whole with one piece of a manifest: the head, if it is there, and entries.

    An entry has its name for a path. All is checked that `decode_blocks` checks, as far as one piece shows it: the
    rest is for `Span.then` and `Span.check_whole`.

    Raises:
        FormatDamaged: as `decode_blocks`.
    """
    data = stand.cut + piece
    values, at = record.decode_whole(data, "manifest entry")
    head, last = None, stand.last
    entries: list[Entry] = []
    before, rest, blocks, fewest = 0, None, 0, 0
    for value in values:
        if type(value) is int and last is not None:
            if rest:
                raise FormatDamaged("a manifest has a block of fewer entries than it says")
            if not 0 <= value <= MOST_IN_FOLDER:
                raise FormatDamaged(f"a manifest has a block of {value} entries")
            before = len(entries) if rest is None else before
            rest, last, blocks = value, b"", blocks - 1
            fewest = min(fewest, blocks)
        elif last is None:
            head, last = decode_head(value), b""
        else:
            entry = _decode_entry(b"", value)
            if entry.path <= last:
                raise FormatDamaged("a manifest has names out of order")
            if rest is not None:
                if not rest:
                    raise FormatDamaged("a manifest lacks a block")
                rest -= 1
            if entry.kind is _FOLDER:
                blocks += 1
            last = entry.path
            entries.append(entry)
    before = len(entries) if rest is None else before
    return head, entries, Span(Stand(data[at:], last), before, rest, blocks, fewest)


def decode_block(folder: bytes, block: bytes) -> list[Entry]:
    """Read one block that was kept apart (in a cache)."""
    values = record.decode_sequence(iter((block,)), "manifest entry")
    next(values, None)
    before = _before(folder)
    return [_decode_entry(before, value) for value in values]


def _before(folder: bytes) -> bytes:
    """Give what stands before a name in the paths of a folder."""
    return folder + b"/" if folder else b""


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


def _decode_fingerprints(value: list[Any]) -> tuple[tuple[str, bytes], ...]:
    found: list[tuple[str, bytes]] = []
    last = b""  # no name is empty
    for item in value:
        if type(item) is not list or [type(part) for part in item] != [str, bytes] or len(item[1]) != FINGERPRINT:
            raise FormatDamaged("a manifest has fingerprints that are none")
        named = item[0].encode()
        if named <= last:
            raise FormatDamaged("a manifest has fingerprints out of order")
        last = named
        found.append((item[0], item[1]))
    return tuple(found)


def _decode_xattrs(value: Iterable[Any]) -> tuple[tuple[bytes, bytes], ...]:
    pairs: list[tuple[bytes, bytes]] = []
    for item in value:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not bytes or type(item[1]) is not bytes:
            raise FormatDamaged("a manifest entry has extended attributes that are none")
        pairs.append((item[0], item[1]))
    return tuple(pairs)
