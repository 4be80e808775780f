"""Waiting for a backend that may take minutes to start, and telling what it does meanwhile."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar

from rexec_jupyter.core.backend import Backend

Watch = Callable[[str], None]
"""Called again and again with what the backend is busy with, as long as it is."""

# How often somebody who waits looks at what the backend is busy with, and from when on it is told.
_LOOK = 0.2
_MOMENT = 2.0

_watch: ContextVar[Watch | None] = ContextVar("rexec_watch", default=None)


@contextlib.contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """Have whoever connects in this context tell `watch`, and not the standard error."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def await_start(ready: Future[None], backend: Backend, timeout: float) -> None:
    """Wait for a future, however long the backend tells that it is starting.

    Raises
    ------
    TimeoutError
        If nothing was heard for `timeout` seconds.
    KeyboardInterrupt
        With a text, if something was starting.
    """
    watch = _watch.get() or _printing()
    heard = time.monotonic()
    try:
        while not wait([ready], _LOOK).done:
            if progress := backend.progress:
                heard = time.monotonic()
                watch(progress)
            elif time.monotonic() - heard > timeout:
                raise TimeoutError
    except KeyboardInterrupt:
        if not backend.progress:
            raise
        raise KeyboardInterrupt(
            "Nobody waits for your server any more, but it goes on starting: the next cell or "
            "connect() finds it."
        ) from None
    ready.result(0)


def _printing() -> Watch:
    """Return what prints each new text, but nothing of a quick start."""
    began = time.monotonic()
    said = ""

    def watch(progress: str) -> None:
        nonlocal said
        if progress != said and time.monotonic() - began > _MOMENT:
            said = progress
            print(f"rexec: {progress}", file=sys.stderr)  # noqa: T201 - to the user

    return watch
