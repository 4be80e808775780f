"""What jobs have shown, in answers of a limited size."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from rexec_jupyter.core.client import Client
from rexec_jupyter.core.errors import ConnectionLostError
from rexec_jupyter.core.happenings import Display, Happening, TextOutput
from rexec_jupyter.core.log_reader import LogReader
from rexec_jupyter.labapp.messages import Log, Piece
from rexec_jupyter.labapp.problems import RefusedError
from rexec_jupyter.labapp.reach import PATIENCE, Reach

if TYPE_CHECKING:
    from rexec_jupyter.labapp.watch import Watcher

LARGEST = 1_000_000
"""Characters of an answer."""
WAIT = 20.0
"""Seconds that an answer may be held back."""

_DISPLAY = 2000
_READERS = 64
_THREADS = 16
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class JobLogs:
    """Reads them.

    Parameters
    ----------
    watcher
        What looks at the backend.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        # Whoever waits for more of a log is not to keep others from looking.
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rexec-panel-log")
        # Where one piece ends and the next begins a character may be cut: readers know.
        self._readers: OrderedDict[tuple[str, int], LogReader] = OrderedDict()

    def close(self) -> None:
        """Read no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def tail(self, job: str, lines: int) -> Log:
        """Return the last lines."""
        return await self._in_thread(
            job, lambda client, session: self._tail(client, session, job, lines)
        )

    async def after(self, job: str, offset: int, wait: float) -> Log:
        """Return what comes after a place in the log; wait a while if there is nothing."""
        wait = min(wait, WAIT)
        return await self._in_thread(
            job, lambda client, session: self._after(client, session, job, offset, wait)
        )

    async def _in_thread(self, job: str, read: Callable[[Client, str], Log]) -> Log:
        reach = (await self._watcher.known()).reach
        client = reach.client()
        session = _session_of(reach, job)
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(
            loop.run_in_executor(self._pool, lambda: read(client, session)), WAIT + 2 * PATIENCE
        )

    def _tail(self, client: Client, session: str, job: str, lines: int) -> Log:
        reader = _open(client, job, session, tail=max(lines, 1))
        return self._told(reader, reader.read(), skipped=reader.start)

    def _after(self, client: Client, session: str, job: str, offset: int, wait: float) -> Log:
        if (reader := self._readers.pop((job, offset), None)) is not None:
            with suppress(ConnectionLostError):  # it may be of a connection that was
                return self._told(reader, reader.read(wait))
        reader = _open(client, job, session, offset=offset)
        return self._told(reader, reader.read(wait))

    def _told(self, reader: LogReader, happenings: list[Happening], skipped: int = 0) -> Log:
        pieces, cut = _fitting(_pieces(happenings))
        ended = reader.known and reader.ended
        if ended and reader.end is not None and (error := _error(reader)):
            pieces.append(Piece(kind="error", text=error))
        if not ended:
            self._readers[reader.job, reader.offset] = reader
            if len(self._readers) > _READERS:
                self._readers.popitem(last=False)
        return Log(
            pieces=pieces,
            next=reader.offset,
            size=reader.size,
            skipped=skipped + cut,
            known=reader.known,
            ended=ended or not reader.known,
            state=reader.state,
        )


def _open(client: Client, job: str, session: str, *, tail: int = 0, offset: int = 0) -> LogReader:
    try:
        return client.log(job, session, tail=tail, offset=offset)
    except ValueError as error:
        raise RefusedError(404, f"There is no such job: {error}.") from None


def _session_of(reach: Reach, job: str) -> str:
    return next((info.session for info in reach.look.jobs if info.job == job), "default")


def _pieces(happenings: Iterable[Happening]) -> list[Piece]:
    """Return what was shown; text of one kind that follows itself is one piece."""
    pieces: list[Piece] = []
    for kind, group in groupby(filter(None, map(_shown, happenings)), key=lambda piece: piece.kind):
        if kind == "display":
            pieces += group
        else:
            pieces.append(Piece(kind=kind, text="".join(piece.text for piece in group)))
    return pieces


def _shown(happening: Happening) -> Piece | None:
    if isinstance(happening, TextOutput):
        return Piece(
            kind="stdout" if happening.stream == "stdout" else "stderr", text=happening.text
        )
    if isinstance(happening, Display) and happening.kind != "update":
        text = str(happening.data.get("text/plain") or ", ".join(happening.data))
        return Piece(kind="display", text=text[:_DISPLAY])
    return None


def _fitting(pieces: list[Piece]) -> tuple[list[Piece], int]:
    """Return the end of what was shown, and how many bytes before it were left out."""
    room, cut = LARGEST, 0
    kept: list[Piece] = []
    for piece in reversed(pieces):
        text = piece.text[-room:] if room else ""
        cut += len(piece.text[: len(piece.text) - len(text)].encode(errors="replace"))
        room -= len(text)
        if text:
            kept.append(Piece(kind=piece.kind, text=text))
    return kept[::-1], cut


def _error(reader: LogReader) -> str:
    end = reader.end
    if end is None:
        return ""
    if end.traceback:
        return _COLOUR.sub("", "\n".join(end.traceback))
    return ": ".join(filter(None, (end.error, end.message)))
