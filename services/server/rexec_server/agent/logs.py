"""Logs: everything that jobs have shown, complete where delivery leaves out, and how they ended.

A call that shows nothing and succeeds has no file: what there is to say of it is in the list of
jobs, and whoever asks for its log gets a log of one record, its end. Hidden jobs have no log.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.logs import HEAD, KINDS, OVERHEAD, TAIL, end_of, pack, pieces, span
from rexec_server.agent.job import Job, Shared

LEFT_OUT = frozenset({"comm", "names"})
"""Kinds of output that mean nothing to whoever comes later."""
REMEMBERED = 10_000
"""Removed logs that are remembered as such."""

_BLOCK = 64 * 1024
_END = KINDS.index("end")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Log:
    """One log.

    Attributes
    ----------
    size
        Bytes of whole records; the file may hold garbage after them.
    ended
        When; negative before.
    full
        No more is kept of this job but its end.
    missing
        Bytes that the disk did not take since the last record.
    checked
        Nothing before this process can have left half a record at the end.
    """

    size: int = 0
    ended: float = -1.0
    full: bool = False
    missing: int = 0
    checked: bool = True


class Logs:
    """Writes the logs, and keeps them within their limits.

    Attributes
    ----------
    changed
        Called with the time and the id of a job whose log has grown or ended.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._files = shared.logs
        self._logs: dict[str, Log] = {}
        self._ended: dict[str, None] = {}  # oldest first
        self._removed: dict[str, None] = {}
        self._total = 0
        self._failing = False
        self.changed: Callable[[float, str], None] = lambda _now, _job: None

    # ------------------------------------------------------------------------- restart

    def restore(self, now: float, open_jobs: Container[str]) -> None:
        """Find what earlier runs of the agent left; `open_jobs` have not ended."""
        try:
            found = sorted(self._files.scan(), key=lambda file: file.at)
        except OSError as error:
            self._complain(error)
            return
        for job, size, at in found:
            log = self._logs[job] = Log(size, min(at, now), checked=False)
            self._total += size
            if job in open_jobs:
                log.ended = -1.0
                self._reopen(job, log)
            else:
                self._ended[job] = None

    def _reopen(self, job: str, log: Log) -> None:
        """Prepare for more; the end may be there already if the journal did not get it."""
        self._check(job, log)
        start, kind = self._last(job, log.size)
        if kind == _END:
            self._total += start - log.size
            log.size = start

    def _check(self, job: str, log: Log) -> None:
        """Leave out half a record that the end of another process left."""
        if log.checked:
            return
        log.checked = True
        if log.size and self._last(job, log.size)[1] < 0:
            size = self._whole(job, log.size)
            self._total += size - log.size
            log.size = size

    def _last(self, job: str, end: int) -> tuple[int, int]:
        """Return where the record before `end` begins and its kind, -1 if there is none."""
        try:
            (size,) = TAIL.unpack(self._files.read(job, max(end - TAIL.size, 0), TAIL.size))
            start = end - size - OVERHEAD
            head = self._files.read(job, start, HEAD.size) if start >= 0 else b""
            length, kind = HEAD.unpack(head)
        except (OSError, struct.error):
            return end, -1
        return (start, int(kind)) if length == size else (end, -1)

    def _whole(self, job: str, size: int) -> int:
        at = 0
        try:
            while at < size:
                block = self._files.read(job, at, min(_BLOCK, size - at))
                step = span(block, _BLOCK)
                if not step:
                    length, _ = HEAD.unpack_from(block)
                    step = length + OVERHEAD
                    if at + step > size or self._last(job, at + step)[0] != at:
                        break
                at += step
        except (OSError, struct.error):
            return at
        return at

    # ------------------------------------------------------------------------- writing

    def begin(self, now: float, job: Job, source: bytes | None) -> None:
        """Note the source of a cell that came into custody."""
        if job.id in self._ended:  # it did before, and the journal has lost that
            self._remove(job.id)
            del self._removed[job.id]
        if source is not None and not job.submit.hidden:
            self._write(now, job.id, "source", source)

    def write(self, now: float, job: Job, stream: p.Stream, data: bytes) -> None:
        """Add what a job has shown."""
        if not job.submit.hidden and stream not in LEFT_OUT:
            self._write(now, job.id, stream, data)

    def _write(self, now: float, job: str, kind: str, data: bytes) -> None:
        log = self._logs.get(job)
        if log is None:
            log = self._logs[job] = Log()
        if log.full:
            return
        if len(data) <= p.CHUNK:
            record = pack(kind, data)
        else:
            record = b"".join(pack(kind, piece, more=more) for piece, more in pieces(data))
        limits = self._shared.limits
        if log.size + len(record) > limits.log:
            record = _note(f"the log ends here: more than {limits.log:,} bytes are not kept")
            log.full = True
        elif not self._make_room(len(record)):
            record = _note(f"the log ends here: all logs together take {self._total:,} bytes")
            log.full = True
        if not self._append(now, job, log, record):
            log.missing += len(data)

    def _append(self, now: float, job: str, log: Log, record: bytes) -> bool:
        if log.missing:
            record = _note(f"{log.missing:,} bytes are missing here: the disk was full") + record
        try:
            self._files.write(job, log.size, record)
        except OSError as error:
            self._complain(error)
            return False
        self._failing = False
        log.missing = 0
        log.size += len(record)
        self._total += len(record)
        self.changed(now, job)
        return True

    def _complain(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            _log.warning("the logs of jobs cannot be kept: %s", error.strerror or error)

    def end(self, now: float, job: Job, event: p.Terminal) -> None:
        """Note how a job ended."""
        log = self._logs.get(job.id)
        if not job.submit.hidden and (log is not None or not isinstance(event, p.Done)):
            if log is None:
                log = self._logs[job.id] = Log()
            log.ended = now
            self._ended[job.id] = None
            record = pack("end", msgspec.msgpack.encode(end_of(event)))
            self._append(now, job.id, log, record)
            self._files.release(job.id)
            self._make_room(0)
        else:
            self.changed(now, job.id)

    # ------------------------------------------------------------------------- limits

    def _make_room(self, nbytes: int) -> bool:
        limits = self._shared.limits
        while self._total + nbytes > limits.logs or len(self._logs) > limits.log_files:
            oldest = next(iter(self._ended), None)
            if oldest is None:
                return self._total + nbytes <= limits.logs
            self._remove(oldest)
        return True

    def expire(self, now: float) -> None:
        """Remove logs that were kept for long enough."""
        horizon = now - self._shared.limits.retention
        while self._ended and self._logs[oldest := next(iter(self._ended))].ended < horizon:
            self._remove(oldest)

    def _remove(self, job: str) -> None:
        del self._ended[job]
        self._total -= self._logs.pop(job).size
        self._removed[job] = None
        if len(self._removed) > REMEMBERED:
            del self._removed[next(iter(self._removed))]
        try:
            self._files.remove(job)
        except OSError as error:
            self._complain(error)

    # ------------------------------------------------------------------------- reading

    def find(self, job: str) -> Log | None:
        """Return the log of a job, if it has one."""
        log = self._logs.get(job)
        if log is not None:
            self._check(job, log)
        return log

    def was_removed(self, job: str) -> bool:
        """Tell whether there was a log that had to go."""
        return job in self._removed

    def bytes_of(self, job: str, at: int, nbytes: int) -> bytes:
        """Return bytes of a log, whether records begin and end there or not."""
        try:
            return self._files.read(job, at, nbytes)
        except OSError as error:
            self._complain(error)
            return b""

    def read(self, job: str, offset: int, limit: int) -> bytes:
        """Return whole records from `offset` on: one, and more of them up to `limit` bytes.

        Nothing if no record begins there.
        """
        log = self._logs[job]
        nbytes = min(max(limit, _BLOCK), log.size - offset)
        data = self.bytes_of(job, offset, nbytes)
        length = span(data, limit)
        if not length and len(data) >= HEAD.size:
            size = HEAD.unpack_from(data)[0] + OVERHEAD
            if nbytes < size <= min(p.CHUNK + OVERHEAD, log.size - offset):
                data = self.bytes_of(job, offset, size)
                length = span(data, size)
        return data[:length]


def _note(text: str) -> bytes:
    return pack("note", f"\n[rexec: {text}]\n".encode())
