"""Moments: what a user types, and which snapshot is meant."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.errors import SnapshotNotFound
from casstore.ids import to_letters
from casstore.moments import Moment, age, instant, is_deliberate, parse, resolve, stamp, told


@dataclass(frozen=True)
class Taken:
    id: bytes
    number: int
    time_ns: int
    zone_minutes: int = -180
    pre_restore: bool = False


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


NOW = ns("2026-11-24T10:00:00-03:00")
TIMES = [
    "2026-11-22T23:59:59-03:00",
    "2026-11-23T00:00:00-03:00",
    "2026-11-23T14:04:59-03:00",
    "2026-11-23T14:05:09-03:00",
    "2026-11-23T14:05:59-03:00",
    "2026-11-23T14:06:00-03:00",
    "2026-11-24T07:59:00-03:00",
    "2026-11-24T09:59:00-03:00",
]
SNAPSHOTS = [Taken(bytes([i + 1]) * 32, i + 1, ns(text)) for i, text in enumerate(TIMES)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("latest", 8),
        ("latest~0", 8),
        ("latest~1", 7),
        ("latest~", 7),
        ("latest~2", 6),
        ("LATEST", 8),
        ("now", 8),
        ("2026-11-23T14:05:09-03:00", 4),
        ("2026-11-23T14:05:08-03:00", 3),
        ("2026-11-23T14:05:09.5-03:00", 4),
        ("2026-11-23T17:05:09Z", 4),
        ("2026-11-23 17:05:09 UTC", 4),
        ("2026-11-23T18:05:09+0100", 4),
        ("2026-11-23T18:05:09+01", 4),
        ("2026-11-23 14:05", 5),
        ("2026-11-23T14:05", 5),
        ("2026-11-23 14:05-03:00", 5),
        ("2026-11-23 14:04", 3),
        ("2026-11-23", 6),
        ("20261123", 6),
        ("2026-11-22", 1),
        ("20261123_140509", 4),
        ("20261123_140558", 4),
        ("20261123-170509-000Z", 4),
        ("20261123-170508-999Z", 3),
        ("20261123T140509", 4),
        ("2 hours ago", 7),
        ("2h ago", 7),
        ("2  Hours   ago", 7),
        ("an hour ago", 7),
        ("121 minutes ago", 7),
        ("1 day ago", 2),
        ("a week ago", None),
        ("yesterday", 6),
        ("yesterday 14:05", 5),
        ("yesterday at 14:04:59", 3),
        ("today", 8),
        ("08:00", 7),
        ("today 09:59", 8),
        ("2030-01-01", 8),
    ],
)
def test_a_moment_means_the_newest_snapshot_not_after_it(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(SnapshotNotFound, match="no snapshot is as old as"):
            resolve(text, SNAPSHOTS, NOW)
    else:
        assert resolve(text, SNAPSHOTS, NOW).number == number


def test_the_order_in_which_snapshots_are_given_does_not_matter() -> None:
    assert resolve("latest", SNAPSHOTS[::-1], NOW).number == 8
    assert resolve("2026-11-23 14:05", SNAPSHOTS[::-1], NOW).number == 5


def test_of_two_snapshots_of_the_same_nanosecond_the_later_commit_is_newer() -> None:
    twins = [Taken(b"\1" * 32, 1, NOW), Taken(b"\2" * 32, 2, NOW)]
    assert resolve("latest", twins, NOW).number == 2


def test_without_an_offset_each_snapshot_is_read_on_its_own_wall_clock() -> None:
    tokyo = Taken(b"\1" * 32, 1, ns("2026-11-23T14:05:00+09:00"), zone_minutes=540)
    lima = Taken(b"\2" * 32, 2, ns("2026-11-23T15:05:00-05:00"), zone_minutes=-300)
    assert resolve("2026-11-23 14:05", [tokyo, lima], NOW) is tokyo
    assert resolve("2026-11-23 15:05", [tokyo, lima], NOW) is lima


def test_an_hour_that_the_clock_showed_twice_means_its_second_time() -> None:
    first = Taken(b"\1" * 32, 1, ns("2026-10-25T02:30:00+02:00"), zone_minutes=120)
    second = Taken(b"\2" * 32, 2, ns("2026-10-25T02:30:00+01:00"), zone_minutes=60)
    assert resolve("2026-10-25 02:30", [first, second], NOW) is second


def test_every_moment_but_an_id_passes_over_pre_restore_snapshots() -> None:
    saved = Taken(b"\x99" * 32, 9, NOW, pre_restore=True)
    for text in ("latest", "now", "2026-11-24", "1 s ago"):
        assert resolve(text, [*SNAPSHOTS, saved], NOW).number == 8
    assert resolve(to_letters(saved.id)[:8], [*SNAPSHOTS, saved], NOW) is saved


def test_among_narrows_moments_and_not_ids() -> None:
    odd = resolve("latest", SNAPSHOTS, NOW, among=lambda snapshot: snapshot.number % 2 == 1)
    assert odd.number == 7
    assert resolve(to_letters(SNAPSHOTS[7].id), SNAPSHOTS, NOW, among=lambda snapshot: False).number == 8


def test_an_id_or_its_unique_beginning_is_enough() -> None:
    for snapshot in SNAPSHOTS:
        letters = to_letters(snapshot.id)
        assert resolve(letters, SNAPSHOTS, NOW) is snapshot
        assert resolve(letters[:2], SNAPSHOTS, NOW) is snapshot
        if snapshot.number > 1:
            assert resolve(letters[:2] + "~", SNAPSHOTS, NOW).number == snapshot.number - 1


def test_an_ambiguous_id_lists_what_it_may_be() -> None:
    with pytest.raises(SnapshotNotFound, match="begins the ids of 8 snapshots") as caught:
        resolve("z", SNAPSHOTS, NOW)
    assert to_letters(SNAPSHOTS[0].id)[:8] in caught.value.hint
    assert "2026-11-22 23:59:59 -03:00" in caught.value.hint
    assert caught.value.hint.endswith("…")


def test_an_unknown_id_lists_the_most_alike() -> None:
    near = to_letters(SNAPSHOTS[4].id)
    with pytest.raises(SnapshotNotFound, match="no snapshot has an id that begins with") as caught:
        resolve(near[:6] + "k", SNAPSHOTS, NOW)
    assert caught.value.hint.splitlines()[1].strip().startswith(near[:8])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("lastest", "`lastest` is neither a snapshot nor a moment", "Did you mean `latest`?"),
        ("deadbeef", "is neither a snapshot nor a moment", "A snapshot is named by"),
        ("", "is neither", "A snapshot is named by"),
        ("2026", "is neither", "A snapshot is named by"),
        ("2026-13-01", "`2026-13-01` is no date", "A snapshot is named by"),
        ("2026-02-30", "is no date", ""),
        ("2026-11-23 25:00", "is no time of day", ""),
        ("2026-11-23 14:05+99:00", "an offset that no place on earth has", ""),
        ("2 months ago", "unit that has no fixed length", ""),
        ("latest~8", "`latest~8` goes back too far: there are only 8", "The oldest are"),
        (
            "2026-11-22 23:58",
            "no snapshot is as old as",
            "zyzyzyzy  2026-11-22 23:59:59 -03:00  (1 day 10 h ago)",
        ),
    ],
)
def test_what_names_no_snapshot_says_why_and_lists_the_nearest(text: str, message: str, hint: str) -> None:
    with pytest.raises(SnapshotNotFound) as caught:
        resolve(text, SNAPSHOTS, NOW)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 7


def test_where_none_is_of_what_was_named_that_is_said() -> None:
    for text in ("latest", "last-good", "yesterday"):
        with pytest.raises(SnapshotNotFound, match=r"^there is no snapshot called `nope`$"):
            resolve(text, SNAPSHOTS, NOW, among=lambda _: False, of="called `nope`")
    letters = to_letters(SNAPSHOTS[4].id)
    assert resolve(letters, SNAPSHOTS, NOW, among=lambda _: False, of="called `nope`") is SNAPSHOTS[4]


def test_that_what_was_kept_before_a_restore_does_not_count_is_said_where_it_matters() -> None:
    kept = replace(SNAPSHOTS[-1], pre_restore=True)
    with pytest.raises(SnapshotNotFound, match="there are only 7, and what was kept before a restore does not count"):
        resolve("latest~7", [*SNAPSHOTS[:-1], kept], NOW)


def test_an_empty_repository_says_so() -> None:
    with pytest.raises(SnapshotNotFound, match="there is no snapshot yet"):
        resolve("latest", [], NOW)


def test_an_instant_is_the_beginning_of_what_was_typed() -> None:
    assert instant("2026-11-23 14:05", NOW, -180) == (ns("2026-11-23T14:05:00-03:00"), -180)
    assert instant("2026-11-23T14:05:09+01:00", NOW, -180) == (ns("2026-11-23T14:05:09+01:00"), 60)
    assert instant("1 hour ago", NOW, 0) == (NOW - 3600 * 10**9, 0)


def test_a_moment_before_1970_is_placed_too() -> None:
    assert parse("1965-01-01T00:00:00Z", NOW, 0) == Moment(
        ns("1965-01-01T00:00:00+00:00"), ns("1965-01-01T00:00:01+00:00"), wall=False, zone_minutes=0
    )


@given(st.integers(-(2**33), 2**34), st.integers(-14 * 60, 14 * 60))
def test_what_is_shown_of_a_snapshot_finds_it_again(seconds: int, zone: int) -> None:
    taken = Taken(b"\1" * 32, 1, seconds * 10**9 + 123, zone_minutes=zone)
    later = Taken(b"\2" * 32, 2, taken.time_ns + 10**9, zone_minutes=zone)
    assert resolve(stamp(taken.time_ns, zone), [taken, later], NOW) is taken
    assert resolve(stamp(taken.time_ns, zone)[:19], [taken, later], NOW) is taken


@given(st.text())
def test_any_text_finds_a_snapshot_or_raises_snapshot_not_found(text: str) -> None:
    with suppress(SnapshotNotFound):
        assert resolve(text, SNAPSHOTS, NOW) in SNAPSHOTS


def test_ages_are_told_in_few_words() -> None:
    units = [
        (5, "5 s ago"),
        (61, "1 min ago"),
        (3700, "1 h 1 min ago"),
        (90_000, "1 day 1 h ago"),
        (10**6, "11 days ago"),
    ]
    for seconds, words in units:
        assert age(seconds * 10**9) == words
    assert age(-90 * 10**9) == "in 1 min"
    assert told(SNAPSHOTS[0], NOW) == "zyzyzyzy  2026-11-22 23:59:59 -03:00  (1 day 10 h ago)"


def test_last_good_is_the_newest_that_is_not_doubted() -> None:
    def good(*doubted: int, text: str = "last-good") -> int:
        return resolve(text, SNAPSHOTS, NOW, is_good=lambda one: one.number not in doubted).number

    assert (good(), good(8), good(8, 7, 5)) == (8, 7, 6)
    assert (good(8, 6, text="Last-Good~1"), good(8, text="last-good~"), good(8, 6, text="last-good~2")) == (5, 6, 4)
    with pytest.raises(SnapshotNotFound):
        good(*range(9))


@pytest.mark.parametrize("text", ["kxyz", "kxyz~2", " kxyz ", "last-good", "last-good~1"])
def test_an_id_and_last_good_name_a_snapshot_on_purpose(text: str) -> None:
    assert is_deliberate(text)


@pytest.mark.parametrize("text", ["latest", "latest~1", "now", "yesterday 14:00", "2026-11-23", ""])
def test_other_moments_take_what_comes(text: str) -> None:
    assert not is_deliberate(text)
