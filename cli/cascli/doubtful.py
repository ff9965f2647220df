"""A restore of what is in doubt stops before anything is touched, and says what is not."""

from __future__ import annotations

from collections.abc import Sequence

from cascli import render
from cascli.display import loss_words, lost_words
from cascli.paths import below
from cascli.session import choose, doubts_of
from cascli.world import World
from casstore import moments
from casstore.doubts import Doubt, InDoubt
from casstore.errors import Damaged, SnapshotNotFound
from casstore.repository import Repository
from casstore.restore import scope
from casstore.snapshot import Snapshot

SHOWN = 3  # losses


def refuse_doubtful(
    world: World,
    repository: Repository,
    chosen: Snapshot,
    paths: Sequence[bytes],
    *,
    host: str | None,
    name: str | None,
    good: str = "last-good",
) -> None:
    """Refuse a snapshot in which something that is asked for is in doubt; `good` is how the command takes last-good.

    Raises:
        InDoubt: guarded files lost what they held, or are torn.
    """
    doubt = doubts_of(repository).of(chosen)
    if paths and doubt:
        doubt = _within(repository, chosen, doubt, paths)
    if not doubt:
        return
    found = [f"{render.name(loss.path)} {loss_words(loss)}" for loss in doubt.losses[:SHOWN]]
    more = len(doubt.losses) - len(found) + doubt.unlisted
    found += [f"{more:,} more" if found else lost_words(more)] if more else []
    found += [f"{render.count(doubt.torn, 'JSON file')} torn"] if doubt.torn else []
    raise InDoubt(f"this snapshot is in doubt: {'; '.join(found)}", hint=_way_out(world, repository, host, name, good))


def _way_out(world: World, repository: Repository, host: str | None, name: str | None, word: str) -> str:
    on = "--despite-guard restores this one all the same; `cas accept` says that it is as it should be."
    try:
        good = choose(world, repository, "last-good", host=host, name=name)
    except SnapshotNotFound:
        return f"Nothing was touched. No snapshot is known to be good; {on}"
    return f"Nothing was touched. `{word}` is {moments.told(good, world.now_ns)}; {on}"


def _within(repository: Repository, chosen: Snapshot, doubt: Doubt, paths: Sequence[bytes]) -> Doubt:
    """Narrow a doubt to what is asked for, globs as a restore reads them."""
    asked = scope(paths)

    def is_asked(path: bytes) -> bool:
        return any(below(path, one) for one in paths) or asked.takes(path)

    torn = 0
    if doubt.torn:
        try:
            torn = sum(1 for entry in repository.entries(chosen) if entry.torn and is_asked(entry.path))
        except Damaged:
            torn = doubt.torn
    return Doubt(tuple(loss for loss in doubt.losses if is_asked(loss.path)), doubt.unlisted, torn)
