"""Payloads of calls and cells between their acceptance and their start."""

from __future__ import annotations

from rexec_server import handoff as h
from rexec_server.agent.job import Job, Shared

LOOKED_AT = 1024 * 1024
"""Bytes of a payload in a file in which the source of its cell has to end."""
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

    def source(self, job: Job) -> bytes | None:
        """Return the source of a cell, if it is at hand; before `take`."""
        try:
            if job.file:
                nbytes = min(job.submit.payload.sizes[0], LOOKED_AT)
                return source_of(self._shared.spool.read(job.file, 0, nbytes))
            if job.payload is not None:
                return source_of(job.payload)
            return source_of(self._shared.journal.read(job.position)[1])
        except OSError:
            return None

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


def source_of(payload: bytes) -> bytes | None:
    """Return the first item of a MessagePack array, a string, of which this is the beginning.

    The names that follow may not be there, and are never looked at.
    """
    head = payload[:10]
    at = {0xDC: 3, 0xDD: 5}.get(head[0], 1) if head else 0
    if at >= len(head) or (at == 1 and head[0] & 0xF0 != 0x90):
        return None
    kind = head[at]
    width = {0xD9: 1, 0xDA: 2, 0xDB: 4}.get(kind, 0)
    if not width and kind & 0xE0 != 0xA0:
        return None
    length = int.from_bytes(head[at + 1 : at + 1 + width]) if width else kind & 0x1F
    start = at + 1 + width
    source = payload[start : start + length]
    return source if len(source) == length else None
