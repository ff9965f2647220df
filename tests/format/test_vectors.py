"""The bytes in docs/format.md are those that the code writes and reads."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from vectors import VECTORS

from casstore.errors import CasError

PAPER = Path(__file__).parents[2] / "docs" / "format.md"


def printed(name: str) -> bytes:
    """Give the hex that the paper prints below the name."""
    [block] = re.findall(rf"^`{name}`:\n```\n([0-9a-f\s]+)```", PAPER.read_text(), re.MULTILINE)
    return bytes.fromhex(block)


@pytest.mark.parametrize("name", VECTORS)
def test_the_paper_and_the_code_agree_both_ways(name: str) -> None:
    value, encode, decode = VECTORS[name]
    assert encode(value) == printed(name)
    assert decode(printed(name)) == value


@pytest.mark.parametrize("name", VECTORS)
def test_control_another_byte_is_another_value_or_none(name: str) -> None:
    value, _, decode = VECTORS[name]
    altered = bytearray(printed(name))
    altered[-1] ^= 1
    with suppress(CasError):
        assert decode(bytes(altered)) != value
