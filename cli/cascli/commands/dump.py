"""`cas dump`: bytes to stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import IO

import click

from cascli import render
from cascli.options import FILE, MOMENT, Common, common
from cascli.paths import inside
from cascli.session import announce, choose, using
from cascli.world import World
from casstore.entry import Entry, Kind
from casstore.errors import CasError, UsageError
from casstore.repository import Repository

ZEROS = bytes(1 << 20)


@click.command(
    "dump",
    short_help="Write a file of a snapshot to stdout, or a folder as tar.",
    epilog="\b\nExamples:\n  cas dump latest data/users.json | jq .\n  cas dump '2 hours ago' data > data.tar",
)
@click.argument("snapshot", type=MOMENT, metavar="SNAPSHOT")
@click.argument("path", type=FILE)
@common
@click.pass_obj
def command(options: Common, snapshot: str, path: str) -> None:
    """Write PATH of SNAPSHOT to stdout: a file as it is, a folder (or `.`) as tar. Every byte is verified first."""
    world = World(options)
    with using(world) as repository:
        chosen = choose(world, repository, snapshot)
        announce(world, chosen)
        wanted = inside(chosen, path)
        entries = repository.entries(chosen, wanted)
        first = next((entry for entry in entries if not wanted or entry.path == wanted), None)
        if first is None and wanted:
            raise CasError(f"{render.name(wanted)} is not in this snapshot", hint="`cas ls SNAPSHOT` lists what is.")
        out = sys.stdout.buffer
        if first is not None and wanted and first.kind is Kind.FILE:
            for piece in content(repository, first):
                out.write(piece)
        elif wanted and first is not None and not first.is_folder:
            raise CasError(f"{render.name(wanted)} has no bytes of its own: it is a {first.kind.name.lower()}")
        else:
            if out.isatty():
                raise UsageError("a tar file would go to the terminal", hint="Add `> FILE` or `| tar -x`.")
            write_tar(repository, repository.entries(chosen, wanted), wanted.rpartition(b"/")[0], out)
        out.flush()


def content(repository: Repository, entry: Entry) -> Iterator[bytes]:
    """Yield a file's bytes, the holes of a sparse one too."""
    pieces = repository.read(entry.content)
    if entry.extents is None:
        yield from pieces
        return
    at, rest = 0, b""
    for offset, length in entry.extents:
        yield from _zeros(offset - at)
        at = offset + length
        while length:
            rest = rest or next(pieces)
            yield rest[:length]
            length, rest = length - len(rest[:length]), rest[length:]
    yield from _zeros(entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield ZEROS[:count]
        count -= len(ZEROS)


def write_tar(repository: Repository, entries: Iterator[Entry], above: bytes, out: IO[bytes]) -> None:
    """Write entries as a POSIX tar, with names relative to the folder `above`."""
    import tarfile

    links: dict[bytes, str] = {}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry in entries:
            info = tarfile.TarInfo(os.fsdecode(entry.path[len(above) + 1 if above else 0 :]))
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            info.uname, info.gname = os.fsdecode(entry.user), os.fsdecode(entry.group)
            info.mtime = entry.mtime_ns // 10**9
            info.pax_headers = _extended(entry)
            if entry.kind is Kind.FILE and entry.link in links:
                info.type, info.linkname = tarfile.LNKTYPE, links[entry.link]
                tar.addfile(info)
            elif entry.kind is Kind.FILE:
                info.size = entry.size
                if entry.link:
                    links[entry.link] = info.name
                tar.addfile(info, _Reading(content(repository, entry)))
            else:
                info.type = _TYPES[entry.kind]
                info.linkname = os.fsdecode(entry.target)
                info.devmajor, info.devminor = os.major(entry.device), os.minor(entry.device)
                tar.addfile(info)


_TYPES = {
    Kind.FOLDER: b"5",
    Kind.SYMLINK: b"2",
    Kind.FIFO: b"6",
    Kind.CHARACTER_DEVICE: b"3",
    Kind.BLOCK_DEVICE: b"4",
}


def _extended(entry: Entry) -> dict[str, str]:
    """Give the pax headers: a time to the ns, which a float could not hold, and extended attributes as GNU tar has."""
    found = {"mtime": _seconds(entry.mtime_ns)} if entry.mtime_ns % 10**9 else {}
    return found | {f"SCHILY.xattr.{os.fsdecode(name)}": os.fsdecode(value) for name, value in entry.xattrs}


def _seconds(ns: int) -> str:
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 10**9}.{ns % 10**9:09}"


class _Reading:
    """Pieces as the file that tarfile copies from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
