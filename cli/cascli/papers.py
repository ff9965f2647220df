"""Files that are written for people: where they go, and what must not be written over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from cascli import render
from casstore import private
from casstore.errors import UsageError
from casstore.recovery.paper.mark import is_own
from casstore.recovery.paper.phrases import LANGUAGES

LANGUAGE = click.option(
    "--lang",
    "language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="In which language.",
)
MOST_BYTES = 16 << 20


def put(output: str, text: str) -> None:
    """Write a marked page to a file, whole or not at all; `-` is stdout.

    Raises:
        UsageError: what is there was not written here, or was changed since. OSError: it cannot be written.
    """
    if output == "-":
        render.out(text.rstrip("\n"))
        return
    path = Path(os.path.realpath(output))  # a link stays one
    before = read(path)
    if before is not None and not is_own(before):
        raise UsageError(
            f"{render.name(output)} was not written by this command, or was changed by hand since, and is left alone",
            hint="Move what is yours elsewhere and remove it, or name another file with --output.",
        )
    try:
        private.publish(path, text.encode(), mode=_mode(path))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, output) from None  # who reads it knows no other name


def _mode(path: Path) -> int:
    """Give the mode of what is replaced, or that of a new file."""
    umask = os.umask(0o077)
    os.umask(umask)
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~umask


def read(path: Path) -> str | None:
    """Give the text of a file; None if there is none.

    Raises:
        UsageError: it is no text, or far too long for one that people read.
    """
    try:
        if not path.is_file() and os.path.lexists(path):
            raise UsageError(f"{render.name(str(path))} is not a file")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{render.name(str(path))} is larger than anything that was written here")
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
