"""A session's kernel: IPython as in any notebook, its output through pipes and a channel."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
from traitlets import Type  # noqa: E402
from traitlets.config import Config  # noqa: E402

from rexec_jupyter.core import refs, values  # noqa: E402
from rexec_jupyter.core.startup import die_with  # noqa: E402
from rexec_server import handoff as h  # noqa: E402
from rexec_server.exec import comms, failures, payloads  # noqa: E402
from rexec_server.exec.answers import Ran, RefusedError, answer, exit_code  # noqa: E402
from rexec_server.exec.channel import Channel, Ready  # noqa: E402
from rexec_server.exec.interrupts import recover_lost, within  # noqa: E402
from rexec_server.exec.names import Listing  # noqa: E402
from rexec_server.exec.origins import Origins  # noqa: E402
from rexec_server.exec.output import no_input, text_stream  # noqa: E402
from rexec_server.exec.processes import flush_c_streams, widen  # noqa: E402
from rexec_server.exec.shell import RUN_CODE, Display, Shell, prepare  # noqa: E402
from rexec_server.exec.slot import Slot  # noqa: E402

_PAYLOADS = ("page", "set_next_input")


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
        self._names = Listing()
        self._origins = Origins()
        self._kept: dict[str, bool] = {}
        self._environment: dict[str, str | None] = {}
        self._display = Display()
        self._display.channel = self.channel
        self.shell.displayhook.session = self.shell.display_pub.session = self._display
        comms.install(self._display.show)
        prepare(self.shell)
        signal.signal(signal.SIGINT, self._on_interrupt)
        recover_lost(lambda: self._display.job, lambda _: None)

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:  # noqa: ARG002 - the base's signature
        """Run a cell; its buffers are a `handoff.RunCell` and that message's payload."""
        header, payload = map(bytes, parent["buffers"])
        cell = msgspec.msgpack.decode(header, type=h.RunCell)
        started = time.perf_counter()
        self._cancelled = False
        self._kept = {}
        self._display.job = cell.job
        self._display.error = self.shell._last_traceback = None  # noqa: SLF001 - it has no other name
        try:
            if not cell.fresh:
                incarnation = parent["metadata"]["incarnation"]
                refs.serve(cell.session, incarnation, self.shell.user_ns)
            ran = await self._user_code(cell, payload)
        except KeyboardInterrupt:
            ran = Ran(KeyboardInterrupt())
        except BaseException as error:  # noqa: BLE001 - must be answered
            ran = Ran(error, failures.rendered(error))
        ran.duration = time.perf_counter() - started
        try:
            self._restore()
            self._wind_up(cell, ran)
            message, data = answer(cell, ran, self.shell.user_ns, self.files)
        except Exception as trouble:  # noqa: BLE001 - user code can break the shell itself
            text = f"The cell ran, but its end cannot be told: {trouble!r}."
            message, data = failures.refused(cell.job, "R11", text, ran.duration)
        self._flush()
        self._display.job = ""
        self.channel.post(message, data)

    async def _user_code(self, cell: h.RunCell, payload: bytes) -> Ran:
        """Run a cell. This method's frame marks what is interruptible."""
        self.channel.post(h.CellStarted(job=cell.job, incarnation=0), wait=False)
        self._display.release()
        try:
            parts = payloads.read(self.files, cell.where, cell.digest, payload)
            brought = values.load_cell(parts)
        except (payloads.DamagedError, msgspec.MsgspecError, ValueError) as error:
            raise RefusedError("R10", f"The cell was damaged on its way: {error}.") from error
        shell = self.shell
        names = {}
        self._kept = self._origins.kept(brought.keep, shell.user_ns, shell.user_ns_hidden)
        if brought.strict and (differing := [name for name in self._kept if self._kept[name]]):
            raise RefusedError("R10", _conflicting(differing))
        for name, load in brought.names.items():
            if name in self._kept:
                continue
            try:
                names[name] = load()
            except Exception as error:
                text = (
                    f"The name {name!r} cannot be loaded in the session:"
                    f" {type(error).__name__}: {error}. Nothing was executed."
                )
                raise RefusedError("R10", text) from error
        for variable, setting in brought.env.items():
            self._environment.setdefault(variable, os.environ.get(variable))
            try:
                os.environ[variable] = setting
            except ValueError as error:
                text = f"The environment variable {variable!r} cannot be set: {error}."
                raise RefusedError("R10", text) from error
        if cell.hidden:
            return self._run_hidden(brought.source, names)
        shell.push(names)
        self._origins.pushed(names)
        names.clear()  # the cell may let go of them
        before = shell.last_execution_result
        try:
            reply = await self.do_execute(brought.source, silent=False)
        finally:
            self._origins.ran(brought.source, shell.user_ns, shell.transform_cell)
        for entry in reply["payload"]:
            if entry.get("source") in _PAYLOADS:
                self._display.show("payload", msgspec.msgpack.encode(entry, enc_hook=str))
        return self._ran(before, reply)

    def _run_hidden(self, source: str, names: dict[str, Any]) -> Ran:
        """Run plain Python that leaves no trace in the session but what it does on purpose."""
        namespace = {**names, "__name__": "__rexec__", "shell": self.shell}
        code = compile(source, "<rexec>", "exec")
        self._forward_input()
        try:
            with self.shell.builtin_trap:
                exec(code, namespace)  # noqa: S102 - running code is what this is for
        finally:
            self._restore_input()
        return Ran(None, self._traceback, self._display.error, value=namespace.get("result"))

    @property
    def _traceback(self) -> list[str]:
        """What the shell showed of the last error."""
        return _lines(self.shell._last_traceback or ())  # noqa: SLF001 - it has no other name

    def _ran(self, before: object, reply: Mapping[str, Any]) -> Ran:
        """Return how the last cell ended, as the shell tells it; `before` it told of another."""
        result = self.shell.last_execution_result
        if result is before:
            # What comes while IPython still prepares the cell, as an interrupt may, is told here.
            return Ran(None, self._traceback, reply if reply["status"] == "error" else None)
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        value = None if error is not None else result.result
        ref = f"_{result.execution_count}"
        kept = value is not None and self.shell.user_ns.get(ref) is value
        return Ran(
            error,
            self._traceback,
            self._display.error,
            self._cancelled and isinstance(error, asyncio.CancelledError),
            value,
            ref if kept else "",
        )

    def _restore(self) -> None:
        """Put the environment back as it was before the cell."""
        while self._environment:
            variable, before = self._environment.popitem()
            if before is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = before

    def _wind_up(self, cell: h.RunCell, ran: Ran) -> None:
        """Show what is known only at the end."""
        self.shell.payload_manager.clear_payload()
        if isinstance(ran.error, SystemExit):
            code, text = exit_code(ran.error)
            if text:
                with suppress(Exception):  # user code may have left anything in its place
                    sys.stderr.write(f"{text}\n")
            self._display.show("note", f"exit code {code}\n".encode())
        if cell.fresh:  # nothing of it stays
            ran.ref = ""
            return
        if cell.hidden and not cell.known:
            return
        try:
            namespace, hidden = self.shell.user_ns, self.shell.user_ns_hidden
            sent = self._origins.sent(namespace)
            changed = self._names.update(namespace, hidden, cell.known, sent=sent, kept=self._kept)
            content = msgspec.msgpack.encode(changed) if changed is not None else b""
        except Exception:  # noqa: BLE001 - a listing is never worth a cell
            self._names = Listing()
        else:
            if content:
                self._display.show("names", content, wait=False)

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
            if within(frame, RUN_CODE):
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


def _conflicting(names: Sequence[str]) -> str:
    return (
        f"The session has a value of its own for {', '.join(names)}, and the one that came is"
        " another. As capture is strict, nothing was run. Say which one is meant: send it"
        " explicitly (-i), or leave it out (-x)."
    )


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
    sys.path.insert(0, "")  # as in any notebook: what lies in the working directory is found
    Kernel.channel.post(Ready(), wait=False)
    application.start()


if __name__ == "__main__":
    main()
