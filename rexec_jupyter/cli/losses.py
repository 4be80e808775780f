"""What would be lost, before anything is ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rexec_jupyter.reports import OPEN

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.protocol import SessionInfo

_SHOWN = 6


def of_session(client: Client, info: SessionInfo) -> Iterator[str]:
    """Tell what ends with a session."""
    if info.state in ("stopped", "starting"):
        return
    where = f"session {info.session!r}"
    if info.running:
        yield f"the cell that runs in {where} (job {info.running[:8]})"
    if info.queued:
        yield f"{counted(info.queued, 'waiting cell')} of {where}"
    if info.state == "busy":
        yield f"the variables of {where}"
        return
    listing = client.session(info.session).who()
    names = [name for name, about in listing.items() if about.type != "module"]
    if names:
        more = ", …" if len(names) > _SHOWN else ""
        shown = ", ".join(names[:_SHOWN])
        yield f"{counted(len(names), 'variable')} of {where}: {shown}{more}"


def of_server(client: Client) -> Iterator[str]:
    """Tell what ends with the whole server."""
    for info in client.sessions():
        yield from of_session(client, info)
    calls = [job for job in client.jobs() if job.kind == "call" and job.state in OPEN]
    if calls:
        yield f"{counted(len(calls), 'function')} running or waiting"


def counted(count: int, noun: str) -> str:
    """Return ``1 cell``, ``2 cells``."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")
