"""The user's servers at an endpoint, as the panel sees them: looking starts none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, TypeVar

from rexec_jupyter import _connect
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import AuthenticationError, NotConfiguredError
from rexec_jupyter.endpoint.backend import EndpointBackend
from rexec_jupyter.endpoint.feed import DEFAULT, GOING, OVER
from rexec_jupyter.endpoint.feed import News as Event
from rexec_jupyter.endpoint.servers import Servers
from rexec_jupyter.endpoint.showing import described
from rexec_jupyter.endpoint.tending import OlderError
from rexec_jupyter.endpoint.verification import verify
from rexec_jupyter.labapp import looking
from rexec_jupyter.labapp.alerts import of_login, of_servers
from rexec_jupyter.labapp.following import Following
from rexec_jupyter.labapp.messages import Connection, Server
from rexec_jupyter.labapp.polling import Poll
from rexec_jupyter.labapp.reach import Look, Reach
from rexec_jupyter.labapp.seen import Seen, Standing, slow

TIMEOUT = 10.0
"""Seconds that endpoint and deploy API may be silent while somebody looks."""

_THERE = frozenset(("ready", "suspect", "draining"))
_QUICK, _LAZY = 1.0, 2.5
_TOLD_ELSEWHERE = frozenset(("profile", "cores", "memory", "GPUs", "Python", "packages", "soon"))

T = TypeVar("T")
Told = dict[str, Any]
"""What the deploy API tells of a server."""


class Remote:
    """Looks at an endpoint.

    Parameters
    ----------
    url
        Its address.
    pool
        Threads for what has to be waited for.
    changed
        Called when there is something new.
    """

    def __init__(self, url: str, pool: ThreadPoolExecutor, changed: Callable[[], None]) -> None:
        self.url = url
        self.reach = Reach(pool, changed)
        self._pool = pool
        self._there: Servers | None = None
        self._servers: Poll[list[Told]] = Poll(f"servers at {url}", self._ask, changed)
        self._who: Poll[tuple[str, str]] = Poll(f"user at {url}", self._ask_who, changed)
        self._following = Following(url, self._token, changed)
        self._moments = looking.Moments()
        self._at = 0.0
        self._whose = ""  # of which token the last answer was
        self._older = False

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run while somebody looks."""
        return [self._servers.run(), self._who.run(), *self.reach.work()]

    @property
    def ready(self) -> bool:
        """Whether there is something to tell."""
        if not self._servers.asked:
            return False
        waits = self._servers.error is None and self._reachable()
        return not waits or bool(self.reach.look.at) or self.reach.poll.error is not None

    def nudge(self) -> None:
        """Look at once."""
        for poll in (self._servers, self._who, self.reach.poll):
            poll.nudge()

    def installing(self) -> dict[str, list[str]]:
        """Return, once, what the installers of starting servers wrote."""
        return self._following.take()

    async def close(self) -> None:
        """Look no more."""
        await self._following.close()
        await self.reach.close()
        if self._there is not None:
            self._there.close()

    # ------------------------------------------------------------------------- looking

    def _token(self) -> str:
        found = _connect.endpoint()
        if found is None or found[0] != self.url:
            raise NotConfiguredError(f"The settings do not name {self.url} any more.")
        return found[1]()

    async def _ask(self) -> list[Told]:
        before = self._servers.answer
        told = await self._in_thread(self._every)
        self._at = time.time()
        states = [(each.get("name"), each.get("state")) for each in told]
        same = [(each.get("name"), each.get("state")) for each in before or ()] == states
        moving = any(state in GOING or state == "stopping" for _, state in states)
        pause = self._servers.pause
        self._servers.pause = min(1.3 * pause, _LAZY) if same and not moving else _QUICK
        self._following.follow(str(name) for name, state in states if state in GOING)
        if self._reachable(told):
            # Somebody else who logs in there has other sessions.
            key = f"{self.url} {self._whose}"
            self.reach.aim(key, lambda: EndpointBackend(self.url, self._token, start=False))
        else:
            self.reach.leave()
        return told

    def _every(self) -> list[Told]:
        self._whose = blake2b(self._token().encode(), digest_size=16).hexdigest()
        if self._there is None:  # made in a thread, for it reads certificates
            self._there = Servers(self.url, self._token, timeout=TIMEOUT, retries=0)
        try:
            told = self._there.every()
            self._older = False
        except OlderError:  # one server a user, of which it tells nothing
            self._older = True
            return []
        return sorted(told, key=lambda each: str(each.get("name")))

    def _reachable(self, told: list[Told] | None = None) -> bool:
        told = self._servers.answer or [] if told is None else told
        return self._older or any(each.get("state") in _THERE for each in told)

    async def _ask_who(self) -> tuple[str, str]:
        """Ask once for each token whose it is."""
        self._who.pause = 1.0
        known = self._who.answer
        token = self._token()
        if known is not None and known[0] == token and self._who.error is None:
            return known
        user = await self._in_thread(lambda: verify(self.url, token))
        return token, str(user.get("username") or user.get("sub") or "")

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    # ------------------------------------------------------------------------- telling

    def seen(self) -> Seen:
        """Return how things stand."""
        told = self._servers.answer or []
        look = self.reach.look if self._reachable() else Look()
        own = {str(each.get("name")) for each in told}
        states = {state.session or DEFAULT: state for state in look.servers}
        sessions = looking.sessions(
            look.sessions, look.at, self._moments, lambda name: name if name in own else DEFAULT
        )
        jobs = looking.jobs(look.jobs, look.at, self._moments, self.reach.lines.line)
        servers = [self._server(each, states.get(str(each.get("name")))) for each in told]
        connection = self._connection(told)
        alerts = [
            *of_login(connection),
            *of_servers(told, servers),
            *slow(self.url, self.url, self._servers, self.reach.poll),
        ]
        self._moments.sweep()
        return Seen(connection, alerts, servers, sessions, jobs)

    def _connection(self, told: list[Told]) -> Connection:
        state, text, hint, code = self._standing(told)
        return Connection(
            backend="endpoint",
            url=self.url,
            state=state,
            text=text,
            hint=hint,
            code=code,
            user=self._who.answer[1] if self._who.answer else "",
        )

    def _standing(self, told: list[Told]) -> Standing:
        if (error := self._servers.error) is not None:
            if isinstance(error, AuthenticationError):
                return Standing.of("login", error)
            return Standing.of("reconnecting" if self._at else "failed", error)
        if self._servers.answer is None:
            return Standing("connecting", f"Asking {self.url} …")
        if self._reachable():
            return self.reach.standing()
        if starting := [str(each.get("name")) for each in told if each.get("state") in GOING]:
            return Standing("connecting", f"Starting: {', '.join(starting)}.")
        hint = "Start one here; the first %%rexec cell of a notebook starts one too."
        return Standing("idle", f"No server of yours runs at {self.url}.", hint)

    def _server(self, told: Told, state: p.ServerState | None) -> Server:
        name, how = str(told.get("name")), str(told.get("state"))
        left = told.get("ends_in")
        facts = {key: value for key, value in described(told).items() if key not in _TOLD_ELSEWHERE}
        if told.get("image"):
            facts["image"] = str(told["image"])
        requirements = [str(each) for each in told.get("requirements") or ()]
        return Server(
            name=name,
            state=how,
            phase=(self._following.phase(name) if how in GOING else "") or _phase(how),
            profile=str(told.get("profile") or ""),
            python=str(told.get("python") or (state.python if state else "")),
            cpu=float(told.get("cpu") or 0),
            memory=int(told.get("memory") or 0),
            gpu=int(told.get("gpu") or 0),
            slots=state.slots if state else 0,
            running=int(told.get("running") or 0),
            queued=int(told.get("queued") or 0),
            ends=(
                0.0 if left is None else self._moments.about(self._at + float(left), "ends", name)
            ),
            requirements=requirements,
            facts=facts,
            can=_can(how, requirements, ends=left is not None),
        )


def _phase(state: str) -> str:
    return Event(0, "state", state, "").phase


def _can(state: str, requirements: list[str], *, ends: bool) -> list[str]:
    can = [] if state in ("stopping", "gone") else ["stop"]
    if state not in GOING and state not in ("stopping", "gone"):
        can.append("restart")
    if ends and state not in OVER:
        can.append("extend")
    if requirements:
        can.append("install-log")
    return can
