"""A report on paper: what a recovery or a drill did, as Markdown for people and as JSON for programs.

Both files say the same. What programs and names brought along is escaped, so that it can be nothing but words there;
secrets were taken out before (recovery.report). The digest is that of the two lines that `sha256sum` has for the files,
so that no byte can move from one to the other: in their folder `sha256sum X.md X.json | sha256sum` gives it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from casstore import private
from casstore.recovery.report import Done
from casstore.values import dataclass

DRILLS, RECOVERIES = "drills", "recoveries"  # the folders of reports, in the application's


@dataclass(frozen=True, slots=True)
class Fact:
    """A line at the top. `key` names it in JSON, `label` for people; `words`: how they read the value."""

    key: str
    label: str
    value: object  # as JSON knows it
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A list under a title, behind the steps."""

    key: str
    title: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Written:
    """A report that lies there. `digest`: as the head of this module has it, in letters."""

    markdown: Path
    json: Path
    digest: str


def write(
    folder: Path,
    kind: str,
    facts: Sequence[Fact],
    steps: Sequence[Done],
    sections: Sequence[Section] = (),
    *,
    title: str,
    ok: bool,
    at_ns: int,
) -> Written:
    """Write a report of this `kind` ("drill") on what began at `at_ns`; durable on return, nothing is replaced.

    Raises:
        OSError: it cannot be written.
    """
    day = datetime.fromtimestamp(at_ns // 10**9, UTC)
    told = {
        "kind": kind, "title": title, "ok": ok, "time": day.isoformat(),
        "facts": {fact.key: fact.value for fact in facts},
        "steps": [step.fields() for step in steps], **{section.key: list(section.lines) for section in sections},
    }  # fmt: skip
    data = json.dumps(told, indent=2).encode() + b"\n"
    markdown = "\n".join(_page(title, ok, day, facts, steps, sections)).encode(errors="backslashreplace") + b"\n"
    path = _free(folder, f"{day:%Y%m%d-%H%M%SZ}-{kind}")
    private.replace(path.with_suffix(".json"), data)
    private.replace(path, markdown)  # the last: where it lies, the other does
    return Written(path, path.with_suffix(".json"), _digest(path, markdown, data))


def digest_of(written: Path) -> str:
    """Give the digest of a report as it lies there now; `written` is its Markdown.

    Raises:
        OSError: a part of it cannot be read.
    """
    return _digest(written, written.read_bytes(), written.with_suffix(".json").read_bytes())


def seconds(ns: int) -> str:
    """Tell a time that something took."""
    if ns < 60 * 10**9:
        return f"{ns / 1e9:.2f} s"
    minutes, rest = divmod(round(ns / 1e9), 60)
    return f"{minutes} min {rest} s"


def _digest(path: Path, markdown: bytes, data: bytes) -> str:
    files = ((path.name, markdown), (path.with_suffix(".json").name, data))
    lines = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files)
    return hashlib.sha256(os.fsencode(lines)).hexdigest()


def _free(folder: Path, name: str) -> Path:
    number, path = 1, folder / f"{name}.md"
    while path.exists() or path.with_suffix(".json").exists():
        number += 1
        path = folder / f"{name}-{number}.md"
    return path


# ── Markdown ──


def _page(
    title: str, ok: bool, day: datetime, facts: Sequence[Fact], steps: Sequence[Done], sections: Sequence[Section]
) -> list[str]:
    head = [f"# {_text(title)}", "", f"**{'All held.' if ok else 'Not all held.'}** {day:%Y-%m-%d %H:%M:%S} UTC", ""]
    table = ["| | |", "|---|---|", *(f"| {_text(fact.label)} | {_text(_said(fact))} |" for fact in facts), ""]
    return [*head, *table, *_steps(steps), *(line for section in sections for line in _section(section))]


def _said(fact: Fact) -> str:
    return str(fact.value) if fact.words is None else fact.words


def _steps(steps: Sequence[Done]) -> list[str]:
    lines = ["## Steps", "", "| step | | time | |", "|---|---|---:|---|"]
    for number, step in enumerate(steps, 1):
        first, _, _ = step.words.partition("\n")
        result = "ok" if step.ok else "**failed**"
        lines.append(f"| {number}. {_text(step.name)} | {result} | {seconds(step.duration_ns)} | {_text(first)} |")
    for number, step in enumerate(steps, 1):
        _, _, output = step.words.partition("\n")
        if output.strip():
            lines += ["", f"What step {number}, {_text(step.name)}, said:", "", *_fenced(output)]
    return [*lines, ""]


def _section(section: Section) -> list[str]:
    return [f"## {_text(section.title)}", "", *(f"- {_text(line)}" for line in section.lines or ("none",)), ""]


def _fenced(output: str) -> list[str]:
    longest = max((len(run) for run in re.findall(r"`+", output)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *(_plain(line) for line in output.strip("\n").split("\n")), fence]


def _text(words: str) -> str:
    """Write words so that Markdown shows them and does nothing else."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", _plain(words))


def _plain(words: str) -> str:
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in words.replace("\t", "    "))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
