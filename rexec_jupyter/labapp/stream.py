"""The event stream: a WebSocket that one browser tab listens at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from rexec_jupyter._version import __version__
from rexec_jupyter.labapp.messages import PROTOCOL, Beat, Hello, News

if TYPE_CHECKING:
    from rexec_jupyter.labapp.extension import RexecPanel

AUTH_RESOURCE = "rexec"
"""What a user of a hub needs a right to."""
NAME = "rexec"
"""Of the extension; under it handlers find it among the settings of the web application."""
BEAT = 5.0
"""Seconds of silence at most."""

_LONGEST = 1024
_encode = msgspec.json.Encoder().encode


def panel_of(settings: dict[str, Any]) -> RexecPanel:
    """Return the extension of a web application."""
    panel: RexecPanel = settings[NAME]
    return panel


class Outbox:
    """What one browser tab is still to be told: the last news, or all there is if it was too slow.

    Parameters
    ----------
    everything
        Returns all that there is.
    """

    def __init__(self, everything: Callable[[], News]) -> None:
        self._everything = everything
        self._news: News | None = None
        self._behind = False
        self._installing: dict[str, list[str]] = {}
        self._filled = asyncio.Event()

    def put(self, news: News) -> None:
        """Take news."""
        self._behind = self._news is not None
        self._news = news
        for name, lines in news.installing.items():
            self._installing.setdefault(name, []).extend(lines)
        self._filled.set()

    async def take(self) -> News:
        """Return what is to be told, once there is something."""
        while self._news is None:
            self._filled.clear()
            await self._filled.wait()
        # All that there is holds the news before it too.
        news = self._everything() if self._behind else self._news
        news = msgspec.structs.replace(news, installing=self._installing)
        self._news, self._behind, self._installing = None, False, {}
        return news


class EventsHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``events``. Who is too slow for all news is told how things stand once they can take it."""

    auth_resource = AUTH_RESOURCE

    def initialize(self) -> None:
        """Find the extension."""
        self.panel = panel_of(self.settings)
        self._sending: asyncio.Task[None] | None = None

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it, for those who may look."""
        user = self.current_user
        if not await ensure_async(
            self.authorizer.is_authorized(self, user, "read", self.auth_resource)
        ):
            raise HTTPError(403)
        await super().get(*args, **kwargs)

    def get_compression_options(self) -> dict[str, Any]:
        """Compress: lists of jobs are mostly alike."""
        return {}

    @property
    def max_message_size(self) -> int:
        """Nothing is to come."""
        return _LONGEST

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        self._sending = asyncio.create_task(self._send())

    def on_message(self, message: str | bytes) -> None:
        """Ignore it."""

    def on_close(self) -> None:
        """Cease to tell."""
        super().on_close()
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        watcher = self.panel.watcher
        outbox = Outbox(watcher.everything)
        try:
            hello = Hello(
                protocol=PROTOCOL,
                version=__version__,
                now=time.time(),
                read_only=self.panel.read_only,
            )
            await self.write_message(_encode(hello))
            watcher.listen(outbox.put)
            while True:
                await self.write_message(_encode(await _next(outbox)))
        except WebSocketClosedError:
            pass
        finally:
            watcher.leave(outbox.put)


async def _next(outbox: Outbox) -> News | Beat:
    try:
        async with asyncio.timeout(BEAT):
            return await outbox.take()
    except TimeoutError:
        return Beat(now=time.time())
