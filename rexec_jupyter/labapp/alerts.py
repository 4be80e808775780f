"""What somebody should do something about, of the user's login and servers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rexec_jupyter.labapp.messages import Alert, Connection, Server

SOON = 300.0
"""Seconds before the end of a server from which on it is told."""
_FIX = {"package": "install-log"}


def of_login(connection: Connection) -> Iterator[Alert]:
    """Yield that the endpoint does not know the user, if so."""
    if connection.state == "login":
        yield Alert(
            key=f"login:{connection.url}",
            cause=connection.text,
            hint=connection.hint,
            code=connection.code,
            action="login",
            subject=connection.url,
        )


def of_servers(told: Sequence[dict[str, Any]], servers: Iterable[Server]) -> Iterator[Alert]:
    """Yield what is wrong with servers, or will be.

    Parameters
    ----------
    told
        What the deploy API tells of each.
    servers
        The same, as the panel is told it.
    """
    for each, server in zip(told, servers, strict=True):
        if (cause := each.get("cause")) and isinstance(cause, dict):
            yield _of_cause(server, cause)
        elif server.state == "failed":
            yield _of_cause(server, {"message": f"Server {server.name} does not run."})
        elif server.state in ("suspect", "lost"):
            yield Alert(
                key=f"server:{server.name}",
                severity="warning",
                cause=f"Nothing is heard of server {server.name}.",
                hint="It may come back by itself. Restarting it loses what is on it.",
                action="restart",
                subject=server.name,
            )
        if server.ends and "extend" in server.can and server.ends - time.time() < SOON:
            minutes = max(1, math.ceil((server.ends - time.time()) / 60))
            yield Alert(
                key=f"ends:{server.name}",
                severity="warning",
                cause=f"Server {server.name} ends in {minutes} min"
                + (f": {each['warning']}" if each.get("warning") else "."),
                hint="Extend it, or save what you need.",
                action="extend",
                subject=server.name,
            )


def _of_cause(server: Server, cause: dict[str, Any]) -> Alert:
    failed = server.state == "failed"
    fix: Any = _FIX.get(str(cause.get("reason")), "restart") if failed else ""
    if fix == "install-log" and fix not in server.can:
        fix = "restart"
    return Alert(
        key=f"server:{server.name}",
        severity="error" if failed else "warning",
        cause=f"Server {server.name}: {cause.get('message', '')}".strip(),
        hint=str(cause.get("hint") or ""),
        action=fix,
        subject=server.name if fix else "",
    )
