"""Reports read back from drills/ and recoveries/: what fits is taken, what does not is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casstore.recovery.past_reports import MOST_BYTES, Past, PastStep, last_drill, read_reports
from casstore.recovery.report_files import DRILLS, RECOVERIES

GOOD = {
    "kind": "drill", "title": "…", "ok": True, "time": "2026-11-25T02:30:00+00:00",
    "facts": {"rpo_minutes": 12, "rto_seconds": 1.5},
    "steps": [{"name": "restore", "ok": True, "duration": 0.25, "words": "…"}], "problems": ["port in use"],
}  # fmt: skip


def put(folder: Path, name: str, text: str, *, kind: str = "drills") -> None:
    (folder / kind).mkdir(exist_ok=True)
    (folder / kind / name).write_text(text)


def test_a_report_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.json", json.dumps(GOOD))
    step = PastStep("restore", True, 250_000_000)
    at_ns = 1_795_573_800 * 10**9
    assert read_reports(tmp_path) == (
        [Past(at_ns, "drill", True, 720 * 10**9, 1_500_000_000, (step,), ("port in use",))], [],
    )  # fmt: skip


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    for number, facts in enumerate(
        (
            {},
            {"rto_seconds": None},
            {"rto_seconds": "soon"},
            {"rto_seconds": -1},
            {"rto_seconds": True},
            {"rto_seconds": 1e400},
            [],
        )
    ):
        put(tmp_path, f"{number}.json", json.dumps(GOOD | {"facts": facts}))
    found, unreadable = read_reports(tmp_path)
    assert [past.rto_ns for past in found] == [None] * 7
    assert not unreadable


def test_the_age_of_the_data_is_what_a_recovery_cost(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.json",
        json.dumps(GOOD | {"kind": "recovery", "facts": {"data_age_seconds": 2.5}}),
        kind="recoveries",
    )
    assert [past.rpo_ns for past in read_reports(tmp_path)[0]] == [2_500_000_000]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "{}", "[" * 100_000, *(json.dumps(GOOD | changed) for changed in (
        {"ok": "yes"}, {"time": None}, {"time": "yesterday"}, {"time": "2026-11-25T02:30:00"}, {"kind": 7},
        {"steps": {}}, {"steps": [7]}, {"problems": "many"}, {"problems": [7]},
    )), json.dumps(GOOD | {"title": "x" * MOST_BYTES})],
)  # fmt: skip
def test_what_is_no_report_is_named_and_the_others_are_read(tmp_path: Path, text: str) -> None:
    put(tmp_path, "bad.json", text)
    put(tmp_path, "good.json", json.dumps(GOOD))
    found, unreadable = read_reports(tmp_path)
    assert (len(found), unreadable) == (1, ["drills/bad.json"])


def test_a_folder_and_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "drills" / "folder.json").mkdir(parents=True)
    (tmp_path / "drills" / "bytes.json").write_bytes(b"\xff\xfe\xff")
    assert read_reports(tmp_path) == ([], ["drills/bytes.json", "drills/folder.json"])


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert read_reports(tmp_path) == ([], [])


def test_the_last_drill_is_the_newest_by_its_time_and_no_recovery(tmp_path: Path) -> None:
    times = {"z": ("drill", "2026-01-01"), "a": ("drill", "2026-03-01"), "m": ("recovery", "2026-04-01")}
    for name, (kind, day) in times.items():
        told = GOOD | {"kind": kind, "time": f"{day}T00:00:00Z", "problems": [name]}
        put(tmp_path, f"{name}.json", json.dumps(told), kind=DRILLS if kind == "drill" else RECOVERIES)
    found, _ = read_reports(tmp_path)
    drill = last_drill(found)
    assert drill is not None
    assert drill.problems == ("a",)


def test_a_drill_among_the_recoveries_is_named_and_none_that_was_said_to_prove_nothing_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.json", json.dumps(GOOD), kind=RECOVERIES)
    put(tmp_path, "b.json", json.dumps(GOOD))
    put(tmp_path, "c.json", "{")
    found, unreadable = read_reports(tmp_path, but=["drills/b.json", "drills/c.json"])
    assert (found, unreadable) == ([], ["recoveries/a.json"])
