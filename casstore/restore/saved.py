"""What the pre-restore snapshot holds: nothing that it does not is replaced or deleted."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from casstore.diff import order
from casstore.entry import Entry, Kind
from casstore.errors import CasError
from casstore.restore.attributes import KINDS
from casstore.restore.journal import Step
from casstore.selection import Chooser


class NotSaved(CasError):
    """Files would be replaced that the pre-restore snapshot does not hold as they are."""

    hint = (
        "Stop what writes there, move them away, or take the rule back that leaves them out of backups; "
        "nothing was touched."
    )


def extras(live: Iterable[Entry], wanted: Iterable[Entry], chooser: Chooser) -> Iterator[Entry]:
    """Yield what is asked for and stands on the live side only; both sides come in manifest order, and so does this."""
    others = iter(wanted)
    other = next(others, None)
    whole: set[bytes] = set()
    for entry in live:
        key = order(entry.path)
        while other is not None and order(other.path) < key:
            other = next(others, None)
        taken = chooser.everything or entry.path.rpartition(b"/")[0] in whole
        if not taken and chooser.choose(entry.path) == Chooser.TAKE:
            taken = True
        if taken and entry.is_folder and not chooser.everything:
            whole.add(entry.path)
        if taken and (other is None or other.path != entry.path):
            yield entry


def common(some: Iterable[Entry], others: Iterable[Entry]) -> Iterator[Entry]:
    """Yield those of `some` whose paths are among the others; all in manifest order."""
    rest = iter(others)
    other = next(rest, None)
    for entry in some:
        key = order(entry.path)
        while other is not None and order(other.path) < key:
            other = next(rest, None)
        if other is not None and other.path == entry.path:
            yield entry


def unsaved(replaced: Iterable[Step], linked: dict[bytes, Step], saved: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the paths of steps whose live thing the snapshot does not hold as it was found.

    `replaced` comes in manifest order; `linked` are those that do not. Sockets hold nothing, nor does a folder, which
    is only replaced when it is empty.
    """
    steps = iter(replaced)
    step = next(steps, None)
    for entry in saved:
        while step is not None and order(step.path) < order(entry.path):
            if not _is_saved(step, None):
                yield step.path
            step = next(steps, None)
        if step is not None and step.path == entry.path:
            if not _is_saved(step, entry):
                yield step.path
            step = next(steps, None)
        elif entry.path in linked and not _is_saved(linked.pop(entry.path), entry):
            yield entry.path
    while step is not None:
        if not _is_saved(step, None):
            yield step.path
        step = next(steps, None)
    yield from (path for path, left in linked.items() if not _is_saved(left, None))


def _is_saved(step: Step, entry: Entry | None) -> bool:
    old = step.old
    if old is None or old.kind in (stat.S_IFSOCK, stat.S_IFDIR):
        return True
    if entry is None or KINDS.get(old.kind) is not entry.kind:
        return False
    return entry.kind is not Kind.FILE or (old.size, old.modified_ns) == (entry.size, entry.mtime_ns)
