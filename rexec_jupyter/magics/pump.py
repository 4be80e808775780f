"""Brings what a remote cell shows into the notebook, and the stop button to the remote cell."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from IPython.display import clear_output

from rexec_jupyter.core.happenings import (
    ClearOutput,
    Display,
    Happening,
    StateChange,
    TextOutput,
)
from rexec_jupyter.widget.status import Phase, StatusLine

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.job import Job

WAIT = 0.1
"""Seconds between two looks at the stop button."""
GRACE = 5.0
"""Seconds that remote code has to react to it."""
# A cell that has ended by then needs no room for a status line.
_PATIENCE = 0.15
# Each flush is a message to the frontend, and Jupyter drops them above 1000 a second.
_FLUSH_PAUSE = 0.05

_PHASES: dict[str, Phase] = {
    "queued": "waiting",
    "running": "running",
    "reconnecting": "reconnecting",
}


class DetachedError(Exception):
    """The user stopped waiting for a job that goes on."""


class Screen:
    """Shows what happens to a job in the cell whose thread calls it.

    Parameters
    ----------
    shell
        The notebook's shell.
    status
        The cell's status line.
    session
        Name of the session; display ids of different sessions are kept apart.
    """

    def __init__(self, shell: InteractiveShell, status: StatusLine, session: str) -> None:
        self._shell = shell
        self._status = status
        self._session = session
        self.result: Display | None = None
        """What stands for the value of the cell's last expression."""
        self.started = False
        """Whether the code began to run."""
        self._held: list[Happening] = []
        self._unflushed = False
        self._next_flush = 0.0

    def show(self, happenings: Sequence[Happening]) -> None:
        """Show a batch in order; an empty one sends what was held back."""
        self._held += happenings
        if self._status.elapsed < _PATIENCE:
            return
        self._show_held()
        if self._unflushed and time.monotonic() >= self._next_flush:
            self.flush()

    def finish(self) -> None:
        """Show the rest, at once."""
        self._show_held(quick=self._status.elapsed < _PATIENCE)
        self.flush()

    def _show_held(self, *, quick: bool = False) -> None:
        held, self._held = self._held, []
        for happening in held:
            match happening:
                case StateChange():
                    self._state(happening)
                case Display(kind="result"):
                    self.result = happening
                case ClearOutput(wait):
                    clear_output(wait=wait)
                    self._status.cleared()
                case TextOutput() | Display():
                    if not quick:
                        self._status.aside()
                    self._output(happening)
        self._unflushed = self._unflushed or bool(held)

    def _output(self, happening: TextOutput | Display) -> None:
        if isinstance(happening, Display):
            self._publish(happening)
        else:
            (sys.stdout if happening.stream == "stdout" else sys.stderr).write(happening.text)

    def flush(self) -> None:
        """Send what was written to the frontend."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._unflushed = False
        self._next_flush = time.monotonic() + _FLUSH_PAUSE

    def _state(self, change: StateChange) -> None:
        self.started = self.started or change.state == "running"
        phase = _PHASES.get(change.state)
        if phase is not None and self._status.phase != "stopping":
            self._status.enter(phase, change.detail)

    def _publish(self, display: Display) -> None:
        transient = dict(display.transient)
        if "display_id" in transient:
            transient["display_id"] = f"rexec-{self._session}-{transient['display_id']}"
        self._shell.display_pub.publish(
            data=display.data,
            metadata=display.metadata,
            transient=transient,
            update=display.kind == "update",
        )


class Stops:
    """Counts how often the user pressed stop, instead of tearing apart what is being shown.

    On another thread than the main one, which the stop button cannot reach, it counts nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._former: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _pressed(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


def follow(
    job: Job[Any],
    screen: Screen,
    status: StatusLine,
    stops: Stops,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Show a job's output until it ended, and pass on the stop button.

    Raises
    ------
    DetachedError
        If the user stopped waiting, or the code did not react to being stopped.
    """
    deadline: float | None = None
    while (happenings := job.take(WAIT)) is not None:
        screen.show(happenings)
        status.beat()
        if stops.count and deadline is None:
            deadline = clock() + GRACE
            job.interrupt()
            status.enter("stopping", "press stop again to stop waiting", at_once=True)
        if stops.count > 1 or (deadline is not None and clock() > deadline):
            raise DetachedError
    screen.finish()
