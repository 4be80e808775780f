"""Payloads of calls and cells between their acceptance and their start."""

from __future__ import annotations

from rexec_server import handoff as h
from rexec_server.agent.job import Job, Shared

CACHE = 16 * 1024 * 1024
"""Bytes of payloads kept in memory; what does not fit is read from the journal again."""


class Payloads:
    """Keeps recent payloads at hand: most jobs start soon."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._cached = 0

    def keep(self, job: Job, content: bytes) -> None:
        """Remember the payload of a job that is in the journal."""
        if self._cached + len(content) <= CACHE:
            job.payload = content
            self._cached += len(content)

    def take(self, job: Job) -> tuple[h.Where, bytes]:
        """Return where the payload is and, unless that is a file, the payload; once.

        Raises
        ------
        OSError
            If the journal is damaged.
        """
        sizes = job.submit.payload.sizes
        if job.file:
            return h.Where(sizes, job.file), b""
        content = job.payload
        if content is None:
            _, content = self._shared.journal.read(job.position)
        self.release(job)
        return h.Where(sizes), content

    def release(self, job: Job) -> None:
        """Free the memory: the job has started, or will not."""
        if job.payload is not None:
            self._cached -= len(job.payload)
            job.payload = None
