"""Kernels that come and go: what is told of them, stopping them, and kernels for one cell."""

import asyncio
import signal

import psutil
import pytest

from rexec_server import handoff as h
from rexec_server.exec.cells import Session
from tests.backend.executing import Agent, eventually, gone


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=0)
    yield agent
    agent.close()


def states(agent, session):
    return [(m.state, m.incarnation) for m in agent.of_type(h.KernelState) if m.session == session]


def kernel_of(agent, session, **options):
    job = agent.cell("import os; os.getpid()", session=session, value=True, **options)
    return agent.cell_values(job).value


def incarnation(agent, job):
    return agent.of(job, h.CellStarted)[0].incarnation


def stop(agent, session, *, restart=False):
    before = len([state for state, _ in states(agent, session) if state == "gone"])
    agent.tell(h.StopKernel(session=session, restart=restart))
    agent.wait(
        lambda: len([s for s, _ in states(agent, session) if s == "gone"]) > before, "its end"
    )


def test_a_kernel_is_told_as_it_comes_and_goes(agent):
    job = agent.cell("import os, signal; x = 1", session="told")
    agent.answer(job)
    number = incarnation(agent, job)
    assert number > 0
    assert states(agent, "told") == [("starting", 0), ("ready", number)]
    agent.answer(agent.cell("os.kill(os.getpid(), signal.SIGKILL)", session="told"))
    agent.wait(lambda: len(states(agent, "told")) == 3, "its end")
    assert states(agent, "told")[2] == ("gone", number)


def test_the_default_session_is_started_ahead_and_told(agent):
    agent.wait(lambda: len(states(agent, "default")) == 2, "the default session")
    assert [state for state, _ in states(agent, "default")] == ["starting", "ready"]


def test_a_stopped_kernel_is_gone_and_another_comes_with_the_next_cell(agent):
    pid = kernel_of(agent, "stopped")
    stop(agent, "stopped")
    eventually(lambda: gone(pid))
    assert [state for state, _ in states(agent, "stopped")] == ["starting", "ready", "gone"]
    assert agent.answer(agent.cell("os", session="stopped")).error == "NameError"


def test_a_restarted_kernel_is_replaced_at_once(agent):
    first = kernel_of(agent, "restarted")
    stop(agent, "restarted", restart=True)
    agent.wait(lambda: len(states(agent, "restarted")) == 5, "the next kernel")
    told = states(agent, "restarted")
    assert [state for state, _ in told] == ["starting", "ready", "gone", "starting", "ready"]
    assert told[4][1] > told[1][1] == told[2][1]
    assert kernel_of(agent, "restarted") != first
    assert len(states(agent, "restarted")) == 5


def test_stopping_what_does_not_run_is_answered(agent):
    stop(agent, "never")
    assert states(agent, "never") == [("gone", 0)]
    stop(agent, "never", restart=True)
    agent.wait(lambda: len(states(agent, "never")) == 4, "the kernel")
    assert [state for state, _ in states(agent, "never")] == ["gone", "gone", "starting", "ready"]


@pytest.mark.parametrize(("restart", "verb"), [(False, "stopped"), (True, "restarted")])
def test_a_cell_under_way_ends_with_its_kernel(agent, restart, verb):
    session = f"busy-{verb}"
    job = agent.cell("print('on')\nwhile True: pass", session=session)
    agent.wait(lambda: agent.shown(job), "its output")
    stop(agent, session, restart=restart)
    ended = agent.answer(job)
    assert isinstance(ended, h.CellGone)
    assert ended.started
    assert ended.signal == signal.SIGKILL
    assert ended.reason == f"the session was {verb}"
    order = [
        m
        for m in agent.of_type((h.CellGone, h.KernelState))
        if m == ended or getattr(m, "session", "") == session
    ]
    assert order.index(ended) == 2  # after starting and ready, before gone
    following = agent.cell("1", session=session, value=True)
    assert agent.cell_values(following).value == 1
    assert incarnation(agent, following) > incarnation(agent, job)


def test_a_session_can_be_stopped_while_it_starts(agent):
    with agent.stopped():
        job = agent.cell("print('ran')", session="early")
        agent.tell(h.StopKernel(session="early"))
    agent.wait(lambda: ("gone", 0) in states(agent, "early"), "its end")
    ended = agent.answer(job)
    assert isinstance(ended, h.CellGone)
    assert not ended.started
    assert agent.shown(job) == []
    assert states(agent, "early") == [("starting", 0), ("gone", 0)]


def test_a_cell_sent_after_a_stop_runs_in_the_next_kernel(agent):
    first = kernel_of(agent, "next")
    agent.tell(h.StopKernel(session="next"))
    assert kernel_of(agent, "next") != first
    agent.tell(h.StopKernel(session="next", restart=True))
    agent.tell(h.StopKernel(session="next"))
    last = kernel_of(agent, "next")
    assert last != first
    assert kernel_of(agent, "next") == last


# --------------------------------------------------------------------- kernels for one cell


def test_a_fresh_kernel_knows_nothing_of_the_session_and_ends_with_its_cell(agent):
    agent.answer(agent.cell("x = 1", session="s"))
    before = len(states(agent, "s"))
    job = agent.cell("'x' in globals()", session="s", fresh=True, value=True)
    assert agent.cell_values(job).value is False
    assert incarnation(agent, job) == 0
    pid = kernel_of(agent, "s", fresh=True)
    eventually(lambda: gone(pid))
    assert agent.answer(agent.cell("os", session="s")).error == "NameError"
    assert len(states(agent, "s")) == before


def test_a_fresh_kernel_runs_beside_the_busy_session(agent):
    busy = agent.cell("print('on')\nwhile True: pass", session="s")
    agent.wait(lambda: agent.shown(busy), "its output")
    jobs = [
        agent.cell(f"print('fresh {i}'); out = {i}", session="s", fresh=True, outputs=["out"])
        for i in range(2)
    ]
    for i, job in enumerate(jobs):
        assert agent.cell_values(job).outputs == {"out": i}
        assert agent.shown(job) == [("stdout", f"fresh {i}\n")]
    agent.tell(h.InterruptJob(job=busy, session="s"))
    assert isinstance(agent.answer(busy), h.Interrupted)


def test_a_fresh_kernel_is_interrupted_and_killed_by_its_job(agent):
    jobs = [
        agent.cell("import time; print('on'); time.sleep(1000)", session="s", fresh=True)
        for _ in range(2)
    ]
    for job in jobs:
        agent.wait(lambda job=job: agent.shown(job), "its output")
    agent.tell(h.InterruptJob(job=jobs[0], session="s"))
    assert isinstance(agent.answer(jobs[0]), h.Interrupted)
    assert not agent.of(jobs[1], h.CellGone)
    agent.tell(h.KillJob(job=jobs[1], session="s"))
    ended = agent.answer(jobs[1])
    assert isinstance(ended, h.CellGone)
    assert ended.signal == signal.SIGKILL


def test_a_fresh_cell_whose_kernel_still_starts_can_be_withdrawn(agent):
    with agent.stopped():
        job = agent.cell("print('ran')", session="s", fresh=True)
        agent.tell(h.InterruptJob(job=job, session="s"))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert agent.shown(job) == []
    eventually(lambda: len(kernels(agent)) <= running(agent))


def test_a_fresh_kernel_that_ends_on_its_own_is_told_once(agent):
    job = agent.cell("import os; os._exit(3)", session="s", fresh=True)
    ended = agent.answer(job)
    assert (ended.exit_code, ended.started) == (3, True)
    eventually(lambda: len(kernels(agent)) <= running(agent))
    assert len(agent.of(job, h.CellGone)) == 1


def kernels(agent):
    found = []
    for process in psutil.Process(agent.process.pid).children(recursive=True):
        try:
            if "rexec_server.exec.kernel" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def running(agent):
    """How many sessions have a kernel, as far as was told."""
    latest = {message.session: message.state for message in agent.of_type(h.KernelState)}
    return sum(state != "gone" for state in latest.values())


def test_fresh_kernels_end_with_the_agent(tmp_path):
    agent = Agent(tmp_path, "--directory", "/", workers=0)
    job = agent.cell("import os; print(os.getpid(), flush=True)\nwhile True: pass", fresh=True)
    agent.wait(lambda: agent.shown(job), "its output")
    pid = int(agent.shown(job)[0][1])
    agent.disconnect()
    eventually(lambda: gone(pid))
    other = Agent.beside(agent)
    try:
        following = other.cell("1", fresh=True, value=True)
        assert other.cell_values(following).value == 1
    finally:
        other.close()


class QuickKernel:
    """A kernel whose text overtakes what it says of the cell: it comes another way."""

    pid = 0

    def __init__(self, session):
        self.session = session
        self.ran = asyncio.Event()

    async def start(self):
        self.session.ready()

    def run(self, cell, *_):
        self.session.wrote("stdout", b"x" * 300_000)
        self.session.said(h.CellStarted(job=cell.job, incarnation=0), b"")
        self.session.wrote("stdout", b"y")
        self.ran.set()


def test_text_that_overtakes_the_start_of_its_cell_is_not_cut():
    told = []

    async def run():
        session = Session(
            "quick", QuickKernel, lambda message, text=b"": told.append((message, text)), None
        )
        where = h.Where(sizes=[0])
        session.run(h.RunCell(job="a" * 32, session="quick", where=where, digest=b""), b"")
        async with asyncio.timeout(60):
            await session.kernel.ran.wait()

    asyncio.run(run())
    outputs = [text for message, text in told if isinstance(message, h.CellOutput)]
    assert b"".join(outputs) == b"x" * 300_000 + b"y"
