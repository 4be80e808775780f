"""What there is to tell of servers, as tables: for ``%rexec`` and for the ``rexec`` command.

Without an endpoint it is told of the embedded backend.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core.quantities import positive_duration, written_duration, written_size
from rexec_jupyter.endpoint.feed import DEFAULT
from rexec_jupyter.widget.status import duration
from rexec_jupyter.widget.table import Column, Facts, Table

if TYPE_CHECKING:
    from rexec_jupyter.core.protocol import ServerState, SessionInfo
    from rexec_jupyter.endpoint.servers import Servers


def servers(there: Servers | None) -> Table:
    """Return the servers of the user."""
    if there is None:
        return Table(empty="The embedded backend has one server, which runs while it is needed.")
    return Table(
        there.every(),
        [
            Column("name", "server"),
            Column("state", "state"),
            Column("profile", "profile"),
            Column("cpu", "cores", _limit, right=True),
            Column("memory", "memory", _bytes, right=True),
            Column("gpu", "GPUs", _some, right=True),
            Column("python", "Python"),
            Column("running", "jobs", right=True),
            Column("queued", "waiting", _some, right=True),
            Column("ends_in", "ends in", lambda left: duration(float(left)), right=True),
            Column("cause", "because", _cause, wide=True),
        ],
        empty="No server. One starts with the first %%rexec cell, or with %rexec start.",
    )


def profiles(there: Servers | None, known: Iterable[ServerState] = ()) -> Table:
    """Return what servers there can be.

    Parameters
    ----------
    known
        Servers of the embedded backend.
    """
    if there is None:
        return _embedded_profile(list(known))
    return Table(
        there.profiles(),
        [
            Column("name", "profile"),
            Column("description", "for", wide=True),
            Column("cpu", "cores", _limit, right=True),
            Column("memory", "memory", _bytes, right=True),
            Column("gpu", "GPUs", _some, right=True),
            Column("python", "Python"),
            Column("idle_timeout", "ends when idle for", _seconds, right=True),
            Column("max_lifetime", "lasts at most", _seconds, right=True),
        ],
        note=f"The first is for who names none. At {there.url}; you may ask for less of each: "
        "%rexec start NAME -p PROFILE --mem 4GB",
    )


def _embedded_profile(known: Sequence[ServerState]) -> Table:
    python = next((s.python for s in known if s.python), platform.python_version())
    slots = next((s.slots for s in known if s.slots), None)
    return Table(
        [{"profile": "default", "where": "this computer", "python": python, "slots": slots}],
        [
            "profile",
            "where",
            Column("python", "Python"),
            Column("slots", "functions at once", right=True),
        ],
        note="The embedded backend has one profile; a deployment offers its own.",
    )


def extension(words: Sequence[str], active: str) -> tuple[str, float]:
    """Read ``[NAME] TIME``: return the session, else the active one, and the seconds.

    Raises
    ------
    ValueError
        If that is something else.
    """
    *names, time = words
    seconds = positive_duration(time)
    if len(names) > 1:
        raise ValueError("it is written: %rexec extend [NAME] TIME")
    return (names[0] if names else active), seconds


def extend(there: Servers | None, name: str, seconds: float) -> Facts:
    """Let no clock end the server of a session for a while."""
    if there is None:
        return Facts(
            {"session": name, "asked": seconds, "lifetime": None},
            title=f"Nothing to extend: session {name} has no limited lifetime. It lasts while "
            "somebody is connected, and as long as a job of it runs.",
            shown={},
        )
    if name != DEFAULT and there.find(name) is None:
        name = DEFAULT
    left = there.extend(name, seconds).get("ends_in")
    if left is None:
        title = f"Server {name} has no clock that would end it now."
    else:
        title = f"Server {name} does not end within {duration(float(left))}."
    return Facts({"server": name, "asked": seconds, "ends_in": left}, title=title, shown={})


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


def unended(there: Servers) -> dict[str, dict[str, Any]]:
    """Return those servers by name that can be ended."""
    from rexec_jupyter.endpoint.tending import OlderError  # noqa: PLC0415 - only if wanted

    try:
        every = there.every()
    except OlderError:  # one server a user, which it ends in another way
        return {}
    return {
        str(server.get("name")): server
        for server in every
        if server.get("state") not in ("stopping", "gone")
    }


def sessions_on(
    names: Iterable[str], every: Iterable[str], infos: Iterable[SessionInfo]
) -> list[SessionInfo]:
    """Return the sessions that end with some of the servers that there are."""
    names, every = set(names), set(every)
    live = [info for info in infos if info.state != "stopped"]
    own = [info for info in live if info.session in names]
    return own + [info for info in live if info.session not in every and DEFAULT in names]


def _limit(amount: Any) -> str:
    return f"{amount:g}" if amount else ""


def _bytes(amount: Any) -> str:
    return written_size(int(amount)) if amount else ""


def _seconds(amount: Any) -> str:
    return written_duration(float(amount)) if amount else ""


def _some(count: Any) -> str:
    return str(count) if count else ""


def _cause(cause: Any) -> str:
    return f"{cause.get('message', '')} {cause.get('hint', '')}".strip() if cause else ""
