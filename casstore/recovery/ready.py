"""A bare server before a recovery: whether its folder is fit to begin in, and the environment that it has.

The env file is put back from the snapshot where that has it, for its owner only. No value is ever told.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from casstore import private
from casstore.entry import Kind
from casstore.errors import CasError, UsageError
from casstore.recovery.environment import Compared, Environment, captured_env, compare, env_bytes
from casstore.recovery.plan import App, parse
from casstore.repository import Repository
from casstore.snapshot import Snapshot
from casstore.values import dataclass

_NAMED = 3  # of what lies in the folder


class FolderOccupied(UsageError):
    """The folder holds more than a recovery may begin with."""


@dataclass(frozen=True, slots=True)
class Given:
    """The environment as it was found, or put back. `lacking`: names and globs without a value; where that is kept."""

    environment: Environment
    put_back: bool  # the env file is the snapshot's
    compared: Mapping[str, Compared]
    lacking: Mapping[str, str]


def refuse_occupied(folder: Path, may_hold: Collection[str]) -> None:
    """Refuse a folder that holds something else than these.

    Raises:
        FolderOccupied: it does.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise FolderOccupied(f"{folder} is not a folder")
    names = sorted({path.name for path in folder.iterdir()} - set(may_hold)) if folder.exists() else []
    if names:
        some = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
        raise FolderOccupied(
            f"a recovery begins in an empty folder, and {folder} holds {some}",
            hint="Name another folder. To replace the files of an application that is there, use `cas restore`.",
        )


def tops(folder: Path, places: Iterable[Path]) -> set[str]:
    """Give the names in a folder below which these places lie, as far as they do."""
    real = Path(os.path.realpath(folder))
    found = set()
    for place in places:
        for base, path in ((folder, place), (real, Path(os.path.realpath(place)))):
            if path != base and path.is_relative_to(base):
                found.add(path.relative_to(base).parts[0])
    return found


def give_environment(
    repository: Repository, snapshot: Snapshot, app: App, folder: Path, process: Mapping[str, str]
) -> Given:
    """Put the env file back if it is not there and the snapshot has it, and compare what is there then.

    Raises:
        EnvFileUnreadable, EnvFileInvalid: it cannot be read. Damaged: what was kept of it cannot.
    """
    put_back = _put_back(repository, snapshot, app, folder)
    there = not app.env_file or os.path.lexists(folder / app.env_file)
    environment = Environment.of(app, folder, process) if there else Environment.over(app, {}, process)
    compared = compare(repository, snapshot, environment)
    names = environment.missing()
    if not there:
        names += [name for name, how in compared.items() if how is Compared.MISSING]
    return Given(environment, put_back, compared, {name: where_kept(app, name) for name in names})


def captured_beside(repository: Repository, snapshot: Snapshot, folder: Path) -> tuple[Path, bytes]:
    """Give the env file that was kept with a snapshot, and its place in a folder, where no other one lies.

    Raises:
        CasError: none was kept, or another one lies there, or its place is outside. Damaged: it cannot be read.
    """
    config = b"".join(repository.read(repository.head(snapshot).config))
    app = parse(config.decode()).app
    data = captured_env(repository, snapshot)
    if data is None or not app.env_file:
        raise CasError(
            "no env file was kept with this snapshot",
            hint="`env-capture = true` under [app] in cas.toml keeps it with each snapshot from then on.",
        )
    path = folder / app.env_file
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise CasError(f"{app.env_file} leads out of {folder}, so it is not put back")
    if os.path.lexists(path) and env_bytes(path) != data:
        raise CasError(
            f"{app.env_file} is there already, and is not the one of the snapshot",
            hint="Nothing was touched. Move it away first, or restore elsewhere with --target.",
        )
    return path, data


def put_beside(path: Path, data: bytes) -> None:
    """Put an env file there, for its owner only, unless one lies there."""
    if not os.path.lexists(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        private.create(path, data)


def where_kept(app: App, name: str) -> str:
    """Say where the value of a name, or of the names of a glob, is kept; "" if nothing says so."""
    return next((where for glob, where in app.env_where.items() if glob == name or fnmatchcase(name, glob)), "")


def _put_back(repository: Repository, snapshot: Snapshot, app: App, folder: Path) -> bool:
    path = folder / app.env_file
    if not app.env_file or os.path.lexists(path):
        return False
    data = captured_env(repository, snapshot)
    if data is None:
        data = _saved(repository, snapshot, app.env_file)
    if data is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    private.replace(path, data)
    return True


def _saved(repository: Repository, snapshot: Snapshot, env_file: str) -> bytes | None:
    """Give the env file where it is one of the files that were saved: the restore would come too late for the steps."""
    wanted = os.fsencode(env_file)
    for entry in repository.entries(snapshot, wanted):
        if entry.path == wanted and entry.kind is Kind.FILE and entry.extents is None:
            return b"".join(repository.read(entry.content))
    return None
