"""The programs that are compared: the command lines and variables of each, and no more.

Encryption, compression and local caches are on, other settings are each program's own: restic with repository
format 2 (before 0.15 the default is 1, which cannot compress), borg with `repokey-blake2` and `zstd,3`, kopia
with `zstd` (its default is none), rustic, bupstash and cas as they come.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = [ROOT / ".bench/peers/bin", ROOT / ".bench/peers/borg/bin"]  # by `make bench-peers`
PASSWORD = "correct-horse-battery-staple"


@dataclass(frozen=True)
class Room:
    """A peer's own place: its repository, its home folder, and where the tree lies that it saves."""

    folder: Path
    source: Path

    @property
    def repository(self) -> Path:
        """Where the peer stores."""
        return self.folder / "repository"


@dataclass(frozen=True)
class Peer:
    """A program under comparison. Its commands run in the source, restores in the target.

    `{repository}`, `{home}`, `{source}` and `{number}` (of the snapshot) are filled in after the line was split.
    """

    name: str
    backup: str
    restore: str
    verify: str
    init: tuple[str, ...] = ("init",)
    version: str = "--version"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str | None:
        """Where the program is, None if this machine does not have it."""
        beside = [Path(sys.executable).parent] if self.name == "cas" else INSTALLED
        return shutil.which(self.name, path=os.pathsep.join([*map(str, beside), os.environ.get("PATH", "")]))

    def command(self, line: str, room: Room, number: int = 0) -> list[str]:
        """A command line, ready to run."""
        return [self.path or self.name, *(fill(word, room, number) for word in line.split())]

    def environment(self, room: Room) -> dict[str, str]:
        """What the program sees: a home of its own, and none of the caller's settings."""
        home = room.folder / "home"
        folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "CACHE", "STATE", "DATA")}
        settings = {name: fill(value, room, 0) for name, value in self.settings.items()}
        return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **folders, **settings}


def fill(word: str, room: Room, number: int) -> str:
    """Put in what only this run knows."""
    return word.format(repository=room.repository, home=room.folder / "home", source=room.source, number=number)


PEERS = [
    Peer(
        name="cas",
        settings={"CAS_PASSWORD": PASSWORD, "CAS_REPOSITORY": "{repository}"},
        init=("-r {repository} init",),
        backup="backup .",
        restore="restore latest --target . --yes --despite-guard",
        verify="verify",
    ),
    Peer(
        name="restic",
        settings={"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": "{repository}"},
        version="version",
        init=("init --repository-version 2",),
        backup="backup .",
        restore="restore latest --target .",
        verify="check --read-data",
    ),
    Peer(
        name="borg",
        settings={"BORG_PASSPHRASE": PASSWORD, "BORG_REPO": "{repository}", "BORG_BASE_DIR": "{home}"},
        init=("init --encryption repokey-blake2",),
        backup="create --compression zstd,3 ::{number} .",
        restore="extract ::{number}",
        verify="check --verify-data",
    ),
    Peer(
        name="rustic",
        settings={
            "RUSTIC_PASSWORD": PASSWORD,
            "RUSTIC_REPOSITORY": "{repository}",
            "RUSTIC_NO_PROGRESS": "true",
        },
        backup="backup .",
        restore="restore latest .",
        verify="check --read-data",
    ),
    Peer(
        name="kopia",
        settings={
            "KOPIA_PASSWORD": PASSWORD,
            "KOPIA_CONFIG_PATH": "{home}/kopia.config",
            "KOPIA_CHECK_FOR_UPDATES": "false",
        },
        init=("repository create filesystem --path {repository}", "policy set --global --compression zstd"),
        backup="snapshot create --no-progress {source}",
        restore="restore {source} . --snapshot-time latest",
        verify="snapshot verify --verify-files-percent=100",
    ),
    Peer(
        name="bupstash",
        settings={"BUPSTASH_KEY": "{home}/key", "BUPSTASH_REPOSITORY": "{repository}"},
        init=("new-key -o {home}/key", "init"),
        backup="put --no-progress --no-default-tags name={number} .",
        restore="restore --no-progress --into . name={number}",
        verify="get --no-progress name={number}",  # has no check: read it all
    ),
]


def installed() -> list[Peer]:
    """The programs that this machine has, `cas` first."""
    return [peer for peer in PEERS if peer.path]
