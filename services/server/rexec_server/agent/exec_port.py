"""Where exec connects: the Unix socket, its connections, and the workers' output pipes."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.agent.machine import AgentMachine
from rexec_server.agent.schedule import MANAGER
from rexec_server.trace import why_gone

_READ = 256 * 1024
_PIPE = 1024 * 1024
_REST = 0.02  # output is shown less often than that, and a line at a time costs far more
_STREAMS = ("stdout", "stderr")
_log = logging.getLogger(__name__)

Handler = Callable[[int], None]


class _Peer:
    """One connection. ``pid`` is -1 until it said who it is, and 0 for the manager."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.decoder: h.Decoder[h.ToAgent] = h.Decoder(h.ToAgent)
        self.pid = -1
        self.descriptors: list[int] = []
        self.unsent = bytearray()
        self.waits = False
        self.closed = False


class _Pipes:
    """Both output pipes of a worker; they outlive its connection until exec says it is gone."""

    def __init__(self, descriptors: list[int]) -> None:
        self.open = dict(zip(descriptors, _STREAMS, strict=True))
        self._poll = select.poll()
        for descriptor in descriptors:
            self._poll.register(descriptor, select.POLLIN)
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)

    def readable(self) -> list[int]:
        """Return those that hold something, or have ended."""
        return [descriptor for descriptor, _ in self._poll.poll(0)]

    def close(self, descriptor: int) -> None:
        """Close one that has ended."""
        del self.open[descriptor]
        self._poll.unregister(descriptor)
        os.close(descriptor)


class ExecPort:
    """Connects the machine with exec.

    Parameters
    ----------
    directory
        The handoff directory.
    handlers
        Filled with a function for each file descriptor that `poll` watches.
    """

    def __init__(
        self,
        directory: Path,
        machine: AgentMachine,
        poll: select.epoll,
        handlers: dict[int, Handler],
        clock: Callable[[], float],
    ) -> None:
        self._machine = machine
        self._poll = poll
        self._handlers = handlers
        self._clock = clock
        self._peers: dict[int, _Peer] = {}
        self._pipes: dict[int, _Pipes] = {}
        self._resting: dict[int, float] = {}
        self._path = directory / h.SOCKET
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(mask)
        self._listener.listen(128)
        self._listener.setblocking(False)  # noqa: FBT003 - its only parameter
        self._watch(self._listener.fileno(), self._accept)

    def _watch(self, descriptor: int, handler: Handler) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        self._resting.pop(descriptor, None)
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    # ------------------------------------------------------------------------ connections

    def _accept(self, events: int) -> None:
        del events
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)  # noqa: FBT003 - its only parameter
            peer = _Peer(connection)
            self._watch(connection.fileno(), lambda events: self._serve(peer, events))

    def _serve(self, peer: _Peer, events: int) -> None:
        if events & select.EPOLLOUT:
            self._push(peer)
        if events & ~select.EPOLLOUT and not peer.closed:
            self._read(peer)

    def _read(self, peer: _Peer) -> None:
        """Take what a peer says. All it wrote to its pipes before comes first."""
        try:
            if peer.pid < 0:
                data, descriptors, _, _ = socket.recv_fds(peer.socket, _READ, 8)
                peer.descriptors += descriptors
            else:
                data = peer.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if peer.pid > MANAGER:
            self._drain(peer.pid)
        try:
            for message, payload in peer.decoder.feed(data):
                self._take(peer, message, payload)
        except h.HandoffError as error:
            _log.warning("a connection of exec is given up: %s", error)
            data = b""
        if not data:
            self._lost(peer)

    def _take(self, peer: _Peer, message: Any, payload: bytes) -> None:
        now = self._clock()
        if peer.closed:
            return
        if peer.pid < 0:
            self._introduce(now, peer, message)
        elif isinstance(message, h.WorkerGone):
            self._worker_gone(now, message)
        elif isinstance(message, h.ManagerHello | h.WorkerHello):
            raise h.HandoffError("a second hello")
        else:
            self._machine.from_exec(now, peer.pid, message, payload)

    def _introduce(self, now: float, peer: _Peer, message: Any) -> None:
        if isinstance(message, h.ManagerHello):
            if MANAGER in self._peers:
                self._lost(self._peers[MANAGER])
            peer.pid = MANAGER
            self._peers[MANAGER] = peer
            self._machine.manager_up(now, message.python)
        elif isinstance(message, h.WorkerHello) and message.pid > MANAGER:
            if len(peer.descriptors) != len(_STREAMS) or message.pid in self._peers:
                raise h.HandoffError("a worker that cannot be")
            self._close_pipes(message.pid)
            peer.pid = message.pid
            self._peers[peer.pid] = peer
            pipes = self._pipes[peer.pid] = _Pipes(peer.descriptors)
            peer.descriptors = []
            for descriptor in pipes.open:
                self._watch(descriptor, self._pipe_reader(peer.pid, descriptor))
            self._machine.worker_up(now, peer.pid)
        else:
            raise h.HandoffError("no hello")

    def _lost(self, peer: _Peer) -> None:
        if peer.closed:
            return
        if peer.pid == MANAGER:
            self._manager_lost(peer)
        elif peer.pid > MANAGER:
            self._drain(peer.pid)
        self._close(peer)
        if peer.pid > MANAGER:
            self._machine.worker_gone(self._clock(), peer.pid)

    def _manager_lost(self, peer: _Peer) -> None:
        """Exec as a whole is gone: hear what its workers still said, then forget them."""
        workers = [other for other in self._peers.values() if other is not peer]
        for worker in workers:
            self._hear_out(worker)
        self._close(peer)
        for worker in workers:
            self._close(worker)
        for pid in list(self._pipes):
            self._close_pipes(pid)
        reason, oom = why_gone(self._path.parent)
        self._machine.manager_down(self._clock(), reason, oom=oom)

    def _worker_gone(self, now: float, message: h.WorkerGone) -> None:
        worker = self._peers.get(message.pid)
        if worker is not None:
            self._hear_out(worker)
            self._close(worker)
        else:
            self._drain(message.pid)
        self._machine.from_exec(now, MANAGER, message, b"")
        self._close_pipes(message.pid)

    def _hear_out(self, worker: _Peer) -> None:
        """Take everything that a worker which is gone has left in its socket and pipes."""
        self._machine.worker_gone(self._clock(), worker.pid)  # it gets nothing more to do
        while not worker.closed:
            try:
                data = worker.socket.recv(_READ)
            except OSError:
                data = b""
            self._drain(worker.pid)
            try:
                for message, payload in worker.decoder.feed(data):
                    self._take(worker, message, payload)
            except h.HandoffError:
                return
            if not data:
                return

    def _close(self, peer: _Peer) -> None:
        if peer.closed:
            return
        peer.closed = True
        self._unwatch(peer.socket.fileno())
        peer.socket.close()
        for descriptor in peer.descriptors:
            os.close(descriptor)
        if self._peers.get(peer.pid) is peer:
            del self._peers[peer.pid]

    # ------------------------------------------------------------------------------ pipes

    def _pipe_reader(self, pid: int, descriptor: int) -> Handler:
        def read(events: int) -> None:
            del events
            if 0 < self._read_pipe(pid, descriptor) < _READ:
                self._resting[descriptor] = self._clock() + _REST
                self._poll.modify(descriptor, 0)

        return read

    def tick(self, now: float) -> float:
        """Watch the pipes again that had a rest; return when to be called again."""
        for descriptor, until in list(self._resting.items()):
            if until <= now:
                del self._resting[descriptor]
                self._poll.modify(descriptor, select.EPOLLIN)
        return min(self._resting.values(), default=float("inf"))

    def _drain(self, pid: int) -> None:
        """Read what is in a worker's pipes now: not more than fits in them."""
        pipes = self._pipes.get(pid)
        if pipes is None:
            return
        for descriptor in pipes.readable():
            budget = _PIPE
            while budget > 0 and (nbytes := self._read_pipe(pid, descriptor)):
                budget -= nbytes

    def _read_pipe(self, pid: int, descriptor: int) -> int:
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        pipes = self._pipes[pid]
        if data:
            self._machine.output(self._clock(), pid, pipes.open[descriptor], data)
        else:
            self._unwatch(descriptor)
            pipes.close(descriptor)
            if not pipes.open:
                del self._pipes[pid]
        return len(data)

    def _close_pipes(self, pid: int) -> None:
        pipes = self._pipes.pop(pid, None)
        for descriptor in pipes.open if pipes is not None else ():
            self._unwatch(descriptor)
            os.close(descriptor)

    # --------------------------------------------------------------------------- commands

    def send(self, target: int, message: Any, payload: p.Buffer) -> None:
        """Send a command to a worker or the manager; if it is gone, that is known soon."""
        peer = self._peers.get(target)
        if peer is None:
            return
        peer.unsent += h.encode(message, payload)
        self._push(peer)

    def _push(self, peer: _Peer) -> None:
        if peer.closed:
            return
        try:
            while peer.unsent:
                done = peer.socket.send(peer.unsent)
                del peer.unsent[:done]
        except BlockingIOError:
            pass
        except OSError:
            peer.unsent.clear()  # its end is about to be read
        if peer.waits != bool(peer.unsent):
            peer.waits = bool(peer.unsent)
            events = select.EPOLLIN | (select.EPOLLOUT if peer.waits else 0)
            self._poll.modify(peer.socket.fileno(), events)

    def close(self) -> None:
        """Close everything; exec ends what it runs and tries to come back."""
        for peer in list(self._peers.values()):
            self._close(peer)
        for pid in list(self._pipes):
            self._close_pipes(pid)
        self._unwatch(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)


def wall_clock() -> Callable[[], float]:
    """Return a clock that never goes back, and shows the time of day as of now.

    That way instants in the journal mean something after a restart as well.
    """
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset
