"""Calls of functions that do nothing: what rexec itself takes."""

import statistics
import time

from tests.bench.harness import check
from tests.bench.remote import same
from tests.bench.results import Row, quantiles

PIPELINED = 20_000


def latency(bench):
    """Call a function that does nothing, and wait for each result."""
    taken = []
    floor = []
    # In turns: what else happens on the machine meets both alike.
    for _ in range(1 if bench.quick else 5):
        floor += bench.floor.round_trips(bench.count(1000))
        taken += _round_trips(bench.client, bench.count(1000))
    floor_p50, floor_p99 = quantiles(floor)
    p50, p99 = quantiles(taken)
    in_ms = {"unit": "ms"}
    yield Row(
        name="no-op call, p50",
        ours=p50 * 1e3,
        floor=floor_p50 * 1e3,
        ratio=p50 / floor_p50,
        limit=2.0,
        **in_ms,
    )
    yield Row(
        name="no-op call, p99",
        note="ratio to its own p50",
        ours=p99 * 1e3,
        floor=floor_p99 * 1e3,
        ratio=p99 / p50,
        limit=4.0,
        **in_ms,
    )


def pipelined(bench):
    """Submit many calls, then gather the results."""
    count = bench.count(PIPELINED)
    floor = bench.floor.rate(count)
    client = bench.client
    rates = []
    for _ in range(1 if bench.quick else 3):
        began = time.perf_counter()
        jobs = [client.submit(same, number) for number in range(count)]
        results = [job.result() for job in jobs]
        rates.append(count / (time.perf_counter() - began))
        check(results == list(range(count)), "a pipelined call returned another's result")
    rate = statistics.median(rates)
    yield Row(
        name="pipelined calls",
        ours=rate,
        unit="/s",
        floor=floor,
        limit=5000,
        at_most=False,
    )


def mapped(bench):
    """Map a function over many arguments."""
    count = bench.count(PIPELINED)
    began = time.perf_counter()
    results = list(bench.client.map(same, range(count)))
    rate = count / (time.perf_counter() - began)
    check(results == list(range(count)), "map returned wrong results")
    yield Row(name="mapped calls", ours=rate, unit="/s")


def _round_trips(client, count):
    for _ in range(max(count // 10, 1)):
        client.run(same, 0)
    taken = []
    for number in range(count):
        began = time.perf_counter()
        result = client.run(same, number)
        taken.append(time.perf_counter() - began)
        check(result == number, "a call returned another's result")
    return taken
