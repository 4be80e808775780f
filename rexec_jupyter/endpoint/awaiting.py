"""Having a server for a session, and waiting for it with a line that tells how far it is."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

from rexec_jupyter.endpoint.servers import DEFAULT, PHASES, News, Servers
from rexec_jupyter.widget.status import StatusLine

_BEAT = 0.1
_OVER = ("failed", "stopping", "gone")


class _LeftError(Exception):
    """Nobody waits any more."""


def have(
    there: Servers,
    name: str,
    *,
    requirements: Sequence[str] = (),
    profile: str = "",
    usual: str = "",
    force: bool = False,
    **wanted: Any,
) -> tuple[dict[str, Any], bool]:
    """Have a server for a session, as `Servers.begin`.

    A session for which nothing is asked runs on the server `DEFAULT` unless it has one of its
    own; a server that is there is left as it is then.

    Parameters
    ----------
    profile
        Which one is asked for.
    usual
        Which one a server gets for which none is.
    """
    asked = bool(profile or requirements or force)
    asked = asked or any(value is not None for value in wanted.values())
    server = there.find(name)
    if server is None and not asked:
        name, server = DEFAULT, there.find(DEFAULT)
    if not asked and server is not None and server.get("state") not in _OVER:
        return server, False
    wanted["profile"] = profile or usual or None
    return there.begin(name, requirements=requirements, force=force, **wanted)


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
                show(news.get(), status)
            status.beat()
        return outcome.result()
    finally:
        left.set()


def show(news: News, status: StatusLine) -> None:
    """Show one piece of news in a status line."""
    phase = PHASES.get(news.state, f"is {news.state}")
    if news.kind == "state":
        status.enter(phase)
    else:
        status.enter(phase, f"{news.text} {news.hint}".strip().rstrip("."))
