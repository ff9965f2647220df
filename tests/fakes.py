"""Backends that wrap one, to watch it or to break it, and a disk that forgets what was not synced.

`FragileFiles` stands in for the file operations of `LocalBackend`. It lets them happen, and keeps a journal; from that
it tells what may be found after a loss of power at any moment of it: of each folder any part of the names changed since
it was last synced, of each file its synced bytes and anything of the rest. Folders and files that existed before it did
count as durable.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from casstore.backends.base import Backend
from casstore.backends.local import Files

# ── backends that wrap one ──


class Crash(BaseException):
    """The process ends here: no `except Exception` is run on the way out."""


class Wrapping:
    """Does what the wrapped backend does."""

    def __init__(self, wrapped: Backend) -> None:
        self.wrapped = wrapped

    @property
    def address(self) -> str:
        return self.wrapped.address

    def create(self) -> None:
        self.wrapped.create()

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.wrapped.write(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self.wrapped.read(name, offset, length)

    def size(self, name: str) -> int:
        return self.wrapped.size(name)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        return self.wrapped.list(folder)

    def delete(self, name: str) -> None:
        self.wrapped.delete(name)


class Recording(Wrapping):
    """Notes each call: `("read", "ledger/…")`."""

    def __init__(self, wrapped: Backend) -> None:
        super().__init__(wrapped)
        self.calls: list[tuple[str, str]] = []

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(("write", name))
        super().write(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.calls.append(("read", name))
        return super().read(name, offset, length)

    def size(self, name: str) -> int:
        self.calls.append(("size", name))
        return super().size(name)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        self.calls.append(("list", folder))
        return super().list(folder)

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        super().delete(name)


class FailingAt(Wrapping):
    """Raises at the n-th write from `arm` on, before it or after it happened; later ones work again.

    `error`: what to raise; `Crash` ends the work as a lost process would.
    """

    def __init__(self, wrapped: Backend) -> None:
        super().__init__(wrapped)
        self.writes = 0
        self._at, self._after = 0, False
        self._error: Callable[[], BaseException] = Crash

    def arm(self, n: int, *, after: bool = False, error: Callable[[], BaseException] = Crash) -> None:
        """Count from here; `n` = 1 is the next write."""
        self.writes, self._at, self._after, self._error = 0, n, after, error

    @property
    def fired(self) -> bool:
        """Whether there was an n-th write."""
        return 0 < self._at <= self.writes

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        now = self.writes == self._at
        if now and not self._after:
            raise self._error()
        super().write(name, data)
        if now:
            raise self._error()


# ── a disk that forgets ──

PENDING = 6
Found = Mapping[str, bytes | None]  # path below the disk's folder → content; None: a folder


@dataclass(eq=False)
class _File:
    content: bytes = b""
    synced: bytes | None = None  # None: never

    def after_loss(self) -> list[bytes]:
        """What it may hold: what was synced for certain; of the rest all, nothing, half, or as many zeros."""
        kept = self.synced or b""
        rest = self.content[len(kept) :]
        return [self.content, kept, kept + rest[: len(rest) // 2], kept + bytes(len(rest))] if rest else [kept]


class _Folder:
    def __init__(self) -> None:
        self.synced: dict[str, _File | _Folder] = {}
        self.now: dict[str, _File | _Folder] = {}
        self.changes: list[tuple[str, _File | _Folder | None]] = []  # between the two; None: taken away

    def change(self, name: str, node: _File | _Folder | None) -> None:
        self.changes.append((name, node))
        _apply(self.now, name, node)

    def sync(self) -> None:
        self.synced, self.changes = dict(self.now), []

    def after_loss(self, kept: list[bool]) -> dict[str, _File | _Folder]:
        """Give its names, if of the last changes those `kept` came through, and all before them."""
        names = dict(self.synced)
        sure = len(self.changes) - len(kept)
        for (name, node), came_through in zip(self.changes, [True] * sure + kept, strict=True):
            if came_through:
                _apply(names, name, node)
        return names


def _apply(names: dict[str, _File | _Folder], name: str, node: _File | _Folder | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class FragileFiles(Files):
    """Files below `root` on a disk that forgets. `deaf`: calls that do nothing, for controls ("sync", "sync_folder").

    `moments` is how many things happened so far; what was promised is noted by that number.
    """

    def __init__(self, root: Path, *, deaf: Iterable[str] = ()) -> None:
        self._root = str(root)
        self._deaf = frozenset(deaf)
        self._paths: dict[int, str] = {}
        self._journal: list[tuple[str, str, bytes | str]] = []
        self._before = {
            str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")
        }

    @property
    def moments(self) -> int:
        return len(self._journal)

    def _note(self, call: str, path: str, what: bytes | str = b"") -> None:
        if call not in self._deaf:
            self._journal.append((call, os.path.relpath(path, self._root), what))

    def create(self, path: str) -> int:
        fd = super().create(path)
        self._paths[fd] = path
        self._note("create", path)
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        written = super().write(fd, data)
        self._note("write", self._paths[fd], bytes(data[:written]))
        return written

    def sync(self, fd: int) -> None:
        self._note("sync", self._paths[fd])

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self._note("link", source, os.path.relpath(target, self._root))

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self._note("link", source, os.path.relpath(target, self._root))
        self._note("unlink", source)

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self._note("unlink", path)

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        self._note("make_folder", path)

    def sync_folder(self, path: str) -> None:
        self._note("sync_folder", path)

    def after_crash(self, moment: int, *, seed: int = 0, samples: int = 4) -> list[Found]:
        """Give what may be found if power was lost after that many things happened; no two alike.

        All pending changes kept, none, each one alone lost, each one alone kept, and some at random; with each way in
        which the bytes of files that were never synced may come out. Of a folder's changes the last six are pending.
        """
        top = self._replayed(moment)
        folders = (node for node in _nodes(top) if isinstance(node, _Folder))
        pending = [folder for folder in folders for _ in folder.changes[-PENDING:]]
        count = len(pending)
        ways = max((len(node.after_loss()) for node in _nodes(top) if isinstance(node, _File)), default=1)
        chance = random.Random(seed * 1_000_003 + moment)
        choices = {(True,) * count, (False,) * count}
        choices |= {tuple((n == m) == kept for n in range(count)) for m in range(count) for kept in (True, False)}
        choices |= {tuple(chance.random() < 0.5 for _ in range(count)) for _ in range(samples)}
        states: dict[tuple[tuple[str, bytes | None], ...], Found] = {}
        for choice in sorted(choices):
            kept: dict[_Folder, list[bool]] = {}
            for folder, came_through in zip(pending, choice, strict=True):
                kept.setdefault(folder, []).append(came_through)
            for way in range(ways):
                found = dict(_flat(top, kept, way, ""))
                states[tuple(sorted(found.items()))] = found
        return list(states.values())

    def _replayed(self, moment: int) -> _Folder:
        top = _Folder()
        for path, content in sorted(self._before.items()):
            above, name = _above(top, path)
            above.change(name, _Folder() if content is None else _File(content, content))
            above.sync()
        for call, path, what in self._journal[:moment]:
            if path == "..":
                continue  # what lies above this disk
            above, name = _above(top, path)
            node = above.now.get(name) if path != "." else top
            if call == "create":
                above.change(name, _File())
            elif call == "make_folder":
                above.change(name, _Folder())
            elif call == "unlink":
                above.change(name, None)
            elif isinstance(node, _Folder):
                node.sync()
            elif isinstance(node, _File):
                if call == "sync":
                    node.synced = node.content
                elif isinstance(what, bytes):
                    node.content += what
                else:
                    there, name = _above(top, what)
                    there.change(name, node)
        return top


def _above(top: _Folder, path: str) -> tuple[_Folder, str]:
    *folders, name = path.split("/")
    for part in folders:
        found = top.now[part]
        assert isinstance(found, _Folder), path
        top = found
    return top, name


def _nodes(node: _File | _Folder) -> Iterator[_File | _Folder]:
    yield node
    if isinstance(node, _Folder):
        for below in node.now.values():
            yield from _nodes(below)


def _flat(
    folder: _Folder, kept: Mapping[_Folder, list[bool]], way: int, above: str
) -> Iterator[tuple[str, bytes | None]]:
    for name, node in folder.after_loss(kept.get(folder, [])).items():
        if isinstance(node, _Folder):
            yield above + name, None
            yield from _flat(node, kept, way, f"{above}{name}/")
        else:
            ways = node.after_loss()
            yield above + name, ways[min(way, len(ways) - 1)]


def lay_out(found: Found, folder: Path) -> Path:
    """Make real files of what was found after a crash."""
    folder.mkdir(mode=0o700)
    for path, content in sorted(found.items()):
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(content)
    return folder
