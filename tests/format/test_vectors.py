"""The bytes in docs/format.md are those that the code writes and reads."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from vectors import ADMIN_PUBLIC, HEADER_HASH, SEALED, VECTORS

from casstore import crypto
from casstore.errors import CasError
from casstore.format import pack
from casstore.format.commit import verify_signature

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


@pytest.fixture
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is random is zeros."""
    for module in (crypto, pack):
        monkeypatch.setattr(module, "random_bytes", bytes)


@pytest.mark.usefixtures("no_chance")
@pytest.mark.parametrize("name", SEALED)
def test_the_paper_and_the_code_agree_on_what_is_sealed(name: str) -> None:
    text, encode, decode = SEALED[name]
    assert encode() == printed(name)
    assert decode(printed(name)) == text


def test_the_commit_of_the_paper_is_signed() -> None:
    assert verify_signature(printed("commit"), HEADER_HASH, ADMIN_PUBLIC)


@pytest.mark.parametrize("name", [name for name in SEALED if name != "host key file"])
def test_control_a_sealed_example_opens_only_as_it_is_printed(name: str) -> None:
    text, _, decode = SEALED[name]
    for at in range(len(printed(name))):
        altered = bytearray(printed(name))
        altered[at] ^= 1
        try:
            found = decode(bytes(altered))
        except CasError:
            continue
        assert (name, found) == ("commit", text)  # whose signature is looked at apart from its seal
        assert not verify_signature(bytes(altered), HEADER_HASH, ADMIN_PUBLIC)
