"""Whether the broker's memory stays flat."""

import os
import signal
import statistics
import time

from rexec_jupyter import connect
from tests.bench.harness import check
from tests.bench.processes import broker_process, elsewhere, resident
from tests.bench.remote import print_forever, same
from tests.bench.results import Row

FLAT = 1.1
"""Ratio of the memory at the end to that at the start up to which it counts as flat."""


def calls(bench):
    """Watch the broker over 100 000 calls."""
    count = bench.count(100_000)
    bench.client  # noqa: B018 - starts the backend
    broker = broker_process()
    seen = []
    for _ in range(10):
        _many_calls(bench.client, count // 10)
        seen.append(resident(broker))
    # What is under way at the moment goes up and down; what stays is in the medians.
    before, after = statistics.median(seen[:4]), statistics.median(seen[-4:])
    yield _row(f"broker's memory over {count:,} calls", before, after)


def stopped_reader(bench):
    """Watch the broker while a job prints without end and its client has stopped reading."""
    bench.client  # noqa: B018 - starts the backend
    broker = broker_process()
    with elsewhere(_read_forever) as (process, pipe):
        pipe.recv()
        os.kill(process.pid, signal.SIGSTOP)
        before = resident(broker)
        peak = before
        deadline = time.monotonic() + (1 if bench.quick else 20)
        while time.monotonic() < deadline:
            time.sleep(0.2)
            peak = max(peak, resident(broker))
        bench.client.run(same, None)  # others are served
        os.kill(process.pid, signal.SIGCONT)
        pipe.send("end")
        check(pipe.recv() == "interrupted", "the job that printed did not end")
    yield _row("broker's memory, reader stopped", before, peak)


def _row(name, before, after):
    return Row(
        name=name,
        note="ratio to its start",
        ours=after / 1e6,
        unit="MB",
        ratio=after / before,
        limit=FLAT,
    )


def _many_calls(client, count):
    for job in [client.submit(same, None) for _ in range(count)]:
        job.result()


def _read_forever(pipe):
    with connect("local") as client:
        job = client.submit(print_forever, stream=True)
        job.take(timeout=30)
        pipe.send("printing")
        pipe.recv()
        job.interrupt()
        while job.take(timeout=30) is not None:
            pass
    pipe.send("interrupted")
