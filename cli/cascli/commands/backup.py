"""`cas backup`: take a snapshot. It runs every minute, so it imports only what it needs."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext

import click

from cascli import render
from cascli.codes import IN_DOUBT, INCOMPLETE
from cascli.display import Display, flush_fields, flush_words, lost_words
from cascli.opening import open_repository
from cascli.options import FILE, Common, common, repeated, repository_too
from cascli.paths import absolute
from cascli.pinging import pinged
from cascli.selecting import Extra, Task, exclude_lines, refuse_repository, refuse_unfinished, task, warn_of_plan
from cascli.session import iso, warn_of_damage
from cascli.world import World
from casstore import moments
from casstore.backup import backup
from casstore.errors import Damaged
from casstore.ids import SHORT, to_letters
from casstore.repository import Repository
from casstore.slots import proven_elsewhere
from casstore.snapshot import NOTHING_KNOWN, Circumstances, Snapshot
from casstore.source import Source


@click.command(
    "backup",
    short_help="Take a snapshot.",
    epilog="\b\nExamples:\n  cas backup                          what cas.toml says\n"
    "  cas backup --tag before-upgrade\n  cas -r /mnt/disk/cas backup ~/notes   without a cas.toml\n\n"
    "Exit codes: 0 saved · 3 saved, but something could not be read, or is torn · 4 saved, but a guarded file\n"
    "vanished or lost more than half of what it held, or a required flush was not acknowledged · 1 nothing saved.",
)
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@repository_too("--target", shown="The same as --repo.")
@repeated("--tag", metavar="TAG[,TAG]", shown="Mark the snapshot; may be given several times.")
@click.option("--host", metavar="NAME", help="Record this hostname instead of the machine's.")
@click.option(
    "--time", "moment", metavar="MOMENT", help="Record this time instead of now, as for a tree that was copied earlier."
)
@click.option("-n", "--dry-run", is_flag=True, help="Read and compare, but store nothing.")
@click.option("--skip-if-unchanged", is_flag=True, help="Make no snapshot if nothing differs from the one before.")
@repeated("-e", "--exclude", metavar="PATTERN", shown="Leave out what matches, as .gitignore does; also several times.")
@repeated("--exclude-file", type=FILE, metavar="FILE", shown="Read such patterns from a file, one a line.")
@repeated("--append-only", metavar="PATTERN", shown="Files that only grow, such as *.log; may be given several times.")
@click.option("--exclude-caches", is_flag=True, help="Leave out folders that hold a CACHEDIR.TAG.")
@click.option("-x", "--one-file-system", is_flag=True, help="Stay on the file systems of the given paths.")
@common
@click.pass_obj
@pinged
def command(
    options: Common,
    paths: tuple[str, ...],
    tag: tuple[str, ...],
    host: str | None,
    moment: str | None,
    dry_run: bool,
    skip_if_unchanged: bool,
    exclude: tuple[str, ...],
    exclude_file: tuple[str, ...],
    append_only: tuple[str, ...],
    exclude_caches: bool,
    one_file_system: bool,
) -> int:
    """Take a snapshot of what cas.toml names, or of PATH.

    Unchanged files are not read, and only what is new is stored. Patterns in a .casignore are left out. Of a file that
    only grows the end is read, and all of it once a day.
    """
    world = World(options)
    lines = tuple(line for file in exclude_file for line in exclude_lines(file))
    todo = task(world, paths, Extra(exclude, lines, exclude_caches, one_file_system, append_only))
    warn_of_plan(world, todo, dry_run=dry_run)
    refuse_unfinished(todo.origin)
    taken_ns, zone = world.now_ns, world.zone_minutes()
    if moment is not None:
        taken_ns, zone = moments.instant(moment, world.now_ns, zone)
    with Display(options, "backup") as display, open_repository(world) as repository:
        for place in (todo.origin, *map(absolute, paths)):
            refuse_repository(place, repository.never)
        source = Source(os.fsencode(todo.origin), todo.selection, never=repository.never, progress=display)
        with _known(world, todo, repository, dry_run=dry_run) as known:
            now = time.time_ns() if known.flush else world.now_ns  # what is flushed meanwhile is of a later moment
            snapshot = backup(
                repository, source, now_ns=now, zone_minutes=zone, hostname=host or world.hostname, name=todo.name,
                tags=tags_of(tag), config=todo.config, time_ns=now if moment is None else taken_ns, dry_run=dry_run,
                skip_if_unchanged=skip_if_unchanged, whole_lines=todo.whole_lines, circumstances=known,
                tuning=todo.tuning, clock=time.time_ns, progress=display,
            )  # fmt: skip
        elsewhere = proven_elsewhere(repository)
        warn_of_damage(world, repository)
        damaged = bool(repository.damaged)
    if options.json:
        render.out(
            render.to_json(
                summary(snapshot, dry_run=dry_run, ended_ns=time.time_ns()) | {"proven_elsewhere": elsewhere}
            )
        )
    elif not options.quiet:
        render.lines(_told(snapshot, dry_run=dry_run))
        if not elsewhere:
            render.err(
                "note: the only proven way to open this repository lies on this host; `cas key recovery` makes words "
                "for paper, and its --check or that of `cas key passwd` proves what there is."
            )
    if not options.json:
        for line in _doubtful(snapshot, dry_run=dry_run):
            render.err(line)
    if damaged:
        return Damaged.exit_code  # what was saved now is whole; the rest is not
    return exit_code(snapshot)


def exit_code(snapshot: Snapshot) -> int:
    """Give what the command ends with: 4 if a guarded file lost what it held, or if it is unflushed and should not be.

    Else 3 if something is not whole: that may last, and a loss is told once.
    """
    required = snapshot.flush is not None and snapshot.flush.required
    if snapshot.guarded or (required and snapshot.is_unflushed):
        return IN_DOUBT
    return INCOMPLETE if snapshot.problems or snapshot.torn else 0


def _known(world: World, todo: Task, repository: Repository, *, dry_run: bool) -> AbstractContextManager[Circumstances]:
    """Give what stands around the reading of the files; most have no application that is to be asked."""
    if dry_run or not todo.has_application:
        return nullcontext(NOTHING_KNOWN)
    from cascli.flushing import flushing

    return flushing(world.options, todo.origin, todo.config).during(repository)


def _doubtful(snapshot: Snapshot, *, dry_run: bool) -> list[str]:
    lines = []
    if snapshot.problems:
        what = render.count(snapshot.problems, "entry", "entries")
        lines.append(f"{what} could not be saved whole; the rest is saved.")
    if snapshot.torn:
        lines.append(f"{render.count(snapshot.torn, 'JSON file')} torn in this snapshot; `cas snapshots` marks it.")
    if snapshot.guarded is not None:
        what = lost_words(snapshot.guarded.total)
        saved = "All is saved, and what was there before is `last-good`; if this was meant, say `cas accept`."
        lines.append(f"{what}." if dry_run else f"{what}. {saved}")
    return lines


def tags_of(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Take apart what was given as --tag."""
    tags = (tag.strip() for group in groups for tag in group.split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _told(snapshot: Snapshot, *, dry_run: bool) -> list[str]:
    if dry_run:
        first = "dry run, nothing stored"
    elif not snapshot.number:
        first = "nothing changed, no snapshot made"
    else:
        first = f"snapshot {to_letters(snapshot.id)[:SHORT]}  {moments.stamp(snapshot.time_ns, snapshot.zone_minutes)}"
    files = f"{snapshot.new:,} new, {snapshot.changed:,} changed, {snapshot.unchanged:,} unchanged files"
    return [
        f"{first}  {files} ({render.size(snapshot.size)})",
        f"read {render.size(snapshot.read)}, added {render.size(snapshot.added)}, "
        f"stored {render.size(snapshot.stored)} in {render.duration(snapshot.duration_ns)}",
        *([flush_words(snapshot.flush)] if snapshot.flush is not None else []),
    ]


def summary(snapshot: Snapshot, *, dry_run: bool, ended_ns: int) -> dict[str, object]:
    """Give restic's summary, and what is ours beside it."""
    fields: dict[str, object] = {
        "message_type": "summary",
        "files_new": snapshot.new,
        "files_changed": snapshot.changed,
        "files_unmodified": snapshot.unchanged,
        "total_files_processed": snapshot.files,
        "total_bytes_processed": snapshot.size,
        "bytes_read": snapshot.read,
        "data_added": snapshot.added,
        "data_added_packed": snapshot.stored,
        "problems": snapshot.problems,
        "torn": snapshot.torn,
        "losses": snapshot.guarded.total if snapshot.guarded else 0,
        "flush": flush_fields(snapshot.flush),
        "total_duration": snapshot.duration_ns / 1e9,
        "backup_start": iso(snapshot.clock_ns, snapshot.zone_minutes),
        "backup_end": iso(ended_ns, snapshot.zone_minutes),
        "dry_run": dry_run,
    }
    if snapshot.number:
        fields |= {"snapshot_id": to_letters(snapshot.id), "time": iso(snapshot.time_ns, snapshot.zone_minutes)}
    return fields
