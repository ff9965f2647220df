"""The header: what this repository is, in the clear, written once (docs/format.md § Header)."""

from __future__ import annotations

from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.values import dataclass

NAME = "header"
MAGIC, VERSION = "casstore", 1
MAX_BYTES = 4 << 10
_FIELDS: dict[int, type] = {0: str, 1: int, 2: bytes, 3: bytes, 4: int, 5: list, 6: int, 7: bytes}


@dataclass(frozen=True, slots=True)
class Header:
    """Sizes in bytes."""

    repository: bytes
    admin_public: bytes
    created_ns: int
    least: int = 8 << 10
    average: int = 32 << 10
    most: int = 256 << 10
    max_pack: int = 16 << 20


def encode_header(header: Header) -> bytes:
    """Encode; the SHA-256 of the result is the header hash."""
    h = header
    return record.encode({
        0: MAGIC, 1: VERSION, 2: h.repository, 3: h.admin_public, 4: h.created_ns, 5: [h.least, h.average, h.most],
        6: h.max_pack, 7: b"",
    })  # fmt: skip


def decode_header(data: bytes) -> Header:
    """Read a header.

    Raises:
        FormatDamaged: it is none. FormatTooNew: it is of another version.
    """
    if len(data) > MAX_BYTES:
        raise FormatDamaged("the header is larger than any can be")
    value = record.decode(data, "header")
    if type(value) is not dict or value.get(0) != MAGIC:
        raise FormatDamaged("the header is not one of a casstore repository")
    version = value.get(1)
    if type(version) is not int or version < 1:
        raise FormatDamaged("the header states no format version")
    if version != VERSION:
        raise FormatTooNew(f"the repository has format version {version}; this cas reads version {VERSION}")
    fields = record.check_map(value, _FIELDS, "header")
    if fields.get(7):
        raise FormatTooNew("the repository takes sessions of hosts that only write; this cas does not know them")
    sizes = record.need(fields, 5, "header")
    if (
        len(sizes) != 3
        or {type(size) for size in sizes} != {int}
        or not 64 <= sizes[0] < sizes[1] < sizes[2] <= 8 << 20
    ):
        raise FormatDamaged("the header states impossible chunk sizes")
    max_pack = record.need(fields, 6, "header")
    if not sizes[2] <= max_pack <= 64 << 20:
        raise FormatDamaged("the header states an impossible pack size")
    return Header(
        record.need_bytes(fields, 2, 16, "header"), record.need_bytes(fields, 3, 32, "header"),
        record.need(fields, 4, "header"), sizes[0], sizes[1], sizes[2], max_pack,
    )  # fmt: skip
