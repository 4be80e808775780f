"""How errors look in the notebook: the user's frames, never ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import IPython

import rexec_jupyter
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.magics.frames import ANSI

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

E = TypeVar("E", bound=BaseException)

_RED, _PLAIN = "\x1b[31m", "\x1b[39m"
_OURS = f"{Path(rexec_jupyter.__file__).parent}/"
_IPYTHON = f"{Path(IPython.__file__).parent}/"


def remote(error: E, shell: InteractiveShell, frames: Sequence[str] = (), note: str = "") -> E:
    """Make an exception of remote code show the remote frames alone.

    Parameters
    ----------
    frames
        The remote traceback.
    note
        One line to show above it.
    """
    if not frames and "_render_traceback_" in vars(error):
        return error  # it got them already
    lines = [note] if note else []
    lines += frames
    if isinstance(error, RexecError) or not frames:
        lines += _headline(error)
    return with_lines(error, lines, shell)


def brief(error: E, shell: InteractiveShell) -> E:
    """Make an exception show as its type and message alone."""
    return with_lines(error, _headline(error), shell)


def syntax(error: SyntaxError, shell: InteractiveShell) -> SyntaxError:
    """Make a syntax error show the line of the cell, as IPython does it."""
    lines = shell.SyntaxTB.structured_traceback(type(error), error, None)
    return with_lines(error, lines, shell)


class Shown:
    """Makes IPython show our lines for every error, and the debugger the user's frames alone.

    By itself it shows its own for syntax errors and for groups of exceptions.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = cast("Any", shell)
        self._original: Callable[..., None] = self._shell.showtraceback
        self._shell.showtraceback = self._show

    def close(self) -> None:
        """Leave IPython as it was."""
        del self._shell.showtraceback

    def _show(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        shell = self._shell
        try:
            kind, error, trace = shell._get_exc_info(exc_tuple)  # noqa: SLF001 - it has no other name
        except ValueError:  # there is none
            self._original(exc_tuple, *args, **kwargs)
            return
        if "_render_traceback_" not in getattr(error, "__dict__", {}):
            self._original(exc_tuple, *args, **kwargs)
            return
        _cut(trace)
        shell._showtraceback(kind, error, lines(error))  # noqa: SLF001 - kernels override it
        if shell.call_pdb:
            shell.debugger(force=True)


def _cut(trace: TracebackType | None) -> None:
    """Drop our own frames, and IPython's that led to them, from the end of a traceback."""
    last = trace
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(_OURS):
            break
        if not path.startswith(_IPYTHON):
            last = trace
        trace = trace.tb_next
    if last is not None and trace is not None:
        last.tb_next = None


def with_lines(error: E, lines: list[str], shell: InteractiveShell) -> E:
    """Make IPython show `lines` when it shows `error`."""
    if str(shell.colors).lower() == "nocolor":
        lines = [ANSI.sub("", line) for line in lines]
    # IPython looks for it on the instance; the type stays the original one.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    return error


def lines(error: BaseException) -> list[str]:
    """Return what IPython would show for an error of this module."""
    render = getattr(error, "_render_traceback_", lambda: _headline(error))
    return list(render())


def _headline(error: BaseException) -> list[str]:
    text = str(error)
    return [f"{_RED}{type(error).__name__}{_PLAIN}" + (f": {text}" if text else "")]
