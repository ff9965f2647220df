"""The address under [notify] that is asked after each backup; what cannot be told is one line, and no failure."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from cascli.options import Common
from cascli.world import World, surroundings


def pinged(command: Callable[..., int]) -> Callable[..., int]:
    """Ask after a command that saves, as its exit code says; not after a dry run, and not after an interrupt."""

    @wraps(command)
    def run(options: Common, **arguments: Any) -> int:
        world = World(options)
        if arguments.get("dry_run") or not _names_somebody(world):
            return command(options, **arguments)
        try:
            code = command(options, **arguments)
        except Exception:
            ping(world, failed=True)
            raise
        ping(world, failed=code != 0)
        return code

    return run


def ping(world: World, *, failed: bool) -> None:
    """Ask the address, if cas.toml names one; say so if it was not told."""
    if world.found is None or not _names_somebody(world):
        return
    from cascli.display import note
    from casstore.errors import CasError
    from casstore.recovery import notify
    from casstore.recovery.environment import Environment
    from casstore.recovery.plan import parse

    folder = world.found.folder
    try:
        plan = parse(world.found.text.decode(), file=str(folder / "cas.toml"))
        if plan.notify.ping:
            environment = Environment.of(plan.app, folder, surroundings())
            notify.ping(environment.expand(plan.notify.ping), failed=failed)
    except CasError as error:
        note(world.options, f"warning: {error}", "warning")


def _names_somebody(world: World) -> bool:
    """Whether cas.toml has [notify]; without it nothing is imported."""
    return world.found is not None and "notify" in world.found.config.recovery
