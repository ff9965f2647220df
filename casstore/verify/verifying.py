"""The verb: ledger, packs, snapshots, in this order, since each rests on the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from casstore.errors import Damaged
from casstore.format import certificate
from casstore.keyring import damaged_slots
from casstore.progress import Progress, Stage, silent
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.verify.damage import Damage
from casstore.verify.packs import Packs, Subset
from casstore.verify.snapshots import Snapshots


def verify(
    repository: Repository,
    *,
    snapshots: Sequence[Snapshot] | None = None,
    quick: bool = False,
    subset: Subset | None = None,
    progress: Progress = silent,
) -> Iterator[Damage]:
    """Yield each damage. `quick` reads no blob of file content; `subset` reads only some packs.

    Raises:
        HistoryRewritten: the ledger is rolled back or forked.
    """
    repository.refresh()
    with repository.afresh() as fresh:
        progress(Stage("ledger"))
        fresh.cache.begin()
        packs = Packs(fresh, dict(fresh.catalogue.named(repository.anchor)), progress)
        whole = False
        try:
            yield from _ledger(fresh)
            yield from packs.check(set() if quick else packs.chosen(subset))
            whole = not quick and subset is None
            numbers = None if snapshots is None else {snapshot.number for snapshot in snapshots}
            yield from Snapshots(fresh, packs, progress).check(numbers)
        finally:  # what was found counts, though the rest was not waited for
            news = repository.cache.distrust(packs.distrusted, instead=whole)
    if news:
        repository.refresh()
        repository.acknowledge()


def _ledger(fresh: Repository) -> Iterator[Damage]:
    """Tell what could not be read of commits and packs' names, and read all slots and certificates."""
    for name, error in fresh.damaged:
        yield Damage(name, str(error))
    for name, reason in (*damaged_slots(fresh.backend), *_certificates(fresh)):
        yield Damage(name, reason)


def _certificates(fresh: Repository) -> Iterator[tuple[str, str]]:
    for host, (public, _, _) in fresh.ledger.hosts.items():
        try:
            if public:  # else it was revoked
                fresh.ledger.certified(host)
        except Damaged as error:
            yield certificate.object_name(host), str(error)
