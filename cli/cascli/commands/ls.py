"""`cas ls`: what a snapshot holds."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import click

from cascli import render
from cascli.commands.dump import content
from cascli.options import FILE, MOMENT, Common, common
from cascli.paths import below, fields, inside, long_line, shown
from cascli.session import announce, choose, snapshot_fields, using
from cascli.world import World
from casstore.entry import Entry, Kind
from casstore.errors import CasError
from casstore.repository import Repository


@click.command(
    "ls",
    short_help="List what a snapshot holds.",
    epilog='\b\nExamples:\n  cas ls latest\n  cas ls -l "yesterday 14:00" data\n  cas ls latest --digest data\n'
    "  cas ls qxkzvtsm --json",
)
@click.argument("snapshot", default="latest", type=MOMENT, metavar="[SNAPSHOT]")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@click.option("-l", "--long", "is_long", is_flag=True, help="Mode, owner, size and time as well.")
@click.option("--digest", is_flag=True, help="The SHA-256 of each file as well, computed from what is stored.")
@common
@click.pass_obj
def command(options: Common, snapshot: str, paths: tuple[str, ...], is_long: bool, digest: bool) -> None:
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
                if digest and entry.kind is Kind.FILE:
                    node["sha256"] = _digest(repository, entry)
                render.out(render.to_json(node))
        else:
            # Aligned folder by folder would need all lines in memory: columns are wide enough for nearly everything.
            for entry in listed():
                line = _long(entry, chosen.zone_minutes) if is_long else shown(entry)
                if digest:
                    found = _digest(repository, entry) if entry.kind is Kind.FILE else "-"
                    line = f"{found:<64}  {line}"
                render.out(line)
    for folder in wanted:
        if folder and folder not in met:
            raise CasError(f"{render.name(folder)} is not in this snapshot", hint="`cas ls SNAPSHOT` lists what is.")


def _long(entry: Entry, zone_minutes: int) -> str:
    mode, owner, group, size, time, path = long_line(entry, zone_minutes)
    return f"{mode}  {owner:<8} {group:<8} {size:>12}  {time}  {path}"


def _digest(repository: Repository, entry: Entry) -> str:
    """Compute the SHA-256 of a file as a restore would write it.

    Raises:
        Damaged: some of it cannot be read.
    """
    digest = sha256()
    for piece in content(repository, entry):
        digest.update(piece)
    return digest.hexdigest()
