"""Sessions: each has a kernel, and runs one cell at a time in it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rexec_server import handoff as h
from rexec_server.exec.memory import OomCounter
from rexec_server.exec.processes import Ending, Guard
from rexec_server.exec.reports import Report, Text

if TYPE_CHECKING:
    from rexec_server.exec.kernels import Kernel

_START_LIMIT = 60.0
"""Seconds a kernel may take to start."""
_HELD = 64 * 1024
"""Bytes of text kept that were written while no cell ran."""
_EARLY = 64 * 1024 * 1024
"""Bytes of text kept of a cell whose start is still to be heard of: it comes another way."""
_MAX_PATH = 70
"""The names of Unix sockets may have 107 bytes, of which ours need some."""
_ENDS = (h.Returned, h.Raised, h.Interrupted, h.CellGone)
_State = Literal["starting", "ready", "gone"]


class _Phase(Enum):
    IDLE = auto()
    WAITING = auto()
    SENT = auto()
    RUNNING = auto()


@dataclass(frozen=True, slots=True)
class _Stop:
    """The kernel is being ended on purpose, and ``cell`` with it."""

    cell: h.RunCell | None
    ready: bool
    restart: bool


class Session:
    """One session.

    Parameters
    ----------
    name
        Under which the agent knows it; empty if it lives for one cell only.
    new_kernel
        Makes a kernel that serves this session.
    report
        Tells the agent.
    """

    def __init__(
        self,
        name: str,
        new_kernel: Callable[[Session], Kernel],
        report: Report,
        ooms: OomCounter,
    ) -> None:
        self.kernel: Kernel | None = None
        self._name = name
        self._trouble = ""
        self._oom = False
        self._new_kernel = new_kernel
        self._report = report
        self._ooms = ooms
        # Nothing remembers what an earlier manager counted: a later one starts higher.
        # One that lives for one cell is no incarnation of any session, which is 0.
        self._incarnation = time.time_ns() // 1_000_000 if name else -1
        self._ready = False
        self._stop: _Stop | None = None
        self._phase = _Phase.IDLE
        self._cell: h.RunCell | None = None
        self._payload = b""
        self._interrupted = False
        self._held: dict[Text, bytes] = {}
        self._starting: asyncio.Task[None] | None = None
        self._interrupting: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    def warm(self) -> None:
        """Start the kernel if there is none."""
        if self.kernel is None:
            self._gone.clear()
            self._tell("starting")
            self.kernel = self._new_kernel(self)
            self._starting = asyncio.create_task(self._start(self.kernel))

    def run(self, cell: h.RunCell, payload: bytes) -> None:
        """Run a cell as soon as there is a kernel; the last one must have been answered."""
        self._cell, self._payload = cell, payload
        self._interrupted = False
        self._phase = _Phase.WAITING
        self.warm()
        if self._ready:
            self._send()

    async def interrupt(self, job: str) -> None:
        """Interrupt the cell if it is this one; withdraw it if it has not started."""
        if self._cell is None or self._cell.job != job:
            return
        if self._phase is _Phase.WAITING:
            self._answer(h.Interrupted(job=job, traceback=[]))
        elif self._phase is _Phase.SENT:
            self._interrupted = True
        else:
            await self._interrupt(job)

    def kill(self, job: str) -> None:
        """Kill the kernel if it runs this cell; withdraw it if it has not started."""
        if self._cell is None or self._cell.job != job:
            return
        if self._phase is _Phase.WAITING:
            self._answer(h.CellGone(job=job, started=False, reason="it was withdrawn"))
        elif self.kernel is not None:
            self.kernel.kill()

    async def stop(self) -> None:
        """Kill the kernel, whatever it does, and wait for its end."""
        self._cell = None
        self._phase = _Phase.IDLE
        await self._end()

    def stop_kernel(self, *, restart: bool) -> None:
        """Do what `handoff.StopKernel` says. A cell that comes later runs in another kernel."""
        if self.kernel is None:
            self._tell("gone")
            if restart:
                self.warm()
            return
        self._stop = _Stop(self._cell, self._ready, restart)
        self._ready = False
        self._stopping = asyncio.create_task(self._end())

    async def _end(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self.kernel is not None:
            self.kernel.kill()
            await self._gone.wait()

    def out_of_memory(self, reason: str) -> None:
        """Kill the kernel because it takes too much memory."""
        if self.kernel is not None:
            self._trouble, self._oom = reason, True
            self.kernel.kill()

    # ------------------------------------------------------------- what the kernel tells

    def ready(self) -> None:
        """See `kernels.Listener`."""
        if self._stop is not None:
            return
        self._ready = True
        self._incarnation += 1
        self._tell("ready", self._incarnation)
        self._held.clear()
        if self._limit is not None:
            self._limit.cancel()
        if self._phase is _Phase.WAITING:
            self._send()

    def said(self, message: h.Message, payload: bytes) -> None:
        """See `kernels.Listener`."""
        if self._cell is None:
            return
        if isinstance(message, h.CellStarted):
            self._phase = _Phase.RUNNING
            self._payload = b""
            self._report(h.CellStarted(job=message.job, incarnation=self._incarnation))
            held, self._held = self._held, {}
            for stream, text in held.items():
                self.wrote(stream, text)
            if self._interrupted:
                self._interrupting = asyncio.create_task(self._interrupt(message.job))
        elif isinstance(message, h.CellOutput):
            self._report(message, payload)
        else:
            self._answer(message, payload)

    def wrote(self, stream: Text, text: bytes) -> None:
        """See `kernels.Listener`."""
        if self._phase is _Phase.RUNNING and self._cell is not None:
            self._report(h.CellOutput(nbytes=len(text), job=self._cell.job, stream=stream), text)
        else:
            # A thread or process in the background: the next cell shows it.
            limit = _EARLY if self._phase is _Phase.SENT else _HELD
            self._held[stream] = (self._held.get(stream, b"") + text)[-limit:]

    def ended(self, ending: Ending) -> None:
        """See `kernels.Listener`."""
        stop, self._stop = self._stop, None
        was_ready = stop.ready if stop is not None else self._ready
        self._ready = False
        reason, self._trouble = self._trouble, ""
        oom, self._oom = self._oom, False
        self.kernel = None
        self._gone.set()
        if self._limit is not None:
            self._limit.cancel()
        if not reason and ending.signal == signal.SIGKILL and self._ooms.advanced():
            reason, oom = "the system was out of memory", True
        held = b"".join(self._held.values()).decode(errors="replace")
        self._held.clear()
        again = stop is not None and stop.restart
        cell, started = self._cell, self._phase is _Phase.RUNNING
        if cell is not None and stop is not None and stop.cell is cell:
            reason = f"the session was {'restarted' if again else 'stopped'}"
        elif cell is not None and not started and (was_ready or stop is not None):
            # It ended before it saw this cell, which another one may run.
            self._phase = _Phase.WAITING
            again, cell = True, None
        elif not started:
            reason = f"the session could not be started: {reason or ending}\n{held}".strip()
        if cell is not None:
            self._answer(
                h.CellGone(
                    job=cell.job,
                    started=started,
                    exit_code=ending.exit_code,
                    signal=ending.signal,
                    oom=oom,
                    reason=reason or str(ending),
                )
            )
        self._tell("gone", self._incarnation if was_ready else 0)
        if again:
            self.warm()

    # --------------------------------------------------------------------------- helpers

    async def _start(self, kernel: Kernel) -> None:
        try:
            await kernel.start()
        except Exception as error:  # noqa: BLE001 - jupyter_client passes on whatever happens
            self._trouble = f"{type(error).__name__}: {error}"
            self.ended(Ending())
            return
        self._limit = asyncio.get_running_loop().call_later(_START_LIMIT, self._give_up, kernel)

    async def _interrupt(self, job: str) -> None:
        def wanted() -> bool:
            return kernel is self.kernel and self._cell is not None and self._cell.job == job

        kernel = self.kernel
        if kernel is not None:
            await kernel.interrupt(wanted=wanted)

    def _give_up(self, kernel: Kernel) -> None:
        self._trouble = f"it was not ready within {_START_LIMIT:.0f} s"
        kernel.kill()

    def _send(self) -> None:
        if self._cell is not None and self.kernel is not None:
            self._phase = _Phase.SENT
            self.kernel.run(self._cell, self._payload, self._incarnation)

    def _tell(self, state: _State, incarnation: int = 0) -> None:
        if self._name:
            self._report(h.KernelState(session=self._name, state=state, incarnation=incarnation))

    def _answer(self, message: h.Message, payload: bytes = b"") -> None:
        self._cell = None
        self._payload = b""
        self._phase = _Phase.IDLE
        self._report(message, payload)


class Sessions:
    """All sessions by name.

    Parameters
    ----------
    handoff
        The handoff directory.
    directory
        Working directory of the kernels.
    report
        Tells the agent.
    """

    def __init__(
        self, handoff: Path, directory: Path, guard: Guard, ooms: OomCounter, report: Report
    ) -> None:
        self._files = handoff / h.FILES
        self._directory = directory
        self._guard = guard
        self._ooms = ooms
        self._report = report
        self._sessions: dict[str, Session] = {}
        self._fresh: dict[str, Session] = {}
        self._discarding: set[asyncio.Task[None]] = set()
        self._place = _private(handoff / "kernels")

    def __getitem__(self, name: str) -> Session:
        """Return a session, which need not have existed before."""
        if name not in self._sessions:
            self._sessions[name] = Session(name, self._kernel, self._report, self._ooms)
        return self._sessions[name]

    def run(self, cell: h.RunCell, payload: bytes) -> None:
        """Run a cell in its session's kernel, or in one of its own."""
        session = self._new(cell.job) if cell.fresh else self[cell.session]
        session.run(cell, payload)

    def running(self, job: str, name: str) -> Session:
        """Return the session that runs this job, if any does: the named one or its own."""
        return self._fresh.get(job) or self[name]

    def by_pid(self) -> dict[int, Session]:
        """Return the sessions by the processes of their kernels."""
        return {kernel.pid: session for session, kernel in self._kernels() if kernel.pid}

    async def stop(self) -> None:
        """Kill all kernels and wait until none is left."""
        await asyncio.gather(*(session.stop() for session in self._all()), *self._discarding)
        self._fresh.clear()

    def pause(self) -> None:
        """Let all kernels wait: what they say cannot be passed on just now."""
        for _, kernel in self._kernels():
            kernel.pause()

    def resume(self) -> None:
        """Listen to them again."""
        for _, kernel in self._kernels():
            kernel.resume()

    def _new(self, job: str) -> Session:
        """Return a session for one cell, which ends as soon as that is answered."""

        def report(message: h.Message, payload: bytes = b"") -> None:
            self._report(message, payload)
            if isinstance(message, _ENDS):
                task = asyncio.create_task(self._discard(job))
                self._discarding.add(task)
                task.add_done_callback(self._discarding.discard)

        self._fresh[job] = session = Session("", self._kernel, report, self._ooms)
        return session

    async def _discard(self, job: str) -> None:
        await self._fresh[job].stop()
        self._fresh.pop(job, None)

    def _all(self) -> list[Session]:
        return [*self._sessions.values(), *self._fresh.values()]

    def _kernels(self) -> Iterator[tuple[Session, Kernel]]:
        for session in self._all():
            if session.kernel is not None:
                yield session, session.kernel

    def _kernel(self, session: Session) -> Kernel:
        # It takes longer to import than a worker to start.
        from rexec_server.exec.kernels import Kernel  # noqa: PLC0415

        return Kernel(self._files, self._place, self._directory, self._guard, session)

    def remove_place(self) -> None:
        """Remove the private directory."""
        shutil.rmtree(self._place, ignore_errors=True)


def _private(place: Path) -> Path:
    """Make an empty private directory there, or elsewhere if the path is too long."""
    if len(str(place)) > _MAX_PATH:
        return Path(tempfile.mkdtemp(prefix="rexec-"))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    return place
