"""The journal of a swap: what will be done, written and synced before the first live name is touched.

A restore keeps all it does in one folder of its target, `.cas-restore-<random>` (0700), so that every move is a rename
on one file system:

    new/<n>       what takes a live name, whole and synced; after an exchange, what stood there before
    old/<n>       what was deleted, or had to be put aside
    foreign/<n>   what neither the restore nor the tree before it knows: somebody wrote while it lay interrupted
    journal       the steps; its name says how far things are

Order of writes: stage everything → one syncfs → read it back → pre-restore snapshot (in place) → `journal.part`,
fsync → rename to `journal`, fsync the folder → the steps → one syncfs → the record for a later undo → rename to
`done`, fsync → empty the folder, remove it. So

- without `journal` nothing live was touched: the folder is rubbish and the next restore removes it;
- with `journal` any subset of the steps may have happened, in memory or on disk. Each step is one atomic rename and
  says by inode what was to move where, so where a thing lies now tells whether its step happened: no progress is
  written, no order is relied on, and every step can be done or undone twice. Both directions are open from every
  state, and neither needs the repository: all that is new was verified and is here, all that was old still is;
- with `done` all live names are in one state and synced, and only what is not needed any more is left to remove. An
  undo ends in the same way.

A file is never written in place: at any moment its live name leads to the whole old or the whole new file. Modes,
owners and times of what stays where it is (folders, files whose bytes are equal) are set last; the journal holds both
versions. Nothing that the journal does not know is ever deleted: a file written after the crash is put into
`foreign/`, which stays, and is reported.

The journal is believed only if it and its folder belong to this user: else whoever may write into the target could
have root set modes and owners of his choice.

The record of the last finished restore of a target lies in this host's state folder and not in the target: there it
would be one more thing that an application finds among its data, that a deployment removes and that others may
forge. It needs no old bytes, since the pre-restore snapshot holds them; losing it costs the word `--undo`, not the
way back, which is `cas restore <id of the pre-restore snapshot>`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from enum import IntEnum
from os import stat_result
from typing import IO, Any

from casstore.entry import Entry, check_name
from casstore.errors import FormatDamaged, FormatTooNew
from casstore.format import record
from casstore.format.manifest import decode_entry, encode_entry
from casstore.values import dataclass

VERSION = 1
BUFFER = 1 << 20


class Action(IntEnum):
    """What a step does; END closes the journal."""

    END = 0
    DELETE = 1  # live → old/<n>
    PLACE = 2  # new/<n> → live, where nothing is
    REPLACE = 3  # new/<n> ⇄ live
    ATTRIBUTES = 4  # mode, owner, times, extended attributes of what stays


_LOW = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Which thing it is, and which state of it: what a rename carries along. `changed_ns` 0 is not compared."""

    kind: int
    inode: int
    size: int
    modified_ns: int  # its low 63 bits: no record holds more, and this is only compared
    changed_ns: int

    @classmethod
    def of(cls, status: stat_result) -> Identity:
        """Take down what stands there. A folder is itself whatever is in it; other names of a file bend its ctime."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            return cls(kind, status.st_ino, 0, 0, 0)
        changed = status.st_ctime_ns if status.st_nlink == 1 else 0
        return cls(kind, status.st_ino, status.st_size, status.st_mtime_ns & _LOW, changed)

    def is_at(self, status: stat_result | None) -> bool:
        """Whether it is that thing, in whatever state."""
        return status is not None and (stat.S_IFMT(status.st_mode), status.st_ino) == (self.kind, self.inode)

    def holds(self, status: stat_result | None) -> bool:
        """Whether it is that thing and nobody wrote to it; for what was not moved, since a rename bends the ctime."""
        return self.is_kept(status) and (
            not self.changed_ns or (status is not None and status.st_ctime_ns == self.changed_ns)
        )

    def is_kept(self, status: stat_result | None) -> bool:
        """Whether it is that thing with the size and the time of then, wherever it was moved."""
        if status is None or not self.is_at(status):
            return False
        return self.kind == stat.S_IFDIR or (status.st_size, status.st_mtime_ns & _LOW) == (self.size, self.modified_ns)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `new` is what is staged, `old` what stands at the live path before."""

    action: Action
    number: int
    path: bytes
    new: Identity | None = None
    old: Identity | None = None
    after: Entry | None = None
    before: Entry | None = None

    def encode(self) -> bytes:
        """Give its record."""
        fields: list[Any] = [int(self.action), self.number, self.path]
        for identity in (self.new, self.old):
            fields.append(
                [identity.kind, identity.inode, identity.size, identity.modified_ns, identity.changed_ns]
                if identity
                else []
            )
        for entry in (self.after, self.before):
            fields.append(encode_entry(entry) if entry else b"")
        return record.encode(fields)


@dataclass(frozen=True, slots=True)
class Header:
    """Which restore this is. Ids are raw; `paths` is what was asked for, () for all; times in ns."""

    repository: bytes
    snapshot: bytes
    number: int
    pre_restore: bytes  # b"" without one
    pre_restore_number: int
    in_place: bool
    started_ns: int
    target: bytes
    paths: tuple[bytes, ...]
    modified_ns: int  # of the target itself, for going back

    def encode(self) -> bytes:
        """Give its record."""
        return record.encode(
            {
                0: VERSION, 1: self.repository, 2: self.snapshot, 3: self.number, 4: self.pre_restore,
                5: self.pre_restore_number, 6: int(self.in_place), 7: self.started_ns, 8: self.target,
                9: list(self.paths), 10: max(-_LOW, min(self.modified_ns, _LOW)),
            }
        )  # fmt: skip

    @classmethod
    def decode(cls, value: Any) -> Header:
        """Read its record.

        Raises:
            FormatDamaged: it is none. FormatTooNew: a newer version of cas wrote it.
        """
        known = {0: int, 1: bytes, 2: bytes, 3: int, 4: bytes, 5: int, 6: int, 7: int, 8: bytes, 9: list, 10: int}
        fields = record.check_map(value, known, "journal")
        if record.need(fields, 0, "journal") != VERSION:
            raise FormatTooNew("the journal of a restore was written by a newer version of cas")
        _, repository, snapshot, number, before, before_number, in_place, started, target, paths, modified = (
            record.need(fields, key, "journal") for key in known
        )
        if any(type(path) is not bytes for path in paths):
            raise FormatDamaged("the journal of a restore has paths that are none")
        return cls(
            repository, snapshot, number, before, before_number, bool(in_place), started, target, tuple(paths),
            modified,
        )  # fmt: skip


def end(count: int) -> bytes:
    """Give the record that says that these were all the steps: a journal without it says nothing."""
    return record.encode([int(Action.END), count, b"", [], [], b"", b""])


def read_header(file: IO[bytes]) -> Header:
    """Read what stands before the steps.

    Raises:
        FormatDamaged: it is no journal.
    """
    file.seek(0)
    return Header.decode(next(_records(file), None))


def read_steps(file: IO[bytes], *actions: Action) -> Iterator[Step]:
    """Yield the steps of these kinds (all without any) in the order they were written.

    Raises:
        FormatDamaged: something in it is no step, or its end is missing.
    """
    file.seek(0)
    records = _records(file)
    next(records, None)
    for count, value in enumerate(records):
        action = _action(value)
        if action is Action.END:
            if value[1] != count or next(records, None) is not None:
                raise FormatDamaged("the journal of a restore does not end where it says")
            return
        if not actions or action in actions:
            yield _step(action, value)
    raise FormatDamaged("the journal of a restore has no end")


def read_spooled(file: IO[bytes], *actions: Action) -> Iterator[Step]:
    """Yield the steps of these kinds from a file that holds nothing but steps."""
    file.seek(0)
    for value in _records(file):
        action = _action(value)
        if action in actions:
            yield _step(action, value)


def _records(file: IO[bytes]) -> Iterator[Any]:
    return record.decode_sequence(iter(lambda: file.read(BUFFER), b""), "journal step")


def _action(value: Any) -> Action:
    if type(value) is not list or [type(item) for item in value] != [int, int, bytes, list, list, bytes, bytes]:
        raise FormatDamaged("the journal of a restore has a step that is none")
    try:
        return Action(value[0])
    except ValueError:
        raise FormatDamaged("the journal of a restore has a step of an unknown kind") from None


def _step(action: Action, value: list[Any]) -> Step:
    path = value[2]
    if path or action is not Action.ATTRIBUTES:  # the target itself has attributes, but never moves
        for name in path.split(b"/"):
            check_name(name)
    parent = path.rpartition(b"/")[0]
    after, before = (decode_entry(parent, record.decode(item)) if item else None for item in value[5:])
    return Step(action, value[1], path, _identity(value[3]), _identity(value[4]), after, before)


def _identity(value: list[Any]) -> Identity | None:
    if not value:
        return None
    if [type(item) for item in value] != [int] * 5:
        raise FormatDamaged("the journal of a restore has an identity that is none")
    return Identity(*value)
