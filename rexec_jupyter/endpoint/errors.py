"""What can go wrong with an endpoint.

All are `ValueError`, with the texts that programs written for ``ndp_ep`` look for.
"""

from __future__ import annotations


class EndpointError(ValueError):
    """An endpoint did not do what it was asked for.

    Parameters
    ----------
    message
        Cause and object.
    hint
        Next step.
    status
        Status code of its answer; 0 if there was none.
    detail
        Its own words.
    correlation_id
        By which whoever runs the endpoint finds the request in the logs.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 0,
        detail: str = "",
        correlation_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status
        self.detail = detail
        self.correlation_id = correlation_id

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{self.message}{'' if self.message.endswith(('.', '!', '?')) else '.'} {self.hint}"


class UnreachableError(EndpointError, ConnectionError):
    """No answer came. Also a `ConnectionError`.

    Parameters
    ----------
    sent
        Whether the request may have reached the endpoint.
    """

    def __init__(self, message: str, *, hint: str = "", sent: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class UnsafeAddressError(EndpointError):
    """A secret would go where others can read it."""


class NotUnderstoodError(EndpointError):
    """The answer is not what an endpoint answers."""


class NotAuthenticatedError(EndpointError):
    """The endpoint does not know who is asking: the token is missing, wrong or expired."""


class ForbiddenError(EndpointError):
    """Who is asking has no right to it."""


class NotFoundError(EndpointError):
    """There is no such thing at the endpoint."""


class ConflictError(EndpointError):
    """There is something of that name already, or something else is in the way."""


class InvalidError(EndpointError):
    """What was sent is not accepted."""


class UnavailableError(EndpointError):
    """The endpoint cannot do it now.

    Attributes
    ----------
    retry_after
        Seconds after which to ask again, if it tells.
    """

    retry_after: float | None = None


_BY_STATUS: dict[int, type[EndpointError]] = {
    400: InvalidError,
    401: NotAuthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    422: InvalidError,
    429: UnavailableError,
}


def of_status(status: int) -> type[EndpointError]:
    """Return the class of error for a status code."""
    return _BY_STATUS.get(status, UnavailableError if status >= 500 else EndpointError)


__all__ = [
    "ConflictError",
    "EndpointError",
    "ForbiddenError",
    "InvalidError",
    "NotAuthenticatedError",
    "NotFoundError",
    "NotUnderstoodError",
    "UnavailableError",
    "UnreachableError",
    "UnsafeAddressError",
]
