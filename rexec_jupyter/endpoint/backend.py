"""The remote execution of an endpoint as a client sees it.

The endpoint tells where its deploy API is; that starts the user's server, tells where the broker
is, and gives tickets to it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.errors import (
    NoSessionError,
    QuotaError,
    SessionMismatchError,
    StartError,
    VersionMismatchError,
)
from rexec_jupyter.core.trust import new_id
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint import rexec
from rexec_jupyter.endpoint.exchange import Conversation, Steps
from rexec_jupyter.endpoint.feed import DEFAULT, News
from rexec_jupyter.endpoint.tending import OlderError, Tending
from rexec_jupyter.endpoint.translation import said, translated
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, AsyncDriver

T = TypeVar("T")

# A ticket is used for no longer, in seconds: with each come warnings of a near end. It is renewed
# after half of that, and a server's owner is warned some minutes ahead.
_NEWS = 480.0
_NUMBER = re.compile(r"[0-9]+")


class EndpointBackend:
    """Broker and server that an endpoint leads to. Lives on the client's event loop.

    Parameters
    ----------
    url
        The endpoint's address.
    token
        Returns the user's token. Asked each time, for it may expire and be replaced.
    requirements
        What a server must have that is started: the path of a requirements file, or its lines.
        Given, a server that has something else is refused. None takes a server that is there,
        whatever it has.
    profile
        Settings that a server is to be started with.
    start
        Whether a server may be started.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        requirements: str | Path | Sequence[str] | None = None,
        profile: str = "",
        start: bool = True,
    ) -> None:
        self._url = url
        self._required = requirements is not None
        self._lines = rexec.read_requirements(requirements or [])
        self._profile = profile
        self._may_start = start
        self._started = False
        self._progress = ""
        self._warned: frozenset[str] = frozenset()
        self._tending = Tending(url, token)
        self._driver: AsyncDriver | None = None
        # Until a deploy API gives one, other processes cannot read results of this one's jobs.
        self._secret = bytes.fromhex(new_id() + new_id())

    @property
    def description(self) -> str:
        """What it is, for people."""
        return f"endpoint {self._url}"

    @property
    def progress(self) -> str:
        """What the user's server is busy with while it starts."""
        return self._progress

    def __repr__(self) -> str:
        return f"<EndpointBackend at {self._url}>"

    async def locate(self) -> Address:
        """Tell where the broker is; the first time, have a server started if there is none.

        Raises
        ------
        NotConfiguredError
            If the endpoint has no remote execution.
        AuthenticationError
            If the token is not accepted, or its user may not run code.
        NoSessionError
            If there is no server, and none may be started.
        SessionMismatchError
            If there is one that has something else than is required.
        StartError
            If none can be started.
        ConnectionLostError
            If somebody who has to be asked does not answer.
        VersionMismatchError
            If the broker is not one of ours.
        """
        await self._run(self._tending.locate())
        if not self._started:
            await self._have()
            self._started = True
        deployment = await self._run(self._tending.deployment())
        broker = await self._ask(rexec.broker_of(deployment), "tell where the broker is")
        if not broker.key:
            raise VersionMismatchError(
                f"The deploy API at {deployment.url} names no key of its broker, so nobody could "
                "tell whether it is the right one.",
                hint="The broker is of another kind; ask whoever runs it for one of rexec's.",
            )
        host = f"[{broker.host}]" if ":" in broker.host else broker.host
        return Address(f"tcp://{host}:{broker.port}", broker.key)

    async def revive(self) -> None:
        """Have the server for all sessions started anew, and wait until it is ready.

        Raises as `locate`.
        """
        await self._run(self._tending.locate())
        await self._have(anew=True)

    async def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket for the CURVE key `key` (Z85), and its validity in seconds.

        Raises
        ------
        AuthenticationError
            If the deploy API gives none.
        NoSessionError
            If there is no server any more.
        ConnectionLostError
            If it does not answer.
        """
        deployment = await self._run(self._tending.deployment())
        try:
            got = await self._run(rexec.ticket(deployment, key))
        except e.ConflictError as error:
            raise NoSessionError(
                f"No server of yours runs at {self._url}: {said(error)}",
                hint="The next cell or call has one started.",
            ) from None
        except e.EndpointError as error:
            self._fail(error, "give a ticket")
        self._secret = got.job_secret or self._secret
        self._warn(got.warnings)
        return got.token, min(got.seconds, _NEWS)

    def _warn(self, warnings: Sequence[str]) -> None:
        """Tell the user, on the standard error, what was not told last time already."""
        told = {_NUMBER.sub("", text): text for text in warnings}  # the minutes left change
        for kind, text in told.items():
            if kind not in self._warned:
                print(f"rexec: {text}", file=sys.stderr)  # noqa: T201 - to the user
        self._warned = frozenset(told)

    async def close(self) -> None:
        """Close the connections to endpoint and deploy API. The server goes on."""
        if self._driver is not None:
            await self._driver.close()
            self._driver = None

    def job_secret(self) -> bytes:
        """Return the user's secret of 32 bytes."""
        return self._secret

    # ------------------------------------------------------------------------- the steps

    async def _have(self, *, anew: bool = False) -> None:
        """Have a server and wait until it is ready; tell meanwhile what happens to it.

        Parameters
        ----------
        anew
            Whether that of another session alone will not do.
        """
        try:
            server = await self._run(self._begun(anew=anew))
            self._hear(News(0, "state", str(server.get("state")), ""))
            if server.get("state") != "ready":
                await self._run(self._tending.wait_ready(str(server.get("name")), self._hear))
        except OlderError:
            await self._spawn(await self._run(self._tending.deployment()), anew=anew)
        finally:
            self._progress = ""

    def _begun(self, *, anew: bool) -> Steps[dict[str, Any]]:
        given: dict[str, Any] = {"usual": self._profile, "start": self._may_start}
        if self._required:
            given["requirements"] = self._lines
        server, _ = yield from self._tending.have(DEFAULT, other=not anew, **given)
        return server

    def _hear(self, news: News | None) -> None:
        if news is not None:
            more = f": {news.more}" if news.more else " …"
            self._progress = f"your server {news.phase}{more}"

    async def _spawn(self, deployment: rexec.Deployment, *, anew: bool) -> None:
        """Have a server of a deploy API that has one a user alone, and cannot tell how it is."""
        there = await self._ask(rexec.sessions(deployment), "list the sessions")
        if there and (DEFAULT in there if anew else not self._required):
            return
        if not self._may_start:
            if there or there is None:  # it cannot tell: the broker will
                return
            raise self._tending.none_there()
        spawn = rexec.spawn(deployment, self._lines, profile=self._profile)
        try:
            await self._run(spawn)
        except e.ConflictError as error:
            raise SessionMismatchError(
                f"Your server at {self._url} has other requirements: {said(error)}",
                hint="Leave the requirements out to use it as it is, or replace it: "
                "EndpointClient.setup_rexec_environment(…, force_reinstall=True).",
            ) from None
        except e.InvalidError as error:
            raise StartError(
                f"The deploy API at {deployment.url} does not accept what was asked for: "
                f"{said(error)}",
                hint="Correct the requirements or the profile.",
            ) from None
        except e.EndpointError as error:
            if error.status == 429:
                raise QuotaError(
                    f"{self._url} starts no server for you now: {said(error)}",
                    hint="Try again later, or end what you do not need.",
                ) from None
            if error.status >= 500:
                raise StartError(
                    f"The deploy API at {deployment.url} could not start a server: {said(error)}",
                    hint="Try again later, or ask whoever runs it.",
                ) from None
            self._fail(error, "start a server")

    async def _ask(self, steps: Steps[T], what: str) -> T:
        try:
            return await self._run(steps)
        except e.EndpointError as error:
            self._fail(error, what)

    def _run(self, steps: Conversation[T]) -> Coroutine[Any, Any, T]:
        if self._driver is None:
            self._driver = AsyncDriver(self._url, "", TIMEOUT, RETRIES)
        return self._driver.run(steps)

    def _fail(self, error: e.EndpointError, what: str) -> NoReturn:
        """Raise the error of rexec for one of an endpoint or a deploy API."""
        raise translated(error, self._url, what) from None
