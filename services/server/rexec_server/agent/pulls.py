"""Results that clients pull in chunks, a little at a time so that nothing waits for them."""

from __future__ import annotations

import logging

from rexec_jupyter.core import protocol as p
from rexec_server.agent.job import Job, Shared

BATCH = 2 * p.CHUNK
"""Bytes of chunks sent before anything else gets its turn."""

_log = logging.getLogger(__name__)


class _Pull:
    """A payload that is being sent: up to ``sent``, of what is asked for up to ``upto``."""

    __slots__ = ("job", "name", "nbytes", "sent", "seq", "upto")

    def __init__(self, job: Job, seq: int) -> None:
        self.job = job
        self.seq = seq
        self.name, self.nbytes = job.files[seq]
        self.sent = 0
        self.upto = 0


class Pulls:
    """Answers `protocol.ChunkAck` for the payloads of events."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._known: dict[str, dict[int, _Pull]] = {}
        self._active: dict[tuple[str, int], _Pull] = {}

    def __bool__(self) -> bool:
        """Whether there is something to send."""
        return bool(self._active)

    def clear(self) -> None:
        """Forget all pulls; clients ask again after a reconnection."""
        self._known.clear()
        self._active.clear()

    def forget(self, job: str) -> None:
        """Forget the pulls of a job whose events are acknowledged."""
        for seq in self._known.pop(job, ()):
            self._active.pop((job, seq), None)

    def ask(self, job: Job, message: p.ChunkAck) -> None:
        """Take what a client says it has, as a request for more."""
        if message.seq not in job.files:
            return
        pulls = self._known.setdefault(job.id, {})
        for seq in [seq for seq in pulls if seq not in job.files]:
            del pulls[seq]
            self._active.pop((job.id, seq), None)
        pull = pulls.get(message.seq)
        if pull is None:
            pull = pulls[message.seq] = _Pull(job, message.seq)
        if message.rewind or message.received > pull.sent:
            pull.sent = min(message.received, pull.nbytes)
        pull.upto = min(message.received + p.WINDOW, pull.nbytes)
        if pull.sent < pull.upto:
            self._active[job.id, message.seq] = pull

    def send(self) -> None:
        """Send some chunks, of each payload in turn."""
        budget = BATCH
        while self._active and budget > 0:
            key, pull = next(iter(self._active.items()))
            del self._active[key]
            if pull.seq not in pull.job.files:
                continue
            nbytes = min(p.CHUNK, pull.upto - pull.sent)
            try:
                piece = self._shared.spool.read(pull.name, pull.sent, nbytes)
            except OSError as error:
                _log.warning("a result of job %s cannot be read: %s", pull.job.id, error)
                unknown = p.Unknown(job=pull.job.id, journal=self._shared.journal.id)
                self._shared.send(unknown)
                continue
            message = p.Chunk(
                frames=1,
                job=pull.job.id,
                session=pull.job.submit.session,
                seq=pull.seq,
                offset=pull.sent,
            )
            self._shared.send(message, piece)
            pull.sent += nbytes
            budget -= nbytes
            if pull.sent < pull.upto:
                self._active[key] = pull
