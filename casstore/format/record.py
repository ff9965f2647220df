"""Records: canonical msgpack, hostile input refused. The only door to msgpack (docs/format.md § Record)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import msgpack

from casstore.errors import FormatDamaged, FormatTooNew

MAX_BYTES = 16 << 20
MAX_DEPTH = 16
LATER = range(64, 128)  # keys a later version may add without a new format

_FLAT = frozenset((int, str, bytes, bool, type(None)))
_PLAIN = _FLAT | {dict}
Shape = tuple[tuple[Any, ...], tuple[type, ...]]

_pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def encode(value: Any) -> bytes:
    """Give the one encoding of a value."""
    return _pack(value)


def decode(data: bytes | memoryview, what: str = "record") -> Any:
    """Give the one value that `data` encodes.

    Raises:
        FormatDamaged: it is not one canonical record within the limits.
    """
    if len(data) > MAX_BYTES:
        raise FormatDamaged(f"a {what} of {len(data)} bytes is too long")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False, use_list=True)
        canonical = _depth(value) <= MAX_DEPTH and encode(value) == data
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        raise FormatDamaged(f"a {what} cannot be decoded") from error
    if not canonical:
        raise FormatDamaged(f"a {what} is not canonical")
    return value


def decode_sequence(pieces: Iterator[bytes], what: str = "record") -> Iterator[Any]:
    """Yield the values of records that stand one behind the other in a stream cut anywhere.

    Raises:
        FormatDamaged: as `decode`, or the stream ends within a record.
    """
    unpacker = _unpacker()
    pending = b""
    for piece in pieces:
        unpacker.feed(piece)
        pending = pending + piece if pending else piece
        values, at = _whole(unpacker, pending, what)
        yield from values
        pending = pending[at:]
        if len(pending) > MAX_BYTES:
            raise FormatDamaged(f"a {what} is too long")
    if pending:
        raise FormatDamaged(f"the stream ends within a {what}")


def decode_whole(data: bytes, what: str = "record") -> tuple[list[Any], int]:
    """Give the values of the records that stand whole at the beginning of `data`, and how many bytes they take.

    Raises:
        FormatDamaged: as `decode`.
    """
    unpacker = _unpacker()
    unpacker.feed(data)
    return _whole(unpacker, data, what)


def _unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=False, strict_map_key=False, use_list=True, max_buffer_size=2 * MAX_BYTES, max_bin_len=MAX_BYTES
    )


def _whole(unpacker: msgpack.Unpacker, pending: bytes, what: str) -> tuple[list[Any], int]:
    """Take what came whole of `pending`, which was fed; the first record begins there."""
    try:
        # All that came whole, encoded again and compared at once: a call for each is dear, and there are many.
        values = list(unpacker)
        packed = b"".join(map(encode, values))
        canonical = pending.startswith(packed) and not _are_deep(values)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        raise FormatDamaged(f"a {what} cannot be decoded") from error
    if not canonical:
        raise FormatDamaged(f"a {what} is not canonical")
    return values, len(packed)


def decode_map(data: bytes | memoryview, known: Mapping[int, type], what: str) -> dict[int, Any]:
    """Decode a map whose keys are those of `known` or of a later version, with values of the types told.

    Raises:
        FormatDamaged: not such a map. FormatTooNew: it has a key that this version must not pass over.
    """
    return check_map(decode(data, what), known, what)


def check_map(value: Any, known: Mapping[int, type], what: str) -> dict[int, Any]:
    """Check a decoded map as `decode_map` does."""
    check_shape(*shape(value, what), known, what)
    checked: dict[int, Any] = value
    return checked


def shape(value: Any, what: str) -> Shape:
    """Give the keys of a map, and the types of the keys, then of the values: all that `check_shape` judges."""
    if type(value) is not dict:
        raise FormatDamaged(f"a {what} is no map")
    return tuple(value), tuple(map(type, chain(value, value.values())))


def check_shape(keys: tuple[Any, ...], types: tuple[type, ...], known: Mapping[int, type], what: str) -> None:
    """Check a map by its shape, as `decode_map` does; where many maps have few shapes, the caller may remember them."""
    last = -1
    for key, key_type, item_type in zip(keys, types, types[len(keys) :], strict=False):
        if key_type is not int or key <= last:
            raise FormatDamaged(f"a {what} has the key {key!r} out of order")
        last = key
        wanted = known.get(key)
        if wanted is None:
            if key not in LATER:
                raise FormatTooNew(f"a {what} has the field {key}, which this version does not know")
        elif item_type is not wanted:
            raise FormatDamaged(f"a {what} has a field {key} of the wrong type")


def need(record: Mapping[int, Any], key: int, what: str) -> Any:
    """Give a field that may not be missing."""
    try:
        return record[key]
    except KeyError:
        raise FormatDamaged(f"a {what} lacks its field {key}") from None


def need_bytes(record: Mapping[int, Any], key: int, length: int, what: str) -> bytes:
    """Give a field of exactly so many bytes."""
    value = need(record, key, what)
    if type(value) is not bytes or len(value) != length:
        raise FormatDamaged(f"a {what} has a field {key} that is not {length} bytes long")
    return value


def _are_deep(values: list[Any]) -> bool:
    """Whether any value is deeper than records are. Most hold lists of plain things at most, which types tell."""
    held = [item for value in values if type(value) is dict for item in value.values() if type(item) not in _FLAT]
    plain = _PLAIN.issuperset(map(type, values)) and {list}.issuperset(map(type, held))
    if plain and _FLAT.issuperset(map(type, chain.from_iterable(held))):
        return False
    return any(_depth(value) > MAX_DEPTH for value in values)


def _depth(value: Any) -> int:
    kind = type(value)
    if kind in _FLAT:
        return 0
    if kind is not list and kind is not dict:
        raise ValueError(f"a {kind.__name__} has no place in a record")
    deepest = 0
    for item in value.values() if kind is dict else value:
        if type(item) not in _FLAT:  # asked here, since most are and a call costs more
            deepest = max(deepest, _depth(item))
    return 1 + deepest
