"""What ``%rexec`` tells: the backend, the sessions, and what runs there."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.settings import Settings
from rexec_jupyter.magics.options import nearest
from rexec_jupyter.widget.status import duration

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.protocol import JobInfo
    from rexec_jupyter.magics.cell import CellRunner

_JOBS_TIMEOUT = 3.0
_OPEN = frozenset(("queued", "running", "streaming"))
_LIKE_CODE = re.compile(r"[^\w\s-]|^\s*\w+\s+\w")


@dataclass(frozen=True, slots=True)
class Report:
    """How things stand.

    Attributes
    ----------
    headline
        The backend, or that there is none yet.
    sessions
        Name of each session that is known here, and what can be said of it.
    jobs
        What runs or waits, newest first, whoever submitted it.
    """

    headline: str
    sessions: dict[str, str] = field(default_factory=dict)
    jobs: list[JobInfo] = field(default_factory=list)

    def _job_rows(self) -> list[tuple[str, ...]]:
        return [
            (
                job.job[:8],
                job.session,
                job.state,
                duration(job.started_ago if job.started_ago >= 0 else job.submitted_ago),
                job.label,
            )
            for job in self.jobs
        ]

    def __repr__(self) -> str:
        lines = [self.headline]
        lines += [f"  session {name}: {told}" for name, told in self.sessions.items()]
        lines += [f"  job {'  '.join(row)}" for row in self._job_rows()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        text = f'<div style="padding-left: 8px">{html.escape(self.headline)}</div>'
        if self.sessions:
            text += _table(("session", "state"), list(self.sessions.items()))
        if self.jobs:
            text += _table(("job", "session", "state", "for", "cell"), self._job_rows())
        return text


def run(runner: CellRunner, arguments: str) -> Report:
    """Do what stands after ``%rexec``.

    Raises
    ------
    UsageError
        If there is no such subcommand.
    """
    word, *_ = [*arguments.split(), "status"]
    command = _COMMANDS.get(word)
    if command is None:
        if _LIKE_CODE.search(arguments):
            raise UsageError(f"%rexec: {word!r} is no subcommand; did you mean %rx {arguments}?")
        raise UsageError(
            f"%rexec: unknown subcommand {word!r}{nearest(word, _COMMANDS)} "
            f"(there is: {', '.join(_COMMANDS)})"
        )
    return command(runner)


def status(runner: CellRunner) -> Report:
    """Tell how things stand; starts nothing."""
    client = runner.client
    if client is None:
        url = Settings.from_environment().url
        where = (
            f"connects to {url}" if url not in ("", "local") else "starts a server on this computer"
        )
        return Report(f"rexec is ready; nothing runs yet. The first %%rexec cell {where}.")
    now = client.status()
    facts = [now.backend, now.state]
    facts += [now.detail] if now.detail else []
    facts += [f"Python {server.python}" for server in now.servers[:1] if server.python]
    jobs = _open_jobs(client) if now.state == "connected" else []
    names = [runner.session, *runner.ledgers, *(job.session for job in jobs if job.kind == "cell")]
    sessions = {name: _told(runner, name, jobs) for name in dict.fromkeys(names)}
    return Report(" · ".join(facts), sessions, jobs)


_COMMANDS: dict[str, Callable[[CellRunner], Report]] = {"status": status}


def _open_jobs(client: Client) -> list[JobInfo]:
    try:
        return [job for job in client.jobs(timeout=_JOBS_TIMEOUT) if job.state in _OPEN]
    except RexecError:
        return []  # the headline tells the state of the connection


def _told(runner: CellRunner, name: str, jobs: list[JobInfo]) -> str:
    busy = sum(job.session == name and job.kind == "cell" for job in jobs)
    ledger = runner.ledgers.get(name)
    held = len(ledger.own | ledger.sent.keys()) if ledger else 0
    facts = ["active"] if name == runner.session else []
    facts.append(f"{busy} cell{'s' if busy > 1 else ''} running or waiting" if busy else "idle")
    facts += [f"{held} names from this notebook"] if held else []
    return ", ".join(facts)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
