"""KeyboardInterrupt within the user's code, and nowhere in ours.

A signal handler may run between any two bytecodes, so no flag set around a call can tell
exactly whether the call is still going on. The stack can: an interrupt is raised only where
a marked frame is on it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import ParamSpec, TypeVar

_SOON = 0.02

P = ParamSpec("P")
R = TypeVar("R")


def within(frame: FrameType | None, code: CodeType) -> bool:
    """Tell whether a frame of this code is on the stack that ends in `frame`."""
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def guarded(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function; its frame marks what is interruptible."""
    return function(*args, **kwargs)


def in_guarded(frame: FrameType | None) -> bool:
    """Tell whether the code that a signal came upon was called by `guarded`."""
    return within(frame, guarded.__code__)


def recover_lost(current: Callable[[], str], again: Callable[[str], None]) -> None:
    """Have an interrupt raised again that came where nothing can be raised.

    Python drops exceptions within ``__del__`` and what is called around a fork.

    Parameters
    ----------
    current
        Tells the job that is under way; empty if there is none.
    again
        Called with the job before the signal is sent again, if it is still under way.
    """
    usual = sys.unraisablehook

    def repeat(job: str) -> None:
        # Both happen under the GIL, so no other job can start in between.
        if current() == job:
            again(job)
            os.kill(os.getpid(), signal.SIGINT)

    def hook(lost: sys.UnraisableHookArgs) -> None:
        job = current()
        if job and issubclass(lost.exc_type, KeyboardInterrupt):
            later = threading.Timer(_SOON, repeat, (job,))
            later.daemon = True
            later.start()
        else:
            usual(lost)

    sys.unraisablehook = hook
