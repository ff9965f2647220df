"""`cas accept`: what guarded files lost is meant."""

from __future__ import annotations

import click

from cascli import render
from cascli.display import loss_fields, loss_words, note
from cascli.options import FILE, Common, common
from cascli.paths import below, inside
from cascli.session import doubts_of, own_snapshots, using
from cascli.world import World
from casstore.accept import accept
from casstore.losses import Loss


@click.command(
    "accept",
    short_help="Say that what guarded files lost is meant.",
    epilog="\b\nExamples:\n  cas accept --dry-run           what is in doubt?\n"
    "  cas accept                     all of it is as it should be\n"
    "  cas accept data/sessions.json  only this",
)
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be accepted.")
@click.option("--name", metavar="NAME", help="Among the snapshots of this name.")
@click.option("--host", metavar="HOST", help="Among the snapshots of this host.")
@common
@click.pass_obj
def command(options: Common, paths: tuple[str, ...], dry_run: bool, name: str | None, host: str | None) -> None:
    """Accept what guarded files lost, all of them or PATH with what lies below it.

    `last-good` then is a snapshot behind that loss, and `cas restore latest` no longer stops. Torn files are accepted
    with all else, when no PATH is given; the next backup takes them for no JSON.
    """
    world = World(options)
    losses: dict[Loss, None] = {}
    unlisted = torn = 0
    with using(world, writes=not dry_run) as repository:
        doubts = doubts_of(repository)
        own = own_snapshots(world, repository, host=host, name=name)
        newest = {snapshot.source: snapshot for snapshot in own if not snapshot.imported}
        # All paths first: one that lies elsewhere must stop this before anything is accepted.
        asked = {source: tuple(dict.fromkeys(inside(one, path) for path in paths)) for source, one in newest.items()}
        for source, snapshot in newest.items():
            doubt = doubts.of(snapshot)
            wanted = asked[source]
            found = [loss for loss in doubt.losses if not wanted or any(below(loss.path, one) for one in wanted)]
            losses.update(dict.fromkeys(found))
            if not wanted or b"" in wanted:
                unlisted += doubt.unlisted
                torn += doubt.torn
                found_any = bool(doubt)
            else:
                found_any = bool(found)
            if found_any and not dry_run:
                accept(repository, source, wanted, now_ns=world.now_ns)
    if options.json:
        fields = {"message_type": "summary", "accepted": [loss_fields(loss) for loss in losses]}
        render.out(render.to_json(fields | {"unlisted": unlisted, "torn": torn, "dry_run": dry_run}))
        return
    if not (losses or unlisted or torn):
        note(options, "nothing is in doubt" + (" there" if paths else ""))
        return
    render.lines([f"{render.name(loss.path)} {loss_words(loss)}" for loss in losses])
    if unlisted:
        render.out(f"and {unlisted:,} more")
    if torn:
        render.out(f"{render.count(torn, 'JSON file')} torn")
    note(options, "dry run, nothing was accepted" if dry_run else "accepted")
