"""Servers looked after, one step at a time, whatever fails."""

import asyncio
import contextlib
import time

import pytest

from rexec_deploy_api import controller as module
from rexec_deploy_api import service
from rexec_deploy_api.controller import Controller
from rexec_deploy_api.records import Key, Presence, Spec
from rexec_deploy_api.service import DifferentError, NotThereError, Owner, Servers
from rexec_deploy_api.spawner.base import Credential, StaleError
from tests.deploy.memory_spawner import MemorySpawner, failing

ANN = Owner("ann")
SPEC = Spec(profile="default")
KEY = Key("ann", "default")
PATIENCE = 20.0


class Setup:
    """A controller and what users ask, above a spawner in memory."""

    def __init__(self):
        self.spawner = MemorySpawner()
        self.presence = {}
        of = lambda record: self.presence.get(record.key)  # noqa: E731
        self.servers = Servers(self.spawner, of)
        self.controller = Controller(self.spawner, of, self.credential)
        self.shown = []

    def credential(self, record):
        self.shown.append(record.generation)
        return Credential(b"", b"", "", "", "")

    def changed(self, key):
        self.controller.touch(key)
        self.servers.changed(key)

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - it asks what has no event
                await asyncio.sleep(0.005)

    async def ready(self, generation=1):
        await self.until(lambda: generation in self.spawner.there.get(KEY, {}))
        self.presence[KEY] = Presence(self.spawner.generation(KEY, generation), "ready")
        self.spawner.see(KEY, generation, "running")
        await self.until(lambda: self.record.state == "ready")

    @property
    def record(self):
        return self.spawner.record(KEY)


@contextlib.asynccontextmanager
async def looked_after():
    setup = Setup()
    await setup.spawner.open(setup.changed)
    running = asyncio.create_task(setup.controller.run())
    try:
        yield setup
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def run(work):
    """Run a coroutine function with a setup; in the loop that the service has."""
    import uvloop

    async def whole():
        async with looked_after() as setup:
            await work(setup)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(whole(), 4 * PATIENCE))


def test_a_server_comes_and_goes():
    async def work(setup):
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.ready()
        await setup.servers.stop("ann", "default")
        await setup.until(lambda: setup.record is None)
        assert setup.spawner.done == [("place", 1), ("displace", 1), ("erase", 1)]
        assert setup.shown == [setup.spawner.generation(KEY, 1)]

    run(work)


@pytest.mark.parametrize("step", ["write", "place"])
def test_what_fails_is_told_and_done_later(step):
    async def work(setup):
        await setup.servers.spawn(ANN, "default", SPEC)
        setup.spawner.fails[step] = failing()
        if step == "place":
            await setup.until(lambda: setup.record.cause is not None)
            assert setup.record.events[-1].text == "The store is away."
            steps, began = setup.controller.steps, time.monotonic()
            await asyncio.sleep(0.15)
            passed = time.monotonic() - began
            assert setup.controller.steps - steps <= 2 + passed / 0.2  # it waits, and ever longer
        setup.spawner.fails.clear()
        await setup.ready()
        assert setup.spawner.done == [("place", 1)]

    run(work)


def test_what_fails_otherwise_each_time_is_not_tried_all_the_time():
    async def work(setup):
        tries = []

        async def place(*_):
            tries.append(None)
            if len(tries) == 2:
                setup.controller._delays[KEY] = 2 * PATIENCE  # so that the next one is far away
            raise failing(f"It failed {len(tries)} times.")

        setup.spawner.place = place
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.until(lambda: len(tries) == 2)
        assert setup.controller.steps < 5
        # What its owner wants now does not wait.
        await setup.servers.stop("ann", "default")
        await setup.until(lambda: setup.record is None)

    run(work)


def test_what_cannot_be_done_at_all_is_a_failure():
    async def work(setup):
        setup.spawner.fails["place"] = failing("Never.", reason="configuration", final=True)
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.until(lambda: setup.record.state == "failed")
        assert setup.record.cause.message == "Never."

    run(work)


def test_a_step_that_breaks_ends_nothing_else(caplog):
    async def work(setup):
        setup.spawner.fails["place"] = RuntimeError("broken")
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.until(lambda: "looking after a server failed" in caplog.text)
        setup.spawner.fails.clear()
        await setup.ready()

    run(work)


def test_a_record_that_others_wrote_meanwhile_is_read_again():
    async def work(setup):
        setup.spawner.fails["place"] = StaleError()
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.until(lambda: setup.controller.steps > 2)
        setup.spawner.fails.clear()
        await setup.ready()

    run(work)


def test_all_servers_are_looked_at_now_and_then(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.02)

    async def work(setup):
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.ready()
        # Nobody tells of this.
        setup.spawner.there[KEY].clear()
        await setup.until(lambda: setup.record.generation == setup.spawner.generation(KEY, 2))
        await setup.ready(2)

    run(work)


def test_only_the_leader_acts():
    async def work(setup):
        setup.spawner.leads = False
        await setup.servers.spawn(ANN, "default", SPEC)
        await asyncio.sleep(0.05)
        assert (setup.spawner.done, setup.controller.steps) == ([], 0)
        setup.spawner.leads = True
        setup.changed(KEY)
        await setup.ready()

    run(work)


def test_a_replacement_follows_what_was_there():
    async def work(setup):
        await setup.servers.spawn(ANN, "default", SPEC)
        await setup.ready()
        other = Spec(profile="default", requirements=("numpy",), requirements_digest="x")
        with pytest.raises(DifferentError):
            await setup.servers.spawn(ANN, "default", other)
        await setup.servers.spawn(ANN, "default", other, force=True)
        await setup.ready(2)
        assert setup.spawner.done == [("place", 1), ("displace", 1), ("place", 2)]

    run(work)


def test_many_who_spawn_at_once_get_one_server():
    async def work(setup):
        asked = [setup.servers.spawn(ANN, "default", SPEC) for _ in range(20)]
        told = await asyncio.gather(*asked)
        assert sorted(begun for _, begun in told) == [False] * 19 + [True]
        await setup.ready()
        assert setup.spawner.done == [("place", 1)]

    run(work)


def test_several_follow_one_server_and_none_waits_for_another(monkeypatch):
    monkeypatch.setattr(service, "_SILENCE", 1000.0)  # which wakes them anyway

    async def work(setup):
        await setup.servers.spawn(ANN, "default", SPEC)
        states = []

        async def follow():
            async for event in setup.servers.events("ann", "default"):
                if event is not None:
                    states.append(event.state)
                    await asyncio.sleep(0.01)  # so that things happen while it is busy

        followers = [asyncio.create_task(follow()) for _ in range(3)]
        await setup.ready()
        await setup.servers.stop("ann", "default")
        await asyncio.gather(*followers)
        for state in ("requested", "ready", "stopping", "gone"):
            assert states.count(state) == 3, state
        assert setup.servers._followers == {}

    run(work)


def test_what_is_not_there_cannot_be_followed():
    async def work(setup):
        with pytest.raises(NotThereError):
            await anext(setup.servers.events("ann", "none"))
        assert await setup.servers.stop("ann", "none") is None

    run(work)
