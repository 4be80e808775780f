"""Events of jobs: into the journal, to the client within its credit, and out of the way."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from msgspec import structs

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.logs import pieces, state_of
from rexec_jupyter.core.trust import result_mac
from rexec_server.agent.job import ITEM, OTHER, OUTPUT, OVERHEAD, Job, Shared
from rexec_server.agent.logs import Logs
from rexec_server.agent.outputs import OutputBuffer
from rexec_server.agent.records import StorageFullError

RESEND, RESEND_MOST = 5.0, 60.0
"""Seconds until an unacknowledged terminal event is sent again, at first and at most."""

FORGOTTEN = 30_000
"""Acknowledged jobs of which a late copy of their submission is recognised."""

_MAX_SEQ = 2**53
_log = logging.getLogger(__name__)


class Delivery:
    """Everything between what happened to a job and the client's acknowledgement of it."""

    def __init__(self, shared: Shared, logs: Logs) -> None:
        self._shared = shared
        self._logs = logs

    # ----------------------------------------------------------------------- new events

    def add(
        self,
        job: Job,
        message: Any,
        payload: p.Buffer = b"",
        *,
        kind: int = OTHER,
        must: bool = True,
    ) -> None:
        """Journal the event number ``job.seq + 1`` and send it if its turn has come.

        Raises
        ------
        StorageFullError
            Only if not `must`.
        """
        shared = self._shared
        nbytes = len(payload)
        position = shared.journal.append(message, payload, must=must)
        shared.stored += nbytes + OVERHEAD
        job.note(message.seq, position, nbytes, kind)
        if not job.attached or job.sent != message.seq - 1:
            return
        if kind == OUTPUT:
            if job.spent + nbytes > job.credit + job.credit_base:
                return
            job.spent += nbytes
        self._send(job, message, payload)

    def _send(self, job: Job, message: Any, payload: p.Buffer) -> None:
        job.sent = message.seq
        if job.files and message.seq in job.files and not job.local:
            chunks = structs.replace(message.payload, carrier="chunks", segment="")
            message = structs.replace(message, payload=chunks)
        self._shared.parcels.append((message, payload if message.frames else None))

    def pump(self, job: Job) -> None:
        """Send what the journal holds for the client, as far as credit allows."""
        if not job.attached:
            return
        while job.sent < job.seq:
            index = job.sent - job.acked
            size = job.sizes[index]
            if size & 3 == OUTPUT:
                spent = job.spent + (size >> 2)
                if spent > job.credit + job.credit_base:
                    return
                job.spent = spent
            message, payload = self._stored(job, job.sent + 1, job.positions[index])
            self._send(job, message, payload)

    def _stored(self, job: Job, seq: int, position: int) -> tuple[Any, bytes]:
        try:
            return self._shared.journal.read(position)
        except OSError as error:
            _log.warning("event %d of job %s is lost: %s", seq, job.id, error)
        if seq == job.terminal:
            reason = "The job ended, but the server's disk has lost how."
            return p.Crashed(job=job.id, seq=seq, reason=reason), b""
        text = b"[rexec: output is missing here, the server's disk has lost it]\n"
        return p.Output(frames=1, job=job.id, seq=seq, stream="note"), text

    # --------------------------------------------------------------------------- output

    def write(self, now: float, job: Job, stream: str, data: bytes) -> None:
        """Take text the code wrote."""
        buffer = job.outputs
        if not isinstance(buffer, OutputBuffer):
            cell = job.submit.kind == "cell"
            emit = partial(self._emit, job)
            buffer = OutputBuffer(emit, self._shared.timers, ordered=cell)
            job.outputs = buffer
        buffer.write(now, stream, data, quiet=not job.attached and job.watched < now)

    def show(self, now: float, job: Job, stream: p.Stream, data: bytes) -> None:
        """Take something else the code showed, after the text before it."""
        if job.outputs is not None:
            job.outputs.flush(now)
        if len(data) > p.OUTPUT:
            text = f"[rexec: a {stream} of {len(data):,} bytes is too large to be shown]\n"
            stream, data = "note", text.encode()
        self._emit(job, now, stream, data)

    def _emit(self, job: Job, now: float, stream: p.Stream, data: bytes) -> None:
        if job.terminal:
            return
        self._logs.write(now, job, stream, data)
        if stream in ("stdout", "stderr"):
            job.tail = (job.tail + data)[-4096:]
        if job.elided and not self._room(job, 2):
            job.elided += len(data)
            return
        self.note_gap(job)
        if not self._room(job, 1):
            job.elided += len(data)
            return
        try:
            self._output(job, stream, data, must=False)
        except StorageFullError:
            job.elided += len(data)

    def _room(self, job: Job, share: int) -> bool:
        """Tell whether less than one `share` of the caps is used."""
        limits = self._shared.limits
        return job.retained < limits.output // share and (
            self._shared.stored < limits.spool * (1.0 if share == 1 else 0.9)
        )

    def _output(self, job: Job, stream: p.Stream, data: bytes, *, must: bool) -> None:
        if len(data) <= p.CHUNK:
            event = p.Output(frames=1, job=job.id, seq=job.seq + 1, stream=stream)
            self.add(job, event, data, kind=OUTPUT, must=must)
            return
        for piece, more in pieces(data):
            event = p.Output(frames=1, job=job.id, seq=job.seq + 1, stream=stream, more=more)
            self.add(job, event, bytes(piece), kind=OUTPUT, must=must)
            must = True  # what was begun is finished

    def note_gap(self, job: Job) -> None:
        """Say how much output was left out, if any was."""
        if job.elided:
            text = (
                f"\n[rexec left out {job.elided:,} bytes of output here: "
                "more was waiting to be read than the server keeps]\n"
            )
            job.elided = 0
            self._output(job, "note", text.encode(), must=True)

    # ------------------------------------------------------------------- results and end

    def item(self, job: Job, payload: p.Payload, content: bytes) -> None:
        """Add an item of a generator; its payload is `content` or a file."""
        seq = job.seq + 1
        mac = result_mac(job.submit.key, job.id, seq, payload)
        event = p.Item(frames=_frames(payload), job=job.id, seq=seq, payload=payload, mac=mac)
        self._keep_file(job, seq, payload)
        job.items += 1
        self.add(job, event, content, kind=ITEM)

    def end(self, now: float, job: Job, event: Any, content: bytes = b"") -> None:
        """Give a job its terminal event; number and MAC of `event` are set here."""
        if job.outputs is not None:
            job.outputs.flush(now, final=True)
            job.outputs = None
        self.note_gap(job)
        if job.timer is not None:
            self._shared.timers.cancel(job.timer)
            job.timer = None
        job.state = state_of(event)
        job.ended = now
        job.duration = event.duration
        self._release_payload(job)
        self._add_terminal(job, event, content)
        self._logs.end(now, job, event)
        self._shared.unacked[job.id] = job
        job.backoff = RESEND
        job.resend = now + RESEND

    def _add_terminal(self, job: Job, event: Any, content: bytes) -> None:
        seq = job.seq + 1
        job.terminal = seq
        if isinstance(event, p.Done | p.Failed):
            payload = event.payload
            mac = result_mac(job.submit.key, job.id, seq, payload)
            event = structs.replace(event, frames=_frames(payload), seq=seq, mac=mac)
            self._keep_file(job, seq, payload)
        else:
            event = structs.replace(event, seq=seq)
        self.add(job, event, content)

    def _keep_file(self, job: Job, seq: int, payload: p.Payload) -> None:
        if payload.segment:
            job.files[seq] = (payload.segment, payload.nbytes)
            self._shared.stored += payload.nbytes

    def _drop_file(self, job: Job, seq: int) -> None:
        name, nbytes = job.files.pop(seq)
        self._shared.spool.remove(name)
        self._shared.stored -= nbytes

    def _release_payload(self, job: Job) -> None:
        if job.file:
            self._shared.spool.remove(job.file)
            job.file = ""
            self._shared.stored -= job.submit.payload.nbytes

    # ------------------------------------------------------------------- client's messages

    def attach(self, now: float, job: Job, seq: int, credit: int, *, local: bool) -> None:
        """Send everything after event `seq`, from now on to whoever asked."""
        if job.terminal and job.terminal <= seq < _MAX_SEQ:
            self._renumber(job, seq)
        if seq < job.acked:
            job.credit_base = job.acked_output  # somebody new: counts from what is left
            job.credit = credit
        else:
            job.credit = max(job.credit, credit)
        job.attached = self._shared.ready
        job.local = local
        job.sent = min(max(seq, job.acked), job.seq)
        job.spent = job.output_upto(job.sent)
        if job.terminal:
            self._shared.unacked[job.id] = job
            job.backoff = RESEND
            job.resend = now + RESEND
        elif job.outputs is not None:
            job.outputs.flush(now)
        self.pump(job)

    def _renumber(self, job: Job, seq: int) -> None:
        """Move the end of a job behind what its client knows and the journal lost."""
        job.attached = False
        position = job.positions[-1]
        event, content = self._shared.journal.read(position)
        files = job.files.pop(job.terminal, None)
        self._trim(job, job.seq)
        if files is not None:
            self._shared.stored -= files[1]
        job.seq = job.acked = seq
        self._add_terminal(job, event, content)

    def ack(self, now: float, job: Job, seq: int, credit: int) -> bool:
        """Let go of the events up to `seq`; True if that was the end of the job."""
        if job.terminal and seq >= job.terminal:
            self.forget(now, job)
            return True
        self._trim(job, min(seq, job.seq))
        job.credit = max(job.credit, credit)
        self.pump(job)
        return False

    def _trim(self, job: Job, seq: int) -> None:
        shared = self._shared
        count = seq - job.acked
        if count <= 0:
            return
        for index in range(count):
            shared.journal.drop(job.positions[index])
            size = job.sizes[index]
            nbytes, kind = size >> 2, size & 3
            shared.stored -= nbytes + OVERHEAD
            if kind == OUTPUT:
                job.retained -= nbytes + OVERHEAD
                job.acked_output += nbytes
            elif kind == ITEM:
                job.acked_items += 1
        del job.positions[:count]
        del job.sizes[:count]
        job.acked = seq
        for number in [number for number in job.files if number <= seq]:
            self._drop_file(job, number)
        if job.sent < seq:
            job.sent, job.spent = seq, job.acked_output

    def forget(self, now: float, job: Job) -> None:
        """End the custody of a job that has ended."""
        shared = self._shared
        row = job.summary(now)
        shared.journal.append(row, live=False)
        shared.journal.drop(job.position)
        shared.stored -= job_overhead(job)
        self._trim(job, job.seq)
        job.attached = False
        del shared.jobs[job.id]
        shared.unacked.pop(job.id, None)
        remember(shared, row)

    def resend(self, now: float) -> None:
        """Send terminal events again whose acknowledgement is late."""
        for job in self._shared.unacked.values():
            if job.resend > now or not job.attached or job.sent < job.terminal:
                continue
            job.backoff = min(job.backoff * 2, RESEND_MOST)
            job.resend = now + job.backoff
            job.sent = job.terminal - 1
            self.pump(job)

    def expire(self, now: float) -> list[Job]:
        """Let go of ends that nobody came for."""
        horizon = now - self._shared.limits.retention
        old = [job for job in self._shared.unacked.values() if job.ended < horizon]
        for job in old:
            _log.info("the end of job %s was kept long enough", job.id)
            self.forget(now, job)
        return old


def job_overhead(job: Job) -> int:
    """Return the bytes a job takes in the journal beside its events."""
    inline = job.submit.payload.carrier == "inline"
    return OVERHEAD + (job.submit.payload.nbytes if inline else 0)


def remember(shared: Shared, row: Any) -> None:
    """Keep a line of history, and the number of the job longer than that."""
    if not row.hidden:
        shared.history.append(row)
    if len(shared.history) > shared.limits.history:
        shared.history.popleft()
    shared.forgotten[row.job] = None
    if len(shared.forgotten) > FORGOTTEN:
        del shared.forgotten[next(iter(shared.forgotten))]


def _frames(payload: p.Payload) -> int:
    return 0 if payload.segment else 1
