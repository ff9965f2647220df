"""`cas.toml`: what an application wants saved. Pure: text in, value or one exact complaint out.

The command finds the file and judges who may write it; the recovery room reads the copy that each snapshot
carries, and the tables that tell of the running application (`RECOVERY`), which are none of this room's business.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import partial
from pathlib import Path

from casstore.tables import Known, Reader, duration, flag, load, read_table, size, table, tables, text, texts
from casstore.values import dataclass

FILE_NAME = "cas.toml"
DEFAULT_REPOSITORY = "backups/cas"  # beside it
RECOVERY = ("app", "recover", "drill", "promises", "notify", "contacts", "external")

_SECOND_NS = 1_000_000_000
_ELSEWHERE = re.compile(  # what others write for a store that is no folder here
    r"(?!file:)(?:[a-z][a-z0-9+.-]*://|(?:azure|b2|gs|rclone|rest|s3|sftp|ssh|swift):|[\w.-]+@[\w.-]+:)", re.IGNORECASE
)


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
    recovery: tuple[str, ...] = ()  # which of RECOVERY are there


def parse(toml: str, *, file: str = FILE_NAME) -> Config:
    """Read the text of a cas.toml; `file` is only how complaints call it.

    Raises:
        ConfigInvalid: it is no TOML, or has an unknown key or a value of the wrong type.
    """
    values, lines = load(toml, file)

    def tuning(value: object) -> Tuning:
        return Tuning(**read_table(lines, ("tuning",), table(value, "written [tuning]"), _TUNING))

    recovery: Known = {name: (name, partial(table, how=f"written [{name}]")) for name in RECOVERY}
    external: Known = {"external": ("external", partial(tables, how="written [[external]] with `name` and `how`"))}
    found = read_table(lines, (), values, {**_KEYS, "tuning": ("tuning", tuning), **recovery, **external})
    own = {key: value for key, value in found.items() if key not in RECOVERY}
    return Config(**own, recovery=tuple(key for key in found if key in RECOVERY))


def local_place(text: str) -> Path:
    """Give the folder that an address of a repository means; `./s3:x` is a folder of that name.

    Raises:
        ValueError: it is of a kind that this version cannot reach.
    """
    if _ELSEWHERE.match(text):
        raise ValueError(f"must be a folder: {text.partition(':')[0]}: cannot be reached yet")
    return Path(text.removeprefix("file://").removeprefix("file:")).expanduser()


def repository_place(config: Config, folder: Path) -> Path:
    """Give where the repository lies that a cas.toml in `folder` names, or the default."""
    return folder / local_place(config.repository or DEFAULT_REPOSITORY)


def _patterns(value: object, example: str) -> tuple[str, ...]:
    """Patterns below the folder: `./` and a closing `/` mean nothing, and what leads out of it is refused."""
    return tuple(inside(pattern) for pattern in texts(value, example))


def _paths(value: object) -> tuple[str, ...]:
    patterns = _patterns(value, '["data/*.json"]')
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


def _repository(value: object) -> str:
    place = text(value)
    local_place(place)
    return place


_KEYS: dict[str, tuple[str, Reader]] = {
    "name": ("name", text),
    "repository": ("repository", _repository),
    "paths": ("paths", _paths),
    "append-only": ("append_only", partial(_patterns, example='["*.log"]')),
    "whole-lines": ("whole_lines", flag),
    "isolate": ("isolate", partial(_patterns, example='["data/vault.json"]')),
    "exclude": ("exclude", partial(texts, example='["*.tmp"]')),
    "exclude-caches": ("exclude_caches", flag),
    "one-file-system": ("one_file_system", flag),
}
_TUNING: Known = {
    "prove-logs": ("prove_logs_ns", duration),
    "reread": ("reread_ns", duration),
    "recent-chunks": ("recent_chunks_bytes", size),
}
