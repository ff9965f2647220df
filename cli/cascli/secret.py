"""Secrets: from options, environment or a terminal. None is ever shown, logged or put on a command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cascli.options import Common
from cascli.world import terminal
from casstore.errors import CasError, UsageError
from casstore.keyring import KeyFile, Passphrase, RecoveryWords, Secret

MOST = 1 << 16  # bytes of a passphrase


class NoTerminal(UsageError):
    """Somebody would have to be asked, and nobody is there."""

    hint = "Set CAS_PASSWORD, CAS_PASSWORD_FILE, CAS_PASSWORD_COMMAND or CAS_KEY_FILE."


def explicit(options: Common) -> Secret | None:
    """Give the secret that was named for this run; it counts before this host's own key file."""
    if options.key_file and options.recovery_words:
        raise UsageError("--key-file and --recovery-words are two ways to open; say one")
    if options.recovery_words:
        return RecoveryWords(ask_words())
    if place := options.key_file or os.environ.get("CAS_KEY_FILE"):
        return KeyFile(Path(place).expanduser())
    return None


def from_environment() -> Passphrase | None:
    """Give the passphrase of CAS_PASSWORD, CAS_PASSWORD_FILE or CAS_PASSWORD_COMMAND."""
    if text := os.environ.get("CAS_PASSWORD"):
        return Passphrase(text)
    if file := os.environ.get("CAS_PASSWORD_FILE"):
        return Passphrase(_text(_read_file(Path(file).expanduser()), "CAS_PASSWORD_FILE"))
    if line := os.environ.get("CAS_PASSWORD_COMMAND"):
        return Passphrase(_text(_run(line), "CAS_PASSWORD_COMMAND"))
    return None


def ask(prompt: str, *, twice: bool = False) -> Passphrase:
    """Ask for a passphrase on the terminal.

    Raises:
        NoTerminal: there is none.
    """
    if not terminal():
        raise NoTerminal("a passphrase is needed and there is no terminal to ask on")
    import click

    while True:
        text: str = click.prompt(prompt, hide_input=True, err=True)
        if not twice or click.prompt("The same once more", hide_input=True, err=True) == text:
            return Passphrase(text, typed=True)
        click.echo("These were not the same; once more, please.", err=True)


def ask_again(prompt: str) -> Passphrase:
    """Ask for a passphrase on a terminal, or read it from stdin: what lies on this host anyway is not asked."""
    if terminal():
        return ask(prompt)
    text = _piped()
    if not text:
        raise NoTerminal(
            "the passphrase is needed: nothing came on stdin, and there is no terminal to ask on",
            hint="Type it on a terminal, or pass it in: `… < FILE`. One of the environment lies on this host anyway.",
        )
    return Passphrase(_text(text.encode(errors="surrogateescape"), "stdin"), typed=True)


def ask_words() -> str:
    """Ask for all recovery words on a terminal, or read them from stdin."""
    if terminal():
        import click

        return str(click.prompt("Recovery words, all 24 in a row", hide_input=False, err=True))
    words = _piped().strip()
    if not words:
        raise NoTerminal(
            "recovery words are needed: nothing came on stdin, and there is no terminal to ask on",
            hint="Type them on a terminal, or pass them in: `… < FILE`.",
        )
    return " ".join(words.split())


def _piped() -> str:
    return sys.stdin.read(MOST) if sys.stdin and not sys.stdin.isatty() else ""


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UsageError(f"CAS_PASSWORD_FILE names {path}, which cannot be read: {reason}") from None


def _run(line: str) -> bytes:
    import shlex
    import subprocess

    try:
        arguments = shlex.split(line)
        done = subprocess.run(arguments, stdout=subprocess.PIPE, check=False)  # no shell: nothing in it is expanded
    except OSError as error:
        raise UsageError(
            f"CAS_PASSWORD_COMMAND cannot be run: {arguments[0]}: {os.strerror(error.errno or 0).lower()}"
        ) from None
    except (ValueError, IndexError) as error:
        raise UsageError(f"CAS_PASSWORD_COMMAND is no command: {error}") from None
    if done.returncode:
        raise CasError(f"CAS_PASSWORD_COMMAND failed with exit code {done.returncode}")
    return done.stdout[:MOST]


def _text(raw: bytes, source: str) -> str:
    line = raw.split(b"\n", 1)[0].rstrip(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{source} gives no UTF-8 text") from None
    if not text:
        raise UsageError(f"{source} gives an empty passphrase")
    return text
