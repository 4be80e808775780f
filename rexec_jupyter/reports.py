"""What there is to tell of a backend, as tables: for ``%rexec`` and for the ``rexec`` command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core.states import OPEN
from rexec_jupyter.widget.status import duration, size
from rexec_jupyter.widget.table import Column, Table

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.happenings import NameInfo
    from rexec_jupyter.core.protocol import JobInfo, SessionInfo

RECENT = 20
"""Jobs that are listed unless more are asked for; open ones are listed in any case."""

_DAY = timedelta(days=1)


def sessions(client: Client, *, active: str = "", timeout: float = 10.0) -> Table:
    """Return the user's sessions, whoever started them.

    Parameters
    ----------
    client
        The connection.
    active
        The session that cells of this notebook run in; marked.
    timeout
        Seconds to wait for an answer.
    """
    rows = [_session_row(info, active) for info in client.sessions(timeout=timeout)]
    return Table(
        rows,
        [
            Column("active", "", lambda value: "*" if value else ""),
            Column("session", "session"),
            Column("state", "state"),
            Column("running", "job", lambda job: str(job)[:8]),
            Column("queued", "waiting", lambda count: str(count) if count else "", right=True),
            Column("started", "started", clock),
            Column("idle_for", "idle for", _coarse, right=True),
        ],
        empty="No sessions. One starts with its first %%rexec cell, or with %rexec start NAME.",
    )


def _coarse(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else "0 s"


def _session_row(info: SessionInfo, active: str) -> dict[str, Any]:
    return {
        "session": info.session,
        "state": info.state,
        "active": info.session == active,
        "running": info.running,
        "queued": info.queued,
        "started": ago(info.started_ago),
        "idle_for": round(info.idle_for, 3) if info.idle_for >= 0 else None,
        "incarnation": info.incarnation,
    }


def jobs(
    client: Client,
    *,
    all: bool = False,  # noqa: A002 - named as the option
    limit: int = RECENT,
    timeout: float = 10.0,
) -> Table:
    """Return the user's jobs, whoever submitted them: open ones first, then newest first.

    Parameters
    ----------
    client
        The connection.
    all
        List every job that the server remembers.
    limit
        Otherwise: as many at most, but every open one.
    timeout
        Seconds to wait for an answer.
    """
    return job_table(client.jobs(timeout=timeout), all=all, limit=limit)


def job_table(
    infos: Iterable[JobInfo],
    *,
    all: bool = False,  # noqa: A002 - named as the option
    limit: int = RECENT,
) -> Table:
    """Return a table of jobs; else as `jobs`."""
    newest = sorted(infos, key=lambda info: info.submitted_ago)
    still = [info for info in newest if info.state in OPEN]
    ended = [info for info in newest if info.state not in OPEN]
    shown = ended if all else ended[: max(limit - len(still), 0)]
    left = len(ended) - len(shown)
    older = f"{left:,} more: %rexec jobs --all" if left else ""
    return Table(
        [_job_row(info) for info in (*still, *shown)],
        [
            Column("id", "job", lambda job: str(job)[:8]),
            Column("name", "name"),
            Column("session", "session"),
            Column("state", "state"),
            Column("started", "started", clock),
            Column("duration", "duration", duration, right=True),
        ],
        empty="No open jobs." if left else "No jobs.",
        note=older,
    )


def _job_row(info: JobInfo) -> dict[str, Any]:
    return {
        "id": info.job,
        "name": info.label,
        "session": info.session,
        "kind": info.kind,
        "state": info.state,
        "submitted": ago(info.submitted_ago),
        "started": ago(info.started_ago),
        "duration": round(info.duration, 3) if info.started_ago >= 0 else None,
    }


def names(listing: Mapping[str, NameInfo], session: str) -> Table:
    """Return the variables of a session as ``%whos`` does."""
    return Table(
        [
            {
                "name": name,
                "type": info.type,
                "summary": info.summary,
                "nbytes": info.nbytes if info.nbytes >= 0 else None,
            }
            for name, info in sorted(listing.items())
        ],
        [
            Column("name", "name"),
            Column("type", "type"),
            Column("summary", "value"),
            Column("nbytes", "size", size, right=True),
        ],
        empty=f"Session {session} has no variables.",
    )


def files(entries: Iterable[Mapping[str, Any]], path: str) -> Table:
    """Return the files of a directory there.

    Parameters
    ----------
    entries
        With ``name``, ``kind`` (``file``, ``directory``, ``link``, ``other``), ``size`` in
        bytes, and ``modified`` as `time.time`.
    path
        The directory.
    """
    rows = [
        {
            "name": entry["name"] + ("/" if entry["kind"] == "directory" else ""),
            "kind": entry["kind"],
            "size": entry.get("size") if entry["kind"] == "file" else None,
            "modified": _moment(entry.get("modified")),
        }
        for entry in entries
    ]
    return Table(
        rows,
        [
            Column("name", "name"),
            Column("size", "size", size, right=True),
            Column("modified", "modified", clock),
        ],
        empty=f"{path} is empty.",
    )


def ago(seconds: float) -> str | None:
    """Return the local time so many seconds ago in ISO format; None for less than none."""
    if seconds < 0:
        return None
    return (datetime.now().astimezone() - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def clock(moment: str) -> str:
    """Return a time of day, with the date unless that is today."""
    then = datetime.fromisoformat(moment)
    now = datetime.now().astimezone()
    if then.date() == now.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%d %b %H:%M}" if now - then < 180 * _DAY else f"{then:%Y-%m-%d}"


def _moment(stamp: float | None) -> str | None:
    if stamp is None:
        return None
    return datetime.fromtimestamp(stamp).astimezone().isoformat(timespec="seconds")
