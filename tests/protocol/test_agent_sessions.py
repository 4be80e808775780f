"""The rules of the agent's machine: cells in line, cells apart, and the end of a session."""

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_server import handoff as h
from tests.protocol.agents import Agent


@pytest.fixture
def agent():
    return Agent().ready()


def ends(agent):
    """Return how jobs ended since last time, by their number."""
    return {message.job: message for message in agent.sent(*p.TERMINAL)}


def begun(agent):
    return [command.job for command in agent.commands(h.RunCell)]


# ------------------------------------------------------------------------------ in line


def test_those_who_wait_are_told_how_many_are_ahead_of_them(agent):
    jobs = [agent.cell() for _ in range(4)]
    assert [m.ahead for m in agent.sent(p.Journaled)] == [0, 1, 2, 3]
    agent.returns(jobs[0], pid=0)
    assert {m.job: m.ahead for m in agent.sent(p.Journaled)} == {jobs[2]: 1, jobs[3]: 2}
    agent.interrupt(jobs[2])
    assert {m.job: m.ahead for m in agent.sent(p.Journaled)} == {jobs[3]: 1}
    agent.attach(jobs[3])
    assert [m.ahead for m in agent.sent(p.Journaled)] == [1]


def test_cells_of_other_sessions_calls_and_hidden_jobs_are_not_ahead(agent):
    agent.cell(session="other")
    agent.submit()
    agent.cell(hidden=True)
    agent.sent()
    agent.cell()
    assert [m.ahead for m in agent.sent(p.Journaled)] == [0]


def test_of_very_many_cells_only_the_first_are_told_of_each_move(agent):
    jobs = [agent.cell() for _ in range(200)]
    agent.sent()
    agent.returns(jobs[0], pid=0)
    assert len(agent.sent(p.Journaled)) == 64
    for job in jobs[1:150]:
        agent.returns(job, pid=0)
    told = {m.job: m.ahead for m in agent.sent(p.Journaled)}
    assert told[jobs[199]] == 49


# ------------------------------------------------------------------------------ if busy


def test_a_cell_that_shall_not_wait_is_refused_while_another_runs_or_waits(agent):
    running = agent.cell(label="long")
    refused = agent.cell(if_busy="fail")
    (nack,) = agent.sent(p.Nack)
    assert (nack.job, nack.code) == (refused, "busy")
    assert running[:8] in nack.message
    assert "long" in nack.message
    agent.returns(running, pid=0)
    assert begun(agent) == [running]
    accepted = agent.cell(if_busy="fail")
    assert begun(agent) == [accepted]


def test_a_refused_cell_stays_refused(agent):
    running = agent.cell()
    refused = agent.cell(if_busy="fail")
    agent.returns(running, pid=0)
    agent.sent()
    agent.cell(if_busy="fail", job=refused)
    (nack,) = agent.sent(p.Nack)
    assert nack.job == refused
    assert begun(agent) == [running]


@pytest.mark.parametrize("other", [{"hidden": True}, {"fresh": True}, {"session": "other"}])
def test_a_session_is_not_busy_with_what_is_not_in_its_line(agent, other):
    agent.cell(**other)
    agent.cell(if_busy="fail")
    assert not agent.sent(p.Nack)


def test_hidden_jobs_take_their_turn(agent):
    cell, hidden = agent.cell(), agent.cell(hidden=True)
    assert begun(agent) == [cell]
    agent.returns(cell, pid=0)
    assert begun(agent) == [hidden]


def test_a_cell_that_interrupts_makes_the_others_go(agent):
    running, waiting, hidden = agent.cell(), agent.cell(), agent.cell(hidden=True)
    agent.sent()
    agent.commands()
    urgent = agent.cell(if_busy="interrupt")
    assert [c.job for c in agent.commands(h.InterruptJob)] == [running]
    assert {job: end.executed for job, end in ends(agent).items()} == {waiting: False}
    agent.manager(h.Interrupted(job=running, traceback=[]))
    assert {job: end.executed for job, end in ends(agent).items()} == {running: True}
    assert begun(agent) == [hidden]
    agent.returns(hidden, pid=0)
    assert begun(agent) == [urgent]


def test_a_cell_that_interrupts_runs_at_once_where_nothing_runs(agent):
    job = agent.cell(if_busy="interrupt")
    assert begun(agent) == [job]
    assert not agent.commands(h.InterruptJob)


# -------------------------------------------------------------------------------- fresh


def test_fresh_cells_wait_for_nobody(agent):
    jobs = [agent.cell(), agent.cell(fresh=True), agent.cell(fresh=True)]
    commands = agent.commands(h.RunCell)
    assert [command.job for command in commands] == jobs
    assert [command.fresh for command in commands] == [False, True, True]
    for job in reversed(jobs):
        agent.returns(job, pid=0)
    assert {type(end) for end in ends(agent).values()} == {p.Done}


def test_so_many_fresh_cells_run_at_once_and_the_others_follow(agent):
    jobs = [agent.cell(fresh=True) for _ in range(10)]
    assert begun(agent) == jobs[:8]
    agent.interrupt(jobs[8])
    agent.returns(jobs[3], pid=0)
    assert begun(agent) == [jobs[9]]


def test_a_fresh_cell_can_be_interrupted_cancelled_and_limited(agent):
    interrupted, cancelled = agent.cell(fresh=True), agent.cell(fresh=True)
    limited = agent.cell(fresh=True, timeout=10.0)
    agent.commands()
    agent.started(limited)
    agent.interrupt(interrupted)
    agent.cancel(cancelled, grace=1.0)
    assert [c.job for c in agent.commands(h.InterruptJob)] == [interrupted, cancelled]
    agent.manager(h.Interrupted(job=interrupted, traceback=[]))
    agent.wait(1.5)
    assert [c.job for c in agent.commands(h.KillJob)] == [cancelled]
    agent.manager(h.CellGone(job=cancelled, signal=9))
    agent.wait(14.0)
    assert [c.job for c in agent.commands(h.KillJob)] == [limited]
    agent.manager(h.CellGone(job=limited, signal=9))
    found = ends(agent)
    assert [type(found[job]) for job in (interrupted, cancelled, limited)] == [
        p.Cancelled,
        p.Cancelled,
        p.TimedOut,
    ]


def test_fresh_cells_end_with_exec(agent):
    job = agent.cell(fresh=True)
    agent.machine.manager_down(agent.now)
    assert isinstance(ends(agent)[job], p.Crashed)
    agent.machine.manager_up(agent.now)
    later = agent.cell(fresh=True)
    assert later in begun(agent)


# ----------------------------------------------------------------------------- sessions


def test_sessions_are_listed_with_what_they_do(agent):
    assert agent.sessions() == []
    agent.kernel("starting", "b")
    running, waiting = agent.cell(session="a"), agent.cell(session="a")
    assert [(s.session, s.state, s.queued) for s in agent.sessions()] == [
        ("a", "starting", 1),
        ("b", "starting", 0),
    ]
    agent.kernel("ready", "a", 7)
    agent.kernel("ready", "b", 8)
    agent.wait(10.0)
    a, b = agent.sessions()
    assert (a.state, a.running, a.queued, a.incarnation) == ("busy", running, 1, 7)
    assert (a.started_ago, a.idle_for) == (10.0, -1.0)
    assert (b.state, b.running, b.queued, b.incarnation) == ("idle", "", 0, 8)
    agent.returns(running, pid=0)
    agent.returns(waiting, pid=0)
    agent.wait(3.0)
    assert agent.sessions()[0].idle_for == 3.0
    agent.kernel("gone", "a")
    assert [s.session for s in agent.sessions()] == ["b"]
    agent.machine.manager_down(agent.now)
    assert agent.sessions() == []


def test_a_hidden_job_does_not_make_a_session_busy(agent):
    agent.kernel("ready")
    hidden = agent.cell(hidden=True)
    agent.cell(hidden=True)
    (row,) = agent.sessions()
    assert (row.state, row.running, row.queued) == ("idle", "", 0)
    agent.returns(hidden, pid=0)
    assert agent.sessions()[0].idle_for == -1.0


def test_a_session_without_an_interpreter_shows_what_waits():
    agent = Agent()
    agent.connect()
    agent.cell()
    (row,) = agent.sessions()
    assert (row.state, row.queued) == ("stopped", 1)


# ------------------------------------------------------------------------------- ending


@pytest.mark.parametrize("restart", [False, True])
def test_the_end_of_a_session_ends_its_cells_truthfully(agent, restart):
    agent.kernel("ready")
    running, waiting, elsewhere = agent.cell(), agent.cell(), agent.cell(session="other")
    agent.started(running)
    agent.commands()
    request = agent.ask(p.EndSession, restart=restart)
    assert agent.commands() == [h.StopKernel(session="default", restart=restart)]
    assert {job: end.executed for job, end in ends(agent).items()} == {waiting: False}
    agent.manager(h.CellGone(job=running, signal=9))
    assert {job: end.executed for job, end in ends(agent).items()} == {running: True}
    assert not agent.sent(p.SessionEnded)
    agent.kernel("gone")
    (answer,) = agent.sent(p.SessionEnded)
    assert (answer.request, answer.existed) == (request, True)
    assert [job.job for job in agent.list() if job.state == "running"] == [elsewhere]


def test_a_cell_that_had_not_begun_when_its_session_ended_did_not_run(agent):
    job = agent.cell()
    agent.ask(p.EndSession)
    agent.manager(h.CellGone(job=job, started=False))
    assert not ends(agent)[job].executed


def test_a_cell_that_came_through_before_its_session_ended_is_done(agent):
    agent.kernel("ready")
    job = agent.cell()
    agent.ask(p.EndSession)
    agent.returns(job, pid=0)
    agent.kernel("gone")
    assert isinstance(ends(agent)[job], p.Done)


def test_a_session_that_is_not_there_has_ended(agent):
    agent.ask(p.EndSession)
    (answer,) = agent.sent(p.SessionEnded)
    assert not answer.existed
    assert agent.commands(h.StopKernel) == []
    agent.ask(p.EndSession, restart=True)
    assert not agent.sent(p.SessionEnded)[0].existed
    assert agent.commands(h.StopKernel) == [h.StopKernel(session="default", restart=True)]


def test_asking_again_does_no_harm(agent):
    agent.kernel("ready")
    request = agent.ask(p.EndSession, restart=True)
    agent.ask(p.EndSession, restart=True, request=request)
    other = agent.ask(p.EndSession)
    assert len(agent.commands(h.StopKernel)) == 1
    agent.kernel("gone")
    assert {m.request for m in agent.sent(p.SessionEnded)} == {request, other}
    agent.kernel("ready", incarnation=2)
    job = agent.cell()
    agent.ask(p.EndSession, restart=True, request=request)
    assert [m.existed for m in agent.sent(p.SessionEnded)] == [True]
    assert agent.commands(h.StopKernel) == []
    agent.returns(job, pid=0)
    assert isinstance(ends(agent)[job], p.Done)


def test_a_restart_asked_for_during_a_stop_follows_it(agent):
    agent.kernel("ready")
    agent.ask(p.EndSession)
    agent.ask(p.EndSession, restart=True)
    assert agent.commands() == [h.StopKernel(session="default")]
    agent.kernel("gone")
    assert agent.commands() == [h.StopKernel(session="default", restart=True)]
    assert len(agent.sent(p.SessionEnded)) == 2


def test_a_cell_submitted_while_its_session_ends_runs_in_the_next_interpreter(agent):
    agent.kernel("ready")
    agent.ask(p.EndSession)
    job = agent.cell()
    assert begun(agent) == []
    agent.kernel("gone")
    assert begun(agent) == [job]


def test_the_end_of_exec_ends_a_session_too(agent):
    agent.kernel("ready")
    job = agent.cell()
    agent.ask(p.EndSession)
    agent.machine.manager_down(agent.now)
    assert [m.existed for m in agent.sent(p.SessionEnded)] == [True]
    later = agent.cell()
    agent.commands()
    agent.machine.manager_up(agent.now)
    assert begun(agent) == [later]
    assert [row.state for row in agent.list() if row.job == job] == ["crashed"]


def test_a_session_that_hangs_goes_on_when_its_interpreter_ended(agent):
    job = agent.cell(timeout=1.0)
    agent.started(job)
    agent.wait(10.0)
    stuck = ends(agent)[job]
    assert stuck.stuck
    agent.ack(job, stuck.seq)
    waiting = agent.cell()
    agent.commands()
    agent.ask(p.EndSession)
    agent.manager(h.CellGone(job=job, signal=9))
    agent.kernel("gone")
    assert isinstance(ends(agent)[waiting], p.Cancelled)
    later = agent.cell()
    assert begun(agent) == [later]


def test_a_cell_that_was_stuck_and_comes_through_after_all_makes_room(agent):
    job = agent.cell(timeout=1.0)
    agent.started(job)
    agent.wait(10.0)
    agent.ack(job, ends(agent)[job].seq)
    waiting = agent.cell()
    agent.commands()
    agent.manager(h.Interrupted(job=job, traceback=[]))
    assert begun(agent) == [waiting]


def test_numbers_that_nobody_gave_are_ignored(agent):
    agent.started(trust.new_id())
    agent.manager(h.CellGone(job=trust.new_id()))
    agent.kernel("gone", "nowhere")
    assert agent.sent() == []
