"""Submissions on their way into custody: checked, transferred, journaled or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

from blake3 import blake3

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import payload_digest
from rexec_jupyter.core.versions import minor
from rexec_server.agent.delivery import job_overhead
from rexec_server.agent.job import Job, Shared
from rexec_server.agent.payloads import Payloads
from rexec_server.agent.records import Accepted, StorageFullError

ACTIVE = 4
"""Transfers that go on at once; the others wait for their turn."""
STALLED = 2.0
"""Seconds without progress after which a transfer is asked for again from where it is."""
REFUSED = 1000
"""Jobs that are remembered because their session was busy: they stay refused."""
ABANDONED = 300.0
"""Seconds without progress after which a transfer is forgotten; nothing was promised."""

_PULL_EVERY = p.WINDOW // 4
_OTHER_JOURNAL = (
    "the job was sent to a server that has lost its records since; "
    "whether it ran there cannot be told"
)
_log = logging.getLogger(__name__)


class _Transfer:
    """A chunked payload that is under way."""

    __slots__ = ("active", "asked", "file", "hasher", "moved", "pulled", "received", "submit")

    def __init__(self, now: float, submit: p.Submit, file: str) -> None:
        self.submit = submit
        self.file = file
        self.hasher = blake3()
        self.received = 0
        self.pulled = 0
        self.active = False
        self.moved = now
        self.asked = now


class Intake:
    """Takes submissions.

    Parameters
    ----------
    python
        Version of the workers, such as ``3.11``.
    share
        Whether clients may hand over payloads as files.
    accepted
        Called with the time and each job that came into custody; tells its client.
    busy_with
        Returns the cell that runs or waits first in a session.
    """

    def __init__(
        self,
        shared: Shared,
        payloads: Payloads,
        *,
        python: str,
        share: bool,
        accepted: Callable[[float, Job], None],
        busy_with: Callable[[str], Job | None],
    ) -> None:
        self._shared = shared
        self._payloads = payloads
        self.python = python
        self._share = share
        self._accepted = accepted
        self._busy_with = busy_with
        self._transfers: dict[str, _Transfer] = {}
        self._refused: dict[str, tuple[str, str]] = {}

    @property
    def deadline(self) -> float:
        """When `tick` has something to do at the latest."""
        if not self._transfers:
            return float("inf")
        active = [t.asked for t in self._transfers.values() if t.active]
        waiting = [t.moved + ABANDONED for t in self._transfers.values()]
        return min([asked + STALLED for asked in active] + waiting, default=float("inf"))

    def submit(self, now: float, message: p.Submit, frame: p.Buffer | None) -> None:
        """Take a submission nobody here knows yet, or that is still being transferred."""
        transfer = self._transfers.get(message.job)
        if transfer is not None:
            if not same(transfer.submit, message):
                self._refuse(message, "conflict", "another job has this number already")
            elif transfer.active and now - transfer.asked > STALLED / 2:
                self._pull(now, transfer, rewind=True)
            return
        refusal = self._refusal(message) or self._busy(message)
        if refusal is not None:
            self._refuse(message, *refusal)
        elif message.payload.carrier == "chunks" and message.payload.nbytes:
            file = self._shared.spool.create()
            self._shared.stored += message.payload.nbytes
            self._transfers[message.job] = _Transfer(now, message, file)
            self._start_transfers(now)
        elif message.payload.carrier == "segment":
            self._adopt(now, message)
        elif frame is None or len(frame) != message.payload.nbytes or len(frame) > p.CHUNK:
            self._refuse(message, "corrupt", "the payload is not as long as it says")
        elif payload_digest([frame]) != message.payload.digest:
            self._refuse(message, "corrupt", "the payload was damaged on its way")
        else:
            self._accept(now, message, content=bytes(frame))

    def _refusal(self, message: p.Submit) -> tuple[str, str] | None:
        shared = self._shared
        if message.journal != shared.journal.id:
            return "journal", _OTHER_JOURNAL
        if shared.draining:
            return "draining", "the server is shutting down and takes no new jobs"
        mismatch = message.kind == "call" and message.python and self._mismatch(message.python)
        if mismatch:
            return "R12", mismatch
        limits = shared.limits
        taken = shared.stored + message.payload.nbytes
        if taken > limits.spool:
            text = (
                f"the server keeps at most {limits.spool:,} bytes of jobs and results, and with "
                f"this job it would be {taken:,}. Fetch finished results or send less at once"
            )
            return "full", text
        if len(shared.jobs) >= limits.jobs:
            text = f"the server keeps at most {limits.jobs:,} jobs. Fetch finished results first"
            return "full", text
        return None

    def _busy(self, message: p.Submit) -> tuple[str, str] | None:
        if message.if_busy != "fail" or message.kind == "call" or message.fresh:
            return None
        # Its client may have sent it again before it heard the refusal, and is told that it has
        # not run: so it must not be accepted now.
        refused = self._refused.get(message.job)
        other = self._busy_with(message.session)
        if refused is None and other is not None:
            label = f" ({other.submit.label})" if other.submit.label else ""
            text = f"session {message.session!r} is busy with cell {other.id[:8]}{label}."
            refused = self._refused[message.job] = "busy", text
            if len(self._refused) > REFUSED:
                del self._refused[next(iter(self._refused))]
        return refused

    def _mismatch(self, python: str) -> str:
        ours, theirs = self.python, minor(python)
        if theirs == ours:
            return ""
        return (
            f"the function was pickled by Python {theirs}, but this server runs Python {ours}, "
            f"and code objects differ between them. Start the server with Python {theirs}, use "
            f"Python {ours} here, or run it as a cell: cells travel as source text"
        )

    def _adopt(self, now: float, message: p.Submit) -> None:
        payload = message.payload
        if not self._share:
            self._refuse(message, "corrupt", "the server takes no payloads as files")
            return
        problem = self._shared.spool.check(payload.segment, payload.nbytes, foreign=True)
        if problem:
            self._refuse(message, "corrupt", f"the file of the payload is not accepted: {problem}")
            return
        self._shared.stored += payload.nbytes
        self._accept(now, message, file=payload.segment)

    def _refuse(self, message: p.Submit, code: str, text: str) -> None:
        self._shared.send(p.Nack(job=message.job, code=code, message=text))

    def _accept(
        self, now: float, message: p.Submit, *, content: bytes = b"", file: str = ""
    ) -> None:
        shared = self._shared
        if busy := self._busy(message):  # since its transfer began
            if file:
                self._discard(file, message)
            self._refuse(message, *busy)
            return
        record = Accepted(job=message.job, submit=message, at=now, file=file)
        try:
            position = shared.journal.append(record, content, must=False)
        except StorageFullError:
            if file:
                self._discard(file, message)
            self._refuse(message, "full", "the server's disk is full")
            return
        job = Job(message, position, now)
        job.file = file
        job.attached = shared.ready
        if not file:
            self._payloads.keep(job, content)
        shared.stored += job_overhead(job)
        shared.jobs[job.id] = job
        self._accepted(now, job)

    # -------------------------------------------------------------------------- transfers

    def _start_transfers(self, now: float) -> None:
        active = sum(transfer.active for transfer in self._transfers.values())
        for transfer in self._transfers.values():
            if active >= ACTIVE:
                return
            if not transfer.active:
                transfer.active = True
                active += 1
                self._pull(now, transfer, rewind=True)

    def _pull(self, now: float, transfer: _Transfer, *, rewind: bool = False) -> None:
        transfer.pulled = transfer.received
        transfer.asked = now
        submit = transfer.submit
        self._shared.send(
            p.ChunkAck(
                job=submit.job,
                session=submit.session,
                seq=0,
                received=transfer.received,
                rewind=rewind,
            )
        )

    def chunk(self, now: float, message: p.Chunk, frame: p.Buffer | None) -> None:
        """Take a piece of a payload. What does not follow on is left to be sent again."""
        transfer = self._transfers.get(message.job)
        if transfer is None or message.seq or frame is None:
            return
        total = transfer.submit.payload.nbytes
        if message.offset != transfer.received or message.offset + len(frame) > total:
            return
        try:
            self._shared.spool.write(transfer.file, message.offset, frame)
        except StorageFullError:
            self._end_transfer(now, transfer)
            self._discard(transfer.file, transfer.submit)
            self._refuse(transfer.submit, "full", "the server's disk is full")
            return
        transfer.hasher.update(frame)
        transfer.received += len(frame)
        transfer.moved = transfer.asked = now
        if transfer.received < total:
            if transfer.received - transfer.pulled >= _PULL_EVERY:
                self._pull(now, transfer)
            return
        self._end_transfer(now, transfer)
        if transfer.hasher.digest() == transfer.submit.payload.digest:
            self._accept(now, transfer.submit, file=transfer.file)
        else:
            self._discard(transfer.file, transfer.submit)
            self._refuse(transfer.submit, "corrupt", "the payload was damaged on its way")

    def _end_transfer(self, now: float, transfer: _Transfer) -> None:
        del self._transfers[transfer.submit.job]
        self._start_transfers(now)

    def _discard(self, file: str, submit: p.Submit) -> None:
        self._shared.spool.remove(file)
        self._shared.stored -= submit.payload.nbytes

    def withdraw(self, now: float, job: str) -> None:
        """Forget a transfer: its job is not wanted any more."""
        transfer = self._transfers.get(job)
        if transfer is not None:
            self._end_transfer(now, transfer)
            self._discard(transfer.file, transfer.submit)

    def drain(self, now: float) -> None:
        """Give up all transfers; their payloads are still with the client."""
        for transfer in list(self._transfers.values()):
            self.withdraw(now, transfer.submit.job)
            self._refuse(transfer.submit, "draining", "the server is shutting down")

    def tick(self, now: float) -> None:
        """Ask again where nothing arrives, and give up where nobody is left."""
        for transfer in list(self._transfers.values()):
            if now - transfer.moved >= ABANDONED:
                _log.info("the payload of job %s stopped arriving", transfer.submit.job)
                self.withdraw(now, transfer.submit.job)
            elif transfer.active and now - transfer.asked >= STALLED:
                self._pull(now, transfer, rewind=True)


def same(one: p.Submit, other: p.Submit) -> bool:
    """Tell whether two submissions are copies of one."""
    return (
        one.payload.digest == other.payload.digest
        and one.session == other.session
        and one.kind == other.kind
    )
