"""What ``%rexec`` does with servers where an endpoint has them; the embedded backend has one."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rexec_jupyter._connect import endpoint
from rexec_jupyter.core.ambient import disconnect
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.losses import of_sessions
from rexec_jupyter.core.quantities import written_duration, written_size
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.widget.status import StatusLine, duration
from rexec_jupyter.widget.table import Column, Facts, Table

if TYPE_CHECKING:
    from rexec_jupyter.core.protocol import SessionInfo
    from rexec_jupyter.endpoint.servers import Servers
    from rexec_jupyter.magics.commands.desk import Desk

_DEFAULT = "default"
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


@contextlib.contextmanager
def reached() -> Iterator[Servers | None]:
    """Give what asks for servers at the endpoint of the settings; None for the embedded backend."""
    where = endpoint()
    if where is None:
        yield None
        return
    from rexec_jupyter.endpoint.servers import Servers  # noqa: PLC0415 - only if wanted

    with Servers(*where) as there:
        yield there


# ------------------------------------------------------------------------------ starting


def start(desk: Desk, there: Servers, given: argparse.Namespace, packages: list[str]) -> Facts:
    """Have a server for a session, and wait until it is ready.

    Without options a session runs on the server `default`, if it has none of its own.
    """
    from rexec_jupyter.endpoint.awaiting import have  # noqa: PLC0415 - only if wanted

    server, begun = have(
        there,
        given.name or desk.active,
        requirements=packages,
        profile=given.profile,
        usual=desk.settings.now().profile,
        force=given.force,
        **{key: getattr(given, key) for key in OPTIONS},
    )
    name = str(server.get("name") or _DEFAULT)
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


def described(server: dict[str, Any]) -> dict[str, str]:
    """Return what a server is, for people."""
    limits = {
        "idle_timeout": "ends when idle for",
        "orphan_timeout": "ends when nobody is connected for",
        "max_lifetime": "lasts",
    }
    shown = {"profile": str(server.get("profile") or "")}
    if server.get("cpu"):
        shown["cores"] = f"{server['cpu']:g}"
    if server.get("memory"):
        shown["memory"] = written_size(int(server["memory"]))
    if server.get("gpu"):
        shown["GPUs"] = str(server["gpu"])
    if server.get("python"):
        shown["Python"] = str(server["python"])
    if server.get("requirements"):
        shown["packages"] = ", ".join(map(str, server["requirements"]))
    for key, heading in limits.items():
        if server.get(key):
            shown[heading] = written_duration(float(server[key]))
    if server.get("warning"):
        shown["soon"] = str(server["warning"])
    return shown


# -------------------------------------------------------------------------------- ending


def stop(desk: Desk, there: Servers, given: argparse.Namespace) -> Facts | None:
    """End a server, or all; None if the session that is named has none of its own."""
    every = {
        str(server.get("name")): server
        for server in there.every()
        if server.get("state") not in ("stopping", "gone")
    }
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
    if _DEFAULT in ended or (ended and given.all):
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
        live = [info for info in desk.client().sessions(timeout=_QUICK) if info.state != "stopped"]
    except RexecError as error:
        if force:
            return []
        raise UsageError(
            f"%rexec stop: nobody can tell what would be lost: {error.message} With -f it is done "
            "all the same"
        ) from None
    own = [info for info in live if info.session in names]
    rest = [info for info in live if info.session not in every]
    return [*own, *(rest if _DEFAULT in names else [])]


def _keep(desk: Desk, lost: list[SessionInfo], words: str) -> None:
    losses = of_sessions(desk.client(), lost) if lost else []
    if losses:
        raise UsageError(
            f"%rexec {words}: this would be lost: {'; '.join(losses)}; "
            f"%rexec {words} -f does it all the same"
        )


# ------------------------------------------------------------------------------- telling


def extend(there: Servers, name: str, seconds: float) -> Facts:
    """Let no clock end the server of a session for a while."""
    if name != _DEFAULT and there.find(name) is None:
        name = _DEFAULT
    server = there.extend(name, seconds)
    left = server.get("ends_in")
    if left is None:
        title = f"Server {name} has no clock that would end it now."
    else:
        title = f"Server {name} does not end within {duration(float(left))}."
    return Facts({"server": name, "asked": seconds, "ends_in": left}, title=title, shown={})


def profiles(there: Servers) -> Table:
    """Return what servers there can be."""
    return Table(
        there.profiles(),
        [
            Column("name", "profile"),
            Column("description", "for", wide=True),
            Column("cpu", "cores", _limit, right=True),
            Column("memory", "memory", _bytes, right=True),
            Column("gpu", "GPUs", lambda count: str(count) if count else "", right=True),
            Column("python", "Python"),
            Column("idle_timeout", "ends when idle for", _seconds, right=True),
            Column("max_lifetime", "lasts at most", _seconds, right=True),
        ],
        note=f"The first is for who names none. At {there.url}; you may ask for less of each: "
        "%rexec start NAME -p PROFILE --mem 4GB",
    )


def table(there: Servers) -> Table:
    """Return the servers of the user."""
    return Table(
        there.every(),
        [
            Column("name", "server"),
            Column("state", "state"),
            Column("profile", "profile"),
            Column("cpu", "cores", _limit, right=True),
            Column("memory", "memory", _bytes, right=True),
            Column("gpu", "GPUs", lambda count: str(count) if count else "", right=True),
            Column("python", "Python"),
            Column("running", "jobs", right=True),
            Column("queued", "waiting", lambda count: str(count) if count else "", right=True),
            Column("ends_in", "ends in", lambda left: duration(float(left)), right=True),
            Column("cause", "because", _cause, wide=True),
        ],
        empty="No server. One starts with the first %%rexec cell, or with %rexec start.",
    )


def _limit(amount: Any) -> str:
    return f"{amount:g}" if amount else ""


def _bytes(amount: Any) -> str:
    return written_size(int(amount)) if amount else ""


def _seconds(amount: Any) -> str:
    return written_duration(float(amount)) if amount else ""


def _cause(cause: Any) -> str:
    return f"{cause.get('message', '')} {cause.get('hint', '')}".strip() if cause else ""
