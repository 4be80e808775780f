"""Shows on this terminal what a job shows, and passes Ctrl-C on to it."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

from rexec_jupyter.core.happenings import Display, Happening, StateChange, TextOutput

WAIT = 0.1
"""Seconds between two looks at what was pressed."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
Show = Callable[[Sequence[Happening]], None]


class Screen:
    """Writes what happens to stdout and stderr, each to its own.

    Parameters
    ----------
    quiet
        Say nothing of our own.
    results
        Show the value of a cell's last expression too.
    """

    def __init__(self, *, quiet: bool = False, results: bool = True) -> None:
        self._quiet = quiet
        self._results = results

    def show(self, happenings: Sequence[Happening]) -> None:
        """Write a batch in order."""
        for happening in happenings:
            match happening:
                case TextOutput(stream="stdout"):
                    _write(sys.stdout, happening.text)
                case TextOutput(stream="stderr"):
                    _write(sys.stderr, happening.text)
                case TextOutput():
                    self._say(happening.text.rstrip("\n"))
                case Display(kind="display") | Display(kind="result"):
                    if happening.kind == "display" or self._results:
                        self._display(happening)
                case StateChange("reconnecting", detail):
                    self._say(f"rexec: the connection is lost ({detail}), trying again …")
                case StateChange("queued", detail) if detail:
                    self._say(f"rexec: waiting, {detail}")
                case _:
                    pass
        if happenings:
            sys.stdout.flush()
            sys.stderr.flush()

    def _display(self, display: Display) -> None:
        if text := display.data.get("text/plain"):
            _write(sys.stdout, f"{text}\n")

    def _say(self, text: str) -> None:
        if not self._quiet:
            _write(sys.stderr, f"{text}\n")


def _write(stream: TextIO, text: str) -> None:
    if not stream.isatty():
        text = _COLOURS.sub("", text) if "\x1b" in text else text
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal that knows few characters
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def print_lines(lines: Sequence[str]) -> None:
    """Write a traceback to stderr."""
    if lines:
        _write(sys.stderr, "\n".join(lines) + "\n")
        sys.stderr.flush()


class Presses:
    """Counts Ctrl-C instead of tearing apart what is being written."""

    def __init__(self) -> None:
        self.count = 0
        self._former: Any = None

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._former)

    def _pressed(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


def follow(
    take: Callable[[float], Sequence[Happening] | None],
    show: Show,
    interrupt: Callable[[], None],
) -> bool:
    """Show what happens until the end; the first Ctrl-C interrupts, the second one leaves.

    Parameters
    ----------
    take
        Waits so many seconds for something to happen; None once it has ended.

    Returns
    -------
    bool
        Whether it was followed to its end.
    """
    with Presses() as presses:
        asked = False
        while (happenings := take(WAIT)) is not None:
            show(happenings)
            if presses.count > 1:
                return False
            if presses.count and not asked:
                asked = True
                interrupt()
                if sys.stderr.isatty():
                    _write(sys.stderr, "\nrexec: stopping it; Ctrl-C again stops waiting\n")
    return True
