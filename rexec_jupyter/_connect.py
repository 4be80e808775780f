"""`connect`: from a name, or the settings, to a client."""

from __future__ import annotations

import os

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Backend
from rexec_jupyter.core.client import Client
from rexec_jupyter.core.errors import NestedMagicError, NotConfiguredError
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.startup import INSIDE


def connect(target: str | None = None, *, timeout: float = 30.0, start: bool = True) -> Client:
    """Connect to a backend; the embedded one is started if need be.

    Parameters
    ----------
    target
        ``local`` for the embedded backend. None: what ``REXEC_URL`` says, else ``local``.
    timeout
        Seconds it may take until jobs can run.
    start
        Whether the embedded backend may be started if it does not run.

    Raises
    ------
    NotConfiguredError
        If there is no such backend, or it does not run and may not be started.
    NestedMagicError
        If this is code that the embedded backend runs.
    StartError
        If it does not get ready.
    ConnectionLostError
        If it cannot be reached.
    """
    settings = current().now()
    if target is None:
        target = settings.url or "local"
    if target != "local":
        raise NotConfiguredError(
            f"This version of rexec connects to its embedded backend only, not to {target!r}.",
            hint='Use connect("local"), and unset REXEC_URL if it is set.',
        )
    if os.environ.get(INSIDE):
        # A cell that waited for another one of its own session would wait for ever.
        raise NestedMagicError(
            "This code runs in the embedded backend already; it cannot use rexec again.",
            hint="Call the functions directly, or return to the notebook first.",
        )
    return connect_to(
        _embedded(start=start), timeout=timeout, lost_after=settings.reconnect_timeout
    )


def _embedded(*, start: bool) -> Backend:
    from rexec_jupyter.local.backend import LocalBackend  # noqa: PLC0415 - only if wanted

    return LocalBackend(start=start)


def connect_to(backend: Backend, *, timeout: float = 30.0, lost_after: float = p.LOST) -> Client:
    """Connect to a backend that was made already; else as `connect`."""
    link = Link(backend, lost_after=lost_after)
    try:
        link.wait_ready(timeout)
    except BaseException:
        link.close()
        raise
    return Client(link)
