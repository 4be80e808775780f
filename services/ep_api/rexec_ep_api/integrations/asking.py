"""Asking other services over HTTP: never for long, and never for more than fits into memory."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from rexec_ep_api.integrations.errors import TooSlowError, UnreachableError

_log = logging.getLogger(__name__)

_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)


def new_client(seconds: float, *, verify: bool = True) -> httpx.AsyncClient:
    """Return a client that goes where it is told and nowhere else.

    Parameters
    ----------
    seconds
        How long it waits for anything to move.
    verify
        Whether certificates are checked.
    """
    return httpx.AsyncClient(
        limits=_LIMITS,
        timeout=httpx.Timeout(seconds, connect=min(4, seconds)),
        follow_redirects=False,
        verify=verify,
    )


@asynccontextmanager
async def within(seconds: float | None, what: str) -> AsyncIterator[None]:
    """Give what is inside so many seconds, and say what went wrong in the words of this endpoint.

    Parameters
    ----------
    seconds
        How long it may take in all; None for as long as something moves.
    what
        Who is asked, at the beginning of a sentence.

    Raises
    ------
    TooSlowError, UnreachableError
        If there was no answer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, httpx.TimeoutException):
        _log.warning("%s took too long to answer.", what)
        raise TooSlowError(what) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _log.warning("%s cannot be reached: %s", what, type(error).__name__)
        raise UnreachableError(f"{what} cannot be reached. Try again later.") from None


async def read_all(response: httpx.Response, most: int, what: str) -> bytes:
    """Return the body of an answer that is being read.

    Raises
    ------
    UnreachableError
        If it has more than so many bytes.
    """
    received = bytearray()
    async for chunk in response.aiter_bytes():
        received += chunk
        if len(received) > most:
            raise UnreachableError(f"{what} gave an answer that is far too long.")
    return bytes(received)
