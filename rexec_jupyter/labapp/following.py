"""What the installers of starting servers write, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.endpoint.feed import News
from rexec_jupyter.endpoint.tending import Tending
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, AsyncDriver

_MOST = 2000
"""Lines of a server that nobody took yet."""
_log = logging.getLogger(__name__)


class Following:
    """Follows the events of each server while it starts.

    Parameters
    ----------
    url
        The endpoint's address.
    token
        Returns the user's token.
    changed
        Called when there is something new.
    """

    def __init__(self, url: str, token: Callable[[], str], changed: Callable[[], None]) -> None:
        self._url = url
        self._token = token
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lines: dict[str, deque[str]] = {}
        self._phases: dict[str, str] = {}

    def follow(self, names: Iterable[str]) -> None:
        """Follow these servers and no others."""
        names = set(names)
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
        for name in names - self._tasks.keys():
            self._phases.pop(name, None)
            self._tasks[name] = asyncio.create_task(self._follow(name))

    def phase(self, name: str) -> str:
        """Return what a server was said to be busy with last."""
        return self._phases.get(name, "")

    def take(self) -> dict[str, list[str]]:
        """Return, once, what the installers wrote."""
        lines, self._lines = self._lines, {}
        return {name: list(some) for name, some in lines.items()}

    async def close(self) -> None:
        """Follow nothing any more."""
        tasks = list(self._tasks.values())
        self.follow(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        # In a thread, for it reads certificates.
        driver = await asyncio.to_thread(AsyncDriver, self._url, "", TIMEOUT, RETRIES)

        def hear(news: News | None) -> None:
            if news is None:
                return
            if news.kind == "line":
                self._lines.setdefault(name, deque(maxlen=_MOST)).append(news.text)
            else:
                self._phases[name] = f"{news.phase}: {news.more}" if news.more else news.phase
            self._changed()

        try:
            # How it ends is seen in the list of servers.
            with contextlib.suppress(RexecError):
                await driver.run(Tending(self._url, self._token).wait_ready(name, hear))
        except Exception as error:  # noqa: BLE001 - nothing may stop the others
            _log.error("following server %s failed", name, exc_info=error)
        finally:
            await driver.close()
