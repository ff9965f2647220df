"""What `cas backup` is to read: from cas.toml, or from paths on the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from cascli import render
from cascli.display import note
from cascli.paths import absolute
from cascli.world import Found, World
from casstore.config import Tuning, inside
from casstore.errors import CasError, ConfigInvalid, UsageError
from casstore.selection import Selection, is_rule, literal
from casstore.source import STAGING
from casstore.treelock import RestoreAtWork
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """A tree to save, and the cas.toml that says so."""

    origin: Path
    name: str
    selection: Selection
    config: bytes
    whole_lines: bool = False
    tuning: Tuning = field(default_factory=Tuning)
    has_application: bool = False  # cas.toml tells of it


@dataclass(frozen=True, slots=True)
class Extra:
    """What the command line adds to cas.toml."""

    exclude: tuple[str, ...] = ()  # typed: an absolute path is one
    exclude_lines: tuple[str, ...] = ()  # of files, as in .gitignore
    exclude_caches: bool = False
    one_file_system: bool = False
    append_only: tuple[str, ...] = ()


def task(world: World, paths: Sequence[str], extra: Extra) -> Task:
    """Say what is to be saved, as `_task`; an --exclude that leaves nothing out is told."""
    found = _task(world, paths, extra)
    for pattern in extra.exclude:
        if _is_elsewhere(pattern, found.origin):
            words = (
                f"--exclude {render.name(pattern)} leaves nothing out: it is not below {render.name(str(found.origin))}"
            )
            note(world.options, f"warning: {words}", "warning")
    return found


def _task(world: World, paths: Sequence[str], extra: Extra) -> Task:
    """Say what is to be saved.

    Paths inside the folder of a cas.toml are part of that application: its name and exclusions hold for them. Other
    paths are a task of their own, whose origin is the folder they share.

    Raises:
        UsageError: nothing says what to save.
        CasError: a path does not exist.
    """
    found = world.found
    if not paths:
        if found is None:
            raise UsageError(
                "no PATH is given, and there is no cas.toml here or above",
                hint="`cas init PATH…` makes a cas.toml; `cas -r REPO backup PATH…` works without one.",
            )
        return of_config(found, extra)
    wanted = [absolute(path) for path in paths]
    for typed, path in zip(paths, wanted, strict=True):
        if not typed or not os.path.lexists(path):
            raise CasError(f"{render.name(typed) or 'an empty path'} does not exist", hint="Nothing was saved.")
    if found is not None and all(path.is_relative_to(found.folder) for path in wanted):
        return _of_config(found, _relative(wanted, found.folder), extra)
    origin = _shared(wanted)
    selection = Selection(
        paths=_relative(wanted, origin),
        exclude=_excluded(extra, origin),
        exclude_caches=extra.exclude_caches,
        one_file_system=extra.one_file_system,
        append_only=_growing(extra.append_only),
    )
    return Task(origin, "", selection, b"")


def of_config(found: Found, extra: Extra | None = None) -> Task:
    """Give what a cas.toml says."""
    return _of_config(found, tuple(_pattern(path) for path in found.config.paths), extra or Extra())


def warn_of_plan(world: World, todo: Task, *, dry_run: bool = False) -> None:
    """Say what is wrong in tables of cas.toml that no snapshot needs, and none must fail for.

    Of [app] a backup is refused, and of [notify] the ping tells; a dry run asks neither.
    """
    recovery = world.found.config.recovery if world.found is not None and todo.config else ()
    if not recovery or (not dry_run and {"app", "notify"}.intersection(recovery)):
        return
    from casstore.recovery.plan import parse

    try:
        parse(todo.config.decode(), file=str(todo.origin / "cas.toml"))
    except ConfigInvalid as error:
        note(world.options, f"warning: {'. '.join(filter(None, (str(error), error.hint)))}", "warning")


def refuse_unfinished(origin: Path) -> None:
    """Refuse a tree in which a restore was interrupted; one that is at work is waited for by who reads the tree.

    The room of restore is entered only if there is a trace.

    Raises:
        RestoreUnfinished: it is half one snapshot and half another.
    """
    try:
        names = os.listdir(os.fsencode(origin))  # noqa: PTH208 - bytes, and no object a name
    except OSError:
        return
    if any(name.startswith(STAGING) for name in names):
        from casstore.restore.recover import refuse_unfinished as refuse

        with suppress(RestoreAtWork):
            refuse(origin)


def refuse_repository(place: Path, never: Sequence[tuple[int, int]]) -> None:
    """Refuse to save what lies in the repository: a walk from above passes it over, one from inside would not know.

    Raises:
        UsageError: it is the repository or the cache, or lies in it.
    """
    for path in (place, *place.parents):
        status = path.lstat()
        if (status.st_dev, status.st_ino) in never:
            raise UsageError(
                f"{render.name(str(place))} is not saved: {render.name(str(path))} is the repository or its cache",
                hint="Name the folder of the application.",
            )


def _of_config(found: Found, paths: tuple[bytes, ...], extra: Extra) -> Task:
    config = found.config
    selection = Selection(
        paths=(b"",) if b"" in paths else paths,
        exclude=_rules(config.exclude, f"{found.folder}/cas.toml: ") + _excluded(extra, found.folder),
        exclude_caches=config.exclude_caches or extra.exclude_caches,
        one_file_system=config.one_file_system or extra.one_file_system,
        append_only=_encoded(config.append_only) + _growing(extra.append_only),
        isolate=_encoded(config.isolate),
    )
    return Task(
        found.folder, found.name, selection, found.text, config.whole_lines, config.tuning, "app" in config.recovery
    )


def _pattern(path: str) -> bytes:
    return b"" if path == "." else path.encode()


def _encoded(patterns: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(os.fsencode(pattern) for pattern in patterns)


def _growing(patterns: Sequence[str]) -> tuple[bytes, ...]:
    """Give the patterns of --append-only; one that cannot match anything stops here."""
    try:
        return _encoded([inside(pattern) for pattern in patterns])
    except ValueError as error:
        raise UsageError(
            f"a pattern of --append-only {render.name(str(error))}", hint="It is relative to the folder that is saved."
        ) from None


def _excluded(extra: Extra, origin: Path) -> tuple[bytes, ...]:
    return _rules([*(_anchored(pattern, origin) for pattern in extra.exclude), *extra.exclude_lines])


def _anchored(pattern: str, origin: Path) -> str:
    """Give a typed pattern as .gitignore has it, where a leading `/` is the folder that is saved.

    Raises:
        UsageError: it may be the one or the other.
    """
    no, path = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    below = path.removeprefix(f"{origin}/".replace("//", "/"))
    if below == path or origin == Path("/"):
        return pattern
    if os.path.lexists(f"{origin}{origin}"):
        raise UsageError(
            f"{render.name(path)} may be that file, or one that is called so below {render.name(str(origin))}",
            hint=f"Write `/{render.name(below)}` for the one, `{render.name(path[1:])}` for the other.",
        )
    return f"{no}/{below}"


def _is_elsewhere(pattern: str, origin: Path) -> bool:
    """Whether a typed pattern is the path of something of which nothing is saved."""
    path = pattern.removeprefix("!")
    return (
        path.startswith("/")
        and not Path(path).is_relative_to(origin)
        and os.path.lexists(path)
        and not os.path.lexists(f"{origin}{path}")
    )


def _rules(patterns: Sequence[str], where: str = "") -> tuple[bytes, ...]:
    """Give the patterns to leave out; a wrong one stops here, since what it should leave out would be saved."""
    encoded = _encoded(patterns)
    for pattern in encoded:
        if not is_rule(pattern):
            raise UsageError(
                f"{where}`{render.name(pattern)}` cannot be excluded: it is no pattern as in .gitignore",
                hint="A `\\` before a letter takes it as it is.",
            )
    return encoded


def _relative(paths: Sequence[Path], origin: Path) -> tuple[bytes, ...]:
    inside = sorted({os.fsencode(path.relative_to(origin)) for path in paths})
    return (b"",) if b"." in inside or b"" in inside else tuple(literal(path) for path in inside)


def _shared(paths: Sequence[Path]) -> Path:
    """Give the deepest folder that holds all paths; a single folder is its own."""
    if len(paths) == 1 and paths[0].is_dir() and not paths[0].is_symlink():
        return paths[0]
    return Path(os.path.commonpath([path if _is_folder(path) and len(paths) > 1 else path.parent for path in paths]))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def exclude_lines(file: str) -> list[str]:
    """Read the patterns of an --exclude-file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{render.name(file)} cannot be read: {os.strerror(error.errno or 0).lower()}") from None
    lines = (os.fsdecode(line.rstrip(b"\r")) for line in text.split(b"\n"))
    return [line for line in lines if line.strip() and not line.startswith("#")]
