"""A session's kernel as the manager sees it: a process, two pipes, a channel and Jupyter."""

from __future__ import annotations

import array
import asyncio
import codecs
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.exec.channel import FromKernel, Ready
from rexec_server.exec.processes import Ending, Guard, kill_group, on_end, python
from rexec_server.exec.reports import Text
from rexec_server.exec.slot import Slot, new_memory

_TEXTS: tuple[Text, Text] = ("stdout", "stderr")
_PAUSE = 0.01
"""Seconds in which text is gathered before more is passed on."""


class Listener(Protocol):
    """What a kernel tells its session."""

    def ready(self) -> None:
        """Accept requests from now on."""

    def said(self, message: h.Message, payload: bytes) -> None:
        """Pass on a message about the cell; all text before it was written first."""

    def wrote(self, stream: Text, text: bytes) -> None:
        """Pass on text, in whole characters."""

    def ended(self, ending: Ending) -> None:
        """Do without it: the process is gone, and all it said was passed on."""


class _Specs(KernelSpecManager):
    """Knows one kernel: ours."""

    arguments: Sequence[str] = ()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = python("rexec_server.exec.kernel", *self.arguments, "-f", "{connection_file}")
        return KernelSpec(argv=command, display_name=kernel_name, language="python")


class _Pipe:
    """One of the kernel's pipes."""

    def __init__(self, name: Text, pipe: int) -> None:
        self.name = name
        self.pipe = pipe
        os.set_blocking(pipe, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> tuple[int, bytes]:
        """Return how much was read (0 at the end), and the text of it that is complete."""
        try:
            data = os.read(self.pipe, p.INLINE)
        except BlockingIOError:
            return -1, b""
        return len(data), self._decoder.decode(data).encode()

    def pending(self) -> int:
        """Return how many bytes are in the pipe."""
        count = array.array("i", [0])
        fcntl.ioctl(self.pipe, termios.FIONREAD, count)
        return count[0]

    def rest(self) -> bytes:
        """Return what was read of a character that never became complete."""
        return self._decoder.decode(b"", final=True).encode()


class Kernel:
    """One kernel process.

    Parameters
    ----------
    files
        The directory for large values.
    place
        Private directory for its sockets and settings.
    directory
        Its working directory.
    listener
        The session that it serves.
    """

    def __init__(
        self, files: Path, place: Path, directory: Path, guard: Guard, listener: Listener
    ) -> None:
        self.pid = 0
        self.slot: Slot
        self._files = files
        self._directory = directory
        self._guard = guard
        self._listener = listener
        self._settings = place / "settings"
        self._place = place / secrets.token_hex(4)
        self._loop = asyncio.get_running_loop()
        self._decoder: h.Decoder[h.Message] = h.Decoder(FromKernel)
        self._channel: socket.socket
        self._texts: list[_Pipe] = []
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._reading = False
        self._requests: Any = None
        self._specs = _Specs()
        self._manager = AsyncKernelManager(
            transport="ipc",
            connection_file=str(self._place / "connection.json"),
            ip=str(self._place / "socket"),
            kernel_spec_manager=self._specs,
            context=zmq.asyncio.Context.instance(),
        )

    async def start(self) -> None:
        """Start the process; the listener is told when it is ready.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        self._place.mkdir(mode=0o700, parents=True)
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)  # noqa: FBT003 - the only way to say it
        pipes = [os.pipe(), os.pipe()]
        self._texts = [
            _Pipe(name, reading) for name, (reading, _) in zip(_TEXTS, pipes, strict=True)
        ]
        shared = new_memory()
        inherited = (theirs.fileno(), shared)
        self._specs.arguments = (str(os.getpid()), *map(str, inherited), str(self._files))
        try:
            await self._manager.start_kernel(
                independent=True,
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                pass_fds=inherited,
                cwd=str(self._directory),
                env={**os.environ, "IPYTHONDIR": str(self._settings)},
            )
        finally:
            self.slot = Slot(shared)
            theirs.close()
            for _, writing in pipes:
                os.close(writing)
        provisioner: Any = self._manager.provisioner
        process: subprocess.Popen[bytes] = provisioner.process
        self.pid = process.pid
        self.resume()
        on_end(process, self._guard, self._ended)

    def run(self, cell: h.RunCell, payload: bytes, incarnation: int) -> None:
        """Have a cell run. The kernel must be ready, and must have answered the last one."""
        if self._requests is None:  # it has ended, which the session hears next
            return
        content = {"code": "", "silent": False, "store_history": True, "allow_stdin": False}
        buffers = [msgspec.msgpack.encode(cell), payload]
        session = self._manager.session
        # Output widgets name the message whose output they show: it must mean something there.
        header = {**session.msg_header("execute_request"), "msg_id": cell.job}
        session.send(
            self._requests,
            "execute_request",
            content,
            header=header,
            buffers=buffers,
            metadata={"incarnation": incarnation},
        )

    async def interrupt(self, *, wanted: Callable[[], bool]) -> None:
        """Send SIGINT to the kernel and what it started, and see to it that it is heard."""
        heard = self.slot.heard
        await self._manager.interrupt_kernel()
        await self.slot.insist(
            heard,
            lambda: os.kill(self.pid, signal.SIGINT),
            wanted=lambda: bool(self.pid) and wanted(),
        )

    def kill(self) -> None:
        """Kill the kernel and what it started."""
        kill_group(self.pid)

    def pause(self) -> None:
        """Read nothing more: the kernel waits as soon as its pipes are full."""
        if not self._reading:
            return
        self._reading = False
        self._loop.remove_reader(self._channel)
        for text in self._texts:
            self._loop.remove_reader(text.pipe)
        for rest in self._resting.values():
            rest.cancel()
        self._resting.clear()

    def resume(self) -> None:
        """Read again."""
        if self._reading or not self._texts:
            return
        self._reading = True
        self._loop.add_reader(self._channel, self._hear)
        for text in self._texts:
            self._loop.add_reader(text.pipe, self._read, text)

    # -------------------------------------------------------------------------- reading

    def _hear(self) -> bool:
        """Read messages; return whether there may be more."""
        try:
            data = self._channel.recv(256 * 1024)
        except (BlockingIOError, ConnectionError):
            return False
        if not data:
            self._loop.remove_reader(self._channel)
            return False
        for message, payload in self._decoder.feed(data):
            self._drain()
            if isinstance(message, Ready):
                self._requests = self._manager.connect_shell()
                self._listener.ready()
            elif hasattr(message, "job"):
                self._listener.said(message, payload)
            with suppress(OSError):  # it may have ended by now
                self._channel.send(b"\0")
        return True

    def _read(self, text: _Pipe) -> None:
        count, complete = text.read()
        if complete:
            self._listener.wrote(text.name, complete)
        if 0 <= count < p.INLINE and self._reading:
            # Let some text gather: a message for each line would keep everybody busy.
            self._loop.remove_reader(text.pipe)
            if count:
                self._resting[text.pipe] = self._loop.call_later(_PAUSE, self._rested, text)

    def _rested(self, text: _Pipe) -> None:
        del self._resting[text.pipe]
        self._loop.add_reader(text.pipe, self._read, text)

    def _drain(self) -> None:
        """Read what is in the pipes now, and not what a background process adds meanwhile."""
        for text in self._texts:
            left = text.pending()
            while left > 0:
                count, complete = text.read()
                if count <= 0:
                    break
                left -= count
                if complete:
                    self._listener.wrote(text.name, complete)
            if rest := text.rest():
                self._listener.wrote(text.name, rest)

    # ---------------------------------------------------------------------------- ending

    def _ended(self, ending: Ending) -> None:
        self.pid = 0
        while self._hear():
            pass
        self._drain()
        self.pause()
        self._texts, texts = [], self._texts
        for text in texts:
            os.close(text.pipe)
        self._channel.close()
        if self._requests is not None:
            self._requests.close(linger=0)
            self._requests = None
        self._finishing = self._loop.create_task(self._finish(ending))

    async def _finish(self, ending: Ending) -> None:
        await self._manager.cleanup_resources()
        shutil.rmtree(self._place, ignore_errors=True)
        self._listener.ended(ending)
