"""The options that every command takes, before its name or after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from casstore.errors import UsageError
from casstore.values import dataclass

F = TypeVar("F", bound=Callable[..., Any])


class _Completed(click.ParamType[str]):
    """Any text; a shell completes it as the name of a file or of a folder."""

    name = "path"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take any but an empty one, of an option: an unset variable must not mean the default."""
        if not value and isinstance(param, click.Option):
            here = " This folder is `.`." if self._kind == "dir" else ""
            raise UsageError(f"{param.opts[-1]} is empty", hint=f"A variable is unset, most likely.{here}")
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Let the shell complete it."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self._kind)]


class _Moment(click.ParamType[str]):
    """A snapshot as users name it; the words are completed, ids and times are not."""

    name = "snapshot"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Give the words that begin so."""
        from click.shell_completion import CompletionItem

        words = {"latest": "the newest", "last-good": "the newest that is in no doubt", "yesterday": "", "today": ""}
        return [CompletionItem(word, help=says) for word, says in words.items() if word.startswith(incomplete)]


MOMENT = _Moment()
FILE, FOLDER = _Completed("file"), _Completed("dir")


@dataclass(slots=True)
class Common:
    """What was given on the command line; where an option is given twice the later one wins."""

    repo: str | None = None
    key_file: str | None = None
    recovery_words: bool = False
    json: bool = False
    quiet: bool = False
    verbose: bool = False


def _store(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None and value is not False:
        setattr(context.ensure_object(Common), str(parameter.name), value)


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, callback=_store, expose_value=False, is_eager=True, **settings)


_OPTIONS = [
    _option(
        "-r", "--repo", type=FOLDER, metavar="REPO", help="The repository (also CAS_REPOSITORY, CAS_REPOSITORY_FILE)."
    ),
    _option("--key-file", type=FILE, metavar="FILE", help="Open it with this key file (also CAS_KEY_FILE)."),
    _option("--recovery-words", is_flag=True, help="Open it with the recovery words: asked for, or read from stdin."),
    _option("--json", is_flag=True, help="Data as JSON on stdout; errors as JSON on stderr."),
    _option("-q", "--quiet", is_flag=True, help="Say only what is wrong."),
    _option("-v", "--verbose", is_flag=True, help="Say more."),
]


def common(function: F) -> F:
    """Add the options that every command takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def repository_too(*names: str, shown: str) -> Callable[[F], F]:
    """Add another word for --repo; `shown` is its help."""
    return click.option(
        *names, "repo", type=FOLDER, metavar="REPO", callback=_store, expose_value=False, is_eager=True, help=shown
    )


def repeated(*names: str, metavar: str, shown: str, **settings: Any) -> Callable[[F], F]:
    """Add an option that may be given several times."""
    return click.option(*names, multiple=True, metavar=metavar, help=shown, **settings)
