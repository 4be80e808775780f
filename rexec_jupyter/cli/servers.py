"""``rexec servers``, ``profiles`` and ``extend``, and what others do with servers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rexec_jupyter import _connect
from rexec_jupyter.cli.shared import (
    answer,
    connected,
    json_option,
    keep,
    note,
    session_name,
    wants_json,
)
from rexec_jupyter.core.settings import current
from rexec_jupyter.endpoint import showing
from rexec_jupyter.endpoint.feed import DEFAULT
from rexec_jupyter.widget import status

if TYPE_CHECKING:
    from rexec_jupyter.endpoint.servers import Servers

_SOON = 0.5


@click.command
@json_option
def servers() -> None:
    """List your servers at the endpoint, and when they end."""
    with _connect.servers() as there:
        table = showing.servers(there)
    answer(list(table), str(table))


@click.command
@json_option
def profiles() -> None:
    """List what kinds of servers there are."""
    with _connect.servers() as there:
        table = showing.profiles(there)
    answer(list(table), str(table))


@click.command
@click.argument("words", nargs=-1, required=True, metavar="[NAME] TIME")
@json_option
def extend(words: Sequence[str]) -> None:
    """Let a server live longer.

    No clock ends the server of a session within TIME, such as 2h.
    """
    try:
        name, seconds = showing.extension(words, DEFAULT)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with _connect.servers() as there:
        facts = showing.extend(there, session_name(name), seconds)
    answer(dict(facts), str(facts))


def start(there: Servers, name: str, wanted: dict[str, Any]) -> None:
    """Have a server for a session, and wait until it is ready."""
    from rexec_jupyter.endpoint.awaiting import await_ready  # noqa: PLC0415 - only if wanted

    surface = status.Terminal() if status.is_terminal() and not wants_json() else status.Nowhere()
    server, _ = there.have(name, usual=current().now().profile, **wanted)
    named = str(server.get("name"))
    line = status.StatusLine(surface, f"server {named}", progress_after=_SOON)
    try:
        await_ready(there, named, line)
    except KeyboardInterrupt:
        note(f"Server {named} goes on starting; `rexec stop {shlex.quote(named)}` ends it.")
        raise
    line.end("done")


def stop(there: Servers, name: str | None, *, force: bool) -> bool:
    """End a server, or all; tell whether there was one."""
    every = showing.unended(there)
    names = list(every) if name is None else [each for each in every if each == name]
    if not force and any(every[each].get("state") == "ready" for each in names):
        with connected() as client:
            lost = showing.sessions_on(names, every, client.sessions())
            keep(client, lost, "rexec stop " + ("--all" if name is None else shlex.quote(name)))
    ended = [each for each in names if there.end(each)]
    if ended or name is None:
        text = f"Ended: {', '.join(f'server {each}' for each in ended)}."
        answer({"ended": ended}, text if ended else "No server runs.")
    return bool(ended) or name is None
