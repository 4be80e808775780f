"""How long users without a server wait, from connecting to the first result of a function."""

import itertools
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import click
import httpx

import rexec_jupyter as rexec
from tests.bench.cluster.site import WARM
from tests.bench.remote import formatted, same
from tests.bench.results import Row
from tests.cluster import backend as b
from tests.cluster.kube import until

PATIENCE = 180.0
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SMALL_ENVIRONMENT = [f"python=={MINOR}", "tabulate==0.9.0", "humanize>=4.12,<5"]


class Start(NamedTuple):
    """One start.

    Attributes
    ----------
    seconds
        Up to the first result.
    phases
        Where they went: up to the request, in each state of the server, and after it was ready.
    """

    seconds: float
    phases: dict[str, float]


def bare(site):
    """Start servers without packages, one after the other."""
    yield _row("start", "no packages", _in_turn(site, "bare", site.repeats), 6)


def environments(site):
    """Start servers with a few packages: a user's first, and the next ones of the same user."""
    new, cached = [], []
    for number in range(site.repeats):
        user = f"bench-packages-{number}"
        for starts in (new, cached, cached):
            starts.append(_start(site, user, formatted, requirements=SMALL_ENVIRONMENT))
            site.ends(user)
    yield _row("start", "cached environment", cached, 6)
    yield _row("start", "new environment", new, 12)


def warm(site):
    """Start servers of a profile that keeps some ready."""
    state = {"profile": WARM["name"], "state": "ready"}
    starts = []
    for number in range(site.repeats):
        until(lambda: site.metric("rexec_deploy_warm", **state) == WARM["warm"], "all are ready")
        starts += _in_turn(site, f"warm-{number}", 1, profile=WARM["name"])
    yield _row("start", "warm pool", starts, 1)


def at_once(site):
    """Start servers for many users who ask in the same moment."""
    users = [f"bench-crowd-{number}" for number in range(site.users)]
    with ThreadPoolExecutor(site.users) as pool:
        starts = list(pool.map(lambda user: _start(site, user), users))
        list(pool.map(site.ends, users))
    yield _row("start", f"{site.users} users at once", starts)


def among(site, count):
    """Start a server where the deploy API has many to look after."""
    yield _row("start", f"among {count}", _in_turn(site, "among", 3))


def _in_turn(site, kind, count, **options):
    starts = []
    for number in range(count):
        user = f"bench-{kind}-{number}"
        starts.append(_start(site, user, **options))
        site.ends(user)
    return starts


def _start(site, user, function=same, **options):
    token = b.token(user)
    began, asked = time.perf_counter(), time.time()
    with rexec.connect(site.endpoint, token=token, timeout=PATIENCE, **options) as client:
        client.submit(function, 1000).result(timeout=PATIENCE)
        seconds = time.perf_counter() - began
    marks = [("before", asked), *_states(site, user), ("", asked + seconds)]
    spans = {state: after - at for (state, at), (_, after) in itertools.pairwise(marks)}
    return Start(seconds, spans)


def _states(site, user):
    """Return the states of a server up to ready, and when each began."""
    headers = {"Authorization": f"Bearer {b.token(user)}"}
    url = f"{site.api}/v1/servers/default/events"
    with httpx.stream("GET", url, headers=headers, timeout=20) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                if event["kind"] == "state":
                    yield event["state"], event["at"]
                if event["state"] == "ready":
                    return


def _row(name, kind, starts, limit=None):
    """Return the 95th percentile; show all, and where the slowest start spent its time."""
    seconds = [start.seconds for start in starts]
    slowest = max(starts, key=lambda start: start.seconds)
    told = ", ".join(f"{name} {spent:.2f}" for name, spent in slowest.phases.items())
    click.echo(f"{name}, {kind}: " + " ".join(f"{each:.2f}" for each in sorted(seconds)))
    click.echo(f"  the slowest: {told}")
    return Row(
        name=f"{name}, {kind}",
        note=f"p95; p50 {statistics.median(seconds):.2f}, n={len(seconds)}",
        ours=statistics.quantiles(seconds, n=20, method="inclusive")[-1],
        unit="s",
        limit=limit,
    )
