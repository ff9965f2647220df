"""What `cas.toml` says of the running application: the plan that a recovery goes by. Pure.

Every snapshot carries the file, so that a bare server learns from the repository alone how to begin. Commands are
lists of arguments; there is no shell anywhere. `${NAME}` in an address, and in an argument, stands for a value of
the environment that is asked for at the moment of use (recovery.environment), never here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import TypeVar

from casstore.config import FILE_NAME, inside
from casstore.tables import Keys, Known, Lines, duration, flag, load, read_table, table, tables, text, texts
from casstore.values import dataclass

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_DAY_NS = 24 * 60 * _MINUTE_NS
_MOST_WAIT_NS = 7 * _DAY_NS  # longer waits cannot be asked of the system, and nobody means them

Arguments = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Something asked of the running application in one of three ways; the answer is its acknowledgement."""

    http: str = ""  # "POST http://…": 2xx acknowledges
    signal: str = ""  # "SIGUSR2", to the process in `pid_file` or the one that runs: a newer `answer` acknowledges
    command: Arguments = ()  # exit code 0 acknowledges
    pid_file: str = ""
    answer: str = ""  # the file that the application touches
    token_env: str = ""  # name of the bearer token for `http`
    timeout_ns: int = 10 * _SECOND_NS
    required: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A program that is run in the application's folder and must end with 0 in time."""

    command: Arguments
    timeout_ns: int = _MINUTE_NS


@dataclass(frozen=True, slots=True)
class Health:
    """An address whose answer says that the application is well."""

    http: str
    status: tuple[int, ...] = (200,)
    json: Mapping[str, object] = field(default_factory=dict)  # what the answer must hold at least
    within_ns: int = _MINUTE_NS


@dataclass(frozen=True, slots=True)
class Check:
    """A named command that must end with 0 when the application is well."""

    name: str
    command: Arguments
    timeout_ns: int = _MINUTE_NS


@dataclass(frozen=True, slots=True)
class App:
    """The application: how it is asked, stopped, started, and known to be well."""

    env_file: str = ""  # relative to the folder; "" none
    env_required: tuple[str, ...] = ()  # globs of names
    env_capture: bool | None = None
    env_where: Mapping[str, str] = field(default_factory=dict)  # glob of names: where its value is kept
    flush: Ask | None = None
    release: Ask | None = None  # if it is there, `flush` makes the application hold its writes until this
    run: Arguments = ()
    stop: Command | None = None  # None: SIGTERM to the processes that run below the folder
    start: Command | None = None  # None: `run`, in its own session
    health: Health | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a recovery: a command, the restore of a snapshot, or (neither) the start of the application."""

    name: str
    run: Arguments = ()
    restore: str = ""  # a moment
    timeout_ns: int = 30 * _MINUTE_NS


@dataclass(frozen=True, slots=True)
class Recover:
    """The way from a bare server to a healthy application."""

    require: Mapping[str, str] = field(default_factory=dict)  # program: versions, such as ">=18" or "*"
    steps: tuple[Step, ...] = (Step("data", restore="latest"), Step("start"))


@dataclass(frozen=True, slots=True)
class Drill:
    """What a rehearsal changes in the environment, so that it touches nothing real."""

    env: Mapping[str, str] = field(default_factory=dict)
    keep_env: tuple[str, ...] = ()  # globs of names whose real value a rehearsal may use


@dataclass(frozen=True, slots=True)
class Promises:
    """What was promised; None: nothing was."""

    rpo_ns: int | None = None
    rto_ns: int | None = None
    verify_every_ns: int | None = None
    drill_every_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told: an address asked after each backup, and apprise addresses when a promise is broken."""

    ping: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What can be seen from here of something outside."""

    env_prefix: Mapping[str, str] = field(default_factory=dict)  # name of a variable: what its value begins with
    command: Arguments = ()  # must end with 0


@dataclass(frozen=True, slots=True)
class External:
    """Something outside that no snapshot holds: what to do by hand, and how it can be checked, if it can."""

    name: str
    how: str
    check: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that cas.toml says beyond what is saved."""

    app: App = field(default_factory=App)
    recover: Recover = field(default_factory=Recover)
    drill: Drill = field(default_factory=Drill)
    promises: Promises = field(default_factory=Promises)
    notify: Notify = field(default_factory=Notify)
    contacts: Mapping[str, str] = field(default_factory=dict)
    external: tuple[External, ...] = ()


def parse(toml: str, *, file: str = FILE_NAME) -> Plan:
    """Read the tables of the running application; what is saved is read by `casstore.config`.

    Raises:
        ConfigInvalid: a key is unknown or missing, or a value has the wrong type.
    """
    values, lines = load(toml, file)
    how = "written [[external]] with `name` and `how`"
    external = _each(lines, ("external",), how, External, partial(_external, lines), ("name", "how"))
    known: Known = {
        "app": ("app", _inner(lines, ("app",), "written [app]", App, _app(lines))),
        "recover": ("recover", _inner(lines, ("recover",), "written [recover]", Recover, _recover(lines))),
        "drill": ("drill", _inner(lines, ("drill",), "written [drill]", Drill, _DRILL)),
        "promises": ("promises", _inner(lines, ("promises",), "written [promises]", Promises, _PROMISES)),
        "notify": ("notify", _inner(lines, ("notify",), "written [notify]", Notify, _NOTIFY)),
        "contacts": ("contacts", partial(_texts_by_name, how="written [contacts]")),
        "external": ("external", external),
    }
    return Plan(**read_table(lines, (), {key: values[key] for key in known if key in values}, known))


# ── tables in tables: `how` they are written goes into complaints ──


def _inner(
    lines: Lines, where: Keys, how: str, make: Callable[..., T], known: Known, need: tuple[str, ...] = ()
) -> Callable[[object], T]:
    """Give the reader of a table that becomes a value; `need` names the keys it must have."""

    def read(value: object) -> T:
        found = read_table(lines, where, inner := table(value, how), known)
        lacking = next((key for key in need if key not in inner), None)
        if lacking is not None:
            at = where[-1]
            whose = f"`{where[-2]}` number {at + 1}" if isinstance(at, int) else f"`{at}`"
            hint = f"Write it {how.removeprefix('written ')}."
            raise lines.complaint(where, f"{whose} needs `{lacking}`", hint=hint)
        return make(**found)

    return read


def _each(
    lines: Lines, where: Keys, how: str, make: Callable[..., T], known: Callable[[int], Known], need: tuple[str, ...]
) -> Callable[[object], tuple[T, ...]]:
    """Give the reader of a list of tables that each become a value; `known`: the keys of which."""

    def read(value: object) -> tuple[T, ...]:
        of = enumerate(tables(value, how))
        return tuple(_inner(lines, (*where, at), how, make, known(at), need)(item) for at, item in of)

    return read


def _app(lines: Lines) -> Known:
    def asked(key: str) -> Callable[[object], Ask]:
        example = f'"POST http://127.0.0.1:${{PORT}}/internal/{key}"'
        known: Known = {**_ASK, "http": ("http", partial(_address, example=example))}
        return _one_way(_inner(lines, ("app", key), f"such as {{ http = {example} }}", Ask, known))

    def command(key: str) -> Callable[[object], Command]:
        example = f'["systemctl", "{key}", "shop"]'
        how = f"such as {{ command = {example} }}"
        return _inner(lines, ("app", key), how, Command, _command(example), need=("command",))

    health = f"such as {{ http = {_HEALTHY} }}"
    checks = f'such as [{{ name = "users", command = {_CHECKED} }}]'
    return {
        "env-file": ("env_file", _file),
        "env-required": ("env_required", partial(texts, example='["STRIPE_SECRET_KEY"]')),
        "env-capture": ("env_capture", flag),
        "env-where": ("env_where", partial(_texts_by_name, how='such as { "*" = "password manager, entry shop" }')),
        "flush": ("flush", asked("flush")),
        "release": ("release", asked("release")),
        "run": ("run", partial(_arguments, example='["npm", "start"]')),
        "stop": ("stop", command("stop")),
        "start": ("start", command("start")),
        "health": ("health", _inner(lines, ("app", "health"), health, Health, _HEALTH, need=("http",))),
        "checks": ("checks", _each(lines, ("app", "checks"), checks, Check, lambda _: _CHECK, ("name", "command"))),
    }


def _recover(lines: Lines) -> Known:
    how = 'such as [{ name = "data", restore = "latest" }, { name = "start" }]'
    steps = _each(lines, ("recover", "steps"), how, Step, lambda _: _STEP, need=("name",))

    def ordered(value: object) -> tuple[Step, ...]:
        found = steps(value)
        names = [step.name for step in found]
        for step in found:
            if step.run and step.restore:
                raise ValueError(f"has a step {step.name!r} that both runs and restores")
            if not (step.run or step.restore or step.name == "start"):
                raise ValueError(
                    f'has a step {step.name!r} that does nothing; only "start" needs neither run nor restore'
                )
            if names.count(step.name) > 1:
                raise ValueError(f"has two steps {step.name!r}")
        return found

    require = partial(_texts_by_name, how='such as { node = ">=18" }')
    return {"require": ("require", require), "steps": ("steps", ordered)}


def _external(lines: Lines, at: int) -> Known:
    how = f"such as {{ env-prefix = {_PREFIX} }}"
    check = _inner(lines, ("external", at, "check"), how, Evidence, _EVIDENCE)
    return {"name": ("name", text), "how": ("how", text), "check": ("check", check)}


def _one_way(read: Callable[[object], Ask]) -> Callable[[object], Ask]:
    def checked(value: object) -> Ask:
        ask = read(value)
        if sum(map(bool, (ask.http, ask.signal, ask.command))) != 1:
            raise ValueError("must say one of `http`, `signal` or `command`")
        if ask.signal and not ask.answer:
            raise ValueError("by signal needs `answer`, the file that the application touches when it is done")
        return ask

    return checked


# ── values ──


def _file(value: object) -> str:
    return inside(text(value))


def _arguments(value: object, example: str) -> Arguments:
    found = texts(value, example)
    if not found:
        raise ValueError(f"must name a program, such as {example}")
    return found


def _texts_by_name(value: object, how: str) -> dict[str, str]:
    found = table(value, how)
    for name, item in found.items():
        try:
            text(item)
        except ValueError as error:
            raise ValueError(f"has `{name}`, which {error}") from None
    return found


def _address(value: object, example: str) -> str:
    """An address, with a method before it or none (GET)."""
    found = text(value)
    method, _, address = found.rpartition(" ")
    if method not in ("", "GET", "POST", "PUT") or not address.startswith(("http://", "https://")):
        raise ValueError(f"must be an address such as {example}")
    return found


def _wait(value: object) -> int:
    """A time that something is waited for; gives ns."""
    found = duration(value)
    if not 0 < found <= _MOST_WAIT_NS:
        raise ValueError("must be longer than nothing, and no longer than 7d")
    return found


def _signal(value: object) -> str:
    import signal

    name = text(value)
    if name not in signal.Signals.__members__ or name in ("SIGKILL", "SIGSTOP"):
        raise ValueError('must be a signal that can be caught, such as "SIGUSR2"')
    return name


def _statuses(value: object) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not value
        or any(type(item) is not int or not 100 <= item < 600 for item in value)
    ):
        raise ValueError("must be a list of HTTP statuses such as [200]")
    return tuple(value)


def _variables(value: object) -> dict[str, str]:
    """Names and values of an environment; a value may be empty."""
    found = table(value, 'such as { PORT = "3999" }')
    for name, item in found.items():
        if not isinstance(item, str) or "\0" in item or "=" in name:
            raise ValueError(f"must give a text for each name, and `{name}` is none")
    return found


def _command(example: str) -> Known:
    return {"command": ("command", partial(_arguments, example=example)), "timeout": ("timeout_ns", _wait)}


_HEALTHY = '"http://127.0.0.1:${PORT}/api/health"'
_CHECKED = '["node", "check.mjs"]'
_PREFIX = '{ STRIPE_WEBHOOK_SECRET = "whsec_" }'

_ASK: Known = {
    "signal": ("signal", _signal),
    "command": ("command", partial(_arguments, example='["node", "flush.mjs"]')),
    "pid-file": ("pid_file", text),
    "answer": ("answer", text),
    "token-env": ("token_env", text),
    "timeout": ("timeout_ns", _wait),
    "required": ("required", flag),
}
_HEALTH: Known = {
    "http": ("http", partial(_address, example=_HEALTHY)),
    "expect-status": ("status", _statuses),
    "expect-json": ("json", partial(table, how='such as { status = "OK" }')),
    "within": ("within_ns", _wait),
}
_CHECK: Known = {"name": ("name", text), **_command(_CHECKED)}
_EVIDENCE: Known = {
    "env-prefix": ("env_prefix", partial(_texts_by_name, how=f"such as {_PREFIX}")),
    "command": ("command", partial(_arguments, example='["node", "check-dns.mjs"]')),
}
_STEP: Known = {
    "name": ("name", text),
    "run": ("run", partial(_arguments, example='["npm", "ci"]')),
    "restore": ("restore", text),
    "timeout": ("timeout_ns", _wait),
}
_DRILL: Known = {"env": ("env", _variables), "keep-env": ("keep_env", partial(texts, example='["VAULT_*"]'))}
_PROMISES: Known = {
    "rpo": ("rpo_ns", duration),
    "rto": ("rto_ns", duration),
    "verify-every": ("verify_every_ns", duration),
    "drill-every": ("drill_every_ns", duration),
}
_NOTIFY: Known = {
    "ping": ("ping", partial(_address, example='"https://hc-ping.com/…"')),
    "to": ("to", partial(texts, example='["mailto://ops@example.org"]')),
}
