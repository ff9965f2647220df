"""A header is read back as it was written; anything else is refused by the right error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.header import Header, decode_header, encode_header

HEADER = Header(b"r" * 16, b"a" * 32, 5)
SIZES = st.lists(st.integers(64, 8 << 20), min_size=3, max_size=3, unique=True).map(sorted)


def altered(**fields: Any) -> bytes:
    """Encode HEADER with fields exchanged (`f5=…`) or, for None, left out."""
    stored = record.decode(encode_header(HEADER)) | {int(key[1:]): value for key, value in fields.items()}
    return record.encode({key: stored[key] for key in sorted(stored) if stored[key] is not None})


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.integers(0, 1 << 63), SIZES)
def test_what_is_written_is_read_back(repository: bytes, admin: bytes, created: int, sizes: list[int]) -> None:
    header = Header(repository, admin, created, *sizes, max_pack=64 << 20)
    assert decode_header(encode_header(header)) == header


@given(st.binary(max_size=300))
def test_bytes_of_any_other_kind_are_refused(data: bytes) -> None:
    with pytest.raises(FormatDamaged):
        decode_header(data)


@given(st.integers(2, 1 << 63))
def test_a_later_version_is_too_new_whatever_else_it_says(version: int) -> None:
    with pytest.raises(FormatTooNew, match=str(version)):
        decode_header(altered(f1=version, f5="other", f9=1))


@pytest.mark.parametrize("version", [None, "1", 0, -1, True, b"1"])
def test_what_can_be_no_version_is_damage_not_a_newer_cas(version: object) -> None:
    with pytest.raises(FormatDamaged):
        decode_header(altered(f1=version))


@pytest.mark.parametrize("key", [0, 1, 2, 3, 4, 5, 6])
def test_no_field_may_be_missing(key: int) -> None:
    with pytest.raises(FormatDamaged):
        decode_header(altered(**{f"f{key}": None}))


@pytest.mark.parametrize(
    "fields",
    [
        {"f0": "restic"}, {"f2": bytes(15)}, {"f3": bytes(33)}, {"f4": "now"}, {"f5": [63, 128, 256]},
        {"f5": [64, 64, 256]}, {"f5": [64, 256, 128]}, {"f5": [64, 128, (8 << 20) + 1]}, {"f5": [64, 128]},
        {"f5": [64, 128, True]}, {"f5": [64, 128, "256"]}, {"f6": (64 << 20) + 1}, {"f6": 0}, {"f6": -1},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_values_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatDamaged):
        decode_header(altered(**fields))


def test_the_bounds_themselves_are_allowed() -> None:
    assert decode_header(altered(f5=[64, 65, 8 << 20], f6=64 << 20)).most == 8 << 20


def test_an_unknown_field_is_too_new_and_one_kept_for_later_is_passed_over() -> None:
    with pytest.raises(FormatTooNew):
        decode_header(altered(f8=1))
    assert decode_header(altered(f64=1)) == HEADER


def test_a_header_longer_than_any_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(FormatDamaged, match="larger"):
        decode_header(bytes(4097))
