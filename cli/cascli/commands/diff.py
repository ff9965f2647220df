"""`cas diff`: what differs between two snapshots, or a snapshot and now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from cascli import render
from cascli.codes import INCOMPLETE
from cascli.display import Display
from cascli.options import MOMENT, Common, common
from cascli.paths import below, inside, shown
from cascli.recorded import comparison_fields, comparison_lines
from cascli.session import announce, choose, using
from cascli.world import World
from casstore.backup.torn import is_json
from casstore.diff import ADDED, METADATA, MODIFIED, REMOVED, TYPE, Difference, compare
from casstore.entry import Entry, Kind
from casstore.errors import CasError, UsageError
from casstore.progress import Event, Problem
from casstore.recovery.comparison import compare as compare_records
from casstore.recovery.document import Document, NotRecords
from casstore.recovery.history import read_document
from casstore.repository import Repository
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import Listing, Source
from casstore.values import dataclass

LIVE = "live"
WINDOW = 1 << 20


@dataclass(slots=True)
class Totals:
    """How many paths of each letter, and what came and went in bytes."""

    letters: dict[str, int]
    added: int = 0
    removed: int = 0

    def take(self, found: Difference) -> None:
        """Count one."""
        self.letters[found.letter] += 1
        grown = _size(found.new) - _size(found.old)
        self.added += max(grown, 0)
        self.removed += max(-grown, 0)


@click.command(
    "diff",
    short_help="Tell what differs between two snapshots, or a snapshot and now.",
    epilog="\b\nExamples:\n  cas diff                       what changed since the latest snapshot\n"
    "  cas diff 'yesterday 14:00' latest\n  cas diff latest live --path data\n"
    "  cas diff 'yesterday 14:00' --json-aware\n\n"
    "+ added · - removed · M content differs · T another kind · U only metadata differs",
)
@click.argument("old", default="latest", metavar="[A]", type=MOMENT)
@click.argument("new", default=LIVE, metavar="[B]", type=MOMENT)
@click.option("--path", "typed", metavar="PATH", help="Only this path and what lies below it.")
@click.option("--metadata", is_flag=True, help="Also folders of which only the time differs.")
@click.option("--json-aware", is_flag=True, help="Also the records of JSON files that differ.")
@click.option("--mask-values", is_flag=True, help="With --json-aware: show no values, only names.")
@common
@click.pass_obj
def command(
    options: Common, old: str, new: str, typed: str | None, metadata: bool, json_aware: bool, mask_values: bool
) -> int:
    """Compare snapshot A with B. B may be `live`, the tree as it is now, and is if nothing is said.

    With --json-aware the records of `*.json` are compared too: those of an array by the field that names each of them
    (id, _id, uuid, key, slug), else by position; those of an object by key.
    """
    if mask_values and not json_aware:
        raise UsageError("--mask-values says how --json-aware shows values", hint="Add --json-aware.")
    world = World(options)
    totals = Totals(dict.fromkeys((ADDED, REMOVED, MODIFIED, TYPE, METADATA), 0))
    with using(world) as repository, Display(options, "diff") as display:
        before = choose(world, repository, old)
        announce(world, before, "from")
        wanted = inside(before, typed) if typed is not None else b""
        live: _Live | None = None
        if new == LIVE:
            live = _Live(world, repository, before, display)
            if not (options.quiet or options.json):
                render.err(f"to   {render.name(bytes(live.origin))} as it is now")
            found = compare(
                repository.entries(before, wanted), live.entries(wanted), same_bytes=live.same, folder_times=metadata
            )
        else:
            after = choose(world, repository, new)
            announce(world, after, "to  ")
            if before.manifest == after.manifest:
                found = iter(())
            else:
                found = compare(
                    repository.entries(before, wanted), repository.entries(after, wanted), folder_times=metadata
                )
        for difference in found:
            totals.take(difference)
            render.out(_json(difference) if options.json else _line(difference))
            if json_aware and difference.letter == MODIFIED and is_json(difference.entry.name):
                read = live.document if live is not None else partial(read_document, repository)
                render.lines(_record_lines(repository, difference, read, options, masked=mask_values))
        if wanted and not any(totals.letters.values()) and next(repository.entries(before, wanted), None) is None:
            raise CasError(
                f"neither side has {render.name(wanted)}", hint=f"Paths are relative to {render.name(before.origin)}."
            )
    if options.json:
        render.out(
            render.to_json(
                {
                    "message_type": "statistics",
                    **{_WORDS[letter]: number for letter, number in totals.letters.items()},
                    "added_bytes": totals.added,
                    "removed_bytes": totals.removed,
                }
            )
        )
    elif not options.quiet:
        counted = ", ".join(
            f"{number:,} {_WORDS[letter].replace('_', ' ')}" for letter, number in totals.letters.items() if number
        )
        grown = f"; grown by {render.size(totals.added)}, shrunk by {render.size(totals.removed)}" if counted else ""
        render.err((counted or "no difference") + grown)
    return INCOMPLETE if display.problems else 0


class _Live:
    """The tree of a snapshot as it is now, in manifest order. A file is read only if size or time differ."""

    def __init__(
        self, world: World, repository: Repository, snapshot: Snapshot, progress: Callable[[Problem], None]
    ) -> None:
        self._repository, self._progress = repository, progress
        found = world.found
        here = found is not None and found.name == snapshot.name
        self.origin = os.fsencode(found.folder) if found is not None and here else snapshot.origin
        if not Path(os.fsdecode(self.origin)).is_dir():
            raise CasError(
                f"{render.name(self.origin)}, the folder of this snapshot, is not here",
                hint="Run it in the folder of the application's cas.toml, or compare two snapshots.",
            )
        self._selection = Selection.decode(repository.head(snapshot).selection)
        self._at: tuple[Listing, int] | None = None

    def entries(self, wanted: bytes) -> Iterator[Entry]:
        source = Source(self.origin, self._selection, never=self._repository.never, progress=self._problem)
        for listing in source.walk():
            for i in range(len(listing.names)):
                try:
                    entry = listing.describe(i)
                except OSError as error:
                    name = listing.path + b"/" + listing.names[i] if listing.path else listing.names[i]
                    self._progress(Problem(name, f"cannot be read: {os.strerror(error.errno or 0)}"))
                    continue
                if below(entry.path, wanted):
                    self._at = (listing, i)
                    yield entry._replace(size=listing.stats[i].st_size) if entry.kind is Kind.FILE else entry

    def document(self, entry: Entry, name: str) -> Document:
        """Give the file that was just met as JSON.

        Raises:
            NotRecords: it cannot be read as that.
        """
        assert self._at is not None  # `entries` stands at it
        listing, i = self._at
        try:
            file = listing.open(i)
        except OSError as error:
            raise NotRecords(f"{name} cannot be read: {os.strerror(error.errno or 0).lower()}") from None
        try:
            if entry.kind is not Kind.FILE or file.extents is not None:
                raise NotRecords(f"{name} is no JSON")
            return Document.of((bytes(piece) for piece in iter(lambda: file.read(WINDOW), b"")), name)
        finally:
            file.close()

    def _problem(self, event: Event) -> None:
        if isinstance(event, Problem):  # what is no difference, such as a pattern that matches nothing, is not told
            self._progress(event)

    def same(self, old: Entry, new: Entry) -> bool:
        """Whether the file that was just met has the bytes of the snapshot."""
        if old.size != new.size:
            return False
        if old.mtime_ns == new.mtime_ns:
            return True
        assert self._at is not None  # `entries` stands at `new`
        listing, i = self._at
        try:
            file = listing.open(i)
        except OSError as error:
            self._progress(Problem(new.path, f"cannot be read: {os.strerror(error.errno or 0)}"))
            return True
        try:
            if file.extents != old.extents:
                return False
            for piece in self._repository.read(old.content):
                rest = memoryview(piece)
                while rest:
                    got = file.read(min(len(rest), WINDOW))
                    if not got or got != rest[: len(got)]:
                        return False
                    rest = rest[len(got) :]
            return not file.read(1)
        finally:
            file.close()


def _record_lines(
    repository: Repository,
    found: Difference,
    read: Callable[[Entry, str], Document],
    options: Common,
    *,
    masked: bool,
) -> Iterator[str]:
    """Tell of the records of a JSON file; what cannot be compared so is said, and costs nothing."""
    assert found.old is not None
    assert found.new is not None
    try:
        old = read_document(repository, found.old, "the old version")
        compared = compare_records(old, read(found.new, "the new version"))
        if options.json:
            yield from map(render.to_json, comparison_fields(compared, found.entry.path, masked=masked))
        else:
            yield from comparison_lines(compared, masked=masked)
    except NotRecords as error:
        if options.json:
            fields = {"message_type": "not_compared", **render.plain("path", found.entry.path), "reason": str(error)}
            yield render.to_json(fields)
        else:
            yield f"     its records are not compared: {render.printable(str(error))}"


_WORDS = {ADDED: "added", REMOVED: "removed", MODIFIED: "modified", TYPE: "type_changed", METADATA: "metadata_changed"}


def _size(entry: Entry | None) -> int:
    return entry.size if entry is not None and entry.kind is Kind.FILE else 0


def _line(found: Difference) -> str:
    old, new = _size(found.old), _size(found.new)
    sizes = ""
    if found.letter == ADDED and found.entry.kind is Kind.FILE:
        sizes = f"  {render.size(new)}"
    elif found.letter == REMOVED and found.entry.kind is Kind.FILE:
        sizes = f"  {render.size(old)}"
    elif found.letter == MODIFIED and found.entry.kind is Kind.FILE:
        sizes = f"  {render.size(old)} → {render.size(new)} ({'+' if new >= old else '-'}{render.size(abs(new - old))})"
    return f"{found.letter}  {shown(found.entry)}{sizes}"


def _json(found: Difference) -> str:
    fields: dict[str, object] = {"message_type": "change", **render.plain("path", found.entry.path)}
    fields["modifier"] = found.letter
    for name, entry in (("old_size", found.old), ("new_size", found.new)):
        if entry is not None and entry.kind is Kind.FILE:
            fields[name] = entry.size
    return render.to_json(fields)
