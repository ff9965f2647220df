"""Watch: a snapshot whenever something changed, for months, in one process.

`watcher` is the loop: it listens, calls `backup`, and goes on after what fails; `events` is what it tells. `pace` says
when the next snapshot is due, and knows nothing else. `listening` follows the folders of the tree, and says which
changes matter; `changes` tells which paths changed, and is the only door to `watchfiles`.
"""

from casstore.watch.changes import Changes, FileChanges, WatchfilesMissing
from casstore.watch.events import CaughtUp, Failed, Taken, Unchanged, WatchEvent, Watching
from casstore.watch.pace import Pace
from casstore.watch.watcher import OriginMissing, Watcher

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
