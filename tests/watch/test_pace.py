"""When the next snapshot is due, where what changes is the echo of the last one."""

from __future__ import annotations

from itertools import pairwise

from casstore.watch.pace import SECOND_NS, Pace, Schedule

PACE = Pace(quiet_for_ns=SECOND_NS, at_most_every_ns=10 * SECOND_NS, at_least_every_ns=3600 * SECOND_NS)


def snapshots(schedule: Schedule, until_s: int, *, echo: bool) -> list[int]:
    """Take each snapshot when it is due, change something right behind it, and give the seconds of all."""
    taken = []
    while (now := schedule.due_ns) <= until_s * SECOND_NS:
        schedule.at(now)
        schedule.began()
        schedule.taken(proof=True)
        taken.append(now // SECOND_NS)
        schedule.changed(echo=echo)
    return taken


def test_echoes_are_answered_ever_more_slowly_up_to_the_proof_of_life() -> None:
    schedule = Schedule(PACE, 0)
    schedule.changed()
    taken = snapshots(schedule, 36_000, echo=True)
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert gaps[:4] == [10, 20, 40, 80]
    assert max(gaps) == 3600
    assert len(taken) < 20


def test_control_what_really_changes_is_saved_at_the_usual_pace() -> None:
    schedule = Schedule(PACE, 0)
    schedule.changed()
    assert {later - earlier for earlier, later in pairwise(snapshots(schedule, 1000, echo=False))} == {10}


def test_a_real_change_among_echoes_is_saved_at_once_and_the_next_echo_soon() -> None:
    schedule = Schedule(PACE, 0)
    schedule.changed()
    taken = snapshots(schedule, 1000, echo=True)
    now = schedule.at((taken[-1] + 30) * SECOND_NS)
    schedule.changed()
    assert schedule.due_ns <= now
    schedule.began()
    schedule.taken(proof=True)
    schedule.changed(echo=True)
    assert schedule.due_ns == now + PACE.at_most_every_ns
