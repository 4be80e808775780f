"""What a notebook sees: a real kernel with rexec loaded, and its frontend."""

import os
import statistics
import threading
import time
from contextlib import contextmanager

from rexec_jupyter import connect
from rexec_jupyter.core.happenings import TextOutput
from tests.bench.harness import check
from tests.bench.processes import private_backend
from tests.bench.results import Row, quantiles
from tests.notebook.kernel import running_kernel

NAMES = 200
PRINTED = 10_000_000
"""Bytes a second that a cell prints."""
LINE, LINES = "a line of a log that is long, as they are in the logs of simulations\n", 1000
"""What it prints, and how many of them at once."""
MESSAGES, BYTES, WINDOW = 1000, 1_000_000, 3.0
"""What Jupyter Server lets through to the browser: a second, on average of so many seconds."""

_TRIVIAL = "x = 1"
# Things of the kinds that a notebook holds, other ones each time.
_MAKE = f"""
import random as _random
for _number in range({NAMES}):
    globals()[f"name{{_number}}"] = [
        _random.random(),
        str(_random.random()),
        [_random.random() for _ in range(10)],
        {{str(key): _random.random() for key in range(10)}},
    ][_number % 4]
"""
_READ = f"count = len([{', '.join(f'name{number}' for number in range(NAMES))}])"
_PRINT = """
import sys, time
text = {line!r} * {lines}
began = time.monotonic()
for number in range({rounds}):
    sys.stdout.write(text)
    time.sleep(max(0.0, began + number * len(text) / {rate} - time.monotonic()))
printed = {rounds} * len(text) / (time.monotonic() - began)
"""


def trivial_cell(bench):
    """Run a cell that does nothing, here and remotely in turns."""
    with _notebook() as kernel:
        pairs = _in_turns(kernel, bench.count(200), _TRIVIAL, _remotely(_TRIVIAL))
        check(kernel.value("%rx x + 1") == "2", "the cell did not run remotely")
    here, there = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield Row(
        name="%%rexec adds to a trivial cell",
        note="floor: ipykernel alone",
        ours=(there - here) * 1e3,
        unit="ms",
        floor=here * 1e3,
        limit=25,
    )


def capture(bench):
    """Run a cell that reads many names: all new ones, and again when none has changed."""
    new, again, trivial = [], [], []
    with _notebook() as kernel:
        for _ in range(3 if bench.quick else 20):
            kernel.run(_MAKE)
            trivial.append(_time(kernel, _remotely(_TRIVIAL)))
            new.append(_time(kernel, _remotely(_READ)))
            again.append(_time(kernel, _remotely(_READ)))
        check(kernel.value("%rx count") == str(NAMES), "names did not arrive")
    alone = statistics.median(trivial)
    for name, times in (("new", new), ("unchanged", again)):
        yield Row(
            name=f"capture of {NAMES} names, {name}",
            note="over a trivial %%rexec cell",
            ours=(statistics.median(times) - alone) * 1e3,
            unit="ms",
            limit=30,
        )


def flood(bench):
    """Print 10 MB/s remotely; watch what reaches the browser, and whether the kernel answers."""
    seconds = 0.5 if bench.quick else 6
    rounds = int(seconds * PRINTED / (LINES * len(LINE)))
    with _notebook() as kernel:
        code = _PRINT.format(line=LINE, lines=LINES, rounds=rounds, rate=PRINTED)
        cell = kernel.start(f"%%rexec -n flood\n{code}")
        with _control_requests(kernel) as latencies:
            messages = _shown(kernel, cell)
        check(not cell.error, f"the cell that prints failed: {cell.error}")
        printed = float(kernel.value("%rx printed"))
        with connect("local", start=False) as client:
            _check_log(client, client.find_job("flood"), rounds * LINES * len(LINE))
        stop = _stop_time(kernel)
    check(messages, "nothing of what was printed was shown")
    name = "10 MB/s of prints: "
    yield Row(name=name + "printed", ours=printed / 1e6, unit="MB/s", limit=9.5, at_most=False)
    count = _most(messages, lambda _: 1)
    yield Row(name=name + "messages to the browser", ours=count, unit="/s", limit=MESSAGES)
    nbytes = _most(messages, lambda size: size)
    yield Row(name=name + "bytes to the browser", ours=nbytes / 1e3, unit="kB/s", limit=BYTES / 1e3)
    p50, p99 = quantiles(latencies)
    yield Row(
        name=name + "kernel answers meanwhile, p99",
        note=f"p50 {p50 * 1e3:.1f} ms",
        ours=p99 * 1e3,
        unit="ms",
        limit=100,
    )
    yield Row(name=name + "stop button works within", ours=stop * 1e3, unit="ms", limit=1000)


# ------------------------------------------------------------------------------ details


@contextmanager
def _notebook():
    with private_backend(), running_kernel(**os.environ) as kernel:
        loaded = kernel.run("%load_ext rexec_jupyter")
        check(not loaded.error, loaded.traceback)
        first = kernel.run("%%rexec\npass", timeout=60)
        check(not first.error, first.traceback)
        yield kernel


def _remotely(code):
    return f"%%rexec\n{code}"


def _in_turns(kernel, count, *cells):
    """Time cells, one after the other: what else happens on the machine meets all alike."""
    return [[_time(kernel, code) for code in cells] for _ in range(count)]


def _time(kernel, code):
    """Return the seconds from the request until the frontend sees that the kernel is idle."""
    began = time.perf_counter()
    cell = kernel.run(code, timeout=60)
    taken = time.perf_counter() - began
    check(not cell.error, cell.traceback)
    return taken


def _shown(kernel, cell):
    """Return when each message of a running cell arrived, and its size in characters."""
    messages = []

    def ended():
        seen = len(cell.messages)
        messages.extend(
            (time.monotonic(), len(content.get("text", "") or str(content)))
            for _, content in cell.messages[len(messages) : seen]
        )
        return cell.ended

    kernel.read_until(ended, 120, cell)
    return messages


def _check_log(client, info, nbytes):
    """Check that all that was printed can be read again."""
    reader = client.log(info.job, info.session)
    logged = 0
    while not reader.ended:
        logged += sum(len(each.text) for each in reader.read(10) if isinstance(each, TextOutput))
    check(logged == nbytes, f"the log has {logged:,} of {nbytes:,} bytes printed")


def _most(messages, worth):
    """Return the most that came within a window, a second."""
    most = 0
    for start, _ in messages:
        inside = (size for at, size in messages if start <= at < start + WINDOW)
        most = max(most, sum(map(worth, inside)))
    return most / WINDOW


@contextmanager
def _control_requests(kernel):
    """Ask the kernel something all the time; give the seconds it took to answer."""
    latencies = []
    over = threading.Event()
    channel, session = kernel.client.control_channel, kernel.client.session

    def ask():
        while not over.wait(0.05):
            began = time.perf_counter()
            channel.send(session.msg("kernel_info_request"))
            channel.get_msg(timeout=30)
            latencies.append(time.perf_counter() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield latencies
    finally:
        over.set()
        thread.join()
    check(latencies, "the kernel answered nothing")


def _stop_time(kernel):
    """Press stop while a cell prints without end; return the seconds until it has ended."""
    cell = kernel.start("%%rexec\nwhile True:\n    print('and so it goes on, line after line')")
    cell.wait_for("and so it goes on", timeout=60)
    began = time.perf_counter()
    kernel.interrupt()
    cell.wait(60)
    taken = time.perf_counter() - began
    check(cell.error.startswith("KeyboardInterrupt"), f"it did not stop but {cell.error!r}")
    return taken
