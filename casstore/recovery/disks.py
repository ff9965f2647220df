"""On which disks does a folder lie? As far as Linux tells; where it does not, the number of the device must do.

Two folders on one disk die together, though on two partitions of it, or in two subvolumes, they have two numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

_BLOCK = Path("/sys/dev/block")
_MOUNTS = Path("/proc/self/mountinfo")


def disks_of(path: Path) -> frozenset[str]:
    """Name what must not fail for a folder to be there: disks, or a server, or a device that says no more of itself.

    Raises:
        OSError: it is not there.
    """
    device = path.stat().st_dev
    return frozenset(_disks(device) or _by_mount(path) or {f"device {device}"})


def share_a_disk(one: Path, other: Path) -> bool:
    """Whether one disk holds something of both.

    Raises:
        OSError: one is not there.
    """
    return not disks_of(one).isdisjoint(disks_of(other))


def data_beside(folder: Path, patterns: Iterable[str], other: Path) -> bool:
    """Whether a disk of what patterns name in a folder also holds `other`; of what is not there what is above counts.

    Raises:
        OSError: `other` is not there.
    """
    return any(share_a_disk(_there(folder / _literal(pattern)), other) for pattern in patterns)


def _literal(pattern: str) -> str:
    """Give the folder in which a glob begins to choose."""
    return "/".join(takewhile(lambda part: not re.search(r"[*?[]", part), pattern.split("/")))


def _there(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _disks(device: int) -> set[str]:
    """Give the names of the disks below a block device, through partitions, volumes and arrays; {} if it is none."""
    node = _BLOCK / f"{os.major(device)}:{os.minor(device)}"
    if not node.exists():
        return set()
    return _below(node.resolve())


def _below(node: Path) -> set[str]:
    if (node / "partition").exists():
        return _below(node.parent)
    layers = list((node / "slaves").glob("*"))
    return {name for layer in layers for name in _below(layer.resolve())} or {node.name}


def _by_mount(path: Path) -> set[str]:
    """Name what lies below a file system whose device is none: datasets, subvolumes, exports have their own numbers."""
    kind, source = _mounted(path)
    if kind == "zfs":
        return {f"pool {source.partition('/')[0]}"}
    if kind.startswith("nfs"):
        return {f"server {source.rpartition(':/')[0]}"}
    if kind in ("cifs", "smb3"):
        return {f"server {source.strip('/').partition('/')[0]}"}
    if not source.startswith("/dev/"):
        return set()
    with suppress(OSError):  # in a container the device itself may not be there
        return _disks(Path(source).stat().st_rdev) or {source}
    return {source}


def _mounted(path: Path) -> tuple[str, str]:
    """Give the kind of the file system where a folder lies, and what is mounted; "" for both if that is not told."""
    best, found = Path("/"), ("", "")
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if path.resolve().is_relative_to(point) and point.is_relative_to(best):
            kind, source = after.split(" ")[:2]
            best, found = point, (kind, source)
    return found
