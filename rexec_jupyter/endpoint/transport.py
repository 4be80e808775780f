"""Drivers of conversations with an endpoint: one for threads, one for event loops."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import httpx

from rexec_jupyter._version import __version__
from rexec_jupyter.endpoint.address import HERE, check_secret, origin, without_path
from rexec_jupyter.endpoint.errors import (
    EndpointError,
    NotAuthenticatedError,
    NotUnderstoodError,
    UnreachableError,
)
from rexec_jupyter.endpoint.exchange import (
    Answer,
    Conversation,
    Item,
    Leave,
    Pause,
    Piece,
    Request,
    conversation,
)

T = TypeVar("T")
C = TypeVar("C")

TIMEOUT = 30.0
"""Seconds that the endpoint may be silent."""
RETRIES = 3
"""How often a request that may be repeated is."""

_CONNECT = 10.0
_SLOW = 10
_PIECE = 64 * 1024
_LARGEST = 256 * 1024 * 1024
"""Bytes of an answer; there is no limit for the contents of files."""
_LARGEST_REFUSAL = 1024 * 1024
_DISTRUSTED = (
    "Its certificate is not trusted here, so nothing was sent. If an authority of your own signed "
    "it, name that one's certificate in SSL_CERT_FILE."
)
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Chunks:
    """The body of an answer in pieces: for `for`, or with the asynchronous client `async for`.

    The connection is given back at the end, and by `close` or `aclose`.

    Parameters
    ----------
    live
        Whether pieces are given as they come, and not gathered to larger ones.
    """

    def __init__(self, response: httpx.Response, *, live: bool = False) -> None:
        self._response = response
        self._size = None if live else _PIECE
        self._pieces: Iterator[bytes] | None = None
        self._coming: AsyncIterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._response.iter_bytes(self._size)
        try:
            return next(self._pieces)
        except httpx.HTTPError as error:
            raise _failure(error, str(self._response.url)) from None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._coming is None:
            self._coming = self._response.aiter_bytes(self._size)
        try:
            return await anext(self._coming)
        except httpx.HTTPError as error:
            raise _failure(error, str(self._response.url)) from None

    def close(self) -> None:
        """Read no more of it."""
        self._response.close()

    async def aclose(self) -> None:
        """Read no more of it."""
        await self._response.aclose()


class _Body:
    """Takes the body of an answer piece by piece, but not for ever.

    Parameters
    ----------
    timeout
        Seconds that the endpoint may be silent.
    """

    def __init__(self, request: Request, response: httpx.Response, timeout: float) -> None:
        self._where = without_path(request.path)
        self._pieces: list[bytes] = []
        self._left = math.inf if request.slow else _LARGEST
        self._until = math.inf if request.slow else time.monotonic() + _SLOW * timeout
        self._refusal = not response.is_success
        if self._refusal:
            self._left = _LARGEST_REFUSAL

    def full(self, piece: bytes) -> bool:
        """Take a piece; tell whether that is enough.

        Raises
        ------
        EndpointError
            If it is too much, or takes too long.
        """
        self._pieces.append(piece)
        self._left -= len(piece)
        if time.monotonic() > self._until:
            raise _late(self._where)
        if self._left < 0 and not self._refusal:
            raise NotUnderstoodError(
                f"The answer of {self._where} is longer than {_LARGEST:,} bytes.",
                hint="Ask for less at once.",
            )
        return self._left < 0

    @property
    def content(self) -> bytes:
        """What was taken."""
        return b"".join(self._pieces)


class Channel:
    """What both drivers have: the address, the token, and how requests are put.

    Parameters
    ----------
    url
        The endpoint's address, without a slash at its end.
    token
        The bearer token; "" for none.
    timeout
        Seconds that the endpoint may be silent.
    retries
        How often a request that may be repeated is.
    """

    def __init__(self, url: str, token: str, timeout: float, retries: int) -> None:
        self.url = url
        self.token = token
        self.retries = retries
        self._timeout = timeout
        self._options: dict[str, Any] = {
            # What may be sent to this computer in plain text is no proxy's business.
            "mounts": {f"all://{host}": None for host in HERE},
            "headers": {"User-Agent": f"rexec-jupyter/{__version__}", "Accept": "application/json"},
        }

    def _token(self, request: Request) -> str:
        if request.trusted or origin(request.path) == origin(self.url):
            return request.token or self.token
        return ""

    def _put(self, request: Request) -> dict[str, Any]:
        """Return what httpx is to be told."""
        token = self._token(request)
        if token or request.secret:
            check_secret(request.path)
        if token and (not token.isascii() or not token.isprintable() or " " in token):
            raise NotAuthenticatedError(
                "That is no token: it has characters that no token has.", hint="Copy it again."
            )
        form = dict(request.form) if request.form is not None else None
        if request.token_in_form:
            if not token:
                raise NotAuthenticatedError(
                    "Token is required. Provide a token argument or initialize the client with "
                    "an authentication token."
                )
            form = (form or {}) | {"token": token}
        silent = self._timeout * (_SLOW if request.slow else 1)
        return {
            "method": request.method,
            "url": request.path,
            # None, for {} would take away what the address has.
            "params": {n: value for n, value in request.query.items() if value is not None} or None,
            "json": request.json,
            "data": form,
            "files": request.files,
            "headers": dict(request.headers)
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            "timeout": httpx.Timeout(silent, connect=min(self._timeout, _CONNECT)),
        }

    def _answer(self, request: Request, response: httpx.Response, content: bytes) -> Answer:
        streamed = request.streamed and response.is_success
        return Answer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            content,
            request.path,
            token=self._token(request),
            chunks=Chunks(response, live=request.live) if streamed else None,
        )


class Driver(Channel):
    """Sends requests from a thread, and waits."""

    def __init__(self, url: str, token: str, timeout: float, retries: int) -> None:
        super().__init__(url, token, timeout, retries)
        self._open()

    def _open(self) -> None:
        self._client = _made(httpx.Client, self._options)
        self._pid = os.getpid()

    def run(self, steps: Conversation[T]) -> T:
        """Take all steps and return their result; raises what they raise."""
        talk = conversation(steps, self.url, self.retries)
        try:
            item = next(talk)
            while True:
                try:
                    came = self._do(item)
                except EndpointError as error:
                    item = talk.throw(error)
                else:
                    item = talk.send(came)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _do(self, item: Item) -> Any:
        match item:
            case Request():
                return self._send(item)
            case Pause(seconds):
                return time.sleep(seconds)
            case Piece(chunks):
                return next(chunks, b"")
            case Leave(chunks):
                return chunks.close()

    def _send(self, request: Request) -> Answer:
        if self._client.is_closed:
            raise _closed()
        if self._pid != os.getpid():  # forked: the connections are those of the parent
            self._open()
        try:
            put = self._client.build_request(**self._put(request))
            response = self._client.send(put, stream=True)
            if request.streamed and response.is_success:
                return self._answer(request, response, b"")
            body = _Body(request, response, self._timeout)
            try:
                for piece in response.iter_bytes():
                    if body.full(piece):
                        break
            finally:
                response.close()
            return self._answer(request, response, body.content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error, request.path) from None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class AsyncDriver(Channel):
    """Sends requests from an event loop."""

    def __init__(self, url: str, token: str, timeout: float, retries: int) -> None:
        super().__init__(url, token, timeout, retries)
        self._client = _made(httpx.AsyncClient, self._options)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, steps: Conversation[T]) -> T:
        """Take all steps and return their result; raises what they raise."""
        talk = conversation(steps, self.url, self.retries)
        try:
            item = next(talk)
            while True:
                try:
                    came = await self._do(item)
                except EndpointError as error:
                    item = talk.throw(error)
                else:
                    item = talk.send(came)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _do(self, item: Item) -> Any:
        match item:
            case Request():
                return await self._send(item)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Piece(chunks):
                return await anext(chunks, b"")
            case Leave(chunks):
                return await chunks.aclose()

    async def _send(self, request: Request) -> Answer:
        if self._client.is_closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):  # its connections belong to that one
            raise EndpointError(
                "The client was used in another event loop.", hint="Make one in each loop."
            )
        self._loop = loop
        try:
            put = self._client.build_request(**self._put(request))
            response = await self._client.send(put, stream=True)
            if request.streamed and response.is_success:
                return self._answer(request, response, b"")
            body = _Body(request, response, self._timeout)
            try:
                async for piece in response.aiter_bytes():
                    if body.full(piece):
                        break
            finally:
                await response.aclose()
            return self._answer(request, response, body.content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error, request.path) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _made(kind: Callable[..., C], options: dict[str, Any]) -> C:
    """Make a client of httpx, which reads certificates and proxies of the environment."""
    try:
        return kind(**options)
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # The text may hold the address of a proxy, and that a password.
        raise EndpointError(
            f"The certificates or proxies of this computer cannot be used: {type(error).__name__}.",
            hint="Check SSL_CERT_FILE and SSL_CERT_DIR, and http_proxy, https_proxy and all_proxy.",
        ) from None


def _failure(error: Exception, url: str) -> EndpointError:
    """Return what to raise for what httpx raised; its own words hold no secret."""
    told = " ".join(str(error).split()) or type(error).__name__
    where = without_path(url)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return EndpointError(f"{where} is no address of an endpoint: {told}")
    if isinstance(error, httpx.DecodingError):
        return NotUnderstoodError(f"The answer of {where} cannot be unpacked: {told}")
    sent = not isinstance(error, _UNSENT)
    if isinstance(error, httpx.TimeoutException) and sent:
        return _late(where)
    if sent:
        return UnreachableError(
            f"The connection to the API at {where} broke: {told}.",
            hint="Look whether it was done before you do it again.",
            sent=True,
        )
    distrusted = "certificate verify failed" in told.lower()
    return UnreachableError(
        f"Failed to connect to the API at {where}. "
        f"Please check if the URL is correct and reachable: {told}.",
        hint=_DISTRUSTED if distrusted else "",
    )


def _late(where: str) -> UnreachableError:
    return UnreachableError(
        f"The API at {where} did not answer in time.",
        hint="It may be busy: try again, or give the client a longer timeout.",
        sent=True,
    )


def _closed() -> EndpointError:
    return EndpointError("The client is closed.", hint="Make another one.")
