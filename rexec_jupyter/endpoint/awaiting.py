"""Waiting for a server with a line that tells how far it is."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, wait
from typing import Any

from rexec_jupyter.endpoint.feed import News
from rexec_jupyter.endpoint.servers import Servers
from rexec_jupyter.widget.status import StatusLine

_BEAT = 0.1


class _LeftError(Exception):
    """Nobody waits any more."""


def await_ready(there: Servers, name: str, status: StatusLine) -> dict[str, Any]:
    """Wait until a server is ready, as `Servers.wait_ready`, and show it in a status line.

    Ctrl-C ends the waiting at once, and nothing else.
    """
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    outcome: Future[dict[str, Any]] = Future()
    left = threading.Event()

    def tell(each: News | None) -> None:
        if left.is_set():
            raise _LeftError
        if each is not None:
            news.put(each)

    def follow() -> None:
        try:
            outcome.set_result(there.wait_ready(name, tell))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    # The line moves on while nothing comes, so somebody else has to wait for the news.
    threading.Thread(target=follow, name="rexec-server", daemon=True).start()
    try:
        while not wait([outcome], _BEAT).done:
            while not news.empty():
                each = news.get()
                status.enter(each.phase, *filter(None, [each.more]))
            status.beat()
        return outcome.result()
    finally:
        left.set()
