"""A clone into a folder that is not empty: made aside, and moved when it is whole.

`git clone` wants an empty folder, but the repository may lie in it (`backups/`), and the env file. The clone is made in
`.cas-recover/clone` of the same folder, so that moving it is renaming, but where something is mounted below. Once it is
whole it is called `whole`: killed behind that, only the moving is left to do. What is there already stays as it is,
whatever the clone has of that name.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

ASIDE = ".cas-recover"
FOLDER = "{folder}"  # in the arguments of a step: the application's folder


def is_clone(arguments: Sequence[str]) -> bool:
    """Whether a step clones into the folder: it must not see what else is there."""
    return FOLDER in arguments and "clone" in arguments


def prepare(folder: Path) -> Path:
    """Give the place for a clone, which is not there yet; what an earlier attempt left is removed."""
    discard(folder)
    (folder / ASIDE).mkdir(mode=0o700)
    return folder / ASIDE / "clone"


def is_whole(folder: Path) -> bool:
    """Whether a clone came to its end and waits to be moved."""
    return (folder / ASIDE / "whole").is_dir()


def settle(folder: Path) -> list[str]:
    """Move the clone to where it belongs; gives the paths of what was there already and stayed.

    Raises:
        OSError: something cannot be moved; it can be called again.
    """
    whole = folder / ASIDE / "whole"
    if not whole.is_dir():
        (folder / ASIDE / "clone").rename(whole)
    kept = sorted(_move(whole, folder))
    discard(folder)
    return [os.fsdecode(os.path.relpath(path, folder)) for path in kept]


def discard(folder: Path) -> None:
    """Remove what lies aside."""
    if (folder / ASIDE).exists():
        shutil.rmtree(folder / ASIDE)


def _move(source: Path, target: Path) -> Iterator[Path]:
    for entry in list(os.scandir(source)):
        place = target / entry.name
        if not os.path.lexists(place):
            _carry(Path(entry.path), place)
        elif entry.is_dir(follow_symlinks=False) and place.is_dir() and not place.is_symlink():
            yield from _move(Path(entry.path), place)
        else:
            yield place


def _carry(source: Path, place: Path) -> None:
    try:
        source.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system is mounted there: what is copied is called by its name once it is whole.
        half = place.with_name(f"{ASIDE}-{place.name}")
        _remove(half)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, half, symlinks=True)
        else:
            shutil.copy2(source, half, follow_symlinks=False)
        half.rename(place)
        _remove(source)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
