"""`cas anchor`: what this host last saw of the history."""

from __future__ import annotations

from contextlib import closing

import click

from cascli import render
from cascli.display import note
from cascli.opening import open_repository
from cascli.options import Common, common
from cascli.session import follow
from cascli.world import World, terminal
from casstore.errors import HistoryRewritten
from casstore.format.commit import CommitKind
from casstore.repository import Repository


@click.group(
    "anchor",
    short_help="What this host last saw of the history.",
    epilog="\b\nExamples:\n  cas anchor show\n  cas anchor check\n  cas anchor accept --yes",
)
@common
def command() -> None:
    """The anchor is the last commit that this host saw. A history that does not hold it was rolled back or forked."""


@command.command("show", short_help="Show its number and hash.")
@common
@click.pass_obj
def show(options: Common) -> None:
    """Show number and hash: write them down elsewhere, and a rollback shows even if this host is lost."""
    world = World(options)
    with closing(open_repository(world)) as repository:
        seen = repository.anchor.read()
    if options.json:
        render.out(
            render.to_json({"number": seen[0], "hash": seen[1].hex()} if seen else {"number": None, "hash": None})
        )
    elif seen is None:
        render.out("none: this host has seen nothing of this repository yet")
    else:
        render.out(f"{seen[0]} {seen[1].hex()}")


@command.command("check", short_help="Compare it with the repository.")
@common
@click.pass_obj
def check(options: Common) -> None:
    """Compare the anchor with the repository; 21 if the history was rolled back or forked."""
    world = World(options)
    with closing(open_repository(world)) as repository:
        seen = repository.anchor.read()
        try:
            follow(world, repository)
        except HistoryRewritten as error:
            raise HistoryRewritten(f"{error} ({_both(repository, seen)})") from None
        number, digest = repository.ledger.seen
    if options.json:
        fields = {"number": number, "hash": digest.hex(), "seen": seen[0] if seen else None}
        render.out(render.to_json(fields))
    elif not options.quiet:
        since = f", {number - seen[0]:,} since this host looked last" if seen else ""
        render.out(f"the history goes on unbroken to commit {number}{since}")


@command.command("accept")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@click.pass_obj
def accept(options: Common, yes: bool) -> int:
    """Go on from what the repository holds now, and drop the cache. Find out first who changed the history."""
    world = World(options)
    with closing(open_repository(world)) as repository:
        repository.check_writable()
        seen = repository.anchor.read()
        note(options, _both(repository, seen), "warning")
        if not yes:
            if not terminal():
                from cascli.secret import NoTerminal

                raise NoTerminal("this needs a yes and there is no terminal to ask on", hint="Say --yes.")
            if not click.confirm("Take this history as the right one?", err=True):
                return 1
        _accept(repository, world.now_ns)
        number, digest = repository.ledger.seen
    if options.json:
        render.out(render.to_json({"message_type": "accepted", "number": number, "hash": digest.hex()}))
    note(options, f"accepted: this host goes on from commit {number} {digest.hex()[:16]}")
    return 0


def _accept(repository: Repository, now_ns: int) -> None:
    """Forget what was seen, follow the ledger from the header on, and have the admin sign that this was meant."""
    with repository.afresh() as fresh:  # before anything is forgotten
        try:
            fresh.ledger.check()
        except HistoryRewritten as error:
            raise HistoryRewritten(
                f"{error}: this history contradicts itself, and nobody can go on from it",
                hint="Two copies were mixed, perhaps. Nothing was touched: bring the ledger back from one of them.",
            ) from None
    repository.anchor.forget()
    repository.cache.begin()
    repository.cache.clear()
    repository.cache.commit()
    repository.refresh()
    repository.append(CommitKind.NOTE, {0: "accept", 1: {}}, clock_ns=now_ns, as_admin=True)
    repository.acknowledge()


def _both(repository: Repository, seen: tuple[int, bytes] | None) -> str:
    here = f"commit {seen[0]} {seen[1].hex()[:16]}" if seen else "nothing"
    last = max((name[-20:] for name, _ in repository.backend.list("ledger")), default="0")
    return f"seen here: {here}; in the repository: commits up to {last.lstrip('0') or 0}"
