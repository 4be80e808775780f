"""The servers of a user at an endpoint: begun, followed while they start, ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Self, TypeVar

from rexec_jupyter.endpoint.binding import dressed
from rexec_jupyter.endpoint.exchange import Conversation
from rexec_jupyter.endpoint.tending import Tending
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, Driver

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    steps: Callable[Concatenate[Tending, P], Conversation[T]],
) -> Callable[Concatenate[Servers, P], T]:
    """Make a method that takes the steps of `Tending`, and returns their result."""

    def method(self: Servers, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(steps(self._tending, *args, **kwargs))

    return dressed(method, steps, "{}")


class Servers:
    """Asks the deploy API that an endpoint names, as `Tending`. For threads that wait.

    Parameters
    ----------
    url
        The endpoint's address.
    token
        Returns the user's token.
    timeout
        Seconds that endpoint and deploy API may be silent.
    retries
        How often a request that may be repeated is.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        self.url = url
        self._tending = Tending(url, token)
        self._driver = Driver(url, "", timeout, retries)

    def __repr__(self) -> str:
        return f"<Servers at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Servers go on."""
        self._driver.close()

    every = _waiting(Tending.every)
    find = _waiting(Tending.find)
    profiles = _waiting(Tending.profiles)
    have = _waiting(Tending.have)
    begin = _waiting(Tending.begin)
    end = _waiting(Tending.end)
    restart = _waiting(Tending.restart)
    log = _waiting(Tending.log)
    extend = _waiting(Tending.extend)
    wait_ready = _waiting(Tending.wait_ready)
