"""A session's kernel: IPython as in any notebook, its output through pipes and a channel."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import zmq

# Nobody could connect to the debugger, and it would cost a third of the start-up time.
sys.modules["debugpy"] = None  # type: ignore[assignment]
import ipykernel.debugger  # noqa: E402, F401

del sys.modules["debugpy"]

from ipykernel.iostream import IOPubThread  # noqa: E402
from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402
from ipykernel.zmqshell import ZMQInteractiveShell  # noqa: E402
from jupyter_client.session import Session  # noqa: E402
from traitlets import Type  # noqa: E402
from traitlets.config import Config  # noqa: E402

from rexec_jupyter.core import values  # noqa: E402
from rexec_jupyter.core.startup import die_with  # noqa: E402
from rexec_server import handoff as h  # noqa: E402
from rexec_server.exec import failures, payloads  # noqa: E402
from rexec_server.exec.channel import Channel, Ready  # noqa: E402
from rexec_server.exec.interrupts import recover_lost, within  # noqa: E402
from rexec_server.exec.output import no_input, text_stream  # noqa: E402
from rexec_server.exec.processes import flush_c_streams, widen  # noqa: E402
from rexec_server.exec.slot import Slot  # noqa: E402

_STREAMS = {
    "display_data": "display",
    "update_display_data": "update",
    "execute_result": "result",
    "clear_output": "clear",
}
_FIELDS = ("data", "metadata", "transient", "wait")
Answer = tuple[h.Message, bytes]


class RefusedError(Exception):
    """The cell cannot run, or its values cannot be sent; args are a code and a text."""


class Display(Session):
    """What the shell shows goes to the channel, under the job that is under way."""

    channel: Channel
    job = ""
    error: dict[str, Any] | None = None

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - the base's signature
        """Take a message that would be published."""
        kind = msg_or_type
        if not isinstance(msg_or_type, str):
            kind, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        if kind == "error":
            self.error = content
        elif kind in _STREAMS and self.job:
            shown = {name: content[name] for name in _FIELDS if name in content}
            payload = msgspec.msgpack.encode(shown, enc_hook=str)
            output = h.CellOutput(nbytes=len(payload), job=self.job, stream=_STREAMS[kind])
            self.channel.post(output, payload)


class Shell(ZMQInteractiveShell):
    """The usual shell; a `UsageError` is an error of the cell as any other."""

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:  # noqa: ARG002 - the base's signature
        """Keep no copy of what is printed: it would grow without end, and cost more than that."""
        yield

    def show_usage_error(self, exc: BaseException) -> None:
        """Do not print it: it is raised where the cell came from."""
        self._showtraceback(type(exc), exc, [f"UsageError: {exc}"])


# Libraries recognise a notebook by the name of the shell's class.
Shell.__name__ = Shell.__qualname__ = ZMQInteractiveShell.__name__


class Kernel(IPythonKernel):
    """Runs cells that come with their names, and answers on the channel."""

    shell_class = Type(Shell)
    shell: Any
    channel: Channel
    slot: Slot
    files: Path

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._cancelled = False
        self._display = Display()
        self._display.channel = self.channel
        self.shell.displayhook.session = self.shell.display_pub.session = self._display
        signal.signal(signal.SIGINT, self._on_interrupt)
        recover_lost(lambda: self._display.job, lambda _: None)

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:  # noqa: ARG002 - the base's signature
        """Run a cell; its buffers are a `handoff.RunCell` and that message's payload."""
        header, payload = map(bytes, parent["buffers"])
        cell = msgspec.msgpack.decode(header, type=h.RunCell)
        started = time.perf_counter()
        self._cancelled = False
        self._display.job = cell.job
        self._display.error = self.shell._last_traceback = None  # noqa: SLF001 - it has no other name
        try:
            await self._user_code(cell, payload)
        except KeyboardInterrupt:
            error: BaseException | None = KeyboardInterrupt()
        except (Exception, asyncio.CancelledError) as refusal:  # noqa: BLE001 - must be answered
            error = refusal
        else:
            error = self._error()
        duration = time.perf_counter() - started
        try:
            answer, data = self._answer(cell, error, duration)
        except Exception as trouble:  # noqa: BLE001 - user code can break the shell itself
            text = f"The cell ran, but its end cannot be told: {trouble!r}."
            answer, data = failures.refused(cell.job, "R11", text, duration)
        self._flush()
        self._display.job = ""
        self.channel.post(answer, data)

    async def _user_code(self, cell: h.RunCell, payload: bytes) -> None:
        """Run a cell. This method's frame marks what is interruptible."""
        self.channel.post(h.CellStarted(job=cell.job, incarnation=0), wait=False)
        try:
            parts = payloads.read(self.files, cell.where, cell.digest, payload)
            brought = values.load_cell(parts)
        except (payloads.DamagedError, msgspec.MsgspecError, ValueError) as error:
            raise RefusedError("R10", f"The cell was damaged on its way: {error}.") from error
        names = {}
        for name, load in brought.names.items():
            try:
                names[name] = load()
            except Exception as error:
                text = (
                    f"The name {name!r} cannot be loaded in the session:"
                    f" {type(error).__name__}: {error}. Nothing was executed."
                )
                raise RefusedError("R10", text) from error
        self.shell.push(names)
        await self.do_execute(brought.source, silent=False)

    def _error(self) -> BaseException | None:
        result = self.shell.last_execution_result
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        return error

    def _answer(self, cell: h.RunCell, error: BaseException | None, duration: float) -> Answer:
        lines = _lines(self.shell._last_traceback or ())  # noqa: SLF001 - it has no other name
        shown = self._display.error
        cancelled = self._cancelled and isinstance(error, asyncio.CancelledError)
        # While IPython winds a cell up it shows the exception and keeps no trace of it.
        late = error is None and shown is not None and shown["ename"] == "KeyboardInterrupt"
        if cancelled or late or isinstance(error, KeyboardInterrupt):
            lines = failures.shortened(lines)
            return h.Interrupted(job=cell.job, traceback=lines, duration=duration), b""
        if error is None and shown is not None:
            # The code went well; showing the value of its last expression did not.
            name, text = shown["ename"], shown["evalue"]
            return failures.unsent(cell.job, name, text, lines, duration), b""
        try:
            if error is None:
                return self._success(cell, duration)
        except RefusedError as refusal:
            error = refusal
        if isinstance(error, RefusedError):
            code, text = error.args
            return failures.refused(cell.job, code, text, duration)
        assert error is not None  # noqa: S101 - for mypy
        return failures.failed(cell.job, error, lines, self.files, duration)

    def _success(self, cell: h.RunCell, duration: float) -> Answer:
        namespace = self.shell.user_ns
        missing = [name for name in cell.outputs if name not in namespace]
        if missing:
            listed = ", ".join(map(repr, missing))
            raise RefusedError("R11", f"The cell ran, but there is no {listed} to bring back.")
        value = self.shell.last_execution_result.result if cell.value else None
        outputs = {name: namespace[name] for name in cell.outputs}
        try:
            parts = values.dump_cell_result(outputs, value, has_value=value is not None)
            result, data = payloads.store(self.files, parts)
        except values.UnpicklableError as error:
            text = (
                f"{error.name!r} ({error.kind}) cannot be brought back: {error.reason}."
                " The cell ran; the value stays in the session."
            )
            raise RefusedError("R11", text) from error
        except OSError as error:
            raise RefusedError(
                "R05", f"There is no room for the cell's values: {error}."
            ) from error
        message = h.Returned(nbytes=len(data), job=cell.job, result=result, duration=duration)
        return message, data

    def _flush(self) -> None:
        with suppress(Exception):  # user code may have left anything in their place
            sys.stdout.flush()
            sys.stderr.flush()
        flush_c_streams()

    # ----------------------------------------------------------------------- interrupts

    def pre_handler_hook(self) -> None:
        """Leave the signal alone: ours tells what may be interrupted."""

    post_handler_hook = pre_handler_hook

    def _on_interrupt(self, _: int, frame: FrameType | None) -> None:
        self.slot.hear()
        if within(frame, _USER_CODE) and not self.channel.defers(frame):
            raise KeyboardInterrupt

    @contextmanager
    def _cancel_on_sigint(self, future: asyncio.Future[Any]) -> Iterator[None]:
        """Interrupt a cell that awaits: at its `await`, else as any other cell."""
        loop = asyncio.get_running_loop()

        def on_interrupt(_: int, frame: FrameType | None) -> None:
            self.slot.hear()
            if within(frame, _RUN_CODE):
                if not self.channel.defers(frame):
                    raise KeyboardInterrupt
            else:
                self._cancelled = True
                loop.call_soon_threadsafe(future.cancel)

        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._on_interrupt)

    # ---------------------------------------------------------------------------- input

    def raw_input(self, prompt: object = "") -> str:
        """Refuse: nobody is there to answer."""
        return no_input(prompt)

    def getpass(self, prompt: str = "", stream: object = None, **_: object) -> str:
        """Refuse: nobody is there to answer."""
        return no_input(prompt, stream)


_USER_CODE = Kernel._user_code.__code__  # noqa: SLF001 - ours
_RUN_CODE = ZMQInteractiveShell.run_code.__code__


class Application(IPKernelApp):
    """An ipykernel that leaves standard output to us and logs nothing."""

    kernel_class = Type(Kernel)

    def init_iopub(self, context: Any) -> None:
        """Do without the TCP port at which a plain ipykernel hears forked children."""
        self.iopub_socket = context.socket(zmq.XPUB)
        self.iopub_socket.linger = 0
        self.iopub_port = self._bind_socket(self.iopub_socket, self.iopub_port)
        self.configure_tornado_logger()
        self.iopub_thread = IOPubThread(self.iopub_socket, pipe=False, session=self.session)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def init_io(self) -> None:
        """Let the streams be plain pipes."""
        channel = Kernel.channel
        sys.stdout = sys.__stdout__ = text_stream(1, "<stdout>", channel.before_write)  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = text_stream(2, "<stderr>", channel.before_write)  # type: ignore[misc]
        super().init_io()


def _lines(entries: Sequence[str]) -> list[str]:
    return "\n".join(entries).splitlines()


def main() -> None:
    """Run a kernel; the manager gives the arguments, the last of them are ipykernel's."""
    parent, channel, slot, files, *arguments = sys.argv[1:]
    die_with(int(parent))
    os.set_inheritable(int(channel), False)  # noqa: FBT003 - the only way to say it
    for pipe in (1, 2):
        widen(pipe)
    Kernel.channel = Channel(int(channel))
    Kernel.slot = Slot(int(slot))
    Kernel.files = Path(files)
    sys.argv[1:] = []
    config = Config()
    config.Application.log_level = 50
    config.IPKernelApp.outstream_class = None
    config.HistoryManager.enabled = False
    application = Application.instance(config=config)
    application.initialize(arguments)
    Kernel.channel.post(Ready(), wait=False)
    application.start()


if __name__ == "__main__":
    main()
