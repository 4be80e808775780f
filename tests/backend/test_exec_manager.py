"""The exec manager and the lives of its processes."""

import contextlib
import os
import signal
import sys
import time

import cloudpickle
import psutil
import pytest

from rexec_server import handoff as h
from rexec_server.exec.container import Container
from rexec_server.exec.memory import OomCounter, Watchdog
from rexec_server.exec.processes import Ending
from tests.backend.executing import DEADLINE, Agent, eventually, gone
from tests.places import short_directory
from tests.processes import command

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:
        handoff = stack.enter_context(short_directory())

        def start_agent(*arguments, workers=1):
            agent = Agent(handoff, *arguments, workers=workers)
            stack.callback(agent.close)
            return agent

        yield start_agent


def busy(agent):
    """Have a call and a cell run that each started a process of their own."""
    source = "import subprocess, time; subprocess.Popen(['sleep', '1000']); print(1)"
    call = agent.call(lambda: exec(f"{source}; time.sleep(1000)"))
    cell = agent.cell(f"{source}; time.sleep(1000)")
    agent.wait(lambda: agent.shown(cell), "the cell's output")
    agent.wait(lambda: agent.text(call), "the call's output")
    return call, cell


def test_the_hello_tells_who_the_manager_is(start):
    agent = start(workers=2)
    agent.wait(lambda: len(agent.of_type(h.WorkerHello)) == 2, "both workers")
    (hello,) = agent.of_type(h.ManagerHello)
    assert hello.pid == agent.process.pid
    assert hello.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert hello.workers == 2


def test_nothing_is_left_when_the_manager_is_killed(start):
    agent = start()
    busy(agent)
    pids = [process.pid for process in agent.processes()]
    assert len(pids) >= 6
    agent.process.kill()
    agent.process.wait()
    for pid in pids:
        eventually(lambda pid=pid: gone(pid), "its end")


def test_sigterm_ends_everything_in_good_order(start):
    agent = start()
    busy(agent)
    pids = [process.pid for process in agent.processes()]
    agent.process.terminate()
    assert agent.process.wait(DEADLINE) == 0
    for pid in pids:
        eventually(lambda pid=pid: gone(pid), "its end")
    assert not (agent.handoff / "kernels").exists()


def test_when_the_agent_is_gone_everything_starts_anew_for_the_next(start):
    agent = start()
    job = agent.cell("x = 1")
    agent.answer(job)
    busy(agent)
    (hello,) = agent.of_type(h.ManagerHello)
    processes = agent.processes()[1:]
    own = psutil.Process(agent.process.pid).children()
    guard = [process.pid for process in own if "exec" in command(process)]
    agent.disconnect()
    for process in processes:
        if process.pid not in guard:
            eventually(lambda pid=process.pid: gone(pid), "its end")
    following = Agent.beside(agent)
    try:
        assert following.run(os.getpid) not in [process.pid for process in processes]
        again = following.cell("x")
        assert following.answer(again).error == "NameError"
        (former,), (started,) = agent.of(job, h.CellStarted), following.of(again, h.CellStarted)
        assert started.incarnation > former.incarnation
        assert following.of_type(h.ManagerHello) == [hello]
    finally:
        following.disconnect()


def test_a_worker_can_be_killed_for_its_job_and_for_no_other(start):
    agent = start()
    first = agent.call(os.getpid)
    pid = agent.value(first)
    second = agent.call(lambda: [print("on"), time.sleep(1000)])
    agent.wait(lambda: agent.text(second), "the start")
    agent.tell(h.KillJob(job=first, pid=pid))
    agent.tell(h.KillJob(job=second, pid=pid + 100_000))
    agent.tell(h.KillJob(job=second, pid=pid))
    ended = agent.wait(lambda: agent.of_type(h.WorkerGone), "its end")
    assert [(gone.pid, gone.signal) for gone in ended] == [(pid, signal.SIGKILL)]
    third = agent.call(os.getpid)
    following = agent.value(third)
    assert following != pid
    agent.tell(h.KillJob(job=third, pid=following))
    assert agent.run(os.getpid) == following


def test_what_a_worker_started_ends_with_it(start):
    agent = start()

    def leave():
        import subprocess

        print(subprocess.Popen(["sleep", "1000"]).pid)
        os._exit(0)

    job = agent.call(leave)
    agent.wait(lambda: agent.of_type(h.WorkerGone), "its end")
    child = int(agent.wait(lambda: agent.text(job)))
    eventually(lambda: gone(child), "its child's end")


def hoard():
    kept = []
    while True:
        kept.append(b"x" * 2**20)


def test_a_worker_that_takes_too_much_memory_is_killed_and_the_reason_told(start):
    agent = start("--memory", str(400 * 2**20))
    other = agent.cell("import time; time.sleep(1000)")
    agent.wait(lambda: agent.of(other, h.CellStarted), "the cell")
    job = agent.call(hoard)
    pid = agent.worker_of(job)
    (ended,) = agent.wait(lambda: agent.of_type(h.WorkerGone), "its end")
    assert (ended.pid, ended.signal, ended.oom) == (pid, signal.SIGKILL, True)
    assert "out of memory" in ended.reason
    assert "of 400 MiB" in ended.reason
    assert agent.run(os.getpid) != pid
    assert not agent.of(other, h.CellGone)


def test_a_kernel_that_takes_too_much_memory_is_killed_and_the_reason_told(start):
    agent = start("--memory", str(400 * 2**20))
    job = agent.cell("kept = []\nwhile True: kept.append(b'x' * 2**20)")
    ended = agent.answer(job)
    assert isinstance(ended, h.CellGone)
    assert (ended.started, ended.oom, ended.signal) == (True, True, signal.SIGKILL)
    assert "of 400 MiB" in ended.reason


def test_memory_that_children_take_counts_and_shared_memory_counts_once(start):
    agent = start()
    pid = agent.run(os.getpid)

    def fork(count):
        kept = b"x" * (100 * 2**20)
        for _ in range(count):
            if os.fork() == 0:
                time.sleep(1000)
        print(len(kept), flush=True)
        time.sleep(1000)

    job = agent.call(fork, 4)
    agent.wait(lambda: agent.text(job), "its children")
    assert Watchdog(400 * 2**20).victim([pid]) is None
    leader, reason = Watchdog(100 * 2**20).victim([pid, os.getppid()])
    assert leader in (pid, os.getppid())
    assert "out of memory" in reason


def test_an_oom_kill_of_the_system_is_seen_once(tmp_path):
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 1\noom_kill 2\n")
    counter = OomCounter(Container(tmp_path, 2))
    assert not counter.advanced()
    events.write_text("low 0\noom 1\noom_kill 3\n")
    assert counter.advanced()
    assert not counter.advanced()
    events.unlink()
    assert not counter.advanced()


def test_an_ending_reads_well():
    assert str(Ending.of(3)) == "it exited with code 3"
    assert str(Ending.of(-11)) == "it was ended by SIGSEGV (a crash in native code)"
    assert str(Ending.of(-40)) == "it was ended by signal 40"


def test_kernels_listen_on_no_network_port(start):
    agent = start()
    agent.answer(agent.cell("1"))
    assert (agent.handoff / "kernels").stat().st_mode & 0o777 == 0o700
    for process in agent.processes():
        assert process.net_connections("inet") == []


def test_an_agent_that_does_not_read_costs_the_manager_no_memory(start, tmp_path):
    agent = start(workers=0)
    agent.answer(agent.cell("n = 0"))
    manager = psutil.Process(agent.process.pid)
    before = manager.memory_info().rss
    agent.hold()
    progress = tmp_path / "progress"
    source = "while True:\n    print('x' * 10_000)\n    n += 1\n    path.write_text(str(n))"
    job = agent.cell(source, {"path": progress})
    eventually(progress.exists)
    seen = []

    def stands_still():
        seen.append(progress.read_text())
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    eventually(stands_still, "the cell to wait")
    assert manager.memory_info().rss - before < 64 * 2**20
    agent.tell(h.InterruptJob(job=job, session="default"))
    agent.release()
    assert isinstance(agent.answer(job), h.Interrupted)
    printed = agent.cell_values(agent.cell("n", value=True)).value
    assert len(agent.shown(job)[0][1]) // 10_001 >= printed


def test_the_options_are_shown_with_their_variables():
    import subprocess

    command = [sys.executable, "-m", "rexec_server", "exec", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("HANDOFF", "WORKERS", "MEMORY", "DIRECTORY"):
        assert f"REXEC_SERVER_{name}" in text
