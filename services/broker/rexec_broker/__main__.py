"""``python -m rexec_broker``: run a broker."""

from __future__ import annotations

import functools
import logging
import resource
import signal
from pathlib import Path
from typing import Any

import click

from rexec_broker.admission import AdmissionError
from rexec_broker.broker import Broker, Settings, StartError
from rexec_broker.limits import MIB, Limits
from rexec_jupyter.core.startup import LOG_LEVELS, log_to_stderr, report_ready
from rexec_jupyter.core.trust import KeyPair, new_keypair, read_keypair

_DEFAULTS = Limits()
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_log = logging.getLogger("rexec_broker")


_option = functools.partial(click.option, show_envvar=True)


def _host_port(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int]:
    host, _colon, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not host:port")
    return host.strip("[]"), int(port)


@click.command(
    context_settings={
        "auto_envvar_prefix": "REXEC_BROKER",
        "show_default": True,
        "max_content_width": 100,
    }
)
@_option("--client-address", default="tcp://127.0.0.1:0", help="Where clients connect.")
@_option("--server-address", default="tcp://127.0.0.1:0", help="Where servers connect.")
@_option(
    "--health-address",
    callback=_host_port,
    metavar="HOST:PORT",
    default="127.0.0.1:0",
    help="Where /healthz, /readyz and /metrics answer over HTTP.",
)
@_option(
    "--curve-key-file",
    type=_FILE,
    help="CURVE key pair of the broker: two lines, public and secret, in Z85. Without it each "
    "start makes a new pair, and peers that know the old one cannot come back.",
)
@_option(
    "--verify-key-file",
    "verify_key_files",
    type=_FILE,
    multiple=True,
    required=True,
    help="Public Ed25519 key (PEM) that checks tickets and certificates. Repeat the option, or "
    "separate files by colons in the variable, while keys are being rotated.",
    envvar="REXEC_BROKER_VERIFY_KEY_FILE",
)
@_option("--audience", default="rexec", help="Deployment that credentials are for.")
@_option(
    "--ready-fd",
    type=click.IntRange(min=0),
    help="File descriptor to write one line of JSON to once all is bound: the addresses "
    "and the public key.",
)
@_option(
    "--drain-grace",
    type=click.FloatRange(min=0),
    default=5.0,
    help="Seconds that what is under way is given after SIGTERM.",
)
@_option(
    "--credential-grace",
    type=click.FloatRange(min=0),
    default=_DEFAULTS.credential_grace,
    help="Seconds that a connection outlives its ticket or certificate.",
)
@_option(
    "--max-clients", type=click.IntRange(min=1), default=_DEFAULTS.peers, help="Clients at once."
)
@_option(
    "--max-clients-per-user",
    type=click.IntRange(min=1),
    default=_DEFAULTS.clients,
    help="Clients of one user at once.",
)
@_option(
    "--max-jobs-per-user",
    type=click.IntRange(min=1),
    default=_DEFAULTS.jobs,
    help="Unfinished jobs of one user at once; what comes beyond waits with its client.",
)
@_option(
    "--egress-mib",
    type=click.IntRange(min=1),
    default=_DEFAULTS.egress_bytes // MIB,
    help="MiB that may wait for one peer that does not read.",
)
@_option(
    "--egress-total-mib",
    type=click.IntRange(min=1),
    default=_DEFAULTS.egress_total // MIB,
    help="MiB that may wait for all such peers together.",
)
@_option(
    "--io-threads", type=click.IntRange(min=1), default=2, help="Threads that encrypt and decrypt."
)
@_option("--log-level", type=click.Choice(LOG_LEVELS), default="info")
def main(**options: Any) -> None:
    """Route between rexec clients and the servers of their users.

    Both ports speak CURVE and nothing else. Clients show tickets, servers certificates; both
    are checked offline. SIGTERM and SIGINT end the broker in good order.
    """
    log_to_stderr(options["log_level"])
    _use_all_descriptors()
    keys = _keys(options["curve_key_file"])
    settings = Settings(
        keys=keys,
        verify_pems=[path.read_bytes() for path in options["verify_key_files"]],
        audience=options["audience"],
        client_address=options["client_address"],
        server_address=options["server_address"],
        health_host=options["health_address"][0],
        health_port=options["health_address"][1],
        drain_grace=options["drain_grace"],
        io_threads=options["io_threads"],
        limits=Limits(
            peers=options["max_clients"],
            clients=options["max_clients_per_user"],
            jobs=options["max_jobs_per_user"],
            credential_grace=options["credential_grace"],
            egress_bytes=options["egress_mib"] * MIB,
            egress_total=options["egress_total_mib"] * MIB,
        ),
    )
    try:
        broker = Broker(settings)
    except (StartError, AdmissionError) as error:
        raise click.ClickException(str(error)) from error
    with broker:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: broker.stop())
        _log.info(
            "clients at %s, servers at %s, health at %s",
            broker.client_address,
            broker.server_address,
            broker.health_address,
        )
        if options["ready_fd"] is not None:
            _report_ready(options["ready_fd"], broker, keys)
        broker.run()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    _log.info("ended")


def _keys(path: Path | None) -> KeyPair:
    if path is None:
        _log.warning("no --curve-key-file: peers will not know this broker after a restart")
        return new_keypair()
    try:
        return read_keypair(path)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _report_ready(descriptor: int, broker: Broker, keys: KeyPair) -> None:
    report: dict[str, object] = {
        "client": broker.client_address,
        "server": broker.server_address,
        "health": broker.health_address,
        "public_key": keys.public.decode(),
    }
    try:
        report_ready(descriptor, report)
    except OSError as error:
        raise click.ClickException(f"--ready-fd {descriptor}: {error}") from error


def _use_all_descriptors() -> None:
    """Allow as many connections as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main(prog_name="python -m rexec_broker")
