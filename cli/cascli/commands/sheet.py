"""`cas sheet`: one page of paper to be kept outside."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version

import click

from cascli import render
from cascli.display import note
from cascli.options import FILE, Common, common
from cascli.papers import LANGUAGE, put
from cascli.session import using
from cascli.world import World, local_folder
from casstore.recovery.plan import Plan, parse
from casstore.recovery.runbook.described import day
from casstore.recovery.sheet import Kept, Opening, fingerprint, to_page
from casstore.repository import Repository
from casstore.slots import list_slots


@click.command(
    "sheet",
    short_help="One printable page of what must be kept outside.",
    epilog="\b\nExamples:\n  cas sheet > sheet.html\n  cas sheet --lang pt-BR --output folha.html\n"
    "  cas sheet --json                  what stands on it",
)
@LANGUAGE
@click.option("--output", metavar="FILE", type=FILE, default="-", help="Where to write it, instead of to stdout.")
@common
@click.pass_obj
def command(options: Common, language: str, output: str) -> None:
    """Write a page (HTML) with address and fingerprint of the repository, what opens it, and how to begin.

    There is no secret on it, but lines to write the recovery words on by hand.
    """
    world = World(options)
    with using(world) as repository:
        kept = _kept(world, repository)
    if options.json and output == "-":
        number, digest = kept.head
        render.out(render.to_json({**asdict(kept), "head": {"number": number, "hash": digest}}))
        return
    put(output, to_page(kept, language))
    if options.json:
        render.out(render.to_json({"message_type": "sheet", "file": output, "language": language}))
    elif output != "-":
        note(options, f"written: {render.name(output)}. Print it, fill it in by hand, and keep it away from here.")


def _kept(world: World, repository: Repository) -> Kept:
    found = world.found
    plan = parse(found.text.decode(), file=str(found.folder / "cas.toml")) if found is not None else Plan()
    place = str(local_folder(world.place))
    number, digest = repository.ledger.seen
    openings = tuple(
        Opening(slot.id.hex(), slot.kind.name.lower(), slot.label, day(slot.created_ns), day(slot.proven_ns or 0))
        if slot.proven_ns is not None
        else Opening(slot.id.hex(), slot.kind.name.lower(), slot.label, day(slot.created_ns), "")
        for slot in list_slots(repository)
    )
    return Kept(
        found.name if found is not None else place, str(found.folder) if found is not None else "", world.hostname,
        place, repository.header.repository.hex(), fingerprint(repository.header.admin_public), (number, digest.hex()),
        openings, plan.contacts, f"{datetime.fromtimestamp(world.now_ns // 10**9, UTC):%Y-%m-%d}", version("casstore"),
    )  # fmt: skip
