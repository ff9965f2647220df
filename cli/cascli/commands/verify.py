"""`cas verify`, also called `check`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress

import click

from cascli import render
from cascli.display import Display, note
from cascli.options import MOMENT, Common, common
from cascli.session import announce, choose, using
from cascli.world import World
from casstore.errors import CasError, Damaged, UsageError
from casstore.ids import SHORT, to_letters
from casstore.notes import ALL, STRUCTURE, Verified, note_verified
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.tables import size
from casstore.verify import Damage, Subset, verify

SHOWN = 20  # damaged files that are named for each snapshot; --json and -v name all


@click.command(
    "verify",
    short_help="Read everything back and prove it whole.",
    epilog="\b\nExamples:\n  cas verify                          everything\n  cas verify latest                   "
    "all packs, the files of one\n  cas verify --read-data-subset 2/7   the second seventh, on a Tuesday\n\n"
    "Exit codes: 0 all is whole · 20 damage · 21 the history was rolled back or forked.",
)
@click.argument("snapshots", nargs=-1, metavar="[SNAPSHOT]…", type=MOMENT)
@click.option("--quick", is_flag=True, help="Structure only: no content is read.")
@click.option("--read-data-subset", "subset", metavar="PART", help="Read only some packs: 5%, 2/7 or 500M.")
@click.option("--read-data", is_flag=True, hidden=True, help="As restic's: here it is the default.")
@common
@click.pass_obj
def command(options: Common, snapshots: tuple[str, ...], quick: bool, subset: str | None, read_data: bool) -> int:
    """Prove the repository: chain, signatures, every pack, every chunk, every file of every snapshot.

    All damage is listed, with the snapshots and files that it costs; what is whole still restores. Where all snapshots
    were verified, a note in the ledger keeps the date and the result for `cas status`.
    """
    if quick and (subset is not None or read_data):
        raise UsageError("--quick reads no data, so there is no part of it to choose")
    world = World(options)
    part = read_subset(subset) if subset is not None else None
    found: list[Damage] = []
    with using(world) as repository, Display(options, "verify") as display:
        every = repository.snapshots()
        chosen = [choose(world, repository, text) for text in snapshots] if snapshots else every
        for snapshot in chosen if snapshots else ():
            announce(world, snapshot)
        for damage in verify(repository, snapshots=chosen, quick=quick, subset=part, progress=display):
            found.append(damage)
            if options.json:
                render.out(render.to_json(_fields(damage)))
        if not snapshots:
            _remember(options, repository, STRUCTURE if quick else subset or ALL, len(found))
    costs = {damage.snapshot.id for damage in found if damage.snapshot is not None}
    whole = [snapshot for snapshot in chosen if snapshot.id not in costs]
    if options.json:
        render.out(
            render.to_json(
                {
                    "message_type": "summary",
                    "num_errors": len(found),
                    "snapshots": len(chosen),
                    "whole": [to_letters(snapshot.id) for snapshot in whole],
                    "damaged": [to_letters(snapshot.id) for snapshot in chosen if snapshot.id in costs],
                }
            )
        )
    elif found:
        _show(found, chosen, whole, options)
    elif not options.quiet:
        read = "structure only" if quick else f"of the data only {subset}" if subset else "all data read"
        render.out(f"no damage found: {render.count(len(chosen), 'snapshot')} whole ({read})")
    return Damaged.exit_code if found else 0


def _remember(options: Common, repository: Repository, read: str, damages: int) -> None:
    """Note it in the ledger, for `cas status`; where that is impossible what was found holds all the same."""
    try:
        note_verified(repository, Verified(time.time_ns(), read, damages))
    except CasError as error:
        note(options, f"note: the date of this is not recorded: {error}")


def _show(found: list[Damage], chosen: Iterable[Snapshot], whole: list[Snapshot], options: Common) -> None:
    for damage in found:
        if damage.snapshot is None:
            render.out(f"damaged: {render.name(damage.where)}: {render.name(damage.reason)}")
    for snapshot in chosen:
        lost = [damage for damage in found if damage.snapshot is not None and damage.snapshot.id == snapshot.id]
        if not lost:
            continue
        render.out(f"snapshot {_named(snapshot)} lost:")
        shown = lost if options.verbose else lost[:SHOWN]
        render.lines(
            f"  {render.name(damage.path) if damage.path else damage.where}: {render.name(damage.reason)}"
            for damage in shown
        )
        if len(lost) > len(shown):
            render.out(f"  … and {render.count(len(lost) - len(shown), 'more', 'more')} (-v shows all)")
    if whole:
        render.out(f"whole: {', '.join(to_letters(snapshot.id)[:SHORT] for snapshot in whole)}")
    damaged = len({damage.snapshot.id for damage in found if damage.snapshot is not None})
    render.err(
        f"{render.count(len(found), 'damage', 'damages')} found; {render.count(damaged, 'snapshot')} "
        f"lost something, {len(whole):,} whole"
    )
    render.err("What is whole still restores. Keep the repository as it is, and look after the disk.")


def _named(snapshot: Snapshot) -> str:
    from casstore.moments import stamp

    return f"{to_letters(snapshot.id)[:SHORT]} of {stamp(snapshot.time_ns, snapshot.zone_minutes)}"


def _fields(damage: Damage) -> dict[str, object]:
    fields: dict[str, object] = {"message_type": "damage", "where": damage.where, "reason": damage.reason}
    if damage.snapshot is not None:
        fields["snapshot"] = to_letters(damage.snapshot.id)
    return fields | render.plain("path", damage.path) if damage.path else fields


def read_subset(text: str) -> Subset:
    """Read 5%, 2/7 or 500M.

    Raises:
        UsageError: it is none of these.
    """
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text)) and 0 < float(match[1]) <= 100:
        return Subset(share=float(match[1]) / 100)
    if (match := re.fullmatch(r"(\d{1,3})/(\d{1,3})", text)) and 1 <= int(match[1]) <= int(match[2]) <= 256:
        return Subset(part=int(match[1]), parts=int(match[2]))
    with suppress(ValueError):
        if max_bytes := size(text):
            return Subset(max_bytes=max_bytes)
    raise UsageError(
        f"`{text}` is no part of the data", hint="Say a share (5%), one of several parts (2/7) or a size (500M)."
    )
