"""One identifier for each request: taken over or given, in every answer, log line and error."""

import contextvars
import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-correlation-id"

# It ends in logs and headers, so what somebody sends is taken over only if it is harmless there.
_HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_current: contextvars.ContextVar[str] = contextvars.ContextVar("correlation_id", default="")


def correlation_id() -> str:
    """Return the identifier of the request under way; empty outside of one."""
    return _current.get()


class CorrelationMiddleware:
    """Gives each request its identifier, and its answer the header ``X-Correlation-ID``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = _sent(scope) or secrets.token_hex(16).encode()
        _current.set(identifier.decode())

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != HEADER]
                message["headers"] = [*headers, (HEADER, identifier)]
            await send(message)

        await self._app(scope, receive, marked)


def _sent(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            return bytes(value) if _HARMLESS.fullmatch(value) else None
    return None
