"""What servers take: told on the embedded backend, and by exec itself."""

import itertools
import os
import signal
import sys
import time

import cloudpickle
import psutil
import pytest

import rexec_jupyter as rexec
from rexec_server import handoff as h
from rexec_server.exec.container import Container
from rexec_server.exec.usage import Meter
from tests.backend.brokering import PATIENCE, until
from tests.backend.executing import Agent

cloudpickle.register_pickle_by_value(sys.modules[__name__])

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def client(embedded):
    with rexec.connect("local") as client:
        client.session().run_cell("pass")  # from now on nothing is being started
        assert client.run(abs, -1) == 1
        yield client


def usage(client):
    """Return what the one server takes; exec may be there, or answer, a moment later."""

    def known():
        ((server, usage),) = client.usage(timeout=PATIENCE)
        assert server.state == "ready"
        return usage if usage.known else None

    return until(known, "exec")


def rate(read):
    """Return the processors that are kept busy, seen for half a second."""
    began, before = time.monotonic(), read().cpu
    time.sleep(0.5)
    return (read().cpu - before) / (time.monotonic() - began)


def burn(path):
    """Keep one processor busy, and everybody who wants the interpreter waiting."""
    path.write_text(f"{os.getpid()}\n")
    while path.exists():
        sum(range(100_000))


# ------------------------------------------------------------------- the embedded backend


def test_a_busy_loop_shows_and_its_end_too(client):
    session = client.session("busy")
    session.run_cell("import time")
    before = usage(client).cpu
    session.run_cell("end = time.process_time() + 1\nwhile time.process_time() < end: pass")
    assert 0.9 < usage(client).cpu - before < 1.9
    until(lambda: rate(lambda: usage(client)) < 0.2, "quiet")


def test_a_loop_that_goes_on_keeps_one_processor_busy(client, tmp_path):
    flag = tmp_path / "flag"
    job = client.submit(burn, flag)
    until(lambda: flag.exists() and flag.read_text().endswith("\n"), "the start")
    process = psutil.Process(int(flag.read_text()))

    def spent():
        return sum(process.cpu_times()[:2])

    # It goes on while that is asked.
    began, before, begun = spent(), usage(client).cpu, spent()
    until(lambda: spent() > begun + 1, "the load")
    ending, took, ended = spent(), usage(client).cpu - before, spent()
    assert ending - begun - 0.1 < took < ended - began + 0.4
    flag.unlink()
    job.result(PATIENCE)


def test_an_allocation_shows_and_so_does_its_release(client):
    session = client.session("large")
    session.run_cell("kept = b''")
    before = usage(client).memory
    session.run_cell(f"kept = b'x' * {200 * MIB}")
    assert 195 * MIB < usage(client).memory - before < 230 * MIB
    session.run_cell("del kept")
    assert abs(usage(client).memory - before) < 30 * MIB


def test_it_is_told_while_everything_is_busy(client, tmp_path):
    flags = [tmp_path / str(number) for number in range(len(os.sched_getaffinity(0)))]
    jobs = [client.submit(burn, flag) for flag in flags]
    until(lambda: all(flag.exists() for flag in flags), "the start of all")
    assert usage(client).cpu > 0
    for flag in flags:
        flag.unlink()
    for job in jobs:
        job.result(PATIENCE)


def test_cores_and_the_limit_of_its_own_are_told(fresh):
    fresh.start(memory=600 * MIB)
    with rexec.connect("local") as client:
        told = usage(client)
        assert told.memory_limit == 600 * MIB
        assert 0 < told.cores <= len(os.sched_getaffinity(0))
        assert 0 < told.memory < 600 * MIB


def test_what_ended_counts_as_well(client):
    before = usage(client).cpu
    cell = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {BURN!r}], check=True)"
    client.session("ended").run_cell(cell)
    client.end_session("ended")
    assert usage(client).cpu - before > 0.45


BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_exec_that_does_not_answer_is_not_waited_for(fresh):
    fresh.start()
    with rexec.connect("local") as client:
        assert usage(client).known
        exec_ = fresh.pid("exec")
        os.kill(exec_, signal.SIGSTOP)
        try:
            ((_, told),) = client.usage(timeout=PATIENCE)
            assert not told.known
        finally:
            os.kill(exec_, signal.SIGCONT)
        assert usage(client).known


def test_a_client_that_was_closed_says_so(embedded):
    client = rexec.connect("local")
    client.close()
    with pytest.raises(rexec.ConnectionLostError, match="closed"):
        client.usage()


# ------------------------------------------------------------------------------ exec alone


def test_exec_measures_once_at_a_time_and_goes_on(tmp_path):
    agent = Agent(tmp_path)
    try:
        agent.tell(h.Measure())
        (first,) = agent.wait(lambda: agent.of_type(h.Measured), "the answer")
        agent.run(lambda: [None for _ in range(3_000_000)])
        for _ in range(20):
            agent.tell(h.Measure())
        agent.wait(lambda: len(agent.of_type(h.Measured)) >= 2, "another")
        agent.run(abs, -1)
        told = agent.of_type(h.Measured)
        assert all(before.cpu <= after.cpu for before, after in itertools.pairwise(told))
        assert told[-1].cpu > first.cpu
    finally:
        agent.close()


# ----------------------------------------------------------------------------- containers


@pytest.fixture
def group(tmp_path):
    """A control group of the second version, with limits."""
    (tmp_path / "memory.max").write_text(f"{300 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {100 * MIB}\nfile {90 * MIB}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 7500000\nuser_usec 5000000\n")
    return tmp_path


def test_the_container_of_exec_alone_says_everything(group):
    assert Meter(Container(group, 2), None).measure() == h.Measured(
        cpu=7.5, cores=0.5, memory=100 * MIB, memory_limit=300 * MIB
    )


def test_a_container_that_others_are_in_says_only_how_many_processors_there_are(group):
    told = Meter(Container(group, 2), 0).measure()
    assert (told.cores, told.memory_limit) == (0.5, 0)
    assert told.cpu != 7.5
    assert told.memory != 100 * MIB
    assert Meter(Container(group, 2), MIB).measure().memory_limit == MIB


def test_a_group_without_limits_may_be_that_of_the_machine(group):
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("max 100000\n")
    told = Meter(Container(group, 2), None).measure()
    assert (told.cores, told.memory_limit) == (len(os.sched_getaffinity(0)), 0)
    assert told.cpu != 7.5
    assert told.memory != 100 * MIB


def test_processors_in_control_groups_of_both_versions(group, tmp_path):
    first, cpu, accounting = (tmp_path / name for name in ("memory", "cpu", "cpuacct"))
    for place in (first, cpu, accounting):
        place.mkdir()
    (cpu / "cpu.cfs_quota_us").write_text("150000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (accounting / "cpuacct.usage").write_text("2500000000\n")
    container = Container(first, 1, cpu, accounting)
    assert (container.cores(), container.cpu()) == (1.5, 2.5)
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    assert container.cores() == 0
    assert (Container(group, 2).cores(), Container(group, 2).cpu()) == (0.5, 7.5)
    for nowhere in (Container(first, 1), Container(first, 2)):
        assert (nowhere.cores(), nowhere.cpu()) == (0, None)


def test_processes_are_counted_where_the_container_does_not_count(group):
    (group / "cpu.stat").unlink()
    (group / "memory.stat").unlink()
    told = Meter(Container(group, 2), None).measure()
    assert told.cpu > 0
    assert told.memory > MIB
    assert told.memory_limit == 300 * MIB
