"""A report on paper says what was done, can be read by programs, and what others wrote is nothing but words in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from casstore.recovery.report import Done
from casstore.recovery.report_files import Fact, Section, Written, digest_of, write

AT = 1_700_000_000 * 10**9
STEPS = (
    Done("code", True, 1_500_000_000, "cloned"),
    Done("checks", False, 61 * 10**9, "ended with code 1\nline one\n```\n# no head\nred: \x1b[31m"),
)


def report(folder: Path, *, steps: tuple[Done, ...] = STEPS, title: str = "Recovery of shop: unhealthy") -> Written:
    facts = [Fact("rto_seconds", "measured RTO", 62.5, "62.50 s"), Fact("host", "host", "new")]
    sections = [Section("external", "By hand", ["Stripe webhook: <b>Dashboard</b> | *here*"]), Section("x", "Else", [])]
    return write(folder / "deep/recoveries", "recovery", facts, steps, sections, title=title, ok=False, at_ns=AT)


def test_people_and_programs_read_the_same(tmp_path: Path) -> None:
    written = report(tmp_path)
    assert written.markdown.name == "20231114-221320Z-recovery.md"
    told = json.loads(written.json.read_text())
    assert told["facts"] == {"rto_seconds": 62.5, "host": "new"}
    assert (told["kind"], told["ok"], told["time"]) == ("recovery", False, "2023-11-14T22:13:20+00:00")
    assert [step["name"] for step in told["steps"]] == ["code", "checks"]
    page = written.markdown.read_text()
    assert "| measured RTO | 62.50 s |" in page
    assert "| 1. code | ok | 1.50 s | cloned |" in page
    assert "| 2. checks | **failed** | 1 min 1 s | ended with code 1 |" in page
    assert page.endswith("## Else\n\n- none\n\n")


def test_what_others_wrote_is_nothing_but_words(tmp_path: Path) -> None:
    page = report(tmp_path, title="a\n# b").markdown.read_text()
    assert "# a\\\\n\\# b\n" in page
    assert "\x1b" not in page
    assert "````\nline one\n```\n# no head\nred: \\x1b[31m\n````" in page
    assert r"\<b\>Dashboard\</b\> \| \*here\*" in page


def test_nothing_is_replaced_and_a_later_change_shows_in_the_digest(tmp_path: Path) -> None:
    first, second = report(tmp_path), report(tmp_path, steps=STEPS[:1])
    assert second.markdown.name == "20231114-221320Z-recovery-2.md"
    assert digest_of(first.markdown) == first.digest != second.digest
    summed = subprocess.run(
        f"sha256sum {first.markdown.name} {first.json.name} | sha256sum", shell=True, cwd=first.json.parent, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert summed.stdout.split()[0] == first.digest
    first.json.write_text(first.json.read_text().replace("62.5", "2.5"))
    assert digest_of(first.markdown) != first.digest


def test_a_byte_that_moves_from_one_file_to_the_other_shows_in_the_digest(tmp_path: Path) -> None:
    written = report(tmp_path)
    data = written.json.read_bytes()
    written.json.write_bytes(data[1:])
    written.markdown.write_bytes(written.markdown.read_bytes() + data[:1])
    assert digest_of(written.markdown) != written.digest
