"""The embedded backend as a client sees it: whoever needs it first starts it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.errors import (
    AuthenticationError,
    ConnectionLostError,
    NotConfiguredError,
    SessionMismatchError,
    StartError,
)
from rexec_jupyter.core.quantities import size
from rexec_jupyter.core.runtime import (
    UnsafeDirectoryError,
    existing_runtime_directory,
    private_directory,
    runtime_directory,
)
from rexec_jupyter.local.connection import Connection, EndedError
from rexec_jupyter.local.paths import Paths
from rexec_jupyter.local.processes import tail
from rexec_jupyter.local.settings import LINGER, ORPHAN_LIMIT, Settings

T = TypeVar("T")

START_SECONDS = 30.0
"""How long the backend may take to get ready."""

_POLL = 0.01
_ATTEMPTS = 3
_LOG_LINES = 12


class LocalBackend:
    """Broker and server of this user on this machine, shared by all of the user's clients.

    What is not given here is taken from a backend that runs already.

    Parameters
    ----------
    workers
        Functions that run at once. If this starts it: ``$REXEC_LOCAL_WORKERS``, else as many as
        there are processors.
    memory
        Bytes that all remote code together may use. If this starts it:
        ``$REXEC_LOCAL_MEMORY`` such as ``2GB``, else no limit.
    directory
        Working directory of the remote code; a private one if this starts it.
    linger
        Seconds the backend outlives its last user, if this starts it. By default
        ``$REXEC_LOCAL_LINGER``, else 10.
    python
        Interpreter that runs it, if this starts it; by default the one of this process.
    environment
        Environment variables that it has, if this starts it; by default those of this process.
    start
        Whether it may be started if none runs.
    watch
        Only look: the backend is not started, and ends as if nobody were there.

    Raises
    ------
    NotConfiguredError
        If an environment variable cannot be understood.
    """

    description = "embedded backend"
    progress = ""

    def __init__(
        self,
        *,
        workers: int | None = None,
        memory: int | None = None,
        directory: str | Path | None = None,
        linger: float | None = None,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        start: bool = True,
        watch: bool = False,
    ) -> None:
        self._may_start = start and not watch
        self._watch = watch
        self._python = python
        self._environment = environment
        place = None if directory is None else str(Path(directory).absolute())
        asked = {"workers": workers, "memory": memory, "directory": place}
        self._asked = {name: value for name, value in asked.items() if value is not None}
        self._settings = Settings(
            workers=workers
            or _variable("REXEC_LOCAL_WORKERS", len(os.sched_getaffinity(0)), _count),
            memory=memory or _variable("REXEC_LOCAL_MEMORY", 0, size),
            directory=place or "",
            linger=_variable("REXEC_LOCAL_LINGER", LINGER, _seconds) if linger is None else linger,
            orphan_limit=_variable("REXEC_LOCAL_ORPHAN_LIMIT", ORPHAN_LIMIT, _seconds),
        )
        self._connection: Connection | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._secret = b""

    async def locate(self) -> Address:
        """Tell where the broker is, starting the backend if none runs.

        Raises
        ------
        NotConfiguredError
            If none runs, and it may not be started.
        StartError
            If it does not get ready; with the last lines of the log that tells why.
        SessionMismatchError
            If one runs with other settings than were asked for.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                answer = await self._address()
        except TimeoutError:
            log = await self._log_of_the_late()
            raise _start_error(f"it was not ready within {START_SECONDS:g} s", log) from None
        except OSError as error:
            raise _no_directory(error) from error
        finally:
            for process in self._started:
                process.wait()  # it only started the supervisor proper
            self._started.clear()
        if "error" in answer:
            raise _start_error(answer["error"], answer["log"])
        self._check_settings(answer["settings"])
        self._secret = bytes.fromhex(answer["secret"])
        return Address(answer["endpoint"], answer["broker_key"])

    async def find(self) -> bool:
        """Tell whether one runs, ready or not, and starts none; then it can be asked.

        Raises
        ------
        StartError
            If somebody else could pretend to be it.
        """
        if self._connection is None or self._connection.closed:
            await self.close()
            try:
                root = existing_runtime_directory()
            except UnsafeDirectoryError as error:
                raise _no_directory(error) from error
            if root is not None:
                self._connection = await self._open(Paths(root).socket)
        return self._connection is not None

    async def _open(self, path: Path) -> Connection | None:
        connection = await Connection.open(path)
        if connection is not None and self._watch:
            try:
                await connection.ask("watch")
            except EndedError:
                return None
        return connection

    async def revive(self) -> None:
        """Do nothing: this server does not end while somebody is connected."""

    async def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket for the CURVE key `key` (Z85), and its validity in seconds.

        Raises
        ------
        ConnectionLostError
            If the backend has ended; `locate` starts it again.
        AuthenticationError
            If it gives none.
        """
        try:
            if self._connection is None:
                raise EndedError  # noqa: TRY301 - not located yet, which comes to the same
            answer = await self._connection.ask("ticket", key=key)
        except EndedError:
            raise ConnectionLostError("The embedded backend has ended.") from None
        if "error" in answer:
            raise AuthenticationError(f"The embedded backend gave no ticket: {answer['error']}.")
        return answer["ticket"], answer["expires_in"]

    async def close(self) -> None:
        """Cease to be a user of the backend. The last one's leaving ends it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def job_secret(self) -> bytes:
        """Return the user's secret of 32 bytes. Only after `locate`."""
        return self._secret

    async def status(self) -> dict[str, Any]:
        """Return what the supervisor tells of itself and its parts. After `locate` or `find`.

        Raises
        ------
        EndedError
            If it has ended.
        """
        if self._connection is None:
            raise EndedError("not located yet")
        return await self._connection.ask("status")

    async def open_endpoint(self) -> None:
        """Have its endpoint started, without waiting for it. After `locate` or `find`.

        Raises
        ------
        EndedError
            If it has ended.
        """
        if self._connection is None:
            raise EndedError("not located yet")
        await self._connection.ask("endpoint", wait=False)

    async def keep(self) -> None:
        """Let it outlive its last user until it is told to stop. After `locate` or `find`.

        Raises
        ------
        EndedError
            If it has ended.
        """
        if self._connection is None:
            raise EndedError("not located yet")
        await self._connection.ask("keep")

    async def stop(self, *, force: bool = False) -> dict[str, int]:
        """End it, whoever uses it, and wait until nothing is left. After `locate` or `find`.

        Parameters
        ----------
        force
            Even if jobs run or wait there.

        Returns
        -------
        dict
            How many jobs are ``running`` and ``queued``, if that is why it goes on; empty once
            it has ended.
        """
        if self._connection is None:
            return {}
        with contextlib.suppress(EndedError):  # somebody else was faster
            answer = await self._connection.ask("stop", force=force)
            if "busy" in answer:
                busy: dict[str, int] = answer["busy"]
                return busy
            await self._connection.ended()
        await self.close()
        return {}

    # ---------------------------------------------------------------------------- starting

    async def _address(self) -> dict[str, Any]:
        ended = 0
        while True:
            paths = Paths(self._root())
            paths.check_lengths()
            if self._connection is None or self._connection.closed:
                await self.close()
                self._connection = await self._open(paths.socket)
            if self._connection is not None:
                try:
                    return await self._connection.ask("address")
                except EndedError:
                    self._connection = None
                    ended += bool(self._started)
                if ended >= _ATTEMPTS:
                    log = tail(paths.log("supervisor"), _LOG_LINES)
                    return {"error": "its supervisor ends as soon as it starts", "log": log}
            with _locked(paths.lock, make=self._may_start) as lock:
                if lock is not None and not self._may_start:
                    raise _not_running()
                if lock is not None:
                    self._start(paths, lock)
                    continue
            await asyncio.sleep(_POLL)  # somebody else is starting it, or one is just ending

    def _root(self) -> Path:
        if self._may_start:
            return runtime_directory()
        root = existing_runtime_directory()
        # Whatever runs there or is just starting holds the lock.
        if root is None or not Paths(root).lock.exists():
            raise _not_running()
        return root

    def _start(self, paths: Paths, lock: int) -> None:
        """Start the supervisor, and leave it the lock and the socket it listens on.

        It can be connected to at once, and answers as soon as it can.
        """
        private_directory(paths.logs)
        paths.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(os.fspath(paths.socket))
            paths.socket.chmod(0o600)
            listener.listen(64)
            command = [self._python, "-P", "-m", "rexec_jupyter.local"]
            command += ["--root", str(paths.root), "--lock-fd", str(lock)]
            command += ["--listen-fd", str(listener.fileno())]
            for field in fields(Settings):
                value = getattr(self._settings, field.name)
                command += [f"--{field.name.replace('_', '-')}", str(value)]
            with open(paths.log("supervisor"), "wb", opener=_owner_only) as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=paths.root,
                    env=self._environment,
                    start_new_session=True,
                    pass_fds=[lock, listener.fileno()],
                )
        self._started.append(process)

    def _check_settings(self, actual: dict[str, Any]) -> None:
        for name, value in self._asked.items():
            if actual[name] != value:
                raise SessionMismatchError(
                    f"The embedded backend runs with {name}={actual[name]!r}, not {value!r}.",
                    hint="Leave that out, or close everything that uses the backend first: "
                    f"it ends {actual['linger']:g} s later.",
                )

    async def _log_of_the_late(self) -> list[str]:
        """Return the log of what is not ready yet."""
        with contextlib.suppress(OSError):
            paths = Paths(runtime_directory())
            if connection := await Connection.open(paths.socket):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        parts = (await connection.ask("status"))["parts"]
                connection.close()
                for name, part in parts.items():
                    if not part["ready"]:
                        return [f"{name}: {line}" for line in part["log"]]
            return tail(paths.log("supervisor"), _LOG_LINES)
        return []


@contextlib.contextmanager
def _locked(path: Path, *, make: bool) -> Iterator[int | None]:
    """Lock a file, made if need be and wanted; None if that cannot be done at once."""
    descriptor = None
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    with contextlib.suppress(FileNotFoundError):  # it, or its directory, was just removed
        descriptor = os.open(path, flags, 0o600)
    if descriptor is None:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # An ending supervisor removes the file: then this lock is worth nothing.
            mine = os.fstat(descriptor).st_ino == path.stat().st_ino
        except OSError:
            mine = False
        yield descriptor if mine else None
    finally:
        os.close(descriptor)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND, 0o600)


def _variable(name: str, default: T, parse: Callable[[str], T]) -> T:
    text = os.environ.get(name)
    try:
        return parse(text) if text else default
    except ValueError as error:
        raise NotConfiguredError(f"{name} cannot be used: {error}.") from None


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    raise ValueError(f"{text!r} is not a number of seconds")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{text!r} is not a number from 1 on")
    return int(text)


def _not_running() -> NotConfiguredError:
    return NotConfiguredError(
        "No rexec server runs on this computer.",
        hint="`rexec up` starts one; so does the first cell or call.",
    )


def _no_directory(error: OSError) -> StartError:
    reason = str(error) if isinstance(error, UnsafeDirectoryError) else f"{error}."
    return StartError(
        f"The embedded backend cannot have its private directory: {reason}",
        hint="Repair or remove it, or name another one in REXEC_RUNTIME_DIR.",
    )


def _start_error(reason: str, log: list[str]) -> StartError:
    lines = "\n".join(["", "Last lines of its log:", *log]) if log else ""
    return StartError(f"The embedded backend did not start: {reason}.{lines}")
