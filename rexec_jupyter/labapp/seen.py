"""What is seen of a backend, and what of it is news."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.labapp.messages import (
    Alert,
    Connection,
    Elsewhere,
    Job,
    News,
    Server,
    Session,
    Usage,
)
from rexec_jupyter.labapp.polling import SLOW, Poll

_MOST_JOBS = 1000


State = Literal["stopped", "login", "idle", "connecting", "connected", "reconnecting", "failed"]
"""As in `messages.Connection`."""


class Standing(NamedTuple):
    """How one stands with a backend, and what there is to say about it."""

    state: State
    text: str
    hint: str = ""
    code: str = ""

    @classmethod
    def of(cls, state: State, error: RexecError) -> Self:
        """Return it where something is wrong."""
        return cls(state, error.message, error.hint, error.code)


@dataclass
class Seen:
    """How things stand with a backend; `jobs` are the newest first."""

    connection: Connection
    alerts: list[Alert] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.jobs) > _MOST_JOBS:
            ended = self.jobs[_MOST_JOBS:]
            self.jobs = self.jobs[:_MOST_JOBS] + [job for job in ended if job.open]


def everything(seen: Seen, now: float, usage: list[Usage]) -> News:
    """Return all that there is, for who knows nothing yet."""
    return News(
        now=now,
        connection=seen.connection,
        elsewhere=seen.elsewhere,
        alerts=seen.alerts,
        servers=seen.servers,
        sessions=seen.sessions,
        jobs=seen.jobs,
        all_jobs=True,
        usage=usage,
    )


def news(before: Seen, seen: Seen, now: float, **more: Any) -> News | None:
    """Return what changed; None if nothing did and there is nothing more."""
    changed: dict[str, Any] = {key: value for key, value in more.items() if value}
    for part in ("connection", "elsewhere", "alerts", "servers", "sessions"):
        if (value := getattr(seen, part)) != getattr(before, part):
            changed[part] = value
    known = {job.id: job for job in before.jobs}
    other = [job for job in seen.jobs if known.pop(job.id, None) != job]
    if other:
        changed["jobs"] = other
    if known:
        changed["gone"] = list(known)
    return News(now=now, **changed) if changed else None


def slow(key: str, who: str, *polls: Poll[Any]) -> list[Alert]:
    """Return an alert if something takes long to answer."""
    if not any(poll.slow for poll in polls):
        return []
    return [
        Alert(
            key=f"slow:{key}",
            severity="warning",
            cause=f"{who} takes more than {SLOW:g} s to answer.",
            hint="What is shown here may be older than that. It goes on by itself.",
        )
    ]


def named(alerts: Iterable[Alert]) -> list[Alert]:
    """Return alerts, each key once, errors first."""
    order = {"error": 0, "warning": 1, "info": 2}
    unique = {alert.key: alert for alert in alerts}
    return sorted(unique.values(), key=lambda alert: order[alert.severity])
