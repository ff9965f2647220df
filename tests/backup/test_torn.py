"""JSON that is rewritten while it is saved: whole in the snapshot, or marked as torn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import DAY, Store

from casstore.backup import torn
from casstore.backup.torn import MOST_PARSED, WAITS_S, Text, Verdict
from casstore.entry import Entry
from casstore.progress import Event, Torn
from casstore.selection import Selection
from casstore.snapshot import Snapshot

NODE = shutil.which("node")
ROUNDS = 30
PYTHON_WRITER = """
import json, sys, time
text = json.dumps([{"id": n, "name": "x" * 40} for n in range(4000)])
while True:
    with open(sys.argv[1], "w") as file:
        for at in range(0, len(text), 10_000):
            file.write(text[at : at + 10_000])
    time.sleep(0.005)
"""
NODE_WRITER = """
const fs = require("fs");
const rows = JSON.stringify(Array.from({length: 20000}, (_, n) => ({id: n, name: "x".repeat(40)})));
const write = () => { fs.writeFileSync(process.argv[1], rows); setTimeout(write, 5); };
write();
"""
WRITERS = [
    pytest.param([sys.executable, "-c", PYTHON_WRITER], id="python"),
    pytest.param(
        [NODE or "", "-e", NODE_WRITER], id="node", marks=pytest.mark.skipif(not NODE, reason="no node on PATH")
    ),
]


class Waits:
    """Instead of sleeping, writes down how long was asked for, and does something meanwhile."""

    def __init__(self, *meanwhile: Callable[[], object]) -> None:
        self.seconds: list[float] = []
        self._meanwhile = list(meanwhile)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self._meanwhile:
            self._meanwhile.pop(0)()


class Live:
    """A tree with one JSON file that was written right now."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.store.create()
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.file = self.tree / "state.json"
        self.store.now = time.time_ns()
        self.told: list[Event] = []

    def backup(self, *, waits: Callable[[float], object] | None = None, guarded: bool = True) -> Snapshot:
        self.store.now = time.time_ns() - 60 * 10**9  # the store adds a minute
        self.told.clear()
        return self.store.backup(self.tree, progress=self.told.append, sleep=waits or never, guarded=guarded)

    def entry(self, snapshot: Snapshot) -> Entry:
        with self.store.open() as repository:
            repository.refresh()
            [entry] = repository.entries(snapshot, b"state.json")
        return entry

    def saved(self, snapshot: Snapshot) -> bytes:
        return self.store.contents(snapshot)[b"state.json"]

    @property
    def torn(self) -> list[bytes]:
        return [event.path for event in self.told if isinstance(event, Torn)]


def never(seconds: float) -> None:
    raise AssertionError(f"it waited {seconds} s for nothing")


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


@contextmanager
def writing(command: list[str], file: Path) -> Iterator[None]:
    writer = subprocess.Popen([*command, str(file)])
    try:
        while not file.exists() or not file.stat().st_size:
            assert writer.poll() is None
            time.sleep(0.01)
        yield
    finally:
        writer.kill()
        writer.wait()


def is_whole(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("command", WRITERS)
def test_a_file_that_is_truncated_and_rewritten_all_the_time_is_saved_whole_or_marked_torn(
    live: Live, command: list[str]
) -> None:
    with writing(command, live.file):
        taken = [live.backup(waits=time.sleep) for _ in range(ROUNDS)]
    for snapshot in taken:
        entry = live.entry(snapshot)
        assert entry.torn == (not is_whole(live.saved(snapshot))) == bool(snapshot.torn)
    assert sum(snapshot.torn for snapshot in taken) < ROUNDS // 2


@pytest.mark.parametrize("command", WRITERS)
def test_without_the_guard_torn_files_are_saved_unnoticed(live: Live, command: list[str]) -> None:
    """The control of the test above: its writer is caught half-way, and only the guard sees to it."""
    with writing(command, live.file):
        broken = 0
        for _ in range(20 * ROUNDS):
            snapshot = live.backup(guarded=False)
            assert snapshot.torn == 0
            broken += not is_whole(live.saved(snapshot))
            if broken:
                break
    assert broken


def test_a_half_written_file_is_read_again_until_it_is_whole(live: Live) -> None:
    live.file.write_text('{"a": 1, "b"')
    waits = Waits(lambda: live.file.write_text('{"a": 1, "b": ['), lambda: live.file.write_text('{"a": 1, "b": []}'))
    snapshot = live.backup(waits=waits)
    assert waits.seconds == list(WAITS_S[:2])
    assert live.saved(snapshot) == b'{"a": 1, "b": []}'
    assert (snapshot.torn, live.torn, live.entry(snapshot).torn) == (0, [], False)


def test_an_empty_file_is_waited_for_since_it_may_be_about_to_be_written(live: Live) -> None:
    live.file.touch()
    snapshot = live.backup(waits=Waits(lambda: live.file.write_text("[1]")))
    assert live.saved(snapshot) == b"[1]"


def test_a_file_that_is_empty_whenever_it_is_looked_at_but_is_written_to_is_torn(live: Live) -> None:
    live.file.write_text("[1]")
    live.backup()
    live.file.write_text("")
    waits = Waits(lambda: os.utime(live.file))
    assert live.backup(waits=waits).torn == 1
    assert live.backup(waits=Waits()).torn == 0  # it was emptied, and that is another matter


def test_a_file_that_is_removed_and_made_anew_is_waited_for(live: Live) -> None:
    live.file.write_text("[1")
    snapshot = live.backup(waits=Waits(live.file.unlink, lambda: live.file.write_text("[1]")))
    assert (live.saved(snapshot), snapshot.torn) == (b"[1]", 0)


def test_what_was_json_and_stays_broken_is_saved_and_marked_until_it_is_whole_again(live: Live) -> None:
    live.file.write_text('[{"a": 1}]')
    assert live.backup().torn == 0
    live.file.write_text('[{"a": 1')
    waits = Waits()
    snapshot = live.backup(waits=waits)
    assert waits.seconds == list(WAITS_S)
    assert (snapshot.torn, snapshot.problems, live.torn) == (1, 0, [b"state.json"])
    assert live.entry(snapshot).torn
    assert live.saved(snapshot) == b'[{"a": 1'
    assert live.backup(waits=Waits()).torn == 1  # it still is
    live.file.write_text('[{"a": 2}]')
    assert live.backup().torn == 0


def test_a_torn_file_is_judged_anew_by_each_backup_though_nobody_writes_to_it(live: Live) -> None:
    live.file.write_text("[1, 2]")
    live.store.backup(live.tree)
    live.file.write_text("[1, 2")
    for _ in range(3):
        live.store.now += DAY
        assert live.store.backup(live.tree, sleep=never).torn == 1  # settled: nothing to wait for


@pytest.mark.parametrize("text", ["// a comment\n{}", "{{ template }}", '{"a": 1}\n{"a": 2}\n', "[1, 2,]", "word"])
def test_what_never_was_json_and_stays_as_it_is_is_no_news(live: Live, text: str) -> None:
    live.file.write_text(text)
    assert live.backup(waits=Waits()).torn == 0
    live.file.write_text(text + " ")
    assert live.backup().torn == 0  # and is known by now: nobody waits
    assert live.torn == []


def test_what_never_was_json_but_changes_under_the_eyes_is_torn(live: Live) -> None:
    live.file.write_text("[1")
    assert live.backup(waits=Waits(lambda: live.file.write_text("[1, 2"))).torn == 1


def test_a_new_file_that_nobody_writes_to_is_not_waited_for(live: Live) -> None:
    live.file.write_text("[1")
    live.store.now += DAY
    assert live.store.backup(live.tree, sleep=never).torn == 0


def test_json_that_is_declared_to_grow_is_a_log(live: Live) -> None:
    live.file.write_text('[{"a": 1}]')
    live.store.backup(live.tree)
    live.file.write_text('{"a": 1}\n{"a": 2')
    grows = Selection(append_only=(b"*.json",))
    assert live.store.backup(live.tree, grows, sleep=never).torn == 0
    assert live.store.backup(live.tree, sleep=never).torn == 1  # the control


def test_another_file_than_json_may_be_what_it_likes(live: Live) -> None:
    (live.tree / "state.txt").write_text("[1")
    assert live.backup().torn == 0


def test_a_new_file_with_brackets_in_its_strings_is_whole(live: Live) -> None:
    live.file.write_text('["[", "{{"]')
    assert live.backup().torn == 0  # nor does anybody wait


def test_hundreds_of_broken_files_are_not_waited_for_one_by_one(live: Live) -> None:
    for n in range(200):
        (live.tree / f"{n}.json").write_text("[1")
    waits = Waits()
    live.backup(waits=waits)
    assert sum(waits.seconds) < torn.PATIENCE_S + 1


def judge(data: bytes, *, step: int = 1 << 20) -> Verdict:
    text = Text()
    for at in range(0, len(data), step):
        text.take(data[at : at + step])
    return text.verdict()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 2) | st.none(), st.booleans())
def test_whatever_json_writes_is_whole(value: object, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert judge(data + b"\n") is Verdict.WHOLE
    assert judge(b"\xef\xbb\xbf" + data) is Verdict.WHOLE


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4) | st.lists(VALUES, max_size=4), st.data())
def test_no_beginning_of_it_is(value: object, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    assert judge(text[:cut]) is Verdict.BROKEN


def test_a_shorter_value_over_a_longer_one_is_not_whole() -> None:
    assert judge(b"[1, 2]3, 4]") is Verdict.LONGER


def test_brackets_in_strings_do_not_deceive() -> None:
    assert judge(b'["[", "{{", "\\"]"]') is Verdict.WHOLE


def test_a_file_too_large_to_be_parsed_is_judged_by_its_ends() -> None:
    filled = b"[" + b"1," * (MOST_PARSED // 2 + 10)
    assert judge(filled + b"1]\n") is Verdict.WHOLE
    assert judge(filled + b"1") is Verdict.BROKEN


def test_nesting_that_python_cannot_follow_is_not_called_torn() -> None:
    assert judge(b"[" * 100_000 + b"]" * 100_000) is Verdict.WHOLE


@pytest.mark.parametrize("extra", [True, False])
def test_a_large_file_is_judged_alike_with_the_extra_and_without(extra: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torn, "_simdjson", pytest.importorskip("simdjson") if extra else False)
    whole = json.dumps([{"id": n, "name": "ação"} for n in range(60_000)], ensure_ascii=False).encode()
    assert judge(whole) is Verdict.WHOLE
    assert judge(whole[:-1]) is Verdict.BROKEN
    assert judge(whole + b"[]") is Verdict.LONGER
    for odd in (b"NaN", b"1" * 30):  # what simdjson refuses and json does not
        assert judge(whole.replace(b'"id": 7,', b'"id": %s,' % odd, 1)) is Verdict.WHOLE


def test_the_objects_of_a_file_are_counted_across_windows(live: Live) -> None:
    text = Text()
    for piece in (b'[{"a": 1}, ', b'{"b": {}}]'):
        text.take(piece)
    assert text.objects == 3


def test_two_names_of_a_json_file_are_both_proven(live: Live) -> None:
    live.file.write_text("[1]")
    os.link(live.file, live.tree / "other.json")
    live.backup()
    live.file.write_text("[1")
    assert live.backup(waits=Waits()).torn == 2
