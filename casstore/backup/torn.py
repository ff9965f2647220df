"""JSON that was caught half-written, by an application that truncates its file and writes it again.

What was read is what is judged: fstat before and after does not show it. What is not whole is read again after each of
WAITS_S; what is still not whole is saved as it is and marked torn. A file that was JSON before must be JSON. Another
that is not, and whose bytes stay, simply is no JSON: comments, a template, JSON lines. No news.

A file as it was in the snapshot before was judged there. A new one is read again only while its times are young, since
what nobody writes to stays as it is. A torn one counts as never settled, so each backup judges it anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from enum import Enum
from typing import Any

from casstore.backup.contents import Contents
from casstore.chunker import Buffer
from casstore.entry import Entry, Kind, join
from casstore.errors import Damaged
from casstore.progress import Progress, Torn
from casstore.repository import Repository
from casstore.source import Listing, Xattrs

SETTLED_NS = 60 * 10**9  # times younger than this at the reading prove nothing: clocks are coarse
WAITS_S = (0.004, 0.020, 0.100)
PATIENCE_S = 3.0  # so long is waited in one backup; then only the shortest, for thousands may be broken at once
MOST_PARSED = 32 << 20  # bytes; what is larger is judged by its ends
MOST_INDEXED = 8 << 20  # bytes; for larger ones simdjson needs more memory than a backup may take
FEW = 1 << 20  # bytes; below this simdjson is not worth its import
_SPACE, _SPACES = b" \t\r\n", frozenset(" \t\r\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CLOSING = {b"{": b"}", b"[": b"]"}


def is_json(name: bytes) -> bool:
    """Whether a file of this name should hold JSON."""
    return name[-5:].lower() == b".json"


class Verdict(Enum):
    """What some bytes are as JSON."""

    WHOLE = 1
    LONGER = 2  # one value, and more behind it: JSON lines, or a shorter value written over a longer one
    BROKEN = 3


class Text:
    """What was read of a file, kept to be judged. Beyond MOST_PARSED only its ends are."""

    def __init__(self) -> None:
        self._text = ""
        self._head = self._tail = b""
        self.length = 0  # bytes
        self.objects = 0  # opening braces: nearly how many objects it holds, its records

    def take(self, data: Buffer) -> None:
        """Take the next bytes. They are kept as Latin-1: a byte a letter, whatever is written; JSON's own are ASCII."""
        text = str(data, "latin-1")
        self.objects += text.count("{")
        if not self.length:
            self._head = bytes(memoryview(data)[:64])
        self.length += len(text)
        self._tail = (self._tail + bytes(memoryview(data)[-64:]))[-64:]
        if self.length <= MOST_PARSED:
            so_far, self._text = self._text, ""
            so_far += text  # nobody else holds it, so it grows in place: joined pieces would be there twice
            self._text = so_far
        else:
            self._text = ""

    @property
    def is_bare(self) -> bool:
        """Whether it is `{}` or `[]` and nothing else."""
        return self.length <= len(self._tail) and b"".join(self._tail.split()) in (b"{}", b"[]")

    def verdict(self) -> Verdict:
        """Judge what was taken; that is let go."""
        if self.length > MOST_PARSED:
            head = self._head.removeprefix(_BYTE_ORDER_MARK).strip(_SPACE)
            closing = _CLOSING.get(head[:1])
            return Verdict.WHOLE if closing == self._tail.rstrip(_SPACE)[-1:] else Verdict.BROKEN
        text, self._text = self._text, ""
        return _parsed(text)


def _has_brackets(data: bytes) -> bool:
    """Whether a short file of which nothing is known closes all brackets of the kind that it begins with.

    It was written by one call: what could be seen of it is nothing, or a beginning, and that lacks closing brackets.
    """
    opening = data[:1]
    closing = _CLOSING.get(opening)
    return closing == data.rstrip(_SPACE)[-1:] and data.count(opening) == data.count(closing)


def _parsed(text: str) -> Verdict:
    if FEW < len(text) <= MOST_INDEXED and _is_whole_to_simdjson(text):
        return Verdict.WHOLE
    start, end = 3 if text.startswith("\xef\xbb\xbf") else 0, len(text)  # places, and no copy of what may be large
    while start < end and text[start] in _SPACES:
        start += 1
    while start < end and text[end - 1] in _SPACES:
        end -= 1
    try:
        _, stopped = _scanner()(text, start)
    except RecursionError:  # deeper than Python counts: nobody's state, and no reason to call it torn
        return Verdict.WHOLE
    except (ValueError, StopIteration):
        return Verdict.BROKEN
    return Verdict.WHOLE if stopped == end else Verdict.LONGER


_scan: Callable[[str, int], tuple[object, int]] | None = None


def _scanner() -> Callable[[str, int], tuple[object, int]]:
    """Give json's scanner in C; of each object only how many members it had is kept. `json` is imported here."""
    global _scan
    if _scan is None:
        from json import JSONDecoder

        _scan = JSONDecoder(object_pairs_hook=len).scan_once  # type: ignore[attr-defined] # not in typeshed
    assert _scan is not None
    return _scan


_simdjson: Any = None


def _is_whole_to_simdjson(text: str) -> bool:
    """Ask the extra `json`, where it is there, which builds nothing. It refuses some that Python's takes, as NaN."""
    global _simdjson
    if _simdjson is None:
        try:
            import simdjson

            _simdjson = simdjson
        except ImportError:
            _simdjson = False
    if not _simdjson:
        return False
    try:
        _simdjson.Parser().parse(text.encode("latin-1"))
    except (ValueError, RuntimeError):
        return False
    return True


class TornGuard:
    """Reads files as `contents` does, and `*.json` until they are whole. `sleep` takes seconds."""

    def __init__(
        self,
        contents: Contents,
        repository: Repository,
        *,
        sleep: Callable[[float], object],
        now_ns: int,
        is_accepted: Callable[[bytes], bool],
        progress: Progress,
        on: bool = True,
    ) -> None:
        self._contents, self._repository, self._sleep, self._now = contents, repository, sleep, now_ns
        self._is_accepted, self._progress, self._on = is_accepted, progress, on
        self._patience_s = PATIENCE_S
        self.objects = -1  # in the file that was read last; -1: not counted
        self.is_bare = False  # whether that was `{}` or `[]`

    def read(self, listing: Listing, i: int, before: Entry | None, read: tuple[int, bytes, Xattrs] | None) -> Entry:
        """Give the entry of what is listed there, as `Contents.read` does; the flag says if it is torn."""
        self.objects, self.is_bare = -1, False
        if not self._on or not self._should_be_whole(listing, i):
            return self._contents.read(listing, i, before, read)
        text = Text()
        if before is None and read is not None:  # the many: nothing is known of them, nor has to be built to judge them
            pieces: list[Buffer] = []
            entry = self._contents.read(listing, i, before, read, pieces.append)
            if len(pieces) == 1 and _has_brackets(data := bytes(pieces[0])):
                self.objects = data.count(b"{")
                return entry
            for piece in pieces:
                text.take(piece)
        else:
            entry = self._contents.read(listing, i, before, read, text.take)
        was = before if before is not None and before.content.length else None
        settled = self._is_settled(listing.stats[i])
        same = was is not None and entry.content == was.content and not was.torn
        if not same and not (was is None and settled):
            verdict = _judged(text, entry)
            # A new one with JSON lines is none; and so is one that was none before: it was judged then.
            was_json = was is not None and verdict is not Verdict.WHOLE and self._was_json(was)
            if was_json or (was is None and verdict is Verdict.BROKEN):
                entry, text = self._read_on(listing, i, entry, text, was_json=was_json, settled=settled)
        self.objects, self.is_bare = text.objects, text.is_bare
        return entry

    def _read_on(
        self, listing: Listing, i: int, entry: Entry, text: Text, *, was_json: bool, settled: bool
    ) -> tuple[Entry, Text]:
        """Read it until it is whole, or patience ends."""
        first, moved = entry, False
        times = _times(listing.stats[i])
        for wait in () if settled else WAITS_S:
            if wait > WAITS_S[0] and self._patience_s <= 0:
                break
            self._patience_s -= wait
            self._sleep(wait)
            again = Text()
            try:
                listing.look(i)
                entry = self._contents.read(listing, i, first, None, again.take)
            except OSError:  # gone: it may be made anew
                moved = True
                continue
            text = again
            moved = moved or entry.content != first.content
            if entry.kind is not Kind.FILE or _judged(text, entry) is Verdict.WHOLE:
                return entry, text
        # What stays empty is not torn; whether it is a loss is for the other guard to say. But an application that
        # writes all the time may be met four times with a file that it has just truncated.
        written = moved or ((was_json or not entry.content.length) and times != _times(listing.stats[i]))
        if written or (was_json and entry.content.length):
            entry = entry._replace(torn=True)
            self._progress(Torn(entry.path))
        return entry, text

    def _should_be_whole(self, listing: Listing, i: int) -> bool:
        """Whether it is JSON by its name, and not declared to grow: JSON lines are whole at no time, or at every."""
        if not is_json(listing.names[i]) or not stat.S_ISREG(listing.stats[i].st_mode):
            return False
        return not listing.source.selection.grows(join(listing.path, listing.names[i]))

    def _is_settled(self, s: os.stat_result) -> bool:
        return max(s.st_mtime_ns, s.st_ctime_ns) + SETTLED_NS <= self._now

    def _was_json(self, was: Entry) -> bool:
        if was.torn:
            return not self._is_accepted(was.path)
        text = Text()
        try:
            for piece in self._repository.read(was.content):
                text.take(piece)
        except Damaged:
            return True
        return _judged(text, was) is Verdict.WHOLE


def _times(s: os.stat_result) -> tuple[int, int, int]:
    return s.st_ino, s.st_mtime_ns, s.st_ctime_ns


def _judged(text: Text, entry: Entry) -> Verdict:
    return text.verdict() if entry.extents is None else Verdict.BROKEN  # a hole is no JSON
