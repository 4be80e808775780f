"""What holds for servers wherever they run; each spawner's tests inherit it.

The class is given a `Setup` by a fixture `setup` of the module that inherits it.
"""

import asyncio
import contextlib
import os
import secrets
import threading
import time
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_deploy_api.controller import Controller
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.records import Key, Spec
from rexec_deploy_api.service import DifferentError, NotThereError, Owner, Servers
from rexec_deploy_api.spawner.base import LogQuery, SpawnerError
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
    make
        Makes a spawner that works on what the one before it left.
    tickets
        Signs for the broker.
    address
        Where clients find the broker.
    health
        URL of the broker's health port.
    patience
        Seconds that anything may take.
    """

    def __init__(self, make, tickets, address, health, patience):
        self.patience = patience
        self._make = make
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

    async def _open(self):
        self.spawner = self._make()
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

    def remains(self, key):
        """Return what is left of a server that is gone; to be overridden."""
        raise NotImplementedError

    def kill(self, key):
        """Kill everything that runs for a server; to be overridden."""
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


@pytest.fixture
def user(setup):
    """A user of one test alone, whose name holds all sorts of characters."""
    name = f"Ann/…\n\\'{secrets.token_hex(4)}"
    yield name
    for record in setup.do(_records(setup, name)):
        setup.stop(name, record.name)


async def _records(setup, user):
    return setup.spawner.records_of(user)


def note(text):
    """Write to the log of what runs the user's code, as a message of its own would be."""
    with Path(f"/proc/{os.getppid()}/fd/2").open("ab") as log:
        log.write(text.encode())


def states(events):
    return [event.state for event in events if event.kind == "state"]


class SpawnerContract:
    """Tests for any spawner."""

    def test_a_server_gets_ready_and_runs_calls_and_cells(self, setup, user):
        record, begun = setup.spawn(user, environment={"GREETING": "hello"})
        assert begun
        assert record.state == "requested"
        told = states(setup.events(user, until=lambda event: event.state == "ready"))
        assert told[0] == "requested"
        assert told[-1] == "ready"
        assert setup.view(user).presence.state == "ready"
        with setup.client(user) as client:
            assert client.submit(os.getenv, "GREETING").result(setup.patience) == "hello"
            cell = client.session().submit_cell("6 * 7", value=True)
            assert cell.result(setup.patience).value == 42

    def test_two_that_ask_at_once_get_one_server(self, setup, user):
        async def both():
            asked = [setup.servers.spawn(Owner(user), "default", setup.spec()) for _ in range(2)]
            return await asyncio.gather(*asked)

        answers = setup.do(both())
        assert sorted(begun for _, begun in answers) == [False, True]
        ready = setup.await_ready(user)
        assert {record.generation for record, _ in answers} == {ready.generation}
        assert len(setup.observed(user)) == 1
        again, begun = setup.spawn(user)
        assert not begun
        assert again.state == "ready"

    def test_a_different_one_is_refused_unless_it_is_to_replace_the_first(self, setup, user):
        first = setup.up(user, environment={"WHICH": "first"})
        with pytest.raises(DifferentError, match="requirements"):
            setup.spawn(user, requirements=("rainfall==1",), requirements_digest="0" * 16)
        with pytest.raises(DifferentError, match="environment"):
            setup.spawn(user, environment={"WHICH": "second"})
        assert setup.record(user) == first
        setup.spawn(user, environment={"WHICH": "second"}, force=True)
        second = setup.await_ready(user, after=first.generation)
        assert setup.call(user, os.getenv, "WHICH") == "second"
        setup.until(
            lambda: [each.generation for each in setup.observed(user)] == [second.generation]
        )

    def test_one_that_is_stopped_finishes_what_runs_and_leaves_nothing(self, setup, user):
        setup.up(user)

        def slow():
            time.sleep(0.5)
            return "finished"

        with setup.client(user) as client:
            job = client.submit(slow)
            setup.until(lambda: job.state == "running")
            told = setup.stop(user)
            assert job.result(setup.patience) == "finished"
        assert states(told) == ["stopping", "gone"]
        with pytest.raises(NotThereError):
            setup.record(user)
        assert setup.observed(user) == []
        assert setup.remains(Key(user, "default")) == []

    def test_one_that_is_killed_as_a_whole_is_replaced(self, setup, user):
        first = setup.up(user)
        setup.kill(Key(user, "default"))
        setup.await_ready(user, after=first.generation)
        assert setup.call(user, abs, -1) == 1
        told = setup.events(user, after=first.events[-1].seq, until=lambda e: e.state == "ready")
        assert states(told)[0] == "requested"
        assert "Another one is started" in told[0].text

    @pytest.mark.parametrize("step", ["requested", "placed", "ready"])
    def test_one_whose_keeper_ends_in_between_is_there_once_when_it_is_back(
        self, setup, user, step
    ):
        async def cut():
            await setup.servers.spawn(Owner(user), "default", setup.spec())
            if step == "requested":
                return await setup._shut()
            async for event in setup.servers.events(user, "default"):
                record = setup.spawner.record(Key(user, "default"))
                if event and (record.placed if step == "placed" else event.state == "ready"):
                    break
            return await setup._shut()

        setup.do(cut())
        setup.open()
        record = setup.await_ready(user)
        assert setup.call(user, abs, -1) == 1
        assert [each.generation for each in setup.observed(user)] == [record.generation]

    def test_its_logs_can_be_read_and_followed(self, setup, user):
        setup.up(user)
        with pytest.raises(SpawnerError):
            setup.logs(user, part="nonsense")
        setup.call(user, note, "first\nsecond\n")
        assert setup.logs(user, part="exec").endswith("first\nsecond\n")
        assert setup.logs(user, part="exec", tail=1) == "second\n"
        assert setup.logs(user, part="exec", tail=0) == ""
        assert isinstance(setup.logs(user, part="agent"), str)

        async def follow():
            record = setup.servers.get(user, "default").record
            pieces = setup.spawner.logs(record, LogQuery("exec", tail=1, follow=True))
            yield await anext(pieces)
            yield await anext(pieces)
            await setup.servers.stop(user, "default")
            yield b"".join([piece async for piece in pieces])

        async def gather():
            found = []
            async for piece in follow():
                found.append(piece)
                if len(found) == 1:
                    loop = asyncio.get_running_loop()
                    adding = loop.run_in_executor(None, setup.call, user, note, "third\n")
            await adding
            return found

        assert setup.do(gather())[:2] == [b"second\n", b"third\n"]

    def test_what_runs_user_code_is_started_again_in_place(self, setup, user):
        first = setup.up(user)
        setup.call(user, note, "last words\n")

        def kill_it():
            os.kill(os.getppid(), 9)
            time.sleep(60)

        with pytest.raises(rexec.WorkerLostError):
            setup.call(user, kill_it)
        assert setup.call(user, abs, -1) == 1
        setup.until(lambda: setup.observed(user)[0].restarts == 1)
        problem = setup.events(
            user, after=first.events[-1].seq, until=lambda event: event.kind == "problem"
        )[-1]
        assert "memory" in problem.text
        assert setup.record(user).generation == first.generation
        assert setup.logs(user, part="exec", previous=True).endswith("last words\n")

    def test_an_idle_one_is_warned_and_ends(self, setup, user):
        record = setup.up(user, idle_timeout=2.0)
        told = setup.events(user, after=record.events[-1].seq)
        assert next(event.kind for event in told if event.kind != "notice") == "warning"
        assert "nothing to do" in told[-2].text
        assert states(told)[-1] == "gone"
        assert setup.remains(Key(user, "default")) == []

    def test_one_that_was_extended_outlives_its_clock(self, setup, user):
        record = setup.up(user, max_lifetime=1.5)
        extended = setup.do(setup.servers.extend(user, "default", 3.0))
        assert extended.extended > time.time() + 2
        told = setup.events(user, after=record.events[-1].seq)
        assert told[-1].at - record.ready_at > 2.9
