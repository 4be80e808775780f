"""The limit on how long a job may wait to be started."""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core.errors import StartError

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job

WITHDRAWAL = 3.0
"""Seconds that it may take to be told that a job was withdrawn."""


class StartClock:
    """Counts for how long a job has waited to be started, where that is nobody's turn.

    Parameters
    ----------
    now
        When it began; it runs.
    """

    def __init__(self, now: float) -> None:
        self._before = 0.0
        self._since: float | None = now

    @property
    def runs(self) -> bool:
        """Whether time counts at present."""
        return self._since is not None

    def set(self, now: float, *, runs: bool) -> None:
        """Let it run, or stop it."""
        self._before = self.seconds(now)
        self._since = now if runs else None

    def seconds(self, now: float) -> float:
        """Return what it has counted."""
        return self._before + (0.0 if self._since is None else now - self._since)


class StartLimit:
    """Withdraws a job that does not start in time.

    What counts is time without a ready server or session, not time spent behind other cells.

    Parameters
    ----------
    job
        The job.
    seconds
        How long it may take; None for no limit.
    """

    def __init__(self, job: Job[Any], seconds: float | None) -> None:
        self._job = job
        self._seconds = seconds

    @property
    def left(self) -> float | None:
        """Seconds until `check` has something to say; None if no time is running out."""
        if self._seconds is None or not self._job.waits_to_start:
            return None
        return max(self._seconds - self._job.start_seconds, 0.0)

    def check(self) -> None:
        """Withdraw the job if its time is up.

        Raises
        ------
        StartError
            If it was withdrawn; tells what it waited for.
        """
        job = self._job
        if self.left != 0.0:
            return
        phase = job.waits_for
        job.cancel()
        with suppress(CancelledError, TimeoutError):
            job.exception(WITHDRAWAL)
        if job.ended and job.state != "cancelled":
            return  # it came through after all
        executed = job.executed
        raise StartError(
            f"The job did not start within {self._seconds:g} s: {phase}. {_ENDINGS[executed]}",
            hint="Run it again with a longer wait_start, or ask `rexec doctor` what is wrong.",
            job=job,
            phase=phase,
        )


_ENDINGS = {
    False: "It was withdrawn and did not run.",
    True: "It was interrupted just after it had started.",
    None: "It was withdrawn, but nobody could confirm that it did not run.",
}


def wait_started(job: Job[Any], seconds: float | None) -> None:
    """Wait until a job has started or ended; else as `StartLimit.check`.

    What it shows meanwhile is left for `Job.take`.
    """
    limit = StartLimit(job, seconds)
    seen = job.changes
    while job.state in ("waiting", "queued"):
        seen = job.wait_change(seen, limit.left)
        limit.check()
