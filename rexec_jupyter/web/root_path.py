"""The prefix under which a proxy shows a service, whether it cuts the prefix off or not."""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPathMiddleware:
    """Lets both ``/prefix/x`` and ``/x`` reach ``x``, and links begin with the prefix.

    Parameters
    ----------
    app
        What handles the rest.
    root_path
        The prefix, with a slash at its beginning and none at its end; empty for none.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        root = self._root_path
        if root and scope["type"] in ("http", "websocket"):
            path = scope["path"]
            if path != root and not path.startswith(f"{root}/"):
                path = root + path
            scope = {**scope, "path": path, "root_path": root}
        await self._app(scope, receive, send)
