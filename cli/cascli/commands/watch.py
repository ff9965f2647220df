"""`cas watch`: a snapshot whenever something changed, until it is stopped. A client of `casstore.Watcher`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cascli import render
from cascli.commands.backup import exit_code, summary, tags_of
from cascli.display import Display, flush_words, note
from cascli.main import INTERRUPTED, told
from cascli.opening import open_repository
from cascli.options import FILE, Common, common, repeated, repository_too
from cascli.paths import absolute
from cascli.pinging import ping
from cascli.selecting import Extra, Task, exclude_lines, refuse_repository, refuse_unfinished, task, warn_of_plan
from cascli.session import iso
from cascli.start import hear_no_more
from cascli.world import World, local_folder
from casstore import moments
from casstore.errors import CasError, UsageError
from casstore.ids import SHORT, to_letters
from casstore.progress import Event, Stage
from casstore.repository import Repository
from casstore.tables import duration
from casstore.values import dataclass
from casstore.watch import Failed, FileChanges, Pace, Taken, Unchanged, Watcher, WatchEvent, Watching

if TYPE_CHECKING:  # imported only where cas.toml tells of one
    from cascli.flushing import Flushing

GRACE_S = 5.0  # seconds that a snapshot under way has to finish, once the process was told to stop


class _Span(click.ParamType[int]):
    """A span of time, in ns."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `500ms`, `2s`, `1.5h`."""
        if isinstance(value, int):
            return value
        try:
            return duration(value)
        except ValueError:
            self.fail(f"{value!r} is no span of time such as 500ms, 2s, 10m or 1h", param, ctx)


SPAN = _Span()


@click.command(
    "watch",
    short_help="Take a snapshot whenever something changed, until it is stopped.",
    epilog="\b\nExamples:\n  cas watch                            what cas.toml says\n"
    "  cas watch --quiet-for 500ms --at-most-every 5s\n  cas watch --json | logger -t cas\n\n"
    "Signals: TERM saves what is pending, for 5 s at most, and ends with 0; INT (Ctrl-C) does so and ends with 130; "
    "HUP reads cas.toml again. A repository that cannot be reached is tried again until it can.",
)
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]…")
@repository_too("--target", shown="The same as --repo.")
@click.option("--quiet-for", type=SPAN, default="2s", show_default=True, metavar="SPAN",
              help="Wait until nothing changed for so long.")  # fmt: skip
@click.option("--at-most-every", type=SPAN, default="10s", show_default=True, metavar="SPAN",
              help="Take snapshots no closer than this; what never falls quiet is saved this often.")  # fmt: skip
@click.option("--at-least-every", type=SPAN, default="1h", show_default=True, metavar="SPAN",
              help="Take one even if nothing changed, as a proof of life.")  # fmt: skip
@repeated("--tag", metavar="TAG[,TAG]", shown="Mark the snapshots; may be given several times.")
@click.option("--host", metavar="NAME", help="Record this hostname instead of the machine's.")
@repeated("-e", "--exclude", metavar="PATTERN", shown="Leave out what matches, as .gitignore does; also several times.")
@repeated("--exclude-file", type=FILE, metavar="FILE", shown="Read such patterns from a file, one a line.")
@click.option("--exclude-caches", is_flag=True, help="Leave out folders that hold a CACHEDIR.TAG.")
@click.option("-x", "--one-file-system", is_flag=True, help="Stay on the file systems of the given paths.")
@common
@click.pass_obj
def command(
    options: Common,
    paths: tuple[str, ...],
    quiet_for: int,
    at_most_every: int,
    at_least_every: int,
    tag: tuple[str, ...],
    host: str | None,
    exclude: tuple[str, ...],
    exclude_file: tuple[str, ...],
    exclude_caches: bool,
    one_file_system: bool,
) -> int:
    """Take a snapshot of what cas.toml names, or of PATH, now and whenever something changes.

    On a terminal each snapshot is a line; in a pipe only what goes wrong is said, and when it is over. `--json` writes
    every event as a line.
    """
    if at_least_every <= 0 or at_least_every < at_most_every:
        raise UsageError("--at-least-every must be longer than --at-most-every, and than nothing at all")
    pace = Pace(quiet_for, at_most_every, at_least_every)
    here = os.getcwd()  # noqa: PTH109 - as it is named: the folder of that name may be another one by then

    def read() -> _Plan:
        os.chdir(here)  # paths may be relative, and cas.toml is looked for from here
        world = World(options)
        lines = tuple(line for file in exclude_file for line in exclude_lines(file))
        todo = task(world, paths, Extra(exclude, lines, exclude_caches, one_file_system))
        warn_of_plan(world, todo)
        saved = (todo.origin, *map(absolute, paths))
        return _Plan(world, todo, saved, local_folder(world.place), _application(world, todo))

    FileChanges().close()  # if what it needs is not installed, say so before anything is opened
    plan = read()
    refuse_unfinished(plan.task.origin)
    with _Signals() as signals:
        repository = open_repository(plan.world)
        try:
            plan.check(repository)
            while signals.ends is None:
                _watch(plan, repository, pace, tags_of(tag), host, signals)
                if signals.ends is None:
                    plan, repository = _again(plan, repository, read)
            _say(plan.world, {"message_type": "stopped"}, "stopped")
        except KeyboardInterrupt:
            if signals.ends is None:
                raise
            note(options, "stopped; the snapshot under way was given up, and all earlier ones are safe", "warning")
        finally:
            repository.close()
    return signals.ends


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was understood of options, environment and cas.toml."""

    world: World
    task: Task
    saved: tuple[Path, ...]
    place: Path
    application: Flushing | None

    def check(self, repository: Repository) -> None:
        """Refuse to save what lies in the repository.

        Raises:
            UsageError, OSError: it does, or it is not there.
        """
        for place in self.saved:
            refuse_repository(place, repository.never)


def _application(world: World, todo: Task) -> Flushing | None:
    if not todo.has_application:
        return None
    from cascli.flushing import Flushing

    def say(sentence: str, kind: str) -> None:
        if kind == "warning" or world.options.verbose:
            _warn(world, {"message_type": kind, "message": sentence}, sentence)

    return Flushing(todo.origin, todo.config, say)


def _again(plan: _Plan, repository: Repository, read: Callable[[], _Plan]) -> tuple[_Plan, Repository]:
    """Read cas.toml again; whatever is wrong with it is said, and all stays as it was."""
    try:
        new = read()
        if new.place == plan.place:
            new.check(repository)
        else:
            other = open_repository(new.world)
            try:
                new.check(other)
            except BaseException:
                other.close()
                raise
            repository.close()
            repository = other
    except (CasError, click.ClickException, OSError) as error:
        message, hint, _ = told(error)
        fields: dict[str, object] = {"message_type": "reload_failed", "message": message, "hint": hint}
        _warn(plan.world, fields, message, hint, "What was read before stays in force.")
        return plan, repository
    _say(new.world, {"message_type": "reloaded"}, "cas.toml was read again")
    return new, repository


def _watch(
    plan: _Plan, repository: Repository, pace: Pace, tags: tuple[str, ...], host: str | None, signals: _Signals
) -> None:
    """Watch until a signal says otherwise."""
    world, todo = plan.world, plan.task
    os.chdir("/")  # so that the file system of the application can be unmounted meanwhile
    with _Displays(world.options) as displays:
        watcher = Watcher(
            repository, os.fsencode(todo.origin), todo.selection, hostname=host or world.hostname, clock=time.time_ns,
            zone_minutes=world.zone_minutes, name=todo.name, tags=tags, config=todo.config,
            whole_lines=todo.whole_lines, tuning=todo.tuning, pace=pace,
            during=plan.application.during if plan.application is not None else None,
            unheard=_outputs(), progress=displays,
        )  # fmt: skip
        signals.guard(watcher)
        for event in watcher:
            displays.pause()
            _tell(world, event)
            if isinstance(event, Taken | Failed):
                is_damaged = bool(repository.damaged)
                ping(world, failed=is_damaged or isinstance(event, Failed) or bool(exit_code(event.snapshot)))
    signals.again()


class _Displays:
    """A display a snapshot: each begins to show itself after a while of its own."""

    def __init__(self, options: Common) -> None:
        self._options = options
        self._display = Display(options, "backup")

    def __enter__(self) -> _Displays:
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.pause()
            self._display = Display(self._options, "backup")
        self._display(event)

    def pause(self) -> None:
        self._display.pause()


def _outputs() -> list[tuple[int, int]]:
    """Give the files that our own output goes to: a line in a log there must not call for the next snapshot."""
    found = []
    for stream in (1, 2):
        try:
            status = os.fstat(stream)
        except OSError:
            continue
        found.append((status.st_dev, status.st_ino))
    return found


# ── signals ──


class _Signals:
    """TERM and INT end the watch, the second one at once; HUP has cas.toml read again, and ends it with its terminal.

    What was ignored from the start stays ignored.
    """

    def __init__(self) -> None:
        self.ends: int | None = None  # the exit code, once the process was told to stop
        self._watcher: Watcher | None = None
        self._reload = False
        self._terminal = sys.stderr.isatty()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number, handler in (
            (signal.SIGTERM, self._end),
            (signal.SIGINT, self._end),
            (signal.SIGHUP, self._hang_up),
            (signal.SIGALRM, self._give_up),
        ):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGALRM:
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def guard(self, watcher: Watcher) -> None:
        """Stop this one from now on, or now if a signal came before."""
        self._watcher = watcher
        if self._reload or self.ends is not None:
            watcher.stop(abandon=self._reload)

    def again(self) -> None:
        """The watcher has ended: a request to read cas.toml again is served next."""
        self._watcher, self._reload = None, False

    def _end(self, number: int, _frame: object) -> None:
        again = self.ends is not None
        self.ends = INTERRUPTED if number == signal.SIGINT else 0
        if again or self._watcher is None:  # somebody is being asked for a passphrase, perhaps
            self._give_up(number, _frame)
            return
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        self._watcher.stop()

    def _hang_up(self, number: int, frame: object) -> None:
        if self._terminal and not os.isatty(2):
            self._end(number, frame)
            return
        self._reload = True
        if self._watcher is not None:
            self._watcher.stop(abandon=True)  # the next watcher begins with a snapshot of all that changed

    def _give_up(self, _number: int, _frame: object) -> None:
        hear_no_more(self._before)  # later ones would cut the putting in order short
        raise KeyboardInterrupt


# ── telling ──


def _tell(world: World, event: WatchEvent) -> None:
    now = time.time_ns()
    if isinstance(event, Taken):
        snapshot = event.snapshot
        stamp = moments.stamp(snapshot.time_ns, snapshot.zone_minutes)
        parts = (render.count(snapshot.new, "new", "new"), render.count(snapshot.changed, "changed", "changed"))
        line = (
            f"{stamp}  snapshot {to_letters(snapshot.id)[:SHORT]}  {', '.join(parts)}  read "
            f"{render.size(snapshot.read)}, stored {render.size(snapshot.stored)} in "
            f"{render.duration(snapshot.duration_ns)}"
        )
        line += f"  {flush_words(snapshot.flush)}" if snapshot.flush is not None else ""
        _say(world, summary(snapshot, dry_run=False, ended_ns=now), line)
    elif isinstance(event, Watching):
        where = os.fsdecode(event.origin)
        fields = {"message_type": "watching", **render.plain("origin", event.origin), "folders": event.folders}
        folders = render.count(event.folders, "folder")
        _say(world, fields, f"watching {render.name(where)} ({folders}); Ctrl-C ends it")
    elif isinstance(event, Failed):
        message, hint, code = told(event.error)
        fields = {"message_type": "retrying", "message": message, "hint": hint, "code": code,
                  "retry_in": event.retry_ns / 1e9}  # fmt: skip
        again = "It is tried again until it works; nothing that is acknowledged is lost."
        _warn(world, fields, message, hint, again)
    elif isinstance(event, Unchanged):
        if world.options.json or world.options.verbose:
            _say(world, {"message_type": "unchanged"}, "nothing that is saved changed, no snapshot made")
    else:
        seconds = max(0, now - event.since_ns)
        fields = {"message_type": "recovered", "seconds": seconds / 1e9, "since": iso(event.since_ns, 0)}
        _warn(world, fields, f"it works again, after {render.duration(seconds)}")


def _say(world: World, fields: dict[str, object], line: str) -> None:
    """Write an event: with --json always, else for somebody who looks on."""
    if world.options.json:
        _write(render.to_json(fields))
    elif not world.options.quiet and (world.options.verbose or sys.stdout.isatty()):
        _write(line)


def _warn(world: World, fields: dict[str, object], *lines: str) -> None:
    """Write what went wrong, or is over: in a pipe too."""
    if world.options.json:
        _write(render.to_json(fields))
    else:
        said = (line for text in lines for line in text.split("\n") if line)
        render.err("\n".join(f"cas watch: {render.printable(line)}" for line in said))


def _write(line: str) -> None:
    render.out(line)
    sys.stdout.flush()
