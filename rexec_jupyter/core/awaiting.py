"""Awaiting a job in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from rexec_jupyter.core.errors import RemoteError
from rexec_jupyter.core.outcomes import with_remote

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job

T = TypeVar("T")


def awaited(job: Job[T]) -> Generator[Any, None, T]:
    """Let the event loop go on until a job has ended; return its value or raise its error.

    If the task that waits is cancelled the job is too.
    """
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake_there(_: Future[T]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake)

    job.add_done_callback(wake_there)
    try:
        yield from waiter
    except asyncio.CancelledError:
        job.cancel()
        raise
    error = job.exception()
    if error is None or isinstance(error, Exception):
        return job.result()
    # It would end the event loop of whoever awaits.
    text = str(error) or "the code was interrupted"
    told = RemoteError(type(error).__name__, text, job=job)
    raise with_remote(told, getattr(error, "remote_traceback", []), job)
