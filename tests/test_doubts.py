"""Which snapshots are in doubt, from what commits say alone."""

from __future__ import annotations

from dataclasses import replace

from format.test_commit import SNAPSHOT

from casstore.doubts import Doubts, Holds
from casstore.ids import SnapshotId
from casstore.losses import Accepted, Guarded, How, Loss
from casstore.snapshot import Snapshot

USERS, ORDERS = (Loss(path, How.BARE, 100, 2) for path in (b"data/users.json", b"orders.json"))


def taken(number: int, guarded: Guarded | None = None, torn: int = 0, name: str = "shop") -> Snapshot:
    return replace(
        SNAPSHOT, id=SnapshotId(bytes([number]) * 32), number=number, name=name, pre_restore=False, guarded=guarded,
        torn=torn,
    )  # fmt: skip


def accepted(number: int, *paths: bytes, name: str = "shop") -> Accepted:
    return Accepted(number, taken(1, name=name).source, paths)


def good(snapshots: list[Snapshot], *notes: Accepted) -> list[int]:
    doubts = Doubts(snapshots, notes)
    return [snapshot.number for snapshot in snapshots if doubts.is_good(snapshot)]


def test_a_loss_puts_all_in_doubt_that_is_newer_than_what_it_was_compared_with() -> None:
    # 2 was taken of other paths, and proves nothing of what 3 lost.
    assert good([taken(1), taken(2), taken(3, Guarded(1, 1, (USERS,))), taken(4)]) == [1]


def back(path: bytes, *numbers: int, silent: tuple[int, ...] = ()) -> Holds:
    """What was lost of a path is back in these snapshots, and `silent` ones say nothing of it."""
    return lambda _since, snapshot, loss: (
        None if snapshot.number in silent else loss.path == path and snapshot.number in numbers
    )


def test_a_loss_ends_with_the_snapshot_in_which_what_was_lost_is_back() -> None:
    snapshots = [taken(1), taken(2, Guarded(1, 1, (USERS,))), *map(taken, range(3, 12))]
    doubts = Doubts(snapshots, [], holds=back(USERS.path, *range(6, 12)))
    assert [one.number for one in snapshots if doubts.is_good(one)] == [1, 6, 7, 8, 9, 10, 11]


def test_what_is_lost_again_is_in_doubt_again_and_good_in_between() -> None:
    again = Guarded(5, 1, (USERS,))
    snapshots = [taken(1), taken(2, Guarded(1, 1, (USERS,))), *map(taken, (3, 4, 5)), taken(6, again), taken(7)]
    doubts = Doubts(snapshots, [], holds=back(USERS.path, 4, 5))
    assert [one.number for one in snapshots if doubts.is_good(one)] == [1, 4, 5]


def test_one_file_back_ends_no_loss_of_another_nor_of_what_is_only_counted() -> None:
    for guarded in (Guarded(1, 2, (USERS, ORDERS)), Guarded(1, 2, (USERS,))):
        snapshots = [taken(1), taken(2, guarded), taken(3)]
        doubts = Doubts(snapshots, [], holds=back(USERS.path, 3))
        assert [one.number for one in snapshots if doubts.is_good(one)] == [1]
        assert doubts.of(snapshots[2]).losses == ((ORDERS,) if len(guarded.losses) == 2 else (USERS,))
        assert USERS in doubts.of(snapshots[1]).losses


def test_a_snapshot_of_other_paths_brings_no_ended_loss_back() -> None:
    snapshots = [taken(1), taken(2, Guarded(1, 1, (USERS,))), *map(taken, range(3, 10))]
    doubts = Doubts(snapshots, [], holds=back(USERS.path, 5, 6, 7, silent=(8, 9)))
    assert [one.number for one in snapshots if doubts.is_good(one)] == [1, 5, 6, 7, 8, 9]


def test_of_many_snapshots_few_are_looked_into() -> None:
    asked = []

    def holds(_since: int, snapshot: Snapshot, _loss: Loss) -> bool:
        asked.append(snapshot.number)
        return snapshot.number >= 700

    snapshots = [taken(1), taken(2, Guarded(1, 1, (USERS,))), *(replace(taken(3), number=n) for n in range(3, 1000))]
    doubts = Doubts(snapshots, [], holds=holds)
    assert next(one.number for one in snapshots if one.number > 2 and doubts.is_good(one)) == 700
    assert len(asked) < 15


def test_another_source_is_in_no_doubt() -> None:
    assert good([taken(1), taken(2, Guarded(1, 1, (USERS,))), taken(3, name="other")]) == [1, 3]


def test_an_accepted_loss_is_none_from_then_on_and_before() -> None:
    snapshots = [taken(1), taken(2, Guarded(1, 2, (USERS, ORDERS))), taken(3)]
    assert good(snapshots, accepted(4)) == [1, 2, 3]
    assert good(snapshots, accepted(4, b"data")) == [1]
    assert good(snapshots, accepted(4, b"data"), accepted(5, b"orders.json")) == [1, 2, 3]
    assert good(snapshots, accepted(4, name="other")) == [1]


def test_what_was_accepted_before_a_loss_says_nothing_of_it() -> None:
    assert good([taken(1), taken(3, Guarded(1, 1, (USERS,)))], accepted(2)) == [1]


def test_losses_that_are_only_counted_are_accepted_with_all_others_only() -> None:
    snapshots = [taken(1), taken(2, Guarded(1, 9, (USERS,)))]
    assert good(snapshots, accepted(3, b"data")) == [1]
    assert good(snapshots, accepted(3)) == [1, 2]


def test_what_is_imported_behind_a_loss_is_in_doubt_only_if_it_was_made_after_it() -> None:
    lost = taken(2, Guarded(1, 1, (USERS,)))
    older, newer = (replace(taken(n), imported=True, time_ns=lost.time_ns + n - 4) for n in (3, 5))
    assert good([taken(1), lost, older, newer, taken(6)]) == [1, 3]


def test_a_torn_snapshot_is_in_doubt_itself_and_no_other() -> None:
    snapshots = [taken(1), taken(2, torn=1), taken(3)]
    assert good(snapshots) == [1, 3]
    assert good(snapshots, accepted(4)) == [1, 2, 3]
