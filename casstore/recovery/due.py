"""Whether the last rehearsal still proves what it did, and whether the reports are still those that were made.

A rehearsal proves what there was. It is due when its time is over (recovery.status), and at once when what it was done
with is another: `cas.toml`, a lock file of the application's packages, or `cas` itself. What these were stands in the
note, with the digest of the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from casstore.backup.taking import PROGRAM
from casstore.config import FILE_NAME
from casstore.notes import Drilled
from casstore.recovery.findings import Finding, Level
from casstore.recovery.past_reports import MOST_BYTES, newest
from casstore.recovery.report_files import DRILLS, digest_of

LOCK_FILES = (
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "poetry.lock",
    "uv.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "Gemfile.lock", "composer.lock", "go.sum", "Cargo.lock",
)  # fmt: skip
_SHOWN = 5  # names of reports in one line
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
    if any(_digest(path) == wanted for path in reversed(newest(folder / DRILLS))):
        return ""
    return f"the report of the last drill was changed since, or is not under {DRILLS}/ any more"


def unproven(drilled: Sequence[Drilled], folder: Path) -> list[str]:
    """Name the reports of drills in an application's folder that are not as one was noted: changed, or unknown."""
    noted = {one.report.hex() for one in drilled}
    found = (path for path in newest(folder / DRILLS) if _digest(path) not in noted)
    return [str(path.relative_to(folder)) for path in found]


def reports(drilled: Sequence[Drilled], folder: Path) -> Iterator[Finding]:
    """Say so if there are reports that prove nothing."""
    names = unproven(drilled, folder)
    if names:
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        text = "reports of drills that are not as they were noted in the repository, or not known to it"
        todo = (
            "They prove nothing, and `cas runbook` leaves them out. If nobody can say why, rehearse with `cas drill`."
        )
        yield Finding("reports", Level.WARNING, f"{text}: {', '.join(names[-_SHOWN:])}{more}", todo)


def _digest(path: Path) -> str:
    """Give the digest of a report by its JSON; "" of what is none."""
    with suppress(OSError):
        if all(part.is_file() and part.stat().st_size <= MOST_BYTES for part in (path, path.with_suffix(".md"))):
            return digest_of(path.with_suffix(".md"))
    return ""
