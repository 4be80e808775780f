"""What processes of the backend do alike when they start."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys

LOG_LEVELS = ("debug", "info", "warning", "error")
"""What `log_to_stderr` knows."""

INSIDE = "REXEC_INSIDE"
"""Environment variable that is set where code runs that rexec runs."""
_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, however that ends.

    Parameters
    ----------
    parent
        Process id of the parent; if that is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def log_to_stderr(level: str) -> None:
    """Write the log to stderr, from one of `LOG_LEVELS` on."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def report_ready(descriptor: int, report: dict[str, object]) -> None:
    """Write a line of JSON to whoever waits for this process to be ready, and close.

    Raises
    ------
    OSError
        If nobody does.
    """
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(report) + "\n")
