"""Before files are replaced: the plan, what is odd about it, and the question."""

from __future__ import annotations

import click

from cascli import render
from cascli.display import flush_fields, flush_words
from cascli.secret import NoTerminal
from cascli.world import World, terminal
from casstore.restore import Change, Plan
from casstore.snapshot import Snapshot

SHOWN = 20  # changes that are listed before the question; -v and --dry-run list all
LETTERS = {"new": "+", "replaced": "M", "attributes": "U", "deleted": "-", "blocked": "!"}


def different(world: World, snapshot: Snapshot, planned: Plan) -> list[str]:
    """Say in what this place is not the one that the snapshot was taken of."""
    odd = []
    if snapshot.hostname != world.hostname:
        odd.append(
            f"the snapshot is of host {render.name(snapshot.hostname)}, and this is {render.name(world.hostname)}"
        )
    if not planned.same_origin:
        here = render.name(str(planned.target))
        odd.append(
            f"the snapshot is of the folder {render.name(snapshot.origin)}, and this would replace files in {here}"
        )
    return odd


def shown_plan(world: World, planned: Plan, odd: list[str], *, whole: bool) -> int:
    """Show what would be done: as data for a dry run, else as what the question is about. Gives exit code 0."""
    options = world.options
    if options.json:
        if whole:
            for change in planned.changes():
                render.out(render.to_json(_fields(change)))
            render.out(render.to_json(_summary(planned, odd)))
        return 0
    say = render.out if whole else render.err
    for reason in odd:
        say(f"note: {reason}")
    flush = planned.snapshot.flush
    if flush is not None and not flush.is_flushed:
        say(f"note: the snapshot is {flush_words(flush)}; it may lack what was in memory only")
    for number, change in enumerate(planned.changes()):
        if number >= SHOWN and not whole:
            say(f"   … ({render.count(_all(planned) - SHOWN, 'more', 'more')}; -v shows all)")
            break
        say(_line(change))
    say(_counts(planned))
    return 0


def agree(question: str) -> bool:
    """Ask for a yes.

    Raises:
        NoTerminal: nobody is there to be asked.
    """
    if not terminal():
        raise NoTerminal(
            "files would be replaced in place, and there is no terminal to ask on",
            hint="Say --yes to go on, --dry-run to look, or --target DIR to restore elsewhere.",
        )
    return click.confirm(question, err=True)


def _all(planned: Plan) -> int:
    return planned.new + planned.replaced + planned.attributes + planned.deleted + planned.blocked


def _line(change: Change) -> str:
    size = f"  {render.size(change.size)}" if change.kind.name == "FILE" and change.what != "attributes" else ""
    why = f"  {render.name(change.reason)}" if change.reason else ""
    return f"{LETTERS[change.what]}  {render.name(change.path)}{'/' if change.kind.name == 'FOLDER' else ''}{size}{why}"


def _counts(planned: Plan) -> str:
    blocked = f", {planned.blocked:,} impossible here" if planned.blocked else ""
    return (
        f"{planned.new:,} new, {planned.replaced:,} replaced, {planned.attributes:,} with other metadata, "
        f"{planned.deleted:,} deleted, {planned.unchanged:,} unchanged{blocked}; "
        f"{render.size(planned.total_bytes)} to write in {render.name(str(planned.target))}"
    )


def _fields(change: Change) -> dict[str, object]:
    fields: dict[str, object] = {"message_type": "change", "action": change.what, **render.plain("path", change.path)}
    fields |= {"kind": change.kind.name.lower(), "size": change.size}
    return fields | {"reason": change.reason} if change.reason else fields


def _summary(planned: Plan, odd: list[str]) -> dict[str, object]:
    return {
        "message_type": "plan",
        "target": str(planned.target),
        "new": planned.new,
        "replaced": planned.replaced,
        "attributes": planned.attributes,
        "deleted": planned.deleted,
        "unchanged": planned.unchanged,
        "blocked": planned.blocked,
        "files": planned.files,
        "total_bytes": planned.total_bytes,
        "differs": odd,
        "flush": flush_fields(planned.snapshot.flush),
    }
