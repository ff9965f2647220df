"""Proofs that hosts note in the ledger: all was verified, a recovery was rehearsed. docs/format.md § Commit.

A host may sign any note, so what has another shape is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from casstore.crypto import host_id, public_key
from casstore.errors import CasError
from casstore.format.commit import CommitKind
from casstore.repository import Repository
from casstore.values import dataclass

ALL, STRUCTURE = "all", "structure"  # what was read; else a part as `cas verify --read-data-subset` has it
_PART = re.compile(r"(\d{1,3})/(\d{1,3})")


class Unnoted(CasError):
    """What was found cannot be noted by this host."""


@dataclass(frozen=True, slots=True)
class Verified:
    """All snapshots were verified; `read` says how much of the data was read for it."""

    at_ns: int
    read: str
    damages: int


@dataclass(frozen=True, slots=True)
class Drilled:
    """A recovery of an application was rehearsed."""

    at_ns: int
    name: str  # of the application
    held: bool  # all of it
    report: bytes  # SHA-256 of the report, so that a later change of it shows
    away_ns: int  # how long the application was away: the measured RTO; 0: it never came back
    versions: tuple[tuple[str, str], ...]  # of what it was done with


def note_verified(repository: Repository, verified: Verified) -> None:
    """Record it, durably.

    Raises:
        Unnoted: this host never wrote to the repository. RepositoryUnwritable, AnchorUnwritable: it cannot now.
    """
    _note(repository, "verified", {0: verified.at_ns, 1: verified.read, 2: verified.damages}, verified.at_ns)


def note_drilled(repository: Repository, drilled: Drilled) -> None:
    """Record it, durably; raises as `note_verified`."""
    facts: dict[int, object] = {
        0: drilled.at_ns, 1: drilled.name, 2: int(drilled.held), 3: drilled.report, 4: drilled.away_ns,
        5: [list(pair) for pair in drilled.versions],
    }  # fmt: skip
    _note(repository, "drilled", facts, drilled.at_ns)


def verified(repository: Repository) -> list[Verified]:
    """Give what was verified, in the order of the ledger."""
    shape = (int, str, int)
    return [Verified(*facts) for facts in _facts(repository, "verified", shape) if facts[2] >= 0]


def drilled(repository: Repository, name: str) -> list[Drilled]:
    """Give the rehearsals of an application, in the order of the ledger."""
    found = []
    for at_ns, whose, held, report, away_ns, versions in _facts(
        repository, "drilled", (int, str, int, bytes, int, list)
    ):
        if whose == name and len(report) == 32 and away_ns >= 0 and all(map(_is_pair, versions)):
            pairs = tuple((one, version) for one, version in versions)
            found.append(Drilled(at_ns, whose, held == 1, report, away_ns, pairs))
    return found


def read_whole(notes: Iterable[Verified]) -> int | None:
    """Give since when all data is proven: by one that read all, or by the oldest of those that read all parts."""
    whole: list[int] = []
    parts: dict[int, dict[int, int]] = {}
    for note in notes:
        match = _PART.fullmatch(note.read)
        if note.damages:
            continue
        if note.read == ALL:
            whole.append(note.at_ns)
        elif match:
            parts.setdefault(int(match[2]), {})[int(match[1])] = note.at_ns
    whole += [min(read.values()) for of, read in parts.items() if of and read.keys() >= set(range(1, of + 1))]
    return max(whole, default=None)


def _note(repository: Repository, what: str, facts: dict[int, object], now_ns: int) -> None:
    if host_id(public_key(repository.host.seed)) not in repository.ledger.hosts:
        # Signing it in would leave a key here, and somebody may only have looked, with words from a safe.
        raise Unnoted("this host never wrote to the repository, so what it found is not noted there")
    repository.check_writable()
    repository.append(CommitKind.NOTE, {0: what, 1: facts}, clock_ns=now_ns)
    repository.acknowledge()


def _facts(repository: Repository, what: str, shape: Sequence[type]) -> Iterator[list[Any]]:
    for note in repository.catalogue.notes():
        facts = note.body[1]
        if note.body[0] == what and list(facts) == list(range(len(shape))):
            values = list(facts.values())
            if [type(value) for value in values] == list(shape):
                yield values


def _is_pair(value: object) -> bool:
    return type(value) is list and [type(one) for one in value] == [str, str]
