"""`cas init`: a repository, and the cas.toml that says what to save."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import click

from cascli import render, secret, words
from cascli.opening import home
from cascli.options import FILE, Common, common
from cascli.paths import absolute
from cascli.world import Found, World, local_folder, terminal
from casstore.backends.local import LocalBackend
from casstore.config import DEFAULT_REPOSITORY, repository_place
from casstore.errors import UsageError
from casstore.format.header import NAME
from casstore.keyring import Passphrase, RecoveryWords
from casstore.opening import create, new_recovery_words
from casstore.slots import list_slots, prove

KINDS = ("nextjs", "node", "python", "generic")  # of templates


@click.command(
    "init",
    short_help="Make a repository, and a cas.toml that says what to save.",
    epilog="\b\nExamples:\n  cas init 'data/*.json' logs         here, with a new cas.toml\n"
    "  cas init --template nextjs          also how a Next.js application is flushed, stopped and started\n"
    "  cas init                            the repository that cas.toml names\n"
    "  cas init -r /mnt/disk/cas           only a repository\n",
)
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@click.option("--name", metavar="NAME", help="What snapshots are called; without it the folder's name.")
@click.option(
    "--template",
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"Also write what a recovery needs, for one of {', '.join(KINDS)}; its paths, if no PATH is given.",
)
@click.option("--key-file-only", is_flag=True, help="No passphrase: whoever loses this host loses the repository.")
@click.option("--no-recovery", is_flag=True, help="Make no recovery words now (`cas key recovery` does it later).")
@common
@click.pass_obj
def command(
    options: Common,
    paths: tuple[str, ...],
    name: str | None,
    template: str | None,
    key_file_only: bool,
    no_recovery: bool,
) -> None:
    """Make a repository. With PATH, which may hold * and **, or --template also a commented cas.toml here.

    The repository is `backups/cas` beside cas.toml, or what -r names. A passphrase is asked for, or taken from
    CAS_PASSWORD, CAS_PASSWORD_FILE or CAS_PASSWORD_COMMAND; this host itself gets a key file and is not asked again.
    """
    world = World(options)
    here = world.here
    patterns = [_pattern(path, here) for path in paths]
    config = here / "cas.toml"
    makes_config = bool(patterns or template) and not os.path.lexists(config)
    for option, value in (("--name", name), ("--template", template)):
        if value is not None and not makes_config:
            raise UsageError(f"{option} goes into a new cas.toml, and none is being made")
    folder, typed = _place(world, here, makes_config)
    if (folder / NAME).exists():
        raise UsageError(f"{render.name(str(folder))} is a repository already", hint="`cas backup` saves into it.")
    captures = _captures(here, template) if makes_config else None  # all questions come before anything is made
    secrets = _secrets(key_file_only=key_file_only, no_recovery=no_recovery)
    _keep_out_of_git(folder, here)
    with create(
        LocalBackend(folder), home(), secrets=secrets, hostname=world.hostname, now_ns=world.now_ns
    ) as repository:
        for slot in list_slots(repository):
            if slot.kind.name == "RECOVERY":
                prove(repository, slot.id, world.now_ns)
        repository.acknowledge()
        key = repository.home.key_file(repository.header.repository)
        repository_id = repository.header.repository.hex()
    if makes_config:
        patterns = _write_config(config, name or here.name, typed, patterns, template, captures)
    if options.json:
        fields = {"message_type": "initialized", "id": repository_id, "repository": str(folder), "key_file": str(key)}
        render.out(render.to_json(fields | ({"config": str(config)} if makes_config else {})))
    elif not options.quiet:
        render.lines(
            _told(folder, key, config if makes_config else None, secrets, patterns, world, has_app=template is not None)
        )


def _pattern(typed: str, here: Path) -> str:
    """Turn a PATH into a pattern for cas.toml; a PATH that is more likely meant as the repository is refused."""
    path = absolute(typed)
    if not typed:
        raise UsageError("a PATH is empty", hint="This folder is `.`.")
    if not os.path.lexists(path):
        if glob.has_magic(typed) and not typed.startswith("/"):
            return os.path.normpath(typed)
        raise UsageError(
            f"{render.name(typed)} does not exist, and PATH names what is to be saved",
            hint=f"See how it is spelt; the repository is named with -r: `cas init -r {render.name(typed)}`.",
        )
    if (path / NAME).is_file() and (path / "ledger").is_dir():
        raise _meant_repository(typed, "holds a repository")
    if path.is_dir() and not path.is_symlink() and path != here and not any(path.iterdir()):
        raise _meant_repository(typed, "is empty")
    if not path.is_relative_to(here.resolve()):
        raise UsageError(
            f"{render.name(typed)} is not inside this folder, where cas.toml would be",
            hint="Go to the folder of the application first; `cas -r REPO backup PATH…` works from anywhere.",
        )
    inside = str(path.relative_to(here.resolve()))
    try:
        inside.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{render.name(typed)} has a name that is no UTF-8 and cannot stand in cas.toml",
            hint="Name the folder above it, or a pattern with `*` in that place.",
        ) from None
    return glob.escape(inside)


def _meant_repository(typed: str, why: str) -> UsageError:
    return UsageError(
        f"{render.name(typed)} {why}, and PATH names what is to be saved",
        hint=f"Did you mean `cas init -r {render.name(typed)}`?",
    )


def _place(world: World, here: Path, makes_config: bool) -> tuple[Path, str]:
    """Give the repository's folder, and how it is to be written in a new cas.toml."""
    given = world.named_place
    if given is None and makes_config:
        return here / DEFAULT_REPOSITORY, DEFAULT_REPOSITORY
    given = given or world.given_place
    if given is None:
        raise UsageError(
            "nothing says what to save or where: there is no cas.toml here or above, no PATH and no -r",
            hint="Type `cas init PATH…` in the folder of an application, or `cas init -r REPO`.",
        )
    return local_folder(given), given


def _secrets(*, key_file_only: bool, no_recovery: bool) -> list[Passphrase | RecoveryWords]:
    secrets: list[Passphrase | RecoveryWords] = []
    if not key_file_only:
        found = secret.from_environment()
        if found is None and not terminal():
            raise secret.NoTerminal(
                "a passphrase is needed, so that a lost host is no lost repository, and there is no terminal to ask on",
                hint="Set CAS_PASSWORD, CAS_PASSWORD_FILE or CAS_PASSWORD_COMMAND, or say --key-file-only.",
            )
        secrets.append(found or secret.ask("A passphrase for the new repository", twice=True))
    if terminal() and not no_recovery and not key_file_only:
        made = new_recovery_words()
        words.show_and_check(made)
        secrets.append(RecoveryWords(made))
    return secrets


def _keep_out_of_git(folder: Path, here: Path) -> None:
    """Write a .gitignore into `backups/`, before anything else is there: a repository is no source."""
    if folder != here / DEFAULT_REPOSITORY:
        return
    try:
        folder.parent.mkdir(exist_ok=True)
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        from casstore.errors import RepositoryUnwritable

        reason = os.strerror(error.errno or 0).lower()
        raise RepositoryUnwritable(f"{render.name(str(folder.parent))} cannot be written: {reason}") from None


def _captures(here: Path, kind: str | None) -> bool | None:
    """Ask whether the env file is to be kept with the snapshots, if it is there and somebody can answer."""
    from cascli.template import TEMPLATES

    env_file = "" if kind is None else TEMPLATES[kind].env_file
    if not env_file or not (here / env_file).is_file() or not terminal():
        return None
    return click.confirm(
        f"Store {env_file} itself with each snapshot, sealed? Without its keys encrypted files are scrap",
        default=None, err=True,
    )  # fmt: skip


def _write_config(
    path: Path, name: str, place: str, patterns: Sequence[str], kind: str | None, capture: bool | None
) -> list[str]:
    """Write cas.toml, and give the patterns that it has come to hold."""
    from cascli.template import TEMPLATES, cas_toml

    template = TEMPLATES[kind] if kind is not None else None
    has_env = template is not None and (path.parent / template.env_file).is_file()
    if template is not None and not patterns:
        patterns = list(template.paths)
    text = cas_toml(name, place, patterns, template=template, has_env=has_env, capture=capture)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        os.fchmod(handle, 0o644)  # whatever the umask: what a group may write is not trusted
        file.write(text)
    return list(patterns)


def _told(
    folder: Path,
    key: Path,
    config: Path | None,
    secrets: Sequence[Passphrase | RecoveryWords],
    patterns: Sequence[str],
    world: World,
    *,
    has_app: bool,
) -> list[str]:
    lines = [f"repository  {render.name(str(folder))}", f"key file    {render.name(str(key))} (this host's own)"]
    ways = ["passphrase" if isinstance(one, Passphrase) else "recovery words" for one in secrets]
    lines.append(f"opened by   {' and '.join(['the key file', *ways])}")
    if config is not None:
        lines.append(f"cas.toml    {render.name(str(config))}: look it over{', then `cas doctor`' if has_app else ''}")
        suffixes = {Path(pattern).suffix for pattern in patterns}
        folders = {str(Path(pattern).parent) for pattern in patterns}
        if len(patterns) > 1 and len(suffixes) == len(folders) == 1:
            wider = str(Path(folders.pop(), f"*{suffixes.pop()}"))
            lines.append(f"            these {len(patterns)} are saved; `{wider}` there would take later ones as well")
    elif patterns:
        lines.append("cas.toml    is here already and was left alone: see that its `paths` are what you want")
    if not secrets:
        lines.append("Without this host's key file nothing opens it: keep a copy elsewhere, or `cas key add`.")
    elif len(secrets) == 1:
        lines.append("`cas key recovery` makes words to be kept on paper, for the day the passphrase is lost.")
    named = config is not None or (world.found is not None and _named_in(world.found) == folder)
    what = "" if config is not None or world.found is not None else " PATH…"
    lines.append(f"next        cas {'' if named else f'-r {render.name(str(folder))} '}backup{what}")
    return lines


def _named_in(found: Found) -> Path:
    return repository_place(found.config, found.folder).absolute()
