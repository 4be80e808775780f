"""Exec as the first process of a container: what such a process has to do beside.

Whatever loses its parent there becomes its child, and stays as a zombie unless it is waited
for. Nobody starts it again sooner than a while after it has ended. So another process does
the work, and this one stays small: should memory run out, it is not the one to go.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from rexec_jupyter.core.startup import die_with

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAITED = {*_SIGNALS, signal.SIGCHLD}
_STEADY = 2.0
"""Seconds that it must have run for another one to be started in its place."""


def stand_aside() -> None:
    """Return in a child of this process, which has no children yet; again if that is killed."""
    # They are waited for; and none is forgotten before the child has its handlers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    while True:
        began = time.monotonic()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return
        status, told = _wait(child)
        killed = os.WIFSIGNALED(status)
        if told or not killed or time.monotonic() - began < _STEADY:
            os._exit(128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status))
        number = os.WTERMSIG(status)
        sys.stderr.write(f"exec was ended by signal {number}; it is started again\n")
        sys.stderr.flush()


def _wait(child: int) -> tuple[int, bool]:
    """Wait for the end of the child, and of all others; tell whether it was asked to end."""
    told = False
    while True:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0, told
            if pid == child:
                return status, told
            if pid == 0:
                break
        number = signal.sigwait(_WAITED)
        if number in _SIGNALS:
            told = True
            with suppress(ProcessLookupError):
                os.kill(child, number)
