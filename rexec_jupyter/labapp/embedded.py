"""The embedded backend, as the panel sees it: looking neither starts it nor keeps it alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from rexec_jupyter._connect import connect_to
from rexec_jupyter.core.errors import ConnectionLostError, NotConfiguredError
from rexec_jupyter.core.losses import of_backend
from rexec_jupyter.labapp import looking
from rexec_jupyter.labapp.messages import Alert, Connection, Job, Server
from rexec_jupyter.labapp.polling import Poll
from rexec_jupyter.labapp.pythons import Python, is_own
from rexec_jupyter.labapp.reach import DEFAULT, PATIENCE, Look, Reach
from rexec_jupyter.labapp.seen import Seen, Standing, slow
from rexec_jupyter.local.backend import LocalBackend
from rexec_jupyter.local.connection import EndedError

_PAUSE = 0.5
_STOPPED = "No rexec server runs on this computer."

Told = dict[str, Any]
"""What the supervisor tells; empty if none runs."""


class Embedded:
    """Looks at it.

    Parameters
    ----------
    pool
        Threads for what has to be waited for.
    changed
        Called when there is something new.
    """

    def __init__(self, pool: ThreadPoolExecutor, changed: Callable[[], None]) -> None:
        self.reach = Reach(pool, changed)
        self._supervisor: Poll[Told] = Poll("embedded backend", self._ask, changed, pause=_PAUSE)
        self._backend = LocalBackend(watch=True)
        self._moments = looking.Moments()
        self._was_ready = 0  # process id of the supervisor that was

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run while somebody looks."""
        return [self._supervisor.run(), *self.reach.work()]

    @property
    def running(self) -> bool:
        """Whether it runs and takes jobs."""
        told = self._supervisor
        return told.error is None and bool(told.answer and told.answer["ready"])

    @property
    def ready(self) -> bool:
        """Whether there is something to tell."""
        if not self._supervisor.asked:
            return False
        return not self.running or bool(self.reach.look.at) or self.reach.poll.error is not None

    def nudge(self) -> None:
        """Look at once."""
        self._supervisor.nudge()
        self.reach.poll.nudge()

    async def close(self) -> None:
        """Look no more."""
        await self._backend.close()
        await self.reach.close()

    async def _ask(self) -> Told:
        found = await _told(self._backend)
        if found.get("ready"):
            self._was_ready = found["pid"]
            self.reach.aim(str(found["pid"]), lambda: LocalBackend(watch=True))
        elif not found:
            self.reach.leave()
        return found

    # -------------------------------------------------------------------------- telling

    def seen(self) -> Seen:
        """Return how things stand."""
        told = self._supervisor.answer or {}
        look = self.reach.look if told else Look()
        sessions = looking.sessions(look.sessions, look.at, self._moments, lambda _: DEFAULT)
        jobs = looking.jobs(look.jobs, look.at, self._moments, self.reach.lines.line)
        servers = [self._server(told, jobs)] if told else []
        self._moments.sweep()
        return Seen(self._connection(told), self._alerts(told), servers, sessions, jobs)

    def _connection(self, told: Told) -> Connection:
        state, text, hint, code = self._standing(told)
        if not told:
            return Connection(state=state, text=text, hint=hint, code=code)
        return Connection(
            state=state,
            text=text,
            hint=hint,
            code=code,
            user=str(told["user"]),
            kept=bool(told["kept"]),
            programs=int(told["users"]),
            pages={"Catalog API": str(told["api"]["docs"])},
        )

    def _standing(self, told: Told) -> Standing:
        if (error := self._supervisor.error) is not None:
            return Standing.of("failed", error)
        if not self._supervisor.asked:
            return Standing("connecting", "Looking …")
        if not told:
            hint = "Start it here; the first %%rexec cell of a notebook starts one too."
            return Standing("stopped", _STOPPED, hint)
        if not told["ready"]:
            return self._of_parts(told)
        standing = self.reach.standing()
        if standing.state == "connected":
            return standing._replace(text="The rexec server of this computer runs.")
        return standing

    def _of_parts(self, told: Told) -> Standing:
        late = ", ".join(name for name, part in told["parts"].items() if not part["ready"])
        if self._was_ready != told["pid"]:
            return Standing("connecting", f"The rexec server of this computer starts: {late}.")
        text = f"A part of the rexec server of this computer is away: {late}."
        return Standing("reconnecting", text, "It is started again, unless the server just ends.")

    def _alerts(self, told: Told) -> list[Alert]:
        alerts = slow("embedded", "The embedded backend", self._supervisor, self.reach.poll)
        for name, part in told.get("parts", {}).items():
            if not part["ready"] and part["starts"] > 1:
                last = f" Its last words: {part['log'][-1]}" if part["log"] else ""
                alerts.append(
                    Alert(
                        key=f"part:{name}",
                        cause=f"The {name} of the embedded backend ended and starts again.{last}",
                        hint="If that goes on, stop the backend and start it again.",
                        action="restart",
                        subject=DEFAULT,
                    )
                )
        api = told.get("api", {})
        if api.get("state") == "failing":
            alerts.append(
                Alert(
                    key="part:endpoint",
                    severity="warning",
                    cause=f"The catalog of this computer does not start: {api['error']}.",
                    hint="Cells and functions run without it; `rexec doctor` tells more.",
                )
            )
        return alerts

    def _server(self, told: Told, jobs: list[Job]) -> Server:
        settings = told["settings"]
        state = next((each for each in self.reach.look.servers if not each.session), None)
        ready = bool(told["ready"])
        facts = {"keeps its files in": str(settings["directory"])} if settings["directory"] else {}
        if not is_own(told["python"]):
            facts["runs with"] = str(told["python"])
        return Server(
            name=DEFAULT,
            state="ready" if ready else "starting",
            phase="is ready" if ready else "starts",
            profile="this computer",
            python=state.python if state else "",
            memory=int(settings["memory"]),
            slots=int(settings["workers"]),
            running=sum(job.open and job.started > 0 for job in jobs),
            queued=sum(job.open and not job.started for job in jobs),
            facts=facts,
            can=["stop", "restart"],
        )


async def _told(backend: LocalBackend) -> Told:
    try:
        async with asyncio.timeout(PATIENCE):
            return await backend.status() if await backend.find() else {}
    except EndedError:
        return {}
    except TimeoutError:
        await backend.close()  # what it still answers is not for the next question
        raise ConnectionLostError(
            f"The embedded backend's supervisor did not answer within {PATIENCE:g} s.",
            hint="It is asked again by itself; `rexec doctor` tells more.",
        ) from None


async def python() -> Python | None:
    """Return the Python that runs it; None if none does."""
    backend = LocalBackend(watch=True)
    try:
        told = await _told(backend)
        if not told:
            return None
        try:
            environment = psutil.Process(told["pid"]).environ()
        except psutil.Error:
            return None  # it has just ended
        return Python(told["python"], environment)
    finally:
        await backend.close()


async def start(python: Python) -> str:
    """Start it, and let it run until it is stopped.

    Parameters
    ----------
    python
        What runs it if none runs yet.

    Returns
    -------
    str
        The interpreter that runs it.
    """
    backend = LocalBackend(python=python.path, environment=python.environment)
    try:
        await backend.locate()
        await backend.open_endpoint()
        await backend.keep()
        return str((await backend.status())["python"])
    finally:
        await backend.close()


def losses() -> list[str]:
    """Tell what would be lost with it; nothing if it does not run."""
    try:
        client = connect_to(LocalBackend(watch=True), timeout=PATIENCE)
    except NotConfiguredError:
        return []
    with client:
        return of_backend(client)


async def stop() -> bool:
    """End it, whatever runs there; tell whether there was one."""
    backend = LocalBackend(watch=True)
    try:
        found = await backend.find()
        if found:
            await backend.stop(force=True)
        return found
    finally:
        await backend.close()
