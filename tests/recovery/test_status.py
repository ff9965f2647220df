"""Whether an application is safe: facts of a repository against promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casstore.doubts import Doubts
from casstore.entry import EMPTY
from casstore.ids import HostId, SnapshotId
from casstore.losses import Accepted, Guarded, How, Loss
from casstore.notes import Drilled, Verified
from casstore.recovery.findings import Level, worst, worst_first
from casstore.recovery.plan import Promises
from casstore.recovery.status import Evidence, Status, judge, span
from casstore.snapshot import Asked, Flush, Outcome, Snapshot

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_800_000_000 * 10**9
PROMISED = Promises(rpo_ns=HOUR, rto_ns=10 * MINUTE, verify_every_ns=7 * DAY, drill_every_ns=90 * DAY)
DRILL = Drilled(NOW - DAY, "shop", True, b"d" * 32, 5 * MINUTE, ())
LOSS = Guarded(1, 1, (Loss(b"users.json", How.EMPTY, 900, 0),))


def snapshot(number: int, age_ns: int, **other: object) -> Snapshot:
    made = Snapshot(
        id=SnapshotId(bytes(32)), number=number, host=HostId(bytes(16)), clock_ns=NOW - age_ns, time_ns=NOW - age_ns,
        zone_minutes=0, hostname="h", name="shop", tags=(), origin=b"/srv/shop", pre_restore=False, manifest=EMPTY,
        program="cas", files=1, folders=0, others=0, new=1, changed=0, unchanged=0, problems=0, torn=0, size=10,
        read=10, added=10, stored=1000, duration_ns=1, previous=0,
    )  # fmt: skip
    return replace(made, **other)  # type: ignore[arg-type]


def look(
    *snapshots: Snapshot, promises: Promises = PROMISED, accepted: tuple[Accepted, ...] = (), **other: object
) -> Status:
    seen = Evidence(
        snapshots=snapshots, doubts=Doubts(snapshots, accepted), verified=(Verified(NOW - DAY, "all", 0),),
        drilled=(DRILL,), proven_elsewhere=True, beside_data=False, unreadable=0,
    )  # fmt: skip
    return judge(replace(seen, **other), promises, NOW)  # type: ignore[arg-type]


def level(status: Status, topic: str) -> Level:
    return next(finding.level for finding in status.findings if finding.topic == topic)


GOOD = (snapshot(1, 30 * DAY), snapshot(2, 20 * MINUTE))


def test_all_is_well_where_every_promise_is_kept_and_no_accident_takes_all() -> None:
    assert worst(look(*GOOD).findings) == Level.OK


def test_no_snapshot_is_a_broken_promise_though_nothing_was_promised() -> None:
    assert level(look(promises=Promises()), "snapshot") == Level.FAILURE


def test_a_snapshot_that_holds_no_file_saves_nobody() -> None:
    status = look(*GOOD, snapshot(3, MINUTE, files=0, size=0))
    assert level(status, "snapshot") == Level.FAILURE


def test_a_recovery_of_less_than_a_second_did_not_take_none() -> None:
    status = look(*GOOD, drilled=(replace(DRILL, away_ns=280_000_000),))
    assert "recovery took 0.28 s" in next(one.text for one in status.findings if one.topic == "rto")


@pytest.mark.parametrize(("age_ns", "expected"), [(HOUR, Level.OK), (HOUR + 1, Level.FAILURE)])
def test_the_newest_snapshot_must_not_be_older_than_was_promised(age_ns: int, expected: Level) -> None:
    assert level(look(snapshot(1, age_ns)), "snapshot") == expected


def test_a_snapshot_of_the_disaster_does_not_keep_the_promise() -> None:
    status = look(snapshot(1, 2 * HOUR), snapshot(2, MINUTE, guarded=LOSS))
    assert level(status, "snapshot") == Level.FAILURE
    assert level(status, "guard") == Level.WARNING
    assert status.good is not None
    assert status.good.number == 1


def test_what_was_accepted_is_good_again() -> None:
    accepted = Accepted(3, ("h", "shop", b"/srv/shop"), ())
    status = look(snapshot(1, 2 * HOUR), snapshot(2, MINUTE, guarded=LOSS), accepted=(accepted,))
    assert worst(status.findings) == Level.OK


def test_half_written_files_do_not_keep_the_promise() -> None:
    assert level(look(snapshot(1, 2 * HOUR), snapshot(2, MINUTE, torn=1)), "snapshot") == Level.FAILURE
    assert level(look(snapshot(1, 20 * MINUTE), snapshot(2, MINUTE, torn=1)), "snapshot") == Level.OK


def test_a_time_that_is_claimed_to_be_later_than_the_clock_was_does_not_keep_the_promise() -> None:
    assert level(look(snapshot(1, 2 * HOUR, time_ns=NOW + 300 * DAY)), "snapshot") == Level.FAILURE


def test_an_import_of_old_files_does_not_keep_the_promise() -> None:
    assert level(look(snapshot(1, MINUTE, time_ns=NOW - 900 * DAY)), "snapshot") == Level.FAILURE


def test_the_state_kept_before_a_restore_does_not_keep_the_promise() -> None:
    assert level(look(snapshot(1, 2 * HOUR), snapshot(2, MINUTE, pre_restore=True)), "snapshot") == Level.FAILURE


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_was_in_memory_only_is_said(outcome: Outcome) -> None:
    status = look(snapshot(1, MINUTE, flush=Flush(Asked.HTTP, outcome, 12)))
    expected = Level.OK if outcome in (Outcome.ACKNOWLEDGED, Outcome.NOT_RUNNING) else Level.WARNING
    assert level(status, "flush") == expected


def test_nothing_is_said_of_a_flush_that_nobody_configured() -> None:
    assert "flush" not in {finding.topic for finding in look(*GOOD).findings}


def test_a_clock_ahead_is_said() -> None:
    assert level(look(snapshot(1, -DAY)), "clock") == Level.WARNING


def test_a_snapshot_of_a_clock_that_was_ahead_does_not_hide_that_none_came_after_it() -> None:
    ahead = snapshot(2, -2 * DAY)
    assert level(look(snapshot(1, 3 * HOUR), ahead), "snapshot") == Level.FAILURE
    assert level(look(snapshot(1, 3 * HOUR), ahead), "clock") == Level.WARNING
    assert level(look(ahead, snapshot(3, 20 * MINUTE)), "snapshot") == Level.OK
    alone = next(one for one in look(ahead).findings if one.topic == "snapshot")
    assert (alone.level, "nobody knows how old" in alone.text) == (Level.FAILURE, True)


@pytest.mark.parametrize(
    ("verified", "expected"),
    [
        ((), Level.FAILURE),  # the first snapshot is thirty days old
        ((Verified(NOW - 8 * DAY, "all", 0),), Level.FAILURE),
        ((Verified(NOW - 8 * DAY, "all", 0), Verified(NOW - DAY, "structure", 0)), Level.FAILURE),
        ((Verified(NOW - 6 * DAY, "1/2", 0), Verified(NOW - DAY, "2/2", 0)), Level.OK),
    ],
)
def test_all_data_must_be_read_back_as_often_as_was_promised(verified: tuple[Verified, ...], expected: Level) -> None:
    assert level(look(*GOOD, verified=verified), "verify") == expected


def test_what_is_not_due_yet_is_only_a_warning() -> None:
    status = look(snapshot(1, MINUTE), verified=(), drilled=())
    assert (level(status, "verify"), level(status, "drill")) == (Level.WARNING, Level.WARNING)


def test_damage_is_a_broken_promise_until_all_was_found_whole_again() -> None:
    found = Verified(NOW - 2 * DAY, "all", 3)
    assert level(look(*GOOD, verified=(found,)), "damage") == Level.FAILURE
    again = look(*GOOD, verified=(found, Verified(NOW - DAY, "all", 0)))
    assert worst(again.findings) == Level.OK
    assert level(look(*GOOD, unreadable=1), "damage") == Level.FAILURE


def test_a_rehearsal_must_hold_be_recent_and_be_as_fast_as_was_promised() -> None:
    assert level(look(*GOOD, drilled=(DRILL, replace(DRILL, held=False))), "drill") == Level.FAILURE
    assert level(look(*GOOD, drilled=(replace(DRILL, at_ns=NOW - 91 * DAY),)), "drill") == Level.FAILURE
    assert level(look(*GOOD, drilled=(replace(DRILL, away_ns=11 * MINUTE),)), "rto") == Level.FAILURE
    assert level(look(*GOOD), "rto") == Level.OK


def test_nothing_is_said_of_rehearsals_that_nobody_promised() -> None:
    topics = {finding.topic for finding in look(*GOOD, promises=Promises(), drilled=()).findings}
    assert not topics & {"drill", "rto"}


@pytest.mark.parametrize("fact", [{"beside_data": True}, {"proven_elsewhere": False}])
def test_it_is_never_green_where_one_accident_takes_all(fact: dict[str, object]) -> None:
    assert worst(look(*GOOD, **fact).findings) == Level.WARNING


def test_damage_that_a_quick_look_missed_is_still_damage() -> None:
    found = (Verified(NOW - 2 * DAY, "all", 3), Verified(NOW - DAY, "structure", 0), Verified(NOW - DAY, "5%", 0))
    assert level(look(*GOOD, verified=found), "damage") == Level.FAILURE


def test_growth_is_that_of_the_last_week_per_day() -> None:
    assert look(snapshot(1, 30 * DAY), snapshot(2, 6 * DAY), snapshot(3, MINUTE)).growth == 2000 // 7
    assert look(snapshot(1, HOUR)).growth == 1000


def test_what_is_wrong_stands_first_and_says_what_to_do() -> None:
    findings = worst_first(look(snapshot(1, 2 * HOUR), beside_data=True).findings)
    assert [finding.level for finding in findings] == sorted((one.level for one in findings), reverse=True)
    assert all(finding.todo for finding in findings if finding.level)


@pytest.mark.parametrize(
    ("ns", "words"), [(HOUR, "1 h"), (90 * MINUTE, "1 h 30 min"), (DAY, "1 day"), (10 * MINUTE, "10 min"), (-1, "0 s")]
)
def test_a_length_of_time_is_told_in_words(ns: int, words: str) -> None:
    assert span(ns) == words
