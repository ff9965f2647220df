"""`cas stats`: what it all costs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cascli import render
from cascli.options import Common, common
from cascli.session import using
from cascli.world import World
from casstore.snapshot import Snapshot


@click.command(
    "stats",
    short_help="Sizes: raw, stored, per name.",
    epilog="\b\nExamples:\n  cas stats\n  cas stats --json | jq .stored",
)
@common
@click.pass_obj
def command(options: Common) -> None:
    """Tell how large the snapshots are, what is stored for them, and how that divides among names.

    Raw is what all snapshots would take as copies. What two names share counts for the one that came first.
    """
    world = World(options)
    with using(world) as repository:
        snapshots = repository.snapshots()
        objects = repository.objects()
    stored = sum(size for found in objects.values() for _, size in found)
    raw = sum(snapshot.size for snapshot in snapshots)
    fields: dict[str, object] = {
        "snapshots": len(snapshots),
        "raw": raw,
        "added": sum(snapshot.added for snapshot in snapshots),
        "stored": stored,
        "ratio": round(raw / stored, 2) if stored else 0,
        "packs": len(objects["packs"]),
        "packs_bytes": sum(size for _, size in objects["packs"]),
        "commits": len(objects["ledger"]),
        "commits_bytes": sum(size for _, size in objects["ledger"]),
        "objects": sum(len(found) for found in objects.values()),
    }
    names = _by_name(snapshots)
    if options.json:
        per_name = [
            {"name": name, "hostname": host, "snapshots": len(every), "raw": sum(one.size for one in every),
             "latest": max(every, key=lambda one: (one.time_ns, one.number)).size,
             "stored": sum(one.stored for one in every)}
            for (name, host), every in names.items()
        ]  # fmt: skip
        render.out(render.to_json(fields | {"names": per_name}))
        return
    render.lines(
        [
            f"snapshots  {len(snapshots):,}",
            f"raw        {render.size(raw)}",
            f"stored     {render.size(stored)} in {render.count(len(objects['packs']), 'pack')} and "
            f"{render.count(len(objects['ledger']), 'commit')}",
            f"ratio      {render.ratio(raw, stored)}",
        ]
    )
    if names:
        render.out()
        rows = [
            [
                render.name(name) or "-",
                render.name(host),
                f"{len(every):,}",
                render.size(sum(one.size for one in every)),
                render.size(sum(one.stored for one in every)),
                render.ratio(sum(one.size for one in every), sum(one.stored for one in every)),
            ]
            for (name, host), every in names.items()
        ]
        heads = ("name", "host", "snapshots", "raw", "stored", "ratio")
        shown = render.table(heads, rows, right=(2, 3, 4, 5))
        render.lines([render.bold(shown[0]), *shown[1:]])


def _by_name(snapshots: Sequence[Snapshot]) -> dict[tuple[str, str], list[Snapshot]]:
    found: dict[tuple[str, str], list[Snapshot]] = {}
    for snapshot in snapshots:
        found.setdefault((snapshot.name, snapshot.hostname), []).append(snapshot)
    return found
