"""What a deploy API needs to look after many servers."""

import asyncio
import contextlib
import datetime as dt
import time

import httpx

from rexec_deploy_api.records import Record
from rexec_deploy_api.spawner.kubernetes.spawner import KubernetesSpawner
from tests.bench.cluster import starts
from tests.bench.results import Row
from tests.cluster import backend as b
from tests.cluster.kube import get, kubectl, until
from tests.cluster.spawning import chosen, small

EACH = 10
"""Servers of one user."""
AT_ONCE = 8
PATIENCE = 240.0
# No node has this label, so nothing runs: only the deploy API has work with it.
SPEC = small(node_selector={"rexec.dev/nowhere": "true"}, start_timeout=90.0)


def many(site):
    """Have many servers started that find no place, and measure until they are given up."""
    count = site.records
    yield _memory("no records", "VmRSS")
    before = _looks(site)
    began = time.perf_counter()
    asyncio.run(_ask(site, count))
    until(lambda: _seen(site, "scheduling", "failed") >= count, "all are placed", PATIENCE)
    yield Row(name=f"{count} servers placed", ours=time.perf_counter() - began, unit="s")
    yield _per_look("one look, while they are placed", before, _looks(site))
    until(lambda: _seen(site, "failed") >= count, "all are given up", PATIENCE)
    yield _memory(f"{count} records", "VmRSS")
    yield _memory(f"{count} records, at most", "VmHWM")
    kubectl("delete", "pod", "-n", b.NAMESPACE, _pod()["metadata"]["name"])
    until(lambda: _looked_at(site, count), "the next one looked at all", 90)
    yield Row(
        name="deploy API anew",
        note=f"until it looked at {count} records",
        ours=time.time() - _started(_pod()),
        unit="s",
    )
    yield _per_look("one look, at rest", (0, 0), _looks(site))
    yield from starts.among(site, count)


async def _ask(site, count):
    """Write records as the deploy API does when it is asked for servers."""
    salt = site.tickets().salt("kubernetes")
    spawner = await KubernetesSpawner.connect(salt, chosen("rexec"))
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(user, name):
        async with turns:
            now = time.time()
            record = Record(user=user, name=name, spec=SPEC, generation=int(now), created=now)
            await spawner.write(record.entering(now, "requested", "Asked for."))

    try:
        await asyncio.gather(
            *(ask(f"bench-many-{n // EACH}", f"s{n % EACH}") for n in range(count))
        )
    finally:
        await spawner.close()


def _seen(site, *states):
    return sum(site.metric("rexec_deploy_servers", state=each) or 0 for each in states)


def _looks(site):
    """Return how many looks the deploy API took at servers, and the seconds of all."""
    name = "rexec_deploy_step_seconds"
    return site.metric(f"{name}_count"), site.metric(f"{name}_sum")


def _looked_at(site, count):
    with contextlib.suppress(httpx.HTTPError):  # while it starts
        return _looks(site)[0] >= count
    return False


def _per_look(name, before, after):
    (count, seconds), (more, longer) = before, after
    return Row(
        name=name,
        note=f"n={more - count:.0f}",
        ours=1000 * (longer - seconds) / (more - count),
        unit="ms",
    )


def _pod():
    selector = "app.kubernetes.io/component=deploy-api"
    pods = get("pods", namespace=b.NAMESPACE, selector=selector)
    return next(each for each in pods if "deletionTimestamp" not in each["metadata"])


def _started(pod):
    (container,) = pod["status"]["containerStatuses"]
    return dt.datetime.fromisoformat(container["state"]["running"]["startedAt"]).timestamp()


def _memory(name, field):
    """Return resident memory of the deploy API."""
    where = ("-n", b.NAMESPACE, _pod()["metadata"]["name"])
    told = kubectl("exec", *where, "--", "cat", "/proc/1/status")
    line = next(each for each in told.splitlines() if each.startswith(field))
    return Row(name=f"deploy API's memory, {name}", ours=int(line.split()[1]) / 1024, unit="MiB")
