"""What is refused before anybody looks at it: bodies that are too large, and odd requests."""

import asyncio
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rexec_ep_api.errors import error_response

MIB = 1024 * 1024

# Objects stream through to the store, which has limits of its own.
_STREAMED = re.compile(r"/s3/objects/[^/]+")
# Even the largest body comes in that time over any line that is of use.
_SECONDS = 300
# Databases know no such character, and no name or text needs it.
_NUL = re.compile(rb"%00|\x00")


class BodyTooLargeError(HTTPException):
    """More was sent than the endpoint takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            413,
            f"The body of the request is larger than the {_size(limit)} that this endpoint takes. "
            "Send less at a time, or ask its operator to raise REXEC_EP_MAX_BODY.",
        )


class BodyTooSlowError(HTTPException):
    """What was announced does not come."""

    def __init__(self) -> None:
        super().__init__(408, f"The body of the request did not arrive within {_SECONDS} seconds.")


class LimitsMiddleware:
    """Counts what bodies hold and refuses odd addresses.

    Parameters
    ----------
    app
        What handles the rest.
    max_body
        Bytes that the body of a request may have.
    """

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await error_response(Request(scope), refusal)(scope, receive, send)
        elif _is_streamed(scope):
            await self._app(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _refusal(self, scope: Scope) -> HTTPException | None:
        if _NUL.search(scope.get("raw_path") or b"") or _NUL.search(scope["query_string"]):
            return HTTPException(400, "The address of the request holds a NUL character.")
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if not lengths or _is_streamed(scope):
            return None
        if any(not length.isdigit() for length in lengths) or len(set(lengths)) > 1:
            return HTTPException(400, "The header Content-Length is not a number.")
        return BodyTooLargeError(self._max_body) if int(lengths[0]) > self._max_body else None

    def _counted(self, receive: Receive) -> Receive:
        received, complete = 0, False
        end = asyncio.get_running_loop().time() + _SECONDS

        async def counting() -> Message:
            nonlocal received, complete
            if complete:  # then it waits for the other side to leave, however long that takes
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlowError from None
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise BodyTooLargeError(self._max_body)
            return message

        return counting


def _is_streamed(scope: Scope) -> bool:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return scope["method"] == "POST" and bool(_STREAMED.fullmatch(path.removeprefix(root)))


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"
