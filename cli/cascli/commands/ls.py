"""`cas ls`: what a snapshot holds."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cascli import render
from cascli.options import FILE, MOMENT, Common, common
from cascli.paths import below, fields, inside, long_line, shown
from cascli.session import announce, choose, snapshot_fields, using
from cascli.world import World
from casstore.entry import Entry
from casstore.errors import CasError


@click.command(
    "ls",
    short_help="List what a snapshot holds.",
    epilog='\b\nExamples:\n  cas ls latest\n  cas ls -l "yesterday 14:00" data\n  cas ls qxkzvtsm --json',
)
@click.argument("snapshot", default="latest", type=MOMENT, metavar="[SNAPSHOT]")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@click.option("-l", "--long", "is_long", is_flag=True, help="Mode, owner, size and time as well.")
@common
@click.pass_obj
def command(options: Common, snapshot: str, paths: tuple[str, ...], is_long: bool) -> None:
    """List the entries of SNAPSHOT (an id, or a moment such as `latest` or "2 hours ago"), or those below PATH."""
    world = World(options)
    with using(world) as repository:
        chosen = choose(world, repository, snapshot)
        announce(world, chosen)
        wanted = [inside(chosen, path) for path in paths] or [b""]
        if options.json:
            render.out(
                render.to_json({"message_type": "snapshot", "struct_type": "snapshot", **snapshot_fields(chosen)})
            )
        met: set[bytes] = set()

        def listed() -> Iterator[Entry]:
            for entry in repository.entries(chosen, wanted[0] if len(wanted) == 1 else b""):
                hits = [folder for folder in wanted if below(entry.path, folder)]
                if hits:
                    met.update(hits)
                    yield entry

        if options.json:
            for entry in listed():
                node = {"message_type": "node", "struct_type": "node", **fields(entry, chosen.zone_minutes)}
                render.out(render.to_json(node))
        elif is_long:
            _long(listed(), chosen.zone_minutes)
        else:
            render.lines(shown(entry) for entry in listed())
    for folder in wanted:
        if folder and folder not in met:
            raise CasError(f"{render.name(folder)} is not in this snapshot", hint="`cas ls SNAPSHOT` lists what is.")


def _long(entries: Iterator[Entry], zone_minutes: int) -> None:
    # Aligned folder by folder would need all lines in memory: columns are wide enough for nearly everything instead.
    for entry in entries:
        mode, owner, group, size, time, path = long_line(entry, zone_minutes)
        render.out(f"{mode}  {owner:<8} {group:<8} {size:>12}  {time}  {path}")
