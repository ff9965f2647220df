"""Output: sizes, moments, tables, names and JSON. What goes into a pipe is plain text.

Names come from the trees of others: control characters in them are escaped, so that no name can command a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int) -> str:
    """Tell a number of bytes in the largest unit that keeps it above one."""
    if abs(count) < 1024:
        return f"{count} B"
    value, unit = float(count), 0
    while abs(value) >= 1023.95 and unit < len(_UNITS) - 1:  # 1023.95 would be written as 1024.0
        value /= 1024
        unit += 1
    return f"{value:.1f} {_UNITS[unit]}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Tell a number of things: 1 file, 2 files, 12,000 files."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(ns: int) -> str:
    """Tell how long something took."""
    seconds = ns / 1e9
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ratio(raw: int, stored: int) -> str:
    """Tell how many bytes one stored byte stands for."""
    if not stored:
        return "-"
    return f"{raw / stored:.1f}x" if raw >= stored else f"{raw / stored:.2g}x"


def name(raw: bytes | str) -> str:
    r"""Write a name for a person: control characters, backslashes and bytes that are no UTF-8 as `\n`, `\xff`."""
    text = os.fsdecode(raw) if isinstance(raw, bytes) else raw
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_letter(letter) for letter in text)


def printable(text: str) -> str:
    """Write a sentence in which names may stand as they are: only what commands a terminal is escaped."""
    return "".join(letter if letter.isprintable() else _letter(letter) for letter in text)


def _letter(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not read
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Align columns; those in `right` to the right. The last column is not padded."""
    lines = [heads, *rows]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(heads))]
    aligned = set(right)
    return [
        "  ".join(
            " " * (widths[i] - _width(cell)) + cell if i in aligned else cell + " " * (widths[i] - _width(cell))
            for i, cell in enumerate(line)
        ).rstrip()
        for line in lines
    ]


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def plain(key: str, raw: bytes) -> dict[str, str]:
    """Give the JSON fields of a name: `key` as text, and what is no UTF-8 also exactly, as `<key>_b64`."""
    try:
        return {key: raw.decode()}
    except UnicodeDecodeError:
        import base64

        return {key: raw.decode(errors="replace"), f"{key}_b64": base64.b64encode(raw).decode()}


def to_json(value: object) -> str:
    """Write one line of JSON, ASCII only, so that no name can command a terminal."""
    import json

    return json.dumps(value, separators=(",", ":"))


def out(text: str = "") -> None:
    """Write a line of data."""
    sys.stdout.write(text + "\n")


def lines(texts: Iterable[str]) -> None:
    """Write lines of data."""
    for text in texts:
        sys.stdout.write(text + "\n")


def err(text: str) -> None:
    """Write a line that is no data: progress, warnings, errors. A closed stderr is nobody's loss."""
    for write in (sys.stdout.flush, lambda: sys.stderr.write(text + "\n"), sys.stderr.flush):
        try:
            write()
        except BrokenPipeError:
            raise
        except (OSError, ValueError):
            continue


def bold(text: str, stream: object = None) -> str:
    """Embolden on a terminal that may show it."""
    return f"\x1b[1m{text}\x1b[0m" if colours(stream) else text


def colours(stream: object = None) -> bool:
    """Whether the stream (stdout) is a terminal whose user has nothing against colours."""
    isatty = getattr(stream or sys.stdout, "isatty", None)
    return bool(isatty and isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
