"""What the journal tells after a restart, and how it is kept from growing."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.logs import state_of
from rexec_server.agent.delivery import job_overhead, remember
from rexec_server.agent.job import ITEM, OTHER, OUTPUT, OVERHEAD, TAIL_LINES, Job, Shared
from rexec_server.agent.logs import Logs
from rexec_server.agent.outcome import Outcome
from rexec_server.agent.records import Accepted, Begun, Entry, Forgotten
from rexec_server.agent.schedule import Schedule

SLACK = 16 * 1024 * 1024
"""Bytes of the journal that may be of no use before it is compacted."""

_log = logging.getLogger(__name__)
_Found = dict[str, dict[int, Entry]]


class Recovery:
    """Rebuilds the jobs from the journal."""

    def __init__(self, shared: Shared, logs: Logs, schedule: Schedule, outcome: Outcome) -> None:
        self._shared = shared
        self._logs = logs
        self._schedule = schedule
        self._outcome = outcome

    def restore(self, now: float) -> None:
        """Read the journal. Jobs that did not start run; those that did have crashed."""
        accepted: dict[str, Entry] = {}
        events: _Found = {}
        begun: set[str] = set()
        self._read(accepted, events, begun)
        known: set[str] = set()
        restored: list[tuple[Job, bool]] = []
        for job_id, entry in accepted.items():
            job = self._rebuild(now, entry, events.pop(job_id, {}))
            started = entry.record.started or job_id in begun or job.seq > 0
            restored.append((job, started))
            known.update(name for name, _ in job.files.values())
            known.add(job.file)
        for orphans in events.values():
            for entry in orphans.values():
                self._shared.journal.drop(entry.position)
        self._shared.spool.sweep(known)
        self._logs.restore(now, {job.id for job, _ in restored if not job.terminal})
        for job, started in restored:
            self._resume(now, job, started=started)

    def _read(self, accepted: dict[str, Entry], events: _Found, begun: set[str]) -> None:
        journal = self._shared.journal
        for entry in journal.replay():
            record = entry.record
            if isinstance(record, Accepted):
                _replace(journal, accepted, record.job, entry)
            elif isinstance(record, Begun):
                begun.add(record.job)
                journal.drop(entry.position)
            elif isinstance(record, Forgotten):
                begun.discard(record.job)
                journal.drop(entry.position)
                gone = accepted.pop(record.job, None)
                if gone is not None:
                    journal.drop(gone.position)
                for event in events.pop(record.job, {}).values():
                    journal.drop(event.position)
                remember(self._shared, record)
            else:
                _replace(journal, events.setdefault(record.job, {}), record.seq, entry)

    def _rebuild(self, now: float, entry: Entry, events: dict[int, Entry]) -> Job:
        shared = self._shared
        record: Accepted = entry.record
        job = Job(record.submit, entry.position, min(record.at, now))
        job.file = record.file
        job.acked_items, job.acked_output = record.acked_items, record.acked_output
        job.items = record.acked_items
        shared.jobs[job.id] = job
        shared.stored += job_overhead(job)
        last = max(events, default=record.acked)
        first = last
        while first - 1 in events:
            first -= 1
        job.acked = job.seq = job.sent = (first - 1) if events else record.acked
        for seq in sorted(events):
            if seq <= job.acked:
                shared.journal.drop(events[seq].position)
            else:
                self._restore_event(now, job, events[seq])
        job.spent = job.acked_output
        if job.terminal:
            job.file = ""  # it went with the end, or goes now
        elif job.file:
            shared.stored += record.submit.payload.nbytes
        return job

    def _restore_event(self, now: float, job: Job, entry: Entry) -> None:
        event = entry.record
        kind = OUTPUT if isinstance(event, p.Output) else OTHER
        self._shared.stored += entry.nbytes + OVERHEAD
        if isinstance(event, p.Item):
            kind = ITEM
            job.items += 1
        if isinstance(event, p.Item | p.Done | p.Failed) and event.payload.segment:
            job.files[event.seq] = (event.payload.segment, event.payload.nbytes)
            self._shared.stored += event.payload.nbytes
        job.note(event.seq, entry.position, entry.nbytes, kind)
        if isinstance(event, p.TERMINAL):
            job.terminal = event.seq
            job.state = state_of(event)
            job.ended = now
            job.duration = getattr(event, "duration", 0.0)

    def _resume(self, now: float, job: Job, *, started: bool) -> None:
        if job.terminal:
            self._shared.unacked[job.id] = job
            return
        if not started and self._shared.journal.trusted:
            self._schedule.enqueue(now, job)
            return
        self._schedule.adopt(job)
        if started:
            reason = "The server's agent was restarted while the code ran, which ended it."
            job.tail = self._last_output(job)
        else:
            reason = (
                "The server's agent was restarted and its journal is damaged: "
                "the code may have run or not, and was not started again."
            )
        self._outcome.crash(now, job, reason, None)

    def _last_output(self, job: Job) -> bytes:
        tail = b""
        for index in reversed(range(len(job.positions))):
            try:
                event, content = self._shared.journal.read(job.positions[index])
            except OSError:
                break
            if isinstance(event, p.Output) and event.stream in ("stdout", "stderr"):
                tail = (content + tail)[-4096:]
                if tail.count(b"\n") > TAIL_LINES:
                    break
        return tail

    # ------------------------------------------------------------------------ compaction

    def compact(self) -> None:
        """Move what is still needed out of the oldest part, if too much there is not."""
        shared = self._shared
        while shared.journal.size > 2 * shared.stored + SLACK:
            size = shared.journal.size
            for entry in list(shared.journal.oldest()):
                job = shared.jobs.get(entry.record.job)
                if job is not None:
                    # What cannot be read goes; whoever wants it is told so.
                    with contextlib.suppress(OSError):
                        self._move(job, entry)
            if not shared.journal.flush() or shared.journal.size >= size:
                return

    def _move(self, job: Job, entry: Entry) -> None:
        journal = self._shared.journal
        record = entry.record
        if isinstance(record, Accepted) and entry.position == job.position:
            journal.drop(entry.position)
            content = b""
            if job.state == "queued" and not job.file:
                _, content = journal.read(entry.position)
            job.position = journal.append(self._snapshot(job), content)
        elif isinstance(record, p.Event) and job.acked < record.seq <= job.seq:
            index = record.seq - job.acked - 1
            if job.positions[index] == entry.position:
                journal.drop(entry.position)
                job.positions[index] = journal.append(*journal.read(entry.position))

    def _snapshot(self, job: Job) -> Any:
        return Accepted(
            job=job.id,
            submit=job.submit,
            at=job.at,
            file=job.file,
            started=job.state != "queued",
            acked=job.acked,
            acked_items=job.acked_items,
            acked_output=job.acked_output,
        )


def _replace(journal: Any, found: dict[Any, Entry], key: Any, entry: Entry) -> None:
    old = found.get(key)
    if old is not None:
        journal.drop(old.position)
    found[key] = entry
