"""What a cell does about the stop button, a slow start and a lost connection, while it waits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from rexec_jupyter.core.happenings import StateChange

GRACE = 5.0
"""Seconds that remote code has to react to being stopped."""

HESITATION = 0.2
"""Seconds from a press of the notebook's stop button to its effect. A kernel that is about to be
restarted or shut down is interrupted first, and what it runs remotely is to go on."""

Verdict = Literal["interrupt", "detach", "late", "lost"]
"""What is to be done: interrupt the job, which withdraws it if it has not begun; leave it
running; withdraw it because it did not begin in time; give up because the backend is away."""

_ENDED = frozenset(("done", "failed", "cancelled", "timed out", "crashed", "lost"))
_ASKED = "stopping… press stop again to stop waiting"
_WITHDRAWING = "withdrawing… press stop again to stop waiting"


class DetachedError(Exception):
    """The user stopped waiting for a job that goes on. Its text is for the user."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How long to wait for what.

    Attributes
    ----------
    on_interrupt
        What the first press of stop does: ``cancel`` interrupts the code, or withdraws it if
        it has not begun; ``detach`` leaves it where it is.
    grace
        Seconds the code has to react to being interrupted.
    wait_start
        Seconds until the session must be ready to run the cell, or None. Time spent behind
        other cells does not count.
    reconnect_timeout
        Seconds without the backend after which waiting ends, or None: the connection decides.
    """

    on_interrupt: Literal["cancel", "detach"] = "cancel"
    grace: float = GRACE
    wait_start: float | None = None
    reconnect_timeout: float | None = None


class Vigil:
    """The state machine of a wait; reads no clock and does nothing itself.

    It goes from ``starting`` (no session is ready yet) or ``queued`` (behind other cells) over
    ``running`` to ``ended``, unless somebody stops it: then it is ``stopping``, or
    ``withdrawing`` what has not begun, and may end ``detached``. Independent of all that the
    connection may be lost for some time.

    Parameters
    ----------
    now
        The time, as in all other calls.
    rules
        What it goes by.
    started
        The code runs already.
    """

    def __init__(self, now: float, rules: Rules, *, started: bool = False) -> None:
        self.phase = "running" if started else "starting"
        self.started = started
        """Whether the code began to run, as far as is known."""
        self._rules = rules
        self._detail = ""
        self._presses = 0
        self._starting_for = 0.0
        self._looked = now
        self._deadline = float("inf")
        self._lost_since: float | None = None

    def heard(self, now: float, change: StateChange) -> None:
        """Take a change of the job's state."""
        state = change.state
        if state == "reconnecting":
            if self._lost_since is None:
                self._lost_since = now - _seconds(change.detail)
        elif state == "connected":
            self._lost_since = None
        elif state in _ENDED:
            self.phase = "ended"
        elif self.phase in ("starting", "queued", "running", "withdrawing"):
            self._lost_since = None
            self._moved(state, change.detail)

    def _moved(self, state: str, detail: str) -> None:
        if state in ("running", "streaming"):
            self.started = True
            # What was to be withdrawn has begun: it is interrupted instead, by the same request.
            self.phase = "stopping" if self.phase == "withdrawing" else "running"
        elif self.phase not in ("running", "withdrawing"):
            # Queued behind nothing: the session is being made ready.
            self.phase = "queued" if state == "queued" and detail else "starting"
        self._detail = detail

    def check(self, now: float, presses: int, *, leaving: bool = False) -> Verdict | None:
        """Return what is to be done now, if anything; each thing once.

        Parameters
        ----------
        presses
            How often stop was pressed so far.
        leaving
            Whoever waits is about to end.
        """
        if self.phase in ("ended", "detached"):
            return None
        passed, self._looked = now - self._looked, now
        if self.phase == "starting" and self._lost_since is None:
            self._starting_for += passed
        new, self._presses = presses > self._presses, presses
        if new and not leaving:
            return self._stop(now, presses)
        if leaving or now >= self._deadline:
            self.phase = "detached"
            return "detach"
        limit = self._rules.wait_start
        if limit is not None and self.phase == "starting" and self._starting_for >= limit:
            self.phase = "withdrawing"
            self._deadline = now + self._rules.grace
            return "late"
        limit = self._rules.reconnect_timeout
        if limit is not None and self._lost_since is not None and now - self._lost_since >= limit:
            self.phase = "detached"
            return "lost"
        return None

    def _stop(self, now: float, presses: int) -> Verdict:
        if presses > 1 or self._rules.on_interrupt == "detach":
            self.phase = "detached"
            return "detach"
        self.phase = "stopping" if self.started else "withdrawing"
        self._deadline = now + self._rules.grace
        return "interrupt"

    def told(self, now: float) -> tuple[str, str]:
        """Return phase and detail for the status line."""
        if self.phase == "stopping":
            return _ASKED, ""
        if self.phase == "withdrawing":
            return _WITHDRAWING, ""
        if self._lost_since is not None:
            return f"reconnecting ({now - self._lost_since:.0f} s)…", ""
        return self.phase, self._detail


def _seconds(text: str) -> float:
    try:
        return float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return 0.0


class Stops:
    """Counts how often the user pressed stop, instead of tearing apart what is being shown.

    The kernel's stop button reaches the main thread alone: used on another one, only `press`
    counts.

    Parameters
    ----------
    leaving
        Tells whether this process is about to end.
    clock
        Gives monotonic seconds.
    """

    def __init__(
        self,
        leaving: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.armed = False
        """Whether the kernel's stop button counts."""
        self._leaving = leaving
        self._clock = clock
        self._presses: list[float] = []
        self._former: Any = None

    @property
    def count(self) -> int:
        """How often stop was pressed, as far as that is to have an effect by now."""
        return sum(due <= self._clock() for due in self._presses)

    @property
    def leaving(self) -> bool:
        """Whether this process is about to end."""
        return self._leaving()

    def press(self) -> None:
        """Count one more; any thread may do so."""
        self._presses.append(self._clock())

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGINT, self._interrupted)
            self.armed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.armed:
            signal.signal(signal.SIGINT, self._former)
            self.armed = False

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        self._presses.append(self._clock() + HESITATION)
