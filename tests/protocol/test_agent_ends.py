"""The rules of the agent's machine: how jobs end that do not just return."""

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_server import handoff as h
from tests.protocol.agents import KEY, MIB, WORKER, Agent, big, large


@pytest.fixture
def agent():
    return Agent().ready()


# ------------------------------------------------------------------------------ stopping


def test_a_job_that_waits_is_withdrawn_and_never_runs():
    agent = Agent(slots=1).ready()
    first, second = agent.submit(), agent.submit()
    agent.sent()
    agent.interrupt(second)
    (cancelled,) = agent.sent()
    assert (cancelled.job, cancelled.executed) == (second, False)
    agent.commands()
    agent.returns(first)
    assert agent.commands() == []


def test_an_interrupt_reaches_the_job_it_is_meant_for(agent):
    job = agent.submit()
    agent.commands()
    agent.interrupt(job)
    ((target, command, _),) = agent.machine.commands()
    assert (target, command.job, command.pid) == (0, job, WORKER)
    agent.worker(h.Interrupted(job=job, traceback=["here"], duration=1.0))
    (cancelled,) = agent.sent(p.Cancelled)
    assert (cancelled.executed, cancelled.traceback) == (True, ["here"])


def test_a_keyboard_interrupt_nobody_asked_for_is_a_failure(agent):
    job = agent.submit()
    agent.worker(h.Interrupted(job=job, traceback=["here"]))
    (failed,) = agent.sent(p.Failed)
    assert failed.error == "KeyboardInterrupt"


def test_code_that_turns_an_interrupt_into_something_else_keeps_its_exception(agent):
    job = agent.submit()
    agent.interrupt(job)
    agent.raises(job)
    assert agent.sent(p.Failed)


def test_cancelling_kills_a_call_that_does_not_react(agent):
    job = agent.submit()
    agent.cancel(job, grace=3.0)
    agent.commands()
    agent.wait(2.9)
    assert agent.commands() == []
    agent.wait(0.2)
    assert [type(command) for command in agent.commands()] == [h.KillJob]
    agent.manager(h.WorkerGone(pid=WORKER, signal=9))
    (cancelled,) = agent.sent(p.Cancelled)
    assert cancelled.executed


def test_cancelling_never_kills_the_kernel_of_a_session(agent):
    job = agent.submit(kind="cell")
    agent.cancel(job, grace=1.0)
    agent.wait(60)
    assert [type(c) for c in agent.commands()] == [h.RunCell, h.InterruptJob]
    agent.manager(h.Interrupted(job=job, traceback=[]))
    assert agent.sent(p.Cancelled)


def test_a_call_that_runs_too_long_is_interrupted_and_then_killed(agent):
    job = agent.submit(timeout=10.0)
    agent.commands()
    agent.wait(10.1)
    assert [type(c) for c in agent.commands()] == [h.InterruptJob]
    agent.wait(5)
    assert [type(c) for c in agent.commands()] == [h.KillJob]
    agent.manager(h.WorkerGone(pid=WORKER, signal=9))
    (event,) = agent.sent(p.TimedOut)
    assert (event.job, event.timeout, event.stuck) == (job, 10.0, False)


def test_a_call_that_reacts_to_its_timeout_keeps_its_worker(agent):
    job = agent.submit(timeout=10.0)
    agent.wait(10.1)
    agent.worker(h.Interrupted(job=job, traceback=["slow"]))
    (event,) = agent.sent(p.TimedOut)
    assert event.traceback == ["slow"]
    agent.commands()
    agent.wait(10)
    assert agent.commands() == []


def test_a_timeout_does_not_count_the_time_in_the_queue():
    agent = Agent(slots=1).ready()
    first = agent.submit()
    second = agent.submit(timeout=10.0)
    agent.wait(100)
    agent.returns(first)
    agent.wait(9)
    agent.returns(second)
    assert {m.job for m in agent.sent(p.Done)} == {first, second}


def test_a_stuck_cell_is_reported_and_the_next_one_waits_for_it(agent):
    job = agent.submit(kind="cell", timeout=10.0)
    agent.manager(h.CellStarted(job=job, incarnation=1))
    agent.wait(15.2)
    (event,) = agent.sent(p.TimedOut)
    assert event.stuck
    agent.commands()
    later = agent.submit(kind="cell")
    assert agent.commands() == []
    agent.manager(h.Interrupted(job=job, traceback=[]))
    assert [command.job for command in agent.commands()] == [later]


# ------------------------------------------------------------------------------- crashes


def test_a_crash_tells_the_signal_and_the_last_lines_and_touches_no_other_job():
    agent = Agent().ready(1, 2)
    one, two = agent.submit(), agent.submit()
    pids = {job: agent.machine._shared.jobs[job].pid for job in (one, two)}
    for n in range(30):
        agent.prints(f"line {n}\n", pid=pids[one])
    agent.manager(h.WorkerGone(pid=pids[one], signal=11))
    (crashed,) = agent.sent(p.Crashed)
    assert (crashed.job, crashed.signal, crashed.exit_code) == (one, 11, 0)
    assert "SIGSEGV" in crashed.reason
    assert crashed.log == [f"line {n}" for n in range(10, 30)]
    agent.returns(two, pid=pids[two])
    assert agent.sent(p.Done)


def test_exec_says_why_in_words_of_its_own(agent):
    job = agent.submit()
    agent.machine.worker_gone(agent.now, WORKER)
    agent.wait(1)
    agent.manager(h.WorkerGone(pid=WORKER, signal=9, oom=True, reason="Out of memory."))
    (crashed,) = agent.sent(p.Crashed)
    assert (crashed.job, crashed.oom, crashed.reason) == (job, True, "Out of memory.")


def test_a_worker_that_vanishes_without_a_reason_is_waited_for_two_seconds(agent):
    agent.submit()
    agent.machine.worker_gone(agent.now, WORKER)
    agent.wait(1.9)
    assert agent.sent(p.Crashed) == []
    agent.wait(0.2)
    assert agent.sent(p.Crashed)


def test_a_worker_that_is_closing_gets_nothing_more_to_do(agent):
    job = agent.submit()
    agent.submit()
    agent.commands()
    agent.machine.worker_gone(agent.now, WORKER)
    agent.returns(job)
    assert agent.commands() == []
    assert agent.sent(p.Done)


def test_a_kernel_that_dies_ends_its_cell_and_the_next_one_runs(agent):
    one, two = agent.submit(kind="cell"), agent.submit(kind="cell")
    agent.manager(h.CellGone(job=one, exit_code=3))
    (crashed,) = agent.sent(p.Crashed)
    assert (crashed.exit_code, "code 3" in crashed.reason) == (3, True)
    assert [command.job for command in agent.commands()] == [one, two]


def test_a_kernel_that_did_not_start_did_not_run_the_cell(agent):
    job = agent.submit(kind="cell")
    agent.manager(h.CellGone(job=job, started=False, reason="no memory"))
    (crashed,) = agent.sent(p.Crashed)
    assert "did not run" in crashed.reason


def test_when_exec_goes_all_that_ran_there_has_crashed(agent):
    agent.submit()
    agent.submit(kind="cell")
    waiting = agent.submit()
    agent.machine.manager_down(agent.now)
    assert len(agent.sent(p.Crashed)) == 2
    agent.commands()
    agent.exec_up(12)
    assert [command.job for command in agent.commands()] == [waiting]


def test_what_is_not_about_the_job_of_that_worker_is_ignored(agent):
    job = agent.submit()
    agent.sent()
    agent.returns("9" * 32)
    agent.returns(job, pid=1)
    agent.manager(h.CellStarted(job=job, incarnation=1))
    assert agent.sent() == []


# ------------------------------------------------------------------------------ restarts


def test_after_a_restart_a_job_that_had_not_started_runs_once():
    agent = Agent()
    agent.connect()
    job = agent.submit(b"code")
    assert agent.sent(p.Journaled)
    agent.restart()
    assert agent.journal.epoch == 2
    agent.ready()
    ((_, command, content),) = agent.machine.commands()
    assert (command.job, bytes(content)) == (job, b"code")
    agent.submit(b"code", job=job)
    agent.returns(job)
    assert agent.commands() == []
    assert agent.sent(p.Done)


@pytest.mark.parametrize("kind", ["call", "cell"])
def test_after_a_restart_a_job_that_had_started_has_crashed(agent, kind):
    job = agent.submit(kind=kind)
    agent.prints("progress\n")
    agent.commands()
    agent.restart()
    agent.ready()
    assert agent.commands() == []
    agent.attach(job)
    (crashed,) = agent.sent(p.Crashed)
    assert "restarted while the code ran" in crashed.reason
    if kind == "call":
        assert crashed.log == ["progress"]


def test_after_a_restart_a_result_nobody_acknowledged_is_delivered(agent):
    job = agent.submit()
    agent.prints("text")
    agent.returns(job, b"42")
    agent.sent()
    agent.restart()
    agent.ready()
    agent.attach(job, seq=2)
    ((_, _), (done, frame)) = agent.parcels()
    assert (done.seq, bytes(frame)) == (3, b"42")
    assert trust.mac_matches(KEY, job, 3, done.payload, done.mac)


def test_after_a_restart_an_acknowledged_job_is_history_and_does_not_run_again(agent):
    job = agent.submit(label="mine")
    agent.returns(job)
    agent.ack(job, 2)
    agent.sent()
    agent.commands()
    agent.machine._shared.journal.flush()
    agent.restart()
    agent.ready()
    agent.submit(job=job)
    assert agent.commands() == []
    (row,) = agent.list()
    assert (row.label, row.state) == ("mine", "done")


def test_after_a_restart_files_without_a_job_are_gone_and_others_stay(agent):
    content = b"c" * MIB
    job = big(agent, content)
    agent.chunk(job, 0, content)
    done = agent.submit()
    agent.sent()
    half = big(agent, b"d" * (2 * MIB))
    agent.chunk(half, 0, b"d" * MIB)
    name = large(agent, MIB, job)
    agent.commands()
    agent.sent()
    assert len(agent.spool.files) == 2
    agent.restart()
    assert list(agent.spool.files) == [name]
    agent.ready()
    agent.attach(job, seq=1, local=True)
    (event,) = agent.sent(p.Done)
    assert event.payload.segment == name
    assert done in agent.machine._shared.jobs


def test_a_journal_that_cannot_be_trusted_starts_nothing_again():
    agent = Agent()
    agent.connect()
    job = agent.submit()
    agent.sent()
    agent.journal.trusted = False
    agent.restart()
    agent.ready()
    assert agent.commands() == []
    agent.attach(job)
    (crashed,) = agent.sent(p.Crashed)
    assert "may have run or not" in crashed.reason


def test_an_end_the_client_cannot_know_comes_after_what_it_does_know(agent):
    job = agent.submit()
    agent.commands()
    agent.prints("a")
    agent.journal.broken = True  # this event is sent, but lost in the restart
    agent.prints("b" * 100_000)
    assert agent.sent(p.Output)[-1].seq == 4
    agent.journal.broken = False
    agent.journal.reopen()
    agent.start()
    agent.ready()
    agent.attach(job, seq=4)
    (crashed,) = agent.sent(p.Crashed)
    assert crashed.seq == 5
