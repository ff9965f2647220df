"""`cas restore --restart`: the application down around a restore, and what is left to do if that was interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cascli import render
from cascli.codes import INCOMPLETE, UNHEALTHY
from cascli.display import Display, note
from cascli.opening import home
from cascli.reported import failed_words, report_fields, tell_step
from cascli.restored import ended, recovered_lines, restored_fields, restored_lines
from cascli.selecting import of_config
from cascli.session import using
from cascli.world import Found, World, local_folder, surroundings
from casstore import treelock
from casstore.config import parse as parse_config
from casstore.config import repository_place
from casstore.errors import ApplicationRunning, CasError, UsageError
from casstore.processes import FileId
from casstore.recovery import running, stopped
from casstore.recovery.application import Application
from casstore.recovery.environment import EnvFileUnreadable, Environment
from casstore.recovery.plan import parse as parse_plan
from casstore.recovery.report import Report
from casstore.recovery.restarting import Finished, Restarted, Restarting
from casstore.recovery.stopped import Standing, Stopped
from casstore.repository import Repository
from casstore.restore import Restored, undo_finished

_HINT = (
    "Add --restart: it is stopped, and started again on what was restored. Or stop it first, or say --force if you are "
    "sure that it does not matter."
)
_NO_ENVIRONMENT = (
    "Put it there again: where snapshots keep it (env-capture), `cas restore SNAPSHOT --with-env` brings it back, and "
    "with --target DIR elsewhere."
)


def application_of(found: Found, never: Collection[FileId]) -> Application:
    """Give the application that a cas.toml tells of, in its folder; `never` are folders that are not its own.

    Raises:
        ConfigInvalid: it cannot be read. EnvFileUnreadable, EnvFileInvalid: its env file cannot.
    """
    app = parse_plan(found.text.decode(), file=str(found.folder / "cas.toml")).app
    try:
        environment = Environment.of(app, found.folder, surroundings())
    except EnvFileUnreadable as error:
        raise EnvFileUnreadable(str(error), hint=_NO_ENVIRONMENT) from error
    return Application(app, found.folder, environment, of_config(found).selection, never)


# ── a restore without --restart ──


@contextmanager
def not_running(world: World, repository: Repository, place: Path, *, force: bool) -> Iterator[None]:
    """Refuse what replaces files in place while the application runs, unless `force`, and say what to do instead.

    Raises:
        ApplicationRunning: it does. RestoreUnfinished: it was stopped for another restore.
    """
    stopped.refuse_stopped(home().state, place)
    found = world.found
    if force or found is None or "app" not in found.config.recovery or not _is_same(found.folder, place):
        yield
        return
    try:
        _refuse_seen(found, repository)
        yield
    except ApplicationRunning as error:
        raise ApplicationRunning(str(error), hint=_HINT) from error


def _refuse_seen(found: Found, repository: Repository) -> None:
    try:
        application = application_of(found, repository.never)
        seen = running.seen(application)
    except CasError:  # on a bare server there is no env file yet: what the restore sees by itself must do
        return
    if seen:
        raise ApplicationRunning(f"the application runs: {running.named(seen, application)}")


# ── a restore with it ──


class Around:
    """The application of this cas.toml, down around one restore of its folder."""

    def __init__(
        self,
        world: World,
        repository: Repository,
        place: Path,
        display: Display,
        *,
        devices: bool,
        rollback: bool,
        undoes: bool = False,
    ) -> None:
        """Read the plan; `rollback`: what was there before is put back, if the application is not well afterwards.

        Raises:
            UsageError: nothing says how it is started.
        """
        found = world.found
        if found is None or not _is_same(found.folder, place):
            raise UsageError("--restart works in place only, in the folder of a cas.toml", hint="Go there.")
        app = parse_plan(found.text.decode(), file=str(found.folder / "cas.toml")).app
        if not (app.start or app.run):
            raise UsageError(
                "nothing says how the application is started", hint='Add `run = ["npm", "start"]` or so to [app].'
            )
        self._world, self._repository, self._place, self._display = world, repository, found.folder, display
        self._found = found
        self._devices, self._rollback = devices, rollback
        self._case = Stopped(found.folder, repository.header.repository, world.now_ns, found.text, undoes)

    def run(self, replace: Callable[[], Restored]) -> int:
        """Do it: `replace` is the restore, begun at the world's moment; gives the exit code.

        Raises:
            RestoreUnfinished: another restore that it was stopped for has begun to replace files.
            EnvFileUnreadable, EnvFileInvalid: its env file cannot be read, and it was not stopped.
        """
        state = home().state
        application = application_of(self._found, self._repository.never)
        with stopped.holding(state, self._place):
            stopped.refuse_replaced(state, self._place)
            restarting = Restarting(application, self._case, state=state, new_report=_reports(self._world, application))
            # While it still runs: a snapshot that is being taken may last.
            treelock.await_free(os.fsencode(self._place), self._tell_of_reader)
            done = restarting.restart(replace, self._put_back if self._rollback else None)
        return _told(self._world, done)

    def _tell_of_reader(self) -> None:
        note(self._world.options, f"{render.name(str(self._place))} {treelock.BEING_READ}")

    def _put_back(self) -> Restored:
        note(self._world.options, "The application is not well; what was there before is put back.", "warning")
        return _undone(self._world, self._repository, self._place, self._display, self._devices)


def _undone(world: World, repository: Repository, place: Path, display: Display, devices: bool) -> Restored:
    now_ns = time.time_ns()
    return undo_finished(
        repository, place, devices=devices, now_ns=now_ns, zone_minutes=world.zone_minutes(), hostname=world.hostname,
        clock=time.time_ns, progress=display,
    )  # fmt: skip


def _reports(world: World, application: Application) -> Callable[[], Report]:
    return lambda: Report(application.environment.secrets(), lambda step: tell_step(world.options, step))


def _told(world: World, done: Restarted) -> int:
    duration_ns = time.time_ns() - world.now_ns
    put_back = done.before is not None
    if world.options.json:
        fields: dict[str, object] = {"healthy": done.ok, "put_back": put_back}
        fields |= {"after": report_fields(done.after), "before": report_fields(done.before)}
        render.out(render.to_json(restored_fields(done.restored, duration_ns) | fields))
    elif not world.options.quiet and not put_back:
        render.lines(restored_lines(done.restored, duration_ns))
    if done.ok:
        return ended(world, done.restored, told=True)
    note(world.options, f"unhealthy with what was restored: {render.name(failed_words(done.after))}", "error")
    if not done.replaced:
        note(world.options, "Nothing was replaced; mend it, and run this again: it is started then.", "error")
    elif done.before is None:
        note(world.options, "It was left as it is; `cas restore --undo --restart` goes back.", "error")
    elif done.before.ok:
        note(world.options, "What was there before is back, and the application is well with it.", "error")
    else:
        words = render.name(failed_words(done.before))
        note(world.options, f"What was there before is back, and the application is not well with it: {words}", "error")
    return UNHEALTHY


# ── after an interruption ──


def interrupted(place: Path) -> Stopped | None:
    """Give what is kept of an application that was asked to stop for a restore, and is not known to be up again."""
    return stopped.read(home().state, place)


def finish(world: World, place: Path, *, forward: bool, devices: bool) -> int:
    """Finish what was interrupted, or go back to what was before, and start the application."""
    state = home().state
    with stopped.holding(state, place):
        case = stopped.read(state, place)
        if case is None:  # another process finished it while we waited
            raise CasError(f"the restore in {place} was finished by another process", hint="There is nothing to do.")
        found = Found(place, case.toml, parse_config(case.toml.decode()))
        application = application_of(found, _never(world, found, case.repository))
        restarting = Restarting(application, case, state=state, new_report=_reports(world, application))
        with Display(world.options, "restore") as display:
            if forward:
                done = restarting.resume(progress=display)
            else:
                done = restarting.undo(lambda: _put_back(world, place, display, devices), progress=display)
    return _finished(world, place, done, forward=forward)


def _never(world: World, found: Found, repository: bytes) -> list[FileId]:
    """Give what `Repository.never` would, of one that is not opened: to finish a restore needs no secret of it."""
    folders = [
        repository_place(found.config, found.folder),
        home().cache_folder(repository),
    ]
    with suppress(CasError):  # the cas.toml here may be half replaced: the one that was kept tells the place then
        folders.append(local_folder(world.place))
    stats = [folder.stat() for folder in folders if folder.exists()]
    return [(status.st_dev, status.st_ino) for status in stats]


def _put_back(world: World, place: Path, display: Display, devices: bool) -> Restored:
    with using(world) as repository:
        return _undone(world, repository, place, display, devices)


def _finished(world: World, place: Path, done: Finished, *, forward: bool) -> int:
    is_restored = forward and done.standing in (Standing.REPLACING, Standing.REPLACED)
    problems = done.recovered.problems if done.recovered is not None else 0
    if world.options.json:
        fields: dict[str, object] = {"message_type": "summary", "resumed": forward, "problems": problems}
        fields |= {"kept": str(done.recovered.kept) if done.recovered and done.recovered.kept else None}
        render.out(
            render.to_json(fields | {"restored": is_restored, "healthy": done.ok, "after": report_fields(done.report)})
        )
    elif not world.options.quiet:
        if done.recovered is not None:
            render.lines(recovered_lines(done.recovered, place, forward=is_restored))
        render.out(f"{render.name(str(place))} {_AS_RESTORED if is_restored else _AS_BEFORE}")
    if not done.ok:
        note(world.options, f"the application is not well: {render.name(failed_words(done.report))}", "error")
        if is_restored:
            note(world.options, "`cas restore --undo` goes back to what was there before.", "error")
        return UNHEALTHY
    if forward and not is_restored:
        note(world.options, "Nothing is replaced; run the restore again if it is still wanted.", "warning")
        return INCOMPLETE
    return INCOMPLETE if problems else 0


_AS_RESTORED, _AS_BEFORE = "is as restored", "is as it was before the restore that did not come to its end"


def _is_same(folder: Path, place: Path) -> bool:
    return place.exists() and folder.samefile(place)
