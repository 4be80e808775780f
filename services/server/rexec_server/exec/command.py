"""``python -m rexec_server exec``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from rexec_jupyter.core.startup import INSIDE
from rexec_server.options import option


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
    default=0,
    help="Bytes that all processes may take together; 0 for no limit.",
)
@option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=".",
    help="Working directory of the user's code.",
)
def exec_command(handoff: Path, workers: int, memory: int, directory: Path) -> None:
    """Run the user's code for an agent: cells in kernels, functions in workers."""
    from rexec_server.exec.processes import Guard  # noqa: PLC0415 - not for --help

    os.environ[INSIDE] = "1"
    guard = Guard()  # before there are threads, and while there is little to share

    from rexec_server.exec.manager import Manager  # noqa: PLC0415

    async def run() -> None:
        await Manager(handoff, workers, memory, directory, guard).run()

    asyncio.run(run())
