"""The deploy API without HTTP, at work on one spawner, as the tests of spawners use it."""

import asyncio
import contextlib
import threading
import time

from rexec_deploy_api.controller import Controller
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.records import Key, Spec
from rexec_deploy_api.service import Owner, Servers
from rexec_deploy_api.spawner.base import LogQuery, NoLogError
from rexec_jupyter._connect import connect_to
from rexec_jupyter.core.backend import Address


class LoopThread:
    """An event loop in a thread that lasts: children of a spawner end with it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def do(self, coroutine, patience):
        """Run a coroutine there; return its result."""
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(coroutine, patience), self.loop
        ).result()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Setup:
    """The deploy API without HTTP, at work on one spawner.

    Parameters
    ----------
    tickets
        Signs for the broker.
    address
        Where clients find the broker.
    health
        URL of the broker's health port.
    patience
        Seconds that anything may take.
    """

    def __init__(self, tickets, address, health, patience):
        self.patience = patience
        self._tickets = tickets
        self._address = address
        self._health = health
        self._thread = LoopThread()
        self._tasks = []
        self.open()

    def do(self, coroutine):
        return self._thread.do(coroutine, self.patience)

    # ------------------------------------------------------------------- open and close

    def open(self):
        self.do(self._open())
        self.until(lambda: self.spawner.leads)

    async def _open(self):
        self.spawner = await self.make()
        attendance = Attendance(self._health, self._tickets.status_token, self._changed)
        self.controller = Controller(self.spawner, attendance.of, self._tickets.credential)
        self.servers = Servers(self.spawner, attendance.of)
        await self.spawner.open(self._changed)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.controller.run()),
            loop.create_task(attendance.follow()),
        ]

    def _changed(self, key):
        self.controller.touch(key)
        self.servers.changed(key)

    def shut(self):
        self.do(self._shut())

    async def _shut(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.spawner.close()

    def close(self):
        for key in self.keys():
            self.stop(key.user, key.name)
        self.shut()
        self._thread.close()

    # ------------------------------------------------------------- what a spawner knows

    async def make(self):
        """Return a spawner that works on what the one before it left; to be overridden."""
        raise NotImplementedError

    def remains(self, key):
        """Return what is left of a server that is gone; to be overridden."""
        raise NotImplementedError

    def kill(self, key):
        """Kill everything that runs for a server; to be overridden."""
        raise NotImplementedError

    def kill_from_within(self, user):
        """Have what runs a user's code killed, as if memory ran out; to be overridden."""
        raise NotImplementedError

    def spec(self, **changes):
        """Return what a small server is; to be overridden."""
        return Spec(**{"profile": "small", "cpu": 1.0} | changes)

    # --------------------------------------------------------------- what a user does

    def keys(self):
        async def look():
            return list(self.spawner.keys())

        return self.do(look())

    def spawn(self, user, name="default", *, force=False, **changes):
        return self.do(self.servers.spawn(Owner(user), name, self.spec(**changes), force=force))

    def view(self, user, name="default"):
        async def look():
            return self.servers.get(user, name)

        return self.do(look())

    def record(self, user, name="default"):
        return self.view(user, name).record

    def observed(self, user, name="default"):
        async def look():
            return list(self.spawner.observe(Key(user, name)))

        return self.do(look())

    def events(self, user, name="default", *, after=0, until=lambda _: False):
        """Return events up to one, or the last one."""

        async def follow():
            found = []
            async for event in self.servers.events(user, name, after):
                if event is not None:
                    found.append(event)
                    if until(event):
                        break
            return found

        return self.do(follow())

    def await_ready(self, user, name="default", *, after=0):
        """Wait until a generation later than `after` is ready."""

        def good():
            record = self.record(user, name)
            assert record.state != "failed", record
            return record.generation > after and record.state == "ready"

        self.until(good)
        return self.record(user, name)

    def up(self, user, name="default", **options):
        self.spawn(user, name, **options)
        return self.await_ready(user, name)

    def stop(self, user, name="default"):
        """Stop a server and wait until it is gone; return what was told meanwhile."""

        async def go():
            record = self.servers.get(user, name).record
            following = asyncio.create_task(collect(record.events[-1].seq))
            await asyncio.sleep(0)  # it has to know the server before that is gone
            await self.servers.stop(user, name)
            return await following

        async def collect(after):
            events = self.servers.events(user, name, after)
            return [event async for event in events if event is not None]

        return self.do(go())

    def logs(self, user, name="default", **query):
        async def read():
            record = self.servers.get(user, name).record
            return b"".join([piece async for piece in self.spawner.logs(record, LogQuery(**query))])

        return self.do(read()).decode()

    def await_log(self, user, end):
        """Wait until the log of what runs a user's code ends like this."""

        def there():
            with contextlib.suppress(NoLogError):
                return self.logs(user, part="exec").endswith(end)

        self.until(there)

    def until(self, condition):
        deadline = time.monotonic() + self.patience
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return value

    @contextlib.contextmanager
    def client(self, user):
        with connect_to(
            _Backend(self._tickets, self._address, user), timeout=self.patience
        ) as client:
            yield client

    def call(self, user, function, *arguments):
        with self.client(user) as client:
            return client.submit(function, *arguments).result(self.patience)


class _Backend:
    """How a user reaches the broker."""

    def __init__(self, tickets, address, user):
        self.description = f"a server of {user}"
        self.progress = ""
        self._tickets = tickets
        self._address = address
        self._user = user

    async def locate(self):
        return Address(self._address, self._tickets.broker.key)

    async def revive(self):
        pass

    async def ticket(self, key):
        return self._tickets.ticket(self._user, key)

    async def close(self):
        pass

    def job_secret(self):
        return self._tickets.job_secret(self._user)
