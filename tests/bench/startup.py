"""What a user waits for before anything runs."""

import statistics
import subprocess
import sys
import time

from rexec_jupyter import connect
from tests.bench.processes import elsewhere, private_backend
from tests.bench.remote import same
from tests.bench.results import Row


def ready(bench):
    """Start the embedded backend from nothing, up to the first result of a call."""
    taken = [_ready_time() for _ in range(1 if bench.quick else 5)]
    yield Row(
        name="embedded backend ready",
        note="with its first call",
        ours=statistics.median(taken),
        unit="s",
        limit=1.5,
    )


def importing(bench):
    """Import rexec_jupyter, with the names a script uses."""
    repeats = 2 if bench.quick else 15
    bare = _interpreter_time("pass", repeats)
    package = _interpreter_time("import rexec_jupyter", repeats)
    names = _interpreter_time("from rexec_jupyter import connect", repeats)
    yield Row(name="import rexec_jupyter", ours=package - bare, unit="s", limit=0.15)
    yield Row(name="import rexec_jupyter.connect", ours=names - bare, unit="s", limit=0.15)


def _ready_time():
    with private_backend(), elsewhere(_measure_ready) as (_, pipe):
        return pipe.recv()


def _measure_ready(pipe):
    began = time.perf_counter()
    with connect("local") as client:
        client.run(same, None)
        taken = time.perf_counter() - began
    pipe.send(taken)


def _interpreter_time(code, repeats):
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
