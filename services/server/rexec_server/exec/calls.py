"""A worker process: runs one call after the other, imports stay warm.

The manager starts it; the agent gives it work. There is one thread, and what happens for
each call is kept short: it decides how long the shortest call takes.
"""

from __future__ import annotations

import asyncio
import builtins
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from inspect import isasyncgen, iscoroutine, isgenerator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.startup import die_with
from rexec_server import handoff as h
from rexec_server.exec import failures, payloads
from rexec_server.exec.interrupts import guarded, in_guarded, recover_lost
from rexec_server.exec.output import no_input, text_stream
from rexec_server.exec.processes import flush_c_streams, widen
from rexec_server.exec.slot import Slot

_KEPT_VALUES = 16
_REMEMBERED_INTERRUPTS = 64
_ID = 32
_END = object()


class GoneError(Exception):
    """The agent closed the connection."""


class Worker:
    """Runs the calls that come from the agent.

    Parameters
    ----------
    handoff
        Directory of the agent's socket and of `handoff.FILES`.
    control
        Pipe through which the manager names the job that an interrupt is meant for.
    slot
        Shared with the manager.
    """

    def __init__(self, handoff: Path, control: int, slot: Slot) -> None:
        self._files = handoff / h.FILES
        self._control = control
        self._slot = slot
        self._decoder: h.Decoder[h.RunCall | h.MoreItems] = h.Decoder(h.ToWorker)
        self._buffer = memoryview(bytearray(256 * 1024))
        self._messages: deque[tuple[h.RunCall | h.MoreItems, bytes]] = deque()
        self._job = ""
        self._named: deque[str] = deque(maxlen=_REMEMBERED_INTERRUPTS)
        self._pid = os.getpid()
        self._kept: dict[str, Any] = {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(handoff / h.SOCKET))
        os.set_blocking(control, False)
        os.set_inheritable(control, False)  # noqa: FBT003 - the only way to say it
        self._capture_output()
        self._home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._streams = sys.stdout, sys.stderr
        self._arguments = list(sys.argv)
        signal.signal(signal.SIGINT, self._on_interrupt)
        recover_lost(lambda: self._job, self._named.append)
        os.register_at_fork(after_in_child=self._leave)

    def serve(self) -> None:
        """Run calls until the agent closes the connection."""
        self._slot.ready = True
        while True:
            message, payload = self._receive()
            if isinstance(message, h.RunCall):
                self._slot.begin(message.job)
                self._run(message, payload)

    # ------------------------------------------------------------------------ one call

    def _run(self, call: h.RunCall, payload: bytes) -> None:
        self._job = job = call.job
        started = time.perf_counter()
        try:
            value = guarded(self._heed, self._call, call, payload)
            if isgenerator(value):
                self._stream(job, value)
                value = None
            elif isasyncgen(value):
                self._stream(job, _drive(value))
                value = None
        except BaseException as error:  # noqa: BLE001 - it is the user's code that raised it
            answer, data = self._failure(job, error, time.perf_counter() - started)
        else:
            answer, data = self._success(job, value, time.perf_counter() - started)
        self._restore()
        # From here on it must not be killed any more: another job may come at once.
        self._slot.end()
        self._socket.sendall(h.encode(answer, data))
        self._job = ""

    def _call(self, call: h.RunCall, payload: bytes) -> Any:
        parts = payloads.read(self._files, call.where, call.digest, payload)
        try:
            function, args, kwargs = values.load(parts)
        except Exception as error:
            error.add_note(
                "This happened when the call was loaded on the server. It needs the same"
                " packages there as here."
            )
            raise
        try:
            value = function(*args, **kwargs)
            return asyncio.run(value) if iscoroutine(value) else value
        finally:
            if os.getpid() != self._pid:  # a child that the call forked got this far
                os._exit(0)

    def _success(self, job: str, value: Any, duration: float) -> tuple[h.Message, bytes]:
        try:
            result, data = self._stored(value)
        except values.UnpicklableError as error:
            self._keep(job, value)
            return failures.refused(job, "R11", _unpicklable("result", error), duration)
        except OSError as error:
            self._keep(job, value)
            return failures.refused(job, "R05", f"There is no room for the result: {error}.")
        return h.Returned(nbytes=len(data), job=job, result=result, duration=duration), data

    def _failure(self, job: str, error: BaseException, duration: float) -> tuple[h.Message, bytes]:
        if isinstance(error, KeyboardInterrupt):
            return h.Interrupted(job=job, traceback=_traceback(error), duration=duration), b""
        if isinstance(error, payloads.DamagedError):
            return failures.refused(job, "R10", f"The call was damaged on its way: {error}.")
        if isinstance(error, values.UnpicklableError) and error.name == _ITEM:
            return failures.refused(job, "R11", _unpicklable(_ITEM, error), duration)
        return failures.failed(job, error, failures.rendered(error), self._files, duration)

    def _stored(self, value: Any, name: str = "") -> tuple[h.Result, bytes]:
        return payloads.store(self._files, values.dump(value, name))

    def _keep(self, job: str, value: Any) -> None:
        """Hold on to a value that cannot be sent, for code that runs here later."""
        self._kept[job] = value
        while len(self._kept) > _KEPT_VALUES:
            del self._kept[next(iter(self._kept))]

    # ---------------------------------------------------------------------- generators

    def _stream(self, job: str, items: Iterator[Any]) -> None:
        self._socket.sendall(h.encode(h.Streaming(job=job)))
        granted = p.ITEM_WINDOW
        sent = 0
        try:
            while True:
                while sent >= granted:
                    granted = max(granted, self._next_grant(job))
                item = guarded(self._heed, next, items, _END)
                if item is _END:
                    return
                result, data = self._stored(item, _ITEM)
                yielded = h.Yielded(nbytes=len(data), job=job, result=result)
                self._socket.sendall(h.encode(yielded, data))
                sent += 1
        finally:
            guarded(items.close)  # type: ignore[attr-defined] # both kinds have it

    def _next_grant(self, job: str) -> int:
        if not self._messages:
            # An interrupt may end the wait, but must not tear what was read already.
            guarded(self._heed, select.select, [self._socket], [], [])
        message, _ = self._receive()
        return message.upto if isinstance(message, h.MoreItems) and message.job == job else 0

    # ------------------------------------------------------------------------- plumbing

    def _receive(self) -> tuple[h.RunCall | h.MoreItems, bytes]:
        while not self._messages:
            received = self._socket.recv_into(self._buffer)
            if not received:
                raise GoneError
            self._messages.extend(self._decoder.feed(self._buffer[:received]))
        return self._messages.popleft()

    def _capture_output(self) -> None:
        hello = h.encode(h.WorkerHello(pid=self._pid))
        pipes = [os.pipe(), os.pipe()]
        socket.send_fds(self._socket, [hello], [reading for reading, _ in pipes])
        for descriptor, (reading, writing) in enumerate(pipes, start=1):
            widen(writing)
            os.dup2(writing, descriptor)
            os.close(reading)
            os.close(writing)
        sys.stdout = sys.__stdout__ = text_stream(1, "<stdout>")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = text_stream(2, "<stderr>")  # type: ignore[misc]

    def _restore(self) -> None:
        """Flush what the call printed; undo what would change the next one."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:  # noqa: BLE001, S110 - user code may have left anything in their place
            pass
        flush_c_streams()
        os.fchdir(self._home)
        sys.stdout, sys.stderr = self._streams
        sys.argv[:] = self._arguments
        if _handler(signal.SIGINT) != self._on_interrupt:
            signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, _: int, frame: FrameType | None) -> None:
        self._slot.hear()
        with suppress(BlockingIOError):
            names = os.read(self._control, 64 * _ID).decode()
            self._named.extend(names[at : at + _ID] for at in range(0, len(names), _ID))
        if self._job in self._named and in_guarded(frame):
            self._named.remove(self._job)
            # As a terminal does: what the call started is meant too. This process hears it
            # again and finds nobody named.
            os.killpg(0, signal.SIGINT)
            raise KeyboardInterrupt

    def _heed(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, unless an interrupt came before it could be raised."""
        if self._job in self._named:
            self._named.remove(self._job)
            raise KeyboardInterrupt
        return function(*args)

    def _leave(self) -> None:
        """In a forked child: let go of what only the worker may use."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._socket.close()
        os.close(self._control)


# That of `signal` tries to make a member of an enumeration of it, for longer than some calls take.
_handler: Callable[[int], Any] = import_module("_signal").getsignal

_ITEM = "item of the generator"


def _unpicklable(what: str, error: values.UnpicklableError) -> str:
    return (
        f"The {what} ({error.kind}) cannot be sent: {error.reason}."
        " The code ran; the value stays in the worker process."
    )


def _traceback(error: BaseException) -> list[str]:
    return failures.shortened(failures.rendered(error))


def _drive(items: Any) -> Iterator[Any]:
    """Iterate over an asynchronous generator."""

    async def following() -> Any:
        return await anext(items, _END)

    async def closing() -> None:
        await items.aclose()

    with asyncio.Runner() as runner:
        try:
            while (item := runner.run(following())) is not _END:
                yield item
        finally:
            runner.run(closing())


def main() -> None:
    """Run a worker; the manager gives the arguments."""
    parent, handoff, control, slot = sys.argv[1:]
    die_with(int(parent))
    sys.argv[1:] = []
    sys.argv[0] = ""
    # What user code finds as its main module is its own; so is what it can import.
    sys.modules["__main__"] = ModuleType("__main__")
    sys.path.insert(0, "")
    builtins.input = no_input
    worker = Worker(Path(handoff), int(control), Slot(int(slot)))
    try:
        worker.serve()
    except (GoneError, OSError):
        # Threads of user code must not keep a worker that nobody can use.
        os._exit(0)


if __name__ == "__main__":
    main()
