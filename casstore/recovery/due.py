"""Whether the last rehearsal still proves what it did, and whether its report is still the one that was made.

A rehearsal proves what there was. It is due when its time is over (recovery.status), and at once when what it was done
with is another: `cas.toml`, a lock file of the application's packages, or `cas` itself. What these were stands in the
note, with the digest of the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from casstore.backup.taking import PROGRAM
from casstore.config import FILE_NAME
from casstore.notes import Drilled
from casstore.recovery.report_files import DRILLS, digest_of

LOCK_FILES = (
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "poetry.lock",
    "uv.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "Gemfile.lock", "composer.lock", "go.sum", "Cargo.lock",
)  # fmt: skip
_LETTERS = 16  # of a hash: enough to tell versions apart


def versions(folder: Path) -> dict[str, str]:
    """Give what a rehearsal depends on, by name: `cas`, and of each file the beginning of its hash."""
    found = {"cas": PROGRAM.removeprefix("cas ")}
    for name in (FILE_NAME, *LOCK_FILES):
        with suppress(OSError), (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()[:_LETTERS]
    return found


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what is another now, or came, or went."""
    said = []
    for name in dict.fromkeys((*before, *now)):
        was, is_now = before.get(name), now.get(name)
        if was != is_now:
            came_or_went = f"{name} came" if was is None else f"{name} is gone" if is_now is None else f"{name} changed"
            said.append(f"{came_or_went} ({was} → {is_now})" if name == "cas" else came_or_went)
    return said


def since(drilled: Sequence[Drilled], folder: Path) -> list[str]:
    """Say why the last rehearsal of the application in a folder proves less by now; nothing if it does not."""
    if not drilled:
        return []
    altered = altered_report(drilled, folder)
    return changed(dict(drilled[-1].versions), versions(folder)) + ([altered] if altered else [])


def altered_report(drilled: Sequence[Drilled], folder: Path) -> str:
    """Say so if the report of the last rehearsal does not lie there as it was noted; "" if it does."""
    if not drilled:
        return ""
    wanted = drilled[-1].report.hex()
    for path in sorted((folder / DRILLS).glob("*.md"), reverse=True):
        with suppress(OSError):
            if digest_of(path) == wanted:
                return ""
    return f"the report of the last drill was changed since, or is not under {DRILLS}/ any more"
