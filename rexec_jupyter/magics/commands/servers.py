"""What ``%rexec`` does with servers where an endpoint has them; the embedded backend has one."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rexec_jupyter import _connect
from rexec_jupyter.core.ambient import disconnect
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.losses import of_sessions
from rexec_jupyter.endpoint.feed import DEFAULT, OVER
from rexec_jupyter.endpoint.showing import described, sessions_on, unended
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.widget.status import StatusLine
from rexec_jupyter.widget.table import Facts

if TYPE_CHECKING:
    from rexec_jupyter.core.protocol import SessionInfo
    from rexec_jupyter.endpoint.servers import Servers
    from rexec_jupyter.magics.commands.desk import Desk

_SOON = 0.5
_QUICK = 3.0
OPTIONS = {
    "cpu": "--cpu",
    "memory": "--mem",
    "gpu": "--gpu",
    "image": "--image",
    "idle_timeout": "--idle-timeout",
    "orphan_timeout": "--orphan-timeout",
    "max_lifetime": "--max-lifetime",
}
"""Options of ``%rexec start`` that say what a server is to be, by the name in the deploy API."""


def none_runs(desk: Desk) -> str:
    """Return what to say if no server runs at the endpoint that could be asked; starts none."""
    client = desk.connected()
    if client is not None and any(server.state == "ready" for server in client.status().servers):
        return ""
    with _connect.servers() as there:
        if there is None:
            return ""
        from rexec_jupyter.endpoint.tending import OlderError  # noqa: PLC0415 - only if wanted

        try:
            if any(each.get("state") not in OVER for each in there.every()):
                return ""
        except OlderError:  # it cannot tell
            return ""
    return f"No server of yours runs at {there.url}. The next cell, or %rexec start, starts one."


# ------------------------------------------------------------------------------ starting


def start(desk: Desk, there: Servers, given: argparse.Namespace, packages: list[str]) -> Facts:
    """Have a server for a session, and wait until it is ready.

    Without options a session runs on the server `default`, if it has none of its own.
    """
    server, begun = there.have(
        given.name or desk.active,
        requirements=packages,
        profile=given.profile,
        usual=desk.settings.now().profile,
        force=given.force,
        **{key: getattr(given, key) for key in OPTIONS},
    )
    name = str(server.get("name") or DEFAULT)
    if not given.no_wait:
        server = wait_ready(desk, there, name)
    return told(server, name, begun=begun)


def wait_ready(desk: Desk, there: Servers, name: str) -> dict[str, Any]:
    """Wait for a server that starts; Ctrl-C and the stop button end the waiting alone."""
    from rexec_jupyter.endpoint.awaiting import await_ready  # noqa: PLC0415 - only if wanted

    status = StatusLine(desk.surface(), f"server {name}", progress_after=_SOON)
    try:
        server = await_ready(there, name, status)
    except KeyboardInterrupt:
        status.end("detached", ["it goes on starting"])
        quoted = shlex.quote(name)
        left = (
            f"server {name} goes on starting; `%rexec start {quoted}` waits for it again, "
            f"`%rexec stop {quoted}` ends it"
        )
        raise tracebacks.brief(KeyboardInterrupt(left), desk.shell) from None
    except BaseException as error:
        status.end("failed", [type(error).__name__])
        raise
    status.end("done")
    return server


def told(server: dict[str, Any], name: str, *, begun: bool) -> Facts:
    """Return what there is to say of a server."""
    state = server.get("state")
    if state == "ready":
        title = f"Server {name} {'is ready' if begun else 'runs already'}."
    else:
        title = f"Server {name} is starting."
    return Facts(server, title=title, shown=described(server))


# -------------------------------------------------------------------------------- ending


def stop(desk: Desk, there: Servers, given: argparse.Namespace) -> Facts | None:
    """End a server, or all; None if the session that is named has none of its own."""
    every = unended(there)
    name = given.name or desk.active
    if not given.all and name not in every:
        return None
    names = list(every) if given.all else [name]
    lost = _sessions_on(desk, names, every, force=given.force)
    if not given.force:
        _keep(desk, lost, f"stop {'--all' if given.all else shlex.quote(name)}")
    ended = [each for each in names if there.end(each)]
    for info in lost:
        desk.lost(info.session)
    if DEFAULT in ended or (ended and given.all):
        # The next cell connects anew, and that starts a server.
        disconnect()
    title = f"Stopped: {', '.join(f'server {each}' for each in ended)}."
    if not ended:
        title = "No server runs."
    return Facts({"stopped": ended}, title=title, shown={})


def _sessions_on(
    desk: Desk, names: list[str], every: dict[str, Any], *, force: bool
) -> list[SessionInfo]:
    """Return the sessions that end with some servers."""
    if not any(every[name].get("state") == "ready" for name in names):
        return []  # nobody was there yet
    try:
        infos = desk.client().sessions(timeout=_QUICK)
    except RexecError as error:
        if force:
            return []
        raise UsageError(
            f"%rexec stop: nobody can tell what would be lost: {error.message} With -f it is done "
            "all the same"
        ) from None
    return sessions_on(names, every, infos)


def _keep(desk: Desk, lost: list[SessionInfo], words: str) -> None:
    losses = of_sessions(desk.client(), lost) if lost else []
    if losses:
        raise UsageError(
            f"%rexec {words}: this would be lost: {'; '.join(losses)}; "
            f"%rexec {words} -f does it all the same"
        )
