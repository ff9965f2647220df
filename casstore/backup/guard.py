"""Is this the backup of a disaster? What guarded files lost: JSON, and what is declared to be only appended to.

Only entries that changed, came or went are looked at, while the tree is walked; what was lost is decided behind it.
What is no loss: a file that was moved (its bytes stand in another that came or changed); a log that was rotated, or
copied and truncated (they begin another); a path that is only no longer selected (it is still there). An application
that keeps a copy of its JSON and wipes the original has lost it all the same: it reads the original.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from casstore.backup.torn import is_json
from casstore.entry import Entry, Kind, Root
from casstore.errors import Damaged
from casstore.losses import Guarded, How, Loss
from casstore.repository import Repository
from casstore.selection import Selection

BARE = 3  # bytes: what is no longer than `{}` and a newline held nothing to lose
MANY = 50_000  # so many entries that came, and so many that lost, are remembered; of more the worst is believed
MOST_TRIED = 2_000  # so many pairs of a log and what may be its copy are compared


class Guard:
    """Told of entries by the walk; `decide` says what was lost."""

    def __init__(self, selection: Selection, *, expects: Callable[[bytes], bool]) -> None:
        """`expects`: paths whose loss is no news."""
        self.on = False  # until there is something to compare with
        self._selection, self._expects = selection, expects
        self._doubtful: list[tuple[Loss, Root]] = []
        self._beyond = 0  # losses that were too many to remember
        self._came: dict[Root, None] = {}
        self._beside: dict[Root, None] = {}  # entries that stayed, in folders of logs that lost something
        self._tried = 0

    # ── while the tree is walked ──

    def came(self, before: Entry | None, entry: Entry, objects: tuple[int, int], is_bare: bool) -> bool:
        """Take an entry that was read; give whether it is a log that lost something.

        `objects`: how many the file held and holds, -1 if not counted; `is_bare`: it is `{}` or `[]`.
        """
        if not self.on or (before is not None and before.content == entry.content and before.kind is entry.kind):
            return False
        if entry.content.length and len(self._came) < MANY:
            self._came[entry.content] = None
        if before is None:
            return False
        loss = _loss(before, entry, objects, is_bare)
        return loss is not None and self._suspect(before, loss)

    def went(self, before: Entry) -> bool:
        """Take an entry that is no more; give whether it is a log."""
        return self.on and held(before) and self._suspect(before, Loss(before.path, How.VANISHED, before.size, 0))

    def stayed(self, entries: Iterable[Entry]) -> None:
        """Take the entries that did not change, in the folder of a log that lost something."""
        roots = (entry.content for entry in entries if entry.content.length)
        self._beside.update(dict.fromkeys(islice(roots, MANY - len(self._beside))))

    def _suspect(self, before: Entry, loss: Loss) -> bool:
        grows = self._selection.grows(before.path)
        if not (grows or is_json(before.path)) or self._expects(before.path):
            return False
        if len(self._doubtful) < MANY:
            self._doubtful.append((loss, before.content))
        else:
            self._beyond += 1
        return grows

    # ── behind the walk ──

    @property
    def has_doubts(self) -> bool:
        """Whether anything may have been lost."""
        return bool(self._doubtful)

    def decide(self, repository: Repository, origin: bytes, since: int) -> Guarded | None:
        """Say what was lost since the snapshot of that number; all that came must be readable by now."""
        lost = sorted(loss for loss, root in self._doubtful if not self._is_elsewhere(repository, origin, loss, root))
        total = len(lost) + self._beyond
        return Guarded(since, total, tuple(lost)) if lost and since else None

    def _is_elsewhere(self, repository: Repository, origin: bytes, loss: Loss, root: Root) -> bool:
        if loss.how is How.VANISHED:
            if root in self._came:
                return True
            try:
                if stat.S_ISREG(os.lstat(os.path.join(origin, loss.path)).st_mode):
                    return True  # there, and left out on purpose
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:
                return True  # nobody can say, and why it is not saved was told
        if not self._selection.grows(loss.path):
            return False
        if root in self._came or root in self._beside:
            return True
        return any(begins(repository, root, other) for other in self._may_be_copies(root))

    def _may_be_copies(self, root: Root) -> Iterator[Root]:
        for other in (*self._came, *self._beside):
            if other.length >= root.length:
                self._tried += 1
                if self._tried > MOST_TRIED:
                    return
                yield other


def held(entry: Entry) -> bool:
    """Whether there is something in it to lose."""
    return entry.kind is Kind.FILE and entry.size > BARE


def _loss(before: Entry, entry: Entry, objects: tuple[int, int], is_bare: bool) -> Loss | None:
    if not held(before):
        return None
    if entry.kind is not Kind.FILE:
        return Loss(before.path, How.VANISHED, before.size, 0)
    how = None
    if not entry.size:
        how = How.EMPTY
    elif is_bare:
        how = How.BARE
    elif entry.size * 2 < before.size:
        how = How.SHRANK
    elif 0 <= objects[1] * 2 < objects[0]:
        return Loss(before.path, How.THINNED, *objects)
    return None if how is None else Loss(before.path, how, before.size, entry.size)


def begins(repository: Repository, root: Root, other: Root) -> bool:
    """Whether the stream of `other` begins with that of `root`.

    All chunks but the last are then alike, since cuts depend on what stands before them; and where the last one was
    ended by the end of the stream, the other's goes on.
    """
    try:
        chunks, theirs = repository.chunks, repository.chunks.expand(other)
        mine = chunks.expand(root)
        for chunk in mine:
            same = next(theirs, None)
            if same is None:
                return False
            if same != chunk:
                return next(mine, None) is None and chunks.get(same).startswith(chunks.get(chunk))
    except Damaged:  # a dry run stores nothing that could be compared
        return False
    return True
