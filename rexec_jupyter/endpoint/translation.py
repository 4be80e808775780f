"""From the errors of endpoints to those of the catalogue, for who asked no endpoint himself."""

from __future__ import annotations

from rexec_jupyter.core.errors import (
    AuthenticationError,
    ConnectionLostError,
    NotConfiguredError,
    RexecError,
)
from rexec_jupyter.endpoint import errors as e


def translated(
    error: e.EndpointError, url: str, what: str, *, right: str = "run code there"
) -> RexecError:
    """Return the error of the catalogue.

    Parameters
    ----------
    url
        Address of the endpoint.
    what
        What it was asked to do.
    right
        What the user needs a right to.
    """
    match error:
        case e.NotAuthenticatedError():
            return AuthenticationError(
                f"{url} does not accept the token: {said(error)}",
                hint=f"Get a new one, and log in with `%rexec login --url {url}`.",
            )
        case e.ForbiddenError():
            return AuthenticationError(
                f"{url} accepts the token, but its user has no right to {right}: {said(error)}",
                hint="Ask whoever runs the endpoint for it.",
            )
        case e.UnsafeAddressError():
            return NotConfiguredError(error.message, hint=error.hint)
        case e.UnreachableError() | e.UnavailableError():
            return ConnectionLostError(
                f"{url} cannot {what} now: {said(error)}", hint=error.hint or "Try again later."
            )
    return NotConfiguredError(
        f"{url} does not {what}: {said(error)}",
        hint=error.hint
        or "Check the address, and whether endpoint and client are of versions that fit.",
    )


def said(error: e.EndpointError) -> str:
    """Return what the other side says as a sentence; its own words if there are any."""
    text = error.detail or error.message
    return text if text.endswith((".", "!", "?")) else f"{text}."
