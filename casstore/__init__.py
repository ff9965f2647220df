"""A content-addressed, deduplicating, encrypted snapshot store. What stands here is the public API.

Each name is imported when it is first asked for: `cas` runs every minute, and no verb needs all of them. `accept`,
`backup` and `verify` are functions and the modules they live in; below `casstore` those names mean the functions.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from casstore.accept import accept
    from casstore.backends.local import LocalBackend
    from casstore.backends.memory import MemoryBackend
    from casstore.backup import backup
    from casstore.config import Tuning
    from casstore.crypto import Argon2
    from casstore.doubts import Doubts
    from casstore.entry import Entry, Kind, Root
    from casstore.errors import CasError, Damaged
    from casstore.ids import SnapshotId
    from casstore.keyring import KeyFile, Passphrase, RecoveryWords
    from casstore.losses import Guarded, How, Loss
    from casstore.opening import create, new_recovery_words, open  # noqa: A004 (casstore.open reads as it should)
    from casstore.progress import Advanced, Event, Lost, Notice, Problem, Stage, Torn, Warned
    from casstore.repository import Home, Repository
    from casstore.selection import Selection
    from casstore.snapshot import Snapshot
    from casstore.source import Source
    from casstore.verify import Damage, Subset, verify
    from casstore.watch import CaughtUp, Failed, Pace, Taken, Unchanged, Watcher, Watching

__all__ = [
    "Advanced",
    "Argon2",
    "CasError",
    "CaughtUp",
    "Damage",
    "Damaged",
    "Doubts",
    "Entry",
    "Event",
    "Failed",
    "Guarded",
    "Home",
    "How",
    "KeyFile",
    "Kind",
    "LocalBackend",
    "Loss",
    "Lost",
    "MemoryBackend",
    "Notice",
    "Pace",
    "Passphrase",
    "Problem",
    "RecoveryWords",
    "Repository",
    "Root",
    "Selection",
    "Snapshot",
    "SnapshotId",
    "Source",
    "Stage",
    "Subset",
    "Taken",
    "Torn",
    "Tuning",
    "Unchanged",
    "Warned",
    "Watcher",
    "Watching",
    "accept",
    "backup",
    "create",
    "new_recovery_words",
    "open",
    "verify",
]

_HOMES = {
    "accept": ("accept",),
    "backends.local": ("LocalBackend",),
    "backends.memory": ("MemoryBackend",),
    "backup": ("backup",),
    "config": ("Tuning",),
    "crypto": ("Argon2",),
    "doubts": ("Doubts",),
    "entry": ("Entry", "Kind", "Root"),
    "errors": ("CasError", "Damaged"),
    "ids": ("SnapshotId",),
    "keyring": ("KeyFile", "Passphrase", "RecoveryWords"),
    "losses": ("Guarded", "How", "Loss"),
    "opening": ("create", "new_recovery_words", "open"),
    "progress": ("Advanced", "Event", "Lost", "Notice", "Problem", "Stage", "Torn", "Warned"),
    "repository": ("Home", "Repository"),
    "selection": ("Selection",),
    "snapshot": ("Snapshot",),
    "source": ("Source",),
    "verify": ("Damage", "Subset", "verify"),
    "watch": ("CaughtUp", "Failed", "Pace", "Taken", "Unchanged", "Watcher", "Watching"),
}
_HOME_OF = {name: f"casstore.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'casstore' has no attribute {name!r}")
    value = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps the import of `casstore.backup`, the module, from taking the place of `backup`, the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOME_OF.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
