"""The remote execution of an endpoint as a client sees it.

The endpoint tells where its deploy API is; that starts the user's server, tells where the broker
is, and gives tickets to it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rexec_jupyter.core.backend import Address
from rexec_jupyter.core.errors import (
    ConnectionLostError,
    NoSessionError,
    NotConfiguredError,
    QuotaError,
    SessionMismatchError,
    StartError,
    VersionMismatchError,
)
from rexec_jupyter.core.trust import new_id
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint import rexec
from rexec_jupyter.endpoint.exchange import Steps
from rexec_jupyter.endpoint.servers import DEFAULT, PHASES, start_error
from rexec_jupyter.endpoint.translation import said, translated
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, AsyncDriver

T = TypeVar("T")

# Between two looks at a server that starts, in seconds, and how many may go unanswered in a row.
_FIRST_PAUSE, _LAST_PAUSE, _SLOWER = 0.1, 1.0, 1.3
_PATIENCE = 30
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
        self._token = token
        self._required = requirements is not None
        self._lines = rexec.read_requirements(requirements or [])
        self._profile = profile
        self._may_start = start
        self._started = False
        self._progress = ""
        self._warned: frozenset[str] = frozenset()
        self._driver: AsyncDriver | None = None
        self._deployment: rexec.Deployment | None = None
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
        deployment = self._deployment = await self._find()
        if not self._started:
            await self._start(deployment)
            await self._follow(deployment)
            self._started = True
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
        deployment = self._deployment = await self._find()
        await self._start(deployment, anew=True)
        await self._follow(deployment)

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
        if self._deployment is None:
            raise ConnectionLostError("The endpoint was not asked yet.")
        deployment = self._deployment._replace(token=self._token())
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

    async def _find(self) -> rexec.Deployment:
        try:
            return await self._run(rexec.deploy_api())
        except (e.NotFoundError, e.NotUnderstoodError) as error:
            raise NotConfiguredError(
                f"The endpoint {self._url} has no remote execution: {said(error)}",
                hint="Use another endpoint, or ask whoever runs this one to configure it.",
            ) from None
        except e.EndpointError as error:
            self._fail(error, "tell where remote execution is")

    async def _start(self, deployment: rexec.Deployment, *, anew: bool = False) -> None:
        there = await self._ask(rexec.sessions(deployment), "list the sessions")
        if there and (DEFAULT in there if anew else not self._required):
            return
        if not self._may_start:
            if there or there is None:  # it cannot tell: the broker will
                return
            raise NoSessionError(
                f"No server of yours runs at {self._url}, and none may be started.",
                hint="Connect with start=True to have one started.",
            )
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

    async def _follow(self, deployment: rexec.Deployment) -> None:
        """Wait until the server is ready; tell how far it is meanwhile, and why it fails."""
        pause, failures = _FIRST_PAUSE, 0
        try:
            while True:
                steps = rexec.server(deployment._replace(token=self._token()))
                try:
                    server = await self._ask(steps, "tell how your server is")
                    failures = 0
                except ConnectionLostError:
                    failures += 1
                    if failures > _PATIENCE:
                        raise
                    server = {"state": "unknown"}
                if server is None or server.get("state") in {"ready", "stopping"}:
                    return
                if server.get("state") == "failed":
                    raise start_error(self._url, DEFAULT, server.get("cause"))
                self._progress = _phase(server) if failures == 0 else self._progress
                await asyncio.sleep(pause)
                pause = min(pause * _SLOWER, _LAST_PAUSE)
        finally:
            self._progress = ""

    async def _ask(self, steps: Steps[T], what: str) -> T:
        try:
            return await self._run(steps)
        except e.EndpointError as error:
            self._fail(error, what)

    def _run(self, steps: Steps[T]) -> Coroutine[Any, Any, T]:
        token = self._token()
        if self._driver is None:
            self._driver = AsyncDriver(self._url, token, TIMEOUT, RETRIES)
        self._driver.token = token
        return self._driver.run(steps)

    def _fail(self, error: e.EndpointError, what: str) -> NoReturn:
        """Raise the error of rexec for one of an endpoint or a deploy API."""
        raise translated(error, self._url, what) from None


def _phase(server: dict[str, Any]) -> str:
    state = str(server.get("state", ""))
    text = f"your server {PHASES.get(state, f'is {state}')}"
    cause = server.get("cause")
    if not isinstance(cause, dict) or not cause.get("message"):
        return f"{text} …"
    return f"{text}: {cause['message']} {cause.get('hint') or ''}".rstrip()
