"""`cas log`: how a file, or one record in it, changed through the snapshots."""

from __future__ import annotations

import click

from cascli import render
from cascli.codes import INCOMPLETE
from cascli.options import FILE, Common, common
from cascli.paths import WORDS, inside
from cascli.recorded import field_fields, field_names
from cascli.session import iso, own_snapshots, using
from cascli.world import World
from casstore import moments
from casstore.diff import ADDED, MODIFIED, REMOVED
from casstore.entry import Entry, Kind
from casstore.errors import CasError, Damaged
from casstore.ids import SHORT, to_letters
from casstore.recovery.history import Turn, Version, record_turns, versions
from casstore.recovery.records import RecordMissing, Which
from casstore.repository import Repository
from casstore.snapshot import Snapshot

_WORDS = {ADDED: "added", MODIFIED: "changed", REMOVED: "removed", "": "unreadable"}


@click.command(
    "log",
    short_help="Tell how a file, or one record in it, changed through the snapshots.",
    epilog="\b\nExamples:\n  cas log data/users.json\n  cas log data/users.json --record id=usr_42\n"
    "  cas log data/users.json --record usr_42 --json\n\n"
    "Exit codes: 0 · 3 a version is no whole JSON · 20 a version is damaged in the repository.",
)
@click.argument("path", type=FILE)
@click.option(
    "--record", metavar="[FIELD=]VALUE", help="Only this record of a JSON array, or of an object by field or key."
)
@common
@click.pass_obj
def command(options: Common, path: str, record: str | None) -> int:
    """List the versions of PATH, oldest first; a snapshot in which it is as in the one before is passed over.

    With --record the history of one record: when it came, which of its fields changed, when it went.
    """
    which = Which.parse(record) if record is not None else None
    world = World(options)
    with using(world) as repository:
        snapshots = sorted(own_snapshots(world, repository), key=lambda one: (one.time_ns, one.number))
        if not snapshots:
            raise CasError("there is no snapshot yet", hint="`cas backup` takes one.")
        wanted = inside(snapshots[-1], path)
        if which is None:
            return _tell_versions(options, repository, snapshots, wanted)
        return _tell_record(options, repository, snapshots, wanted, which)


def _tell_versions(options: Common, repository: Repository, snapshots: list[Snapshot], path: bytes) -> int:
    count, damaged, last = 0, False, None
    for version in versions(repository, snapshots, path):
        count += version.trouble is None
        damaged = damaged or version.trouble is not None
        render.out(_version_json(version, path) if options.json else _version_line(version, last))
        if version.trouble is None:
            last = version.entry
    if not (count or damaged):
        raise _never(path)
    return Damaged.exit_code if damaged else 0


def _tell_record(options: Common, repository: Repository, snapshots: list[Snapshot], path: bytes, which: Which) -> int:
    count, code = 0, 0
    for turn in record_turns(repository, snapshots, path, which):
        count += 1
        if turn.trouble is not None:
            code = max(code, Damaged.exit_code if isinstance(turn.trouble, Damaged) else INCOMPLETE)
        render.out(_turn_json(turn, path, which) if options.json else _turn_line(turn))
    if not count:
        if all(version.entry is None for version in versions(repository, snapshots, path)):
            raise _never(path)
        raise RecordMissing(
            f"no snapshot holds a record {which} in {render.name(path)}",
            hint="FIELD=VALUE as it stands in the file: `--record id=usr_42`; a key alone: `--record usr_42`.",
        )
    return code


def _never(path: bytes) -> CasError:
    return CasError(
        f"no snapshot holds {render.name(path)}",
        hint="Paths are relative to the folder of the snapshots; see `cas ls`.",
    )


def _head(snapshot: Snapshot) -> str:
    kind = "  pre-restore" if snapshot.pre_restore else ""
    return f"{to_letters(snapshot.id)[:SHORT]}  {moments.stamp(snapshot.time_ns, snapshot.zone_minutes)}{kind}"


def _version_line(version: Version, last: Entry | None) -> str:
    entry = version.entry
    if version.trouble is not None:
        said = f"unreadable: {render.printable(str(version.trouble))}"
    elif entry is None:
        said = "gone"
    elif entry.kind is not Kind.FILE:
        said = WORDS[entry.kind]
    else:
        grown = entry.size - last.size if last is not None else 0
        said = render.size(entry.size) + (f" ({'+' if grown > 0 else '-'}{render.size(abs(grown))})" if grown else "")
    torn = "  torn" if entry is not None and entry.torn else ""
    return f"{_head(version.snapshot)}  {said}{torn}"


def _turn_line(turn: Turn) -> str:
    said = _WORDS[turn.letter]
    if turn.trouble is not None:
        said += f": {render.printable(str(turn.trouble))}"
    elif turn.fields:
        said += f"  {field_names(turn.fields)}"
    return f"{_head(turn.snapshot)}  {said}"


def _fields(snapshot: Snapshot, path: bytes) -> dict[str, object]:
    letters = to_letters(snapshot.id)
    return {
        "snapshot_id": letters, "short_id": letters[:SHORT], "time": iso(snapshot.time_ns, snapshot.zone_minutes),
        "pre_restore": snapshot.pre_restore, **render.plain("path", path),
    }  # fmt: skip


def _version_json(version: Version, path: bytes) -> str:
    fields: dict[str, object] = {"message_type": "version", **_fields(version.snapshot, path)}
    entry = version.entry
    if version.trouble is not None:
        fields["trouble"] = str(version.trouble)
    elif entry is None:
        fields["type"] = None
    else:
        zone = version.snapshot.zone_minutes
        fields |= {
            "type": WORDS[entry.kind],
            "size": entry.size,
            "mtime": iso(entry.mtime_ns, zone),
            "torn": entry.torn,
        }
    return render.to_json(fields)


def _turn_json(turn: Turn, path: bytes, which: Which) -> str:
    fields = {"message_type": "record", **_fields(turn.snapshot, path), "record": str(which)}
    fields["change"] = _WORDS[turn.letter]
    if turn.trouble is not None:
        return render.to_json(fields | {"trouble": str(turn.trouble)})
    return render.to_json(fields | {"fields": [field_fields(field, masked=True) for field in turn.fields]})
