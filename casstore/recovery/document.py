"""JSON as text: where each member of an array or an object lies, to the byte. Nothing is ever written anew.

A document is held as Latin-1, a byte a letter, so that places in it are places in the file whatever is written there:
JSON's own letters are ASCII, and inside a string any other byte is taken as it comes. json's scanner in C finds where a
value ends, so a document of 20 MB is gone through in a third of a second, a member in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from json import JSONDecoder
from typing import NamedTuple

from casstore.errors import CasError

MOST_BYTES = 256 << 20
_BYTE_ORDER_MARK = "\xef\xbb\xbf"
_past_space = re.compile(r"[ \t\r\n]*").match
_scan = JSONDecoder(parse_int=str, parse_float=str).scan_once  # type: ignore[attr-defined] # not in typeshed
_scan_exactly = JSONDecoder(
    parse_int=lambda number: (number,), parse_float=lambda number: (number,), parse_constant=lambda word: (word,)
).scan_once  # type: ignore[attr-defined] # a number is no string, nor does NaN differ from itself


class NotRecords(CasError):
    """A file is not one whole JSON array or object, so no record can be told in it."""

    hint = "Whole files are restored without --record; `cas log PATH` lists the versions of this one."


class Member(NamedTuple):
    """One of an array or object. `at` is where its key begins, `start` and `end` hold its value; places in bytes."""

    key: str | None
    at: int
    start: int
    end: int
    value: object  # numbers as they are written, as str


class Document:
    """A JSON array or object as text. `name` is what messages call it."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self._is_ascii = text.isascii()
        at = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
        self.bracket = self.past_space(at)
        self.opening = text[self.bracket : self.bracket + 1]
        self._closing = {"[": "]", "{": "}"}.get(self.opening, "")
        if not self._closing:
            raise NotRecords(f"{name} is neither a JSON array nor an object")

    @classmethod
    def of(cls, pieces: Iterable[bytes], name: str) -> Document:
        """Take the bytes of a file.

        Raises:
            NotRecords: they begin neither array nor object, or are too many to be held.
        """
        text = ""
        for piece in pieces:
            text += str(piece, "latin-1")
            if len(text) > MOST_BYTES:
                raise NotRecords(f"{name} is larger than {MOST_BYTES >> 20} MiB, too large to look for records in it")
        return cls(text, name)

    @property
    def is_array(self) -> bool:
        """Whether its members have no keys."""
        return self.opening == "["

    def members(self) -> Iterator[Member]:
        """Yield the members as they stand there, equal keys too.

        Raises:
            NotRecords: at the place where it stops being whole JSON, or is nested deeper than can be followed.
        """
        at = self.past_space(self.bracket + 1)
        if self.text[at : at + 1] != self._closing:
            while True:
                member = self._member(at)
                yield member
                at = self.past_space(member.end)
                if self.text[at : at + 1] != ",":
                    break
                at = self.past_space(at + 1)
        self._expect(at, self._closing)
        if self.past_space(at + 1) != len(self.text):
            raise NotRecords(f"{self.name} goes on behind its end, at byte {at + 1:,}: it is not one JSON value")

    def _member(self, at: int) -> Member:
        if self.is_array:
            value, end = self._value(at)
            return Member(None, at, at, end, value)
        self._expect(at, '"')
        key, colon = self._value(at)
        colon = self.past_space(colon)
        self._expect(colon, ":")
        start = self.past_space(colon + 1)
        value, end = self._value(start)
        return Member(str(key), at, start, end, value)

    def _value(self, at: int) -> tuple[object, int]:
        """Give a value and where it ends."""
        try:
            value, end = _scan(self.text, at)
            if not self._is_ascii and not (piece := self.text[at:end]).isascii():
                value = _scan(to_words(piece), 0)[0]
        except StopIteration as stopped:  # at what begins no value
            raise self._broken(stopped.value) from None
        except ValueError as error:
            raise self._broken(getattr(error, "pos", at)) from None
        except RecursionError:
            raise NotRecords(f"{self.name} is nested deeper than can be followed, at byte {at:,}") from None
        return value, int(end)

    def _expect(self, at: int, letter: str) -> None:
        if self.text[at : at + 1] != letter:
            raise self._broken(at)

    def _broken(self, at: int) -> NotRecords:
        return NotRecords(f"{self.name} is not whole JSON: it breaks at byte {at:,} of {len(self.text):,}")

    def past_space(self, at: int) -> int:
        """Give the place behind the space that begins there."""
        found = _past_space(self.text, at)
        assert found is not None  # no space is some
        return found.end()


def to_words(piece: str) -> str:
    """Give a piece of a document as it reads; bytes that are no UTF-8 as os.fsdecode does."""
    return piece if piece.isascii() else piece.encode("latin-1").decode("utf-8", "surrogateescape")


def alike(one: str, other: str) -> bool:
    """Whether two pieces, whole values both, say the same: space, escapes and the order of keys say nothing."""
    if one == other:
        return True
    try:
        return bool(_scan_exactly(to_words(one), 0)[0] == _scan_exactly(to_words(other), 0)[0])
    except RecursionError:
        return False
