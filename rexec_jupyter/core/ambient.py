"""The client of code that names none: one a process, made at its first use.

The core knows no backend: whoever does says how to connect.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from rexec_jupyter.core.errors import NotConfiguredError

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client

Connect = Callable[[float], "Client"]
"""Connects within so many seconds."""

START = 60.0
"""Seconds that the first connection may take, unless said otherwise."""


class Ambient:
    """Holds that client.

    Parameters
    ----------
    connect
        Makes one.
    named
        Returns which backend it is made of, by name. Once that is another one, so is the client.
    """

    def __init__(self, connect: Connect, named: Callable[[], str] = str) -> None:
        self._connect = connect
        self._named = named
        self._name = ""
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._pid = 0
        os.register_at_fork(after_in_child=self._renew_lock)

    def get(self, timeout: float | None = None) -> Client:
        """Return the client; connect if there is none, it ended, or is of another backend."""
        with self._lock:
            name = self._named()
            if self._client is not None and self._pid == os.getpid():
                status = self._client.status()
                ended = status.state in ("failed", "closed")
                if not ended and name == self._name:
                    return self._client
                if ended or not status.jobs:  # who waits for a job of it goes on waiting
                    self._client.close()
            # That of the process which this one was forked from is left alone.
            self._client = None
            client = self._connect(START if timeout is None else timeout)
            self._client, self._name, self._pid = client, name, os.getpid()
            return client

    def peek(self) -> Client | None:
        """Return the client if there is one, however it stands."""
        with self._lock:
            return self._client if self._pid == os.getpid() else None

    def close(self) -> None:
        """End the connection if there is one; the next use makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


_ambient: list[Ambient] = []


def provide(ambient: Ambient) -> None:
    """Say where `default_client` gets it from."""
    _ambient[:] = [ambient]


def default_client(timeout: float | None = None) -> Client:
    """Return the client of this process; connect within so many seconds if there is none.

    Raises
    ------
    RexecError
        If it cannot connect.
    """
    if not _ambient:
        raise NotConfiguredError(
            "Nothing says how to connect.", hint="Import rexec_jupyter, or pass a client."
        )
    return _ambient[0].get(timeout)


def present_client() -> Client | None:
    """Return the client of this process if there is one; connects to nothing."""
    return _ambient[0].peek() if _ambient else None


def disconnect() -> None:
    """End the connection of this process if there is one; the next use makes another."""
    if _ambient:
        _ambient[0].close()
