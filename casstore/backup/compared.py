"""A folder as its row of the cache has it, and as it is seen now: what is compared, and what the next backup finds."""

from __future__ import annotations

import marshal
import os
from dataclasses import field
from typing import Any

from casstore.backup.growing import Facts, Inode
from casstore.entry import Entry, Kind
from casstore.format.manifest import decode_block, encode_entry
from casstore.rows import FolderRow
from casstore.values import dataclass

State = tuple[bytes, int, int, int, int, int, int]  # name, mode, device, inode, size, mtime, ctime


@dataclass(slots=True)
class Remembered:
    """What a row keeps of the last reading; `is_lost`: only of what the manifest tells."""

    entries: dict[bytes, Entry] = field(default_factory=dict)  # by name
    due_ns: dict[State, int] = field(default_factory=dict)  # until when an entry counts as it was read
    logs: dict[Inode, Facts] = field(default_factory=dict)
    objects: dict[bytes, int] = field(default_factory=dict)  # in files of JSON, by name
    is_lost: bool = False

    @classmethod
    def of(cls, folder: bytes, row: FolderRow | None) -> Remembered:
        """Read a row."""
        if row is None:
            return cls()
        entries = {entry.name: entry for entry in decode_block(folder, row.block)}
        if not row.counts:
            return cls(entries, is_lost=True)
        states, (*_, dues, logs, objects) = marshal.loads(row.states), marshal.loads(row.counts)
        counted = {state[0]: count for state, count in zip(states, objects, strict=True) if count >= 0}
        return cls(entries, dict(zip(states, dues, strict=True)), logs, counted)


@dataclass(slots=True)
class Gathered:
    """What was seen of a folder, entry by entry; `stayed` was taken over unread."""

    lines: list[bytes] = field(default_factory=list)  # encoded entries
    states: list[State] = field(default_factory=list)
    dues: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    stayed: list[Entry] = field(default_factory=list)
    files: int = 0
    folders: int = 0
    others: int = 0
    size: int = 0

    def take(self, entry: Entry, state: State, due_ns: int, objects: int) -> None:
        """Add an entry."""
        if entry.kind is Kind.FILE:
            self.files += 1
            self.size += entry.size
        elif entry.is_folder:
            self.folders += 1
        else:
            self.others += 1
        self.lines.append(encode_entry(entry))
        self.states.append(state)
        self.dues.append(due_ns)
        self.objects.append(objects)

    def row(self, states: bytes | None, block: bytes, due_ns: int, logs: dict[Inode, Facts]) -> FolderRow:
        """Give the row; `states` are the encoded ones if they are at hand, `due_ns` counts for an empty folder."""
        counts = self.files, self.folders, self.others, self.size, self.dues, logs, self.objects
        encoded = encode_states(self.states) if states is None else states
        return FolderRow(encoded, min(self.dues, default=due_ns), block, marshal.dumps(counts, 2))


def encode_states(states: list[State]) -> bytes:
    """Give the bytes by which a folder is known to be as it was: equal states, equal bytes."""
    return marshal.dumps(states, 2)


def state_of(name: bytes, s: os.stat_result) -> State:
    """Give all by which a change of an entry shows."""
    return name, s.st_mode, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def of_manifest(block: bytes) -> FolderRow:
    """Give the row of a folder of which only its block is known."""
    return FolderRow(encode_states([]), 0, block, b"")


def counted_in(row: FolderRow) -> tuple[int, int, int, int]:
    """Give how many files, folders and other entries a folder had, and the bytes of its files."""
    counts: tuple[Any, ...] = marshal.loads(row.counts)
    return counts[0], counts[1], counts[2], counts[3]
