"""What can go wrong with what stands behind the endpoint; the texts are for the caller."""

from typing import Final

from fastapi import HTTPException

_SOON: Final = {"Retry-After": "5"}


class NotConfiguredError(HTTPException):
    """The operator has not set up this part of the endpoint."""

    def __init__(self, what: str, settings: str) -> None:
        detail = f"{what} is not configured on this endpoint. Its operator sets {settings}."
        super().__init__(503, detail)


class UnreachableError(HTTPException):
    """What was asked does not answer, or answers that it cannot at the moment."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers=_SOON)


class TooSlowError(HTTPException):
    """What was asked takes too long to answer."""

    def __init__(self, what: str) -> None:
        super().__init__(504, f"{what} took too long to answer. Try again later.", headers=_SOON)


class MissingError(HTTPException):
    """There is no such thing."""

    def __init__(self, detail: str) -> None:
        super().__init__(404, detail)


class ConflictError(HTTPException):
    """It conflicts with what there is."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)


class ImpossibleError(HTTPException):
    """What was asked for cannot be done, and asking again does not help."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, detail)
