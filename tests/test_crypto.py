"""What seals, beyond what a primitive of `cryptography` promises by itself."""

from __future__ import annotations

from itertools import combinations

import pytest

from casstore import crypto
from casstore.crypto import SALT, Unauthentic, seal, unseal

KEY = b"k" * 32
SEALED = [(b"A" * 32, b""), (b"B" * 32, b""), (b"A" * 31, b"A"), (b"A" * 32, b"of another place")]


@pytest.mark.parametrize(("text", "associated"), SEALED)
def test_what_was_sealed_opens_in_its_place_only(text: bytes, associated: bytes) -> None:
    sealed = seal(KEY, text, associated)
    assert unseal(KEY, sealed, associated) == text
    for key, where in ((KEY, associated + b"x"), (b"K" * 32, associated)):
        with pytest.raises(Unauthentic):
            unseal(key, sealed, where)


def test_the_same_sealed_twice_differs() -> None:
    assert seal(KEY, b"text", b"") != seal(KEY, b"text", b"")


def test_a_cloned_machine_seals_no_two_texts_under_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "random_bytes", lambda length: b"\7" * length)
    salts = [seal(KEY, text, associated)[:SALT] for text, associated in SEALED]
    for one, other in combinations(salts, 2):
        assert one != other
