"""``python -m rexec_server agent``."""

from __future__ import annotations

import logging
import os
import platform
import signal
from pathlib import Path
from typing import Any

import click

from rexec_jupyter.core.carrier import machine_id
from rexec_jupyter.core.startup import LOG_LEVELS, log_to_stderr
from rexec_jupyter.core.trust import KeyPair, read_keypair
from rexec_server import handoff as h
from rexec_server.agent.certificates import Certificates
from rexec_server.agent.exec_port import wall_clock
from rexec_server.agent.job import Limits
from rexec_server.agent.journal import DiskJournal, JournalBusyError
from rexec_server.agent.log_files import DiskLogFiles
from rexec_server.agent.loop import AgentLoop, Places, StoppedError
from rexec_server.agent.machine import AgentMachine, Identity
from rexec_server.agent.spool import DiskSpool
from rexec_server.options import option

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE_TO_BE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_DEFAULTS = Limits()
_BYTES = click.IntRange(min=1024 * 1024)
_log = logging.getLogger("rexec_server.agent")


def _broker_key(_: click.Context, __: click.Parameter, value: str) -> bytes:
    key = value.encode()
    if len(key) != 40:
        raise click.BadParameter("a CURVE key has 40 characters (Z85)")
    return key


@click.command(context_settings={"max_content_width": 100})
@option("--broker", required=True, help="Server port of the broker, such as tcp://broker:5560.")
@option(
    "--broker-key", required=True, callback=_broker_key, help="Public CURVE key of the broker, Z85."
)
@option(
    "--curve-key-file",
    type=_FILE,
    required=True,
    help="CURVE key pair of this server: two lines, public and secret, in Z85.",
)
@option(
    "--certificate-file",
    type=_FILE,
    required=True,
    help="Certificate of this server for that key. Read again at each connection.",
)
@option(
    "--directory",
    type=_DIRECTORY,
    required=True,
    help="Where the journal is. Jobs and results outlive a restart if this does.",
)
@option(
    "--handoff",
    type=_DIRECTORY,
    required=True,
    help="Where agent and exec meet, and large values pass as files. Nobody else may enter.",
)
@option(
    "--share-files/--no-share-files",
    default=False,
    help="Whether clients of the same user on the same machine may hand over files there.",
)
@option(
    "--slots",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    help="Functions that run at once.",
)
@option(
    "--spool-limit", type=_BYTES, default=_DEFAULTS.spool, help="Bytes of jobs and results kept."
)
@option(
    "--output-limit",
    type=_BYTES,
    default=_DEFAULTS.output,
    help="Bytes of output of one job kept until it is read.",
)
@option(
    "--log-limit",
    type=_BYTES,
    default=_DEFAULTS.logs,
    help="Bytes of what jobs have shown, kept to be read again; the oldest go first.",
)
@option(
    "--retention",
    type=click.FloatRange(min=1),
    default=_DEFAULTS.retention,
    help="Seconds that results are kept which nobody fetches, and what jobs have shown.",
)
@option(
    "--fsync/--no-fsync",
    default=False,
    help="Wait for the disk: nothing is lost even if the machine loses power.",
)
@option(
    "--drain-grace",
    type=click.FloatRange(min=0),
    default=10.0,
    help="Seconds that running jobs get after SIGTERM.",
)
@option(
    "--ready-fd",
    type=click.IntRange(min=0),
    help="File descriptor to write one line of JSON to once the broker has welcomed the server.",
)
@option(
    "--ready-file",
    type=_FILE_TO_BE,
    help="File that exists exactly while the broker has welcomed the server.",
)
@option(
    "--liveness-file",
    type=_FILE_TO_BE,
    help="File that is touched every few seconds while the agent works.",
)
@option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    help="What to write to stderr.",
)
def agent_command(**options: Any) -> None:
    """Run the agent of a server: it keeps jobs and results and speaks to the broker.

    It never runs the user's code; start exec with the same --handoff for that. SIGTERM and
    SIGINT end it in good order, and a second one at once.
    """
    log_to_stderr(options["log_level"])
    try:
        _run(options)
    except (StoppedError, JournalBusyError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


def _run(options: dict[str, Any]) -> None:
    keys = _keys(options["curve_key_file"])
    certificates = Certificates(options["certificate_file"], options["directory"])
    handoff: Path = options["handoff"].absolute()
    handoff.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = wall_clock()
    spool = DiskSpool(handoff / h.FILES)
    journal = DiskJournal(options["directory"], fsync=options["fsync"])
    files = str(handoff / h.FILES)
    share: bool = options["share_files"]
    machine = AgentMachine(
        clock(),
        journal=journal,
        spool=spool,
        logs=DiskLogFiles(options["directory"] / "logs"),
        certificate=certificates.read(),
        identity=Identity(
            python=platform.python_version(),
            slots=options["slots"],
            exchange=files if share else "",
            machine=machine_id(files) if share else "",
        ),
        limits=Limits(
            spool=options["spool_limit"],
            output=options["output_limit"],
            logs=options["log_limit"],
            retention=options["retention"],
        ),
    )
    places = Places(
        endpoint=options["broker"],
        broker_key=options["broker_key"],
        keys=keys,
        certificates=certificates,
        handoff=handoff,
        status=options["directory"] / "status.json",
        ready=options["ready_fd"],
        ready_file=options["ready_file"],
        liveness_file=options["liveness_file"],
    )
    loop = AgentLoop(
        machine,
        places,
        clock,
        grace=options["drain_grace"],
        ready_line={"journal": journal.id, "epoch": journal.epoch, "pid": os.getpid()},
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    try:
        loop.run()
    finally:
        journal.close()
    _log.info("ended")


def _keys(path: Path) -> KeyPair:
    try:
        return read_keypair(path)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
