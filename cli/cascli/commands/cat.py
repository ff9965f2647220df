"""`cas cat`: what the repository is made of, as JSON, for support. No secret is ever among it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict

import click

from cascli import render
from cascli.opening import open_repository
from cascli.options import MOMENT, Common, common
from cascli.paths import fields
from cascli.session import choose, using
from cascli.world import World
from casstore.errors import CasError, UsageError
from casstore.format.commit import Commit, open_commit
from casstore.format.commit import object_name as commit_name
from casstore.format.pack import Directory, object_name, open_pack
from casstore.ids import PackId, to_letters
from casstore.repository import Repository


@click.group(
    "cat",
    short_help="Show what the repository is made of, for support.",
    epilog="\b\nExamples:\n  cas cat header\n  cas cat commit 12\n  cas cat manifest latest\n  cas cat pack 3fa9",
)
@common
def command() -> None:
    """Show one part of the repository as JSON. docs/format.md says what each field means."""


@command.command("header")
@common
@click.pass_obj
def header(options: Common) -> None:
    """Show what the repository says of itself in the clear."""
    with closing(open_repository(World(options))) as repository:
        shown = asdict(repository.header) | {"header_hash": repository.header_hash}
    _show(shown)


@command.command("ledger")
@common
@click.pass_obj
def ledger(options: Common) -> None:
    """Show all commits, a line each: number, kind, id, packs."""
    with using(World(options)) as repository:
        for number in range(1, repository.ledger.head[0] + 1):
            try:
                commit = _commit(repository, number)
            except CasError as error:
                render.out(render.to_json({"number": number, "damaged": str(error)}))
                continue
            kind = commit.kind.name.lower()
            packs = [name.hex() for name, _ in commit.packs]
            fields = {"number": number, "kind": kind, "id": commit.id.hex(), "clock_ns": commit.clock_ns}
            if kind == "snapshot":
                fields["snapshot"] = to_letters(commit.id)
            render.out(render.to_json(fields | {"packs": packs}))


@command.command("commit")
@click.argument("commit")
@common
@click.pass_obj
def commit(options: Common, commit: str) -> None:
    """Show one commit: a number, or a snapshot as everywhere."""
    world = World(options)
    with using(world) as repository:
        number = int(commit) if commit.isdecimal() and len(commit) < 8 else choose(world, repository, commit).number
        if not 1 <= number <= repository.ledger.head[0]:
            raise UsageError(f"there is no commit {number}", hint=f"The last is {repository.ledger.head[0]}.")
        opened = _commit(repository, number)
    fields = asdict(opened) | {"kind": opened.kind.name.lower(), "bytes": len(opened.stored)}
    del fields["stored"]
    _show(fields)


@command.command("manifest", short_help="Show the manifest of a snapshot, an entry a line.")
@click.argument("snapshot", default="latest", type=MOMENT, metavar="[SNAPSHOT]")
@common
@click.pass_obj
def manifest(options: Common, snapshot: str) -> None:
    """Show the manifest of a snapshot, an entry a line, with the roots of the files."""
    world = World(options)
    with using(world) as repository:
        chosen = choose(world, repository, snapshot)
        head = repository.head(chosen)
        beside = {"fingerprints": dict(head.fingerprints), "sidecar": head.sidecar._asdict() if head.sidecar else None}
        top = {"root": chosen.manifest._asdict(), "selection": head.selection, "config": head.config._asdict()}
        _show(top | beside)
        for entry in repository.entries(chosen):
            _show(fields(entry, chosen.zone_minutes) | {"content": entry.content._asdict(), "extents": entry.extents})


@command.command("pack", short_help="Show the directory of a pack.")
@click.argument("pack")
@common
@click.pass_obj
def pack(options: Common, pack: str) -> None:
    """Show the directory of a pack, named by its id or the beginning of it."""
    with using(World(options)) as repository:
        name = _find(repository, pack.lower())
        stored = repository.backend.read(object_name(name))
        directory = open_pack(stored, repository.keys)
    _show({"pack": name, "bytes": len(stored), "blobs": _blobs(directory)})


def _commit(repository: Repository, number: int) -> Commit:
    return open_commit(repository.backend.read(commit_name(number)), repository.header_hash, repository.keys.commit)


def _find(repository: Repository, prefix: str) -> PackId:
    found = [name for name, _ in repository.cache.packs() if prefix and name.hex().startswith(prefix)]
    if len(found) != 1:
        what = f"`{prefix}` begins the names of {len(found)} packs" if found else f"there is no pack `{prefix}`"
        raise CasError(what, hint="`cas cat ledger` lists the packs.")
    return found[0]


def _blobs(directory: Directory) -> list[dict[str, object]]:
    return [asdict(blob) | {"offset": offset} for blob, offset in zip(directory.blobs, directory.offsets, strict=True)]


def _show(value: object) -> None:
    render.out(render.to_json(_plain(value)))


def _plain(value: object) -> object:
    """Make a value fit for JSON: bytes as hex digits, keys as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
