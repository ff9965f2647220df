"""What the benchmarks compute from what they measured; they themselves run by `make bench`."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ElementTree
from itertools import islice
from pathlib import Path
from random import Random

import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from changing import GrowingTree, log_lines, next_lines
from compare import prove_comparison, strict_difference
from harness import median
from news import news_bytes, patch_bytes
from plot import plot, ticks
from table import BEGIN, END, markdown, replaced

DOCUMENT = {
    "date": "2026-11-24T22:00:00+00:00",
    "mode": "full",
    "machine": "2 cores",
    "busy": "",
    "versions": {"cas": "cas 0.1.0", "borg": "borg 1.4"},
    "medians": {"snapshot, s": {"cas": 0.12345, "borg": 1234.5}, "snapshot, CPU s": {"cas": 0.1}},
    "goals": [
        {"figure": "snapshot, s", "wanted": "at most 0.1", "found": "0.1235", "reached": False},
        {"figure": "snapshot, s", "wanted": "at least 2 x as fast", "found": "9999 x", "reached": True},
    ],
    "controls": [{"claim": "it restores", "held": False}],
    "failures": {"kopia": "`/some/where/kopia` ended with 1"},
    "remarks": ["borg took only 3 of 5"],
    "beside": {"the news, kB": 3.14159},
}


def test_a_median_of_two_is_between_them_and_of_nothing_is_none() -> None:
    assert median([5, 1, 9]) == 5
    assert median([1, 2]) == 1.5
    assert median([]) is None


def test_ticks_enclose_all_values() -> None:
    for least, most in [(0.3, 0.9), (1, 1), (0.07, 430), (5, 5)]:
        marks = ticks(least, most)
        assert len(marks) >= 2
        assert marks[0] <= least
        assert marks[-1] >= most


def test_a_plot_is_xml_with_a_line_for_each_program() -> None:
    drawn = plot("Time & size", {"cas": [1.0, 1.1, 1.2], "a<b": [3.0], "silent": []})
    lines = [element for element in ElementTree.fromstring(drawn).iter() if element.tag.endswith("polyline")]
    assert len(lines) == 2


def test_the_table_names_what_was_missed_and_what_is_void_and_no_path() -> None:
    text = "\n".join(markdown({"growing": DOCUMENT}))
    assert "| `growing` | snapshot, s | 0.1235 | 1,234 |" in text
    assert "**missed**: 0.1235; reached: 9999 x" in text
    assert "**void**, this did not hold: it restores" in text
    assert "kopia failed" in text
    assert "/some/where" not in text
    assert "borg took only 3 of 5" in text
    assert "Measured on 2026-11-24: full size, 2 cores." in text


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replaced(text, ["new"])
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replaced(once, ["new"]) == once
    with pytest.raises(ValueError, match="not found"):
        replaced("no marks", [])


def test_a_difference_is_as_small_as_the_news() -> None:
    random = Random(1)
    before, new = random.randbytes(1_000_000), random.randbytes(1000)
    assert 1000 <= patch_bytes(before, before[:500_000] + new + before[500_000:]) < 4000
    assert patch_bytes(b"", before) >= len(before)
    assert news_bytes([]) == 0


def test_lines_are_whole_and_fit() -> None:
    lines = log_lines()
    taken = next_lines(lines, 5000)
    assert 4000 < len(taken) <= 5000
    assert taken.endswith(b"\n")
    assert next_lines(iter([b"longer than asked\n"]), 1) == b"longer than asked\n"
    assert len(set(islice(log_lines(), 100))) == 100


def test_a_tree_changes_in_the_same_way_for_the_same_turn(tmp_path: Path) -> None:
    trees = [GrowingTree(tmp_path / name, log_mebibytes=0, tables=2) for name in ("one", "other")]
    assert list(strict_difference_but_times(*(tree.folder for tree in trees))) == []
    news = [tree.rewrite(3, 5) for tree in trees]
    assert news[0] == news[1]
    assert list(strict_difference_but_times(*(tree.folder for tree in trees))) == []
    assert 150_000 < trees[0].tables[0].path.stat().st_size < 190_000


def strict_difference_but_times(one: Path, other: Path) -> list[str]:
    return [line for line in strict_difference(one, other) if ": changed at" not in line]


def test_the_comparison_sees_one_bit(tmp_path: Path) -> None:
    for name in ("source", "restored"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"12345")
    seen = list(strict_difference(tmp_path / "source", tmp_path / "restored"))
    assert all(": changed at" in line for line in seen)
    times = (tmp_path / "source" / "file").stat()
    os.utime(tmp_path / "restored" / "file", ns=(times.st_atime_ns, times.st_mtime_ns))
    prove_comparison(tmp_path / "source", tmp_path / "restored")
