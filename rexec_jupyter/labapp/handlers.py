"""The routes: what `rexec_jupyter.labapp.messages` lists, as JSON."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from rexec_jupyter.labapp import messages as m
from rexec_jupyter.labapp.problems import RefusedError, Trouble, trouble
from rexec_jupyter.labapp.stream import AUTH_RESOURCE, EventsHandler, panel_of

T = TypeVar("T")

_LARGEST = 1024 * 1024
"""Bytes of a question."""
_encode = msgspec.json.Encoder().encode


class Handler(APIHandler):
    """Base of all of them."""

    auth_resource = AUTH_RESOURCE

    def initialize(self) -> None:
        """Find the extension."""
        self.panel = panel_of(self.settings)

    def body(self, kind: type[T]) -> T:
        """Return what was sent; nothing counts as ``{}``.

        Raises
        ------
        msgspec.ValidationError
            If it is something else.
        """
        content = self.request.body or b"{}"
        if len(content) > _LARGEST:
            raise RefusedError(422, f"That is longer than {_LARGEST:,} bytes.", "Send less.")
        return msgspec.json.decode(content, type=kind)

    def number(self, name: str, default: float, most: float) -> float:
        """Return a number of the query, from 0 on.

        Raises
        ------
        RefusedError
            If it is none.
        """
        text = self.get_query_argument(name, "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise RefusedError(422, f"{name}={text!r} is no number from 0 on.")
        return min(value, most)

    async def changing(self, work: Awaitable[str]) -> None:
        """Do something that changes something, and answer with what there is to say of it."""
        try:
            self._check()
            message = m.Done(text=await work)
        except Exception as error:  # noqa: BLE001 - each has its answer
            self._refuse(trouble(error, self.log))
        else:
            self.finish(_encode(message))
        finally:
            if hasattr(work, "close"):
                work.close()  # one that was not begun
            self.panel.watcher.nudge()

    def _check(self) -> None:
        if self.panel.read_only:
            raise RefusedError(
                403,
                "This panel may only look.",
                "Whoever runs this Jupyter server decided so (RexecPanel.read_only).",
            )

    async def telling(self, work: Awaitable[m.Message]) -> None:
        """Answer with a message."""
        try:
            message = await work
        except Exception as error:  # noqa: BLE001 - each has its answer
            self._refuse(trouble(error, self.log))
        else:
            self.finish(_encode(message))

    def _refuse(self, why: Trouble) -> None:
        self.set_status(why.status)
        self.finish(_encode(why.problem))

    def write_error(self, status_code: int, **details: Any) -> None:
        """Answer with a `Problem` whatever happens."""
        error = (details.get("exc_info") or (None, HTTPError(status_code)))[1]
        self._refuse(trouble(error, self.log))


class StateHandler(Handler):
    """``state``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell how things stand."""
        await self.telling(self.panel.watcher.state())


class ConnectionHandler(Handler):
    """``connection``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Use another backend."""
        await self.changing(self._choose())

    async def _choose(self) -> str:
        return await self.panel.actions.choose(self.body(m.Choice))


class LoginHandler(Handler):
    """``login``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Keep a token."""
        await self.changing(self._login())

    async def _login(self) -> str:
        return await self.panel.actions.login(self.body(m.Credentials))


class LogoutHandler(Handler):
    """``logout``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Forget tokens."""
        await self.changing(self._logout())

    async def _logout(self) -> str:
        return await self.panel.actions.logout(self.body(m.Place))


class EmbeddedHandler(Handler):
    """``embedded/start`` and ``embedded/stop``."""

    @authenticated
    @authorized
    async def post(self, verb: str) -> None:
        """Start or stop the embedded backend."""
        await self.changing(self._do(verb))

    async def _do(self, verb: str) -> str:
        if verb == "start":
            return await self.panel.actions.start_embedded(self.body(m.Start).kernel)
        return await self.panel.actions.stop_embedded(force=self.body(m.Force).force)


class ProfilesHandler(Handler):
    """``profiles``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell what servers there can be."""
        await self.telling(self.panel.actions.profiles())


class ServersHandler(Handler):
    """``servers``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Have a server started."""
        await self.changing(self._begin())

    async def _begin(self) -> str:
        return await self.panel.actions.start_server(self.body(m.Wanted))


class ServerHandler(Handler):
    """``servers/NAME``."""

    @authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """End a server."""
        await self.changing(self._end(name))

    async def _end(self, name: str) -> str:
        return await self.panel.actions.stop_server(name, force=self.body(m.Force).force)


class ServerVerbHandler(Handler):
    """``servers/NAME/restart`` and ``servers/NAME/extend``."""

    @authenticated
    @authorized
    async def post(self, name: str, verb: str) -> None:
        """Restart or extend a server."""
        await self.changing(self._do(name, verb))

    async def _do(self, name: str, verb: str) -> str:
        if verb == "restart":
            return await self.panel.actions.restart_server(name, force=self.body(m.Force).force)
        return await self.panel.actions.extend_server(name, self.body(m.Extension).seconds)


class ServerLogHandler(Handler):
    """``servers/NAME/log``."""

    @authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Tell what the installer wrote."""
        await self.telling(self._read(name))

    async def _read(self, name: str) -> m.Text:
        tail = int(self.number("tail", 1000, 10_000))
        return await self.panel.actions.install_log(name, tail)


class SessionsHandler(Handler):
    """``sessions``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Start a session."""
        await self.changing(self._start())

    async def _start(self) -> str:
        return await self.panel.actions.start_session(self.body(m.Named).name)


class SessionHandler(Handler):
    """``sessions/NAME``."""

    @authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """End a session."""
        await self.changing(self._end(name))

    async def _end(self, name: str) -> str:
        return await self.panel.actions.end_session(name, force=self.body(m.Force).force)


class SessionVerbHandler(Handler):
    """``sessions/NAME/restart`` and ``sessions/NAME/interrupt``."""

    @authenticated
    @authorized
    async def post(self, name: str, verb: str) -> None:
        """Restart a session, or interrupt what runs there."""
        await self.changing(self._do(name, verb))

    async def _do(self, name: str, verb: str) -> str:
        actions = self.panel.actions
        if verb == "restart":
            force = self.body(m.Force).force
            return await actions.end_session(name, force=force, restart=True)
        return await actions.interrupt_session(name)


class JobVerbHandler(Handler):
    """``jobs/ID/interrupt`` and ``jobs/ID/cancel``."""

    @authenticated
    @authorized
    async def post(self, job: str, verb: str) -> None:
        """Interrupt or cancel a job."""
        await self.changing(self.panel.actions.end_job(job, kindly=verb == "interrupt"))


class JobLogHandler(Handler):
    """``jobs/ID/log``."""

    @authenticated
    @authorized
    async def get(self, job: str) -> None:
        """Tell what a job has shown."""
        await self.telling(self._read(job))

    async def _read(self, job: str) -> m.Log:
        if self.get_query_argument("after", ""):
            after = int(self.number("after", 0, 2**53))
            return await self.panel.logs.after(job, after, self.number("wait", 0, 30))
        return await self.panel.logs.tail(job, int(self.number("tail", 200, 10_000)))


class CatalogsHandler(Handler):
    """``catalogs``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell which catalogs there are."""
        await self.telling(self.panel.catalog.offered())


class CatalogHandler(Handler):
    """``catalog``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Search a catalog."""
        await self.telling(self._search())

    async def _search(self) -> m.Found:
        return await self.panel.catalog.search(
            self.get_query_argument("q", ""),
            self.get_query_argument("in", "local"),
            int(self.number("offset", 0, 1_000_000)),
            int(self.number("limit", 20, 100)),
        )


class UnknownHandler(Handler):
    """Whatever else."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Say that there is nothing."""
        await self.telling(self._nothing())

    post = delete = get

    async def _nothing(self) -> m.Done:
        raise RefusedError(404, "There is no such thing.", "Load the page again.")


_NAME = "([^/]+)"
ROUTES: list[tuple[str, type]] = [
    (url_path_join("rexec", "api", path), handler)
    for path, handler in (
        ("state", StateHandler),
        ("events", EventsHandler),
        ("connection", ConnectionHandler),
        ("login", LoginHandler),
        ("logout", LogoutHandler),
        ("embedded/(start|stop)", EmbeddedHandler),
        ("profiles", ProfilesHandler),
        ("servers", ServersHandler),
        (f"servers/{_NAME}", ServerHandler),
        (f"servers/{_NAME}/(restart|extend)", ServerVerbHandler),
        (f"servers/{_NAME}/log", ServerLogHandler),
        ("sessions", SessionsHandler),
        (f"sessions/{_NAME}", SessionHandler),
        (f"sessions/{_NAME}/(restart|interrupt)", SessionVerbHandler),
        (f"jobs/{_NAME}/(interrupt|cancel)", JobVerbHandler),
        (f"jobs/{_NAME}/log", JobLogHandler),
        ("catalogs", CatalogsHandler),
        ("catalog", CatalogHandler),
        (".*", UnknownHandler),
    )
]
"""Paths below the base address, and what answers there."""
