"""Sessions and the cells in line before them: on the embedded backend, with real kernels."""

import concurrent.futures
import threading
import time
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.happenings import StateChange
from tests.backend.brokering import PATIENCE, until

WAIT = """
import time
while not path.exists():
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def client(embedded):
    with rexec.connect("local") as client:
        yield client


@pytest.fixture
def gate(tmp_path):
    """A file for which remote code can wait."""
    return tmp_path / "gate"


@pytest.fixture
def session(client, request):
    """A session of the test's own, which ends with it."""
    session = client.session(request.node.name[:60])
    yield session
    session.stop()


@pytest.fixture
def busy(session, gate):
    """A cell that runs until the gate is open."""
    job = session.submit_cell(WAIT, names={"path": gate}, label="long")
    until(lambda: job.state == "running", "the start", PATIENCE)
    yield job
    gate.touch()


def row(client, name):
    return next((row for row in client.sessions() if row.session == name), None)


# -------------------------------------------------------------------------------- in line


def test_a_cell_tells_how_many_are_before_it(session, busy, gate):
    first = session.submit_cell("1")
    second = session.submit_cell("2", stream=True)
    until(lambda: (first.ahead, second.ahead) == (1, 2), "the places in line")
    first.cancel()
    until(lambda: second.ahead == 1, "the next place")
    gate.touch()
    details = []
    while (happenings := second.take(PATIENCE)) is not None:
        details += [each.detail for each in happenings if isinstance(each, StateChange)]
    assert details[:3] == ["2 cells ahead", "1 cell ahead", ""]
    assert busy.result(PATIENCE)


def test_a_cell_that_shall_not_wait_fails_while_another_runs(session, busy, gate):
    job = session.submit_cell("x = 1", if_busy="fail")
    with pytest.raises(rexec.RexecError, match=busy.id[:8]):
        job.result(PATIENCE)
    gate.touch()
    busy.result(PATIENCE)
    assert session.run_cell("'x' in globals()", value=True, if_busy="fail").value is False


def test_a_cell_that_interrupts_runs_after_the_others_have_ended(session, busy):
    waiting = session.submit_cell("x = 'waited'")
    urgent = session.submit_cell("'x' in globals()", value=True, if_busy="interrupt")
    assert urgent.result(PATIENCE).value is False
    assert (busy.state, waiting.state) == ("cancelled", "cancelled")
    assert (busy.executed, waiting.executed) == (True, False)


def test_fresh_cells_run_beside_the_others_and_leave_nothing(session, busy):
    jobs = [
        session.submit_cell("import os, time; y = 1; os.getpid()", value=True, fresh=True)
        for _ in range(2)
    ]
    pids = {job.result(PATIENCE).value for job in jobs}
    assert len(pids) == 2
    assert busy.state == "running"
    for pid in pids:
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "the end of its process")


def test_a_fresh_cell_can_be_interrupted(session):
    job = session.submit_cell("import time; print('on', flush=True); time.sleep(3600)", fresh=True)
    until(lambda: "on" in job.logs(), "the start", PATIENCE)
    job.interrupt()
    with pytest.raises(KeyboardInterrupt):
        job.result(PATIENCE)


def test_a_hidden_cell_is_not_listed_and_has_no_log(client, session):
    visible = session.submit_cell("print('seen')")
    hidden = session.submit_cell("print('not seen')", hidden=True)
    visible.result(PATIENCE)
    hidden.result(PATIENCE)
    listed = [job.job for job in client.jobs()]
    assert visible.id in listed
    assert hidden.id not in listed
    assert not client.log(hidden.id, session.name).known


def test_a_job_is_found_by_the_beginning_of_its_id_and_by_its_label(client, session):
    job = session.submit_cell("1", label="the only one of this name")
    job.result(PATIENCE)
    assert client.find_job(job.id[:12]).job == job.id
    assert client.find_job("the only one of this name").job == job.id
    with pytest.raises(rexec.RexecError, match="knows no job 'nothing'"):
        client.find_job("nothing")
    with pytest.raises(rexec.RexecError, match="knows no job ''"):
        client.find_job("")
    twins = [session.submit_cell("2", label="twins") for _ in range(2)]
    assert [twin.result(PATIENCE).outputs for twin in twins] == [{}, {}]
    assert client.find_job("twins").job == twins[1].id


@pytest.mark.parametrize("method", ["interrupt", "cancel"])
def test_another_client_can_stop_a_job_without_taking_it_from_who_follows(session, busy, method):
    with rexec.connect("local") as other:
        getattr(other, method)(busy.id, session.name)
        until(lambda: busy.ended, "the end of the job")
    assert busy.state == "cancelled"


# -------------------------------------------------------------------------------- sessions


def test_sessions_are_listed_with_what_they_do(client, session, busy, gate):
    session.submit_cell("1")
    until(lambda: row(client, session.name).queued == 1, "the cell that waits")
    there = row(client, session.name)
    assert (there.state, there.running) == ("busy", busy.id)
    assert there.started_ago >= 0
    assert there.idle_for < 0
    gate.touch()
    until(lambda: row(client, session.name).state == "idle", "the end of the cells")
    there = row(client, session.name)
    assert there.running == ""
    assert there.idle_for >= 0
    assert there.incarnation == busy.incarnation


def test_a_session_that_stops_is_gone_with_its_variables(client, session):
    session.run_cell("x = 1")
    pid = session.run_cell("import os; os.getpid()", value=True).value
    assert session.stop() is True
    assert row(client, session.name) is None
    until(lambda: not Path(f"/proc/{pid}").exists(), "the end of its process")
    assert session.stop() is False
    assert session.run_cell("'x' in globals()", value=True).value is False


def test_stopping_a_session_cancels_its_cells_truthfully(session, busy):
    waiting = session.submit_cell("1")
    assert session.stop()
    concurrent.futures.wait([busy], PATIENCE)
    assert (busy.state, busy.executed) == ("cancelled", True)
    until(lambda: waiting.state == "cancelled", "the end of the cell that waited")
    assert waiting.executed is False


def test_a_session_that_restarts_has_another_interpreter(client, session):
    session.run_cell("x = 1")
    before = row(client, session.name).incarnation
    assert session.restart() is True
    until(
        lambda: (row(client, session.name) or 0) and row(client, session.name).state == "idle",
        "the next interpreter",
        PATIENCE,
    )
    assert row(client, session.name).incarnation > before
    assert session.run_cell("'x' in globals()", value=True).value is False


def test_stopping_one_session_leaves_the_others_alone(client, session):
    other = client.session("bystander")
    other.run_cell("x = 1")
    session.run_cell("x = 2")
    session.stop()
    assert other.run_cell("x", value=True).value == 1
    other.stop()


def test_several_may_stop_a_session_at_once(session):
    session.run_cell("x = 1")
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(session.stop())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(outcomes) == 4
    assert any(outcomes)


def test_a_stuck_cell_does_not_keep_its_session_from_stopping(session):
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    job = session.submit_cell(deaf + "print('on', flush=True)\ntime.sleep(3600)")
    until(lambda: "on" in job.logs(), "the start", PATIENCE)
    began = time.monotonic()
    assert session.stop()
    assert time.monotonic() - began < PATIENCE
    until(lambda: job.state == "cancelled", "the end of the cell")
