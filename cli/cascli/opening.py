"""Find the repository and open it: with the secret that was named, this host's key file, or by asking."""

from __future__ import annotations

import os
from pathlib import Path

from cascli import render, secret
from cascli.display import note
from cascli.world import World, home_folder, local_folder, terminal
from casstore.backends.local import LocalBackend
from casstore.config import DEFAULT_REPOSITORY
from casstore.errors import CasError, ObjectMissing, RepositoryNotFound, WrongSecret
from casstore.format.header import MAX_BYTES, NAME, decode_header
from casstore.keyring import Secret, load_host_key
from casstore.opening import open as open_with
from casstore.progress import Event, Notice
from casstore.repository import Home, Repository

TRIES = 3


def home() -> Home:
    """Give the folders where this user keeps key files, anchors and caches."""
    cache = os.environ.get("CAS_CACHE_DIR")
    return Home(
        config=home_folder("XDG_CONFIG_HOME", ".config"),
        state=home_folder("XDG_STATE_HOME", ".local/state"),
        cache=Path(cache).absolute() if cache else home_folder("XDG_CACHE_HOME", ".cache"),
    )


def backend(world: World) -> LocalBackend:
    """Give the place of the repository, unopened."""
    return LocalBackend(local_folder(world.place))


def open_repository(
    world: World, place: LocalBackend | None = None, own: Home | None = None, named: Secret | None = None
) -> Repository:
    """Open the repository of this command, or the one at another place, with the secret that is given or named.

    `own` is where this host keeps what is its.

    Raises:
        RepositoryNotFound: there is none; says what is there instead. WrongSecret: nothing opens it.
    """
    place = place or backend(world)
    own = own or home()
    named = named or secret.explicit(world.options)
    if named is None:
        repository = repository_id(place)
        path = own.key_file(repository)
        try:
            load_host_key(path, repository)
        except WrongSecret as error:
            named = secret.from_environment()
            if named is None and terminal():
                if os.path.lexists(path):
                    note(world.options, f"warning: {error}", "warning")
                return _asking(place, own, world)
    return _open(place, own, world, named)


def _open(place: LocalBackend, own: Home, world: World, named: Secret | None) -> Repository:
    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            note(world.options, f"warning: {render.name(event.path)}: {render.name(event.reason)}", "warning")

    try:
        return open_with(place, own, hostname=world.hostname, now_ns=world.now_ns, secret=named, progress=tell)
    except RepositoryNotFound:
        raise nothing_there(place.folder) from None


def _asking(place: LocalBackend, own: Home, world: World) -> Repository:
    for left in reversed(range(TRIES)):
        try:
            return _open(place, own, world, secret.ask(f"Passphrase of {render.name(place.address)}"))
        except WrongSecret as error:
            if not left:
                raise
            render.err(f"{error}; once more, please.")
    raise AssertionError("unreachable")


def repository_id(place: LocalBackend) -> bytes:
    """Give the id of the repository at a place.

    Raises:
        RepositoryNotFound: there is none. CasError: it may not be read.
    """
    folder = place.folder
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        import shlex

        shown = render.name(str(folder))
        if folder.stat().st_uid == os.geteuid():
            hint = f"It is yours: `chmod u+rwx {shlex.quote(str(folder))}`."
            raise CasError(f"{shown} may not be read", hint=hint)
        owner = _owner(folder)
        raise CasError(
            f"{shown} belongs to another user, {owner}, and may not be read",
            hint=f'Type `sudo -u {shlex.quote(owner)} "$(command -v cas)" …`.',
        )
    try:
        return decode_header(place.read(NAME, 0, MAX_BYTES + 1)).repository
    except ObjectMissing:
        raise nothing_there(folder) from None


def _owner(folder: Path) -> str:
    import pwd

    number = folder.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def nothing_there(folder: Path) -> RepositoryNotFound:
    """Say that there is no repository, and what was found instead."""
    shown = render.name(str(folder))
    if not os.path.lexists(folder):
        return RepositoryNotFound(f"there is no repository at {shown}: no such folder")
    if not folder.is_dir():
        return RepositoryNotFound(f"there is no repository at {shown}: it is a file")
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return RepositoryNotFound(f"there is no repository at {shown}: the folder is empty")
    if {"config", "data", "keys", "snapshots"} <= set(names):
        return RepositoryNotFound(f"there is no repository of cas at {shown}: it looks like one of restic or rustic")
    if {"README", "config", "data"} <= set(names):
        return RepositoryNotFound(f"there is no repository of cas at {shown}: it looks like one of borg")
    hint = None
    for inner in ("cas", DEFAULT_REPOSITORY):
        if (folder / inner / NAME).is_file():
            hint = f"Did you mean `-r {render.name(str(folder / inner))}`?"
    if {"ledger", "packs"} <= set(names):
        return RepositoryNotFound(
            f"the repository at {shown} has lost its header", hint="Bring the file `header` back from a copy."
        )
    some = ", ".join(render.name(name) for name in names[:4]) + (", …" if len(names) > 4 else "")
    return RepositoryNotFound(f"there is no repository at {shown}: the folder holds {some}", hint=hint)
