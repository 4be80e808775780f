"""The embedded backend's broker and its one server: the deploy API without HTTP.

The server is asked for, watched and ended as any other; only that the broker welcomed it is
known from its agent, which is a child of the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rexec_deploy_api.controller import Controller
from rexec_deploy_api.records import Cause, Key, Presence, Record, Spec
from rexec_deploy_api.service import Owner, Servers
from rexec_deploy_api.spawner.base import Credential, SpawnerError
from rexec_deploy_api.spawner.process import ProcessSpawner
from rexec_deploy_api.spawner.process_server import HOPELESS, Places
from rexec_jupyter.core.runtime import private_directory
from rexec_jupyter.local.keeper import Keeper
from rexec_jupyter.local.paths import Paths
from rexec_jupyter.local.processes import Part, module_command, turn_over
from rexec_jupyter.local.settings import Settings

if TYPE_CHECKING:
    from rexec_deploy_api.tickets import Tickets

DRAIN_GRACE = 3.0
"""Seconds that what runs is given when the backend is told to end."""

_LOOPBACK = "127.0.0.1"
_NAME = "default"
_GRACE = 5.0
_NEVER = 1e9
# They are for other brokers and servers than ours, or only for the notebook's own kernel.
_FOREIGN = ("REXEC_BROKER_", "REXEC_SERVER_", "REXEC_TOKEN", "JPY_", "MPLBACKEND")


class Failure(NamedTuple):
    """Why the deployment does not get ready.

    Attributes
    ----------
    reason
        In words that go on a sentence.
    log
        Last lines of the log that tells more.
    """

    reason: str
    log: list[str]


class Deployment:
    """One broker and one server that trust each other, and the tickets to them.

    The ports stay reserved, so that a broker that is started again gets the same ones.

    Parameters
    ----------
    paths
        Where keys, state and logs are kept.
    settings
        What the first user decided.
    changed
        Called whenever `ready`, `failure` or `parts` may have changed.

    Attributes
    ----------
    user
        Name of the user all tickets are for.
    failure
        Why it will not get ready, if so.
    """

    def __init__(self, paths: Paths, settings: Settings, changed: Callable[[], None]) -> None:
        self.user = _login_name()
        self.failure: Failure | None = None
        self._paths = paths
        self._settings = settings
        self._changed = changed
        self._key = Key(self.user, _NAME)
        self._was_ready = False
        self._broker: Keeper | None = None
        self._tickets: Tickets | None = None
        self._work: asyncio.Task[None] | None = None
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        self._client_port, self._server_port, self._health_port = (
            _reserve_port(),
            _reserve_port(),
            _reserve_port(),
        )
        self._spawner = ProcessSpawner(
            paths.servers,
            environment=self._environment,
            places=self._places,
            share_files=True,
            drain=DRAIN_GRACE,
        )
        # Not the wall clock: it may be set while a server starts.
        began = time.time() - time.monotonic()

        def clock() -> float:
            return began + time.monotonic()

        self._controller = Controller(self._spawner, self._presence, self._credential, clock=clock)
        self._servers = Servers(self._spawner, self._presence, clock=clock)

    @property
    def endpoint(self) -> str:
        """Where the broker listens for clients."""
        return f"tcp://{_address(self._client_port)}"

    @property
    def health_address(self) -> str:
        """Where the broker answers for its health."""
        return _address(self._health_port)

    @property
    def broker_key(self) -> str:
        """Public CURVE key of the broker; empty until it was made."""
        return self._tickets.broker.key if self._tickets else ""

    @property
    def secret(self) -> bytes:
        """The secret behind the keys of jobs; empty until it was made."""
        return self._tickets.job_secret(self.user) if self._tickets else b""

    @property
    def ready(self) -> bool:
        """Whether cells and calls can run now."""
        record = self._spawner.record(self._key)
        return (
            record is not None
            and record.state == "ready"
            and self._spawner.steady(record)
            and self._broker is not None
            and self._broker.part.ready
        )

    @property
    def parts(self) -> list[Part]:
        """What runs, or is to."""
        server = self._spawner.parts(self._key)
        broker = [self._broker.part] if self._broker else []
        # As they are started.
        return [*_named(server, "exec"), *broker, *_named(server, "agent")]

    def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket for the CURVE key `key` (Z85), and its validity in seconds.

        Raises
        ------
        RuntimeError
            If the keys are not made yet.
        """
        if self._tickets is None:
            raise RuntimeError("the signing key is not made yet")
        return self._tickets.ticket(self.user, key)

    def turn_over(self) -> None:
        """Keep the broker's log from growing for ever; the server's logs are looked after."""
        if self._broker is not None:
            turn_over(self._broker.part.log)

    # --------------------------------------------------------------------- start and end

    async def start(self) -> None:
        """Start broker and server; `changed` tells when they are ready, or will not be."""
        try:
            await self._spawner.open(self._look)
            spec = Spec(
                profile="local",
                cpu=self._settings.workers,
                memory=self._settings.memory,
                start_timeout=_NEVER,  # whoever waits for it decides for how long
            )
            await self._servers.spawn(Owner(self.user), _NAME, spec)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self._fail(error)
        else:
            self._work = asyncio.get_running_loop().create_task(self._controller.run())

    async def close(self) -> None:
        """End server and broker in good order."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await self._spawner.close()  # it needs the broker to end well
        if self._broker is not None:
            await self._broker.end(_GRACE)

    def _look(self, key: Key) -> None:
        self._controller.touch(key)
        self._servers.changed(key)
        record = self._spawner.record(key)
        if self.ready:
            self._was_ready = True
        elif not self._was_ready and self.failure is None:
            if (failed := self._spawner.failed(key)) is not None:
                self._hopeless(*failed)
            elif record is not None and record.state == "failed" and record.cause is not None:
                self.failure = Failure(record.cause.message.removesuffix("."), [])
        self._changed()

    def _look_at_broker(self, keeper: Keeper) -> None:
        part = keeper.part
        if part.process is None and part.failures >= HOPELESS and not self._was_ready:
            keeper.hold()
            self._hopeless(part.name, part.last_words())
        self._look(self._key)

    def _hopeless(self, name: str, log: list[str]) -> None:
        if self.failure is None:
            self.failure = Failure(f"its {name} ends as soon as it starts", log)

    def _fail(self, error: Exception) -> None:
        reason = "".join(traceback.format_exception_only(error)).strip()
        self.failure = Failure(reason, traceback.format_exc().splitlines())
        self._changed()

    # ----------------------------------------------------------- what the deploy API asks

    def _presence(self, record: Record) -> Presence | None:
        if not self._spawner.steady(record):
            return None
        return Presence(record.generation, "ready")

    def _places(self, _: Record) -> Places:
        paths = self._paths
        work = self._settings.directory or private_directory(paths.work)
        return Places(
            keys=paths.keys,
            state=paths.state,
            logs=paths.logs,
            handoff=paths.handoff,
            work=Path(work),
            own=(),  # results may be left there
        )

    def _credential(self, record: Record) -> Credential:
        """Make all keys and start the broker, beside exec, which needs none to start."""
        try:
            if self._tickets is None:
                self._tickets = self._make_keys()
                self._start_broker()
            return self._tickets.credential(record)
        except Exception as error:
            self._fail(error)
            raise SpawnerError(Cause("backend", str(error), final=True)) from error

    def _make_keys(self) -> Tickets:
        # Cryptography takes longer to import than all the rest: not before exec was started.
        from rexec_deploy_api.tickets import Broker, Tickets  # noqa: PLC0415
        from rexec_jupyter.core.credentials import SigningKey  # noqa: PLC0415
        from rexec_jupyter.core.trust import (  # noqa: PLC0415
            new_keypair,
            write_keypair,
            write_private,
        )

        keys, broker, signing = self._paths.keys, new_keypair(), SigningKey.generate()
        write_keypair(keys / "broker", broker)
        write_private(keys / "verify.pem", signing.public_pem)
        if not self._paths.secret.exists():
            write_private(self._paths.secret, os.urandom(32))
        host, port = self._client_port.getsockname()
        servers = f"tcp://{_address(self._server_port)}"
        return Tickets(
            signing,
            self._paths.secret.read_bytes(),
            Broker(host, port, servers, broker.public.decode()),
        )

    def _start_broker(self) -> None:
        part = Part(
            "broker",
            module_command(
                *("rexec_broker", "--client-address", self.endpoint),
                *("--server-address", f"tcp://{_address(self._server_port)}"),
                *("--health-address", self.health_address),
                *("--curve-key-file", str(self._paths.keys / "broker")),
                *("--verify-key-file", str(self._paths.keys / "verify.pem")),
                *("--drain-grace", str(DRAIN_GRACE)),
            ),
            self._paths.log("broker"),
            self._environment,
            announces=True,
        )
        self._broker = Keeper(part, self._look_at_broker)
        self._broker.start()


def _named(parts: Mapping[str, Part], name: str) -> list[Part]:
    return [parts[name]] if name in parts else []


def _login_name() -> str:
    import pwd  # noqa: PLC0415 - Unix alone has it, and the module should be importable

    with contextlib.suppress(KeyError):  # containers run under numbers that have no name
        return pwd.getpwuid(os.getuid()).pw_name
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
