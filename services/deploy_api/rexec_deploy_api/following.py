"""What happens to a server, and what the installer says meanwhile, as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from rexec_deploy_api.records import Event
from rexec_deploy_api.spawner.base import SpawnerError

_LONGEST: Final = 500
_PATIENCE: Final = 0.5


async def told(
    events: AsyncIterator[Event | None],
    log: Callable[[], AsyncIterator[bytes]],
    *,
    installing: bool,
) -> AsyncIterator[Event | str | None]:
    """Yield events, and each line of the installer's log as long as it works.

    Parameters
    ----------
    log
        Opens the log, to be followed.
    installing
        Whether it works, and no event will tell that.
    """
    lines = _lines(log) if installing else None
    event = asyncio.ensure_future(anext(events))
    line: asyncio.Future[str | None] | None = None
    try:
        while True:
            if lines is not None and line is None:
                line = asyncio.ensure_future(anext(lines, None))
            waiting: list[asyncio.Future[Any]] = [event] if line is None else [event, line]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if line is not None and line.done():
                text, line = line.result(), None
                if text is not None:
                    yield text
                else:
                    lines = None
            if not event.done():
                continue
            try:
                happened = event.result()
            except StopAsyncIteration:
                return
            event = asyncio.ensure_future(anext(events))
            yield happened
            if happened is None or happened.kind != "state":
                continue
            if happened.state != "installing":
                await _left(lines, line)
                lines = line = None
            elif lines is None:
                lines = _lines(log)
    finally:
        # Who streams to a client that left is cancelled at every await, so another has to do it.
        leaving = asyncio.ensure_future(_leave((lines, line), (events, event)))
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)
        await asyncio.shield(leaving)


_leaving: Final[set[asyncio.Future[None]]] = set()


async def _leave(*each: tuple[AsyncIterator[Any] | None, asyncio.Future[Any] | None]) -> None:
    for pieces, task in each:
        await _left(pieces, task)


async def _left(pieces: AsyncIterator[Any] | None, task: asyncio.Future[Any] | None) -> None:
    """Wait for no more pieces, and close what they come from."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if (close := getattr(pieces, "aclose", None)) is not None:
        await close()


async def _lines(log: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[str]:
    rest = b""
    while True:
        try:
            pieces = log()
            try:
                async for piece in pieces:
                    *whole, rest = (rest + piece).split(b"\n")
                    rest = rest[-_LONGEST:]
                    for each in whole:
                        text = each.decode(errors="replace").strip()
                        # The last one may be for programs, in JSON: the cause tells that.
                        if text and not text.startswith("{"):
                            yield text[:_LONGEST]
            finally:
                await _left(pieces, None)
        except (SpawnerError, LookupError):  # there is none yet
            await asyncio.sleep(_PATIENCE)
        else:
            return
