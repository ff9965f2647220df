"""Is a restored tree the tree that was saved? Every byte, kind, mode and time, and nothing besides."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

WINDOW = 1 << 20


def strict_difference(source: Path, restored: Path) -> Iterator[str]:
    """One sentence for each difference; the two top folders themselves are not compared."""
    ours, theirs = names_below(source), names_below(restored)
    yield from (f"{name} is missing" for name in sorted(ours - theirs))
    yield from (f"{name} was not there" for name in sorted(theirs - ours))
    for name in sorted(ours & theirs):
        yield from (f"{name}: {what}" for what in differences(source / name, restored / name))


def names_below(tree: Path) -> set[str]:
    """Every path below `tree`, relative."""
    return {
        os.path.relpath(os.path.join(folder, name), tree)
        for folder, folders, files in os.walk(tree)
        for name in folders + files
    }


def differences(one: Path, other: Path) -> Iterator[str]:
    """What differs between two entries."""
    a, b = one.lstat(), other.lstat()
    if a.st_mode != b.st_mode:
        yield f"mode is {b.st_mode:o} instead of {a.st_mode:o}"
    if a.st_mtime_ns != b.st_mtime_ns:
        yield f"changed at {b.st_mtime_ns} instead of {a.st_mtime_ns}"
    if stat.S_ISLNK(a.st_mode) and stat.S_ISLNK(b.st_mode):
        if one.readlink() != other.readlink():
            yield "points elsewhere"
    elif stat.S_ISREG(a.st_mode) and stat.S_ISREG(b.st_mode) and not same_bytes(one, other):
        yield "other bytes"


def same_bytes(one: Path, other: Path) -> bool:
    """Compare by windows."""
    with one.open("rb", buffering=0) as a, other.open("rb", buffering=0) as b:
        while True:
            left, right = a.read(WINDOW), b.read(WINDOW)
            if left != right:
                return False
            if not left:
                return True


def prove_comparison(source: Path, restored: Path) -> None:
    """Control: flip one bit of the restored tree; a comparison that does not see it proves nothing.

    Raises:
        AssertionError: the comparison is blind.
    """
    victim = max((path for path in restored.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    times = victim.stat()
    with victim.open("r+b") as file:
        file.seek(times.st_size // 2)
        byte = file.read(1)
        file.seek(times.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    name = victim.relative_to(restored)
    if list(strict_difference(source, restored)) != [f"{name}: other bytes"]:
        raise AssertionError(f"the comparison did not see a flipped bit in {name}")
