"""A large NumPy array there and back."""

import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from rexec_jupyter import connect
from tests.bench.harness import check
from tests.bench.processes import elsewhere, private_backend
from tests.bench.remote import same
from tests.bench.results import Row

NBYTES = 100_000_000


def array(bench):
    """Send an array of 100 MB through a function that returns it."""
    taken, floor, plain = _measure(bench)
    yield _row("array of 100 MB there and back", taken, floor, "floor with CURVE", limit=0.7)
    yield _row("array of 100 MB there and back", taken, plain, "floor in plaintext")


def array_in_chunks(bench):
    """Do the same as if client and server were on two machines: encrypted, in pieces."""
    with patch("rexec_jupyter.core.carrier.can_share", return_value=False):
        taken, floor, _ = _measure(bench)
    yield _row("the same over the wire", taken, floor, "floor with CURVE")


def client_memory(bench):
    """Measure what that costs the client in memory at most."""
    nbytes = NBYTES // 10 if bench.quick else NBYTES
    with private_backend(), elsewhere(_measure_peak, nbytes) as (_, pipe):
        peak = pipe.recv()
    yield Row(
        name="client's peak memory for that array",
        note="ratio to its size",
        ours=peak / 1e6,
        unit="MB",
        ratio=peak / nbytes,
        limit=2.2,
    )


def _row(name, taken, floor, note, limit=None):
    speed = 2 * NBYTES / 1e6
    return Row(
        name=name,
        note=note,
        ours=speed / taken,
        unit="MB/s",
        floor=speed / floor,
        ratio=floor / taken,
        limit=limit,
        at_most=False,
    )


def _measure(bench):
    """Return the seconds we take, and those of both floors: the best of some turns each."""
    sample = np.random.default_rng(3).random(NBYTES // 8)
    content = memoryview(sample).cast("B")
    bench.client.run(same, sample)  # so that the worker has imported NumPy
    turns = [
        (
            _there_and_back(bench.client, sample),
            bench.floor.bulk(content),
            bench.plain_floor.bulk(content),
        )
        for _ in range(1 if bench.quick else 5)
    ]
    return map(min, zip(*turns, strict=True))


def _there_and_back(client, sample):
    began = time.perf_counter()
    back = client.run(same, sample)
    taken = time.perf_counter() - began
    check(np.array_equal(back, sample), "the array came back changed")
    return taken


def _measure_peak(pipe, nbytes):
    with connect("local") as client:
        client.run(same, np.zeros(10))
        before = _peak(reset=True)
        back = client.run(same, np.ones(nbytes // 8))
        peak = _peak()
        check(back.nbytes == nbytes, "the array came back with another size")
        check(bool((back == 1).all()), "the array came back changed")
    pipe.send(peak - before)


def _peak(*, reset=False):
    """Return the most memory this process held since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
