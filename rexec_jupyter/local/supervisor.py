"""The process that runs the embedded backend: it starts the parts, and ends with its last user.

It listens on a Unix socket in the runtime directory. One line of JSON is one message. Whoever
holds a connection is a user of the backend; what it may ask:

``{"ask": "address"}``
    Answered when the backend is ready, with ``endpoint``, ``broker_key``, ``secret``
    (hexadecimal) and ``settings``; or, if it does not get ready, with ``error`` and ``log``.
``{"ask": "ticket", "key": Z85}``
    Answered with ``ticket`` and ``expires_in``.
``{"ask": "endpoint", "wait": true}``
    Starts the endpoint if that was not done yet. Answered with ``url`` and ``token`` once it
    is ready, or at once unless that is to be waited for; or with ``error`` and ``log``.
``{"ask": "status"}``
    Answered with the state of the parts and of the endpoint, and of what they do.
``{"ask": "watch"}``
    This connection only looks from now on: the backend ends as if it were not there. Answered
    with ``watching``.
``{"ask": "keep"}``
    From now on the backend outlives its last user, until it is told to stop. Answered with
    ``kept``.
``{"ask": "stop", "force": false}``
    Ends the backend, whoever uses it, unless jobs run or wait and it is not to be forced:
    then it is answered with ``busy``. The end of the connection tells that it is over.

Anything else is answered with ``error``.

One thread does everything. It lasts as long as the process, and children end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rexec_deploy_api.spawner.process_server import HOPELESS
from rexec_jupyter.local.deployment import Deployment
from rexec_jupyter.local.endpoint import LocalEndpoint
from rexec_jupyter.local.keeper import Keeper
from rexec_jupyter.local.paths import PAYLOADS, Paths
from rexec_jupyter.local.processes import adopt_orphans, children, end_children, reap, turn_over
from rexec_jupyter.local.settings import Settings

_HOUSEKEEPING = 1.0
_STATUS_DELAY = 1.5  # the agent tells of a new job within a second
_GRACE = 5.0
_MAX_LINE = 64 * 1024


class _User:
    """One connection; ``watches``: it is none that the backend goes on for."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.watches = False
        self.received = bytearray()

    def tell(self, answer: dict[str, Any]) -> None:
        # An answer is far smaller than the socket's buffer: whoever lets that fill up is lost.
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(answer).encode() + b"\n")


class Supervisor:
    """Runs the backend in one runtime directory; made where an event loop runs.

    Parameters
    ----------
    paths
        Its files.
    listener
        The listening socket at ``paths.socket``.
    settings
        What its first user decided.
    """

    def __init__(self, paths: Paths, listener: socket.socket, settings: Settings) -> None:
        self._paths = paths
        self._listener = listener
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._stir = asyncio.Event()
        self._deployment = Deployment(paths, settings, self._deployment_changed)
        self._endpoint = LocalEndpoint(paths, self._deployment.user)
        self._endpoint_keeper: Keeper | None = None
        self._users: set[_User] = set()
        self._waiting: list[_User] = []
        self._awaiting_endpoint: list[_User] = []
        self._was_ready = self._stopping = self._kept = self._watches_door = False
        self._broken: dict[str, Any] = {}
        self._idle_since = self._began = time.monotonic()
        self._clock = time.time() - self._began
        self._linger = max(settings.linger, _STATUS_DELAY)

    async def run(self) -> None:
        """Run the backend until nobody needs it any more."""
        adopt_orphans()
        self._watch_signals()
        self._listener.setblocking(False)  # noqa: FBT003
        self._loop.add_reader(self._listener, self._admit)
        try:
            await self._start()
            while not self._stopping:
                await self._serve()
        finally:
            await self._end()

    def _watch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)

    def _stop(self) -> None:
        self._stopping = True
        self._stir.set()

    async def _serve(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience(time.monotonic())):
                await self._stir.wait()
        self._stir.clear()
        self._deployment.turn_over()
        turn_over(self._paths.log("supervisor"))
        turn_over(self._paths.log("endpoint"))
        unused = 0.0 if self._in_use else time.monotonic() - self._idle_since
        if unused >= self._linger and not self._kept:
            busy = self._jobs("running", "queued") and unused < self._settings.orphan_limit
            self._stopping = self._stopping or not busy

    @property
    def _in_use(self) -> int:
        return sum(not user.watches for user in self._users)

    def _patience(self, now: float) -> float:
        """Return how long there is nothing to do unless something happens."""
        linger = self._idle_since + self._linger - now
        # Later than that, it is jobs that keep this going.
        return min(_HOUSEKEEPING, linger) if linger > 0 else _HOUSEKEEPING

    def _jobs(self, *kinds: str) -> int:
        """Count the jobs of these kinds that the agent last told of."""
        try:
            status = json.loads((self._paths.state / "status.json").read_bytes())
            return sum(int(status.get(kind, 0)) for kind in kinds)
        except (OSError, ValueError, TypeError, AttributeError):
            return 0

    # ------------------------------------------------------------------------- the parts

    async def _start(self) -> None:
        try:
            self._clear_handoff()  # it may be from a supervisor that was killed
            payloads = self._paths.handoff / PAYLOADS
            if self._paths.kept.exists() and not payloads.exists():
                shutil.move(self._paths.kept, payloads)
            _remove(self._paths.servers)  # so may this be
        except OSError as error:
            self._give_up(str(error), [])
        else:
            await self._deployment.start()

    def _deployment_changed(self) -> None:
        if (failure := self._deployment.failure) is not None and not self._broken:
            self._give_up(*failure)
        self._answer_waiting()

    def _reap_orphans(self) -> None:
        """Take note of children that were adopted and ended; our own are waited for elsewhere."""
        own = {part.pid for part in self._deployment.parts}
        if self._endpoint.part is not None:
            own.add(self._endpoint.part.pid)
        reap(pid for pid in children() if pid not in own)

    def _give_up(self, reason: str, log: list[str]) -> None:
        _log(reason)
        self._broken = {"error": reason, "log": log}
        self._answer_waiting()

    # ------------------------------------------------------------------------- the users

    def _admit(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # whoever it was has left already
        if sys.platform == "linux":
            size = struct.calcsize("3i")
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            if struct.unpack("3i", peer)[1] != os.getuid():
                _log("refused a connection of another user")
                connection.close()
                return
        connection.setblocking(False)  # noqa: FBT003
        user = _User(connection)
        self._users.add(user)
        self._loop.add_reader(connection, self._hear, user)

    def _hear(self, user: _User) -> None:
        try:
            received = user.connection.recv(_MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        user.received += received
        *lines, rest = user.received.split(b"\n")
        user.received = rest
        if not received or len(rest) > _MAX_LINE:
            self._leave(user)
            return
        for line in lines:
            self._answer(user, bytes(line))

    def _leave(self, user: _User) -> None:
        self._loop.remove_reader(user.connection)
        user.connection.close()
        self._users.discard(user)
        for waiting in (self._waiting, self._awaiting_endpoint):
            waiting[:] = [other for other in waiting if other is not user]
        if not user.watches:
            self._idle_since = time.monotonic()
        self._stir.set()

    def _answer(self, user: _User, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        match message:
            case {"ask": "address"}:
                self._waiting.append(user)
                self._answer_waiting()
            case {"ask": "ticket", "key": str(key)} if len(key) == 40 and self._was_ready:
                ticket, seconds = self._deployment.ticket(key)
                user.tell({"ticket": ticket, "expires_in": seconds})
            case {"ask": "endpoint"}:
                self._awaiting_endpoint.append(user)
                self._want_endpoint()
                self._answer_awaiting_endpoint(at_once=message.get("wait") is False)
            case {"ask": "status"}:
                user.tell(self._status())
            case {"ask": "watch"}:
                user.watches = True
                user.tell({"watching": True})
                self._stir.set()
            case {"ask": "keep"}:
                self._kept = True
                user.tell({"kept": True})
            case {"ask": "stop"}:
                busy = {kind: self._jobs(kind) for kind in ("running", "queued")}
                if any(busy.values()) and not message.get("force"):
                    user.tell({"busy": busy})
                else:
                    user.tell({"stopping": True})
                    self._stop()
            case _:
                user.tell({"error": "not understood, or not now"})

    def _answer_waiting(self) -> None:
        if not (self._deployment.ready or self._broken):
            return
        if not (self._was_ready or self._broken):
            self._was_ready = True
            # Only now does anybody who comes to its door start it: cells and calls go first.
            self._loop.add_reader(self._endpoint.door, self._want_endpoint)
            self._watches_door = True
            if self._awaiting_endpoint:
                self._want_endpoint()
        address = {
            "endpoint": self._deployment.endpoint,
            "broker_key": self._deployment.broker_key,
            "secret": self._deployment.secret.hex(),
            "settings": asdict(self._settings),
        }
        for user in self._waiting:
            user.tell(self._broken or address)
            if self._broken:
                self._stop()
        self._waiting.clear()

    def _want_endpoint(self) -> None:
        """Start the endpoint's process, unless that was done or it is too early."""
        if not self._watches_door:
            return
        self._watches_door = False
        self._loop.remove_reader(self._endpoint.door)
        if (part := self._endpoint.make()) is not None:
            self._endpoint_keeper = Keeper(part, self._endpoint_changed)
            self._endpoint_keeper.start()
        self._answer_awaiting_endpoint()

    def _endpoint_changed(self, _: Keeper) -> None:
        self._answer_awaiting_endpoint()  # cells and calls do without it

    def _answer_awaiting_endpoint(self, *, at_once: bool = False) -> None:
        part = self._endpoint.part
        failure = self._endpoint.failure(HOPELESS)
        if not failure and (part is None or not (part.ready or at_once)):
            return
        for user in self._awaiting_endpoint:
            user.tell(failure or {"url": self._endpoint.url, "token": self._endpoint.token})
        self._awaiting_endpoint.clear()

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "python": sys.executable,
            "user": self._deployment.user,
            "users": self._in_use,
            "ready": self._deployment.ready,
            "kept": self._kept,
            "settings": asdict(self._settings),
            "jobs": {kind: self._jobs(kind) for kind in ("running", "queued", "unfetched")},
            "age": time.monotonic() - self._began,
            # How far the wall clock was set since: credentials are dated by it.
            "clock_jump": time.time() - time.monotonic() - self._clock,
            "endpoint": self._deployment.endpoint,
            "health": self._deployment.health_address,
            "api": self._endpoint.status(HOPELESS),
            "handoff": str(self._paths.handoff),
            "parts": {
                part.name: {
                    "pid": part.pid,
                    "starts": part.starts,
                    "ready": part.ready,
                    "log": [] if part.ready else part.last_words(),
                }
                for part in self._deployment.parts
            },
        }

    # --------------------------------------------------------------------------- the end

    async def _end(self) -> None:
        self._stopping = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._paths.socket.unlink(missing_ok=True)
        if self._watches_door:
            self._loop.remove_reader(self._endpoint.door)
        self._endpoint.door.close()
        await asyncio.gather(self._deployment.close(), self._end_endpoint())
        self._loop.remove_signal_handler(signal.SIGCHLD)
        await end_children(_GRACE)
        self._clean_up()
        for user in self._users:
            self._loop.remove_reader(user.connection)
            user.connection.close()

    async def _end_endpoint(self) -> None:
        if self._endpoint_keeper is not None:
            # One that only starts has nothing to bring to an end.
            await self._endpoint_keeper.end(_GRACE, kindly=self._endpoint_keeper.part.ready)

    def _clear_handoff(self) -> None:
        """Remove all but the payloads."""
        for item in self._paths.handoff.iterdir():
            if item.name != PAYLOADS:
                _remove(item)

    def _clean_up(self) -> None:
        paths = self._paths
        if self._jobs("unfetched"):
            self._clear_handoff()
            _remove(paths.kept)
            try:
                shutil.move(paths.handoff / PAYLOADS, paths.kept)
                paths.handoff.rmdir()
            except OSError:
                _remove(paths.kept)  # no room for all: they stay in memory
        else:
            for item in (paths.handoff, paths.state, paths.secret):
                _remove(item)
        for item in (paths.keys, paths.logs, paths.servers):
            _remove(item)
        with contextlib.suppress(OSError):
            paths.work.rmdir()  # unless it holds files of the user
        paths.lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            paths.root.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _log(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    sys.stderr.write(f"{stamp} {text}\n")
    sys.stderr.flush()
