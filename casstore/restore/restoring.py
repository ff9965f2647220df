"""Restore: a snapshot into a folder, verified before anything live is touched, all or nothing, and undoable.

The order is that of journal.py. In place nothing is left half done: what cannot be fetched, placed or saved before
stops the restore while the live tree is as it was. Into another folder what is whole is restored, and the rest told.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from casstore.backup import backup
from casstore.config import Tuning
from casstore.entry import Entry
from casstore.errors import CasError, Damaged, RestoreUnfinished, UsageError
from casstore.progress import Event, Lost, Notice, Problem, Progress, Stage, Torn, silent
from casstore.repository import Repository
from casstore.restore.attributes import describe
from casstore.restore.finished import drop_record, write_record
from casstore.restore.given import Given
from casstore.restore.ground import Ground
from casstore.restore.journal import Action, Header, Identity, Step, end, read_header, read_spooled
from casstore.restore.plan import selection_of
from casstore.restore.recover import Live, alone, refuse_unfinished, set_modified, where
from casstore.restore.running import refuse_listening, refuse_writing
from casstore.restore.saved import NotSaved, extras, unsaved
from casstore.restore.stage import Stager
from casstore.restore.staging import Staging, sweep
from casstore.restore.survey import Survey, scope
from casstore.restore.swap import Swap
from casstore.snapshot import Snapshot
from casstore.source import Source
from casstore.values import dataclass

NAMED = 10  # paths that a message lists
WHOLE = Tuning(prove_logs_ns=0)  # a log that is about to be replaced is read whole first

Doomed = Callable[[Snapshot], Iterator[Entry]]  # from the pre-restore snapshot: what is to be deleted


class NotRestorable(Damaged):
    """Some of what was asked for cannot be brought back; nothing was touched. `paths` says which, and why."""

    def __init__(self, paths: Sequence[tuple[bytes, str]], *, damaged: bool) -> None:
        names = ", ".join(f"{os.fsdecode(path) or 'the list of files'} ({reason})" for path, reason in paths[:NAMED])
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        super().__init__(
            f"nothing was touched, since {len(paths)} of the paths cannot be restored: {names}{more}",
            hint="Name the paths that are whole, or restore what is whole elsewhere with --target."
            if damaged
            else "Name the other paths, or restore elsewhere with --target.",
        )
        self.paths = tuple(paths)
        self.exit_code = 20 if damaged else 1


class TargetUnwritable(CasError):
    """The target refuses what a restore must do; the live tree is as it was."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. Counts are of paths; `total_bytes` were fetched and written."""

    snapshot: Snapshot
    target: Path
    pre_restore: Snapshot | None  # what `undo` returns to
    new: int
    replaced: int
    attributes: int
    deleted: int
    unchanged: int
    files: int
    total_bytes: int
    problems: int  # all that was told as Problem: not restored, or not whole
    damaged: tuple[tuple[bytes, str], ...]  # files that the repository has no whole copy of
    unmatched: tuple[bytes, ...]  # paths asked for that the snapshot does not have


def restore(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    *,
    paths: Sequence[bytes] = (),
    in_place: bool,
    delete: bool = False,
    force: bool = False,
    read_back: bool = False,
    devices: bool = False,
    now_ns: int,
    zone_minutes: int,
    hostname: str,
    clock: Callable[[], int] | None = None,
    progress: Progress = silent,
) -> Restored:
    """Restore a snapshot, or `paths` of it (each a path, a folder with all below it, or a glob), into a folder.

    `in_place` takes a pre-restore snapshot, refuses a running application unless `force`, reads everything back, and
    keeps what `undo_finished` goes by. `delete` also removes what is asked for and only in the live tree, as far as
    the pre-restore snapshot saved it.

    Raises:
        RestoreUnfinished: an earlier one must be resumed or undone first. ApplicationRunning: see `force`.
        NotRestorable, NotSaved, ChangedMeanwhile, StagingDamaged, TargetUnwritable: the live tree is as it was.
    """
    if delete and not in_place:
        raise UsageError("deleting is only possible in place, where a pre-restore snapshot keeps what goes")

    def doomed(saved: Snapshot) -> Iterator[Entry]:
        return extras(repository.entries(saved), repository.entries(snapshot), scope(paths))

    return run(
        repository, snapshot, target, paths=paths, in_place=in_place, doomed=doomed if delete else None, force=force,
        read_back=read_back, devices=devices, now_ns=now_ns, zone_minutes=zone_minutes, hostname=hostname,
        clock=clock, progress=progress,
    )  # fmt: skip


def run(
    repository: Repository,
    snapshot: Snapshot,
    target: Path,
    *,
    paths: Sequence[bytes],
    in_place: bool,
    doomed: Doomed | None,
    force: bool,
    read_back: bool,
    devices: bool,
    now_ns: int,
    zone_minutes: int,
    hostname: str,
    clock: Callable[[], int] | None,
    progress: Progress,
    give: Callable[[Ground], Given] | None = None,
) -> Restored:
    """Restore with a rule of the caller's for what is deleted, or a file that he gives; see `restore`, `rewrite`."""
    refuse_unfinished(target)
    problems = 0

    def watch(event: Event) -> None:
        nonlocal problems
        problems += isinstance(event, Problem)
        progress(event)

    def take_pre_restore() -> Snapshot:
        progress(Stage("saving what is there now"))
        source = Source(os.fsencode(target), selection_of(repository, snapshot), never=repository.never)
        return backup(
            repository, source, now_ns=now_ns, zone_minutes=zone_minutes, hostname=hostname, name=snapshot.name,
            config=_config(repository, snapshot), pre_restore=True, expects=scope(paths).takes, tuning=WHOLE,
            clock=clock, progress=_soften(progress),
        )  # fmt: skip

    with _translated(target):
        target.mkdir(parents=True, exist_ok=True)
        tree = Ground(os.fsencode(target), devices=devices, progress=watch)
    try:
        sweep(tree.fd)
        if in_place and not force:
            refuse_listening(tree)
        file = give(tree) if give is not None else None
        work = _Restore(repository, snapshot, target, tree, in_place, force, now_ns, tuple(paths), file, watch)
        survey = Survey(
            repository, repository.blocks(snapshot) if file is None else iter(file.blocks), tree, paths,
            delete=doomed is not None, damaged=None if in_place else work.manifest_damaged,
        )  # fmt: skip
        with _translated(target):
            saved = work.run(survey, take_pre_restore, doomed, read_back=read_back or in_place)
        counts = work.stager.counts
        return Restored(
            snapshot, target, saved, counts.new, counts.replaced, counts.attributes, counts.deleted, counts.unchanged,
            counts.files, counts.total_bytes, problems,
            tuple((path, str(error)) for path, error in work.stager.damaged), tuple(survey.unmatched()),
        )  # fmt: skip
    finally:
        tree.close()


class _Restore:
    """One restore on its way from staging to its end."""

    stager: Stager

    def __init__(
        self,
        repository: Repository,
        snapshot: Snapshot,
        target: Path,
        tree: Ground,
        in_place: bool,
        force: bool,
        now_ns: int,
        paths: tuple[bytes, ...],
        given: Given | None,
        progress: Progress,
    ) -> None:
        self._repository, self._snapshot, self._target, self._tree = repository, snapshot, target, tree
        self._in_place, self._force, self._now_ns, self._paths = in_place, force, now_ns, paths
        self._given = given
        self._progress = progress
        self._modified_ns = os.fstat(tree.fd).st_mtime_ns
        self._manifest_damage: list[tuple[bytes, Damaged]] = []

    def manifest_damaged(self, error: Damaged) -> None:
        """Go on without the rest of the manifest."""
        self._manifest_damage.append((b"", error))

    def run(
        self, survey: Survey, take_pre_restore: Callable[[], Snapshot], doomed: Doomed | None, *, read_back: bool
    ) -> Snapshot | None:
        """Stage, save, swap; gives the pre-restore snapshot if one was taken."""
        staging = Staging.make(self._tree.fd)
        touched = False
        try:
            self._progress(Stage("fetching and verifying"))
            self.stager = Stager(
                self._repository, self._tree, staging, read_back=read_back, total_files=self._snapshot.files,
                total_bytes=self._snapshot.size, given=self._given, progress=self._progress,
            )  # fmt: skip
            try:
                self.stager.run(survey)
                self._judge()
                saved = None
                if self._in_place and (self.stager.moves or doomed is not None):
                    self._refuse_running()
                    saved = take_pre_restore()
                    if doomed is not None:
                        self._put_deletions(doomed(saved))
                    self._check_saved(saved)
                if not self.stager.moves:
                    return saved
                with alone(self._tree, self._progress):
                    self._refuse_running()
                    with self._write_journal(staging, saved) as journal:
                        touched = True
                        self._swap(staging, journal)
                return saved
            finally:
                self.stager.close()
        finally:
            if not touched:
                self._tree.forget()
                staging.remove()
                set_modified(self._tree.fd, self._modified_ns)
            staging.close()

    def _judge(self) -> None:
        """Decide whether what was staged is enough to go on."""
        stager = self.stager
        stager.damaged.extend(self._manifest_damage)
        bad = [*((path, str(error)) for path, error in stager.damaged), *stager.blocked]
        if bad and self._in_place:
            raise NotRestorable(bad, damaged=bool(stager.damaged))
        for path, reason in bad:
            self._progress(Problem(path, reason))

    def _refuse_running(self) -> None:
        if self._in_place and not self._force:
            refuse_listening(self._tree)
            refuse_writing(self._tree, read_spooled(self.stager.steps, Action.REPLACE, Action.DELETE))

    # ── what the pre-restore snapshot allows ──

    def _put_deletions(self, doomed: Iterator[Entry]) -> None:
        device = os.fstat(self._tree.fd).st_dev
        last = b"\0"
        for entry in doomed:
            status = self._tree.status(entry.path)
            if status is None:
                continue
            if status.st_dev != device:
                self._progress(Notice(entry.path, "is on another file system and stays"))
                continue
            step = Step(Action.DELETE, self.stager.next_number(), entry.path, old=Identity.of(status))
            if next(unsaved([step], {}, [entry]), None) is not None:
                raise NotSaved(f"{os.fsdecode(entry.path)} changed while the restore was prepared")
            above = entry.path.rpartition(b"/")[0]
            if above != last and above:
                last = above
                self._put_before(above)
            if stat.S_ISDIR(status.st_mode):
                self._put_before(entry.path)
            self.stager.put_step(step)
            self.stager.moves += 1
            self.stager.counts.deleted += 1

    def _put_before(self, folder: bytes) -> None:
        """Remember what a folder looks like: its time changes with what is taken out of it."""
        status = self._tree.status(folder)
        if status is not None and stat.S_ISDIR(status.st_mode):
            before = describe(self._tree, folder, status)
            self.stager.put_step(Step(Action.ATTRIBUTES, 0, folder, before=before))

    def _check_saved(self, saved: Snapshot) -> None:
        first = self.stager.first_linked  # from there on they are not in manifest order, and few
        steps = self.stager.steps
        linked = {}
        if first:
            linked = {step.path: step for step in read_spooled(steps, Action.REPLACE) if step.number >= first}
        replaced = (step for step in read_spooled(steps, Action.REPLACE) if not first or step.number < first)
        bad = list(unsaved(replaced, linked, self._repository.entries(saved)))
        if bad:
            names = ", ".join(os.fsdecode(path) for path in bad[:NAMED])
            more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            raise NotSaved(f"the pre-restore snapshot does not hold as it is what would be replaced: {names}{more}")

    # ── the swap ──

    def _write_journal(self, staging: Staging, saved: Snapshot | None) -> IO[bytes]:
        """Write all steps under the name that makes the restore an unfinished one."""
        header = Header(
            self._repository.header.repository, self._snapshot.id, self._snapshot.number, saved.id if saved else b"",
            saved.number if saved else 0, self._in_place, self._now_ns, os.fsencode(os.path.realpath(self._target)),
            self._paths, self._modified_ns,
        )  # fmt: skip
        journal = staging.begin_journal()
        try:
            journal.write(header.encode())
            self.stager.steps.seek(0)
            shutil.copyfileobj(self.stager.steps, journal, 1 << 20)
            journal.write(end(self.stager.step_count))
            staging.publish_journal(journal)
            return journal
        except BaseException:
            journal.close()
            raise

    def _swap(self, staging: Staging, journal: IO[bytes]) -> None:
        live = Live(self._tree, self._progress)
        folders = (staging.new, staging.old, staging.foreign)
        try:
            self._progress(Stage("replacing"))
            self._tree.forget()
            Swap(live, journal, *folders, strict=True, progress=self._progress).forward()
            self._tree.sync()
            if self._in_place:
                write_record(self._repository.home.state, journal)
        except BaseException:
            # Whatever it was, Ctrl-C too: back to where all was. If even that fails, the journal stays for `undo`.
            try:
                self._go_back(staging, Swap(live, journal, *folders, strict=False, progress=self._progress), journal)
            except OSError as error:
                raise RestoreUnfinished(
                    f"the restore failed, and so did the way back: {where(error, self._target)}: {error.strerror}"
                ) from error
            raise
        staging.finish()
        staging.remove()

    def _go_back(self, staging: Staging, swap: Swap, journal: IO[bytes]) -> None:
        self._tree.forget()
        swap.back()
        self._tree.sync()
        drop_record(self._repository.home.state, read_header(journal))
        staging.finish()
        staging.remove()
        set_modified(self._tree.fd, self._modified_ns)


def _config(repository: Repository, snapshot: Snapshot) -> bytes:
    try:
        return b"".join(repository.read(repository.head(snapshot).config))
    except Damaged:
        return b""


def _soften(progress: Progress) -> Progress:
    """Tell of what the pre-restore snapshot could not save as Notice: what it costs is checked before the swap."""

    def tell(event: Event) -> None:
        if isinstance(event, Problem):
            progress(Notice(event.path, f"before the restore: {event.reason}"))
        elif isinstance(event, Torn):
            progress(Notice(event.path, "before the restore: it was no whole JSON"))
        elif isinstance(event, Lost):
            progress(Notice(event.loss.path, "before the restore: it lost what it held; it is not restored"))
        else:
            progress(event)

    return tell


class _translated:
    """Turn what the operating system refuses into an error of ours."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            raise TargetUnwritable(
                f"the restore stopped at {where(error, self._target)}: {error.strerror}; the live tree is as it was"
            ) from error
