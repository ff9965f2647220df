"""The world, read once for one command: options, environment, cas.toml, clock. The library reads none of it."""

from __future__ import annotations

import os
import stat
import sys
import time
from functools import cached_property
from pathlib import Path

from cascli.options import Common
from casstore.config import Config, local_place, parse, repository_place
from casstore.errors import ConfigInvalid, RepositoryNotFound, UsageError
from casstore.values import dataclass

OPENERS = ("CAS_PASSWORD", "CAS_PASSWORD_FILE", "CAS_PASSWORD_COMMAND", "CAS_NEW_PASSWORD", "CAS_KEY_FILE")
MOST_CONFIG = 1 << 20  # bytes of a cas.toml


@dataclass(frozen=True, slots=True)
class Found:
    """A cas.toml that may be trusted."""

    folder: Path
    text: bytes
    config: Config

    @property
    def name(self) -> str:
        """What snapshots of it are called."""
        return self.config.name or self.folder.name


class World:
    """What one command knows of where and when it runs."""

    def __init__(self, options: Common, *, for_others: bool = False) -> None:
        self.options = options
        self._for_others = for_others  # root may read any account's cas.toml, where nothing is run as it says
        self.now_ns = time.time_ns()
        self.hostname = os.uname().nodename

    def zone_minutes(self, at_ns: int | None = None) -> int:
        """Give the offset from UTC that the clocks here show at a moment."""
        return (time.localtime((self.now_ns if at_ns is None else at_ns) // 10**9).tm_gmtoff or 0) // 60

    @property
    def here(self) -> Path:
        """This folder.

        Raises:
            UsageError: it was deleted.
        """
        try:
            return Path.cwd()
        except FileNotFoundError:
            raise UsageError("this folder does not exist any more", hint="Go to one that does.") from None

    @cached_property
    def found(self) -> Found | None:
        """The cas.toml of this folder or of the nearest one above.

        Raises:
            UsageError: others may have written it, or it cannot be read.
        """
        here = self.here
        for folder in (here, *here.parents):
            if (found := self.config_in(folder)) is not None:
                return found
        return None

    def config_in(self, folder: Path) -> Found | None:
        """Give the cas.toml of a folder, if there is one.

        Raises:
            UsageError: others may have written it, or it cannot be read.
        """
        path = folder / "cas.toml"
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {os.strerror(error.errno or 0).lower()}",
                hint="Run cas as the account that may read it.",
            ) from None
        try:
            _check_owner(path, os.fstat(handle), for_others=self._for_others)
            with open(handle, "rb", closefd=False) as file:
                text = file.read(MOST_CONFIG)
        finally:
            os.close(handle)
        return Found(folder, text, _parse(text, path))

    @property
    def place(self) -> str:
        """Where the repository is, as the user would type it.

        Raises:
            UsageError: nothing says where.
        """
        place = self.given_place
        if place is None:
            raise UsageError(
                "no repository is named, and there is no cas.toml here or above",
                hint="Say -r REPO or set CAS_REPOSITORY; `cas init PATH…` makes a cas.toml and a repository here.",
            )
        return place

    @property
    def given_place(self) -> str | None:
        """Where the repository is, if anything says so: option, environment, cas.toml."""
        if (named := self.named_place) is not None:
            return named
        if self.found is None:
            return None
        return str(repository_place(self.found.config, self.found.folder))

    @property
    def named_place(self) -> str | None:
        """Where the repository is, if it was named for this run: by option or environment."""
        if self.options.repo is not None:
            return self.options.repo
        if place := os.environ.get("CAS_REPOSITORY"):
            return place
        if file := os.environ.get("CAS_REPOSITORY_FILE"):
            place = _first_line(Path(file), "CAS_REPOSITORY_FILE")
            if not place:
                raise UsageError(f"CAS_REPOSITORY_FILE names {file}, which is empty")
            return place
        return None


def _check_owner(path: Path, status: os.stat_result, *, for_others: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a file", hint="Move it away; `cas init PATH…` makes a cas.toml.")
    if status.st_uid not in (os.geteuid(), 0) and not (for_others and os.geteuid() == 0):
        raise UsageError(
            f"{path} belongs to another user (uid {status.st_uid}) and is not trusted",
            hint='Run it as that user (`sudo -u USER "$(command -v cas)" …`), or make the file your own.',
        )
    if status.st_mode & 0o002 or (status.st_mode & 0o020 and not _is_private_group(status)):
        raise UsageError(
            f"{path} can be written by others and is not trusted", hint=f"Run `chmod go-w {path}`, after a look at it."
        )


def _is_private_group(status: os.stat_result) -> bool:
    """Whether the file's group is its owner alone, as distributions make one for each user."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == group.gr_gid and group.gr_name == owner.pw_name and not set(group.gr_mem) - {owner.pw_name}


def _parse(text: bytes, path: Path) -> Config:
    if len(text) >= MOST_CONFIG:
        raise UsageError(f"{path} is larger than any cas.toml needs to be", hint="See what was written into it.")
    try:
        return parse(text.decode(), file=str(path))
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ConfigInvalid(str(path), line, "this is not UTF-8", hint="Save it as UTF-8.") from None


def _first_line(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            line = file.read(1 << 16).split(b"\n", 1)[0]
    except OSError as error:
        raise UsageError(
            f"{source} names {path}, which cannot be read: {os.strerror(error.errno or 0).lower()}"
        ) from None
    return os.fsdecode(line.rstrip(b"\r"))


def home_folder(variable: str, default: str) -> Path:
    """Give a folder of the user's as XDG says."""
    base = os.environ.get(variable, "")
    if base.startswith("/"):  # anything else is to be ignored, says XDG
        return Path(base) / "casstore"
    return _own_home() / default / "casstore"


def _own_home() -> Path:
    """Give the home of this account: to `sudo -E` HOME is another's, who could not read what root leaves there."""
    named = Path("~").expanduser()
    if os.geteuid() == 0 and named.exists() and named.stat().st_uid != 0:
        import pwd

        return Path(pwd.getpwuid(0).pw_dir)
    return named


def surroundings() -> dict[str, str]:
    """Give the environment as programs of the application get it: without what opens the repository.

    What is started outlives us, and anybody's install script may run in a step.
    """
    return {name: value for name, value in os.environ.items() if name not in OPENERS}


def terminal() -> bool:
    """Whether somebody can be asked."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def local_folder(place: str) -> Path:
    """Give the folder that a place names.

    Raises:
        UsageError: it names none.
        RepositoryNotFound: it is of a kind that this version cannot reach.
    """
    if not place.strip():
        raise UsageError("the repository's name is empty")
    try:
        return local_place(place).absolute()
    except ValueError as error:
        hint = "Name a folder, and copy that to where it is safe; one of such a name is `./…`."
        raise RepositoryNotFound(f"the repository {error}", hint=hint) from None
