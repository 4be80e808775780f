"""What a job shows, to this process's own output, while the calling thread waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rexec_jupyter.core.happenings import Display, Happening, TextOutput
from rexec_jupyter.core.job import Job

Show = Callable[[list[Happening]], None]
"""Shows what happened, in order."""


def show(happenings: list[Happening]) -> None:
    """Print what a job showed: text to stdout and stderr, of rich output its plain text."""
    for happening in happenings:
        if isinstance(happening, TextOutput):
            stream = sys.stdout if happening.stream == "stdout" else sys.stderr
            stream.write(happening.text)
        elif isinstance(happening, Display) and happening.kind != "update":
            text = happening.data.get("text/plain")
            if text:
                sys.stdout.write(f"{text}\n")
    if happenings:
        sys.stdout.flush()


def attend(job: Job[Any], ready: Callable[[], bool], show: Show = show) -> None:
    """Show what a job shows until `ready` is true, and all before that was shown.

    Ctrl-C interrupts the job, and the wait goes on for what comes of it; a second Ctrl-C gives
    up waiting.

    Raises
    ------
    KeyboardInterrupt
        At the second Ctrl-C. The job goes on.
    """
    interrupted = False
    while True:
        try:
            happenings = job.wait_for(ready)
            if not happenings:
                return
            show(happenings)
        except KeyboardInterrupt:
            if interrupted:
                raise KeyboardInterrupt(
                    f"The job goes on without being waited for; client.attach({job.id!r}) "
                    "gets its result."
                ) from None
            interrupted = True
            job.interrupt()
