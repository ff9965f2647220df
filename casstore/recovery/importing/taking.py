"""The verb: each old backup becomes a snapshot at its own time, in order of time, and then all are proven.

What was imported before is known by its time and by holding what its folder holds, so a second run, or one after an
interruption, adds nothing. A folder that is not what was imported of its moment was changed since, or half removed: it
is refused, or the moment would be that of what is left. The proof goes by a repository opened afresh: nothing that this
process remembers counts.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path

from casstore.backup import backup
from casstore.backup.torn import Verdict
from casstore.entry import join
from casstore.errors import Damaged
from casstore.losses import Origin
from casstore.progress import Advanced, Event, Notice, Problem, Progress, Stage, Torn, Warned, silent
from casstore.recovery.importing.found import Identity, OldBackup, Refused, ZoneAt, find, look
from casstore.recovery.importing.gathered import GatheredSource
from casstore.recovery.importing.places import Places, parents
from casstore.recovery.importing.proof import Finding, What, compare
from casstore.repository import Repository
from casstore.selection import Selection, ignore_rules
from casstore.snapshot import Snapshot
from casstore.source import Source, is_left_out
from casstore.values import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose backups they are; snapshots of it are taken with the same hostname, name, origin and selection."""

    origin: bytes  # absolute folder
    hostname: str
    name: str
    selection: Selection
    config: bytes  # cas.toml

    @property
    def source(self) -> Origin:
        """What its snapshots are of."""
        return self.hostname, self.name, self.origin


@dataclass(slots=True)
class Imported:
    """What became of one old backup. `snapshot` is None in a dry run, of what would be imported."""

    old: OldBackup
    snapshot: Snapshot | None
    is_new: bool
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_proven(self) -> bool:
        """Whether the repository gives back all that lies in the folder."""
        return self.snapshot is not None and not self.findings

    @property
    def is_done_with(self) -> bool:
        """Whether nothing speaks for keeping the folder: it is proven, and lacks nothing that the others have."""
        return self.is_proven and not self.old.missing

    @property
    def has_failed(self) -> bool:
        """Whether what was saved is not what lies in the folder."""
        return any(finding.what is not What.UNSAVED for finding in self.findings)

    @property
    def is_incomplete(self) -> bool:
        """Whether the backup was not whole itself, or could not be saved whole."""
        old = self.old
        return bool(old.torn or old.missing or old.links or old.left_out or self.findings)


@dataclass(frozen=True, slots=True)
class Imports:
    """What became of all, in order of time, and what was not imported."""

    imported: list[Imported]
    refused: list[Refused]


def import_backups(
    repository: Repository,
    folder: Path,
    owner: Owner,
    *,
    now_ns: int,
    zone_at: ZoneAt,
    dry_run: bool = False,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Imports:
    """Import the old backups that lie in a folder, and compare each with its snapshot byte by byte.

    `zone_at` tells the offset in minutes that clocks here showed at a time in ns. What is odd in a backup is told:
    Torn, Warned of what is missing, and Notice of what belongs nowhere; paths begin with the name of its folder.

    Raises:
        CasError: the folder cannot be listed.
        RepositoryUnwritable: what was imported until then stays.
    """
    repository.refresh()
    backups, refused = _survey(repository, folder, owner, now_ns, zone_at, progress)
    imported = []
    taken: defaultdict[int, list[Snapshot]] = defaultdict(list)
    for old, snapshot, another in _met_again(repository, owner, backups):
        if another is not None:
            refused.append(Refused(old.folder, _difference(repository, another, old)))
            continue
        _tell(old, progress)
        snapshot = snapshot or _holding(repository, taken[old.time_ns], old)
        is_new = snapshot is None
        if snapshot is None and not dry_run:
            progress(Stage(f"importing {old.folder.name}"))
            snapshot = _take(repository, owner, old, now_ns, clock, progress)
            taken[old.time_ns].append(snapshot)
        imported.append(Imported(old, snapshot, is_new))
    progress(Stage("comparing"))
    with repository.afresh() as fresh:
        fresh.refresh()
        for number, one in enumerate(imported):
            progress(Advanced(number, 0, len(imported)))
            if one.snapshot is not None:
                one.findings = list(compare(fresh, one.snapshot, one.old))
    return Imports(imported, refused)


# ── what there is ──


def _survey(
    repository: Repository, folder: Path, owner: Owner, now_ns: int, zone_at: ZoneAt, progress: Progress
) -> tuple[list[OldBackup], list[Refused]]:
    progress(Stage("looking into the old backups"))
    found, refused = find(folder, now_ns=now_ns, zone_at=zone_at, passes_over=repository.never)
    never = {*repository.never, *_identity(owner.origin)}
    backups = []
    for number, old in enumerate(found):
        progress(Advanced(number, 0, len(found)))
        refusal = look(old, never=never)
        if refusal is None:
            backups.append(old)
        else:
            refused.append(refusal)
    places = Places(_known_paths(repository, owner, folder, backups), owner.selection)
    for old in backups:
        _arrange(old, places, owner.selection)
    _mark(backups, owner.selection)
    return backups, refused


def _known_paths(repository: Repository, owner: Owner, folder: Path, backups: Sequence[OldBackup]) -> set[bytes]:
    """Give the paths of the application's files: as they are now, and as they were in its newest snapshot.

    The old backups themselves may lie among them, and say nothing.
    """
    origin = os.path.realpath(owner.origin)
    own = [os.path.realpath(os.fsencode(path)) for path in (folder, *(old.folder for old in backups))]
    never = [*repository.never, *(identity for path in own for identity in _identity(path))]
    known: set[bytes] = set()
    if os.path.isdir(origin):
        for listing in Source(origin, owner.selection, never=never).walk():
            known.update(join(listing.path, name) for name in listing.names)
    newest = repository.catalogue.newest(*owner.source)
    if newest is not None:
        apart = {os.path.relpath(path, origin) for path in own}
        with suppress(Damaged):  # what is live tells as well
            known.update(
                entry.path
                for entry in repository.entries(newest)
                if apart.isdisjoint((entry.path, *parents(entry.path)))
            )
    return known - {above for path in known for above in parents(path)}


def _identity(folder: bytes) -> list[Identity]:
    try:
        status = os.stat(folder)
    except OSError:
        return []
    return [(status.st_dev, status.st_ino)]


def _arrange(old: OldBackup, places: Places, selection: Selection) -> None:
    """Give each file its place, and leave out what the application leaves out."""
    stay = {path for path in old.verdicts if path in old.links or path in old.folders}
    arranged = places.arrange(old.verdicts.keys() - stay, old.folders)
    old.places = arranged.places | {path: path for path in stay}
    rules = ignore_rules(selection.exclude)
    if rules is not None:
        old.left_out = frozenset(
            path
            for path, place in old.places.items()
            if is_left_out(place, [(b"", rules)], is_folder=path in old.folders)
            or any(is_left_out(above, [(b"", rules)], is_folder=True) for above in parents(place))
        )
        old.places = {path: place for path, place in old.places.items() if path not in old.left_out}
    old.unsure = arranged.unsure - old.left_out


def _mark(backups: Sequence[OldBackup], selection: Selection) -> None:
    """Say what is torn in each, and what it lacks, by the others."""
    json = {old.places[path] for old in backups for path in old.places if old.verdicts[path] is Verdict.WHOLE}
    for old in backups:
        old.torn = frozenset(
            path
            for path, place in old.places.items()
            if not selection.grows(place)
            # Of more than one value in a file nobody can say that it is torn, but where the others are JSON.
            and (old.verdicts[path] is Verdict.BROKEN or (old.verdicts[path] is Verdict.LONGER and place in json))
        )
    held = [set(old.places.values()) for old in backups]
    counts = Counter(place for places in held for place in places)
    for old, missing in zip(backups, _missing(held, counts), strict=True):
        old.missing = frozenset(missing)


def _missing(held: Sequence[Collection[bytes]], counts: Counter[bytes]) -> Iterator[set[bytes]]:
    """Yield what each lacks though all others have it, or one before it and one after it."""
    first: dict[bytes, int] = {}
    last: dict[bytes, int] = {}
    for number, places in enumerate(held):
        for place in places:
            first.setdefault(place, number)
            last[place] = number
    for number, places in enumerate(held):
        yield {
            place
            for place, count in counts.items()
            if place not in places and (first[place] < number < last[place] or count == len(held) - 1)
        }


def _tell(old: OldBackup, progress: Progress) -> None:
    for path in sorted(old.torn):
        progress(Torn(join(old.name, path)))
    for path in sorted(old.missing):
        progress(Warned(join(old.name, path), "is missing; the others have it"))
    for path in sorted(old.links):
        progress(Warned(join(old.name, path), "is a symlink: it is saved as one, and not what it leads to"))
    for path in sorted(old.left_out):
        progress(Warned(join(old.name, path), "is left out, as cas.toml says"))
    for path in sorted(old.unsure):
        progress(Notice(join(old.name, path), "nothing tells where it belongs: its path stays"))


# ── what is done ──


def _imported_before(repository: Repository, owner: Owner) -> defaultdict[int, list[Snapshot]]:
    """Give what was imported of the application, by the times."""
    found: defaultdict[int, list[Snapshot]] = defaultdict(list)
    for snapshot in repository.snapshots():
        if snapshot.imported and snapshot.source == owner.source:
            found[snapshot.time_ns].append(snapshot)
    return found


def _holding(repository: Repository, snapshots: Iterable[Snapshot], old: OldBackup) -> Snapshot | None:
    """Give the one that holds this backup already. What is damaged in it is not saved once more, but told."""
    for snapshot in snapshots:
        if all(finding.what is not What.CHANGED for finding in compare(repository, snapshot, old)):
            return snapshot
    return None


def _met_again(
    repository: Repository, owner: Owner, backups: Sequence[OldBackup]
) -> Iterator[tuple[OldBackup, Snapshot | None, Snapshot | None]]:
    """Give with each the snapshot that holds it already; if none does, one of its moment that is of no folder here."""
    before = _imported_before(repository, owner)
    holding = [_holding(repository, before[old.time_ns], old) for old in backups]
    known = {snapshot.id for snapshot in holding if snapshot is not None}
    for old, snapshot in zip(backups, holding, strict=True):
        others = (one for one in before[old.time_ns] if one.id not in known)
        yield old, snapshot, None if snapshot is not None else next(others, None)


def _difference(repository: Repository, snapshot: Snapshot, old: OldBackup) -> str:
    """Say how a backup differs from what was imported of its moment, and of which no other folder is."""
    changes = (finding for finding in compare(repository, snapshot, old) if finding.what is What.CHANGED)
    first = next(changes, None)
    how = "" if first is None else f": {os.fsdecode(first.path)} {first.reason}"
    return f"it is not what was imported of this moment before{how}"


def _take(
    repository: Repository,
    owner: Owner,
    old: OldBackup,
    now_ns: int,
    clock: Callable[[], int] | None,
    progress: Progress,
) -> Snapshot:
    def hear(event: Event) -> None:
        if isinstance(event, Problem | Notice | Warned):
            event = replace(event, path=join(old.name, event.path))
        progress(event)

    source = GatheredSource(old, owner.origin, owner.selection, progress=hear)
    return backup(
        repository, source, now_ns=now_ns, zone_minutes=old.zone_minutes, hostname=owner.hostname,
        name=owner.name, config=owner.config, time_ns=old.time_ns, imported=True, guarded=False,
        clock=clock, progress=hear,
    )  # fmt: skip
