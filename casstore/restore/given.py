"""A live file with other content, made by the caller of its own bytes: what `rewrite` restores instead of a snapshot's.

Everything but the content stays as it is: mode, owner and extended attributes. What the caller saw is what must still
stand there when it is replaced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from casstore.entry import Entry, Root
from casstore.errors import CasError
from casstore.format.blob import DATA
from casstore.ids import ChunkId
from casstore.repository import Repository
from casstore.restore.attributes import describe
from casstore.restore.ground import Ground
from casstore.restore.journal import Identity
from casstore.values import dataclass

Revise = Callable[[bytes], bytes]


class NothingToRewrite(CasError):
    """There is no live file of that name whose content could be changed."""

    hint = "Restore the whole file: `cas restore SNAPSHOT PATH`."


@dataclass(frozen=True, slots=True)
class Given:
    """A file to be written. `blocks` are the entries of it and of the folders on the way, as a manifest has them."""

    entry: Entry
    data: bytes
    seen: Identity
    blocks: tuple[tuple[bytes, list[Entry]], ...]


def read_live(target: Path, path: bytes) -> bytes:
    """Give the bytes of a live file, reached through no symlink.

    Raises:
        NothingToRewrite: it is not there, or no regular file.
    """
    try:
        tree = Ground(os.fsencode(target))
    except (FileNotFoundError, NotADirectoryError):
        raise NothingToRewrite(f"{target} is not there") from None
    try:
        return _read(tree, path)[1]
    finally:
        tree.close()


def give(repository: Repository, tree: Ground, path: bytes, revise: Revise, now_ns: int) -> Given:
    """Read a live file and have its content revised; one that stays as it is keeps its time too."""
    status, data = _read(tree, path)
    revised = revise(data)
    live = describe(tree, path, status)
    chunks = repository.chunker().cut(BytesIO(revised).read)
    ids = tuple(ChunkId(repository.keys.chunk_id(DATA, chunk)) for chunk in chunks)
    entry = live._replace(
        size=len(revised), content=Root(0, len(revised), ids), mtime_ns=live.mtime_ns if revised == data else now_ns
    )
    return Given(entry, revised, Identity.of(status), tuple(_blocks(tree, entry)))


def _read(tree: Ground, path: bytes) -> tuple[os.stat_result, bytes]:
    try:
        fd = tree.open_file(path)
    except OSError as error:
        raise NothingToRewrite(
            f"{os.fsdecode(path)} cannot be changed: {os.strerror(error.errno or 0).lower()}"
        ) from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise NothingToRewrite(f"{os.fsdecode(path)} cannot be changed: it is no regular file")
    with os.fdopen(fd, "rb") as file:
        return status, file.read()


def _blocks(tree: Ground, entry: Entry) -> Iterator[tuple[bytes, list[Entry]]]:
    parts = entry.path.split(b"/")
    for depth in range(len(parts) - 1):
        folder, path = b"/".join(parts[:depth]), b"/".join(parts[: depth + 1])
        status = tree.status(path)
        assert status is not None  # the file was opened through it
        yield folder, [describe(tree, path, status)]
    yield b"/".join(parts[:-1]), [entry]
