"""The cas.toml that `cas init` writes: every key, explained where it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence

_TEMPLATE = """\
# What `cas` saves of this application. Patterns are relative to this folder; `*` stays within a folder, `**` does not.
# `cas backup` takes a snapshot, `cas snapshots` lists them, `cas restore "2 hours ago"` brings one back.

# What snapshots of it are called.
name = {name}

# Where the repository is: a folder, relative to this one or absolute. `-r` and CAS_REPOSITORY count before it.
repository = {repository}

# What is saved. New files that match are saved too; what matches nothing yet is only a warning.
paths = {paths}

# Files that only grow, such as event logs.
append-only = ["*.log", "*.jsonl"]

# Save them only up to their last newline.
whole-lines = false

# Files whose bytes are stored apart from all others, such as an encrypted vault.
isolate = []  # ["vault/**"]

# What is left out, in the language of .gitignore. A .casignore in any folder adds to it.
exclude = []  # ["*.tmp", "/cache/"]

# Leave out folders that hold a CACHEDIR.TAG.
exclude-caches = false

# Stay on the file system of this folder.
one-file-system = false

[tuning]
# reread = "7d"             # read even unchanged files again after this time
# prove-logs = "24h"        # read append-only files whole again after this time
# recent-chunks = "128MiB"  # how much of what changed last is kept at hand on this host
"""


def cas_toml(name: str, repository: str, paths: Sequence[str]) -> str:
    """Write a commented cas.toml."""
    return _TEMPLATE.format(name=_quoted(name), repository=_quoted(repository), paths=_listed(paths))


def _listed(paths: Sequence[str]) -> str:
    quoted = [_quoted(path) for path in paths]
    line = f"[{', '.join(quoted)}]"
    if len(line) <= 100:
        return line
    return "[\n" + "".join(f"  {path},\n" for path in quoted) + "]"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
