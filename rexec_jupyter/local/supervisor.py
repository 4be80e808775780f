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
``{"ask": "keep"}``
    From now on the backend outlives its last user, until it is told to stop. Answered with
    ``kept``.
``{"ask": "stop", "force": false}``
    Ends the backend, whoever uses it, unless jobs run or wait and it is not to be forced:
    then it is answered with ``busy``. The end of the connection tells that it is over.

Anything else is answered with ``error``.

One thread does everything, which makes it safe to start children the way `Part` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rexec_jupyter.local.deployment import Deployment, Settings
from rexec_jupyter.local.endpoint import LocalEndpoint
from rexec_jupyter.local.paths import PAYLOADS, Paths
from rexec_jupyter.local.processes import Part, adopt_orphans, children, turn_over

_HOUSEKEEPING = 1.0
_STATUS_DELAY = 1.5  # the agent tells of a new job within a second
_HOPELESS = 3
_GRACE = 5.0
_MAX_LINE = 64 * 1024


class _User:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()

    def tell(self, answer: dict[str, Any]) -> None:
        # An answer is far smaller than the socket's buffer: whoever lets that fill up is lost.
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(answer).encode() + b"\n")


class Supervisor:
    """Runs the backend in one runtime directory.

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
        self._deployment = Deployment(paths, settings)
        self._endpoint = LocalEndpoint(paths, self._deployment.user)
        self._selector = selectors.DefaultSelector()
        self._users: set[_User] = set()
        self._waiting: list[_User] = []
        self._awaiting_endpoint: list[_User] = []
        self._parts: list[Part] = []
        self._all_started = self._was_ready = self._stopping = self._kept = False
        self._watches_door = False
        self._broken: dict[str, Any] = {}
        self._idle_since = self._began = time.monotonic()
        self._clock = time.time() - self._began
        self._linger = max(settings.linger, _STATUS_DELAY)
        self._woken, self._wake = os.pipe()

    def run(self) -> None:
        """Run the backend until nobody needs it any more."""
        adopt_orphans()
        self._watch_signals()
        self._listener.setblocking(False)  # noqa: FBT003
        self._selector.register(self._listener, selectors.EVENT_READ, self._admit)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drop_wakings)
        try:
            self._start()
            while not self._stopping:
                self._serve()
        finally:
            self._end()

    def _watch_signals(self) -> None:
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it only has to wake the loop

    def _asked_to_stop(self, *_: object) -> None:
        self._stopping = True

    def _drop_wakings(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._woken, 4096):
                pass

    def _serve(self) -> None:
        for key, _ in self._selector.select(self._patience(time.monotonic())):
            key.data()
        self._reap()
        now = time.monotonic()
        self._restart(now)
        for part in self._processes:
            turn_over(part.log)
        turn_over(self._paths.log("supervisor"))
        if self._users:
            self._idle_since = now
        unused = now - self._idle_since
        if unused >= self._linger and not self._kept:
            busy = self._jobs("running", "queued") and unused < self._settings.orphan_limit
            self._stopping = self._stopping or not busy

    def _patience(self, now: float) -> float:
        """Return how long there is nothing to do unless something happens."""
        waits = [part.due - now for part in self._processes if part.due is not None]
        if (linger := self._idle_since + self._linger - now) > 0:
            waits.append(linger)  # later than that, it is jobs that keep this going
        return max(0.0, min([_HOUSEKEEPING, *waits]))

    def _jobs(self, *kinds: str) -> int:
        """Count the jobs of these kinds that the agent last told of."""
        try:
            status = json.loads((self._paths.state / "status.json").read_bytes())
            return sum(int(status.get(kind, 0)) for kind in kinds)
        except (OSError, ValueError, TypeError, AttributeError):
            return 0

    # ------------------------------------------------------------------------- the parts

    @property
    def _processes(self) -> list[Part]:
        """What runs: all that cells and calls need, and the endpoint once it was wanted."""
        return self._parts + ([self._endpoint.part] if self._endpoint.part else [])

    def _start(self) -> None:
        try:
            self._clear_handoff()  # it may be from a supervisor that was killed
            payloads = self._paths.handoff / PAYLOADS
            if self._paths.kept.exists() and not payloads.exists():
                shutil.move(self._paths.kept, payloads)
            for part in self._deployment.parts():
                self._parts.append(part)
                self._launch(part)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            reason = "".join(traceback.format_exception_only(error)).strip()
            self._give_up(reason, traceback.format_exc().splitlines())
        self._all_started = True

    def _launch(self, part: Part) -> None:
        part.start(time.monotonic())
        if part.ready_fd is not None:
            self._selector.register(
                part.ready_fd, selectors.EVENT_READ, lambda: self._announced(part)
            )

    def _announced(self, part: Part) -> None:
        if part.ready_fd is not None:
            part.announced = bool(os.read(part.ready_fd, _MAX_LINE))
            self._close_announcement(part)
            self._answer_waiting()
            self._answer_awaiting_endpoint()

    def _close_announcement(self, part: Part) -> None:
        if part.ready_fd is not None:
            self._selector.unregister(part.ready_fd)
            os.close(part.ready_fd)
            part.ready_fd = None

    def _reap(self) -> None:
        """Take note of every child that ended: a part, or an orphan that was adopted."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for part in self._processes:
                if part.pid == pid:
                    self._close_announcement(part)
                    part.ended(time.monotonic(), status)
                    if not self._stopping:
                        _log(f"{part.name} ended with {os.waitstatus_to_exitcode(status)}")

    def _restart(self, now: float) -> None:
        for part in self._processes:
            if part.due is None or self._broken:
                continue
            if part is self._endpoint.part:
                self._answer_awaiting_endpoint()  # cells and calls do without it
            elif part.failures >= _HOPELESS and not self._was_ready:
                self._give_up(f"its {part.name} ends as soon as it starts", part.last_words())
                continue
            if part.due <= now:
                self._launch(part)
                self._answer_waiting()

    def _give_up(self, reason: str, log: list[str]) -> None:
        _log(reason)
        self._broken = {"error": reason, "log": log}
        self._answer_waiting()

    @property
    def _ready(self) -> bool:
        # Before everything has worked once, a part that failed has to prove itself.
        return self._all_started and all(
            part.ready and (self._was_ready or not part.failures or part.announces)
            for part in self._parts
        )

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
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(user))

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
        self._selector.unregister(user.connection)
        user.connection.close()
        self._users.discard(user)
        for waiting in (self._waiting, self._awaiting_endpoint):
            waiting[:] = [other for other in waiting if other is not user]
        self._idle_since = time.monotonic()

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
            case {"ask": "keep"}:
                self._kept = True
                user.tell({"kept": True})
            case {"ask": "stop"}:
                busy = {kind: self._jobs(kind) for kind in ("running", "queued")}
                if any(busy.values()) and not message.get("force"):
                    user.tell({"busy": busy})
                else:
                    user.tell({"stopping": True})
                    self._stopping = True
            case _:
                user.tell({"error": "not understood, or not now"})

    def _answer_waiting(self) -> None:
        if not (self._ready or self._broken):
            return
        if not (self._was_ready or self._broken):
            self._was_ready = True
            # Only now does anybody who comes to its door start it: cells and calls go first.
            self._selector.register(self._endpoint.door, selectors.EVENT_READ, self._want_endpoint)
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
            self._stopping = self._stopping or bool(self._broken)
        self._waiting.clear()

    def _want_endpoint(self) -> None:
        """Start the endpoint's process, unless that was done or it is too early."""
        if not self._watches_door:
            return
        self._watches_door = False
        self._selector.unregister(self._endpoint.door)
        if (part := self._endpoint.make()) is not None:
            self._launch(part)
        self._answer_awaiting_endpoint()

    def _answer_awaiting_endpoint(self, *, at_once: bool = False) -> None:
        part = self._endpoint.part
        failure = self._endpoint.failure(_HOPELESS)
        if not failure and (part is None or not (part.ready or at_once)):
            return
        for user in self._awaiting_endpoint:
            user.tell(failure or {"url": self._endpoint.url, "token": self._endpoint.token})
        self._awaiting_endpoint.clear()

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "user": self._deployment.user,
            "users": len(self._users),
            "ready": self._ready,
            "kept": self._kept,
            "settings": asdict(self._settings),
            "jobs": {kind: self._jobs(kind) for kind in ("running", "queued", "unfetched")},
            "age": time.monotonic() - self._began,
            # How far the wall clock was set since: credentials are dated by it.
            "clock_jump": time.time() - time.monotonic() - self._clock,
            "endpoint": self._deployment.endpoint,
            "health": self._deployment.health_address,
            "api": self._endpoint.status(_HOPELESS),
            "handoff": str(self._paths.handoff),
            "parts": {
                part.name: {
                    "pid": part.pid,
                    "starts": part.starts,
                    "ready": part.ready,
                    "log": [] if part.ready else part.last_words(),
                }
                for part in self._parts
            },
        }

    # --------------------------------------------------------------------------- the end

    def _end(self) -> None:
        self._stopping = True
        self._listener.close()
        self._paths.socket.unlink(missing_ok=True)
        self._endpoint.door.close()
        if (part := self._endpoint.part) is not None:
            # It ends beside all the others; one that only starts has nothing to bring to an end.
            part.signal(signal.SIGTERM if part.ready else signal.SIGKILL)
        for name in ("agent", "exec", "broker", "endpoint"):  # each needs the next to end well
            self._end_part(name)
        deadline = time.monotonic() + _GRACE
        while (orphans := children()) and time.monotonic() < deadline:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)  # nobody else reaps it: it is there, maybe dead
            self._await_child(deadline)
        self._clean_up()
        for user in self._users:
            user.connection.close()

    def _end_part(self, name: str) -> None:
        for part in self._processes:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if part.name == name:
                    part.signal(number)
                    deadline = time.monotonic() + _GRACE
                    while part.process and time.monotonic() < deadline:
                        self._await_child(deadline)

    def _await_child(self, deadline: float) -> None:
        """Wait until some child ends or the deadline has come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.select(max(0.0, deadline - time.monotonic()))
        self._drop_wakings()
        self._reap()

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
        for item in (paths.keys, paths.logs):
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
