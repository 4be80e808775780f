"""What is refused before anybody looks at it: bodies that are too large, and odd requests."""

import asyncio
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rexec_jupyter.web.errors import error_response

MIB = 1024 * 1024

# Even the largest body comes in that time over any line that is of use.
_SECONDS = 300
# Databases know no such character, and no name or text needs it.
_NUL = re.compile(rb"%00|\x00")


class BodyTooLargeError(HTTPException):
    """More was sent than the service takes."""

    def __init__(self, limit: int, variable: str) -> None:
        super().__init__(
            413,
            f"The body of the request is larger than the {_size(limit)} that are taken here. "
            f"Send less at a time, or ask the operator to raise {variable}.",
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
    variable
        What the operator sets to change that.
    streamed
        Paths whose bodies may be of any length when they are posted.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body: int,
        *,
        variable: str,
        streamed: re.Pattern[str] | None = None,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._variable = variable
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await error_response(Request(scope), refusal)(scope, receive, send)
        elif self._is_streamed(scope):
            await self._app(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _refusal(self, scope: Scope) -> HTTPException | None:
        if _NUL.search(scope.get("raw_path") or b"") or _NUL.search(scope["query_string"]):
            return HTTPException(400, "The address of the request holds a NUL character.")
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if not lengths or self._is_streamed(scope):
            return None
        if any(not length.isdigit() for length in lengths) or len(set(lengths)) > 1:
            return HTTPException(400, "The header Content-Length is not a number.")
        return self._too_large() if int(lengths[0]) > self._max_body else None

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(self._max_body, self._variable)

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
                raise self._too_large()
            return message

        return counting

    def _is_streamed(self, scope: Scope) -> bool:
        if self._streamed is None or scope["method"] != "POST":
            return False
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        return bool(self._streamed.fullmatch(path.removeprefix(root)))


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"
