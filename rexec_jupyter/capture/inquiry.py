"""Asks a session what a notebook that has not met it needs to know: its names and packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rexec_jupyter.capture.explain import There
from rexec_jupyter.core.console import attend
from rexec_jupyter.core.errors import SessionBusyError
from rexec_jupyter.core.happenings import Happening, NamesChanged

if TYPE_CHECKING:
    from rexec_jupyter.core.cells import IfBusy
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.protocol import SessionInfo
    from rexec_jupyter.core.session import Session

_ASK = """
from rexec_jupyter.core.versions import installed
result = installed(packages)
"""
# Whole listings are told to who knows none, or another one than there is.
_NONE = "?"


def find(client: Client, name: str) -> SessionInfo | None:
    """Return what the server tells of a session that has an interpreter; None if it has not."""
    for info in client.sessions():
        if info.session == name and info.state != "stopped":
            return info
    return None


def inquire(
    session: Session,
    on_names: Callable[[NamesChanged], None],
    *,
    packages: Iterable[str] = (),
    known: str = "",
    if_busy: IfBusy = "queue",
) -> dict[str, str | None]:
    """Ask a session, and wait for the answer.

    Parameters
    ----------
    on_names
        Takes what it tells of its names.
    packages
        Names of packages.
    known
        Version of the listing of its names that is known here.
    if_busy
        As for a cell.

    Returns
    -------
    dict
        As `versions.installed` gives it there.
    """

    def take(happenings: list[Happening]) -> None:
        for happening in happenings:
            if isinstance(happening, NamesChanged):
                on_names(happening)

    job = session.submit_cell(
        _ASK,
        names={"packages": sorted(packages)},
        value=True,
        hidden=True,
        stream=True,
        known=known or _NONE,
        if_busy=if_busy,
    )
    attend(job, lambda: job.ended, take)
    found: dict[str, str | None] = job.result().value
    return found


def look(
    session: Session,
    on_names: Callable[[NamesChanged], None],
    *,
    packages: Iterable[str],
    known: str = "",
) -> There:
    """Tell how a session stands, without waiting for any cell; else as `inquire`."""
    info = find(session.client, session.name)
    if info is None:
        return There("does not exist yet")
    if info.state != "idle":
        return There(info.state)
    try:
        found = inquire(session, on_names, packages=packages, known=known, if_busy="fail")
    except SessionBusyError:
        return There("busy")
    return There("exists", found)
