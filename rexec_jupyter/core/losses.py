"""What would be lost, in words, before anything is ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rexec_jupyter.core.states import OPEN

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.happenings import NameInfo
    from rexec_jupyter.core.protocol import SessionInfo

_SHOWN = 6


def of_session(
    client: Client, info: SessionInfo, listing: Mapping[str, NameInfo] | None = None
) -> list[str]:
    """Tell what ends with the interpreter of a session.

    Parameters
    ----------
    client
        The connection.
    info
        The session.
    listing
        Its variables, where they are known. None: it is asked, unless it is busy.
    """
    told = [f"the running {_described(client, info.running)}"] if info.running else []
    if info.queued:
        told.append("1 cell that waits" if info.queued == 1 else f"{info.queued} waiting cells")
    if listing is None:
        listing = client.session(info.session).who() if info.state == "idle" else {}
    held = [name for name, about in listing.items() if about.type != "module"]
    if held:
        more = ", …" if len(held) > _SHOWN else ""
        told.append(f"{counted(len(held), 'variable')} ({', '.join(held[:_SHOWN])}{more})")
    elif info.state == "busy" and not listing:
        told.append("whatever variables it has")
    return told


def of_sessions(client: Client, infos: Iterable[SessionInfo]) -> list[str]:
    """Tell what ends with several sessions, each loss with the session's name."""
    return [
        f"session {info.session}: {loss}" for info in infos for loss in of_session(client, info)
    ]


def of_backend(client: Client) -> list[str]:
    """Tell what ends with the whole backend: sessions, and functions that run or wait."""
    lost = of_sessions(client, client.sessions())
    calls = [job for job in client.jobs() if job.kind == "call" and job.state in OPEN]
    if calls:
        lost.append(f"{counted(len(calls), 'function')} running or waiting")
    return lost


def _described(client: Client, job: str) -> str:
    label = next((info.label for info in client.jobs() if info.job == job), "")
    return f"job {job[:8]} ({label})" if label else f"job {job[:8]}"


def counted(count: int, noun: str) -> str:
    """Return ``1 cell``, ``2 cells``."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")
