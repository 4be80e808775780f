"""``rexec sessions``, ``start``, ``stop`` and ``restart``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from rexec_jupyter import _connect, reports
from rexec_jupyter.cli import servers
from rexec_jupyter.cli.shared import (
    answer,
    complete_session,
    connected,
    duration,
    json_option,
    keep,
    note,
    session_name,
    size,
)
from rexec_jupyter.core.errors import NoSessionError
from rexec_jupyter.local.backend import LocalBackend

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.protocol import SessionInfo

_START_SECONDS = 300.0

_name = click.argument("name", type=session_name, shell_complete=complete_session)
_force = click.option("-f", "--force", is_flag=True, help="Even if a cell runs or names are lost.")


@click.command
@json_option
def sessions() -> None:
    """List the sessions."""
    with connected() as client:
        table = reports.sessions(client)
    answer(list(table), str(table))


@click.command
@click.argument("name", type=session_name, default="default")
@click.option("-p", "--profile", default="", help="What kind of server.")
@click.option(
    "-r", "--requirement", "requirements", multiple=True, help="A package it has; may be repeated."
)
@click.option("--cpu", type=click.FloatRange(min=0, min_open=True), help="Cores.")
@click.option("--mem", "memory", type=size, metavar="SIZE", help="Such as 4GB.")
@click.option("--gpu", type=click.IntRange(min=0), help="GPUs.")
@click.option("--idle-timeout", type=duration, metavar="TIME", help="Idle time that ends it.")
@click.option("--force", is_flag=True, help="Replace a server that is different.")
@json_option
def start(name: str, **wanted: Any) -> None:
    """Start a session.

    The server is started too if none runs; on this computer it then goes on until `rexec down`.
    A session also starts by itself with its first cell. At an endpoint the options give the
    session a server of its own.
    """
    with _connect.servers() as there:
        if there is not None:
            servers.start(there, name, wanted)
        elif any(wanted.values()):
            raise click.UsageError("The options are for an endpoint; REXEC_URL names none.")
    with connected(start=True) as client:
        if there is None:
            _keep_server()
        _await_ready(client, name)
        answer(_told(_find(client, name)), f"Session {name!r} is ready.")


@click.command
@click.argument("name", type=session_name, required=False, shell_complete=complete_session)
@click.option("--all", "every", is_flag=True, help="All sessions.")
@_force
@json_option
def stop(name: str | None, *, every: bool, force: bool) -> None:
    """End a session, and its variables with it.

    Without -f that is done only if nothing is lost.
    """
    if (name is None) is not every:
        raise click.UsageError("Name a session, or say --all.")
    with _connect.servers() as there:
        if there is not None and servers.stop(there, name, force=force):
            return
    with connected() as client:
        found = client.sessions() if name is None else [_find(client, name)]
        ended = [info for info in found if info.state != "stopped"]
        command = "rexec stop --all" if name is None else f"rexec stop {shlex.quote(name)}"
        if not force:
            keep(client, ended, command)
        for info in ended:
            client.session(info.session).stop()
    names = [info.session for info in ended]
    text = f"Ended: {', '.join(names)}." if names else "No session runs."
    answer({"ended": names}, text)


@click.command
@_name
@_force
@json_option
def restart(name: str, *, force: bool) -> None:
    """Give a session a new, empty interpreter.

    Without -f that is done only if nothing is lost.
    """
    with connected() as client:
        info = _find(client, name)
        if not force:
            keep(client, [info], f"rexec restart {shlex.quote(name)}")
        client.session(name).restart()
        _await_ready(client, name)
        answer(_told(_find(client, name)), f"Session {name!r} has a new interpreter.")


def _await_ready(client: Client, name: str) -> None:
    """Start the interpreter of a session if it has none, and wait until it is ready."""
    client.session(name).submit_cell("", hidden=True).result(_START_SECONDS)


def _find(client: Client, name: str) -> SessionInfo:
    every = client.sessions()
    for info in every:
        if info.session == name:
            return info
    names = ", ".join(info.session for info in every)
    raise NoSessionError(
        f"There is no session {name!r}.",
        hint=f"There are: {names}." if names else f"`rexec start {name}` starts it.",
    )


def _told(info: SessionInfo) -> dict[str, object]:
    return {"session": info.session, "state": info.state, "incarnation": info.incarnation}


def _keep_server() -> None:
    """Let a server of this computer outlive this command, and the session with it."""
    import asyncio  # noqa: PLC0415 - seldom needed

    async def keep() -> None:
        backend = LocalBackend()
        try:
            if await backend.find() and not (await backend.status())["kept"]:
                await backend.keep()
                note("The server goes on until `rexec down`.")
        finally:
            await backend.close()

    asyncio.run(keep())
