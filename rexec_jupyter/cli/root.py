"""The ``rexec`` command. Its subcommands are loaded when they are run: help is there at once."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from rexec_jupyter._version import __version__
from rexec_jupyter.cli.exits import Exit, exit_code
from rexec_jupyter.core.errors import RexecError

_PACKAGE = "rexec_jupyter.cli"


class _Entry(NamedTuple):
    module: str
    summary: str


_COMMANDS = {
    "up": _Entry("server", "Start the rexec server of this computer."),
    "down": _Entry("server", "End the rexec server of this computer."),
    "status": _Entry("server", "Tell what runs on this computer; starts nothing."),
    "doctor": _Entry("server", "Check everything that rexec needs, and say what to do."),
    "run": _Entry("run", "Run a Python script remotely."),
    "servers": _Entry("servers", "List your servers at the endpoint, and when they end."),
    "profiles": _Entry("servers", "List what kinds of servers there are."),
    "extend": _Entry("servers", "Let a server live longer."),
    "sessions": _Entry("sessions", "List the sessions."),
    "start": _Entry("sessions", "Start a session."),
    "stop": _Entry("sessions", "End a session, and its variables with it."),
    "restart": _Entry("sessions", "Give a session a new, empty interpreter."),
    "jobs": _Entry("jobs", "List the jobs: cells and functions, whoever submitted them."),
    "logs": _Entry("jobs", "Show what a job printed."),
    "attach": _Entry("jobs", "Follow a job from its first line to its end."),
    "cancel": _Entry("jobs", "End a job."),
    "completion": _Entry("completion", "Print what makes a shell complete the words of rexec."),
    "version": _Entry("completion", "Tell the version."),
}
"""Where each subcommand is, and its first line of help, which the subcommand repeats."""


class Root(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order they are shown."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"{_PACKAGE}.{entry.module}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - for mypy
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in _COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option."""
        found = [
            CompletionItem(name, help=entry.summary)
            for name, entry in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that was probably meant."""
        name = args[0]
        if name in _COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        matches = difflib.get_close_matches(name, _COMMANDS, n=1)
        meant = f"Did you mean {matches[0]!r}?" if matches else "`rexec --help` lists them."
        if name.endswith(".py"):
            meant = f"Did you mean `rexec run {name}`?"
        raise click.UsageError(f"No such command {name!r}. {meant}", ctx)


@click.command(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes
    0  it went well
    1  the remote code failed; `run`: or the script's own exit code
    2  the command cannot be understood, or would lose something and needs -f
    3  no backend runs, or it cannot be reached or started
    4  there is no such job or session
  124  the remote code ran longer than --timeout
  130  interrupted with Ctrl-C""",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.version_option(__version__, prog_name="rexec")
@click.pass_context
def root(ctx: click.Context, *, as_json: bool) -> None:
    """Run Python on remote compute as if it were local, from the command line.

    Notebooks use the same server, sessions and jobs: `%%rexec` there, `rexec jobs` here.
    Without REXEC_URL it is a server on this computer, which the first user starts.

    No command but up, start and run ever starts a server. No option takes a password or token.
    """
    ctx.obj["json"] = as_json


def main(args: list[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.FAILED
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    chosen = {"json": False}
    try:
        # The result of a command is its exit code.
        code: Any = root.main(args, prog_name="rexec", standalone_mode=False, obj=chosen)
    except RexecError as error:
        _tell(error, as_json=chosen["json"])
        return exit_code(error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.OK


def _tell(error: RexecError, *, as_json: bool) -> None:
    """Say what is wrong."""
    if as_json:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        text = str(error).removeprefix("[R00] ")
        click.echo(f"rexec: {as_command(text)}", err=True)


def as_command(text: str) -> str:
    """Return a text written for notebooks with the commands that there are here."""
    return re.sub(rf"%rexec ({'|'.join(_COMMANDS)})\b", r"rexec \1", text)
