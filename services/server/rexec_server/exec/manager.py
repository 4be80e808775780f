"""The exec manager: starts the processes that run user code, watches them, ends them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast

from rexec_jupyter.core.versions import PYTHON
from rexec_server import handoff as h
from rexec_server.exec.cells import Sessions
from rexec_server.exec.container import Container
from rexec_server.exec.memory import IDLE_INTERVAL, INTERVAL, OomCounter, Watchdog
from rexec_server.exec.processes import Guard
from rexec_server.exec.usage import Meter
from rexec_server.exec.workers import Workers
from rexec_server.trace import Trace

_RETRY = (0.02, 1.0)
"""First and longest pause between two attempts to reach the agent, in seconds."""
_BACKLOG = 4 * 1024 * 1024
"""Bytes that may wait for the agent before kernels have to."""
_DEFAULT_SESSION = "default"


class _Agent(asyncio.Protocol):
    """The connection to the agent."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._decoder: h.Decoder[h.ToManager] = h.Decoder(h.ToManager)
        self._transport: asyncio.Transport
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BACKLOG)

    def data_received(self, data: bytes) -> None:
        try:
            for message, payload in self._decoder.feed(data):
                self._manager.obey(message, payload)
        except h.HandoffError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed.set()

    def pause_writing(self) -> None:
        self._manager.sessions.pause()

    def resume_writing(self) -> None:
        self._manager.sessions.resume()

    def send(self, message: h.Message, payload: bytes = b"") -> None:
        """Send a message; it is lost if the agent is gone, like all it would be about."""
        if not self._transport.is_closing():
            self._transport.write(h.encode(message, payload))

    def close(self) -> None:
        """Close the connection when all is sent."""
        self._transport.close()


class Manager:
    """Connects to the agent and does what it says.

    Parameters
    ----------
    handoff
        The handoff directory.
    workers
        How many worker processes there should be.
    memory
        Bytes that the processes may take together; 0 means no limit, None that of the
        container.
    directory
        Their working directory.
    grace
        Seconds after SIGTERM in which the agent may still have code run; once it has closed
        its connection, there is nothing more to wait for.
    """

    def __init__(
        self,
        handoff: Path,
        workers: int,
        memory: int | None,
        directory: Path,
        guard: Guard,
        *,
        grace: float = 0.0,
    ) -> None:
        container = Container.find()
        self._ooms = ooms = OomCounter(container)
        if memory is None and container is not None:
            self._watchdog = Watchdog(container.limit(), container)
        else:
            self._watchdog = Watchdog(memory or 0)
        self._meter = Meter(container, memory)
        self._measuring = False
        self._trace = Trace(handoff)
        self._grace = grace
        self._urgent = asyncio.Event()
        self._socket = handoff / h.SOCKET
        self._count = workers
        self._stopping = asyncio.Event()
        self._agent: _Agent | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.workers = Workers(handoff, workers, directory, guard, ooms)
        self.sessions = Sessions(handoff, directory, guard, ooms, self._report)

    async def run(self) -> None:
        """Serve one agent after the other, until a signal says stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._do(self._watch())
        stopping = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set():
            agent = await self._connect()
            if agent is None:
                continue
            closed = asyncio.create_task(agent.closed.wait())
            await asyncio.wait([stopping, closed], return_when=asyncio.FIRST_COMPLETED)
            if self._grace and not closed.done():
                await self._wind_up(closed)
            closed.cancel()
            if self._stopping.is_set():
                self._trace.stopping()
            self._agent = None
            agent.close()
            await asyncio.gather(self.workers.stop(), self.sessions.stop())
        self.sessions.remove_place()

    def _stop(self) -> None:
        """End; the second time at once."""
        if self._stopping.is_set():
            self._urgent.set()
        self._stopping.set()

    async def _wind_up(self, closed: asyncio.Task[Literal[True]]) -> None:
        """Go on until the agent has had all it runs come to an end."""
        urgent = asyncio.create_task(self._urgent.wait())
        waiting = [closed, urgent]
        await asyncio.wait(waiting, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        urgent.cancel()

    def obey(self, message: h.ToManager, payload: bytes) -> None:
        """Do what the agent says."""
        if isinstance(message, h.RunCell):
            self.sessions.run(message, payload)
        elif isinstance(message, h.StopKernel):
            self.sessions[message.session].stop_kernel(restart=message.restart)
        elif isinstance(message, h.InterruptJob) and message.pid:
            self._do(self.workers.interrupt(message.pid, message.job))
        elif isinstance(message, h.InterruptJob):
            session = self.sessions.running(message.job, message.session)
            self._do(session.interrupt(message.job))
        elif isinstance(message, h.Measure):
            self._do(self._measure())
        elif message.pid:
            self._do(self.workers.kill(message.pid, message.job))
        else:
            self.sessions.running(message.job, message.session).kill(message.job)

    async def _connect(self) -> _Agent | None:
        pause, longest = _RETRY
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            try:
                _, agent = await loop.create_unix_connection(
                    lambda: _Agent(self), str(self._socket)
                )
            except OSError:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(longest, 2 * pause)
                continue
            self._agent = agent
            agent.send(
                h.ManagerHello(
                    pid=os.getpid(),
                    python=PYTHON,
                    workers=self._count,
                )
            )
            self.workers.start(self._report)
            self._do(self._warm())
            return agent
        return None

    async def _warm(self) -> None:
        """Start the kernel that is wanted first, once the workers had their turn."""
        await self.workers.settled()
        if self._agent is not None:
            self.sessions[_DEFAULT_SESSION].warm()

    async def _watch(self) -> None:
        watchdog = self._watchdog
        while True:
            await asyncio.sleep(INTERVAL if watchdog.limit else IDLE_INTERVAL)
            self._ooms.look()
            if not watchdog.limit:
                continue
            kernels = self.sessions.by_pid()
            found = watchdog.victim([*self.workers.pids, *kernels])
            if not self._stopping.is_set():
                self._trace.note(watchdog.taken, watchdog.limit)
            if found is None:
                continue
            pid, reason = found
            if pid in kernels:
                kernels[pid].out_of_memory(reason)
            else:
                self.workers.out_of_memory(pid, reason)

    async def _measure(self) -> None:
        if self._measuring:  # what it comes to answers whoever asks meanwhile
            return
        self._measuring = True
        try:
            self._report(await asyncio.to_thread(self._meter.measure))
        finally:
            self._measuring = False

    def _report(self, message: h.Message, payload: bytes = b"") -> None:
        if self._agent is not None:
            self._agent.send(message, payload)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
