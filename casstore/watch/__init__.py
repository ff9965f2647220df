"""Watch: a snapshot whenever something changed, for months, in one process.

`watcher` is the loop: it listens, calls `backup`, and goes on after what fails. `pace` says when the next snapshot is
due, and knows nothing else. `changes` tells which paths changed; it is the only door to `watchfiles`.
"""

from casstore.watch.changes import Changes, FileChanges, WatchfilesMissing
from casstore.watch.pace import Pace
from casstore.watch.watcher import CaughtUp, Failed, OriginMissing, Taken, Unchanged, Watcher, WatchEvent, Watching

__all__ = [
    "CaughtUp",
    "Changes",
    "Failed",
    "FileChanges",
    "OriginMissing",
    "Pace",
    "Taken",
    "Unchanged",
    "WatchEvent",
    "Watcher",
    "WatchfilesMissing",
    "Watching",
]
