"""The command `cas`: finds the subcommand, imports only that, and turns whatever goes wrong into words and a code.

Nothing is imported here that some command does not need: `cas backup` runs every minute.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from cascli import render
from cascli.options import Common, common
from casstore.errors import CasError, refusal

COMMANDS = {
    "status": "Am I safe? What is wrong first, with what to do.",
    "doctor": "Would it work on the day? Each thing a recovery rests on.",
    "init": "Make a repository, and a cas.toml that says what to save.",
    "backup": "Take a snapshot.",
    "watch": "Take a snapshot whenever something changed, until it is stopped.",
    "snapshots": "List the snapshots.",
    "ls": "List what a snapshot holds.",
    "find": "Find in which snapshots a file is, and in which versions.",
    "log": "Tell how a file, or one record in it, changed through the snapshots.",
    "dump": "Write a file of a snapshot to stdout, or a folder as tar.",
    "diff": "Tell what differs between two snapshots, or a snapshot and now.",
    "restore": "Bring files back: all or nothing, verified first.",
    "recover": "Bring an application back on a bare server: code, data, start, health.",
    "schedule": "What runs by itself: timers of systemd, or lines for cron.",
    "drill": "Rehearse a recovery in a scratch folder, and report what it took.",
    "accept": "Say that what guarded files lost is meant.",
    "import": "Turn old backups, folders named by their time, into snapshots.",
    "verify": "Read everything back and prove it whole.",
    "key": "Passphrases, key files and recovery words that open the repository.",
    "runbook": "Write the recovery plan of this application, for people.",
    "sheet": "One printable page of what must be kept outside.",
    "stats": "Sizes: raw, stored, per name.",
    "cat": "Show what the repository is made of, for support.",
    "anchor": "What this host last saw of the history.",
    "completion": "Print the completion script of a shell.",
    "help": "Show help for a command.",
}
ALIASES = {"check": "verify"}
ELSEWHERE = {  # what fingers know from other programs
    "forget": "Nothing is forgotten yet: a repository only grows, by what is new.",
    "prune": "Nothing is forgotten yet: a repository only grows, by what is new.",
    "mount": "Not yet; `cas restore SNAPSHOT --target DIR` brings all of it, `cas dump` one file.",
    "copy": "Not yet; a repository is a folder of files that never change: copy it with rsync or rclone.",
    "tag": "A tag is given with the snapshot: `cas backup --tag TAG`.",
    "unlock": "There are no locks that could stay behind.",
    "version": "Type `cas --version`.",
}

INTERRUPTED, GONE = 130, 141  # what a shell reports of SIGINT and of SIGPIPE


class Group(click.Group):
    """Commands that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102 - as in click
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: D102 - as in click
        module = ALIASES.get(cmd_name, cmd_name)
        if module not in COMMANDS:
            return None
        if module == "help":
            return _help
        import importlib

        command: click.Command = importlib.import_module(f"cascli.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and args[0] not in ALIASES:
            import difflib

            near = difflib.get_close_matches(args[0], [*COMMANDS, *ALIASES], 1, 0.6)
            guess = f"Did you mean `cas {near[0]}`?" if near else "`cas --help` lists the commands."
            hint = ELSEWHERE.get(args[0], guess)
            error = click.UsageError(f"there is no command `{args[0]}`", ctx)
            error.hint = hint  # type: ignore[attr-defined] # read by told
            raise error
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"cas {version('casstore')}")
        context.exit()


@click.group(
    cls=Group,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nStart in the folder of an application:\n  cas init data/*.json\n  cas backup\n  cas snapshots\n"
    '  cas restore "2 hours ago"',
)
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
@common
@click.pass_context
def cli(context: click.Context) -> int:
    """Snapshots of an application's state: cheap enough to take every minute, proven when they come back."""
    context.ensure_object(Common)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return 2
    return 0


@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def _help(context: click.Context, command: tuple[str, ...]) -> None:
    """Show help for a command."""
    assert context.parent is not None
    at: click.Command = context.parent.command
    inside = context.parent
    for word in command:
        if not isinstance(at, click.Group):
            break
        _, found, _ = at.resolve_command(inside, [word])
        assert found is not None
        at, inside = found, click.Context(found, inside, word)
    click.echo(at.get_help(inside))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; everything that goes wrong is told on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _invoke(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        return _gone()
    except (KeyboardInterrupt, click.Abort):
        return _tell(
            arguments, "interrupted", "What was acknowledged is safe; there is nothing to clean up.", INTERRUPTED
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as shown:  # as `cas` alone does
        render.out(shown.ctx.get_help() if shown.ctx else "")
        return 2
    except Exception as error:
        if os.environ.get("CAS_DEBUG"):
            raise
        return _tell(arguments, *told(error))
    return code


def main() -> NoReturn:
    """Run the command that was typed."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _gone()
    except OSError:  # a full disk, which was told of; Python must not try once more
        code = code or 1
        _gone()
    sys.exit(code)


def _invoke(arguments: list[str]) -> int:
    if "_CAS_COMPLETE" in os.environ:
        cli.main(arguments, prog_name="cas", complete_var="_CAS_COMPLETE")
    with cli.make_context("cas", arguments) as context:
        code: Any = cli.invoke(context)
    return code if isinstance(code, int) else 0


def _gone() -> int:
    # Whoever read our output has left: nobody is to be told, and Python must not try to flush once more.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return GONE


def told(error: Exception) -> tuple[str, str, int]:
    """Give message, hint and exit code of whatever was raised."""
    if isinstance(error, CasError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, click.UsageError):
        hint = getattr(error, "hint", "")
        near = getattr(error, "possibilities", None)
        message = " ".join(error.format_message().split())  # what can be chosen stands in lines of its own there
        command = error.ctx.command_path if error.ctx else "cas"
        if isinstance(error, click.NoSuchOption):
            option = error.option_name
            message, hint = (
                f"there is no option `{option}`",
                f"Did you mean `{_nearest(option, near)}`?" if near else "",
            )
        elif name := getattr(error, "command_name", None):
            message = f"there is no command `{command.removeprefix('cas ')} {name}`"
            hint = f"Did you mean `{command} {_nearest(name, near)}`?" if near else ""
        return message.rstrip("."), hint or f"`{command} --help` shows what can be said.", 2
    if isinstance(error, click.ClickException):
        return error.format_message().rstrip("."), "", error.exit_code
    if isinstance(error, OSError):
        return refusal(error), "", 1
    if type(error).__module__ == "sqlite3":  # not imported here: many commands do without
        return (
            f"the local cache cannot be used: {error}",
            "Make room, or set CAS_CACHE_DIR to a folder elsewhere: it is made anew.",
            1,
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory", "", 1
    words = " ".join(str(error).split())
    return (
        f"cas met an error of its own: {type(error).__name__}{': ' if words else ''}{words}",
        "Nothing acknowledged is lost. CAS_DEBUG=1 shows where it was; please report it.",
        1,
    )


def _nearest(word: str, words: Sequence[str]) -> str:
    import difflib

    return (difflib.get_close_matches(word, words, 1, 0) or words)[0]


def _tell(arguments: Sequence[str], message: str, hint: str, code: int) -> int:
    message = render.printable(message)
    hint = "\n".join(render.printable(line) for line in hint.split("\n"))
    try:
        if "--json" in arguments:
            fields = {"message_type": "exit_error", "code": code, "message": message, "hint": hint}
            render.err(render.to_json(fields))
        else:
            render.err(f"cas: {message}" + (f"\n{hint}" if hint else ""))
    except BrokenPipeError:
        return _gone()
    return code
