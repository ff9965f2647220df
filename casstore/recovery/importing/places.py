"""Where in the application a file of an old backup belongs. Pure.

The former script kept the tree, or threw all files into one folder. So a file may lie where it belongs, or at the end
of that path: `users.json` of `data/dynamic/users.json`. What the application has now tells, and where that has
nothing, the patterns of its cas.toml do. Nothing is guessed: what could belong to two places keeps its own path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from casstore.selection import Chooser, Selection, glob_expression, is_literal
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Arranged:
    """`places`: path in the old backup → path in the application. `unsure`: nothing tells where these belong."""

    places: dict[bytes, bytes]
    unsure: frozenset[bytes]


class Places:
    """Knows the application by the paths of its files and by what is selected of it."""

    def __init__(self, known: Collection[bytes], selection: Selection) -> None:
        self._known = frozenset(known)
        self._folders = {above for path in self._known for above in parents(path)}
        self._named: dict[bytes, list[bytes]] = {}
        for path in self._known:
            self._named.setdefault(_name(path), []).append(path)
        self._chooser = Chooser(selection)
        deep = (pattern for pattern in (*selection.append_only, *selection.isolate) if b"/" in pattern)
        self._patterns = tuple(dict.fromkeys((*(path for path in selection.paths if path), *deep)))

    def arrange(self, files: Collection[bytes], folders: Collection[bytes]) -> Arranged:
        """Give the place of each file of one old backup that has these folders; no two get the same."""
        wanted = {path: self._find(path) for path in files}
        unsure = {path for path, place in wanted.items() if place is None}
        places = {path: path for path, place in wanted.items() if place is None or place == path}
        taken: set[bytes] = set()
        above: set[bytes] = set()
        for path, place in sorted((path, place) for path, place in wanted.items() if place not in (None, path)):
            assert place is not None
            if place in taken or place in above or place in wanted or place in folders or self._lies_in_file(
                place, wanted, taken
            ):  # fmt: skip
                unsure.add(path)
                places[path] = path
            else:
                places[path] = place
                taken.add(place)
                above.update(parents(place))
        return Arranged(places, frozenset(unsure))

    def _lies_in_file(self, place: bytes, files: Collection[bytes], taken: Collection[bytes]) -> bool:
        return any(folder in files or folder in taken for folder in parents(place))

    def _find(self, path: bytes) -> bytes | None:
        if path in self._known:
            return path
        ends = [known for known in self._named.get(_name(path), ()) if known.endswith(b"/" + path)]
        if ends:
            return ends[0] if len(ends) == 1 else None
        if path.rpartition(b"/")[0] in self._folders:
            return path
        named = {place for pattern in self._patterns for place in _named_by(pattern, path)}
        globbed = named or {place for pattern in self._patterns for place in _matched_by(pattern, path)}
        if globbed:
            return globbed.pop() if len(globbed) == 1 else None
        return path if not self._chooser.everything and self._chooser.takes(path) else None


def parents(path: bytes) -> Iterator[bytes]:
    """Yield the folders above a path, the deepest first; not the origin."""
    while path := path.rpartition(b"/")[0]:
        yield path


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _named_by(pattern: bytes, path: bytes) -> Iterable[bytes]:
    """Give the path that a pattern without a glob names, if it ends in this one."""
    place = re.sub(rb"\[([*?[])\]", rb"\1", pattern)
    return (place,) if is_literal(pattern) and (b"/" + place).endswith(b"/" + path) else ()


def _matched_by(pattern: bytes, path: bytes) -> Iterable[bytes]:
    """Give the path in the folder of a glob, as `data/*.json`, that matches this name."""
    folder, slash, _ = pattern.rpartition(b"/")
    if not is_literal(folder) or is_literal(pattern):
        return ()
    place = re.sub(rb"\[([*?[])\]", rb"\1", folder) + slash + _name(path)
    return (place,) if (b"/" + place).endswith(b"/" + path) and glob_expression(pattern).match(place) else ()
