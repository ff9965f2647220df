"""What a health page says: one look, and one sentence if it is not what was promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from casstore.recovery.application import Application
from casstore.recovery.plan import Health

MOST_BODY = 1 << 20  # bytes of a health page
MOST_WORDS = 1000  # characters of an answer that are shown: cut behind the masking, since half a secret is one too
MOST_VALUE = 200  # characters of a field
_ASK_NS = 5 * 10**9  # for one look


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def answers(application: Application, timeout_ns: int) -> bool:
    """Whether something is at the address: an answer, whatever it says, or a connection that nobody answers."""
    health = application.app.health
    if health is None:
        return False
    from casstore.recovery import web  # HTTP is slow to import, and many restores ask nobody

    try:
        web.ask(application.environment.expand(health.http), timeout_ns=timeout_ns, most_bytes=0)
    except (web.TimedOut, web.NotHttp):
        return True
    except web.NoAnswer:
        return False
    return True


def complaint(application: Application, health: Health, timeout_ns: int) -> str:
    """Ask once; "" if all is well, and else what is not, without secrets."""
    from casstore.recovery import web

    timeout_ns = min(_ASK_NS, timeout_ns)
    try:
        answer = web.ask(application.environment.expand(health.http), timeout_ns=timeout_ns, most_bytes=MOST_BODY)
    except web.NoAnswer as error:
        return str(error)
    if answer.status not in health.status:
        said = _said(application.masked(answer.body.decode(errors="replace")))
        return f"it answers {answer.status}{said}"[:MOST_WORDS]
    if not health.json:
        return ""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return f"it answers {answer.status} with what is no JSON"
    return differs(health.json, found, show=lambda value: application.masked(_json(value))[:MOST_VALUE])


def differs(wanted: object, found: object, name: str = "", *, show: Callable[[object], str] = _json) -> str:
    """Say in which field an answer is not as wanted; "" if it holds at least that. A list must be the same."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return f"{name or 'the answer'} is no object"
        for key, value in wanted.items():
            path = f"{name}.{key}" if name else str(key)
            if key not in found:
                return f"{path} is missing"
            if reason := differs(value, found[key], path, show=show):
                return reason
        return ""
    same = wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
    return "" if same else f"{name} is {show(found)}, not {show(wanted)}"


def _said(body: str) -> str:
    words = " ".join(body.split())
    return f", and says {words}" if words else ""
