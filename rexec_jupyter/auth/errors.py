"""Why somebody is not let in, told apart by whose turn it is to act."""

from typing import Final

RETRY_AFTER: Final = 5.0
"""Seconds after which asking again makes sense, if nobody said otherwise."""


class AuthError(Exception):
    """Base of what can go wrong about identity and rights; the text is for the caller."""


class RefusedError(AuthError):
    """The token, or the name and password, are not valid: another try needs others. HTTP 401."""


class ForbiddenError(AuthError):
    """It is known who asks, and they may not do this. HTTP 403."""


class UnavailableError(AuthError):
    """It cannot be known now who asks; the same request may succeed later. HTTP 503.

    Parameters
    ----------
    detail
        What is the matter.
    retry_after
        Seconds after which another try makes sense.
    """

    def __init__(self, detail: str, retry_after: float = RETRY_AFTER) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
