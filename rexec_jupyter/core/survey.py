"""The sessions and jobs of all the user's servers, put together from what each one tells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from rexec_jupyter.core import protocol as p


class Survey(NamedTuple):
    """What one server tells.

    Attributes
    ----------
    sessions
        By name.
    jobs
        Newest first.
    """

    server: p.ServerState
    sessions: list[p.SessionInfo]
    jobs: list[p.JobInfo]


def sessions_of(answers: Iterable[tuple[str, p.SessionList]]) -> list[p.SessionInfo]:
    """Return the sessions by name, from the answers of servers and the scopes of those."""
    # The interpreter that a server has ready for `default` is of no use in that of another.
    rows = [
        row
        for scope, answer in answers
        for row in answer.sessions
        if not scope or row.session == scope
    ]
    return by_name(rows)


def jobs_of(answers: Iterable[p.JobList]) -> list[p.JobInfo]:
    """Return the jobs, newest first, from the answers of servers."""
    # Those that came together are as old as each other; the server tells the older one first.
    return newest_first(job for answer in answers for job in reversed(answer.jobs))


def by_name(rows: Iterable[p.SessionInfo]) -> list[p.SessionInfo]:
    """Return sessions in the order in which they are told."""
    return sorted(rows, key=lambda row: row.session)


def newest_first(rows: Iterable[p.JobInfo]) -> list[p.JobInfo]:
    """Return jobs in the order in which they are told."""
    return sorted(rows, key=lambda row: row.submitted_ago)


def aged(survey: Survey, seconds: float) -> Survey:
    """Return what was told that many seconds ago as it would be told now, if nothing changed."""
    replace = msgspec.structs.replace
    sessions = [
        replace(
            each,
            started_ago=_older(each.started_ago, seconds),
            idle_for=_older(each.idle_for, seconds),
        )
        for each in survey.sessions
    ]
    jobs = [
        replace(
            each,
            submitted_ago=each.submitted_ago + seconds,
            started_ago=_older(each.started_ago, seconds),
        )
        for each in survey.jobs
    ]
    return survey._replace(sessions=sessions, jobs=jobs)


def _older(ago: float, seconds: float) -> float:
    return ago + seconds if ago >= 0 else ago
