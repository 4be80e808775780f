"""A client's connection to the supervisor: while it is open, the backend has a user."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import weakref
from pathlib import Path
from typing import Any, Self

_MAX_LINE = 1 << 20


class EndedError(ConnectionError):
    """The supervisor ended without an answer."""


class Connection:
    """Asks the supervisor. Made by `open`; bound to the running event loop."""

    def __init__(
        self, end: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._socket = end
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        _connections.add(self)

    @classmethod
    async def open(cls, path: Path) -> Self | None:
        """Connect to the supervisor that listens at `path`; None if none does."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.setblocking(False)  # noqa: FBT003
        try:
            end.connect(os.fspath(path))  # at once, or not at all
        except OSError:
            end.close()
            return None
        return cls(end, *await asyncio.open_unix_connection(sock=end, limit=_MAX_LINE))

    async def ask(self, question: str, **details: Any) -> dict[str, Any]:
        """Ask one of the questions that `rexec_jupyter.local.supervisor` lists.

        Raises
        ------
        EndedError
            If the supervisor ended.
        """
        line = b""
        async with self._turn:
            with contextlib.suppress(OSError):
                self._writer.write(json.dumps({"ask": question} | details).encode() + b"\n")
                await self._writer.drain()
                line = await self._reader.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise EndedError("the supervisor ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def closed(self) -> bool:
        """Whether the other side is known to be gone, or this one was closed."""
        return self._writer.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        """Cease to be a user."""
        self._writer.close()

    async def ended(self) -> None:
        """Wait until the supervisor closes the connection."""
        with contextlib.suppress(OSError):
            while await self._reader.read(4096):
                pass

    def abandon(self) -> None:
        """Close a forked process's copy, so that only the original counts as a user."""
        with contextlib.suppress(OSError):
            os.close(self._socket.detach())


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _abandon_all() -> None:
    for connection in list(_connections):
        connection.abandon()


os.register_at_fork(after_in_child=_abandon_all)
