"""What a runbook is written from: cas.toml, the repository, the reports of drills and recoveries."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import version

from cascli.session import own_snapshots
from cascli.world import Found, World, local_folder
from casstore.errors import Damaged
from casstore.notes import drilled
from casstore.recovery import due
from casstore.recovery.environment import EnvFileUnreadable, read_env_file
from casstore.recovery.past_reports import read_reports
from casstore.recovery.plan import Plan, parse
from casstore.recovery.runbook import Described, Way
from casstore.repository import Repository
from casstore.slots import list_slots


def describe(world: World, found: Found, repository: Repository) -> Described:
    """Gather it."""
    plan = parse(found.text.decode(), file=str(found.folder / "cas.toml"))
    unproven = due.unproven(drilled(repository, found.name), found.folder)
    reports, unreadable = read_reports(found.folder, but=unproven)
    ways = sorted((slot.kind, slot.created_ns, slot.label) for slot in list_slots(repository))
    return Described(
        found.name, str(found.folder), found.config, plan, str(local_folder(world.place)),
        repository.header.repository.hex(), tuple(Way(kind.name.lower(), label) for kind, _, label in ways),
        _variables(world, found, plan, repository), tuple(reports), tuple(unreadable), tuple(unproven),
        version("casstore"),
    )  # fmt: skip


def _variables(world: World, found: Found, plan: Plan, repository: Repository) -> tuple[str, ...]:
    """Name what stands in the env file; where it is not here, what the newest snapshot was taken under."""
    if not plan.app.env_file:
        return ()
    if os.path.lexists(found.folder / plan.app.env_file):
        with suppress(EnvFileUnreadable):
            return tuple(read_env_file(found.folder / plan.app.env_file))
    snapshots = [snapshot for snapshot in own_snapshots(world, repository) if not snapshot.imported]
    with suppress(Damaged):
        return tuple(name for name, _ in repository.head(snapshots[-1]).fingerprints) if snapshots else ()
    return ()
