"""The pool of worker processes: as many as there should be, each replaced when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rexec_server import handoff as h
from rexec_server.exec.memory import OomCounter
from rexec_server.exec.processes import Ending, Guard, kill_group, on_end, python
from rexec_server.exec.reports import Report
from rexec_server.exec.slot import Slot, new_memory

_MAX_PAUSE = 5.0
_STOP_TRIES = 100
_SETTLE_TRIES = 100


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    control: int
    slot: Slot
    reason: str = ""
    """Why we killed it, if it was for lack of memory."""

    def release(self) -> None:
        os.close(self.control)
        self.slot.close()


class Workers:
    """Starts workers and replaces them.

    Parameters
    ----------
    handoff
        The handoff directory.
    count
        How many there should be.
    directory
        Their working directory.
    """

    def __init__(
        self, handoff: Path, count: int, directory: Path, guard: Guard, ooms: OomCounter
    ) -> None:
        self._handoff = handoff
        self._count = count
        self._directory = directory
        self._guard = guard
        self._ooms = ooms
        self._workers: dict[int, _Worker] = {}
        self._report: Report = _nobody
        self._failures = 0
        self._stopping = False
        self._gone = asyncio.Event()

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return list(self._workers)

    def start(self, report: Report) -> None:
        """Start the workers; `report` passes on what happens to them."""
        self._report = report
        self._stopping = False
        for _ in range(self._count):
            self._start()

    async def settled(self) -> None:
        """Wait until all workers are ready, but not for ever."""
        for _ in range(_SETTLE_TRIES):
            if all(worker.slot.ready for worker in self._workers.values()):
                return
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Kill the workers and wait until none is left."""
        self._report = _nobody
        self._stopping = True
        for pid in self._workers:
            kill_group(pid)
        while self._workers:
            self._gone.clear()
            await self._gone.wait()

    async def interrupt(self, pid: int, job: str) -> None:
        """Raise KeyboardInterrupt in this job, if this worker runs it."""
        worker = self._workers.get(pid)
        if worker is None:
            return
        # The worker compares: only it can tell what it runs when the signal arrives.
        with suppress(BlockingIOError):
            os.write(worker.control, job.encode())

        def send() -> None:
            os.kill(pid, signal.SIGINT)

        def wanted() -> bool:
            return self._workers.get(pid) is worker and worker.slot.job == job

        heard = worker.slot.heard
        send()
        await worker.slot.insist(heard, send, wanted=wanted)

    async def kill(self, pid: int, job: str) -> None:
        """Kill this worker if it runs this job."""
        worker = self._workers.get(pid)
        if worker is None or worker.slot.job != job:
            return
        # While it is stopped it cannot go on to another job between the check and the kill.
        os.kill(pid, signal.SIGSTOP)
        for _ in range(_STOP_TRIES):
            if _stopped(pid):
                break
            await asyncio.sleep(0.001)
        if pid not in self._workers:
            return
        if worker.slot.job == job:
            kill_group(pid)
        else:
            os.kill(pid, signal.SIGCONT)

    def out_of_memory(self, pid: int, reason: str) -> None:
        """Kill this worker because it takes too much memory."""
        self._workers[pid].reason = reason
        kill_group(pid)

    def _start(self) -> None:
        controlled, control = os.pipe()
        os.set_blocking(control, False)
        shared = new_memory()
        arguments = (str(os.getpid()), str(self._handoff), str(controlled), str(shared))
        process = subprocess.Popen(
            python("rexec_server.exec.calls", *arguments),
            stdin=subprocess.DEVNULL,
            cwd=self._directory,
            pass_fds=(controlled, shared),
            start_new_session=True,
        )
        os.close(controlled)
        self._workers[process.pid] = _Worker(process, control, Slot(shared))
        on_end(process, self._guard, lambda ending: self._ended(process.pid, ending))

    def _ended(self, pid: int, ending: Ending) -> None:
        worker = self._workers.pop(pid)
        self._failures = 0 if worker.slot.ready else self._failures + 1
        worker.release()
        self._gone.set()
        killed = ending.signal == signal.SIGKILL
        oom = bool(worker.reason) or (killed and self._ooms.advanced())
        self._report(
            h.WorkerGone(
                pid=pid,
                exit_code=ending.exit_code,
                signal=ending.signal,
                oom=oom,
                reason=worker.reason or ("the system was out of memory" if oom else str(ending)),
            )
        )
        pause = min(_MAX_PAUSE, 0.05 * 2**self._failures) if self._failures else 0.0

        def replace() -> None:
            if not self._stopping and len(self._workers) < self._count:
                self._start()

        asyncio.get_running_loop().call_later(pause, replace)


def _stopped(pid: int) -> bool:
    """Tell whether a process is stopped, or has ended."""
    change = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG)
    return change is not None


def _nobody(message: h.Message, payload: bytes = b"") -> None:
    """Report to nobody, while there is no agent."""
