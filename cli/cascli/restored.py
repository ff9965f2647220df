"""What a restore did, in words and as JSON."""

from __future__ import annotations

import time
from pathlib import Path

from cascli import render
from cascli.codes import INCOMPLETE
from cascli.display import note
from cascli.world import World
from casstore.errors import Damaged
from casstore.ids import SHORT, to_letters
from casstore.restore import Recovered, Restored


def ended(world: World, done: Restored, *, told: bool = False) -> int:
    """Give the exit code of a restore that came to its end; says what it did, unless `told`, and what failed."""
    duration_ns = time.time_ns() - world.now_ns
    if not told and world.options.json:
        render.out(render.to_json(restored_fields(done, duration_ns)))
    elif not told and not world.options.quiet:
        render.lines(restored_lines(done, duration_ns))
    if done.damaged:
        note(world.options, f"{render.count(len(done.damaged), 'path')} could not be restored whole: damage", "warning")
        return Damaged.exit_code
    if done.problems:
        words = f"{render.count(done.problems, 'thing')} could not be restored whole; all else is."
        note(world.options, words, "warning")
        return INCOMPLETE
    return 0


def restored_lines(done: Restored, duration_ns: int) -> list[str]:
    """Tell a restore that came to its end."""
    if not (done.new or done.replaced or done.attributes or done.deleted or done.problems):
        return [f"nothing to do: {render.name(str(done.target))} is as in the snapshot"]
    deleted = f", {done.deleted:,} deleted" if done.deleted else ""
    lines = [
        f"restored {to_letters(done.snapshot.id)[:SHORT]} in {render.name(str(done.target))}: {done.new:,} new, "
        f"{done.replaced:,} replaced{deleted}, {done.unchanged:,} unchanged; "
        f"wrote {render.size(done.total_bytes)} in {render.duration(duration_ns)}"
    ]
    if done.pre_restore is not None:
        saved = to_letters(done.pre_restore.id)[:SHORT]
        lines.append(f"what was there before is snapshot {saved}; `cas restore --undo` goes back to it")
    return lines


def restored_fields(done: Restored, duration_ns: int) -> dict[str, object]:
    """Give restic's summary of a restore, and what is ours beside it."""
    return {
        "message_type": "summary",
        "snapshot_id": to_letters(done.snapshot.id),
        "target": str(done.target),
        "files_restored": done.files,
        "bytes_restored": done.total_bytes,
        "new": done.new,
        "replaced": done.replaced,
        "attributes": done.attributes,
        "files_deleted": done.deleted,
        "unchanged": done.unchanged,
        "problems": done.problems,
        "damaged": [render.plain("path", path) | {"reason": reason} for path, reason in done.damaged],
        "pre_restore": to_letters(done.pre_restore.id) if done.pre_restore is not None else None,
        "total_duration": duration_ns / 1e9,
    }


def recovered_lines(done: Recovered, place: Path, *, forward: bool) -> list[str]:
    """Tell an interrupted restore that was brought to one of its two ends."""
    shown = render.name(str(place))
    lines = [f"the restore in {shown} is finished" if forward else f"{shown} is as it was before the restore"]
    if done.kept is not None:
        lines.append(f"files that were written meanwhile are kept in {render.name(str(done.kept))}")
    return lines
