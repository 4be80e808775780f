"""Keys, ports and command lines of the embedded backend's broker, agent and exec."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rexec_jupyter.local.paths import Paths, private_directory
from rexec_jupyter.local.processes import Part

if TYPE_CHECKING:
    from rexec_jupyter.core.credentials import SigningKey

LINGER = 10.0
"""Seconds the backend outlives its last user unless told otherwise."""
ORPHAN_LIMIT = 3600.0
"""Seconds that running or waiting jobs may hold up its end."""

DRAIN_GRACE = 3.0
"""Seconds that what runs is given when the backend is told to end."""

_LOOPBACK = "127.0.0.1"
_SERVER = "local"
# They are for other brokers and servers than ours, or only for the notebook's own kernel.
_FOREIGN = ("REXEC_BROKER_", "REXEC_SERVER_", "REXEC_TOKEN", "JPY_", "MPLBACKEND")


@dataclass(frozen=True)
class Settings:
    """What the first user of the backend decides.

    Attributes
    ----------
    workers
        Functions that run at once.
    memory
        Bytes that all remote code together may use; 0 for no limit.
    directory
        Working directory of the code that is run; empty for a private one.
    linger
        Seconds the backend outlives its last user.
    orphan_limit
        Seconds that jobs nobody waits for may hold up the end.
    """

    workers: int
    memory: int = 0
    directory: str = ""
    linger: float = LINGER
    orphan_limit: float = ORPHAN_LIMIT


class Deployment:
    """One broker and one server that trust each other, and the tickets to them.

    The ports stay reserved, so that a broker that is started again gets the same ones.

    Parameters
    ----------
    paths
        Where keys, state and logs are kept.
    settings
        What the first user decided.

    Attributes
    ----------
    user
        Name of the user all tickets are for.
    broker_key
        Public CURVE key of the broker; empty until it was made.
    secret
        The secret behind the keys of jobs; empty until then.
    """

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.user = _login_name()
        self.broker_key = ""
        self.secret = b""
        self._paths = paths
        self._settings = settings
        self._signing: SigningKey | None = None
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        self._client_port, self._server_port, self._health_port = (
            _reserve_port(),
            _reserve_port(),
            _reserve_port(),
        )

    @property
    def endpoint(self) -> str:
        """Where the broker listens for clients."""
        return f"tcp://{_address(self._client_port)}"

    @property
    def health_address(self) -> str:
        """Where the broker answers for its health."""
        return _address(self._health_port)

    def parts(self) -> Iterator[Part]:
        """Make everything the parts need, and yield each as soon as it can be started."""
        paths, settings = self._paths, self._settings
        for directory in (paths.keys, paths.state):
            private_directory(directory)
        work = settings.directory or str(private_directory(paths.work))
        # Exec needs no keys: it starts while they are made.
        yield self._part(
            "exec",
            [
                *("rexec_server", "exec", "--handoff", str(paths.handoff), "--directory", work),
                *("--workers", str(settings.workers), "--memory", str(settings.memory)),
            ],
            announces=False,
        )
        self._make_keys()
        yield self._part(
            "broker",
            [
                *("rexec_broker", "--client-address", self.endpoint),
                *("--server-address", f"tcp://{_address(self._server_port)}"),
                *("--health-address", self.health_address),
                *("--curve-key-file", str(paths.keys / "broker")),
                *("--verify-key-file", str(paths.keys / "verify.pem")),
                *("--drain-grace", str(DRAIN_GRACE)),
            ],
        )
        yield self._part(
            "agent",
            [
                *("rexec_server", "agent", "--broker", f"tcp://{_address(self._server_port)}"),
                *("--broker-key", self.broker_key),
                *("--curve-key-file", str(paths.keys / "server")),
                *("--certificate-file", str(paths.keys / "certificate")),
                *("--directory", str(paths.state), "--handoff", str(paths.handoff)),
                *("--share-files", "--slots", str(settings.workers)),
                "--no-fsync",  # what ends the machine also ends the kernel the results are for
                *("--drain-grace", str(DRAIN_GRACE)),
            ],
        )

    def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket for the CURVE key `key` (Z85), and its validity in seconds.

        Raises
        ------
        RuntimeError
            If the keys are not made yet.
        """
        from rexec_jupyter.core.credentials import TICKET_SECONDS  # noqa: PLC0415 - see below

        if self._signing is None:
            raise RuntimeError("the signing key is not made yet")
        return self._signing.ticket(user=self.user, key=key), TICKET_SECONDS

    def _part(self, name: str, command: list[str], *, announces: bool = True) -> Part:
        # -P: what lies in the working directory is not to be taken for a module of ours.
        command = [sys.executable, "-P", "-m", *command]
        log = self._paths.log(name)
        return Part(name, command, log, self._environment, announces=announces)

    def _make_keys(self) -> None:
        # Cryptography takes longer to import than all the rest: not before exec was started.
        from rexec_jupyter.core.credentials import SigningKey  # noqa: PLC0415
        from rexec_jupyter.core.trust import (  # noqa: PLC0415
            new_keypair,
            write_keypair,
            write_private,
        )

        keys = self._paths.keys
        broker, server = new_keypair(), new_keypair()
        self.broker_key = broker.public.decode()
        self._signing = SigningKey.generate()
        certificate = self._signing.certificate(
            user=self.user, server=_SERVER, key=server.public.decode()
        )
        write_keypair(keys / "broker", broker)
        write_keypair(keys / "server", server)
        write_private(keys / "verify.pem", self._signing.public_pem)
        write_private(keys / "certificate", certificate.encode())
        if not self._paths.secret.exists():
            write_private(self._paths.secret, os.urandom(32))
        self.secret = self._paths.secret.read_bytes()


def _login_name() -> str:
    import pwd  # noqa: PLC0415 - Unix alone has it, and the module should be importable

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run under numbers that have no name
        return f"uid-{os.getuid()}"


def _reserve_port() -> socket.socket:
    """Bind a port without listening: the broker can, everybody else is given another one."""
    port = socket.socket()
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind((_LOOPBACK, 0))
    return port


def _address(port: socket.socket) -> str:
    host, number = port.getsockname()
    return f"{host}:{number}"
