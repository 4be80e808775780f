"""``python -m rexec_server exec``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from rexec_jupyter.core.startup import INSIDE
from rexec_server.environment.command import check_python, fail
from rexec_server.environment.entry import enter
from rexec_server.environment.failure import InstallError
from rexec_server.environment.place import Lock
from rexec_server.options import environment_options, option

_FAREWELL = 2.0


@click.command("exec")
@option(
    "--handoff",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    required=True,
    help="Directory shared with the agent.",
)
@option(
    "--workers",
    type=click.IntRange(0),
    default=len(os.sched_getaffinity(0)),
    help="How many functions can run at once.",
)
@option(
    "--memory",
    type=click.IntRange(0),
    help="Bytes that all processes may take together, 0 for no limit; by default the container's.",
)
@option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=".",
    help="Working directory of the user's code.",
)
@option(
    "--drain-grace",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Seconds after SIGTERM in which the agent may let end what runs; give it as many.",
)
@environment_options(required=False)
def exec_command(
    *,
    handoff: Path,
    workers: int,
    memory: int | None,
    directory: Path,
    drain_grace: float,
    cache: Path | None,
    environment: str,
    python: str,
) -> None:
    """Run the user's code for an agent: cells in kernels, functions in workers.

    With --cache and --environment it runs with packages that were installed there; the exit
    code is 3 if they are not.
    """
    lock = _enter(cache, environment, python)
    if os.getpid() == 1:
        from rexec_server.exec.first import stand_aside  # noqa: PLC0415 - not for everybody

        stand_aside()
    from rexec_server.exec.processes import Guard  # noqa: PLC0415 - not for --help

    os.environ[INSIDE] = "1"
    guard = Guard()  # before there are threads, and while there is little to share

    from rexec_server.exec.manager import Manager  # noqa: PLC0415

    async def run() -> None:
        # The agent needs a moment more than it gives, to say what it has not waited for.
        grace = drain_grace and drain_grace + _FAREWELL
        await Manager(handoff, workers, memory, directory, guard, grace=grace).run()

    asyncio.run(run())
    if lock is not None:
        lock.release()


def _enter(cache: Path | None, environment: str, python: str) -> Lock | None:
    """Change to the environment, if there is one."""
    if environment and cache is None:
        raise click.UsageError("--environment needs --cache: where the environments are.")
    try:
        check_python(python)
        return enter(cache, environment) if cache is not None and environment else None
    except InstallError as error:
        fail(error.failure, None)
