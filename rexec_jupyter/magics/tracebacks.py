"""How errors look in the notebook: the user's frames, never ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.magics.frames import ANSI

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

E = TypeVar("E", bound=BaseException)

_RED, _PLAIN = "\x1b[31m", "\x1b[39m"


def remote(error: E, shell: InteractiveShell, frames: Sequence[str] = (), note: str = "") -> E:
    """Make an exception of remote code show the remote frames alone.

    Parameters
    ----------
    frames
        The remote traceback.
    note
        One line to show above it.
    """
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


class SyntaxErrors:
    """Makes IPython show our lines for syntax errors too, which it treats apart.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shown = cast("Any", shell.SyntaxTB)
        self._original: Callable[..., list[str]] = self._shown.structured_traceback
        self._shown.structured_traceback = self._lines

    def close(self) -> None:
        """Leave IPython as it was."""
        del self._shown.structured_traceback

    def _lines(self, kind: object, error: BaseException, *args: Any, **kwargs: Any) -> list[str]:
        render = getattr(error, "_render_traceback_", None)
        return list(render()) if render else self._original(kind, error, *args, **kwargs)


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
