"""TOML read key by key. Pure: text in, values or one exact complaint out.

Every complaint names the line and the key, since the reader will have an editor open next. A reader of a value takes
what TOML gave and raises ValueError with the end of a sentence: "`paths` must be …".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from casstore.errors import ConfigInvalid

Keys = tuple[str | int, ...]  # the way to a value: names of tables and keys, numbers in lists
Reader = Callable[[Any], object]
Known = Mapping[str, tuple[str, Reader]]  # key in the file: name of the field, reader of the value

_SECOND_NS = 1_000_000_000
_DURATIONS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_HEADER = re.compile(r"\s*\[{1,2}\s*[\w\"'][^=]*\]{1,2}\s*(#.*)?$")


def load(text: str, file: str) -> tuple[dict[str, Any], Lines]:
    """Read TOML, and what finds the lines of its keys; `file` is only how complaints call it.

    Raises:
        ConfigInvalid: it is no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(text), Lines(text, file)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(where[1]) if where else text.count("\n") + 1
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigInvalid(file, line, f"this is not valid TOML: {reason[:1].lower()}{reason[1:]}") from None
    except RecursionError:
        raise ConfigInvalid(file, 1, "this is nested deeper than any cas.toml needs") from None


class Lines:
    """Finds the line of a key, which tomllib does not tell."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.splitlines()
        self._file = file

    def number(self, keys: Keys) -> int:
        """Give the line where the last of `keys` stands, or the nearest on the way to it that is found."""
        at = self._headed(str(keys[0]), keys[1] if len(keys) > 1 and isinstance(keys[1], int) else 0)
        inside = at is not None
        at = at or 0
        for key in keys[1:] if inside else keys:
            if isinstance(key, str):
                at = next(self._written(key, at, inside=inside), at)
                inside = True
        return at + 1

    def complaint(self, keys: Keys, reason: str, *, hint: str = "") -> ConfigInvalid:
        """Make the error that says where it is."""
        return ConfigInvalid(self._file, self.number(keys), reason, hint=hint)

    def _headed(self, name: str, nth: int) -> int | None:
        """Find the nth header of a table."""
        named = re.compile(rf"\s*\[{{1,2}}\s*[\"']?{re.escape(name)}[\"']?\s*[.\]]")
        found = [number for number, line in enumerate(self._lines) if named.match(line)]
        return found[nth] if nth < len(found) else None

    def _written(self, key: str, at: int, *, inside: bool) -> Iterator[int]:
        """Yield the lines at or below `at` on which a key stands; `inside` a table, up to the next header."""
        written = re.compile(rf"(?:^|[{{,.\[\s])[\"']?{re.escape(key)}[\"']?\s*[.=\]]")
        for number in range(at, len(self._lines)):
            line = self._lines[number]
            if _HEADER.match(line) and number > at and not (inside and written.search(line)):
                return
            if not line.lstrip().startswith("#") and written.search(line):
                yield number


def read_table(lines: Lines, table: Keys, values: Mapping[str, object], known: Known) -> dict[str, Any]:
    """Read each key of a table; gives the values by the names of their fields.

    Raises:
        ConfigInvalid: a key is unknown, or its reader raised ValueError.
    """
    found = {}
    for key, value in values.items():
        where = (*table, key)
        if key not in known:
            kind = "table" if isinstance(value, dict) else "key"
            inside = f" in [{'.'.join(str(part) for part in table if isinstance(part, str))}]" if table else ""
            inside += "".join(f", number {part + 1}" for part in table if isinstance(part, int))
            raise lines.complaint(where, f"unknown {kind} `{key}`{inside}", hint=_nearest(key, known))
        field, reader = known[key]
        try:
            found[field] = reader(value)
        except ValueError as error:
            raise lines.complaint(where, f"`{key}` {error}") from None
    return found


def _nearest(key: str, known: Known) -> str:
    import difflib

    near = difflib.get_close_matches(key.lower().replace("_", "-"), known, 1, 0.6)
    return f"Did you mean `{near[0]}`?" if near else f"Known are: {', '.join(known)}."


def table(value: object, how: str) -> dict[str, Any]:
    """Read a table; `how` it is written goes into a complaint: "such as …"."""
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, {how}, not {called(value)}")
    return value


def tables(value: object, how: str) -> list[dict[str, Any]]:
    """Read a list of tables."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list of tables, {how}, not {called(value)}")
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise ValueError(f"must be a list of tables, {how}, and number {number} is {called(item)}")
    return value


def text(value: object) -> str:
    """Read a text that says something, on one line."""
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {called(value)}")
    if not value.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ValueError("must not be empty nor hold control characters")
    return value


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {called(value)}")
    return value


def texts(value: object, example: str) -> tuple[str, ...]:
    """Read a list of texts."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list of texts such as {example}, not {called(value)}")
    for item in value:
        if not isinstance(item, str):
            raise ValueError(f"must hold only texts in quotes, such as {example}, not {called(item)}")
        if not item.strip() or "\0" in item:
            raise ValueError("must not hold an empty text")
    return tuple(value)


def duration(value: object) -> int:
    """Read a duration; gives ns."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|[smhdw])", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a duration such as "24h" or "7d"')
    return round(float(match[1]) * _DURATIONS[match[2]] * _SECOND_NS)


def size(value: object) -> int:
    """Read a size; gives bytes."""
    match = None
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,12})\s*([KMGT]?)(?:i?B)?", value.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError('must be a size such as "128MiB"')
    return int(match[1]) * _SIZES[match[2].upper()]


def called(value: object) -> str:
    """Say what TOML value this is."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a single text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date")
