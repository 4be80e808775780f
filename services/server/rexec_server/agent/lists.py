"""Lists for people: the jobs that the agent knows of, and the sessions."""

from __future__ import annotations

from typing import Any

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_server.agent.job import Shared
from rexec_server.agent.sessions import Sessions

ROWS = 500
"""Jobs that are listed at most."""


class Lists:
    """Answers `protocol.ListJobs` and `protocol.ListSessions`."""

    def __init__(self, shared: Shared, sessions: Sessions) -> None:
        self._shared = shared
        self._sessions = sessions

    def jobs(self, now: float, message: p.ListJobs, frame: object) -> None:
        """List the jobs in custody and those of the history, newest first."""
        del frame
        jobs = self._shared.jobs.values()
        rows = [job.summary(now) for job in jobs if not job.submit.hidden]
        rows += self._shared.history
        rows.sort(key=lambda row: row.at, reverse=True)
        infos = [
            p.JobInfo(
                job=row.job,
                session=row.session,
                kind=row.kind,
                label=row.label,
                state=row.state,
                submitted_ago=max(0.0, now - row.at),
                started_ago=max(0.0, now - row.started) if row.started >= 0 else -1.0,
                duration=row.duration,
            )
            for row in rows[:ROWS]
        ]
        self._shared.send(p.JobList(request=message.request, jobs=_fitting(infos)))

    def sessions(self, now: float, message: p.ListSessions, frame: object) -> None:
        """List the sessions, by name."""
        del frame
        rows = _fitting(self._sessions.rows(now)[:ROWS])
        self._shared.send(p.SessionList(request=message.request, sessions=rows))


def _fitting(rows: list[Any]) -> list[Any]:
    while len(msgspec.msgpack.encode(rows)) > p.MAX_HEADER // 2:
        del rows[len(rows) // 2 :]
    return rows
