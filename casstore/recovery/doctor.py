"""Would it work on the day? Each thing that a backup and a recovery rest on, looked at while nothing burns.

Functions of what the caller found; each yields a line or more. Nothing here shows a value of the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from shutil import which

from casstore import moments
from casstore.errors import SnapshotNotFound
from casstore.progress import Event, Notice, Problem
from casstore.recovery import prerequisites
from casstore.recovery.application import Application
from casstore.recovery.environment import Compared, Environment, NameUnset
from casstore.recovery.findings import Finding, Level
from casstore.recovery.outside import CheckResult, look
from casstore.recovery.plan import App, External, Recover
from casstore.recovery.status import span
from casstore.selection import Selection
from casstore.snapshot import Snapshot
from casstore.source import UNMATCHED, Source

OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE
LEAST_FREE = 256 << 20  # bytes: with less the next snapshot may not fit
_ENOUGH_DAYS, _MANY_DAYS = 30, 3650
_AHEAD_NS = 5 * 60 * 10**9
_SHOWN = 5  # names or patterns in one line


def paths(origin: bytes, selection: Selection, never: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Walk what is saved, and say what is not there, or cannot be looked into.

    Raises:
        OSError: the folder itself cannot be read.
    """
    told: list[Event] = []
    for _ in Source(origin, selection, never=never, progress=told.append).walk():
        pass
    missing = [os.fsdecode(event.path) for event in told if isinstance(event, Notice) and event.reason in UNMATCHED]
    unreadable = [os.fsdecode(event.path) for event in told if isinstance(event, Problem)]
    if missing:
        todo = "See that `paths` in cas.toml are spelt as the files are; what matches nothing is not saved."
        yield Finding("paths", WARNING, f"these match nothing: {_listed(missing)}", todo)
    if unreadable:
        todo = "Run cas as the account that may read them."
        yield Finding("paths", FAILURE, f"these cannot be read: {_listed(unreadable)}", todo)
    if not missing and not unreadable:
        yield Finding("paths", OK, "each of `paths` matches something")


def kept_environment(app: App, environment: Environment, isolate: Sequence[str]) -> Iterator[Finding]:
    """Say whether an environment that no snapshot keeps outlives this host: it must be known to be kept elsewhere."""
    if _captures(app):
        return
    names = sorted({*environment.file, *app.env_required})
    if not names:
        if isolate and not app.env_where:
            todo = (
                "Name the file with its key under [app] (`env-file`, `env-capture = true`), or its place: `env-where`."
            )
            text = f"stored apart, as a vault is, and nothing says where its key is: {_listed(isolate)}"
            yield Finding("vault", WARNING, text, todo)
        return
    homeless = [name for name in names if not any(name == glob or fnmatchcase(name, glob) for glob in app.env_where)]
    if homeless:
        todo = "Say `env-capture = true` under [app], or for each name under `env-where` where its value is kept."
        text = f"no copy is known of what these are: {_listed(homeless)}; a vault without its key is scrap"
        yield Finding("vault", FAILURE, text, todo)
    else:
        yield Finding("vault", OK, "`env-where` says of each name where its value is kept")


def captured_environment(app: App, is_kept: bool | None) -> Iterator[Finding]:
    """Say whether the newest snapshot has the env file that is to be kept with it; None: there is no snapshot."""
    if not _captures(app):
        return
    if is_kept is False:
        todo = "Run `cas backup`, which keeps it from now on, and heed what it says."
        yield Finding("vault", WARNING, f"the newest snapshot was taken without {app.env_file}", todo)
    else:
        yield Finding("vault", OK, "the env file is kept with each snapshot, sealed")


def _captures(app: App) -> bool:
    return bool(app.env_capture and app.env_file)


def variables(environment: Environment, compared: Mapping[str, Compared]) -> Iterator[Finding]:
    """Say which variables lack, and which are not those that the newest snapshot's files were written under."""
    lacking = environment.missing()
    if lacking:
        todo = "Set them in the env file: the application does not start well without."
        yield Finding("env", FAILURE, f"required, and without a value: {_listed(lacking)}", todo)
    gone = [name for name, how in compared.items() if how is Compared.MISSING]
    if gone:
        todo = "Bring them back before the files are needed that were written under them."
        yield Finding("env", WARNING, f"there when the newest snapshot was taken, and gone: {_listed(gone)}", todo)
    other = [name for name, how in compared.items() if how is Compared.DIFFERS]
    if other:
        todo = "If it is the key of a vault, the old one opens the older snapshots: keep it."
        text = f"other values than when the newest snapshot was taken: {_listed(other)}"
        yield Finding("env", WARNING, text, todo)
    if not (lacking or gone or other) and (compared or environment.required):
        yield Finding("env", OK, "all variables are there, and are those of the newest snapshot")


def application(app: App, environment: Environment, folder: Path) -> Iterator[Finding]:
    """Say whether what [app] runs is installed, and what it asks can be asked: each `${NAME}` has a value."""
    wrong = [(key, reason) for key, words in _words(app) for reason in _reasons(words, environment, folder)]
    for key, reason in wrong:
        todo = "See that it is spelt as it should be in cas.toml, and there."
        yield Finding("app", FAILURE, f"`{key}` under [app] would fail: {reason}", todo)
    if not wrong and any(True for _ in _words(app)):
        yield Finding("app", OK, "what it runs is installed, and what it asks can be asked")


def _words(app: App) -> Iterator[tuple[str, Sequence[str]]]:
    """Give each key with its words: the arguments of a command, or addresses behind an empty one."""
    for key, ask in (("flush", app.flush), ("release", app.release)):
        if ask is not None and ask.http:
            yield key, ("", ask.http, f"${{{ask.token_env}}}" if ask.token_env else "")
        elif ask is not None and ask.command:
            yield key, ask.command
    for key, command in (("stop", app.stop), ("start", app.start)):
        if command is not None:
            yield key, command.command
    if app.run:
        yield "run", app.run
    if app.health is not None:
        yield "health", ("", app.health.http)
    for check in app.checks:
        yield f"checks: {check.name}", check.command


def _reasons(words: Sequence[str], environment: Environment, folder: Path) -> Iterator[str]:
    try:
        program, *_ = [environment.expand(word) for word in words]
    except NameUnset as error:
        yield str(error)
        return
    place = str(folder / program) if "/" in program else program
    if program and which(place, path=environment.get("PATH")) is None:
        yield f"there is no program {program}"


def steps(recover: Recover, snapshots: Sequence[Snapshot], now_ns: int) -> Iterator[Finding]:
    """Say whether the moments that the steps of a recovery restore can be found, if there is any snapshot."""
    for step in recover.steps if snapshots else ():
        if step.restore:
            try:
                moments.resolve(step.restore, snapshots, now_ns)
            except SnapshotNotFound as error:
                yield Finding("recover", FAILURE, f"the step {step.name} would fail: {error}", error.hint or "")


def room(free: int, growth: int, newest: Snapshot | None, free_beside_data: int | None) -> Iterator[Finding]:
    """Say how long there is room for snapshots, and whether a restore can be staged; all in bytes."""
    days = free // growth if growth else None
    lasts = "" if days is None or days > _MANY_DAYS else f", enough for {days:,} days as the last week went"
    text = f"{_mebi(free)} free for the repository{lasts}"
    level = FAILURE if free < LEAST_FREE else WARNING if days is not None and days < _ENOUGH_DAYS else OK
    yield Finding("room", level, text, "Make room, or move the repository to a larger disk." if level else "")
    if newest is not None and free_beside_data is not None and free_beside_data < newest.size:
        text = f"{_mebi(free_beside_data)} free beside the data, and a restore of all needs {_mebi(newest.size)} there"
        yield Finding("room", WARNING, text, "Make room: a restore stages everything before it touches anything.")


def clock(now_ns: int, snapshots: Sequence[Snapshot]) -> Iterator[Finding]:
    """Say whether the clock here runs after all that was saved."""
    newest_ns = max((snapshot.clock_ns for snapshot in snapshots), default=0)
    if newest_ns > now_ns + _AHEAD_NS:
        text = f"the clock here is {span(newest_ns - now_ns)} behind that of a snapshot"
        yield Finding("clock", FAILURE, text, "Set it right (`timedatectl`): by it all ages are told.")
    else:
        yield Finding("clock", OK, "runs after all that was saved")


def programs(recover: Recover, application: Application) -> Iterator[Finding]:
    """Say whether what a recovery needs is installed, in the versions that it needs.

    Raises:
        UsageError: a range of versions is none.
    """
    found = prerequisites.look(recover.require, folder=application.folder, env=application.environment.values())
    lacking = [f"{one.program}: {one.reason}" for one in found if one.reason]
    if lacking:
        todo = "A recovery would stop at them: install them, or mend `require` under [recover]."
        yield Finding("programs", WARNING, f"not as a recovery needs them: {_listed(lacking)}", todo)
    elif found:
        yield Finding("programs", OK, f"installed: {_listed([f'{one.program} {one.found}'.strip() for one in found])}")


def version(newest: Snapshot | None, own: str) -> Iterator[Finding]:
    """Say whether another `cas` than this one was at work."""
    if newest is not None and newest.program != own:
        text = f"the newest snapshot was taken by {newest.program}, and this is {own}"
        yield Finding("version", WARNING, text, "Let all hosts have the same version of cas.")
    else:
        yield Finding("version", OK, own)


def outside(external: Iterable[External], application: Application, environment: Environment) -> Iterator[Finding]:
    """Check what lies outside as far as it can be seen from here; the rest is for a person to look at."""
    for one in look(external, application, environment):
        topic, how = f"outside: {one.external.name}", one.external.how
        if one.standing is CheckResult.BY_HAND:
            yield Finding(topic, OK, f"cannot be seen from here; by hand: {how}")
        elif one.standing is CheckResult.HELD:
            yield Finding(topic, OK, one.standing.value)
        else:
            yield Finding(topic, FAILURE, one.reason, how)


def timers(wanted: Sequence[str], stale: Sequence[str], shown: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Say what runs by itself. `wanted`: units that should be enabled; `stale`: written for an older cas.toml.

    `shown`: of those that are installed, what `systemctl show` says of them; {} where it says nothing.
    """
    lacking = [name for name in wanted if name not in shown]
    if lacking:
        todo = "`cas schedule install` writes them; without systemd `cas schedule show` has lines for cron."
        yield Finding("schedule", WARNING, f"not installed: {_listed(lacking)}", todo)
    if stale:
        text = f"not as cas.toml would have it now: {_listed(stale)}"
        yield Finding("schedule", WARNING, text, "Run `cas schedule install` again.")
    unseen = [name for name, says in shown.items() if not says]
    if unseen:
        text = f"installed, but whether they run cannot be seen: {_listed(unseen)}"
        yield Finding("schedule", WARNING, text, "Where systemd runs, `systemctl list-timers` as root shows it.")
    for name, says in shown.items():
        if not says:
            continue
        if says.get("ActiveState") != "active":
            yield Finding(
                "schedule", FAILURE, f"{name} is installed and does not run", f"systemctl enable --now {name}"
            )
        elif says.get("Result", "success") != "success":
            job = name.rpartition(".")[0]
            yield Finding("schedule", FAILURE, f"{job} failed the last time", f"journalctl -u {job} says why.")
        else:
            last = says.get("LastTriggerUSec", "")
            yield Finding("schedule", OK, f"{name} runs{f'; the last time {last}' if last else ''}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _mebi(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
