"""Asking an identity service over HTTP, and never waiting for it, or reading from it, too long."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from rexec_jupyter.auth.errors import RETRY_AFTER, UnavailableError
from rexec_jupyter.auth.redaction import redacted

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 1024 * 1024
_LONGEST_TEXT: Final = 200
_LONGEST_WAIT: Final = 3600.0
# The other side may close a connection that was kept just as it is used again.
_TRIES: Final = 2
_BROKEN: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Answer(NamedTuple):
    """What the other side said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def object(self) -> dict[str, Any]:
        """Return the JSON object that it consists of.

        Raises
        ------
        UnavailableError
            If it is none: then who answered is not who was asked.
        """
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UnavailableError(
                "Authentication service gave an answer that is not JSON. Try again later; if this "
                "persists, the operator of this endpoint checks AUTH_API_URL."
            ) from None
        if not isinstance(value, dict):
            raise UnavailableError(
                "Authentication service gave an answer that is not a JSON object. Try again later."
            )
        return value

    def reason(self, *names: str, without: str = "") -> str:
        """Return the text that it holds under the first of some names, fit to be shown.

        Parameters
        ----------
        names
            Where it may stand.
        without
            What the text must not repeat.
        """
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ""
        found = [value.get(name) for name in names] if isinstance(value, dict) else []
        text = next((item for item in found if isinstance(item, str) and item.strip()), "")
        return presentable(text, without=without)


def presentable(text: str, *, without: str = "") -> str:
    """Return somebody else's text fit to be shown: short, printable and without secrets."""
    if without:
        text = text.replace(without, "[removed]")
    text = "".join(letter if letter.isprintable() else " " for letter in redacted(text))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


class Outbound:
    """Connections to identity services, with one deadline for a whole exchange.

    Parameters
    ----------
    seconds
        How long one exchange may take in all.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._client = httpx.AsyncClient(
            timeout=seconds,
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=10),
            # A redirected token would go to whom nobody configured.
            follow_redirects=False,
            headers={"Accept": "application/json"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, url: str) -> Answer:
        """Return what is at an address."""
        return await self._exchange("GET", url, None, None)

    async def post(self, url: str, body: Mapping[str, Any], bearer: str | None = None) -> Answer:
        """Post a JSON object, in the name of the owner of a token if there is one."""
        return await self._exchange("POST", url, body, bearer)

    async def _exchange(
        self, method: str, url: str, body: Mapping[str, Any] | None, bearer: str | None
    ) -> Answer:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else None
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(_TRIES - 1):
                    try:
                        return await self._once(method, url, body, headers)
                    except _BROKEN:
                        continue
                return await self._once(method, url, body, headers)
        except (TimeoutError, httpx.TimeoutException):
            _log.warning("The identity service took more than %g seconds.", self._seconds)
            raise UnavailableError(
                "Authentication service is unavailable: it took too long to answer. "
                "Try again later."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            _log.warning("The identity service cannot be reached: %s", type(cause).__name__)
            raise UnavailableError(
                "Authentication service is unavailable: it cannot be reached. Try again later."
            ) from None

    async def _once(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        async with self._client.stream(method, url, json=body, headers=headers) as response:
            received = bytearray()
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > _MOST_BYTES:
                    raise UnavailableError(
                        "Authentication service gave an answer that is far too long. "
                        "Try again later."
                    )
            return Answer(response.status_code, response.headers, bytes(received))


def failed(answer: Answer) -> UnavailableError:
    """Return the error that says that the other side failed at what it was asked."""
    _log.warning("The identity service answered with HTTP %d.", answer.status)
    if answer.status >= 500:
        what = "Authentication service is experiencing internal issues. Try again later."
    elif answer.status == 429:
        what = "Authentication service is busy. Try again later."
    else:
        what = (
            f"Authentication service gave an unexpected response (HTTP {answer.status}). Try again "
            "later; if this persists, the operator of this endpoint checks AUTH_API_URL."
        )
    return UnavailableError(what, _wait(answer.headers.get("retry-after", "")))


def _wait(told: str) -> float:
    seconds = float(told) if told.isascii() and told.isdigit() else RETRY_AFTER
    return min(max(seconds, 1.0), _LONGEST_WAIT)
