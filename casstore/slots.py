"""The ways to open a repository: listed, added, removed, and proven.

A slot is proven when its secret, kept outside this host, was shown to open it; a note in the ledger says when.
"""

from __future__ import annotations

from casstore import keyring
from casstore.crypto import Argon2
from casstore.errors import CasError
from casstore.format.commit import CommitKind
from casstore.format.slot import Role, SlotKind, SlotRecord, Unlocked
from casstore.ids import SlotId
from casstore.keyring import Secret
from casstore.repository import Repository
from casstore.values import dataclass

PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Slot:
    """A way to open the repository, as it is listed. `proven_ns`: when its secret was last shown to open it."""

    id: SlotId
    kind: SlotKind
    role: Role
    label: str
    created_ns: int
    proven_ns: int | None = None


def list_slots(repository: Repository) -> list[Slot]:
    """List the ways to open the repository."""
    found, _ = _read(repository)
    proven = _proven(repository)
    return [
        Slot(slot, stored.head.kind, stored.head.role, stored.head.label, stored.head.created_ns, proven.get(slot))
        for slot, stored in found.items()
    ]


def unusable_slots(repository: Repository) -> dict[SlotId, CasError]:
    """Name what lies among the slots and is damaged, too new, or not of the admin, and say why."""
    return _read(repository)[1]


def find_slot(repository: Repository, secret: Secret) -> SlotId:
    """Give the slot that a secret opens.

    Raises:
        WrongSecret: there is none. FormatDamaged: it is damaged.
    """
    return keyring.open_slot(
        secret, repository.backend, repository.header_hash, repository.header.admin_public
    )[0]  # fmt: skip


def add_slot(repository: Repository, secret: Secret, *, label: str, now_ns: int, cost: Argon2 | None = None) -> SlotId:
    """Add a way to open the repository; on return it is durable."""
    repository.check_writable()
    host = repository.host
    return keyring.add_slot(
        repository.backend, secret, Unlocked(host.root_secrets, host.admin_seed),
        header_hash=repository.header_hash, label=label, now_ns=now_ns, cost=cost or Argon2(),
    )  # fmt: skip


def remove_slot(repository: Repository, slot: SlotId) -> None:
    """Remove a slot, never the last. Who copied it and its secret before still opens the repository.

    Raises:
        UsageError: there is no such slot, or it is the last.
    """
    keyring.remove_slot(repository.backend, slot, repository.header_hash, repository.header.admin_public)


def prove(repository: Repository, slot: SlotId, now_ns: int) -> None:
    """Record that the secret of a slot, kept outside this host, was shown to open it."""
    repository.check_writable()
    repository.welcome(now_ns)
    repository.append(CommitKind.NOTE, {0: PROVEN, 1: {0: slot, 1: now_ns}}, clock_ns=now_ns)


def proven_elsewhere(repository: Repository) -> bool:
    """Whether a secret that does not lie on this host has been proven and still has its slot."""
    proven = _proven(repository)
    return bool(proven) and not proven.keys().isdisjoint(_read(repository)[0])


def _read(repository: Repository) -> tuple[dict[SlotId, SlotRecord], dict[SlotId, CasError]]:
    return keyring.read_slots(repository.backend, repository.header_hash, repository.header.admin_public)


def _proven(repository: Repository) -> dict[SlotId, int]:
    """Give when each slot was last proven. A host may sign any note: what is no proof is passed over."""
    proven: dict[SlotId, int] = {}
    for note in repository.catalogue.notes():
        body = note.body
        facts = body.get(1)
        if body.get(0) == PROVEN and type(facts) is dict:
            slot, at_ns = facts.get(0), facts.get(1)
            if type(slot) is bytes and type(at_ns) is int:
                proven[SlotId(slot)] = at_ns
    return proven
