"""Servers as resources."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from rexec_deploy_api import following
from rexec_deploy_api import models as m
from rexec_deploy_api.asking import Given, Parts, Starter, begin
from rexec_deploy_api.records import Event
from rexec_deploy_api.service import View
from rexec_deploy_api.spawner.base import LogQuery
from rexec_jupyter.auth.dependencies import User
from rexec_jupyter.core.protocol import VERSIONS

TAG = "Servers"
router = APIRouter(prefix="/v1", tags=[TAG])

# Seconds until an answer begins, even if the log has nothing yet.
_LOG_BEGINS = 0.5
# Seconds that a ticket is said to be valid at least.
_SHORTEST = 20.0
_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_KEEP_ALIVE = b": still here\n\n"


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


@router.get("/servers", summary="The servers of the user")
async def list_servers(request: Request, given: Given, user: User) -> m.ServersBody:
    """List them by name."""
    root = _root(request)
    return m.ServersBody(servers=[m.shown(view, root) for view in given.servers.list(user.sub)])


@router.post(
    "/servers",
    summary="Have a server",
    status_code=201,
    responses={200: {"model": m.ServerBody, "description": "There is one like this already."}},
)
async def begin_server(
    request: Request, response: Response, asked: m.Asked, given: Given, starter: Starter
) -> m.ServerBody:
    """Start a server, unless there is one like this; it can be followed by its events.

    Asking again does no harm. If there is one of this name that is different, `force` replaces it.
    """
    record, begun = await begin(
        given,
        starter.identity,
        asked.name,
        asked.profile,
        asked.lines,
        asked.wanted,
        force=asked.force,
    )
    response.status_code = 201 if begun else 200
    root = _root(request)
    response.headers["Location"] = f"{root}/v1/servers/{record.name}"
    return m.shown(given.servers.view(record), root)


@router.get("/servers/{name}", summary="One server")
async def get_server(request: Request, name: str, given: Given, user: User) -> m.ServerBody:
    """Tell how it is."""
    return m.shown(given.servers.get(user.sub, name), _root(request))


@router.delete("/servers/{name}", summary="End a server", status_code=202)
async def end_server(request: Request, name: str, given: Given, user: User) -> m.ServerBody:
    """Have it end in good order; it is gone a little later."""
    record = await given.servers.stop(user.sub, name)
    if record is None:
        given.servers.get(user.sub, name)  # tells that there is none
        raise HTTPException(404, f"You have no server named {name!r}.")
    return m.shown(given.servers.view(record), _root(request))


@router.post("/servers/{name}/restart", summary="Replace a server", status_code=202)
async def restart_server(
    request: Request, name: str, given: Given, starter: Starter
) -> m.ServerBody:
    """End what runs there, and start another server like it."""
    record = await given.servers.restart(starter.identity.sub, name)
    return m.shown(given.servers.view(record), _root(request))


@router.post("/servers/{name}/extend", summary="Let a server live longer")
async def extend_server(
    request: Request, name: str, asked: m.ExtendBody, given: Given, starter: Starter
) -> m.ServerBody:
    """Let no clock end it within the next seconds."""
    most = given.settings.max_extension
    if asked.seconds > most:
        raise HTTPException(422, f"seconds: at most {most:g} at once.")
    record = await given.servers.extend(starter.identity.sub, name, asked.seconds)
    return m.shown(given.servers.view(record), _root(request))


@router.get(
    "/servers/{name}/events",
    summary="What happens to a server",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def follow_server(
    name: str,
    given: Given,
    user: User,
    last_event_id: Annotated[str, Header()] = "",
) -> StreamingResponse:
    """Send what happened and happens, until the server is gone, as server-sent events.

    The header Last-Event-ID tells what is known already. While packages are installed, each line
    that the installer writes is an event of the kind `line`, without a number.
    """
    after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else 0
    events = given.servers.events(user.sub, name, after)
    record = given.servers.get(user.sub, name).record
    lines = partial(given.servers.logs, user.sub, name, LogQuery("environment", follow=True))
    known = all(each.seq <= after for each in record.events if each.kind == "state")
    installing = known and record.state == "installing"
    told = following.told(events, lines, installing=installing)
    return StreamingResponse(_sent(told), media_type="text/event-stream", headers=_STREAM)


async def _sent(told: AsyncIterator[Event | str | None]) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for event in told:
        if event is None:
            yield _KEEP_ALIVE
        elif isinstance(event, str):
            line = {"kind": "line", "state": "installing", "text": event}
            yield b"event: line\ndata: %s\n\n" % msgspec.json.encode(line)
        else:
            data = msgspec.json.encode(event)
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data)


@router.get(
    "/servers/{name}/logs",
    summary="A log of a server",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/plain": {}}}},
)
async def read_log(
    name: str,
    given: Given,
    user: User,
    part: Literal["agent", "exec", "environment"] = "exec",
    tail: Annotated[int, Query(ge=-1, le=1_000_000)] = -1,
    *,
    follow: bool = False,
    previous: bool = False,
) -> StreamingResponse:
    """Send a log as it is, or as it grows: of the user's code, the server, or the installer."""
    pieces = given.servers.logs(user.sub, name, LogQuery(part, tail, follow, previous))
    begun = asyncio.ensure_future(anext(pieces, b""))
    try:
        await asyncio.wait([begun], timeout=_LOG_BEGINS)
        if begun.done():
            begun.result()
    except BaseException:
        begun.cancel()
        raise
    return StreamingResponse(
        _rest(begun, pieces), media_type="text/plain; charset=utf-8", headers=_STREAM
    )


async def _rest(begun: asyncio.Future[bytes], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield await begun
        async for piece in pieces:
            yield piece
    finally:
        begun.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(begun, return_exceptions=True)
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()


@router.get("/sessions", summary="The sessions of the user")
async def list_sessions(given: Given, user: User) -> list[m.SessionBody]:
    """List those that have servers."""
    return [
        m.SessionBody(name=view.record.name, state=m.state_of(view))
        for view in given.servers.list(user.sub)
    ]


@router.get("/profiles", summary="What servers there can be")
async def list_profiles(given: Given, _: Starter) -> m.ProfilesBody:
    """List the kinds of servers, and the most that each gives."""
    profiles = given.profiles
    return m.ProfilesBody(
        default=profiles.first, profiles=[m.profile_body(each) for each in profiles.profiles]
    )


@router.post("/tickets", summary="A ticket for the broker")
async def make_ticket(
    response: Response, asked: m.TicketAsked, given: Given, starter: Starter
) -> m.TicketBody:
    """Sign that a client is the user's, if the user has a server."""
    user = starter.identity.sub
    views = _usable(given, user, asked.session)
    token, seconds = given.tickets.ticket(user, asked.client_pubkey)
    response.headers["Cache-Control"] = "no-store"
    return m.TicketBody(
        ticket=token,
        expires_in=min([seconds, *map(_news_within, views)]),
        job_secret=given.tickets.job_secret(user).hex(),
        warnings=[text for view in views for text in _warnings(view)],
    )


def _usable(given: Parts, user: str, session: str) -> list[View]:
    """Return the servers that a ticket is of use for."""
    views = given.servers.list(user)
    if session:
        named = [view for view in views if view.record.name == session]
        views = named or [view for view in views if view.record.name == "default"]
    usable = [view for view in views if m.state_of(view) not in ("stopping", "failed")]
    if usable:
        return usable
    failed = [view.record for view in views if m.state_of(view) == "failed"]
    if failed and failed[0].cause:
        cause = failed[0].cause
        raise HTTPException(
            409, f"Your server {failed[0].name!r} failed: {cause.message} {cause.hint}".strip()
        )
    raise HTTPException(409, "You have no server to give a ticket for; start one first.")


def _news_within(view: View) -> float:
    """Return after how many seconds its owner has to hear of a server again, to be warned in time.

    A ticket is renewed at half its time, and the warning comes at a quarter of what a clock gives.
    """
    spec = view.record.spec
    clocks = (spec.idle_timeout, spec.orphan_timeout, spec.max_lifetime)
    return max(_SHORTEST, min(filter(None, clocks), default=float("inf")) / 4)


def _warnings(view: View) -> list[str]:
    cause = view.record.cause
    told = [f"{cause.message} {cause.hint}".strip()] if cause else []
    return [*told, *filter(None, [m.near_end(view)])]


@router.get("/broker-config", summary="Where the broker is")
async def broker_config(given: Given) -> m.BrokerBody:
    """Tell how clients reach it, and the key by which they recognise it."""
    broker = given.tickets.broker
    host = f"[{broker.host}]" if ":" in broker.host else broker.host
    return m.BrokerBody(
        broker_external_host=broker.host,
        broker_external_port=broker.port,
        broker_external_url=f"{host}:{broker.port}",
        curve_public_key=broker.key,
        protocol=VERSIONS,
    )
