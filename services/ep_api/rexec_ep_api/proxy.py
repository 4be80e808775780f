"""The way through to registered services, which leads nowhere else.

A service is registered by one person and called by another through this endpoint, so neither is
trusted: what is called stays below the registered address and outside of the endpoint's own
network, and neither learns what belongs to the other or to the endpoint.
"""

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

import httpx
from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

_CONNECT_TIMEOUT: Final = 10.0
_TIMEOUT: Final = 30.0
_MOST_AT_ONCE: Final = 100
_MOST_ADDRESSES: Final = 4
_MOST_ENCODINGS: Final = 4

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# The endpoint's credentials, and where its callers come from, are not the service's business.
_KEPT_FROM_SERVICE: Final = frozenset(
    (b"authorization", b"cookie", b"forwarded", b"host", b"x-real-ip")
)
_KEPT_FROM_SERVICE_PREFIXES: Final = (b"x-forwarded-",)
# They would speak for the whole host of the endpoint.
_KEPT_FROM_CALLER: Final = frozenset(
    (
        b"alt-svc",
        b"clear-site-data",
        b"service-worker-allowed",
        b"set-cookie",
        b"strict-transport-security",
        b"x-correlation-id",
    )
)
# A page of a service runs in a browser as a stranger to the pages of the endpoint.
_SANDBOX: Final = (b"content-security-policy", b"sandbox allow-scripts allow-forms allow-popups")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Headers = list[tuple[bytes, bytes]]


class Proxy:
    """Passes requests on to services and their answers back, both as they come.

    Parameters
    ----------
    private
        Whether services may be in private networks and on this machine.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._free = asyncio.Semaphore(_MOST_AT_ONCE)
        # Other endpoints may be on the way, but nobody is on it twice.
        self._via = b"1.1 rexec-" + secrets.token_hex(8).encode()
        # Connections are not kept: each belongs to the address that was checked for one request.
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def forward(self, request: Request, base: str, path: bytes | None) -> StreamingResponse:
        """Return what a service answers to a request.

        Parameters
        ----------
        request
            As it came.
        base
            The registered address of the service.
        path
            What the request adds to it, percent-encoded as it came; None for nothing, not even a
            slash.

        Raises
        ------
        HTTPException
            If the request must not, or cannot, be passed on.
        """
        if any(self._via in value for name, value in request.headers.raw if name == b"via"):
            raise HTTPException(
                502, "The service leads back to this endpoint, so the request would go in circles."
            )
        url = target(base, path, request.scope["query_string"])
        if self._free.locked():
            raise HTTPException(
                503,
                "Too many requests are on their way to services. Try again in a moment.",
                headers={"Retry-After": "1"},
            )
        await self._free.acquire()
        try:
            answer = await self._ask(request, url)
        except BaseException:
            self._free.release()
            raise
        return _Passing(answer, self._free)

    async def close(self) -> None:
        """Let go of what is in use."""
        await self._transport.aclose()

    async def _ask(self, request: Request, url: httpx.URL) -> httpx.Response:
        try:
            async with asyncio.timeout(_TIMEOUT):
                addresses = await self._addresses(url)
                for address in addresses[:-1]:
                    try:
                        return await self._send(request, url, address)
                    except httpx.ConnectError:
                        continue  # before anything was sent, so the next one may get it
                return await self._send(request, url, addresses[-1])
        except (TimeoutError, httpx.TimeoutException):
            raise HTTPException(
                504, f"The service did not answer within {_TIMEOUT:g} seconds."
            ) from None
        except ClientDisconnect:
            raise HTTPException(400, "The request broke off before its end.") from None
        except (httpx.TransportError, httpx.InvalidURL):
            raise HTTPException(
                502,
                "The service cannot be reached, or what it answers is not HTTP. Ask whoever "
                "registered it whether its address is still right.",
            ) from None

    async def _send(self, request: Request, url: httpx.URL, address: _Address) -> httpx.Response:
        timeout = httpx.Timeout(_TIMEOUT, connect=_CONNECT_TIMEOUT).as_dict()
        host = url.raw_host.decode()
        headers = [
            (b"host", url.netloc),
            (b"via", self._via),
            *_passed(request.headers.raw, _KEPT_FROM_SERVICE, _KEPT_FROM_SERVICE_PREFIXES),
        ]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        asked = httpx.Request(
            request.method,
            url.copy_with(host=str(address)),
            headers=headers,
            content=request.stream() if has_body else None,
            # The certificate must be the name's, and not that of the address it was found at.
            extensions={"timeout": timeout, "sni_hostname": host},
        )
        return await self._transport.handle_async_request(asked)

    async def _addresses(self, url: httpx.URL) -> list[_Address]:
        """Return where a host is, having made sure that one may go there."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                url.raw_host.decode(), port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            raise HTTPException(
                502, "The service cannot be reached: the name of its host is not known."
            ) from None
        addresses = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
        if not all(reachable(address, private=self._private) for address in addresses):
            raise HTTPException(
                403,
                "The address of the service is in a private network, where this endpoint does not "
                "lead. Its operator may allow that with REXEC_EP_REDIRECT_PRIVATE.",
            )
        return list(dict.fromkeys(addresses))[:_MOST_ADDRESSES]


class _Passing(StreamingResponse):
    """The answer of a service on its way to the caller."""

    def __init__(self, answer: httpx.Response, free: asyncio.Semaphore) -> None:
        super().__init__(_content(answer), status_code=answer.status_code)
        self._answer = answer
        self._free = free
        self.raw_headers = [*_passed(answer.headers.raw, _KEPT_FROM_CALLER), _SANDBOX]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._free.release()
            await self._answer.aclose()


async def _content(answer: httpx.Response) -> AsyncIterator[bytes]:
    async for part in answer.aiter_raw():
        yield part


def target(base: str, path: bytes | None, query: bytes) -> httpx.URL:
    """Return the address that a request to a service goes to.

    Parameters
    ----------
    base
        The registered address.
    path
        What comes below it, percent-encoded, or None.
    query
        What comes after that.

    Raises
    ------
    HTTPException
        If the path leaves the registered address, or the whole is no address.
    """
    if path is not None and _climbs(path):
        raise HTTPException(400, "The path leads out of the address of the service.")
    try:
        url = httpx.URL(base)
        below, _, fixed = url.raw_path.partition(b"?")
        if path is not None:
            below = below.rstrip(b"/") + b"/" + path
        queries = b"&".join(filter(None, (fixed, query)))
        whole = below + b"?" + queries if queries else below
        url = url.copy_with(raw_path=whole, userinfo=b"", fragment=None)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise HTTPException(400, "What the request adds makes no address of a service.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise HTTPException(502, "The registered address of the service is not one on the web.")
    return url


def reachable(address: _Address, *, private: bool) -> bool:
    """Return whether requests may be passed on to an address.

    Parameters
    ----------
    address
        Where a service is.
    private
        Whether private networks and this machine count.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inside = ipaddress.IPv4Address(address.packed[-4:])
        if inside is not None:
            return reachable(inside, private=private)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return private or address.is_global


def _climbs(path: bytes) -> bool:
    """Return whether a path has a step upwards, however it is written."""
    for _ in range(_MOST_ENCODINGS):
        steps = path.replace(b"\\", b"/").split(b"/")
        # Some servers cut off what follows a semicolon before they look at a step.
        if any(step.partition(b";")[0] in (b".", b"..") for step in steps):
            return True
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return False
        path = decoded
    return True  # nobody who means well encodes as often


def _passed(
    headers: Iterable[tuple[bytes, bytes]], kept: frozenset[bytes], prefixes: tuple[bytes, ...] = ()
) -> _Headers:
    """Return the headers that the other side gets to see."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {
        part.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for part in value.split(b",")
    }
    left_out = _HOP_BY_HOP | kept | named
    return [
        (name, value)
        for name, value in lowered
        if name not in left_out and not name.startswith(prefixes)
    ]
