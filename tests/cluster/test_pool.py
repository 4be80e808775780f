"""Servers that are kept ready on the real cluster: given away once, whatever is killed."""

import asyncio
import contextlib

import pytest

import rexec_jupyter as rexec
from rexec_deploy_api.pool import Stock
from rexec_deploy_api.records import Key
from tests.cluster import backend as b
from tests.cluster.kube import delete, until
from tests.cluster.spawning import Process, killed_starting, mortal, small

pytestmark = pytest.mark.timeout(600)


def stocks(number, **changes):
    return {"small": Stock(small(**changes), number)}


def idle(process, number=1):
    """Return the records of those that are ready for anybody, if there are that many."""
    found = [record for record in process.pool._idle() if record.state == "ready"]
    return found if len(found) >= number else None


async def all_end(process, *users):
    """End servers, and the pool with them."""
    process.pool._stocks = {}
    await asyncio.gather(*(process.ends(user) for user in users))
    await process.until(lambda: not process.spawner.keys(), "nothing is left")


def pods(process):
    """Return the ids of all pods that were not told to end."""
    return {pod.seen.id for pod in process.spawner._pods.objects.values() if pod.seen.leaving < 0}


def test_it_becomes_somebodys_without_a_new_pod_and_ends_with_their_server(backend):
    async def work():
        async with Process(backend, "pool", stocks=stocks(1)) as process:
            (kept,) = await process.until(lambda: idle(process), "one is ready")
            there = pods(process)
            await process.spawn("pool ann")
            record = await process.reaches("pool ann", "ready")
            assert (record.borrowed, {record.placed}) == (kept.key, there)
            assert not process.objects("pods", "pool ann")
            (after,) = await process.until(lambda: idle(process), "another one is ready")
            assert after.key != kept.key
            await process.ends("pool ann")
            await process.until(lambda: process.spawner.record(kept.key) is None, "its record")
            left = pods(process)
            assert not left & there
            await all_end(process)

    asyncio.run(work())


def test_whoever_loses_its_pod_gets_one_of_their_own(backend):
    async def work():
        async with Process(backend, "pool-lost", stocks=stocks(1)) as process:
            await process.until(lambda: idle(process), "one is ready")
            await process.spawn("pool eve")
            first = await process.reaches("pool eve", "ready")
            lender = process.spawner.record(first.borrowed)
            where = process.names.namespace(lender.user)
            delete("pods", process.names.placed(lender), where, wait=False)
            await process.until(
                lambda: process.spawner.record(first.key).generation > first.generation, "replaced"
            )
            second = await process.reaches("pool eve", "ready")
            assert second.borrowed is None
            assert len(process.objects("pods", "pool eve")) == 1
            await all_end(process, "pool eve")

    asyncio.run(work())


def test_many_at_once_never_share_one(backend):
    async def work():
        users = [f"pool crowd {number}" for number in range(5)]
        async with Process(backend, "pool-crowd", stocks=stocks(2)) as process:
            await process.until(lambda: idle(process, 2), "two are ready")
            await asyncio.gather(*map(process.spawn, users))
            records = await asyncio.gather(*(process.reaches(user, "ready") for user in users))
            assert len({record.placed for record in records}) == len(users)
            assert sum(record.borrowed is not None for record in records) >= 2
            await all_end(process, *users)

    asyncio.run(work())


def test_the_api_is_killed_after_every_step_of_giving_one_away(backend):
    async def attempt(steps):
        user, instance = f"pool killed {steps}", f"pool-killed-{steps}"
        async with contextlib.AsyncExitStack() as stack:
            first = Process(backend, instance, cluster=mortal(10_000), stocks=stocks(1))
            await stack.enter_async_context(first)
            await first.until(lambda: idle(first), "one is ready")
            first.cluster.left = steps
            ended = await killed_starting(first, user)
            second = await stack.enter_async_context(Process(backend, instance))
            if second.spawner.record(Key(user, "default")) is None:
                await second.spawn(user)
            await second.reaches(user, "ready")
            # What was claimed for nobody ends, and no pool is kept any more.
            await second.until(lambda: len(pods(second)) == 1, "one pod is left")
            await second.ends(user)
            await second.until(lambda: not second.spawner.keys(), "nothing is left")
            return ended

    async def work():
        ended = await asyncio.gather(*(attempt(steps) for steps in range(8)))
        assert all(ended[:4])

    asyncio.run(work())


def test_who_gets_one_over_http_runs_code_there_at_once(backend):
    wanted = 'rexec_deploy_warm{profile="kept",state="ready"} 1.0'
    # Whichever is asked for a server has to know of it.
    until(lambda: all(wanted in told for told in backend.everywhere("/metrics")), "one is ready")
    with rexec.connect(
        backend.endpoint, token=b.token("pool http"), timeout=60, profile="kept"
    ) as client:
        assert client.run(pow, 2, 10) == 1024
    assert not backend.pods("pool http")
    backend.ends("pool http")
