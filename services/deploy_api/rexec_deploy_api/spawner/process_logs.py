"""Logs in files that others write, empty and replace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from rexec_deploy_api.records import Cause
from rexec_deploy_api.spawner.base import LogQuery, NoLogError
from rexec_jupyter.local.processes import previous

_PIECE = 64 * 1024
_PATIENCE = 0.2


async def read_log(
    path: Path, query: LogQuery, going_on: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield pieces of a log.

    Parameters
    ----------
    path
        Where it is; that of the process before lies beside it.
    query
        Which part of it is wanted.
    going_on
        Whether more may come.

    Raises
    ------
    NoLogError
        If there is none.
    """
    follow = query.follow and not query.previous
    path = previous(path) if query.previous else path
    while (file := _opened(path)) is None:
        if not (follow and going_on()):
            hint = "Only what was started again has one." if query.previous else ""
            raise NoLogError(Cause("backend", "There is no such log yet.", hint))
        await asyncio.sleep(_PATIENCE)
    try:
        if query.tail >= 0:
            file.seek(_start_of_tail(file, query.tail))
        while True:
            more = follow and going_on()  # asked first: what came before the end is read
            while piece := file.read(_PIECE):
                yield piece
            if not more:
                return
            await asyncio.sleep(_PATIENCE)
            file = _successor(path, file)
    finally:
        file.close()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _successor(path: Path, file: BinaryIO) -> BinaryIO:
    """Return the file that goes on where this one, read to its end, stops."""
    status = os.fstat(file.fileno())
    if status.st_size < file.tell():
        file.seek(0)  # it was emptied
    elif status.st_size == file.tell():
        try:
            replaced = path.stat().st_ino != status.st_ino
        except OSError:
            return file
        if replaced and (fresh := _opened(path)) is not None:
            file.close()
            return fresh
    return file


def _start_of_tail(file: BinaryIO, lines: int) -> int:
    end = position = file.seek(0, os.SEEK_END)
    found = 0
    while position > 0:
        begin = max(0, position - _PIECE)
        file.seek(begin)
        piece = file.read(position - begin)
        for offset in range(len(piece) - 1, -1, -1):
            if piece[offset : offset + 1] == b"\n" and begin + offset != end - 1:
                found += 1
                if found == lines:
                    return begin + offset + 1
        position = begin
    return 0 if lines else end
