"""Asking a federation: where something is, what it is, and for what it holds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx

from rexec_ep_api.integrations.asking import new_client, read_all, within
from rexec_ep_api.integrations.errors import ImpossibleError, MissingError, UnreachableError
from rexec_ep_api.integrations.pelican.addresses import Federation, quoted
from rexec_ep_api.integrations.pelican.listing import Entry, entries, moment, size

_WHO: Final = "The Pelican federation"
_MIB: Final = 1024 * 1024
_MOST_LISTED: Final = 32 * _MIB
_MOST_TOLD: Final = _MIB
_PIECE: Final = _MIB
_MOST_HOPS: Final = 4
# Seconds that a federation's director is remembered.
_REMEMBERED: Final = 600.0
_NAMESPACE: Final = "x-pelican-namespace"
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_UNCHANGED: Final = {"Accept-Encoding": "identity"}
_LISTED: Final = (
    '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    "<getcontentlength/><getlastmodified/><getcontenttype/></prop></propfind>"
)


class Content(NamedTuple):
    """A file on its way.

    Attributes
    ----------
    pieces
        What it holds. Closing this lets go of the federation.
    """

    size: int | None
    content_range: str | None
    pieces: AsyncIterator[bytes]


class Pelican:
    """Reads from federations.

    Parameters
    ----------
    patience
        Seconds that a federation has to answer.
    direct_reads
        Whether files come from where they belong and not from caches.
    """

    def __init__(self, patience: float, *, direct_reads: bool = False) -> None:
        self._direct = direct_reads
        self._patience = patience
        self._client = new_client(patience)
        self._directors: dict[str, tuple[float, str]] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def browse(self, federation: Federation, path: str) -> list[Entry]:
        """Return what a collection holds."""
        found = await self._propfind(federation, path, depth=1)
        here = path.rstrip("/")
        if any(one.path.rstrip("/") == here and not one.is_collection for one in found):
            raise ImpossibleError(f"{path!r} is a file; ask for information about it instead.")
        return [one for one in found if one.path.rstrip("/") != here]

    async def info(self, federation: Federation, path: str) -> Entry:
        """Return what is known of a file or collection."""
        found = await self._propfind(federation, path, depth=0)
        if not found:
            raise MissingError(_missing(path))
        return found[0]

    async def download(self, federation: Federation, path: str, wanted: str | None) -> Content:
        """Return a file on its way.

        Parameters
        ----------
        federation
            Where it is.
        path
            The file.
        wanted
            Which part of it, as the HTTP header ``Range`` says it.
        """
        headers = _UNCHANGED | ({"Range": wanted} if wanted else {})
        async with AsyncExitStack() as stack:
            async with within(self._patience, _WHO):
                _, response = await self._followed(stack, federation, "GET", path, headers)
            length = response.headers.get("content-length")
            kept = stack.pop_all()
        return Content(
            size=size(length) if length else None,
            content_range=response.headers.get("content-range"),
            pieces=_pieces(response, kept),
        )

    async def _propfind(self, federation: Federation, path: str, depth: int) -> list[Entry]:
        headers = {"Depth": str(depth), "Content-Type": "application/xml"}
        async with within(self._patience, _WHO), AsyncExitStack() as stack:
            collections, response = await self._followed(
                stack, federation, "PROPFIND", path, headers
            )
            if response.status_code in {405, 501} and depth == 0:
                # Who cannot list still says how long a file is.
                return [await self._head(stack, federation, path)]
            if response.status_code != 207:
                raise UnreachableError(
                    f"{_WHO} cannot list {path!r}"
                    + ("." if collections else ": it has no listings for this namespace.")
                )
            body = await read_all(response, _MOST_LISTED, _WHO)
        # Listings may be long.
        return await asyncio.to_thread(entries, body)

    async def _head(self, stack: AsyncExitStack, federation: Federation, path: str) -> Entry:
        _, response = await self._followed(stack, federation, "HEAD", path, _UNCHANGED)
        told = response.headers
        return Entry(
            path=path,
            size=size(told.get("content-length")),
            is_collection=False,
            modified=moment(told.get("last-modified")),
            content_type=told.get("content-type"),
        )

    async def _followed(
        self,
        stack: AsyncExitStack,
        federation: Federation,
        method: str,
        path: str,
        headers: dict[str, str],
    ) -> tuple[str, httpx.Response]:
        """Ask the director, and then whomever it names.

        Returns
        -------
        tuple of str and Response
            Who lists the namespace, if anybody, and the answer, which the stack closes.
        """
        address = urljoin(await self._director(federation), quoted(path).lstrip("/"))
        secure = address.startswith("https://")
        if self._direct and method != "PROPFIND":
            address += "?directread"
        collections = ""
        content = _LISTED if method == "PROPFIND" else None
        for _ in range(_MOST_HOPS):
            response = await stack.enter_async_context(
                self._client.stream(method, address, headers=headers, content=content)
            )
            if not collections:
                collections = _collections(response.headers.get(_NAMESPACE, ""))
                if collections and method == "PROPFIND":
                    address = _named(collections, quoted(path), secure=secure)
                    continue
            if response.status_code not in _REDIRECTS:
                _check(response, path)
                return collections, response
            location = response.headers.get("location", "")
            address = _named(address, location, secure=secure)
        raise UnreachableError(f"{_WHO} sends in circles for {path!r}.")

    async def _director(self, federation: Federation) -> str:
        """Return the address of a federation's director, with a slash at its end."""
        known_since, director = self._directors.get(federation.url, (0.0, ""))
        if director and time.monotonic() - known_since < _REMEMBERED:
            return director
        async with self._client.stream("GET", federation.discovery) as response:
            if response.status_code != 200:
                raise UnreachableError(
                    f"{_WHO} does not tell of itself (HTTP {response.status_code})."
                )
            body = await read_all(response, _MOST_TOLD, _WHO)
        try:
            told = json.loads(body).get("director_endpoint")
        except (ValueError, AttributeError, RecursionError):
            told = None
        if not isinstance(told, str):
            raise UnreachableError(f"{_WHO} does not tell where its director is.")
        if "://" not in told:
            told = f"https://{told}"
        secure = federation.discovery.startswith("https://")
        director = f"{_named('', told, secure=secure).rstrip('/')}/"
        self._directors[federation.url] = time.monotonic(), director
        return director


def _named(base: str, address: str, *, secure: bool) -> str:
    """Return an address that a federation names, seen from another, if it may be asked."""
    try:
        named = urljoin(base, address)
        parts = urlsplit(named)
    except ValueError:
        named, parts = "", urlsplit("")
    schemes = ("https",) if secure else ("https", "http")
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise UnreachableError(f"{_WHO} names a server that cannot be trusted.")
    return named


def _collections(header: str) -> str:
    pairs = (pair.strip().partition("=") for pair in header.split(","))
    return next((value for name, _, value in pairs if name == "collections-url"), "")


def _check(response: httpx.Response, path: str) -> None:
    """Tell what an answer that is none means."""
    status = response.status_code
    if status in {404, 410}:
        raise MissingError(_missing(path))
    if status in {401, 403}:
        raise ImpossibleError(
            f"{path!r} is not open to everybody, and the endpoint reads nothing else. Read it "
            "with a token of your own, for example with pelicanfs."
        )
    if status == 416:
        raise ImpossibleError(f"{path!r} has nothing in the asked range.")
    if status >= 400 and status not in {405, 501}:
        raise UnreachableError(f"{_WHO} cannot answer at the moment (HTTP {status}).")


def _missing(path: str) -> str:
    return f"{path!r} not found in the federation."


async def _pieces(response: httpx.Response, kept: AsyncExitStack) -> AsyncIterator[bytes]:
    async with kept:
        async for piece in response.aiter_raw(_PIECE):
            yield piece
