"""`cas completion`: what a shell needs to complete words."""

from __future__ import annotations

import click

from cascli.options import Common, common

EPILOG = (
    "\b\nTo use it:\n"
    "  bash   cas completion bash > ~/.local/share/bash-completion/completions/cas\n"
    '  zsh    cas completion zsh > "${fpath[1]}/_cas"\n'
    "  fish   cas completion fish > ~/.config/fish/completions/cas.fish"
)


@click.command("completion", short_help="Print the completion script of a shell.", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@click.pass_obj
def command(options: Common, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options of cas."""
    from click.shell_completion import get_completion_class

    from cascli.main import cli

    found = get_completion_class(shell)
    assert found is not None  # the choices are those that click knows
    script = found(cli, {}, "cas", "_CAS_COMPLETE")
    click.echo(script.source_template % script.source_vars())  # .source() would start bash to ask its version
