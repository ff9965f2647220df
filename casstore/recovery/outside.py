"""What lies outside and no snapshot holds: checked as far as it can be seen from here, the rest to be done by hand."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from casstore.errors import CasError
from casstore.recovery.application import Application
from casstore.recovery.environment import Environment
from casstore.recovery.plan import Command, Evidence, External
from casstore.values import dataclass


class CheckResult(Enum):
    """How something outside stands."""

    HELD = "as it should be"
    FAILED = "not as it should be"
    BY_HAND = "to be done by hand"


@dataclass(frozen=True, slots=True)
class Looked:
    """Something outside that was looked at. `reason`: why it is not as it should be; holds no value."""

    external: External
    standing: CheckResult
    reason: str = ""


def look(external: Iterable[External], application: Application, environment: Environment) -> list[Looked]:
    """Look at each, in their order."""
    return [_look(one, application, environment) for one in external]


def _look(one: External, application: Application, environment: Environment) -> Looked:
    if one.check is None:
        return Looked(one, CheckResult.BY_HAND)
    reason = _beginnings(one.check, environment) or _command(one.check, application)
    return Looked(one, CheckResult.FAILED if reason else CheckResult.HELD, reason)


def _beginnings(check: Evidence, environment: Environment) -> str:
    for name, begins in check.env_prefix.items():
        value = environment.get(name)
        if not value:
            return f"{name} has no value"
        if not value.startswith(begins):
            return f"{name} does not begin with {begins}"
    return ""


def _command(check: Evidence, application: Application) -> str:
    if not check.command:
        return ""
    try:
        ran = application.run(Command(check.command))
    except CasError as error:
        return str(error)
    return "" if ran.ok else f"`{check.command[0]}` {ran.why}"
