"""Agent and exec as two containers of a pod: signals, files, memory, and ends of all kinds."""

import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path

import cloudpickle
import psutil
import pytest

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from rexec_server.exec.container import Container
from rexec_server.exec.memory import Watchdog
from rexec_server.trace import Trace, why_gone
from tests.backend.agenting import Site
from tests.backend.brokering import PATIENCE, until
from tests.backend.executing import Agent, eventually, gone, is_stopped
from tests.processes import command

cloudpickle.register_pickle_by_value(sys.modules[__name__])

MIB = 1024 * 1024
GROUPS = Path("/sys/fs/cgroup/memory")
root = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces and control groups")
grouped = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(GROUPS / "memory.limit_in_bytes", os.W_OK),
    reason="makes a control group of version 1",
)


@pytest.fixture
def site(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(*arguments, exec_=(), prefix=()):
            site = Site(tmp_path, *arguments)
            site.exec.command = [*prefix, *site.exec.command, *exec_]
            stack.callback(site.stop)
            return site

        yield make


def wait_for(flag):
    while not Path(flag).exists():
        time.sleep(0.01)
    return "waited"


def running(site, function, *args, **fields):
    """Submit a call and wait until it runs."""
    job = site.submit(function, *args, **fields)
    site.await_(p.Started, job)
    return job


# ------------------------------------------------------------------------ signs of the agent


def test_the_ready_file_is_there_while_the_broker_has_welcomed_the_agent(site, tmp_path):
    ready = tmp_path / "ready"
    ready.write_text("of one that was killed")
    site = site("--ready-file", ready)
    site.start_agent()
    eventually(ready.exists, "the file")
    site.restart_broker()
    eventually(lambda: not ready.exists(), "its end")
    site.await_(p.ServerHello)
    eventually(ready.exists, "the file again")
    site.agent.stop()
    assert not ready.exists()


def test_the_ready_file_waits_for_the_broker(tmp_path, site):
    ready, alive = tmp_path / "ready", tmp_path / "alive"
    ready.write_text("")
    site = site("--ready-file", ready, "--liveness-file", alive)
    site.socket.close(linger=0)
    site.agent.start()
    eventually(alive.exists, "the sign of life")
    assert not ready.exists()


def test_the_liveness_file_is_touched_again_and_again(site, tmp_path):
    alive = tmp_path / "alive"
    site = site("--liveness-file", alive)
    site.start_agent()
    eventually(alive.exists, "the file")
    before = alive.stat().st_mtime_ns
    eventually(lambda: alive.stat().st_mtime_ns > before, "the next touch")
    site.agent.process.send_signal(signal.SIGSTOP)
    eventually(lambda: is_stopped(site.agent.process.pid), "its standstill")
    before = alive.stat().st_mtime_ns
    time.sleep(2.5)  # nothing is to happen
    assert alive.stat().st_mtime_ns == before
    site.agent.process.send_signal(signal.SIGCONT)
    eventually(lambda: alive.stat().st_mtime_ns > before, "the next touch")


def test_files_that_cannot_be_written_do_not_matter(site, tmp_path):
    site = site("--ready-file", tmp_path / "no" / "ready", "--liveness-file", tmp_path / "no" / "x")
    site.start()
    job = site.submit(int)
    assert isinstance(site.events(job)[-1][0], p.Done)
    told = site.agent.log.read_text
    until(lambda: told().count("cannot be written") >= 2, "the complaints")
    assert told().count("cannot be written") == 2


# --------------------------------------------------------------------------- the pod's end


def test_a_job_that_runs_gets_its_grace_when_both_are_told_to_end(site, tmp_path):
    site = site("--drain-grace", "1000", exec_=("--drain-grace", "1000")).start()
    job = running(site, wait_for, str(tmp_path / "flag"))
    for part in (site.exec, site.agent):
        part.process.send_signal(signal.SIGTERM)
    site.await_(p.Drain)
    (tmp_path / "flag").touch()
    done, _ = site.await_(p.TERMINAL, job)
    assert isinstance(done, p.Done)
    site.say(p.Ack(job=job, session="default", seq=done.seq, credit=0))
    assert site.agent.process.wait(PATIENCE) == 0
    assert site.exec.process.wait(PATIENCE) == 0


def test_exec_ends_when_its_grace_is_over(site, tmp_path):
    site = site(exec_=("--drain-grace", "0.5")).start()
    job = running(site, wait_for, str(tmp_path / "never"))
    site.exec.process.send_signal(signal.SIGTERM)
    assert site.exec.process.wait(PATIENCE) == 0
    crashed = site.events(job)[-1][0]
    assert isinstance(crashed, p.Crashed)
    assert crashed.reason == "The process that runs the user's code (exec) was stopped."
    assert not crashed.oom


def test_a_second_signal_ends_exec_at_once(site, tmp_path):
    site = site(exec_=("--drain-grace", "1000")).start()
    running(site, wait_for, str(tmp_path / "never"))
    site.exec.process.send_signal(signal.SIGTERM)
    # Two that have not arrived yet are one.
    until(lambda: not awaits(site.exec.process.pid, signal.SIGTERM), "the first one's arrival")
    time.sleep(0.5)  # it is not to end
    assert site.exec.process.poll() is None
    site.exec.process.send_signal(signal.SIGTERM)
    assert site.exec.process.wait(PATIENCE) == 0


def awaits(pid, number):
    """Tell whether a signal has not come to a process yet."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return any(int(told[name], 16) & 1 << number - 1 for name in ("SigPnd", "ShdPnd"))


def test_exec_without_an_agent_ends_at_once(tmp_path):
    (tmp_path / "handoff").mkdir()
    agent = Agent(tmp_path / "handoff", "--drain-grace", "1000")
    try:
        agent.wait(agent.manager, "the manager")
        agent.disconnect()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(PATIENCE) == 0
    finally:
        agent.close()


# -------------------------------------------------------------------- a process namespace


@pytest.fixture
def contained(tmp_path, monkeypatch):
    """Start exec as the first process of a namespace; it ends with the test."""
    handoff = tmp_path / "handoff"
    handoff.mkdir()
    monkeypatch.setattr(
        "tests.backend.executing.sys.executable",
        str(script(tmp_path, f'exec unshare --pid --fork --kill-child {sys.executable} "$@"')),
    )
    agents = []

    def start(*arguments):
        agents.append(Agent(handoff, *arguments))
        return agents[-1]

    yield start
    for agent in agents:
        with contextlib.suppress(psutil.NoSuchProcess):
            first(agent).terminate()  # unshare does not pass it on
        agent.close()


def script(place, line):
    file = place / "python"
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o700)
    return file


def first(agent):
    """Return the process that is the first one in the namespace."""
    processes = psutil.Process(agent.process.pid).children()
    return processes[0] if processes else psutil.Process(agent.process.pid)


def orphan():
    """Leave a process behind that nobody waits for."""
    if os.fork() == 0:
        if os.fork() == 0:
            os.execlp("true", "true")
        os._exit(0)
    os.wait()
    return os.getpid()


@root
def test_exec_in_a_namespace_of_its_own(contained):
    agent = contained()
    agent.wait(agent.manager, "the manager")
    (hello,) = agent.of_type(h.ManagerHello)
    assert hello.pid < 10  # its number there
    assert agent.run(os.getpid) < 20
    job = agent.cell("import os; print(os.getpid() < 50)")
    agent.answer(job)
    assert agent.shown(job) == [("stdout", "True\n")]


@root
def test_the_first_process_waits_for_orphans(contained):
    agent = contained()
    for _ in range(3):
        agent.run(orphan)
    children = first(agent).children
    eventually(lambda: not any(is_zombie(child) for child in children(True)), "their end")


def is_zombie(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@root
def test_the_first_process_passes_signals_on(contained):
    agent = contained()
    agent.wait(agent.manager, "the manager")
    process = first(agent)
    process.send_signal(signal.SIGTERM)
    assert agent.process.wait(PATIENCE) == 0


@root
def test_exec_that_is_killed_is_started_again(contained):
    agent = contained()
    pid = agent.run(os.getpid)
    job = agent.call(time.sleep, 1000)
    (manager,) = [child for child in first(agent).children() if "exec" in command(child)]
    below = manager.children(recursive=True)
    time.sleep(2)  # else it would be taken for one that cannot start
    manager.kill()
    for process in below:
        eventually(lambda process=process: gone(process.pid), "its end")
    agent.wait(lambda: len(agent.of_type(h.ManagerHello)) == 2, "the next one")
    assert agent.run(os.getpid) != pid
    assert not agent.of(job, h.Returned)


@root
def test_everything_in_the_namespace_ends_with_its_first_process(contained):
    agent = contained()
    agent.call(time.sleep, 1000)
    process = first(agent)
    pids = [child.pid for child in process.children(recursive=True)]
    process.kill()
    for pid in pids:
        eventually(lambda pid=pid: gone(pid), "its end")
    agent.process.wait(PATIENCE)


# ------------------------------------------------------------------------------- memory

numbers = itertools.count()


@pytest.fixture
def group():
    """A control group of 300 MiB, without swap."""
    place = GROUPS / f"rexec-test-{os.getpid()}-{next(numbers)}"
    place.mkdir()
    (place / "memory.limit_in_bytes").write_text(str(300 * MIB))
    yield place
    for pid in (place / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: removed(place), "its emptiness")


def removed(group):
    try:
        group.rmdir()
    except OSError:
        return False  # the last of its processes is going
    return True


@pytest.fixture
def limited(group, tmp_path, monkeypatch):
    """Make commands of Python run in that group."""
    line = f'echo $$ > {group}/cgroup.procs && exec {sys.executable} "$@"'
    return str(script(tmp_path, line))


def hoard(nbytes, flag=""):
    kept = bytearray()
    while len(kept) < nbytes:
        kept += b"x" * MIB
    print("hoarded", flush=True)
    if flag:
        wait_for(flag)
    return len(kept)


def grab(nbytes):
    """Take memory faster than anybody looks."""
    kept = b"x" * nbytes
    time.sleep(1000)
    return kept


@grouped
def test_the_limit_of_the_container_is_heeded(limited, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.backend.executing.sys.executable", limited)
    (tmp_path / "handoff").mkdir()
    agent = Agent(tmp_path / "handoff")
    try:
        agent.call(hoard, 400 * MIB)
        (ended,) = agent.wait(lambda: agent.of_type(h.WorkerGone), "its end")
        assert (ended.signal, ended.oom) == (signal.SIGKILL, True)
        assert "out of memory" in ended.reason
        assert agent.run(os.getpid) != ended.pid
    finally:
        agent.close()


@grouped
@pytest.mark.parametrize("kind", ["call", "cell"])
def test_a_process_that_the_system_kills_is_told_as_out_of_memory(
    limited, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr("tests.backend.executing.sys.executable", limited)
    (tmp_path / "handoff").mkdir()
    agent = Agent(tmp_path / "handoff", "--memory", "0")
    try:
        if kind == "call":
            agent.call(grab, 400 * MIB)
            (ended,) = agent.wait(lambda: agent.of_type(h.WorkerGone), "its end")
        else:
            ended = agent.answer(agent.cell(f"kept = b'x' * {400 * MIB}"))
        assert (ended.signal, ended.oom) == (signal.SIGKILL, True)
        assert ended.reason == "the system was out of memory"
        assert agent.run(os.getpid)
    finally:
        agent.close()


@grouped
def test_the_agent_tells_when_all_of_exec_ran_out_of_memory(limited, site, tmp_path):
    site = site()
    site.exec.command[0] = limited
    site.start()
    job = running(site, hoard, 200 * MIB, str(tmp_path / "never"))
    site.await_(p.Output, job)
    trace = site.handoff / "exec.memory"
    until(lambda: int.from_bytes(trace.read_bytes()[:8], "little") > 245 * MIB, "a look at it")
    site.exec.kill()  # as the system does with a whole container
    crashed = site.events(job)[-1][0]
    assert isinstance(crashed, p.Crashed)
    assert crashed.oom
    assert "most likely because it ran out of memory" in crashed.reason
    assert "of 300 MiB" in crashed.reason
    assert crashed.log[-1] == "hoarded"
    site.exec.start()  # as the kubelet does
    again = site.submit(hoard, MIB)
    assert isinstance(site.events(again)[-1][0], p.Done)


def test_the_agent_says_so_when_it_does_not_know(site, tmp_path):
    site = site().start()
    job = running(site, wait_for, str(tmp_path / "never"))
    cell = site.submit_cell("import time; time.sleep(1000)")
    site.await_(p.Started, cell)
    site.exec.kill()
    ends = [site.await_(p.TERMINAL)[0] for _ in range(2)]
    assert {end.job for end in ends} == {job, cell}
    for end in ends:
        assert isinstance(end, p.Crashed)
        assert not end.oom
        assert "It may have run out of memory" in end.reason
    site.exec.start()
    again = site.submit(int)
    assert isinstance(site.events(again)[-1][0], p.Done)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 16, b"\xff" * 15 + b"\x01", bytes(16)])
def test_a_trace_that_makes_no_sense_is_no_trace(tmp_path, content):
    (tmp_path / "exec.memory").write_bytes(content)
    reason, oom = why_gone(tmp_path)
    assert reason.startswith("The process that runs the user's code (exec) ")
    assert not oom


def test_a_trace_is_overwritten(tmp_path):
    trace = Trace(tmp_path)
    trace.note(90, 100)
    assert why_gone(tmp_path)[1]
    trace.stopping()
    assert "was stopped" in why_gone(tmp_path)[0]
    Trace(tmp_path)
    assert "may have run out" in why_gone(tmp_path)[0]


def test_control_groups_of_both_versions(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    for place in (first, second):
        place.mkdir()
    (first / "memory.limit_in_bytes").write_text(f"{300 * MIB}\n")
    (first / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (first / "memory.stat").write_text("total_rss 5\ntotal_shmem 2\ntotal_cache 100\n")
    (second / "memory.max").write_text(f"{300 * MIB}\n")
    (second / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (second / "memory.stat").write_text("anon 4\nshmem 2\npagetables 1\nfile 100\n")
    for place, version in ((first, 1), (second, 2)):
        container = Container(place, version)
        assert (container.limit(), container.taken(), container.kills()) == (300 * MIB, 7, 2)
    (second / "memory.max").write_text("max\n")
    (first / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert Container(first, 1).limit() == Container(second, 2).limit() == 0
    assert Container(tmp_path, 2).kills() == 0


def test_what_the_container_says_counts(tmp_path):
    (tmp_path / "memory.stat").write_text(f"anon {99 * MIB}\n")
    watchdog = Watchdog(100 * MIB, Container(tmp_path, 2))
    pid, reason = watchdog.victim([os.getpid()])
    assert pid == os.getpid()
    assert "all processes together 99 MiB of 100 MiB" in reason
    (tmp_path / "memory.stat").write_text(f"anon {50 * MIB}\nfile {80 * MIB}\n")
    assert watchdog.victim([os.getpid()]) is None
