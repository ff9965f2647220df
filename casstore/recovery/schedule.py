"""What runs by itself: units of systemd, and the same as lines for cron. Pure but for `install` and `remove`.

A unit runs as the account that made the repository, sees the file system read-only but for the repository, what this
host keeps of it, and the application's folder where a flush is a command, and gets the key from systemd. Each written
file begins with a mark that names the application's folder; nothing without that mark is replaced or removed. A period
is put on the calendar, the longest there is that keeps the promise, since only calendar timers make up for what was
missed while the machine was off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from casstore import private
from casstore.errors import UsageError
from casstore.recovery.plan import Plan
from casstore.recovery.report_files import DRILLS
from casstore.values import dataclass

_MINUTE_NS = 60 * 10**9
_HOUR_NS = 60 * _MINUTE_NS
_DAY_NS = 24 * _HOUR_NS
UNITS = Path("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the application, its repository and this host's knowledge of it lie; all paths absolute."""

    cas: str  # the program
    name: str  # of the application
    folder: str
    repository: str
    key: str  # this host's key file
    state: str  # the folder of the anchor of this repository
    state_home: str  # XDG_STATE_HOME, above it
    cache: str  # the folder of the cache of this repository
    cache_home: str  # CAS_CACHE_DIR, above it
    user: str
    group: str
    home: str  # of the user: all that cron tells a command of where its account keeps things


@dataclass(frozen=True, slots=True)
class Every:
    """A period that a calendar can say. `most_ns`: the longest time between two runs."""

    most_ns: int
    calendar: str  # as systemd writes it
    cron: str


@dataclass(frozen=True, slots=True)
class Job:
    """A command that runs by itself; without a period it runs always, and is started again when it fails."""

    name: str
    command: tuple[str, ...]
    every: Every | None
    does: str
    writes: bool = False  # a command of the application runs in it, which may write in its folder
    # files are restored in it, with all that their modes say, and reports written below the folder
    restores: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A file for systemd."""

    name: str
    text: str


_EVERY = (
    *(Every(n * _MINUTE_NS, f"*:0/{n}" if n > 1 else "*:*", f"*/{n} * * * *" if n > 1 else "* * * * *")
      for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    Every(_HOUR_NS, "*:00", "0 * * * *"),
    *(Every(n * _HOUR_NS, f"0/{n}:00", f"0 */{n} * * *") for n in (2, 3, 4, 6, 8, 12)),
    Every(_DAY_NS, "*-*-* 03:20", "20 3 * * *"),
    Every(4 * _DAY_NS, "Mon,Thu *-*-* 03:20", "20 3 * * 1,4"),
    Every(7 * _DAY_NS, "Mon *-*-* 03:20", "20 3 * * 1"),
    Every(16 * _DAY_NS, "*-*-1,16 03:20", "20 3 1,16 * *"),
    Every(31 * _DAY_NS, "*-*-1 03:20", "20 3 1 * *"),
    Every(92 * _DAY_NS, "*-1,4,7,10-1 03:20", "20 3 1 1,4,7,10 *"),
)  # fmt: skip


def at_most(period_ns: int) -> Every:
    """Give the longest period of a calendar that is not longer; a minute at least."""
    return next((every for every in reversed(_EVERY) if every.most_ns <= period_ns), _EVERY[0])


def jobs(plan: Plan) -> dict[str, Job]:
    """Give what can run by itself, by name: backups twice as often as was promised, proofs a quarter of it early."""
    promises = plan.promises
    backup = at_most(_DAY_NS if promises.rpo_ns is None else promises.rpo_ns // 2)
    verify = at_most((promises.verify_every_ns or 7 * _DAY_NS) * 3 // 4)
    drill = at_most((promises.drill_every_ns or 90 * _DAY_NS) * 3 // 4)
    status = max(backup, at_most(_HOUR_NS), key=lambda every: every.most_ns)
    tells = ("--notify",) if plan.notify.to else ()
    writes = any(ask is not None and bool(ask.command) for ask in (plan.app.flush, plan.app.release))
    made = (
        Job("backup", ("backup", "--quiet"), backup, "a snapshot", writes),
        Job("watch", ("watch",), None, "a snapshot whenever something changed", writes),
        Job("verify", ("verify", "--quiet"), verify, "reading everything back"),
        Job("drill", ("drill", "--quiet"), drill, "a rehearsed recovery", writes, restores=True),
        Job("status", ("status", "--quiet", *tells), status, "a look at what was promised"),
    )
    return {job.name: job for job in made}


def usual(plan: Plan) -> list[str]:
    """Name the jobs that are wanted if nobody says which; whoever wants `watch` names it, instead of `backup`."""
    return ["backup", "verify", *(["drill"] if plan.promises.drill_every_ns else []), "status"]


# ── systemd ──

_HARDENED = """\
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
NoNewPrivileges=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
"""
_ROOT = "CAP_DAC_READ_SEARCH CAP_KILL CAP_SYS_PTRACE"  # to read what others own, and ask their process to flush


def units(place: Place, chosen: Sequence[Job]) -> list[Unit]:
    """Give the files: a service a job, and a timer for each that has a period.

    Raises:
        UsageError: a path cannot stand in a unit.
    """
    for path in (place.cas, place.folder, place.repository, place.key, place.state, place.cache, place.cache_home):
        if not path.isprintable() or not path.startswith("/"):
            raise UsageError("a path with control characters, or a relative one, cannot stand in a unit of systemd")
    found = []
    for job in chosen:
        found.append(Unit(f"{stem(place)}-{job.name}.service", _service(place, job)))
        if job.every is not None:
            found.append(Unit(f"{stem(place)}-{job.name}.timer", _timer(place, job)))
    return found


def starts(chosen: Sequence[Unit]) -> list[str]:
    """Name the units that are to be enabled: timers, and services without one."""
    timers = {unit.name.removesuffix(".timer") for unit in chosen if unit.name.endswith(".timer")}
    return [unit.name for unit in chosen if unit.name.endswith(".timer") or unit.name.rpartition(".")[0] not in timers]


def stem(place: Place) -> str:
    """Give what the names of all units of an application begin with."""
    return f"cas-{re.sub(r'[^A-Za-z0-9_.-]+', '-', place.name).strip('-.') or 'application'}"


def mark(folder: str) -> str:
    """Give the first line of all that was written for the application in a folder."""
    return f"# Written by `cas schedule install` for {folder}; `cas schedule remove` there removes it."


def _service(place: Place, job: Job) -> str:
    writes = [place.repository, place.state, place.cache]
    if job.writes:
        writes.append(place.folder)
    if job.restores:
        writes.append(f"{place.folder}/{DRILLS}")
    temporary = any(path.startswith(("/tmp/", "/var/tmp/")) for path in (place.folder, *writes))
    command = [place.cas, "--key-file", "${CREDENTIALS_DIRECTORY}/host.key", *job.command]
    always = "Type=exec\nRestart=on-failure\nRestartSec=30\n" if job.every is None else "Type=oneshot\n"
    hardened = _HARDENED if job.restores else f"{_HARDENED}RestrictSUIDSGID=yes\n"
    install = "\n[Install]\nWantedBy=multi-user.target\n" if job.every is None else ""
    return (
        f"{mark(place.folder)}\n[Unit]\nDescription=cas: {job.does}, of {_escaped(place.name)}\n"
        f"RequiresMountsFor={' '.join(map(_quoted, (place.folder, place.repository)))}\n"
        "Wants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\n{always}User={place.user}\nGroup={place.group}\nWorkingDirectory={_escaped(place.folder)}\n"
        f"Environment={_quoted(f'CAS_REPOSITORY={place.repository}')}\n"
        f"Environment={_quoted(f'XDG_STATE_HOME={place.state_home}')}\n"
        f"Environment={_quoted(f'CAS_CACHE_DIR={place.cache_home}')}\n"
        f"LoadCredential=host.key:{_escaped(place.key)}\n"
        f"ExecStart={' '.join(map(_argument, command))}\n"
        f"Nice=10\nIOSchedulingPriority=7\n\n"
        f"ReadWritePaths={' '.join(map(_quoted, writes))}\nPrivateTmp={'no' if temporary else 'yes'}\n"
        f"CapabilityBoundingSet={_ROOT if place.user == 'root' else ''}\n{hardened}{install}"
    )


def _timer(place: Place, job: Job) -> str:
    assert job.every is not None
    return (
        f"{mark(place.folder)}\n[Unit]\nDescription=cas: {job.does}, of {_escaped(place.name)}, by itself\n\n"
        f"[Timer]\nOnCalendar={job.every.calendar}\nPersistent=true\nAccuracySec=10s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _escaped(text: str) -> str:
    """Write a text as a whole value: `%` begins a specifier there."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _argument(text: str) -> str:
    """Quote an argument of a command; only the credentials' folder is a variable."""
    variable = "${CREDENTIALS_DIRECTORY}"
    head, tail = (variable, text.removeprefix(variable)) if text.startswith(variable) else ("", text)
    return head + tail if re.fullmatch(r"[\w./=-]*", tail, re.ASCII) else _quoted(head + tail.replace("$", "$$"))


# ── cron ──


def cron_lines(place: Place, chosen: Sequence[Job]) -> list[str]:
    """Give a line a job for the crontab of the account; what runs always is started with the machine."""
    return [f"{job.every.cron if job.every else '@reboot'} {_shell(place, job)}" for job in chosen]


def _shell(place: Place, job: Job) -> str:
    import shlex

    named = _named(place)
    key = [] if place.key.startswith(f"{place.home}/.config/casstore/") else ["--key-file", place.key]
    command = [*(["env", *named] if named else []), place.cas, "-r", place.repository, *key, *job.command]
    # A `%` ends the command in a crontab.
    return f"cd {shlex.quote(place.folder)} && {shlex.join(command)}".replace("%", "\\%")


def _named(place: Place) -> list[str]:
    """Name what does not lie where cas looks for it in the account's home."""
    usual = {"XDG_STATE_HOME": f"{place.home}/.local/state", "CAS_CACHE_DIR": f"{place.home}/.cache/casstore"}
    found = {"XDG_STATE_HOME": place.state_home, "CAS_CACHE_DIR": place.cache_home}
    return [f"{name}={path}" for name, path in found.items() if path != usual[name]]


# ── files ──


def install(chosen: Sequence[Unit], folder: str, into: Path) -> list[Path]:
    """Write the units of the application in `folder`; gives what was written.

    Raises:
        UsageError: a file of that name was written by somebody else, or for another application; nothing was written.
        OSError: one cannot be written.
    """
    for unit in chosen:
        path = into / unit.name
        if os.path.lexists(path) and not _is_ours(path, folder):
            raise UsageError(
                f"{path} is there and was not written for {folder}",
                hint="Give the application another `name` in cas.toml, or look at that file.",
            )
    written = []
    for unit in chosen:
        path = into / unit.name
        private.publish(path, unit.text.encode(), mode=0o644)
        written.append(path)
    return written


def installed(folder: str, into: Path) -> list[Path]:
    """Find what was written for the application in a folder."""
    return [path for path in sorted(into.glob("cas-*")) if _is_ours(path, folder)]


def remove(folder: str, into: Path) -> list[Path]:
    """Remove what was written for the application in a folder; gives it.

    Raises:
        OSError: a file cannot be removed.
    """
    found = installed(folder, into)
    for path in found:
        path.unlink()
    return found


def _is_ours(path: Path, folder: str) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return path.suffix in (".service", ".timer") and path.read_text().partition("\n")[0] == mark(folder)
    return False
