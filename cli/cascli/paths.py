"""Paths as users type them, and entries as they are shown."""

from __future__ import annotations

import os
from pathlib import Path

from cascli import render
from casstore import moments
from casstore.entry import Entry, Kind
from casstore.errors import UsageError
from casstore.snapshot import Snapshot

_LETTERS = {
    Kind.FILE: "-", Kind.FOLDER: "d", Kind.SYMLINK: "l", Kind.FIFO: "p",
    Kind.CHARACTER_DEVICE: "c", Kind.BLOCK_DEVICE: "b",
}  # fmt: skip
WORDS = {
    Kind.FILE: "file", Kind.FOLDER: "dir", Kind.SYMLINK: "symlink", Kind.FIFO: "fifo",
    Kind.CHARACTER_DEVICE: "chardev", Kind.BLOCK_DEVICE: "dev",
}  # fmt: skip  # restic's words


def inside(snapshot: Snapshot, typed: str) -> bytes:
    """Turn a typed path into one relative to the origin: relative ones are, absolute ones lie below it, `/` is all.

    Raises:
        UsageError: it is empty, as an unset variable is, or leads out of the snapshot.
    """
    raw = os.fsencode(typed)
    if not raw:
        raise UsageError("a path is empty", hint="The whole snapshot is `.`.")
    if raw.startswith(b"/"):
        origin = snapshot.origin.rstrip(b"/")
        if raw.strip(b"/") and raw.rstrip(b"/") != origin and not raw.startswith(origin + b"/"):
            raise UsageError(
                f"{render.name(raw)} is not inside {render.name(snapshot.origin)}, the folder of this snapshot",
                hint="Paths in a snapshot are relative to that folder.",
            )
        raw = raw[len(origin) :]
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UsageError(f"{render.name(raw)} leads out of the snapshot", hint="Paths in a snapshot hold no `..`.")
    return b"/".join(parts)


def below(path: bytes, folder: bytes) -> bool:
    """Whether a path is `folder` or lies in it."""
    return not folder or path == folder or path.startswith(folder + b"/")


def long_line(entry: Entry, zone_minutes: int) -> list[str]:
    """Give the columns of `ls -l`."""
    owner = render.name(entry.user) or str(entry.uid)
    group = render.name(entry.group) or str(entry.gid)
    size = str(entry.size) if entry.kind is Kind.FILE else _device(entry) or "-"
    return [permissions(entry), owner, group, size, moments.stamp(entry.mtime_ns, zone_minutes), shown(entry, True)]


def shown(entry: Entry, with_target: bool = False) -> str:
    """Give a path as it is listed: folders end in a slash, symlinks may show where they lead."""
    text = render.name(entry.path)
    if entry.kind is Kind.FOLDER:
        return text + "/"
    return f"{text} -> {render.name(entry.target)}" if with_target and entry.kind is Kind.SYMLINK else text


def permissions(entry: Entry) -> str:
    """Give the ten letters of `ls -l`."""
    letters = [_LETTERS[entry.kind]]
    for shift, special, mark in ((6, 0o4000, "s"), (3, 0o2000, "s"), (0, 0o1000, "t")):
        bits = entry.mode >> shift
        letters += ["r" if bits & 4 else "-", "w" if bits & 2 else "-"]
        execute = bool(bits & 1)
        letters.append((mark if execute else mark.upper()) if entry.mode & special else "x" if execute else "-")
    return "".join(letters)


def fields(entry: Entry, zone_minutes: int) -> dict[str, object]:
    """Give an entry as restic's JSON does, with what is ours beside it."""
    from cascli.session import iso

    found: dict[str, object] = {
        **render.plain("name", entry.name), "type": WORDS[entry.kind], **render.plain("path", entry.path),
        "uid": entry.uid, "gid": entry.gid, **render.plain("user", entry.user), **render.plain("group", entry.group),
        "mode": entry.mode, "permissions": permissions(entry), "mtime": iso(entry.mtime_ns, zone_minutes),
        "mtime_ns": entry.mtime_ns,
    }  # fmt: skip
    if entry.kind is Kind.FILE:
        found["size"] = entry.size
        if entry.extents is not None:
            found["sparse"] = True
        if entry.proven_ns:
            found["proven"] = iso(entry.proven_ns, zone_minutes)
    if entry.kind is Kind.SYMLINK:
        found |= render.plain("linktarget", entry.target)
    if entry.torn:
        found["torn"] = True
    return found


def _device(entry: Entry) -> str:
    if entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        return f"{os.major(entry.device)},{os.minor(entry.device)}"
    return ""


def absolute(typed: str) -> Path:
    """Give the absolute path without resolving a symlink at its end (it may itself be what is meant)."""
    path = Path(os.path.normpath(Path(typed).absolute()))
    return path.parent.resolve() / path.name if path.name else path
