"""Why something was not done, as the browser is told it."""

from __future__ import annotations

import logging
import secrets
from typing import NamedTuple

import msgspec
from tornado.web import HTTPError

from rexec_jupyter.core.errors import (
    ConnectionLostError,
    NoSessionError,
    NotConfiguredError,
    QuotaError,
    RexecError,
    SessionMismatchError,
)
from rexec_jupyter.endpoint.errors import EndpointError
from rexec_jupyter.endpoint.translation import translated
from rexec_jupyter.labapp.messages import Problem

_STATUSES: tuple[tuple[type[RexecError], int], ...] = (
    (NoSessionError, 404),
    (SessionMismatchError, 409),
    (QuotaError, 409),
    (NotConfiguredError, 409),
    (ConnectionLostError, 503),
)
_REFUSED = 502


class Trouble(NamedTuple):
    """A status code, and what is answered with it."""

    status: int
    problem: Problem


class RefusedError(Exception):
    """Something that is not done as it was asked for.

    Parameters
    ----------
    status
        Status code of the answer.
    message, hint
        Cause, and next step.
    losses
        What would be lost.
    """

    def __init__(
        self, status: int, message: str, hint: str = "", *, losses: list[str] | None = None
    ) -> None:
        super().__init__(message)
        self.trouble = Trouble(status, Problem(message=message, hint=hint, losses=losses or []))


def trouble(error: BaseException, log: logging.Logger) -> Trouble:
    """Return what to answer for an exception; a defect is written to the log, and named there."""
    known: Trouble | None = None
    match error:
        case RefusedError():
            known = error.trouble
        case RexecError():
            known = of_rexec(error)
        case EndpointError():
            known = of_rexec(translated(error, "The endpoint", "do that", right="do that"))
        case TimeoutError():
            told = "That took too long, and may be done yet."
            known = Trouble(503, Problem(message=told, hint="Look, then try again.", code="R07"))
        case msgspec.MsgspecError():
            known = Trouble(422, Problem(message=_sentence(f"not understood: {error}")))
        case HTTPError():
            known = of_http(error.status_code, error.log_message or "")
    return known or _defect(error, log)


def _defect(error: BaseException, log: logging.Logger) -> Trouble:
    reference = secrets.token_hex(4)
    log.error("defect %s of rexec: %s", reference, type(error).__name__, exc_info=error)
    hint = f"Please report it; the log of the Jupyter server says more at {reference}."
    message = "Something went wrong that should not have."
    return Trouble(500, Problem(message=message, hint=hint, code="R00"))


def of_rexec(error: RexecError) -> Trouble:
    """Return what to answer for an error of the catalogue."""
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), _REFUSED)
    return Trouble(status, Problem(message=error.message, hint=error.hint, code=error.code))


def of_http(status: int, message: str) -> Trouble:
    """Return what to answer where tornado or Jupyter refuse."""
    told = {
        403: ("You may not do that here.", "Load the page again; log in if you are asked to."),
        404: ("There is no such thing.", "Load the page again."),
        405: ("That cannot be asked in this way.", "Load the page again."),
    }
    known, hint = told.get(status, ("The Jupyter server does not do that.", "Try again."))
    return Trouble(status, Problem(message=_sentence(message) if message else known, hint=hint))


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
