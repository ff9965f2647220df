"""`cas status`: am I safe? Read from the repository, not from the job that fills it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from cascli import findings, render, textfile
from cascli.display import note
from cascli.options import FILE, Common, common
from cascli.session import doubts_of, iso, of_here, snapshot_fields, using
from cascli.textfile import Gauge
from cascli.world import World, surroundings
from casstore import moments, notes
from casstore.errors import CasError
from casstore.recovery import due, notify
from casstore.recovery.disks import data_beside
from casstore.recovery.environment import Environment
from casstore.recovery.findings import Finding, Level, worst
from casstore.recovery.plan import Plan, parse
from casstore.recovery.status import Evidence, Status, judge, moment
from casstore.repository import Repository
from casstore.slots import proven_elsewhere
from casstore.snapshot import Snapshot
from casstore.values import dataclass

BROKEN = 30
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "red"}


@click.command(
    "status",
    short_help="Am I safe? What is wrong first, with what to do.",
    epilog="\b\nExamples:\n  cas status\n  cas -r /mnt/disk/cas status         a copy, on another host perhaps\n"
    "  cas status --quiet --notify         unattended, as `cas schedule` has it\n"
    "  cas status --prometheus /var/lib/node_exporter/cas.prom\n\n"
    "Exit codes: 0 green or yellow · 30 red, a promise is broken.",
)
@click.option("--prometheus", type=FILE, metavar="FILE", help="Write the figures there, for the textfile collector.")
@click.option("--notify", "tells", is_flag=True, help="Tell `to` of [notify] when a promise is broken.")
@common
@click.pass_obj
def command(options: Common, prometheus: str | None, tells: bool) -> int:
    """Hold what the repository has against the [promises] of cas.toml, or of what the newest snapshot was taken by.

    Red: a promise is broken or cannot be read, data is damaged, there is no snapshot, or a restore did not come to its
    end. Yellow: something may break all promises at once, such as a repository on the disk of the data, or no secret
    that is known to be kept elsewhere.
    """
    world = World(options)
    try:
        with using(world) as repository:
            seen = [_look(world, repository, name) for name in _names(world, repository)]
            stored = sum(size for found in repository.objects().values() for _, size in found)
    except CasError as error:
        if tells and world.found is not None:
            _tell(world, _plan_of(world.found.text)[0], "the repository cannot be read", render.printable(str(error)))
        raise
    level = max(one.level for one in seen)
    if prometheus is not None:
        textfile.replace(Path(prometheus).expanduser(), textfile.text_of(_gauges(seen, stored, world.now_ns)))
    if options.json:
        applications = [_fields(one) for one in seen]
        render.out(render.to_json({"status": COLOURS[level], "stored": stored, "applications": applications}))
    else:
        for one in seen:
            render.lines(_told(one, stored, world))
    for one in seen if tells else ():
        if one.level is Level.FAILURE:
            body = "\n".join(findings.shown(one.status.findings, quiet=True))
            _tell(world, one.plan, "a promise is broken", body, name=one.name)
    return BROKEN if level is Level.FAILURE else 0


@dataclass(frozen=True, slots=True)
class _Application:
    name: str
    plan: Plan
    snapshots: Sequence[Snapshot]
    status: Status

    @property
    def level(self) -> Level:
        return worst(self.status.findings)


# ── looking ──


def _names(world: World, repository: Repository) -> list[str]:
    """Give the application of the cas.toml here, or else all that have snapshots."""
    if world.found is not None:
        return [world.found.name]
    return list(dict.fromkeys(snapshot.name for snapshot in repository.snapshots())) or [""]


def _look(world: World, repository: Repository, name: str) -> _Application:
    snapshots = of_here(world, [snapshot for snapshot in repository.snapshots() if snapshot.name == name])
    if world.found is not None:
        plan, troubles = _plan_of(world.found.text, str(world.found.folder / "cas.toml"))
    else:
        plan, troubles = _plan_in(repository, snapshots)
    seen = Evidence(
        snapshots=snapshots, doubts=doubts_of(repository), verified=notes.verified(repository),
        drilled=notes.drilled(repository, name), proven_elsewhere=proven_elsewhere(repository),
        beside_data=_beside(world, repository, snapshots), unreadable=len(repository.damaged),
        since_drill=_since_drill(world, repository, name),
    )  # fmt: skip
    if world.found is not None:
        troubles += findings.unfinished(world.found.folder)
        troubles += due.reports(seen.drilled, world.found.folder)
    return _Application(name, plan, snapshots, judge(seen, plan.promises, world.now_ns, troubles))


def _since_drill(world: World, repository: Repository, name: str) -> list[str]:
    """Say what makes the last rehearsal prove less; nothing where the application's folder is not at hand."""
    return [] if world.found is None else due.since(notes.drilled(repository, name), world.found.folder)


def _plan_of(text: bytes, file: str = "cas.toml") -> tuple[Plan, list[Finding]]:
    """Read what is promised; where it cannot be read all promises may be broken, and nobody would hear of it."""
    try:
        return parse(text.decode(), file=file), []
    except (CasError, UnicodeDecodeError) as error:
        todo = "Mend it: what was promised cannot be judged until then."
        return Plan(), [Finding("promises", Level.FAILURE, str(error), todo)]


def _plan_in(repository: Repository, snapshots: Sequence[Snapshot]) -> tuple[Plan, list[Finding]]:
    if not snapshots:
        return Plan(), []
    try:
        text = b"".join(repository.read(repository.head(snapshots[-1]).config))
    except CasError as error:
        return Plan(), [Finding("promises", Level.FAILURE, str(error), "`cas verify` says what else is lost.")]
    return _plan_of(text, "cas.toml of the newest snapshot")


def _beside(world: World, repository: Repository, snapshots: Sequence[Snapshot]) -> bool | None:
    """Whether the repository lies on a disk of the data; None if these are not on this host."""
    place = getattr(repository.backend, "folder", None)
    if place is None:
        return None
    if world.found is not None:
        return data_beside(world.found.folder, world.found.config.paths, place)
    if snapshots and snapshots[-1].hostname == world.hostname:
        return data_beside(Path(os.fsdecode(snapshots[-1].origin)), (".",), place)
    return None


# ── telling ──


def _told(one: _Application, stored: int, world: World) -> list[str]:
    status, quiet = one.status, world.options.quiet
    if quiet and one.level is Level.OK:
        return []
    name = render.name(one.name) or "(no name)"
    lines = [render.bold(f"{name}: {COLOURS[one.level]} ({findings.counted(status.findings)})")]
    lines += findings.shown(status.findings, quiet=quiet)
    if quiet:
        return lines
    if status.newest is not None:
        lines.append(f"  newest   {moments.told(status.newest, world.now_ns)}")
    if status.good is not None and status.good is not status.newest:
        lines.append(f"  good     {moments.told(status.good, world.now_ns)}")
    growth = f"{render.size(status.growth)} a day of the last week"
    lines.append(f"  size     {render.size(stored)} for {render.count(len(one.snapshots), 'snapshot')}, {growth}")
    return lines


def _fields(one: _Application) -> dict[str, object]:
    status, promises = one.status, one.plan.promises
    drill = status.drilled
    promised = {
        "rpo": promises.rpo_ns, "rto": promises.rto_ns, "verify_every": promises.verify_every_ns,
        "drill_every": promises.drill_every_ns,
    }  # fmt: skip
    return {
        "name": one.name,
        "status": COLOURS[one.level],
        "findings": findings.fields(status.findings),
        "newest": None if status.newest is None else snapshot_fields(status.newest),
        "last_good": None if status.good is None else snapshot_fields(status.good),
        "verified": None if status.verified_ns is None else iso(status.verified_ns, 0),
        "drilled": None if drill is None else iso(drill.at_ns, 0),
        "drill_held": None if drill is None else drill.held,
        "promises_seconds": {key: ns / 1e9 for key, ns in promised.items() if ns is not None},
        "snapshots": len(one.snapshots),
        "growth_per_day": status.growth,
    }


def _gauges(seen: Sequence[_Application], stored: int, now_ns: int) -> list[Gauge]:
    def of(name: str, shown: str, values: Sequence[float | None]) -> Gauge:
        labels = ({"application": one.name} for one in seen)
        pairs = zip(labels, values, strict=True)
        return Gauge(f"cas_{name}", shown, tuple((label, value) for label, value in pairs if value is not None))

    levels = tuple(
        ({"application": one.name, "topic": found.topic}, int(found.level))
        for one in seen
        for found in one.status.findings
    )
    drills = [one.status.drilled for one in seen]
    return [
        Gauge("cas_checked_timestamp_seconds", "When the repository was read for this.", (({}, now_ns / 1e9),)),
        Gauge("cas_repository_bytes", "What the repository takes.", (({}, stored),)),
        of("status", "0 green, 1 yellow, 2 red: a promise is broken.", [int(one.level) for one in seen]),
        Gauge("cas_finding", "0 well, 1 a warning, 2 a failure, by topic.", levels),
        of("snapshots", "How many snapshots there are.", [len(one.snapshots) for one in seen]),
        of("newest_timestamp_seconds", "The moment that the newest snapshot holds.",
           [None if one.status.newest is None else moment(one.status.newest) / 1e9 for one in seen]),
        of("good_timestamp_seconds", "The moment of the newest snapshot that is in no doubt.",
           [None if one.status.good is None else moment(one.status.good) / 1e9 for one in seen]),
        of("rpo_seconds", "How old that may be, as promised.",
           [None if one.plan.promises.rpo_ns is None else one.plan.promises.rpo_ns / 1e9 for one in seen]),
        of("verified_timestamp_seconds", "Since when all data is proven by being read back.",
           [None if one.status.verified_ns is None else one.status.verified_ns / 1e9 for one in seen]),
        of("drilled_timestamp_seconds", "When a recovery was last rehearsed.",
           [None if drill is None else drill.at_ns / 1e9 for drill in drills]),
        of("drill_held", "1 if all of that held.", [None if drill is None else int(drill.held) for drill in drills]),
        of("growth_bytes_per_day", "What was stored per day of the last week.", [one.status.growth for one in seen]),
    ]  # fmt: skip


def _tell(world: World, plan: Plan, what: str, body: str, *, name: str = "") -> None:
    """Tell the people of [notify]; if that fails it is one more thing to say here."""
    if not plan.notify.to:
        return
    whose = name or (world.found.name if world.found is not None else world.place)
    try:
        folder = world.found.folder if world.found is not None else None
        environment = (
            Environment(process=surroundings()) if folder is None else Environment.of(plan.app, folder, surroundings())
        )
        addresses = [environment.expand(address) for address in plan.notify.to]
        notify.send(addresses, f"cas: {whose} on {world.hostname}: {what}", body)
    except CasError as error:
        note(world.options, f"warning: {error}", "warning")
