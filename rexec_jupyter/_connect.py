"""`connect`: from a name, or the settings, to a client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Backend
from rexec_jupyter.core.client import Client
from rexec_jupyter.core.errors import AuthenticationError, NestedMagicError, NotConfiguredError
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.logins import VARIABLE, LoginError, Logins, checked, endpoint_address
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.startup import INSIDE

if TYPE_CHECKING:
    from rexec_jupyter.endpoint.servers import Servers


def connect(
    target: str | None = None,
    *,
    token: str | None = None,
    requirements: str | Path | Sequence[str] | None = None,
    profile: str | None = None,
    timeout: float = 30.0,
    start: bool = True,
) -> Client:
    """Connect to a backend; what it needs is started if need be.

    Parameters
    ----------
    target
        Address of an endpoint, or ``local`` for the embedded backend. None: what ``REXEC_URL``
        says, else ``local``.
    token
        For the endpoint. None: ``REXEC_TOKEN`` for the endpoint of ``REXEC_URL``, else what
        ``%rexec login`` keeps for this address.
    requirements
        What the server at the endpoint must have: path of a requirements file, or its lines.
        None takes the server that is there, or starts one with this version of Python.
    profile
        Settings that the server is to be started with.
    timeout
        Seconds it may take until jobs can run.
    start
        Whether a server, here or at the endpoint, may be started if none runs.

    Raises
    ------
    NotConfiguredError
        If there is no such backend, or the embedded one does not run and may not be started.
    AuthenticationError
        If there is no token, or the endpoint does not accept it.
    NoSessionError
        If no server runs at the endpoint, and none may be started.
    SessionMismatchError
        If one runs there that has something else than is required.
    NestedMagicError
        If this is code that the embedded backend runs.
    StartError
        If it does not get ready.
    ConnectionLostError
        If it cannot be reached.
    """
    settings = current().now()
    target = target if target is not None else settings.url or "local"
    if target != "local":
        target, current_token = _checked(target, token, settings.url)
        del token  # tracebacks may show it
    elif token is not None or requirements is not None or profile is not None:
        raise NotConfiguredError(
            "The embedded backend takes no token, requirements or profile.",
            hint="Leave them out, or name an endpoint: connect('https://…', token=…).",
        )
    if os.environ.get(INSIDE):
        # A cell that waited for another one of its own session would wait for ever.
        raise NestedMagicError(
            "This code runs in the embedded backend already; it cannot use rexec again.",
            hint="Call the functions directly, or return to the notebook first.",
        )
    backend: Backend
    if target == "local":
        from rexec_jupyter.local.backend import LocalBackend  # noqa: PLC0415 - only if wanted

        backend = LocalBackend(start=start)
    else:
        from rexec_jupyter.endpoint.backend import EndpointBackend  # noqa: PLC0415 - only if wanted

        backend = EndpointBackend(
            target,
            current_token,
            requirements=requirements,
            profile=settings.profile if profile is None else profile,
            start=start,
        )
    return connect_to(backend, timeout=timeout, lost_after=settings.reconnect_timeout)


def endpoint() -> tuple[str, Callable[[], str]] | None:
    """Return the endpoint of the settings, and what returns the token for it.

    None if they name the embedded backend. Raises as `connect`.
    """
    url = current().now().url
    return None if url in ("", "local") else _checked(url, None, url)


@contextlib.contextmanager
def servers() -> Iterator[Servers | None]:
    """Give what asks for servers at the endpoint of the settings; None for the embedded backend.

    Raises as `connect`.
    """
    where = endpoint()
    if where is None:
        yield None
        return
    from rexec_jupyter.endpoint.servers import Servers  # noqa: PLC0415 - only if wanted

    with Servers(*where) as there:
        yield there


def _checked(target: str, token: str | None, configured: str) -> tuple[str, Callable[[], str]]:
    """Return the address as it is used, and what returns the token.

    Raises
    ------
    NotConfiguredError
        If that is no address, or no token may go there.
    AuthenticationError
        If there is no token.
    """
    url = endpoint_address(target)

    # No partial function, for that would show the token in tracebacks.
    def usable() -> str:
        return _usable(url, token, configured)

    usable()
    return url, usable


def _usable(url: str, token: str | None, configured: str) -> str:
    """Return a token, or the one that the user has by now; raises as `_checked`."""
    if token is None:
        login = Logins().login(url, configured)
        if login is None:
            raise AuthenticationError(
                f"There is no token for {url}.",
                hint=f"Log in with `%rexec login --url {url}`, pass token=…, or set {VARIABLE}.",
            )
        token = login.token
    try:
        return checked(token)
    except LoginError as error:
        raise AuthenticationError(
            f"The token for {url} cannot be used: {error}.", hint="Copy it again."
        ) from None


def connect_to(backend: Backend, *, timeout: float = 30.0, lost_after: float = p.LOST) -> Client:
    """Connect to a backend that was made already; else as `connect`."""
    link = Link(backend, lost_after=lost_after)
    try:
        link.wait_ready(timeout)
    except BaseException:
        link.close()
        raise
    return Client(link)
