"""What the panel's buttons do. Each says in a sentence what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rexec_jupyter import _connect
from rexec_jupyter.core.client import Client
from rexec_jupyter.core.defaults import session_name
from rexec_jupyter.core.errors import NoSessionError, RexecError
from rexec_jupyter.core.logins import LoginError, Logins, checked, normal
from rexec_jupyter.core.losses import of_session, of_sessions
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.endpoint.feed import DEFAULT, GOING
from rexec_jupyter.endpoint.showing import sessions_on, unended
from rexec_jupyter.labapp import embedded
from rexec_jupyter.labapp.forms import EMBEDDED, OPTIONS, forms
from rexec_jupyter.labapp.messages import Choice, Credentials, Place, Profiles, Text, Wanted
from rexec_jupyter.labapp.problems import RefusedError
from rexec_jupyter.labapp.reach import PATIENCE

if TYPE_CHECKING:
    from rexec_jupyter.core.protocol import JobInfo, SessionInfo
    from rexec_jupyter.endpoint.servers import Servers
    from rexec_jupyter.labapp.pythons import Python, Pythons
    from rexec_jupyter.labapp.watch import Watcher

T = TypeVar("T")

_COMING = ("connecting", "connected", "reconnecting")
"""States in which a client is there, or will be soon; `connected` may be a second old."""
_LONG = 60.0
"""Seconds that anything may take."""
_ASKING = 10.0
"""Seconds that it may take to find out what would be lost, or to have an interpreter."""


class Actions:
    """Does it.

    Parameters
    ----------
    watcher
        What looks at the backend.
    pythons
        What finds the interpreter of a kernel.
    pool
        Threads for what has to be waited for.
    """

    def __init__(self, watcher: Watcher, pythons: Pythons, pool: ThreadPoolExecutor) -> None:
        self._watcher = watcher
        self._pythons = pythons
        self._pool = pool

    async def _in_thread(self, work: Callable[[], T], seconds: float = _LONG) -> T:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._pool, work), seconds)

    # ---------------------------------------------------------------- which backend, and who

    async def choose(self, choice: Choice) -> str:
        """Use another backend, here and in the kernels."""
        url = "local" if choice.url in ("", "local") else _address(choice.url)
        await self._use(url)
        if url == "local":
            return "Cells run on this computer now."
        return f"Cells run at {url} now."

    async def login(self, given: Credentials) -> str:
        """Keep a token once it is known to be good, and use its endpoint if that is wanted."""
        url = _address(given.url)
        who = await self._in_thread(lambda: _login(url, given))
        if given.use:
            await self._use(url)
        return f"Logged in at {url}{f' as {who}' if who else ''}."

    async def _use(self, url: str) -> None:
        """Save which backend is used, here and in the kernels."""
        await self._in_thread(lambda: current().set("url", url, save=True))
        await self._watcher.settle(url)

    async def logout(self, place: Place) -> str:
        """Forget a token, or all."""
        url = _address(place.url) if place.url else ""
        gone = await self._in_thread(lambda: Logins().remove(url))
        return f"Logged out at {', '.join(gone)}." if gone else "There was no login."

    # ------------------------------------------------------------------------- the servers

    async def start_embedded(self, kernel: str = "") -> str:
        """Start the backend of this computer, or keep it; it runs until it is stopped.

        Parameters
        ----------
        kernel
            The kernel spec whose Python runs it, if none runs yet; empty for the usual one.
        """
        running = await self._embedded_python()
        return await self._start_embedded(running or await self._pythons.of_kernel(kernel))

    async def _restart_embedded(self, *, force: bool) -> str:
        python = await self._embedded_python()
        if python is None:
            raise _no_embedded()
        await self._pythons.check(python, "the Python that runs it")
        await self.stop_embedded(force=force)
        return await self._start_embedded(python)

    async def _embedded_python(self) -> Python | None:
        return await self._in_thread(lambda: asyncio.run(embedded.python()))

    async def _start_embedded(self, python: Python) -> str:
        path = await self._in_thread(lambda: asyncio.run(embedded.start(python)))
        self._watcher.nudge()
        source = self._watcher.source
        if isinstance(source, embedded.Embedded):  # what is done next is done there
            await self._watcher.until(lambda: source.running, PATIENCE)
        return f"The rexec server of this computer runs until it is stopped, with {path}."

    async def stop_embedded(self, *, force: bool) -> str:
        """End the backend of this computer."""
        if not force:
            await self._lose_nothing(self._in_thread(embedded.losses, _ASKING))
        # Whether jobs run was asked just now; what its supervisor knows is a second old.
        if not await self._in_thread(lambda: asyncio.run(embedded.stop())):
            raise _no_embedded()
        return "The rexec server of this computer has ended."

    async def profiles(self) -> Profiles:
        """Tell what servers there can be."""
        if await self._is_embedded():
            return EMBEDDED
        return forms(await self._at_endpoint(lambda there: there.profiles()))

    async def start_server(self, wanted: Wanted) -> str:
        """Begin to start a server."""
        if await self._is_embedded():
            _check_plain(wanted)
            return await self.start_embedded()
        name = _session(wanted.name)
        usual = current().now().profile
        options = _options(wanted.options)

        def begin(there: Servers) -> tuple[dict[str, Any], bool]:
            return there.begin(
                name,
                requirements=[line for line in wanted.requirements if line.strip()],
                profile=wanted.profile or usual,
                force=wanted.force,
                **options,
            )

        server, begun = await self._at_endpoint(begin)
        if begun or server.get("state") in GOING:
            return f"Server {name} is starting."
        return f"Server {name} runs already."

    async def stop_server(self, name: str, *, force: bool) -> str:
        """Have a server end."""
        if await self._is_embedded():
            _check_default(name)
            return await self.stop_embedded(force=force)
        if not force:
            await self._keep_server(name)
        if not await self._at_endpoint(lambda there: there.end(name)):
            raise _no_server(name)
        return f"Server {name} ends."

    async def restart_server(self, name: str, *, force: bool) -> str:
        """Have a server replaced by one like it."""
        if await self._is_embedded():
            _check_default(name)
            return await self._restart_embedded(force=force)
        if not force:
            await self._keep_server(name)
        if await self._at_endpoint(lambda there: there.restart(name)) is None:
            raise _no_server(name)
        return f"Server {name} starts again."

    async def extend_server(self, name: str, seconds: float) -> str:
        """Let no clock end a server for a while."""
        if await self._is_embedded():
            raise RefusedError(409, "Nothing ends the server of this computer by the clock.")
        if not 0 < seconds < float("inf"):
            raise RefusedError(422, "Tell for how many seconds.")
        await self._at_endpoint(lambda there: there.extend(name, seconds))
        return f"Server {name} does not end within {seconds / 60:.0f} min."

    async def install_log(self, name: str, lines: int) -> Text:
        """Return what was written while the packages of a server were installed."""
        if await self._is_embedded():
            raise RefusedError(404, "Nothing is installed for the server of this computer.")

        def read(there: Servers) -> Text:
            server = there.find(name)
            if server is None:
                raise _no_server(name)
            text = there.log(name, "environment", lines=lines) or ""
            going_on = server.get("state") in GOING
            return Text(lines=text.splitlines()[-lines:], going_on=going_on)

        return await self._at_endpoint(read)

    async def _keep_server(self, name: str) -> None:
        """Refuse to end a server if something is lost with it."""
        every = await self._at_endpoint(unended)
        if name not in every:
            raise _no_server(name)
        if every[name].get("state") != "ready":
            return  # nobody was there yet
        await self._keep(
            lambda client: of_sessions(
                client, sessions_on([name], every, client.sessions(timeout=PATIENCE))
            )
        )

    # ----------------------------------------------------------------------------- sessions

    async def start_session(self, name: str) -> str:
        """Begin to start the interpreter of a session."""
        name = _session(name)
        client = await self._client()
        await self._in_thread(lambda: client.session(name).submit_cell("", hidden=True))
        return f"Session {name} is starting."

    async def end_session(self, name: str, *, force: bool, restart: bool = False) -> str:
        """End the interpreter of a session, or have another one in its place."""
        client = await self._client()
        info = await self._session(client, name)
        if not force:
            await self._keep(lambda client: of_session(client, info))
        if restart:
            await self._in_thread(lambda: _restart(client, name))
            return f"Session {name} has a new interpreter, without variables."
        await self._in_thread(lambda: client.session(name).stop())
        return f"Session {name} has ended. The next cell there starts it anew."

    async def interrupt_session(self, name: str) -> str:
        """Interrupt what runs in a session."""
        client = await self._client()
        info = await self._session(client, name)
        if not info.running:
            raise RefusedError(409, f"Nothing runs in session {name}.", "There is nothing to do.")
        client.interrupt(info.running, name)
        return f"Interrupting job {info.running[:8]} …"

    async def _session(self, client: Client, name: str) -> SessionInfo:
        every = await self._in_thread(lambda: client.sessions(timeout=PATIENCE))
        for info in every:
            if info.session == name:
                return info
        raise NoSessionError(
            f"There is no session {name!r} any more.", hint="The list shows those that there are."
        )

    # --------------------------------------------------------------------------------- jobs

    async def end_job(self, job: str, *, kindly: bool) -> str:
        """Interrupt a job, or end it even if it does not react."""
        client = await self._client()
        info = await self._job(client, job)
        if info.state not in OPEN:
            raise RefusedError(
                409, f"Job {job[:8]} has ended already: {info.state}.", "There is nothing to do."
            )
        if kindly:
            client.interrupt(info.job, info.session)
            return f"Interrupting job {job[:8]} …"
        client.cancel(info.job, info.session)
        return f"Cancelling job {job[:8]} …"

    async def _job(self, client: Client, job: str) -> JobInfo:
        every = await self._in_thread(lambda: client.jobs(timeout=PATIENCE))
        for info in every:
            if info.job == job:
                return info
        raise RefusedError(
            404,
            f"The server knows no job {job[:8]!r} (any more).",
            "The list shows those that it knows.",
        )

    # ------------------------------------------------------------------------------ helpers

    async def _is_embedded(self) -> bool:
        return isinstance(await self._watcher.known(), embedded.Embedded)

    async def _client(self) -> Client:
        """Return the client of what the settings name; wait a little while it connects.

        Raises
        ------
        RefusedError
            If nothing can be reached there.
        """
        reach = (await self._watcher.known()).reach
        watcher = self._watcher
        await watcher.until(
            lambda: reach.connected or watcher.connection.state not in _COMING, PATIENCE
        )
        if reach.connected:
            return reach.client()
        told = watcher.connection
        status = 503 if reach.aimed else 409
        raise RefusedError(status, told.text, told.hint or "It is tried again by itself.")

    async def _at_endpoint(self, work: Callable[[Servers], T]) -> T:
        def ask() -> T:
            with _connect.servers() as there:
                if there is None:
                    raise RefusedError(
                        409, "The settings name this computer by now.", "Load the page again."
                    )
                return work(there)

        return await self._in_thread(ask)

    async def _keep(self, losses: Callable[[Client], list[str]]) -> None:
        """Refuse to go on if something would be lost there; else as `_lose_nothing`."""

        async def ask() -> list[str]:
            client = await self._client()
            return await self._in_thread(lambda: losses(client), _ASKING)

        await self._lose_nothing(ask())

    async def _lose_nothing(self, losses: Awaitable[list[str]]) -> None:
        """Refuse to go on if something would be lost.

        Raises
        ------
        RefusedError
            If so, or nobody can tell.
        """
        try:
            lost = await losses
        except (RefusedError, RexecError, TimeoutError) as error:
            why = str(error.args[0]) if error.args else "it takes too long."
            raise RefusedError(
                409,
                f"Nobody can tell what would be lost: {why}",
                "It can be done all the same.",
                losses=["whatever is there"],
            ) from None
        if lost:
            raise RefusedError(
                409, "Something would be lost.", "It can be done all the same.", losses=lost
            )


def _options(given: dict[str, str | float | bool]) -> dict[str, Any]:
    """Return what is asked for beside name, packages and profile; amounts are whole numbers."""
    if bad := given.keys() - OPTIONS:
        raise RefusedError(422, f"There is no option {min(bad)!r}.", "Load the page again.")
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in given.items()
        if value != ""
    }


def _address(url: str) -> str:
    try:
        return normal(url)
    except LoginError as error:
        raise RefusedError(422, f"That address cannot be used: {error}.") from None


def _session(name: str) -> str:
    try:
        return session_name(name)
    except ValueError as error:
        raise RefusedError(422, f"That cannot be the name of a session: {error}.") from None


def _login(url: str, given: Credentials) -> str:
    from rexec_jupyter.endpoint.verification import verify  # noqa: PLC0415 - seldom used

    token = given.token
    if not token and not (given.username and given.password):
        raise RefusedError(422, "There is neither a token, nor a name and a password.")
    if not token:
        token = _token_for(url, given)
    try:
        token = checked(token)
    except LoginError as error:
        raise RefusedError(422, f"That token cannot be used: {error}.", "Copy it again.") from None
    user = verify(url, token)
    Logins().add(url, token)
    return str(user.get("username") or user.get("sub") or "")


def _token_for(url: str, given: Credentials) -> str:
    """Have the endpoint give a token for a name and a password, which is not kept."""
    from rexec_jupyter.endpoint import users  # noqa: PLC0415 - seldom used
    from rexec_jupyter.endpoint.errors import EndpointError, NotAuthenticatedError  # noqa: PLC0415
    from rexec_jupyter.endpoint.translation import translated  # noqa: PLC0415
    from rexec_jupyter.endpoint.transport import Driver  # noqa: PLC0415

    driver = Driver(url, "", 15.0, retries=0)
    try:
        return driver.run(users.login(given.username, given.password))
    except NotAuthenticatedError:
        raise RefusedError(
            502, f"{url} does not accept this name with this password.", "Try again."
        ) from None
    except EndpointError as error:
        raise translated(error, url, "log you in", right="log in") from None
    finally:
        driver.close()


def _check_plain(wanted: Wanted) -> None:
    _check_default(wanted.name)
    if wanted.requirements or wanted.options or wanted.profile not in ("", "default"):
        raise RefusedError(
            422,
            "The server of this computer has neither profiles nor packages of its own.",
            "Leave that out; `%rexec install` installs packages.",
        )


def _check_default(name: str) -> None:
    if name != DEFAULT:
        raise RefusedError(
            404, f"There is no server {name!r}.", "This computer has one, which is called default."
        )


def _restart(client: Client, name: str) -> None:
    session = client.session(name)
    session.restart()
    # Without a cell there would be none until the next one.
    with suppress(TimeoutError):
        session.submit_cell("", hidden=True).result(_ASKING)


def _no_embedded() -> RefusedError:
    return RefusedError(409, "No rexec server runs on this computer.", "It has ended.")


def _no_server(name: str) -> NoSessionError:
    return NoSessionError(
        f"There is no server {name!r} any more.", hint="The list shows those that there are."
    )
