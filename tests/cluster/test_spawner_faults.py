"""Whatever is killed, cut or changed by hand, one server results, and it is the right one."""

import asyncio
import contextlib
import json
import time

import pytest

from rexec_deploy_api.records import Key
from rexec_deploy_api.spawner.base import SpawnerError
from rexec_deploy_api.spawner.kubernetes import informer
from rexec_deploy_api.spawner.kubernetes.names import Names
from tests.cluster.kube import delete, kubectl
from tests.cluster.spawning import (
    PATIENCE,
    Door,
    MiB,
    Process,
    killed_starting,
    mortal,
    small,
)

pytestmark = pytest.mark.timeout(600)


def run(work):
    return asyncio.run(work)


def test_the_api_is_killed_after_every_step_of_a_spawn(backend):
    async def attempt(steps):
        user, instance = f"killed after {steps}", f"killed-{steps}"
        async with contextlib.AsyncExitStack() as stack:
            first = Process(backend, instance, cluster=mortal(steps))
            await stack.enter_async_context(first)
            ended = await killed_starting(first, user)
            second = await stack.enter_async_context(Process(backend, instance))
            if second.spawner.record(Key(user, "default")) is None:
                await second.spawn(user)  # it never got its answer, so it asks again
            record = await second.reaches(user, "ready")
            assert len(second.objects("pods", user)) == 1
            assert len(second.objects("secrets", user)) == 1
            assert second.objects("pods", user)[0]["metadata"]["uid"] == record.placed
            await second.ends(user)
            return ended, list(first.cluster.changes)

    async def work():
        results = await asyncio.gather(*(attempt(steps) for steps in range(13)))
        # How many states a server is seen in, and written down, before it is ready differs.
        assert all(ended for ended, _ in results[:10])
        for steps, (ended, changes) in enumerate(results):
            assert len(changes) == steps or (not ended and len(changes) < steps)
        steps = " ".join(results[-1][1])
        for each in (
            "/namespaces/",
            "rolebindings",
            "configmaps",
            "networkpolicies",
            "secrets",
            "pods",
        ):
            assert each in steps

    run(work())


def test_a_pod_that_is_deleted_is_replaced_by_a_new_generation(backend):
    async def work():
        async with Process(backend, "deleted") as process:
            record = await process.spawn("deleted")
            first = await process.reaches("deleted", "ready")
            namespace = process.names.namespace("deleted")
            delete("pods", process.names.placed(first), namespace, wait=False)
            await process.until(
                lambda: process.spawner.record(record.key).generation > first.generation, "replaced"
            )
            second = await process.reaches("deleted", "ready")
            assert second.placed != first.placed
            assert any("ended from outside" in text for text in process.texts("deleted"))
            await process.ends("deleted")

    run(work())


def test_a_pod_that_writes_too_much_is_evicted_and_replaced(backend):
    async def work():
        async with Process(backend, "evicted", scratch=64 * MiB) as process:
            await process.spawn("evicted")
            first = await process.reaches("evicted", "ready")
            namespace, pod = (
                process.names.namespace("evicted"),
                process.names.placed(first),
            )
            kubectl(
                *("exec", "-n", namespace, pod, "-c", "exec", "--"),
                *("/opt/rexec/bin/python", "-c", "open('/tmp/much', 'wb').write(bytes(200 << 20))"),
                check=False,  # it may be evicted before the last byte
            )
            await process.until(
                lambda: process.spawner.record(first.key).generation > first.generation, "evicted"
            )
            told = " ".join(process.texts("evicted"))
            assert "The cluster took its place away" in told
            await process.reaches("evicted", "ready")
            await process.ends("evicted")

    run(work())


def test_the_cluster_is_away_for_half_a_minute(backend):
    async def work():
        async with Door() as door, Process(backend, "away", through=door.port) as process:
            await process.spawn("before")
            ready = await process.reaches("before", "ready")
            door.shut()
            began = time.monotonic()
            with pytest.raises(SpawnerError) as told:
                await process.spawn("during")
            assert told.value.cause.reason == "backend"
            assert not told.value.cause.final
            await process.until(lambda: not process.spawner._pods.current, "it is noticed")
            await asyncio.sleep(30 - (time.monotonic() - began))
            assert process.spawner.record(ready.key).state == "ready"
            door.unlock()
            await process.until(lambda: process.spawner.leads, "it leads again")
            await process.spawn("during")
            after = await process.reaches("during", "ready")
            assert after.placed
            assert process.spawner.record(ready.key).placed == ready.placed
            await asyncio.gather(process.ends("before"), process.ends("during"))

    run(work())


def test_watches_that_are_cut_or_fall_silent_are_begun_anew(backend, monkeypatch):
    async def work():
        async with Door() as door, Process(backend, "cut", through=door.port) as process:
            asking = asyncio.create_task(process.spawn("cut"))
            for _ in range(20):  # again and again while the server starts
                await asyncio.sleep(0.1)
                door.cut()
            with contextlib.suppress(SpawnerError):
                await asking
            await process.spawn("cut")
            record = await process.reaches("cut", "ready")
            monkeypatch.setattr(informer, "SILENCE", 1.0)
            door.cut()  # the next watches are given a second
            await process.until(lambda: process.spawner._pods.current, "it sees again")
            door.stall()
            delete(
                "pods",
                process.names.placed(record),
                process.names.namespace("cut"),
            )
            door.cut()
            door.flow()
            await process.until(
                lambda: process.spawner.record(record.key).generation > record.generation, "noticed"
            )
            await process.reaches("cut", "ready")
            assert len(process.objects("pods", "cut")) == 1
            await process.ends("cut")

    run(work())


@pytest.mark.parametrize("hours", [-5, 5])
def test_another_replica_with_a_wrong_clock_takes_over_and_ends_nothing(backend, hours):
    async def work():
        user, instance = f"skewed {hours}", f"skewed{'-' if hours < 0 else '-p'}{abs(hours)}"
        async with Process(backend, instance) as first:
            await first.spawn(user, small(max_lifetime=8 * 3600, idle_timeout=3600))
            record = await first.reaches(user, "ready")

        def wrong():
            return time.time() + hours * 3600

        async with Process(backend, instance, clock=wrong) as second:
            steps = second.controller.steps
            second.controller.touch(record.key)
            await second.until(lambda: second.controller.steps > steps, "it looks")
            there = await second.reaches(user, "ready")
            assert there.placed == record.placed
            assert there.generation == record.generation
            # A server is replaced by one that counts as newer all the same.
            again = await second.servers.restart(user, "default")
            assert again.generation > record.generation
            await second.until(
                lambda: second.spawner.record(record.key).placed not in ("", record.placed),
                "placed",
            )
            await second.reaches(user, "ready")
            await second.ends(user)

    run(work())


@pytest.mark.parametrize(
    "damage", [{"record": "{"}, {"record": ""}, None, {"record": '{"user": 7}'}]
)
def test_a_record_that_was_damaged_is_made_anew_from_what_runs(backend, damage):
    async def work():
        async with Process(backend, "damaged") as process:
            record = await process.spawn("damaged")
            first = await process.reaches("damaged", "ready")
            names = process.names
            patch = json.dumps([{"op": "replace", "path": "/data", "value": damage or {}}])
            kubectl(
                *("patch", "configmap", names.record(record.key), "-n", names.namespace("damaged")),
                *("--type=json", "-p", patch),
            )
            await process.until(
                lambda: any("was damaged" in text for text in process.texts("damaged")), "noticed"
            )
            there = await process.reaches("damaged", "ready")
            assert (there.placed, there.spec) == (first.placed, first.spec)
            await process.ends("damaged")

    run(work())


def test_a_record_that_was_damaged_when_nothing_runs_can_be_started_again(backend):
    async def work():
        async with Process(backend, "wrecked") as process:
            record = await process.spawn(
                "wrecked", small(image="rexec-none:missing", start_timeout=3)
            )
            await process.reaches("wrecked", "failed")
            await process.until(lambda: not process.spawner.observe(record.key), "nothing runs")
            names = process.names
            kubectl(
                *("patch", "configmap", names.record(record.key), "-n", names.namespace("wrecked")),
                *("--type=merge", "-p", '{"data": {"record": "nonsense"}}'),
            )
            await process.until(
                lambda: "damaged" in process.spawner.record(record.key).cause.message, "noticed"
            )
            await process.spawn("wrecked")
            await process.reaches("wrecked", "ready")
            await process.ends("wrecked")

    run(work())


def test_a_record_that_is_deleted_takes_its_server_along(backend):
    async def work():
        async with Process(backend, "erased") as process:
            record = await process.spawn("erased")
            first = await process.reaches("erased", "ready")
            names = process.names
            delete("configmap", names.record(record.key), names.namespace("erased"))
            await process.until(lambda: not process.spawner.keys(), "the record is gone")
            await process.until(lambda: not process.objects("pods", "erased"), "the pod goes")
            await process.until(lambda: not process.objects("secrets", "erased"), "the secret goes")
            again = await process.spawn("erased")
            assert again.generation > first.generation
            await process.reaches("erased", "ready")
            await process.ends("erased")

    run(work())


def test_two_replicas_have_one_leader_and_either_may_be_asked(backend):
    async def work():
        async with Process(backend, "pair") as first:
            second = Process(backend, "pair")
            entering = asyncio.create_task(second.__aenter__())
            await first.until(lambda: hasattr(second, "tasks"), "the second runs")
            await first.until(lambda: second.spawner.ready, "the second sees")
            await first.until(
                lambda: first.spawner.leads and not second.spawner.leads, "the first leads"
            )
            results = await asyncio.gather(*(each.spawn("pair") for each in (first, second) * 5))
            assert len({record.created for record in results}) == 1
            await first.reaches("pair", "ready")
            assert len(first.objects("pods", "pair")) == 1
            first.spawner._election._cluster = None  # it cannot renew any more, as if it hung
            await asyncio.wait_for(entering, PATIENCE)
            assert second.spawner.leads
            assert not first.spawner.leads
            await second.ends("pair")
            await second.__aexit__()

    run(work())


def test_users_whose_names_collide_are_kept_apart(backend, monkeypatch):
    async def work():
        async with Process(backend, "collide") as process:
            await asyncio.gather(process.spawn("a.b@x"), process.spawn("a-b@x"))
            found = {process.names.namespace(user) for user in ("a.b@x", "a-b@x")}
            assert len(found) == 2
            await process.reaches("a-b@x", "ready")
            mine = await process.reaches("a.b@x", "ready")
            # Even if two hashes were the same: the namespace says whose it is.
            monkeypatch.setattr(Names, "namespace", lambda *_: min(found))
            with pytest.raises(SpawnerError):
                await process.spawn("third@x")
            monkeypatch.undo()
            assert process.spawner.record(mine.key).state == "ready"
            await asyncio.gather(process.ends("a.b@x"), process.ends("a-b@x"))

    run(work())
