"""``rexec run``: a script that runs remotely as it would here."""

from __future__ import annotations

import json
import os
import sys
import tokenize
from concurrent.futures import CancelledError, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rexec_jupyter.cli.exits import Exit
from rexec_jupyter.cli.following import Screen, follow, print_lines
from rexec_jupyter.cli.shared import (
    complete_session,
    connected,
    duration,
    note,
    server_status,
    session_name,
)
from rexec_jupyter.core.errors import RemoteError, RexecError
from rexec_jupyter.core.settings import current

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.outcomes import CellResult


_ENDING = 5.0
"""Seconds that a script may take to end whose output nobody reads."""
_OURS = 2
"""Connections to the supervisor: that of the client, and the one that asks."""


def _variable(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not (name.isascii() and name.isidentifier()):
        raise click.BadParameter("write NAME=VALUE, or NAME to take the value from here")
    if not given and name not in os.environ:
        raise click.BadParameter(f"there is no variable {name} here to take")
    return name, value if given else os.environ[name]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-s",
    "--session",
    type=session_name,
    shell_complete=complete_session,
    help="Run it in this session, with its variables.  [default: default]",
)
@click.option("--fresh", is_flag=True, help="Run it in a new interpreter, which ends with it.")
@click.option("-t", "--timeout", type=duration, metavar="DURATION", help="Let it run 30s, 5m, 2h.")
@click.option(
    "--env",
    "variables",
    type=_variable,
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Set a variable while it runs; without a value, as it is here. Repeatable.",
)
@click.option("-d", "--detach", is_flag=True, help="Print the job's id, and do not wait.")
@click.option("-q", "--quiet", is_flag=True, help="Only what the script itself prints.")
@click.argument("script", type=click.Path(dir_okay=False, allow_dash=True))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    *,
    script: str,
    arguments: tuple[str, ...],
    session: str | None,
    fresh: bool,
    timeout: float | None,
    variables: tuple[tuple[str, str], ...],
    detach: bool,
    quiet: bool,
) -> int:
    """Run a Python script remotely.

    SCRIPT is a file here, or - for what is piped in; it is sent, and ARGUMENTS are its
    sys.argv. What it prints comes out here. Its exit code is ours, and 1 after an exception.
    Ctrl-C interrupts it; a second one leaves it running.
    """
    source = _read(script)
    file = "<stdin>" if script == "-" else script
    told = json.dumps({"file": file, "argv": [script, *arguments]})
    if not source.strip():
        source = "pass\n"  # IPython insists on a body
    with connected(start=True) as client:
        job = client.session(session or current().now().session).submit_cell(
            f"%%rexec_script {told}\n{source}",
            value=True,
            timeout=timeout,
            label=" ".join([Path(file).name, *arguments])[:200],
            stream=not detach,
            env=dict(variables),
            fresh=fresh,
        )
        if detach:
            _await_custody(job)
            click.echo(job.id)
            return Exit.OK
        screen = Screen(quiet=quiet, results=False)
        try:
            followed = follow(job.take, screen.show, job.interrupt)
        except BrokenPipeError:  # nobody reads on, as after `| head`: it would end here too
            job.cancel()
            wait([job], _ENDING)
            raise
        if not followed:
            short = job.id[:8]
            note(
                f"\nIt goes on: `rexec attach {short}` follows it, `rexec cancel {short}` ends it."
            )
            return Exit.INTERRUPTED
        if session and not (fresh or quiet) and sys.stderr.isatty():
            _tell_of_the_end(session)
        return _outcome(job, Path(file).parent)


def _tell_of_the_end(session: str) -> None:
    """Say it if what the script left in a session is soon gone."""
    status = server_status()
    if status and not status["kept"] and status["users"] <= _OURS:
        linger = status["settings"]["linger"]
        note(
            f"rexec: the server ends in {linger:g} s, and session {session!r} with it; "
            "`rexec up --detach` keeps it."
        )


def _read(script: str) -> str:
    """Return the text of the script, decoded as Python does."""
    try:
        if script == "-":
            return sys.stdin.read()
        with tokenize.open(script) as file:
            return file.read()
    except OSError as error:
        raise click.UsageError(f"{script}: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{script} is no Python script: {error}") from None


def _await_custody(job: Job[Any]) -> None:
    """Wait until the server has it: then it does not need us any more."""
    seen = job.changes
    while job.state == "waiting":
        seen = job.wait_change(seen)


def _outcome(job: Job[CellResult], place: Path) -> int:
    try:
        value = job.result().value
    except (KeyboardInterrupt, CancelledError) as error:
        print_lines(getattr(error, "remote_traceback", []))
        return Exit.INTERRUPTED
    except RexecError as error:
        if isinstance(error, RemoteError):
            return _failed(error)
        raise
    except ModuleNotFoundError as error:
        code = _failed(error)
        name = (error.name or "").partition(".")[0]
        if name and ((place / f"{name}.py").is_file() or (place / name).is_dir()):
            note(
                f"rexec: {name} is beside the script here, and only the script itself is sent. "
                "Where it runs it must be installed, or be in the server's working directory, "
                "which `rexec up --directory` sets."
            )
        return code
    except BaseException as error:  # noqa: BLE001 - whatever the script raised
        return _failed(error)
    return value if isinstance(value, int) else Exit.OK


def _failed(error: BaseException) -> int:
    lines = getattr(error, "remote_traceback", None)
    print_lines(lines or [f"{type(error).__name__}: {error}"])
    return Exit.FAILED
