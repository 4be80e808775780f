"""The endpoint of the embedded backend, held from programs that have no event loop to spare."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rexec_jupyter.core.errors import StartError
from rexec_jupyter.core.runtime import runtime_path
from rexec_jupyter.local.backend import START_SECONDS, LocalBackend
from rexec_jupyter.local.connection import EndedError
from rexec_jupyter.local.paths import Paths

_MAX_LINE = 1 << 20


class Lease:
    """A connection to the supervisor: while it is open, the backend has a user.

    It ends when it is closed or nobody refers to it any more.

    Parameters
    ----------
    path
        Where the supervisor listens.

    Raises
    ------
    OSError
        If none does.
    """

    def __init__(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.connect(os.fspath(path))
            self._descriptor = end.detach()
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        _leases.add(self)

    def ask(self, question: str, timeout: float, **details: Any) -> dict[str, Any]:
        """Ask one of the questions that `rexec_jupyter.local.supervisor` lists.

        Raises
        ------
        EndedError
            If the supervisor ended.
        TimeoutError
            If it does not answer within `timeout` seconds.
        """
        answer = bytearray()
        with socket.socket(fileno=os.dup(self._descriptor)) as end:
            end.settimeout(timeout)
            try:
                end.sendall(json.dumps({"ask": question} | details).encode() + b"\n")
                while not answer.endswith(b"\n"):
                    received = end.recv(_MAX_LINE)
                    if not received:
                        break
                    answer += received
            except TimeoutError:
                raise
            except OSError:
                answer.clear()
        if not answer.endswith(b"\n"):
            raise EndedError("the supervisor ended")
        told: dict[str, Any] = json.loads(answer)
        return told

    def close(self) -> None:
        """Cease to be a user."""
        self._closing()


class EndpointLease:
    """The running endpoint of the embedded backend; both last until it is closed.

    Parameters
    ----------
    start
        Whether the backend may be started if none runs.

    Raises
    ------
    NotConfiguredError
        If none runs, and it may not be started.
    StartError
        If it, or its endpoint, does not get ready.

    Attributes
    ----------
    url, token
        Where the endpoint is, and what it lets everything be done with.
    """

    def __init__(self, *, start: bool = True) -> None:
        # The thread that asks may run an event loop already, as that of a notebook does.
        with ThreadPoolExecutor(1) as aside:
            opening = aside.submit(lambda: asyncio.run(_lease(LocalBackend(start=start))))
            self._lease = opening.result()
        try:
            found = self._lease.ask("endpoint", START_SECONDS)
        except (EndedError, TimeoutError) as error:
            found = {"error": str(error) or "it takes too long", "log": []}
        if "error" in found:
            self.close()
            lines = "\n".join(["", "Last lines of its log:", *found["log"]]) if found["log"] else ""
            raise StartError(
                f"The endpoint on this computer did not start: {found['error']}.{lines}"
            )
        self.url: str = found["url"]
        self.token: str = found["token"]

    def close(self) -> None:
        """Cease to be a user of the backend."""
        self._lease.close()


def local_status(timeout: float) -> dict[str, Any]:
    """Return what the supervisor tells of itself and its parts; nothing if none answers."""
    try:
        lease = Lease(Paths(runtime_path()).socket)
    except OSError:
        return {}
    try:
        return lease.ask("status", timeout)
    except (EndedError, TimeoutError):
        return {}
    finally:
        lease.close()


async def _lease(backend: LocalBackend) -> Lease:
    try:
        await backend.locate()
        return Lease(Paths(runtime_path()).socket)
    finally:
        await backend.close()


_leases: weakref.WeakSet[Lease] = weakref.WeakSet()


def _close_all() -> None:
    # A forked process's copies: only the original counts as a user.
    for lease in list(_leases):
        lease.close()


os.register_at_fork(after_in_child=_close_all)
