"""`cas snapshots`: what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import click

from cascli import render
from cascli.display import loss_words
from cascli.options import Common, common, repeated
from cascli.session import doubts_of, snapshot_fields, using
from cascli.world import World
from casstore import moments
from casstore.doubts import Doubts
from casstore.ids import SHORT, to_letters
from casstore.snapshot import Snapshot, unproven

Test = Callable[[Snapshot], bool]
COLUMNS = ("id", "time", "age", "name", "host", "tags", "files", "size", "added")


@click.command(
    "snapshots",
    short_help="List the snapshots.",
    epilog="\b\nExamples:\n  cas snapshots --latest 10\n  cas snapshots --after yesterday --tag nightly\n"
    "  cas snapshots --json | jq -r '.[].short_id'",
)
@repeated("--host", metavar="HOST", shown="Only those taken on this host; may be given several times.")
@repeated("--name", metavar="NAME", shown="Only those of this name; may be given several times.")
@repeated(
    "--tag", metavar="TAG[,TAG]", shown="Only those with all of these tags; given several times: that fit any of them."
)
@click.option("--before", metavar="MOMENT", help="Only those taken before it.")
@click.option("--after", metavar="MOMENT", help="Only those taken at it or after.")
@click.option("--latest", metavar="N", type=click.IntRange(min=1), help="Only the newest N.")
@common
@click.pass_obj
def command(
    options: Common,
    host: tuple[str, ...],
    name: tuple[str, ...],
    tag: tuple[str, ...],
    before: str | None,
    after: str | None,
    latest: int | None,
) -> None:
    """List the snapshots, oldest first: when, of what, how large, and what each added to the repository."""
    world = World(options)
    with using(world) as repository:
        every = sorted(repository.snapshots(), key=lambda snapshot: (snapshot.time_ns, snapshot.number))
        zone = every[-1].zone_minutes if every else world.zone_minutes()
        tests = [*_of(host, name, tag), *_between(before, after, world.now_ns, zone)]
        chosen = [snapshot for snapshot in every if all(test(snapshot) for test in tests)]
        if latest is not None:
            chosen = chosen[-latest:]
        doubtful, doubts = unproven(every), doubts_of(repository)
        if options.json:
            fields = [
                snapshot_fields(snapshot) | {"unproven": snapshot.number in doubtful, "good": doubts.is_good(snapshot)}
                for snapshot in chosen
            ]
            render.out(render.to_json(fields))
        else:
            _show(chosen, every, doubtful, doubts, world)


def _of(host: Sequence[str], name: Sequence[str], tag: Sequence[str]) -> Iterator[Test]:
    if host:
        yield lambda snapshot: snapshot.hostname in host
    if name:
        yield lambda snapshot: snapshot.name in name
    if tag:
        wanted = [set(group.split(",")) for group in tag]
        yield lambda snapshot: any(group <= set(snapshot.tags) for group in wanted)


def _between(before: str | None, after: str | None, now_ns: int, zone: int) -> Iterator[Test]:
    if before is not None:
        end = moments.parse(before, now_ns, zone)
        yield lambda snapshot: end.place(snapshot) < 0
    if after is not None:
        start = moments.parse(after, now_ns, zone)
        yield lambda snapshot: start.place(snapshot) >= 0


def _show(
    chosen: Sequence[Snapshot], every: Sequence[Snapshot], doubtful: frozenset[int], doubts: Doubts, world: World
) -> None:
    among = len(every)
    if not chosen:
        if not world.options.quiet:
            render.err(
                f"None of {render.count(among, 'snapshot')} is like that." if among else "There is no snapshot yet."
            )
        return
    rows = [_row(snapshot, world.now_ns, unproven=snapshot.number in doubtful) for snapshot in chosen]
    # Columns that say nothing are left out: most have no tags, and many repositories know one host only.
    kept = [i for i, column in enumerate(COLUMNS) if column != "tags" or any(row[i] for row in rows)]
    heads = [COLUMNS[i] for i in kept]
    right = [at for at, column in enumerate(heads) if column in ("files", "size", "added", "age")]
    shown = render.table(heads, [[row[i] for i in kept] for row in rows], right=right)
    render.lines([render.bold(shown[0]), *shown[1:]])
    if not world.options.quiet:
        render.err(render.count(len(chosen), "snapshot") + (f" of {among:,}" if len(chosen) < among else ""))
        if any(snapshot.number in doubtful for snapshot in chosen):
            render.err("unproven: taken after an append-only file was last read whole, before it was found rewritten.")
        if any(snapshot.is_unflushed for snapshot in chosen):
            render.err("unflushed: the application ran and did not say that it had written all that it held in memory.")
        newest = {snapshot.source: snapshot for snapshot in every if not snapshot.imported}
        for snapshot in chosen:
            _tell(snapshot, newest.get(snapshot.source, snapshot), doubts)


def _tell(snapshot: Snapshot, newest: Snapshot, doubts: Doubts) -> None:
    """Say what is in doubt since this snapshot, as far as it is not back in the newest."""
    own, still = doubts.own(snapshot), doubts.of(newest)
    losses = [loss for loss in own.losses if loss in still.losses]
    if not (losses or own.unlisted):
        return
    lines = [f"  {render.name(loss.path)} {loss_words(loss)}" for loss in losses]
    lines += [f"  and {own.unlisted:,} more"] if own.unlisted else []
    render.err(
        "\n".join([f"{to_letters(snapshot.id)[:SHORT]} is in doubt; if it was meant, say `cas accept`:", *lines])
    )


def _row(snapshot: Snapshot, now_ns: int, *, unproven: bool) -> list[str]:
    tags = [*(render.name(tag) for tag in snapshot.tags), *(["pre-restore"] if snapshot.pre_restore else [])]
    if snapshot.imported:
        tags.append("imported")
    if snapshot.problems:
        tags.append("incomplete")
    if unproven:
        tags.append("unproven")
    if snapshot.torn:
        tags.append("torn")
    if snapshot.is_unflushed:
        tags.append("unflushed")
    if snapshot.guarded is not None:
        tags.append("guarded")
    return [
        to_letters(snapshot.id)[:SHORT],
        moments.stamp(snapshot.time_ns, snapshot.zone_minutes),
        moments.age(now_ns - snapshot.time_ns).removesuffix(" ago"),
        render.name(snapshot.name) or "-",
        render.name(snapshot.hostname),
        ",".join(tags),
        f"{snapshot.files:,}",
        render.size(snapshot.size),
        render.size(snapshot.stored),
    ]
