"""The floors themselves, for comparison with other machines and other times."""

from tests.bench.arrays import NBYTES
from tests.bench.results import Row, quantiles


def floor(bench):
    """Measure what ZeroMQ alone takes."""
    content = memoryview(bytes(NBYTES))
    for security, alone in (("CURVE", bench.floor), ("plaintext", bench.plain_floor)):
        p50, p99 = quantiles(alone.round_trips(bench.count(5000)))
        label = f"ZeroMQ alone, {security}: "
        yield Row(name=label + "round trip, p50", ours=p50 * 1e3, unit="ms")
        yield Row(name=label + "round trip, p99", ours=p99 * 1e3, unit="ms")
        yield Row(name=label + "pipelined", ours=alone.rate(bench.count(50_000)), unit="/s")
        yield Row(
            name=label + "100 MB there and back",
            ours=2 * NBYTES / 1e6 / alone.bulk(content),
            unit="MB/s",
        )
