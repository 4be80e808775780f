"""What ``%rexec`` tells: the backend, the sessions, who one is, and help."""

from __future__ import annotations

import argparse
import getpass
import html
import json
import platform
from typing import TYPE_CHECKING, ClassVar

from IPython.core.error import UsageError

from rexec_jupyter import _connect, reports
from rexec_jupyter._version import __version__
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.logins import Logins
from rexec_jupyter.core.protocol import VERSIONS
from rexec_jupyter.core.settings import nearest
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.core.versions import PYTHON, minor
from rexec_jupyter.endpoint import showing
from rexec_jupyter.magics.commands import servers
from rexec_jupyter.magics.commands.auth import normal_or_empty
from rexec_jupyter.magics.commands.command import Command, Shown, arg
from rexec_jupyter.widget.table import Column, Facts, Table

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

_QUICK = 3.0
_LOCAL = ("", "local")
_HEAD = "font-size: var(--jp-ui-font-size1, 13px); padding: 2px 8px"


class Status:
    """How things stand.

    Parameters
    ----------
    headline
        The backend, or that there is none yet.
    sessions, jobs
        What there is; None if nobody was asked.
    pages
        Addresses of the endpoint on this computer, by what is there.
    """

    def __init__(
        self,
        headline: str,
        sessions: Table | None = None,
        jobs: Table | None = None,
        pages: dict[str, str] | None = None,
    ) -> None:
        self.headline = headline
        self.pages = pages or {}
        self.sessions = Table() if sessions is None else sessions
        self.jobs = Table() if jobs is None else jobs
        self._tables = [table for table in (sessions, jobs) if table is not None]

    def __repr__(self) -> str:
        pages = " · ".join(f"{name} {url}" for name, url in self.pages.items())
        head = "\n".join(filter(None, (self.headline, pages)))
        return "\n\n".join([head, *map(repr, self._tables)])

    def _repr_html_(self) -> str:
        links = (
            f'{html.escape(name)} <a href="{html.escape(url)}" target="_blank" rel="noopener">'
            f"{html.escape(url)}</a>"
            for name, url in self.pages.items()
        )
        pages = f"<br>{' · '.join(links)}" if self.pages else ""
        head = f'<div style="{_HEAD}">{html.escape(self.headline)}{pages}</div>'
        return head + "".join(table._repr_html_() for table in self._tables)

    def json(self) -> str:
        """Return it as JSON text."""
        told: dict[str, object] = {"backend": self.headline}
        told |= {"sessions": self.sessions, "jobs": self.jobs}
        told |= {"pages": self.pages} if self.pages else {}
        return json.dumps(told, ensure_ascii=False, indent=2)


def _status(desk: Desk, _given: argparse.Namespace) -> Status:
    return status(desk)


def status(desk: Desk) -> Status:
    """Tell how things stand; starts nothing."""
    client = desk.connected()
    if client is None:
        url = desk.settings.now().url
        where = f"connects to {url}" if url not in _LOCAL else "starts a server on this computer"
        return Status(f"rexec is ready; nothing runs yet. The first %%rexec cell {where}.")
    now = client.status()
    facts = [now.backend, now.state]
    facts += [now.detail] if now.detail else []
    facts += [f"Python {server.python}" for server in now.servers[:1] if server.python]
    facts.append(f"cells run in session {desk.active}")
    headline = " · ".join(facts)
    if now.state != "connected":
        return Status(headline)
    try:
        every = reports.sessions(client, active=desk.active, timeout=_QUICK)
        sessions = _without_stopped(every)
        still = [info for info in client.jobs(timeout=_QUICK) if info.state in OPEN]
    except RexecError:
        return Status(headline)  # it tells the state of the connection
    jobs = reports.job_table(still)
    jobs.empty = "Nothing runs now. %rexec jobs lists what ran."
    return Status(headline, sessions, jobs, _pages(now.backend))


def _pages(backend: str) -> dict[str, str]:
    """Return the addresses of the embedded backend's endpoint, if that is the backend."""
    from rexec_jupyter.local.backend import LocalBackend  # noqa: PLC0415 - not every user has one
    from rexec_jupyter.local.lease import local_status  # noqa: PLC0415 - as above

    if backend != LocalBackend.description:
        return {}
    api = local_status(_QUICK).get("api")
    return {"catalog": api["url"], "its API": api["docs"]} if api else {}


def _sessions(desk: Desk, given: argparse.Namespace) -> Table:
    if told := servers.none_runs(desk):
        return Table(empty=told)
    table = reports.sessions(desk.client(), active=desk.active)
    return table if given.all else _without_stopped(table)


def _without_stopped(table: Table) -> Table:
    gone = [row for row in table if row["state"] == "stopped" and not row["active"]]
    for row in gone:
        table.remove(row)
    table.note = f"{len(gone)} stopped: %rexec sessions --all" if gone else ""
    return table


def _servers(_desk: Desk, _given: argparse.Namespace) -> Table:
    with _connect.servers() as there:
        return showing.servers(there)


def _profiles(desk: Desk, _given: argparse.Namespace) -> Table:
    client = desk.connected()
    with _connect.servers() as there:
        return showing.profiles(there, client.status().servers if client is not None else ())


def _whoami(desk: Desk, _given: argparse.Namespace) -> Facts:
    url = desk.settings.now().url
    where = normal_or_empty(url)
    login = Logins().login(where, url) if where else None
    client = desk.connected()
    user = getpass.getuser()
    backend = where or "embedded backend"
    connected = client is not None and client.status().state == "connected"
    shown = {
        "user": user,
        "backend": backend,
        "connection": "there is one" if connected else "none yet",
        "login": login.url if login else "none" if where else "not needed on this computer",
    }
    logins = [other.url for other in Logins().all()]
    if others := [url for url in logins if login is None or url != login.url]:
        shown["other logins"] = ", ".join(others)
    facts = {"user": user, "backend": backend, "connected": connected, "logins": logins}
    return Facts({**facts, "login": login.url if login else None}, shown=shown)


def _doctor(desk: Desk, _given: argparse.Namespace) -> Table:
    from rexec_jupyter.core import doctor  # noqa: PLC0415 - seldom used

    findings = doctor.examine(desk.connected())
    marks = {"ok": "✓", "warn": "!", "fail": "✗"}
    rows = [{"check": f.check, "state": f.state, "text": f.text, "hint": f.hint} for f in findings]
    bad = sum(row["state"] == "fail" for row in rows)
    return Table(
        rows,
        [
            Column("state", "", lambda state: marks.get(state, state)),
            "check",
            Column("text", "found", wide=True),
            Column("hint", "what to do", wide=True),
        ],
        note=f"{bad} of {len(rows)} checks failed." if bad else "Nothing is wrong.",
    )


class Help:
    """Help on the subcommands."""

    commands: ClassVar[dict[str, Command]] = {}

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_pretty_(self, printer: object, _cycle: bool) -> None:  # noqa: FBT001 - IPython's protocol
        printer.text(self.text)  # type: ignore[attr-defined] # IPython's printer has no types

    def _repr_html_(self) -> str:
        return f'<pre style="white-space: pre-wrap">{html.escape(self.text)}</pre>'

    def json(self) -> str:
        """Return the subcommands as JSON text."""
        told = {
            name: {
                "group": command.group,
                "summary": command.summary,
                "usage": command.usage,
                "options": command.options,
            }
            for name, command in self.commands.items()
        }
        return json.dumps(told, ensure_ascii=False, indent=2)

    @classmethod
    def overview(cls) -> Help:
        """Return one line on each subcommand."""
        size = max(map(len, cls.commands), default=0)
        lines = ["%rexec SUBCOMMAND: manage sessions, jobs and data", ""]
        group = ""
        for name, command in cls.commands.items():
            if command.group != group:
                lines += [""] if group else []
                group = command.group
            lines.append(f"  {name:{size}}  {command.summary}")
        lines += [
            "",
            "%rexec SUBCOMMAND --help tells more. %%rexec on top of a cell runs the cell there;",
            "%%rexec? tells its options. %rx CODE runs one line.",
        ]
        return cls("\n".join(lines))


def _help(_desk: Desk, given: argparse.Namespace) -> Shown:
    asked = given.topic.lower()
    topic = "cell" if asked == "%%rexec" else asked.lstrip("%")
    if not topic or topic in ("rexec", "line"):
        return Help.overview()
    if topic in ("cell", "options", "rx"):
        from rexec_jupyter.magics import options  # noqa: PLC0415 - it is heavy

        return Help(options.usage())
    command = Help.commands.get(topic)
    if command is None:
        known = [*Help.commands, "cell"]
        raise UsageError(f"%rexec help: no such topic: {topic!r}{nearest(topic, known)}")
    return Help(command.help())


def _version(desk: Desk, _given: argparse.Namespace) -> Facts:
    client = desk.connected()
    known = client.status().servers if client is not None else []
    there = [server.python for server in known if server.python]
    facts: dict[str, object] = {
        "rexec": __version__,
        "python": platform.python_version(),
        "protocol": list(VERSIONS),
        "server_python": there[0] if there else None,
    }
    shown = {"rexec": __version__, "Python here": platform.python_version()}
    if there:  # of which only that is told
        shown = {"rexec": __version__, "Python here": PYTHON, "Python there": minor(there[0])}
    shown["protocol"] = "–".join(map(str, sorted(set(VERSIONS))))
    return Facts(facts, shown=shown)


COMMANDS = (
    Command("status", "state", "tell how things stand; starts nothing", _status),
    Command(
        "sessions",
        "state",
        "list your sessions, whoever started them",
        _sessions,
        (arg("--all", action="store_true", help="stopped ones too"),),
    ),
    Command("servers", "state", "list your servers at the endpoint, and when they end", _servers),
    Command("profiles", "state", "list what kinds of sessions there are", _profiles),
    Command("whoami", "state", "tell who you are, and where", _whoami),
    Command("doctor", "state", "check everything that must be right, and say what to do", _doctor),
    Command(
        "help",
        "state",
        "explain a subcommand",
        _help,
        (arg("topic", nargs="?", default="", metavar="TOPIC", help="a subcommand, or cell"),),
        completes="topic",
    ),
    Command("version", "state", "tell the versions on both sides", _version),
)
