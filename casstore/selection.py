"""What of a tree is taken: globs of paths, patterns left out. Pure. The only door to `pathspec`.

Paths are globs relative to the origin: `*`, `?` and `[…]` do not cross `/`, `**` does; what matches is taken with all
below it. Patterns left out follow gitignore: a bare name matches at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from casstore.errors import FormatDamaged
from casstore.values import dataclass

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    Rules = GitIgnoreSpec
else:
    Rules = object

_KEYS = ("paths", "exclude", "exclude_caches", "one_file_system", "append_only", "isolate")
NO_IGNORE_FILES = 6


@dataclass(frozen=True, slots=True)
class Selection:
    """`paths` of b"" is the whole origin."""

    paths: tuple[bytes, ...] = (b"",)
    exclude: tuple[bytes, ...] = ()
    exclude_caches: bool = False
    one_file_system: bool = False
    append_only: tuple[bytes, ...] = ()
    isolate: tuple[bytes, ...] = ()
    ignore_files: bool = True

    def encode(self) -> dict[int, Any]:
        """Give the record of the manifest's head."""
        fields: dict[int, Any] = {}
        for number, name in enumerate(_KEYS):
            value = getattr(self, name)
            if value:
                fields[number] = list(value) if isinstance(value, tuple) else 1
        if not self.ignore_files:
            fields[NO_IGNORE_FILES] = 1
        return fields

    @classmethod
    def decode(cls, fields: dict[int, Any]) -> Selection:
        """Read that record; what a later version added is passed over.

        Raises:
            FormatDamaged: it is none.
        """
        lists = {n: _globs(fields.get(n, [])) for n in (0, 1, 4, 5)}
        flags = {n: fields.get(n, 0) == 1 for n in (2, 3, NO_IGNORE_FILES)}
        return cls(lists[0], lists[1], flags[2], flags[3], lists[4], lists[5], not flags[NO_IGNORE_FILES])

    def isolates(self, path: bytes) -> bool:
        """Whether a file is stored in runs of its own."""
        return bool(self.isolate) and any(_matches(pattern, path) for pattern in self.isolate)

    def grows(self, path: bytes) -> bool:
        """Whether a file is declared to be only appended to."""
        return bool(self.append_only) and any(_matches(pattern, path) for pattern in self.append_only)


def _globs(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or any(type(item) is not bytes for item in value):
        raise FormatDamaged("a selection has globs that are none")
    return tuple(value)


def literal(path: bytes) -> bytes:
    """Give the glob that matches this path only."""
    return re.sub(rb"([*?[])", rb"[\1]", path)


def is_literal(pattern: bytes) -> bool:
    """Whether a glob can match one path only."""
    return not re.search(rb"[*?[]", re.sub(rb"\[([*?[])\]", rb"", pattern))


@lru_cache(256)
def glob_expression(pattern: bytes) -> re.Pattern[bytes]:
    """Compile a glob: matches the whole path."""
    out, at = [rb"(?s:"], 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith(b"**/"):
            out.append(rb"(?:.*/)?")
            at += 3
        elif rest.startswith(b"**"):
            out.append(rb".*")
            at += 2
        elif rest[:1] == b"*":
            out.append(rb"[^/]*")
            at += 1
        elif rest[:1] == b"?":
            out.append(rb"[^/]")
            at += 1
        elif rest[:1] == b"[" and (end := rest.find(b"]", 2 if rest[1:2] not in b"!^" else 3)) > 0:
            out.append(_one_of(rest[1:end]))
            at += end + 1
        else:
            out.append(re.escape(rest[:1]))
            at += 1
    return re.compile(b"".join(out) + rb")\Z")


def _one_of(inner: bytes) -> bytes:
    """Translate what stands in brackets; what is no set, as `[z-a]`, stands for itself."""
    no, letters = (b"^", inner[1:]) if inner[:1] in (b"!", b"^") else (b"", inner)
    # escaped so that nothing of it is special to `re`: `&&`, `--` and the like are set apart there for later
    one_of = b"(?!/)[" + no + re.sub(rb"([^\w-])", rb"\\\1", letters).replace(b"--", rb"-\-") + b"]"
    try:
        re.compile(one_of)
    except re.error:
        return re.escape(b"[" + inner + b"]")
    return one_of


def _matches(pattern: bytes, path: bytes) -> bool:
    """Whether a glob matches the path or, without a slash, its last part."""
    if b"/" not in pattern and glob_expression(pattern).match(path.rpartition(b"/")[2]):
        return True
    return glob_expression(pattern).match(path) is not None


@lru_cache(512)
def _prefixes(pattern: bytes) -> tuple[re.Pattern[bytes], ...]:
    """Compile the beginnings of a glob, part by part, up to the first `**`."""
    parts = pattern.split(b"/")
    out = []
    for count in range(1, len(parts)):
        if b"**" in parts[count - 1]:
            break
        out.append(glob_expression(b"/".join(parts[:count])))
    return tuple(out)


class Chooser:
    """Says of each path whether it is taken (TAKE), only led through (THROUGH) or left out (LEAVE)."""

    LEAVE, THROUGH, TAKE = 0, 1, 2

    def __init__(self, selection: Selection) -> None:
        self._paths = [path.strip(b"/") if path not in (b".", b"./") else b"" for path in selection.paths]
        self.everything = b"" in self._paths
        self.matched: set[bytes] = set()

    def choose(self, path: bytes) -> int:
        """Judge a path whose folder is only led through."""
        verdict = self.LEAVE
        for pattern in self._paths:
            if glob_expression(pattern).match(path):
                self.matched.add(pattern)
                verdict = self.TAKE
            elif verdict == self.LEAVE and (
                any(prefix.match(path) for prefix in _prefixes(pattern)) or _begins_with_any_depth(pattern, path)
            ):
                verdict = self.THROUGH
        return verdict

    def takes(self, path: bytes) -> bool:
        """Judge a path by itself: whether it, or a folder above it, is taken."""
        while path and not self.everything:
            if self.choose(path) == self.TAKE:
                return True
            path = path.rpartition(b"/")[0]
        return self.everything

    def unmatched(self) -> list[bytes]:
        """Give the paths that matched nothing."""
        return [] if self.everything else [path for path in self._paths if path not in self.matched]


def _begins_with_any_depth(pattern: bytes, path: bytes) -> bool:
    front, found, _ = pattern.partition(b"**")
    if not found:
        return False
    fixed = front.rpartition(b"/")[0]
    depth = fixed.count(b"/") + 1 if fixed else 0
    head = b"/".join(path.split(b"/")[:depth])
    return not fixed or glob_expression(fixed).match(head) is not None


def ignore_rules(lines: Sequence[bytes]) -> Rules | None:
    """Compile gitignore lines; None if there is none that says anything.

    What is no rule is passed over, as git does.
    """
    text = [line.decode("utf-8", "surrogateescape") for line in lines]
    if not any(line.strip() and not line.startswith("#") for line in text):
        return None
    rules = _compiled(text)
    return rules if rules is not None else _compiled([line for line in text if _compiled([line]) is not None])


def is_rule(line: bytes) -> bool:
    """Whether a line can be read as one of a gitignore file."""
    return _compiled([line.decode("utf-8", "surrogateescape")]) is not None


def _compiled(text: list[str]) -> Rules | None:
    import warnings

    from pathspec import GitIgnoreSpec

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `re`, whose sets pathspec makes of ours
        try:
            return GitIgnoreSpec.from_lines(text)
        except (ValueError, re.error):
            return None


def ignores(rules: Rules, path: bytes, *, is_folder: bool) -> bool | None:
    """Whether the rules leave a path out (True), take it back in (False) or say nothing (None)."""
    name = path.decode("utf-8", "surrogateescape")
    return rules.check_file(name + "/" if is_folder else name).include
