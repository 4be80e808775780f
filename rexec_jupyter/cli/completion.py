"""``rexec completion`` and ``rexec version``."""

from __future__ import annotations

import platform

import click
from click.shell_completion import get_completion_class

from rexec_jupyter._version import __version__
from rexec_jupyter.cli.shared import answer, json_option


@click.command(
    epilog="""\b
bash  eval "$(rexec completion bash)"   in ~/.bashrc
zsh   eval "$(rexec completion zsh)"    in ~/.zshrc
fish  rexec completion fish > ~/.config/fish/completions/rexec.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete the words of rexec.

    Job ids and names of sessions complete while a server runs.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    click.echo(kind(ctx.find_root().command, {}, "rexec", "_REXEC_COMPLETE").source())


@click.command
@json_option
def version() -> None:
    """Tell the version."""
    python = platform.python_version()
    answer({"rexec": __version__, "python": python}, f"rexec {__version__} (Python {python})")
