"""What a job shows, to this process's own output, while the calling thread waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

from rexec_jupyter.core.happenings import Display, Happening, TextOutput
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.waiting import StartLimit

Show = Callable[[list[Happening]], None]
"""Shows what happened, in order."""
OnInterrupt = Literal["cancel", "detach"]
"""What Ctrl-C does: interrupt the remote code, or stop waiting for it."""


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


class Hoard:
    """Holds what happened back, for `show` to print it all at once."""

    def __init__(self) -> None:
        self._happenings: list[Happening] = []

    def __call__(self, happenings: list[Happening]) -> None:
        """Take what happened."""
        self._happenings += happenings

    def release(self) -> None:
        """Print it."""
        happenings, self._happenings = self._happenings, []
        show(happenings)


def attend(
    job: Job[Any],
    ready: Callable[[], bool],
    show: Show = show,
    *,
    on_interrupt: OnInterrupt = "cancel",
    wait_start: float | None = None,
) -> None:
    """Show what a job shows until `ready` is true, and all before that was shown.

    Ctrl-C interrupts the job, and the wait goes on for what comes of it; a second Ctrl-C gives
    up waiting.

    Parameters
    ----------
    on_interrupt
        With ``detach`` the first Ctrl-C already gives up waiting.
    wait_start
        Seconds it may take to start, see `waiting.StartLimit`.

    Raises
    ------
    KeyboardInterrupt
        If it is not waited for any more. The job goes on.
    StartError
        If it did not start in time; it was withdrawn.
    """
    limit = StartLimit(job, wait_start)
    interrupted = on_interrupt == "detach"
    while True:
        try:
            happenings = job.wait_for(ready, limit.left)
            if happenings:
                show(happenings)
            elif ready():
                return
            limit.check()
        except KeyboardInterrupt:
            if interrupted:
                raise KeyboardInterrupt(
                    f"The job goes on without being waited for; client.attach({job.id!r}) "
                    "gets its result."
                ) from None
            interrupted = True
            job.interrupt()
