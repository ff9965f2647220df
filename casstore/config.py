"""`cas.toml`: what an application wants saved. Pure: text in, value or one exact complaint out.

The command finds the file and judges who may write it; the recovery room reads the copy that each snapshot
carries. Every complaint names the line and the key, since the reader will have an editor open next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from casstore.errors import ConfigInvalid

FILE_NAME = "cas.toml"

_SECOND_NS = 1_000_000_000
_DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Tuning:
    """The knobs of reading; the defaults are those of docs/architecture.md."""

    prove_logs_ns: int = 24 * 3600 * _SECOND_NS
    reread_ns: int = 7 * 86_400 * _SECOND_NS
    recent_chunks_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """What cas.toml says. Patterns are relative to the folder that holds it; "." is all of that folder."""

    name: str = ""  # "": the folder's own name
    repository: str = ""  # "": backups/cas beside the file
    paths: tuple[str, ...] = (".",)
    append_only: tuple[str, ...] = ()
    whole_lines: bool = False  # append-only files are saved up to their last newline
    isolate: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_caches: bool = False
    one_file_system: bool = False
    tuning: Tuning = field(default_factory=Tuning)


def parse(text: str, *, file: str = FILE_NAME) -> Config:
    """Read the text of a cas.toml; `file` is only how complaints call it.

    Raises:
        ConfigInvalid: it is no TOML, or has an unknown key or a value of the wrong type.
    """
    import tomllib

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(where[1]) if where else text.count("\n") + 1
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigInvalid(file, line, f"this is not valid TOML: {reason[:1].lower()}{reason[1:]}") from None
    except RecursionError:
        raise ConfigInvalid(file, 1, "this is nested deeper than any cas.toml needs") from None
    lines = _Lines(text, file)
    tuning = tables.pop("tuning", {})
    if not isinstance(tuning, dict):
        raise lines.complaint("", "tuning", "`tuning` must be a table, written [tuning]")
    # the readers have checked each type; mypy cannot follow that through the table of keys
    found: dict[str, Any] = {_KEYS[key][0]: value for key, value in _read(lines, "", tables, _KEYS)}
    knobs: dict[str, Any] = {_TUNING[key][0]: value for key, value in _read(lines, "tuning", tuning, _TUNING)}
    return Config(**found, tuning=Tuning(**knobs))


class _Lines:
    """Finds the line of a key, which tomllib does not tell."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file

    def number(self, table: str, key: str) -> int:
        inside = ""
        for number, line in enumerate(self._text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line):
                inside = header[1].strip("\"'")
                if not table and inside.split(".")[0].strip("\"' ") == key:
                    return number
            elif inside == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                return number
        return 1

    def complaint(self, table: str, key: str, reason: str, *, hint: str = "") -> ConfigInvalid:
        return ConfigInvalid(self._file, self.number(table, key), reason, hint=hint)


_Known = Mapping[str, tuple[str, Callable[[object], object]]]


def _read(lines: _Lines, table: str, values: Mapping[str, object], known: _Known) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if key not in known:
            kind = "table" if isinstance(value, dict) else "key"
            inside = f" in [{table}]" if table else ""
            raise lines.complaint(table, key, f"unknown {kind} `{key}`{inside}", hint=_nearest(key, known))
        try:
            yield key, known[key][1](value)
        except ValueError as error:
            raise lines.complaint(table, key, f"`{key}` {error}") from None


def _nearest(key: str, known: _Known) -> str:
    import difflib

    names = [*known, "tuning"] if "paths" in known else list(known)
    near = difflib.get_close_matches(key.lower().replace("_", "-"), names, 1, 0.6)
    return f"Did you mean `{near[0]}`?" if near else f"Known are: {', '.join(names)}."


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {_called(value)}")
    if not value.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ValueError("must not be empty nor hold control characters")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {_called(value)}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f'must be a list of texts such as ["data/*.json"], not {_called(value)}')
    for item in value:
        if not isinstance(item, str):
            raise ValueError(f"must hold only texts in quotes, not {_called(item)}")
        if not item.strip() or "\0" in item:
            raise ValueError("must not hold an empty text")
    return tuple(value)


def _patterns(value: object) -> tuple[str, ...]:
    """Patterns below the folder: `./` and a closing `/` mean nothing, and what leads out of it is refused."""
    return tuple(inside(pattern) for pattern in _texts(value))


def _paths(value: object) -> tuple[str, ...]:
    patterns = _patterns(value)
    if not patterns:
        raise ValueError('must name something; ["."] is the whole folder')
    return patterns


def inside(pattern: str) -> str:
    """Give a pattern without what means nothing in it.

    Raises:
        ValueError: it leads out of the folder.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if pattern.startswith(("/", "~")) or ".." in parts:
        raise ValueError(f"must stay inside the folder of cas.toml, and `{pattern}` leads out of it")
    return "/".join(parts) or "."


def _duration(value: object) -> int:
    match = re.fullmatch(r"(\d{1,6})\s*([smhdw])", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a duration such as "24h" or "7d"')
    return int(match[1]) * _DURATIONS[match[2]] * _SECOND_NS


def _size(value: object) -> int:
    match = re.fullmatch(r"(\d{1,9})\s*([KMGT]?)(?:i?B)?", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a size such as "128MiB"')
    return int(match[1]) * _SIZES[match[2]]


def _called(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a single text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date")


_KEYS: _Known = {
    "name": ("name", _text),
    "repository": ("repository", _text),
    "paths": ("paths", _paths),
    "append-only": ("append_only", _patterns),
    "whole-lines": ("whole_lines", _flag),
    "isolate": ("isolate", _patterns),
    "exclude": ("exclude", _texts),
    "exclude-caches": ("exclude_caches", _flag),
    "one-file-system": ("one_file_system", _flag),
}
_TUNING: _Known = {
    "prove-logs": ("prove_logs_ns", _duration),
    "reread": ("reread_ns", _duration),
    "recent-chunks": ("recent_chunks_bytes", _size),
}
