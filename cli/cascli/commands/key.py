"""`cas key`: the ways to open the repository."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cascli import render, secret, words
from cascli.display import note
from cascli.options import FILE, Common, common
from cascli.session import iso, using
from cascli.world import World, terminal
from casstore import moments
from casstore.errors import CasError, UsageError
from casstore.format.slot import SlotKind
from casstore.ids import SlotId
from casstore.keyring import KeyFile, Passphrase, RecoveryWords, Secret, slot_name, write_private
from casstore.opening import new_recovery_words
from casstore.repository import Repository
from casstore.slots import Slot, add_slot, find_slot, list_slots, prove, remove_slot, unusable_slots

NAMES = {SlotKind.PASSPHRASE: "passphrase", SlotKind.KEY_FILE: "key file", SlotKind.RECOVERY: "recovery words"}
NOT_REENCRYPTED = (
    "Who knew that secret and has a copy of the repository's old slot can still read what was saved so far: "
    "removing a slot does not encrypt anything anew."
)


@click.group(
    "key",
    short_help="Passphrases, key files and recovery words that open the repository.",
    epilog="\b\nExamples:\n  cas key list\n  cas key add --label office\n  cas key recovery --check",
)
@common
def command() -> None:
    """List, add and remove the secrets that open the repository. This host's own key file is none of them."""


@command.command("list")
@common
@click.pass_obj
def listing(options: Common) -> None:
    """List the slots: each is a way to open the repository."""
    world = World(options)
    with using(world) as repository:
        slots = list_slots(repository)
        unusable = unusable_slots(repository)
    for slot, error in unusable.items():
        note(options, f"warning: {slot_name(slot)} opens nothing: {error}", "warning")
    if options.json:
        render.out(render.to_json([_fields(slot) for slot in slots]))
        return
    zone = world.zone_minutes()
    rows = [
        [
            slot.id.hex(),
            NAMES[slot.kind],
            render.name(slot.label),
            moments.stamp(slot.created_ns, zone),
            moments.stamp(slot.proven_ns, zone) if slot.proven_ns is not None else "never",
        ]
        for slot in slots
    ]
    shown = render.table(("slot", "opened by", "label", "made", "proven"), rows)
    render.lines([render.bold(shown[0]), *shown[1:]])


@command.command("add", short_help="Add a passphrase.")
@click.option("--label", metavar="TEXT", default="", help="What to call it in `cas key list`.")
@click.option(
    "--new-key-file", type=FILE, metavar="FILE", help="Make a key file there instead of asking for a passphrase."
)
@common
@click.pass_obj
def add(options: Common, label: str, new_key_file: str | None) -> None:
    """Add a passphrase: asked for twice, or from CAS_NEW_PASSWORD; or a key file."""
    world = World(options)
    with using(world, writes=True) as repository:
        chosen: Secret
        if new_key_file:
            path = Path(new_key_file).expanduser().absolute()
            write_private(path, os.urandom(32))
            chosen = KeyFile(path)
        else:
            chosen = _new_passphrase()
        _add(repository, world, chosen, label)


@command.command("remove")
@click.argument("slot")
@common
@click.pass_obj
def remove(options: Common, slot: str) -> None:
    """Remove a slot, named by its id or the beginning of it. The last one stays."""
    world = World(options)
    with using(world, writes=True) as repository:
        found, kind = _find(repository, slot)
        remove_slot(repository, found)
    if options.json:
        render.out(render.to_json({"message_type": "removed", "id": found.hex()}))
    note(options, f"removed {kind} {found.hex()}. {NOT_REENCRYPTED}")


@command.command("passwd", short_help="Change the passphrase.")
@click.option("--check", is_flag=True, help="Ask for the passphrase, open the repository with it, and record the date.")
@common
@click.pass_obj
def passwd(options: Common, check: bool) -> None:
    """Change the passphrase: a new slot is made, then the old one removed."""
    world = World(options)
    with using(world, writes=True) as repository:
        if check:
            slot = find_slot(repository, secret.ask_again("The passphrase"))
            prove(repository, slot, world.now_ns)
            repository.acknowledge()
            note(options, "The passphrase opens the repository; the date is recorded.")
            return
        slot = find_slot(repository, secret.from_environment() or secret.ask("The passphrase"))
        before = next(one for one in list_slots(repository) if one.id == slot)
        _add(repository, world, _new_passphrase(), before.label)
        remove_slot(repository, slot)
    note(options, f"The old passphrase no longer opens it. {NOT_REENCRYPTED}")


@command.command("recovery", short_help="Make recovery words and show them once, or check them.")
@click.option("--check", is_flag=True, help="Ask for all words, open the repository with them, and record the date.")
@common
@click.pass_obj
def recovery(options: Common, check: bool) -> None:
    """Make recovery words and show them once; or, with --check, prove those that are on paper."""
    world = World(options)
    if check:
        typed = secret.ask_words()
        with using(World(_without_words(options)), writes=True) as repository:
            slot = find_slot(repository, RecoveryWords(typed))
            prove(repository, slot, world.now_ns)
            repository.acknowledge()
        note(options, "The recovery words open the repository; the date is recorded.")
        return
    if not terminal():
        raise secret.NoTerminal(
            "recovery words are shown on a terminal only, and this is none",
            hint="Run it by hand; `--check` also takes the words from stdin.",
        )
    with using(world, writes=True) as repository:
        made = new_recovery_words()
        words.show_and_check(made)
        _add(repository, world, RecoveryWords(made), "")


def _without_words(options: Common) -> Common:
    from dataclasses import replace

    return replace(options, recovery_words=False)


def _new_passphrase() -> Passphrase:
    if text := os.environ.get("CAS_NEW_PASSWORD"):
        return Passphrase(text)
    if not terminal():
        raise secret.NoTerminal(
            "a new passphrase is needed and there is no terminal to ask on", hint="Set CAS_NEW_PASSWORD."
        )
    return secret.ask("The new passphrase", twice=True)


def _add(repository: Repository, world: World, chosen: Secret, label: str) -> None:
    slot = add_slot(repository, chosen, label=label, now_ns=world.now_ns)
    if isinstance(chosen, RecoveryWords) or (isinstance(chosen, Passphrase) and chosen.typed):
        prove(repository, slot, world.now_ns)
        repository.acknowledge()
    if world.options.json:
        found = next(one for one in list_slots(repository) if one.id == slot)
        render.out(render.to_json(_fields(found)))
    else:
        note(world.options, f"added slot {slot.hex()}")


def _find(repository: Repository, text: str) -> tuple[SlotId, str]:
    """Give the slot whose id begins so, and what it is; what is damaged or planted can be named too."""
    known = {slot.id: NAMES[slot.kind] for slot in list_slots(repository)}
    known |= dict.fromkeys(unusable_slots(repository), "what opened nothing,")
    found = [slot for slot in known if text and slot.hex().startswith(text.lower())]
    if len(found) > 1:
        raise UsageError(f"`{text}` begins the ids of {len(found)} slots", hint="`cas key list` shows them.")
    if not found:
        raise CasError(f"there is no slot `{text}`", hint="`cas key list` shows the slots.")
    return found[0], known[found[0]]


def _fields(slot: Slot) -> dict[str, object]:
    return {
        "id": slot.id.hex(),
        "kind": slot.kind.name.lower(),
        "role": slot.role.name.lower(),
        "label": slot.label,
        "created": iso(slot.created_ns, 0),
        "proven": None if slot.proven_ns is None else iso(slot.proven_ns, 0),
    }
