"""``%rexec start``, ``use``, ``info``, ``restart``, ``stop``, ``extend`` and ``install``."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rexec_jupyter import _connect, reports
from rexec_jupyter.core.defaults import session_name
from rexec_jupyter.core.errors import StartError
from rexec_jupyter.core.quantities import duration as duration_
from rexec_jupyter.core.quantities import size
from rexec_jupyter.endpoint import showing
from rexec_jupyter.magics.commands import servers
from rexec_jupyter.magics.commands.command import Command, arg
from rexec_jupyter.magics.commands.packages import PIP_OPTIONS, SOURCE, requirements
from rexec_jupyter.magics.grammar import Environment, typed
from rexec_jupyter.widget.status import duration
from rexec_jupyter.widget.table import Facts

if TYPE_CHECKING:
    from rexec_jupyter.core.protocol import SessionInfo
    from rexec_jupyter.magics.commands.desk import Desk

_SET_VARIABLES = "import os\nos.environ.update(variables)"
_NOT_HERE = "is for sessions of a deployed backend; those of this computer share what it has"
_TIMELESS = (
    "is for sessions of a deployed backend; those of this computer last as long as somebody is "
    "connected"
)
_CLOCKS = ("idle_timeout", "orphan_timeout", "max_lifetime")
_name = typed(session_name)


def _start(desk: Desk, given: argparse.Namespace) -> Facts:
    packages = requirements(given.requirements)
    with _connect.servers() as there:
        if there is None:
            return _start_here(desk, given, packages)
        begun = servers.start(desk, there, given, packages)
    if given.no_wait:
        return begun
    return _begin_session(desk, given, begun)


def _begin_session(desk: Desk, given: argparse.Namespace, server: Facts) -> Facts:
    """Start the interpreter of a session on a server that is ready."""
    name = given.name or desk.active
    variables = {"variables": given.env} if given.env else None
    source = _SET_VARIABLES if given.env else ""
    job = desk.session(name).submit_cell(source, names=variables, hidden=True, stream=True)
    desk.wait(job)
    if given.env:
        server.title += f" Set until session {name} is restarted: {', '.join(given.env)}."
    if name != desk.active:
        server.note = f"Run cells there: %rexec use {shlex.quote(name)}"
    return server


def _start_here(desk: Desk, given: argparse.Namespace, packages: list[str]) -> Facts:
    for key, option in servers.OPTIONS.items():
        if getattr(given, key) is not None:
            why = _TIMELESS if key in _CLOCKS else _NOT_HERE
            raise UsageError(f"%rexec start: {option} {why}")
    if given.force:
        raise UsageError(f"%rexec start: --force {_NOT_HERE}")
    if given.profile not in ("", "default"):
        raise UsageError(f"%rexec start: there is no profile {given.profile!r}; there is: default")
    name = given.name or desk.active
    before = desk.info(name)
    running = before is not None and before.state in ("idle", "busy")
    if not running or given.env:
        session = desk.session(name)
        variables = {"variables": given.env} if given.env else None
        source = _SET_VARIABLES if given.env else ""
        job = session.submit_cell(source, names=variables, hidden=True, stream=True)
        if not given.no_wait:
            desk.wait(job)
    if packages:
        _install_there(desk, name, packages, upgrade=False)
    title = f"Session {name} {'runs already' if running else 'is ready'}."
    if given.no_wait and not running:
        title = f"Session {name} is starting."
    if given.env:
        title += f" Set until it is restarted: {', '.join(given.env)}."
    note = "" if name == desk.active else f"Run cells there: %rexec use {shlex.quote(name)}"
    return Facts({"session": name, "started": not running}, title=title, note=note, shown={})


def _use(desk: Desk, given: argparse.Namespace) -> Facts:
    desk.use(given.name)
    names = desk.names(given.name)
    note = f"It has {len(names)} variables." if names else ""
    return Facts(
        {"session": given.name}, title=f"Cells run in session {given.name}.", note=note, shown={}
    )


def _info(desk: Desk, given: argparse.Namespace) -> Facts:
    name = given.name or desk.active
    client = desk.client()
    info = _known(desk, name)
    server = next((s for s in client.status().servers if s.session in ("", name)), None)
    names, _ = desk.listing(name, info)
    facts = {
        "session": name,
        "active": name == desk.active,
        "state": info.state if info else "stopped",
        "running": info.running if info else "",
        "waiting": info.queued if info else 0,
        "started": reports.ago(info.started_ago) if info else None,
        "idle_for": info.idle_for if info and info.idle_for >= 0 else None,
        "interpreters": info.incarnation if info else 0,
        "profile": "default",
        "python": server.python if server else "",
        "machine": server.machine if server else "",
        "names": sorted(names),
    }
    shown = {
        "session": name + (" (active)" if facts["active"] else ""),
        "state": str(facts["state"]),
    }
    if info and info.running:
        shown["runs"] = f"job {info.running[:8]}"
    if info and info.queued:
        shown["waiting cells"] = str(info.queued)
    if info and info.started_ago >= 0:
        shown["started"] = reports.clock(str(facts["started"]))
    if info and info.idle_for >= 0:
        shown["idle for"] = duration(info.idle_for)
    shown["Python"] = str(facts["python"])
    if names:
        shown["variables"] = ", ".join(sorted(names))
    return Facts(facts, shown=shown)


def _known(desk: Desk, name: str) -> SessionInfo | None:
    """Return what is known of a session that was named; the active one may not exist yet."""
    info = desk.info(name)
    if info is None and name != desk.active:
        every = [other.session for other in desk.client().sessions()]
        raise UsageError(
            f"%rexec: there is no session {name!r}"
            + (f"; there is: {', '.join(every)}" if every else "; none has been started")
        )
    return info


def _keep(desk: Desk, name: str, verb: str, info: SessionInfo | None) -> None:
    losses = desk.losses(name, info)
    if losses:
        raise UsageError(
            f"%rexec {verb}: session {name} would lose {losses}; "
            f"%rexec {verb} {shlex.quote(name)} -f does it all the same"
        )


def _restart(desk: Desk, given: argparse.Namespace) -> Facts:
    name = given.name or desk.active
    info = _known(desk, name)
    if not given.force:
        _keep(desk, name, "restart", info)
    desk.session(name).restart()
    desk.lost(name)
    return Facts(
        {"session": name},
        title=f"Session {name} has a new interpreter, without variables.",
        shown={},
    )


def _stop(desk: Desk, given: argparse.Namespace) -> Facts:
    if given.all and given.name:
        raise UsageError("%rexec stop: either a NAME or --all")
    with _connect.servers() as there:
        if there is not None and (stopped := servers.stop(desk, there, given)) is not None:
            return stopped
    if none := servers.none_runs(desk):
        return Facts({"stopped": []}, title=none, shown={})
    live = [info for info in desk.client().sessions() if info.state != "stopped"]
    if not given.all:
        name = given.name or desk.active
        info = _known(desk, name)
        live = [info] if info is not None and info.state != "stopped" else []
    if not given.force:
        told = {info.session: desk.losses(info.session, info) for info in live}
        if len(live) == 1:
            _keep(desk, live[0].session, "stop", live[0])
        if any(told.values()):
            each = "; ".join(f"session {name}: {losses}" for name, losses in told.items() if losses)
            raise UsageError(
                f"%rexec stop: this would be lost: {each}; %rexec stop --all -f does it all the "
                "same"
            )
    for info in live:
        desk.session(info.session).stop()
        desk.lost(info.session)
    names = [info.session for info in live]
    if names:
        title = f"Stopped: {', '.join(names)}. The next cell there starts it anew."
    else:
        title = "No session runs." if given.all else f"Session {name} does not run."
    return Facts({"stopped": names}, title=title, shown={})


def _extend(desk: Desk, given: argparse.Namespace) -> Facts:
    try:
        name, seconds = showing.extension(given.words, desk.active)
    except ValueError as error:
        raise UsageError(f"%rexec extend: {error}") from None
    with _connect.servers() as there:
        return showing.extend(there, name, seconds)


def _install(desk: Desk, given: argparse.Namespace) -> Facts:
    name = given.session or desk.active
    packages = requirements(given.packages)
    if not packages:
        raise UsageError("%rexec install: tell what: %rexec install PACKAGE…")
    _install_there(desk, name, packages, upgrade=given.upgrade)
    return Facts(
        {"session": name, "installed": packages},
        title=f"Installed for session {name}: {', '.join(packages)}.",
        note="What was imported there already stays as it was until %rexec restart.",
        shown={},
    )


def _install_there(desk: Desk, name: str, packages: list[str], *, upgrade: bool) -> None:
    """Run pip for the interpreter of a session, and show what it says."""
    options = ["--disable-pip-version-check", *(["--upgrade"] if upgrade else [])]
    line = " ".join(map(shlex.quote, [*options, *packages]))
    # IPython leaves pip's exit code there.
    code = desk.show_cell(name, f"%pip install {line}\n_exit_code", label="%rexec install")
    if code:
        raise StartError(
            f"pip could not install {', '.join(packages)} for session {name} (exit code {code}).",
            hint="What it said is shown above.",
        )


def _cores(text: str) -> float:
    try:
        cores = float(text)
    except ValueError:
        cores = 0.0
    if not 0 < cores < 10_000:
        raise ValueError(f"{text!r} is no number of cores; write 2 or 0.5")
    return cores


def _devices(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise ValueError(f"{text!r} is no number of GPUs")
    return int(text)


_OF_SERVERS = (
    "At an endpoint, --profile, --requirements and what follows --env but --no-wait give the\n"
    "session a server of its own, and `default` is the server of all sessions without one.\n"
    "What a profile gives can be narrowed: %rexec profiles lists them."
)
_NAME = arg("name", nargs="?", type=_name, metavar="NAME", help="the session")
_FORCE = arg("-f", "--force", action="store_true", help="even if something would be lost")

COMMANDS = (
    Command(
        "start",
        "session",
        "start a session, so that its first cell need not wait",
        _start,
        (
            _NAME,
            arg("-p", "--profile", default="", metavar="PROFILE", help="what kind of session"),
            arg(
                *("-r", "--requirements"),
                nargs="+",
                action="extend",
                default=[],
                metavar="REQ",
                help="packages to install there, or a file that lists them",
            ),
            arg(
                "--env",
                action=Environment,
                default={},
                metavar="K=V",
                help="set an environment variable there; K alone takes its value from here",
            ),
            arg("--cpu", type=typed(_cores), metavar="N", help="cores"),
            arg("--mem", dest="memory", type=typed(size), metavar="SIZE", help="such as 4GB"),
            arg("--gpu", type=typed(_devices), metavar="N", help="GPUs"),
            arg("--image", metavar="REF", help="another image that the profile offers"),
            *(
                arg(servers.OPTIONS[key], type=typed(duration_), metavar="TIME", help=told)
                for key, told in (
                    ("idle_timeout", "end it when nothing ran for so long"),
                    ("orphan_timeout", "end it when nobody was connected for so long"),
                    ("max_lifetime", "end it after so long"),
                )
            ),
            arg("--no-wait", action="store_true", help="do not wait until it is ready"),
            arg("-f", "--force", action="store_true", help="replace a server that is different"),
        ),
        completes="session",
        detail=_OF_SERVERS,
    ),
    Command(
        "use",
        "session",
        "run cells in this session from now on",
        _use,
        (arg("name", type=_name, metavar="NAME", help="the session; it need not exist yet"),),
        completes="session",
    ),
    Command("info", "session", "tell about one session", _info, (_NAME,), completes="session"),
    Command(
        "restart",
        "session",
        "give a session a new, empty interpreter",
        _restart,
        (_NAME, _FORCE),
        completes="session",
    ),
    Command(
        "stop",
        "session",
        "end a session, and its variables with it",
        _stop,
        (_NAME, arg("--all", action="store_true", help="every session of yours"), _FORCE),
        completes="session",
    ),
    Command(
        "extend",
        "session",
        "let a session live longer",
        _extend,
        (arg("words", nargs="+", metavar="[NAME] TIME", help="session, and time such as 2h"),),
        completes="session",
    ),
    Command(
        "install",
        "session",
        "install packages for a session with pip",
        _install,
        (
            arg("packages", nargs="+", metavar="PACKAGE", help="such as numpy, or 'numpy>=2'"),
            arg("-s", "--session", type=_name, metavar="NAME", help="the session"),
            arg("-U", "--upgrade", action="store_true", help="newer versions if there are"),
        ),
        refused=tuple((option, SOURCE) for option in PIP_OPTIONS),
    ),
)
