"""The shell of a session's kernel, and where all that it shows goes."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import IPython
import msgspec
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.displayhook import DisplayHook
from IPython.core.magic import no_var_expand
from jupyter_client.session import Session
from traitlets import default

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import NestedMagicError
from rexec_server import handoff as h
from rexec_server.exec import scripts
from rexec_server.exec.channel import Channel
from rexec_server.exec.failures import grouped, has_group

_STREAMS: dict[str, p.Stream] = {
    "display_data": "display",
    "update_display_data": "update",
    "execute_result": "result",
    "clear_output": "clear",
}
_FIELDS = ("data", "metadata", "transient", "wait")
_HELD = 1000
"""Outputs kept that came while no cell ran."""
_IPYTHON = f"{Path(IPython.__file__).parent}/"
RUN_CODE = ZMQInteractiveShell.run_code.__code__
_DISPLAYHOOK = DisplayHook.__call__.__code__


class Display(Session):
    """What the shell shows goes to the channel, under the job that is under way."""

    channel: Channel
    job = ""
    error: dict[str, Any] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._held: deque[tuple[p.Stream, bytes]] = deque(maxlen=_HELD)

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *_: Any, **__: Any) -> Any:  # noqa: ARG002 - the base's signature
        """Take a message that would be published."""
        kind = msg_or_type
        if not isinstance(msg_or_type, str):
            kind, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        if kind == "error":
            self.error = content
        elif kind in _STREAMS:
            shown = {name: content[name] for name in _FIELDS if name in content}
            self.show(_STREAMS[kind], msgspec.msgpack.encode(shown, enc_hook=str))

    def show(self, stream: p.Stream, content: bytes, *, wait: bool = True) -> None:
        """Pass an output on; what comes while no cell runs is shown by the next."""
        if not self.job:
            if stream != "clear":
                self._held.append((stream, content))
            return
        if len(content) > p.OUTPUT:
            text = f"An output of {len(content) / 1e6:,.0f} MB is too large to be shown.\n"
            stream, content = "note", text.encode()
        output = h.CellOutput(nbytes=len(content), job=self.job, stream=stream)
        self.channel.post(output, content, wait=wait)

    def release(self) -> None:
        """Show what came while no cell ran."""
        while self._held:
            self.show(*self._held.popleft())


class _Exit(ZMQExitAutocall):
    """``exit`` and ``quit``: they end the cell, not the session."""

    def __call__(self, code: object = None) -> None:
        raise SystemExit(code)


class Shell(ZMQInteractiveShell):
    """The usual shell; a `UsageError` is an error of the cell as any other."""

    @default("exiter")
    def _default_exiter(self) -> _Exit:
        return _Exit(self)

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:  # noqa: ARG002 - the base's signature
        """Keep no copy of what is printed: it would grow without end, and cost more than that."""
        yield

    def ask_exit(self) -> None:
        """End the cell."""
        raise SystemExit

    def show_usage_error(self, exc: BaseException) -> None:
        """Do not print it: it is raised where the cell came from."""
        self._showtraceback(type(exc), exc, [f"UsageError: {exc}"])

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """Show groups of exceptions as any other; IPython leaves them to Python."""
        kind, error, _ = exc_tuple or sys.exc_info()
        if kind and error and (lines := scripts.lines_of(error)):
            self._showtraceback(kind, error, lines)
            return
        if not kind or not error or isinstance(error, SyntaxError) or not has_group(error):
            super().showtraceback(exc_tuple, *args, **kwargs)
            return
        lines = grouped(error, _IPYTHON, self.compile.format_code_name)
        self._showtraceback(kind, error, lines)

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        if _of_user(sys._getframe(1)):  # noqa: SLF001 - inspect's way takes much longer
            # Shown by code that goes on, such as that of an Output widget.
            sys.stdout.flush()
            sys.stderr.write("\n".join(stb) + "\n")
        elif not issubclass(etype, SystemExit):
            super()._showtraceback(etype, evalue, stb)


# Libraries recognise a notebook by the name of the shell's class.
Shell.__name__ = Shell.__qualname__ = ZMQInteractiveShell.__name__


def _of_user(frame: FrameType | None) -> bool:
    """Tell whether a traceback is shown by the cell's code, and not because that ended."""
    below = None
    while frame is not None:
        if frame.f_code is _DISPLAYHOOK:
            return False
        if frame.f_code is RUN_CODE:
            return below is not None and below.f_code.co_name not in ("showtraceback", "CustomTB")
        below, frame = frame, frame.f_back
    return False


def prepare(shell: Shell) -> None:
    """Let the shell know that it runs what a notebook sent."""
    for name in ("rexec", "rx"):
        register: Any = shell.register_magic_function
        register(_nested, "line_cell", name)
    scripts.register(shell)
    # IPython says this to everyone who raises SystemExit; here the session goes on.
    warnings.filterwarnings("ignore", "To exit: use 'exit'")


@no_var_expand
def _nested(line: str, cell: str | None = None) -> None:  # noqa: ARG001 - as IPython calls it
    """Refuse: this code runs remotely already."""
    raise NestedMagicError(
        "This code runs remotely already, where rexec is not available.",
        hint="Remove the magic: all of the cell runs in the session.",
    )
