"""`cas import`: old backups of a former script become snapshots at their own times."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import click

from cascli import render
from cascli.codes import INCOMPLETE
from cascli.display import Display, note
from cascli.options import FOLDER, Common, common
from cascli.selecting import Extra, refuse_repository, refuse_unfinished, task
from cascli.session import iso, using
from cascli.world import World
from casstore import moments
from casstore.errors import Damaged, UsageError
from casstore.ids import SHORT, to_letters
from casstore.recovery.importing import Imported, Imports, OldBackup, Owner, Refused, What, import_backups


@click.command(
    "import",
    short_help="Turn old backups, folders named by their time, into snapshots.",
    epilog="\b\nExamples:\n  cas import backups --dry-run     what is there, and where does it belong?\n"
    "  cas import backups               20231102-103000-000Z (UTC), 20231102_103000 (this machine's clock)\n"
    "  TZ=UTC cas import backups        names without a Z are UTC as well\n\n"
    "Exit codes: 0 all is imported and proven · 3 something was skipped, or is not whole ·\n"
    "20 a snapshot is not what its folder holds.",
)
@click.argument("folder", type=FOLDER, metavar="FOLDER")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be imported.")
@common
@click.pass_obj
def command(options: Common, folder: str, dry_run: bool) -> int:
    """Import the old backups that lie in FOLDER: each becomes a snapshot at the time that its name tells.

    Files that the old backup threw together are put where the application has them. Then each snapshot is read back
    and compared with its folder byte by byte; for what is proven, and lacks nothing that the others have, the `rm -r`
    line is printed. Nothing is deleted. What was imported before is not imported again; a folder that changed since is
    skipped.
    """
    world = World(options)
    if world.found is None:
        raise UsageError(
            "there is no cas.toml here or above, which says whose backups these are",
            hint="Go to the folder of the application; `cas init PATH…` makes a cas.toml.",
        )
    place = _existing(folder)
    todo = task(world, (), Extra())
    refuse_unfinished(todo.origin)
    owner = Owner(os.fsencode(todo.origin), world.hostname, todo.name, todo.selection, todo.config)
    with using(world, writes=not dry_run) as repository, Display(options, "import") as display:
        refuse_repository(place, repository.never)
        done = import_backups(
            repository, place, owner, now_ns=world.now_ns, zone_at=world.zone_minutes, dry_run=dry_run,
            clock=time.time_ns, progress=display,
        )  # fmt: skip
        damaged = bool(repository.damaged)
    for refused in done.refused:
        _tell_refused(options, refused)
    for one in done.imported:
        _tell_findings(options, one)
    if options.json:
        render.lines(render.to_json(_fields(one)) for one in done.imported)
        render.out(render.to_json(_summary(done, dry_run=dry_run)))
    elif not options.quiet:
        render.lines(_told(done, place, dry_run=dry_run))
    if damaged or any(one.has_failed for one in done.imported):
        return Damaged.exit_code
    return INCOMPLETE if done.refused or any(one.is_incomplete for one in done.imported) else 0


def _existing(typed: str) -> Path:
    place = Path(typed).absolute() if typed else Path()
    if not typed or not place.is_dir():
        what = "is no folder" if typed and os.path.lexists(place) else "does not exist"
        raise UsageError(f"{render.name(typed) or 'an empty path'} {what}", hint="FOLDER holds the old backups.")
    return place.resolve()


def _told(done: Imports, place: Path, *, dry_run: bool) -> list[str]:
    if not done.imported:
        return [f"there is no old backup to import in {render.name(str(place))}"]
    lines = [_line(one) for one in done.imported]
    new = sum(one.is_new for one in done.imported)
    if dry_run:
        moved = sorted({pair for one in done.imported for pair in _moved(one.old)})
        lines += [f"{render.name(path)} belongs at {render.name(to)}" for path, to in moved]
        return [*lines, f"dry run, nothing stored: {new:,} to be imported, {len(done.imported) - new:,} there already"]
    proven = sum(one.is_proven for one in done.imported)
    lines.append(
        f"{new:,} imported, {len(done.imported) - new:,} there already; "
        f"{proven:,} of {len(done.imported):,} proven equal to their folders, byte by byte"
    )
    if removals := [_removal(one.old) for one in done.imported if one.is_done_with]:
        lines += ["", "cas deletes nothing. What is proven and lacks nothing you may remove:", *removals]
    return lines


def _line(one: Imported) -> str:
    old = one.old
    moment = moments.stamp(old.time_ns, old.zone_minutes)
    files = render.count(len(old.verdicts), "entry", "entries")
    if one.snapshot is None:
        return f"{render.name(old.name)}  {moment}  would be imported  {files}"
    letters = to_letters(one.snapshot.id)[:SHORT]
    if not one.is_new:
        return f"{render.name(old.name)}  {moment}  is there as {letters}  {files}"
    stored = f"({render.size(one.snapshot.size)}), stored {render.size(one.snapshot.stored)}"
    return f"{render.name(old.name)}  {moment}  imported as {letters}  {files} {stored}"


def _moved(old: OldBackup) -> list[tuple[bytes, bytes]]:
    return sorted((path, place) for path, place in old.places.items() if path != place)


def _removal(old: OldBackup) -> str:
    return f"rm -r {shell_quoted(str(old.folder))}"


def shell_quoted(text: str) -> str:
    """Quote a word for a shell; what commands a terminal is escaped as bash, zsh and POSIX 2024 read it: $'…'."""
    if text.isprintable():
        return shlex.quote(text)
    letters = (
        letter if letter.isprintable() and letter not in "\\'" else "".join(f"\\{b:03o}" for b in os.fsencode(letter))
        for letter in text
    )
    return f"$'{''.join(letters)}'"


def _tell_refused(options: Common, refused: Refused) -> None:
    if options.json:
        fields = {"message_type": "skipped", "folder": str(refused.folder), "reason": refused.reason}
        render.out(render.to_json(fields))
    else:
        note(options, f"skipped: {render.name(refused.folder.name)}: {render.name(refused.reason)}", "warning")


def _tell_findings(options: Common, one: Imported) -> None:
    if options.json:
        return  # they stand in its object
    for path, what, reason in one.findings:
        kind = "not saved" if what is What.UNSAVED else "NOT THE SAME"
        where = render.name(one.old.name + b"/" + path if path else one.old.name)
        note(options, f"{kind}: {where}: {render.name(reason)}", "warning")


def _fields(one: Imported) -> dict[str, object]:
    old = one.old
    fields: dict[str, object] = {
        "message_type": "old_backup",
        "folder": str(old.folder),
        "time": iso(old.time_ns, old.zone_minutes),
        "snapshot_id": to_letters(one.snapshot.id) if one.snapshot is not None else None,
        "new": one.is_new,
        "proven": one.is_proven,
        "moved": {os.fsdecode(path): os.fsdecode(place) for path, place in _moved(old)},
    }
    for name in ("torn", "missing", "links", "left_out", "unsure"):
        fields[name] = sorted(map(os.fsdecode, getattr(old, name)))
    fields["findings"] = [
        {**render.plain("path", path), "what": what.name.lower(), "reason": reason}
        for path, what, reason in one.findings
    ]
    return fields | ({"remove": _removal(old)} if one.is_done_with else {})


def _summary(done: Imports, *, dry_run: bool) -> dict[str, object]:
    imported = done.imported
    return {
        "message_type": "summary",
        "old_backups": len(imported),
        "new": sum(one.is_new for one in imported),
        "proven": sum(one.is_proven for one in imported),
        "incomplete": sum(one.is_incomplete for one in imported),
        "failed": sum(one.has_failed for one in imported),
        "skipped": len(done.refused),
        "dry_run": dry_run,
    }
