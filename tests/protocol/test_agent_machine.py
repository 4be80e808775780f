"""The rules of the agent's machine: connection, submissions, scheduling, the list."""

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_server import handoff as h
from rexec_server.agent.job import Limits
from tests.protocol.agents import EPOCH, KEY, MIB, WORKER, Agent, big, payload


@pytest.fixture
def agent():
    return Agent().ready()


# ---------------------------------------------------------------------------- connection


def test_a_connection_begins_with_a_hello_that_names_the_journal():
    agent = Agent()
    agent.machine.connected(agent.now)
    (hello,) = agent.sent()
    assert isinstance(hello, p.ServerHello)
    assert (hello.journal, hello.epoch, hello.slots) == (agent.journal.id, 1, 2)
    assert (hello.exchange, hello.machine) == ("/exchange", "machine")


def test_a_hello_without_an_answer_is_said_again_less_and_less_often():
    agent = Agent()
    agent.machine.connected(agent.now)
    agent.sent()
    agent.wait(9.9)
    assert len(agent.sent(p.ServerHello)) == 2  # after 2 and after 6 seconds


def test_a_heartbeat_every_five_seconds_tells_what_goes_on(agent):
    agent.submit()
    agent.submit()
    agent.sent()
    agent.wait(16)
    beats = agent.sent(p.Heartbeat)
    assert [(beat.running, beat.queued) for beat in beats] == [(1, 1)] * 3


def test_a_broker_that_does_not_know_the_agent_gets_another_hello(agent):
    agent.wait(1)
    agent.say(p.Resync())
    assert agent.sent(p.ServerHello)


def test_many_resyncs_at_once_cost_one_hello(agent):
    agent.wait(1)
    for _ in range(10):
        agent.say(p.Resync())
    assert len(agent.sent(p.ServerHello)) == 1


def test_another_epoch_in_a_heartbeat_means_another_hello(agent):
    agent.wait(1)
    agent.say(p.Heartbeat(epoch=EPOCH))
    assert not agent.sent(p.ServerHello)
    agent.say(p.Heartbeat(epoch="f" * 32))
    assert agent.sent(p.ServerHello)


def test_the_python_of_exec_counts_and_not_that_of_the_agent(agent):
    agent.machine.manager_up(agent.now, "3.13")
    (hello,) = agent.sent(p.ServerHello)
    assert hello.python == "3.13"
    agent.submit(python="3.13.1")
    assert agent.sent(p.Journaled)


def test_a_certificate_that_expires_is_shown_again_in_time():
    agent = Agent()
    agent.machine.connected(agent.now)
    agent.say(p.Welcome(version=1, epoch=EPOCH, user="ann", expires_in=100.0))
    agent.sent()
    agent.wait(51)
    assert agent.sent(p.ServerHello)


def test_a_broker_that_is_silent_for_fifteen_seconds_is_noticed(agent):
    assert not agent.machine.silent(agent.now + 14)
    assert agent.machine.silent(agent.now + 15)


def test_nothing_of_a_job_is_sent_before_the_broker_welcomes(agent):
    job = agent.submit()
    agent.machine.disconnected(agent.now)
    agent.machine.connected(agent.now)
    agent.returns(job)
    assert [type(message) for message in agent.sent()] == [p.ServerHello]


# --------------------------------------------------------------------------- submissions


def test_a_call_is_journaled_started_run_and_its_result_authenticated(agent):
    job = agent.submit(b"code", label="sum")
    assert [type(message) for message in agent.sent()] == [p.Journaled, p.Started]
    ((target, command, content),) = agent.machine.commands()
    assert (target, command.job, bytes(content)) == (WORKER, job, b"code")
    agent.returns(job, b"42")
    ((done, frame),) = agent.parcels()
    assert isinstance(done, p.Done)
    assert (done.seq, bytes(frame), done.duration) == (2, b"42", 0.5)
    assert trust.mac_matches(KEY, job, 2, done.payload, done.mac)


def test_a_submission_sent_twice_runs_once_and_is_answered_twice(agent):
    job = agent.submit()
    agent.sent()
    agent.submit(job=job)
    assert [type(message) for message in agent.sent()] == [p.Journaled, p.Started]
    assert len(agent.commands(h.RunCall)) == 1


def test_a_late_copy_of_a_submission_whose_end_was_acknowledged_does_nothing(agent):
    job = agent.submit()
    agent.returns(job)
    agent.ack(job, 2)
    agent.sent()
    agent.commands()
    agent.submit(job=job)
    assert agent.sent() == []
    assert agent.commands() == []


def test_another_payload_under_a_known_number_is_a_conflict(agent):
    job = agent.submit(b"one")
    agent.sent()
    agent.submit(b"two", job=job)
    (nack,) = agent.sent()
    assert (nack.job, nack.code) == (job, "conflict")


def test_a_job_for_another_journal_is_refused(agent):
    agent.submit(journal="0" * 32)
    (nack,) = agent.sent()
    assert nack.code == "journal"


def test_a_call_of_another_python_is_refused_with_both_versions_and_the_fix(agent):
    agent.submit(python="3.12.1")
    (nack,) = agent.sent()
    assert nack.code == "R12"
    for words in ("3.12", "3.11", "Start the server with Python 3.12"):
        assert words in nack.message


@pytest.mark.parametrize("fields", [{"python": "3.11.2"}, {"python": ""}, {"kind": "cell"}])
def test_what_any_python_of_the_same_minor_pickled_and_cells_are_taken(agent, fields):
    fields = {"python": "3.12"} | fields if fields.get("kind") else fields
    agent.submit(**fields)
    assert agent.sent(p.Journaled)


def test_a_damaged_payload_is_refused(agent):
    agent.submit(payload=payload(b"good"), content=b"evil")
    agent.submit(payload=payload(b"good"), content=b"longer than it says")
    assert [nack.code for nack in agent.sent()] == ["corrupt", "corrupt"]


def test_a_full_spool_refuses_new_jobs_and_keeps_the_others():
    agent = Agent(limits=Limits(spool=1000)).ready()
    job = agent.submit(b"x" * 600)
    agent.submit(b"y" * 600)
    assert [nack.code for nack in agent.sent(p.Nack)] == ["full"]
    agent.returns(job, b"r" * 5000)
    assert agent.sent(p.Done)


def test_a_full_disk_refuses_new_jobs_and_keeps_the_others(agent):
    job = agent.submit()
    agent.journal.full = True
    agent.submit()
    (nack,) = agent.sent(p.Nack)
    assert (nack.code, nack.message) == ("full", "the server's disk is full")
    agent.prints("left out\n")
    agent.returns(job)
    kinds = [(type(m), m.seq) for m in agent.sent()]
    assert kinds == [(p.Output, 2), (p.Done, 3)]  # the output is a note


def test_nothing_is_confirmed_or_started_that_the_disk_does_not_take(agent):
    agent.journal.broken = True
    agent.submit()
    assert agent.sent(p.Journaled) == []
    assert agent.commands() == []
    agent.journal.broken = False
    assert agent.commands(h.RunCall)


# ----------------------------------------------------------------------------- transfers


def test_a_chunked_payload_is_pulled_checked_and_handed_over_as_a_file(agent):
    content = bytes(range(256)) * 40 * 1024  # 10 MiB
    job = big(agent, content)
    (pull,) = agent.sent()
    assert (pull.seq, pull.received, pull.rewind) == (0, 0, True)
    for offset in range(0, len(content), MIB):
        agent.chunk(job, offset, content[offset : offset + MIB])
    sent = agent.sent()
    assert [m.received for m in sent if isinstance(m, p.ChunkAck)] == [4 * MIB, 8 * MIB]
    assert isinstance(sent[2], p.Journaled)
    (command,) = agent.commands(h.RunCall)
    assert agent.spool.files[command.where.file] == content
    agent.returns(job)
    assert agent.spool.files == {}
    agent.ack(job, 2)
    assert agent.machine._shared.stored == 0


def test_a_chunked_payload_that_was_damaged_is_refused_and_removed(agent):
    job = big(agent, b"a" * 100_000)
    agent.chunk(job, 0, b"b" * 100_000)
    assert [nack.code for nack in agent.sent(p.Nack)] == ["corrupt"]
    assert agent.spool.files == {}
    assert agent.machine._shared.stored == 0


def test_a_transfer_that_stalls_is_asked_for_again_from_where_it_is(agent):
    content = b"c" * (2 * MIB)
    job = big(agent, content)
    agent.chunk(job, 0, content[:MIB])
    agent.chunk(job, MIB + 5, b"a gap")
    agent.sent()
    agent.wait(2.1)
    (pull,) = agent.sent(p.ChunkAck)
    assert (pull.received, pull.rewind) == (MIB, True)
    agent.chunk(job, 0, content[:MIB])  # a copy
    agent.chunk(job, MIB, content[MIB:])
    assert agent.sent(p.Journaled)


def test_a_disk_that_fills_up_during_a_transfer_ends_it(agent):
    job = big(agent, b"a" * 100_000)
    agent.spool.full = True
    agent.chunk(job, 0, b"a" * 100_000)
    assert [nack.code for nack in agent.sent(p.Nack)] == ["full"]
    assert agent.machine._shared.stored == 0


def test_only_a_few_transfers_go_on_at_once(agent):
    jobs = [big(agent, bytes([n]) * MIB) for n in range(10)]
    assert len(agent.sent(p.ChunkAck)) == 4
    agent.chunk(jobs[0], 0, bytes([0]) * MIB)
    assert [m.job for m in agent.sent(p.ChunkAck)] == [jobs[4]]


def test_a_payload_in_a_file_is_taken_over_and_removed_at_the_end(agent):
    name = trust.new_id()
    agent.spool.files[name] = bytearray(b"content")
    job = agent.submit(payload=payload(b"content", "segment", name))
    assert agent.sent(p.Journaled)
    (command,) = agent.commands(h.RunCall)
    assert command.where == h.Where([7], name)
    agent.returns(job)
    assert agent.spool.files == {}


def test_a_file_that_is_not_there_or_not_shared_is_refused(agent):
    agent.submit(payload=payload(b"content", "segment", trust.new_id()))
    (nack,) = agent.sent()
    assert nack.code == "corrupt"
    private = Agent(share=False).ready()
    private.spool.files["aa"] = bytearray(b"content")
    private.submit(payload=payload(b"content", "segment", "aa"))
    assert [nack.code for nack in private.sent()] == ["corrupt"]


# ---------------------------------------------------------------------------- scheduling


def test_calls_run_beside_each_other_up_to_the_slots():
    agent = Agent(slots=2).ready(1, 2, 3)
    jobs = [agent.submit() for _ in range(4)]
    assert len(agent.commands(h.RunCall)) == 2
    agent.returns(jobs[0], pid=agent.machine._shared.jobs[jobs[0]].pid)
    assert [command.job for command in agent.commands()] == [jobs[2]]


def test_sessions_take_turns():
    agent = Agent(slots=1).ready()
    first = [agent.submit(session="one") for _ in range(3)]
    second = agent.submit(session="two")
    order = []
    for _ in range(4):
        (command,) = agent.commands(h.RunCall)
        order.append(command.job)
        agent.returns(command.job)
    assert order == [first[0], first[1], second, first[2]]


def test_a_session_runs_one_cell_at_a_time_and_sessions_run_beside_each_other(agent):
    one = [agent.submit(kind="cell", session="one") for _ in range(2)]
    two = agent.submit(kind="cell", session="two")
    assert [command.job for command in agent.commands(h.RunCell)] == [one[0], two]
    result = h.Result(h.Where([1]), trust.payload_digest([b"x"]))
    agent.manager(h.Returned(nbytes=1, job=one[0], result=result, duration=0), b"x")
    assert [command.job for command in agent.commands(h.RunCell)] == [one[1]]


def test_a_cell_starts_when_exec_says_so(agent):
    job = agent.submit(kind="cell", outputs=["a"], value=True)
    ((target, command, _),) = agent.machine.commands()
    assert (target, command.outputs, command.value) == (0, ["a"], True)
    assert agent.sent(p.Started) == []
    agent.manager(h.CellStarted(job=job, incarnation=3))
    (started,) = agent.sent(p.Started)
    assert started.incarnation == 3


def test_nothing_starts_while_exec_is_away(agent):
    agent.machine.manager_down(agent.now)
    agent.submit()
    agent.submit(kind="cell")
    assert agent.commands() == []
    agent.exec_up(1)
    assert len(agent.commands(h.RunCall, h.RunCell)) == 2


# ---------------------------------------------------------------------------------- list


def test_the_list_shows_all_jobs_newest_first():
    agent = Agent(slots=1).ready()
    jobs = []
    for _ in range(3):
        jobs.append(agent.submit(label=f"job {len(jobs)}"))
        agent.wait(1)
    agent.returns(jobs[0])
    rows = agent.list()
    assert [row.job for row in rows] == jobs[::-1]
    assert [row.state for row in rows] == ["queued", "running", "done"]
    assert [row.started_ago for row in rows] == [-1.0, 0.0, 3.0]
    assert rows[0].submitted_ago == pytest.approx(1)


def test_a_long_list_fits_into_a_header():
    agent = Agent().ready()
    for _ in range(700):
        agent.submit(label="ä" * 200, session="s" * 64)
    rows = agent.list()
    assert 100 < len(rows) < 700


# --------------------------------------------------------------------------------- drain


def test_draining_refuses_new_jobs_and_keeps_those_that_wait():
    agent = Agent(slots=1).ready()
    running, waiting = agent.submit(), agent.submit()
    transfer = big(agent, b"x" * MIB)
    agent.sent()
    agent.machine.drain(agent.now, 10.0)
    agent.submit()
    sent = agent.sent()
    assert [m.grace for m in sent if isinstance(m, p.Drain)] == [10.0]
    nacks = [m for m in sent if isinstance(m, p.Nack)]
    assert [nack.code for nack in nacks] == ["draining", "draining"]
    assert nacks[0].job == transfer
    agent.commands()
    agent.returns(running)
    assert agent.sent(p.Done)
    assert agent.commands() == []
    agent.restart()
    agent.ready()
    assert [command.job for command in agent.commands()] == [waiting]


def test_what_still_runs_at_the_end_of_the_grace_time_has_crashed(agent):
    job = agent.submit()
    agent.machine.drain(agent.now, 1.0)
    agent.sent()
    agent.machine.end_running(agent.now)
    agent.machine.goodbye()
    crashed, goodbye = agent.sent()
    assert (crashed.job, "shut down" in crashed.reason) == (job, True)
    assert isinstance(goodbye, p.Goodbye)


def test_a_server_takes_leave_of_a_broker_that_has_not_answered_its_hello_yet():
    agent = Agent()
    agent.machine.connected(agent.now)
    agent.machine.goodbye()
    assert [type(message) for message in agent.sent()] == [p.ServerHello, p.Goodbye]


def test_the_broker_is_told_at_once_whether_code_can_run(agent):
    agent.connect()
    agent.machine.manager_up(agent.now)
    assert [beat.able for beat in agent.sent(p.Heartbeat)] == [True]
    agent.machine.manager_down(agent.now)
    assert [beat.able for beat in agent.sent(p.Heartbeat)] == [False]


def test_an_agent_that_nobody_used_becomes_somebodys(agent):
    agent.wait(1)
    agent.say(p.Assign(certificate="of somebody"))
    (hello,) = agent.sent(p.ServerHello)
    assert (hello.certificate, hello.journal) == ("of somebody", agent.journal.id)
    assert agent.machine.assigned


def test_an_agent_that_somebody_used_does_not(agent):
    job = agent.submit()
    agent.say(p.Assign(certificate="of somebody else"))
    agent.returns(job)
    agent.attach(job)
    agent.ack(job, agent.sent(p.Done)[-1].seq)
    agent.say(p.Assign(certificate="of somebody else"))
    assert not agent.sent(p.ServerHello)
    assert agent.machine.certificate != "of somebody else"
    assert not agent.machine.assigned
