"""``python -m rexec_server environment``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from rexec_jupyter.core.versions import PYTHON
from rexec_server.environment.failure import Failure, InstallError
from rexec_server.options import environment_options, option

FAILED = 3
"""Exit code if the packages cannot be had; the last line on stderr tells why, as JSON."""
_LIMIT = 5 * 1024**3


@click.command("environment")
@option(
    "--requirements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="File with the packages, one in each line.",
)
@environment_options(required=True)
@option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for a line of JSON that tells why, should it fail.",
)
@option(
    "--limit",
    env="CACHE_LIMIT",
    type=click.IntRange(min=0),
    default=_LIMIT,
    help="Bytes that the cache may take. What was not used for longest goes first.",
)
def environment_command(
    *,
    requirements: Path,
    cache: Path,
    environment: str,
    python: str,
    report: Path | None,
    limit: int,
) -> None:
    """Install packages for the user's code, for exec to be started with.

    What is installed already is used again. If it fails, the exit code is 3, and the last
    line on stderr is JSON with "reason", "message" and "hint".
    """
    from rexec_server.environment.install import Installer  # noqa: PLC0415 - not for --help

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        check_python(python)
        Installer(cache, limit, say).install(requirements, environment, PYTHON)
    except InstallError as error:
        fail(error.failure, report)


def check_python(python: str) -> None:
    """Raise `InstallError` if another Python than that of this installation is asked for."""
    if python and python != PYTHON:
        raise InstallError(
            Failure(
                "configuration",
                f"There is no Python {python} here; this image has Python {PYTHON}.",
                f"Ask for Python {PYTHON}, or choose an image with Python {python}.",
            )
        )


def say(line: str) -> None:
    """Write a line of the log."""
    click.echo(line)


def fail(failure: Failure, report: Path | None) -> NoReturn:
    """Tell why, for people and programs, and end."""
    say(failure.message)
    if failure.hint:
        say(failure.hint)
    sys.stdout.flush()
    told = json.dumps(failure._asdict())
    if report is not None:
        try:
            # In place: where a container's last words are read, the file is mounted.
            report.write_text(f"{told}\n")
        except OSError as error:
            click.echo(f"{report}: {error.strerror}", err=True)
    click.echo(told, err=True)
    sys.exit(FAILED)


def _leave(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
