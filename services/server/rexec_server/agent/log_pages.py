"""Answers to whoever reads the log of a job, now or as soon as there is more of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec
from msgspec import structs

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.logs import HEAD, KINDS, MORE, OVERHEAD, TAIL, End, pack
from rexec_server.agent.job import Job, Shared
from rexec_server.agent.logs import Logs
from rexec_server.agent.timers import Timer

WAITING = 1000
"""Readers that may wait at once; the others have their answer at once."""
LOOKED_AT = 8 * 1024 * 1024
"""Bytes of the end of a log in which its last lines are looked for."""
READ_SOON = 5.0
"""Seconds for which a reader is taken to come again."""

_LINES = frozenset(KINDS.index(kind) for kind in ("stdout", "stderr", "note"))
_SHOWN = frozenset(KINDS.index(kind) for kind in ("display", "result"))


class LogPages:
    """Answers `protocol.ReadLog`."""

    def __init__(self, shared: Shared, logs: Logs) -> None:
        self._shared = shared
        self._logs = logs
        self._waiting: dict[str, dict[str, tuple[p.ReadLog, Timer]]] = {}
        self._waiters = 0
        logs.changed = self._changed

    def ask(self, now: float, message: p.ReadLog, frame: object) -> None:
        """Answer, or wait until there is something to answer."""
        del frame
        if message.request in self._waiting.get(message.job, ()):
            return
        job = self._shared.jobs.get(message.job)
        size = self._size(message.job)
        if message.tail:
            offset = self._tail(message.job, size, message.tail)
            message = structs.replace(message, offset=offset, tail=0)
        if job is None or job.terminal or job.submit.hidden or message.offset < size:
            self._answer(now, message)
            return
        job.watched = now + message.wait + READ_SOON
        if job.outputs is not None:
            job.outputs.hasten(now)
        if not message.wait or self._waiters >= WAITING or self._size(job.id) > size:
            self._answer(now, message)
            return
        timer = self._shared.timers.at(now + message.wait, partial(self._give_up, message))
        self._waiting.setdefault(job.id, {})[message.request] = message, timer
        self._waiters += 1

    def _size(self, job: str) -> int:
        log = self._logs.find(job)
        return log.size if log is not None else 0

    def _changed(self, now: float, job: str) -> None:
        waiting = self._waiting.pop(job, None)
        if waiting is not None:
            self._waiters -= len(waiting)
            for message, timer in waiting.values():
                self._shared.timers.cancel(timer)
                self._answer(now, message)

    def _give_up(self, message: p.ReadLog, now: float) -> None:
        waiting = self._waiting.get(message.job, {})
        if waiting.pop(message.request, None):
            self._waiters -= 1
            if not waiting:
                del self._waiting[message.job]
            self._answer(now, message)

    def clear(self) -> None:
        """Forget who waits: they ask again."""
        for waiting in self._waiting.values():
            for _, timer in waiting.values():
                self._shared.timers.cancel(timer)
        self._waiting.clear()
        self._waiters = 0

    # ------------------------------------------------------------------------- answers

    def _answer(self, now: float, message: p.ReadLog) -> None:
        job = self._shared.jobs.get(message.job)
        if job is not None and job.submit.hidden:
            job = None
        log = self._logs.find(message.job)
        limit = min(message.limit, p.CHUNK)
        ended = job is None or job.terminal > 0
        if log is not None:
            offset = min(message.offset, log.size)
            data = self._logs.read(message.job, offset, limit)
            self._page(message, data, offset, log.size, ended=ended)
        elif job is not None and not ended:
            self._page(message, b"", 0, 0, ended=False)
        elif (told := self._told(now, message.job, job)) is not None:
            self._page(message, told[message.offset :], message.offset, len(told), ended=True)
        else:
            unknown = p.LogPage(request=message.request, job=message.job, known=False)
            self._shared.send(unknown)

    def _page(
        self, message: p.ReadLog, data: bytes, offset: int, size: int, *, ended: bool
    ) -> None:
        page = p.LogPage(
            frames=int(bool(data)),
            request=message.request,
            job=message.job,
            known=True,
            offset=offset,
            # Where nothing can be read although it should, there is no use in trying again.
            next=offset + len(data) if data else size,
            size=size,
            ended=ended,
        )
        self._shared.send(page, data or None)

    def _told(self, now: float, job_id: str, job: Job | None) -> bytes | None:
        """Return the log of a job without a file that has ended; None if nobody knows it."""
        row = job.summary(now) if job is not None else None
        if row is None:
            row = next((row for row in self._shared.history if row.job == job_id), None)
        removed = self._logs.was_removed(job_id)
        if row is None and not removed:
            return None
        data = b""
        if removed:
            data = pack("note", b"[rexec: this log had to make room for newer ones]\n")
        if row is not None:
            data += pack("end", msgspec.msgpack.encode(End(row.state, duration=row.duration)))
        return data

    def _tail(self, job: str, size: int, lines: int) -> int:
        """Return where the record begins that holds the last so many lines."""
        at = size
        lines += 1  # the first one may have begun in a record before
        for begin, kind, count in self._backwards(job, size):
            enough = lines <= 0 or size - at >= LOOKED_AT
            if enough and not kind & MORE:  # else the record that follows begins in this one
                break
            at = begin
            if kind in _LINES:
                lines -= count
            elif kind in _SHOWN:
                lines -= 1
        return at

    def _backwards(self, job: str, at: int) -> Iterator[tuple[int, int, int]]:
        """Yield where each record begins, its kind and its line ends, from the last one on."""
        while at > 0:
            start = max(at - p.CHUNK - OVERHEAD, 0)
            block = self._logs.bytes_of(job, start, at - start)
            end = len(block)
            while end >= OVERHEAD:
                (length,) = TAIL.unpack_from(block, end - TAIL.size)
                begin = end - length - OVERHEAD
                if begin < 0:
                    break
                _, kind = HEAD.unpack_from(block, begin)
                count = block.count(b"\n", begin + HEAD.size, end - TAIL.size)
                yield start + begin, kind, count
                end = begin
            if end == len(block):
                return
            at = start + end
