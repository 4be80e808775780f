"""Redirects for a slash too many or too few: to the same host, as the caller knows it.

The framework writes a whole address. Its scheme is wrong behind a proxy that ends TLS, and its host
is what the request said, which may have been put there to lead others away.
"""

from starlette.datastructures import URL
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REDIRECT = 307


class RelativeRedirectsMiddleware:
    """Leaves scheme and host out of redirects within the service."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == _REDIRECT:
                origin = _origin(scope)
                message["headers"] = [
                    (name, _within(origin, value) if name == b"location" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app(scope, receive, relative)


def _origin(scope: Scope) -> bytes:
    url = URL(scope=scope)
    return f"{url.scheme}://{url.netloc}".encode()


def _within(origin: bytes, address: bytes) -> bytes:
    rest = address.removeprefix(origin)
    # With two slashes it would be another host.
    return rest if rest.startswith(b"/") and not rest.startswith(b"//") else address
