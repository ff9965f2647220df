"""`cas find`: in which snapshots, in which versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import field

import click

from cascli import render
from cascli.display import note
from cascli.options import Common, common, repeated
from cascli.paths import WORDS, shown
from cascli.session import iso, using
from cascli.world import World
from casstore import moments
from casstore.entry import Entry, Kind
from casstore.errors import CasError, Damaged
from casstore.ids import SHORT, to_letters
from casstore.selection import glob_expression
from casstore.snapshot import Snapshot
from casstore.values import dataclass


@dataclass(slots=True)
class Version:
    """A path as it stayed from one snapshot to another."""

    entry: Entry
    snapshots: list[Snapshot] = field(default_factory=list)


@click.command(
    "find",
    short_help="Find in which snapshots a file is, and in which versions.",
    epilog="\b\nExamples:\n  cas find users.json\n  cas find 'data/*.json' --json\n  cas find -i 'INVOICE*'",
)
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN…")
@click.option("-i", "--ignore-case", is_flag=True, help="Letters match whatever their case.")
@repeated("--host", metavar="HOST", shown="Only in snapshots taken on this host.")
@repeated("--name", metavar="NAME", shown="Only in snapshots of this name.")
@common
@click.pass_obj
def command(
    options: Common, patterns: tuple[str, ...], ignore_case: bool, host: tuple[str, ...], name: tuple[str, ...]
) -> int:
    """Find paths that match PATTERN: a name at any depth, or with a slash a path from the origin on (* ? [a-z])."""
    world = World(options)
    tests = [_matcher(pattern, ignore_case) for pattern in patterns]
    versions: dict[bytes, list[Version]] = {}
    damaged: list[tuple[Snapshot, Damaged]] = []
    with using(world) as repository:
        for snapshot in sorted(repository.snapshots(), key=lambda one: (one.time_ns, one.number)):
            if (host and snapshot.hostname not in host) or (name and snapshot.name not in name):
                continue
            try:
                for entry in repository.entries(snapshot):
                    if any(matches(entry.path) for matches in tests):
                        _remember(versions.setdefault(entry.path, []), entry, snapshot)
            except Damaged as error:
                damaged.append((snapshot, error))
    for path in sorted(versions):
        _show(path, versions[path], options)
    for snapshot, reason in damaged:
        short = to_letters(snapshot.id)[:SHORT]
        note(options, f"warning: snapshot {short} could not be searched whole: {reason}", "warning")
    if damaged:
        return Damaged.exit_code
    if not versions:
        raise CasError(
            f"no snapshot holds {' or '.join(render.name(pattern) for pattern in patterns)}",
            hint="A pattern without a slash matches names at any depth; quote it so that the shell leaves it alone.",
        )
    return 0


def _matcher(pattern: str, ignore_case: bool) -> Callable[[bytes], bool]:
    """Tell whether a path matches: the whole of it if the pattern has a slash, else its last part."""
    wanted = pattern.strip("/")
    test = glob_expression(os.fsencode(wanted.casefold() if ignore_case else wanted))
    whole = "/" in wanted

    def matches(path: bytes) -> bool:
        part = path if whole else path.rpartition(b"/")[2]
        return test.match(os.fsencode(os.fsdecode(part).casefold()) if ignore_case else part) is not None

    return matches


def _remember(versions: list[Version], entry: Entry, snapshot: Snapshot) -> None:
    if not versions or (versions[-1].entry.content, versions[-1].entry.kind, versions[-1].entry.target) != (
        entry.content, entry.kind, entry.target,
    ):  # fmt: skip
        versions.append(Version(entry))
    versions[-1].snapshots.append(snapshot)


def _show(path: bytes, versions: list[Version], options: Common) -> None:
    if options.json:
        found = [
            {
                "type": WORDS[version.entry.kind],
                "size": version.entry.size,
                "mtime": iso(version.entry.mtime_ns, version.snapshots[0].zone_minutes),
                "snapshots": [to_letters(snapshot.id) for snapshot in version.snapshots],
            }
            for version in versions
        ]
        render.out(render.to_json({**render.plain("path", path), "versions": found}))
        return
    render.out(render.bold(shown(versions[-1].entry)))
    for version in versions:
        first, last = version.snapshots[0], version.snapshots[-1]
        size = render.size(version.entry.size) if version.entry.kind is Kind.FILE else WORDS[version.entry.kind]
        render.out(
            f"  {size:>10}  in {render.count(len(version.snapshots), 'snapshot')}, from {_named(first)}"
            + (f" to {_named(last)}" if last is not first else "")
        )


def _named(snapshot: Snapshot) -> str:
    return f"{to_letters(snapshot.id)[:SHORT]} ({moments.stamp(snapshot.time_ns, snapshot.zone_minutes)})"
