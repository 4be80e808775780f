"""The rules of the agent's machine, one by one."""

import pytest
from rexec_server import handoff as h
from rexec_server.agent.job import Limits

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from tests.protocol.agents import EPOCH, KEY, WORKER, Agent, payload

MIB = 1024 * 1024


@pytest.fixture
def agent():
    return Agent().ready()


def texts(parcels, stream="stdout"):
    return [
        bytes(frame).decode()
        for message, frame in parcels
        if isinstance(message, p.Output) and message.stream == stream
    ]


# ------------------------------------------------------------------------- connection


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


# ------------------------------------------------------------------------- submissions


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


# ---------------------------------------------------------------------------- transfers


def big(agent, content, **fields):
    return agent.submit(payload=payload(content, "chunks"), **fields)


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


# --------------------------------------------------------------------------- scheduling


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


# ------------------------------------------------------------------------------- output


def test_the_first_output_goes_at_once_and_the_rest_ten_times_a_second(agent):
    agent.submit()
    agent.parcels()
    agent.prints("a\n")
    assert texts(agent.parcels()) == ["a\n"]
    for _ in range(100):
        agent.prints("b\n")
        agent.wait(0.01)
    agent.wait(0.1)
    chunks = texts(agent.parcels())
    assert "".join(chunks) == "b\n" * 100
    assert 9 <= len(chunks) <= 11


def test_much_output_does_not_wait(agent):
    agent.submit()
    agent.prints("a\n")
    agent.parcels()
    agent.prints("x" * 200_000)
    chunks = texts(agent.parcels())
    assert "".join(chunks) == "x" * 200_000
    assert max(map(len, chunks)) <= 64 * 1024


def test_all_output_comes_before_the_end(agent):
    job = agent.submit()
    for text in "abc":
        agent.prints(text)
    agent.returns(job)
    parcels = agent.parcels()
    assert texts(parcels) == ["a", "bc"]
    assert isinstance(parcels[-1][0], p.Done)


def test_characters_are_never_cut(agent):
    job = agent.submit()
    data = "grün €".encode()
    for n in range(len(data)):
        agent.prints(data[n : n + 1])
        agent.wait(0.2)
    agent.prints(b"\xff\xe2\x82")
    agent.returns(job)
    parcels = agent.parcels()
    for _, frame in parcels:
        bytes(frame or b"").decode()
    assert "".join(texts(parcels)) == "grün €\ufffd\ufffd"


def test_output_between_two_calls_belongs_to_none(agent):
    job = agent.submit()
    agent.returns(job)
    agent.parcels()
    agent.prints("stray")
    agent.submit()
    assert texts(agent.parcels()) == []


def test_a_cell_keeps_the_order_of_text_and_displays(agent):
    job = agent.submit(kind="cell")
    agent.manager(h.CellStarted(job=job, incarnation=1))
    agent.parcels()
    for stream, content in [
        ("stdout", b"1"),
        ("stdout", b"2"),
        ("stdout", b"3"),
        ("stderr", b"4"),
        ("stdout", b"5"),
        ("display", b"\x80"),
        ("stdout", b"6"),
    ]:
        agent.manager(h.CellOutput(nbytes=len(content), job=job, stream=stream), content)
    agent.wait(0.2)
    found = [(m.stream, bytes(f)) for m, f in agent.parcels() if isinstance(m, p.Output)]
    assert found == [
        ("stdout", b"1"),
        ("stdout", b"23"),
        ("stderr", b"4"),
        ("stdout", b"5"),
        ("display", b"\x80"),
        ("stdout", b"6"),
    ]


def test_a_display_no_frame_can_hold_becomes_a_note(agent):
    job = agent.submit(kind="cell")
    content = bytes(2 * MIB)
    agent.manager(h.CellOutput(nbytes=len(content), job=job, stream="display"), content)
    (note,) = texts(agent.parcels(), "note")
    assert "2,097,152 bytes" in note


# ------------------------------------------------------------------------ flow control


def test_no_more_output_is_sent_than_granted_and_the_end_waits_for_it(agent):
    job = agent.submit(credit=1000)
    agent.sent()
    for _ in range(5):
        agent.prints("x" * 400)
        agent.wait(0.2)
    agent.returns(job)
    assert [m.seq for m in agent.sent()] == [2, 3]
    agent.ack(job, 3, credit=1300)
    assert [m.seq for m in agent.sent()] == [4]
    agent.ack(job, 3, credit=1300)
    assert agent.sent() == []
    agent.ack(job, 4, credit=10_000)
    assert [type(m) for m in agent.sent()] == [p.Output, p.Output, p.Done]


def test_somebody_who_attaches_gets_what_came_after_what_it_has(agent):
    job = agent.submit()
    for text in "abc":
        agent.prints(text)
        agent.wait(0.2)
    agent.sent()
    agent.attach(job, seq=2)
    parcels = agent.parcels()
    assert isinstance(parcels[0][0], p.Journaled)
    assert texts(parcels) == ["b", "c"]


def test_somebody_new_has_credit_of_its_own(agent):
    job = agent.submit(credit=500)
    agent.prints("x" * 500)
    agent.ack(job, 2, credit=500)
    agent.prints("y" * 400)
    agent.wait(0.2)
    agent.sent()
    agent.attach(job, seq=0, credit=500)
    assert texts(agent.parcels()) == ["y" * 400]


def test_an_unknown_job_is_called_unknown(agent):
    agent.attach("1" * 32)
    (unknown,) = agent.sent()
    assert (unknown.job, unknown.journal) == ("1" * 32, agent.journal.id)


def test_a_job_nobody_reads_is_kept_and_sent_later(agent):
    job = agent.submit()
    agent.sent()
    agent.say(p.Detached(job=job))
    agent.prints("hello")
    agent.returns(job)
    agent.wait(100)
    assert agent.sent(p.Event) == []
    agent.attach(job, seq=1)
    assert [type(m) for m in agent.sent(p.Event)] == [p.Output, p.Done]


def test_an_end_that_is_not_acknowledged_is_sent_again_less_and_less_often(agent):
    job = agent.submit()
    agent.returns(job)
    agent.sent()
    agent.wait(40)
    assert len(agent.sent(p.Done)) == 3  # after about 5, 15 and 35 seconds
    agent.ack(job, 2)
    agent.wait(200)
    assert agent.sent(p.Done) == []


def test_an_acknowledged_end_frees_everything(agent):
    job = agent.submit()
    agent.prints("text")
    agent.returns(job)
    agent.ack(job, 3)
    agent.machine.outgoing()
    agent.journal.flush()
    assert agent.machine._shared.stored == 0
    assert agent.machine.unfetched == 0
    (row,) = agent.list()
    assert (row.job, row.state, row.duration) == (job, "done", 0.5)


def test_output_beyond_the_cap_is_left_out_with_a_note():
    agent = Agent(limits=Limits(output=100_000)).ready()
    job = agent.submit(credit=0)
    for _ in range(10):
        agent.prints("x" * 50_000)
        agent.wait(0.2)
    agent.returns(job)
    agent.ack(job, 1, credit=MIB)
    parcels = agent.parcels()
    kept = sum(map(len, texts(parcels)))
    (note,) = texts(parcels, "note")
    assert 100_000 <= kept < 200_000
    assert f"{500_000 - kept:,} bytes" in note
    assert isinstance(parcels[-1][0], p.Done)


def test_output_goes_on_after_a_gap_once_there_is_room():
    agent = Agent(limits=Limits(output=100_000)).ready()
    job = agent.submit(credit=0)
    for text in "aaabb":
        agent.prints(text * 50_000)
        agent.wait(0.2)
    agent.ack(job, 1, credit=MIB)
    last = agent.sent(p.Output)[-1].seq
    agent.ack(job, last, credit=MIB)
    agent.prints("z")
    agent.wait(0.2)
    parcels = agent.parcels()
    assert len(texts(parcels, "note")) == 1
    assert texts(parcels) == ["z"]


def test_ends_nobody_comes_for_go_after_a_day():
    agent = Agent(limits=Limits(retention=3600.0)).ready()
    job = agent.submit()
    agent.returns(job)
    agent.machine.disconnected(agent.now)
    agent.wait(3602)
    assert agent.machine.unfetched == 0
    agent.connect()
    agent.attach(job)
    assert agent.sent(p.Unknown)


# ------------------------------------------------------------------------------ results


def large(agent, nbytes, job, **fields):
    name = trust.new_id()
    agent.spool.files[name] = bytearray(bytes(range(256)) * (nbytes // 256))
    agent.returns(job, file=name, nbytes=nbytes, **fields)
    return name


def test_a_large_result_goes_to_a_local_client_as_a_file(agent):
    job = agent.submit(local=True)
    name = large(agent, MIB, job)
    (done,) = agent.sent(p.Done)
    assert (done.payload.carrier, done.payload.segment, done.frames) == ("segment", name, 0)
    agent.ack(job, 2)
    assert agent.spool.files == {}


def test_a_large_result_is_pulled_in_chunks_by_others(agent):
    job = agent.submit()
    name = large(agent, 20 * MIB, job)
    (done,) = agent.sent(p.Done)
    assert (done.payload.carrier, done.payload.segment) == ("chunks", "")
    assert trust.mac_matches(KEY, job, 2, done.payload, done.mac)
    content = bytearray()

    def pull(received, *, rewind=False):
        agent.say(p.ChunkAck(job=job, session="default", seq=2, received=received, rewind=rewind))
        for message, frame in agent.parcels():
            assert (message.seq, message.offset) == (2, len(content))
            content.extend(frame)

    pull(0, rewind=True)
    assert len(content) == 16 * MIB  # a window
    pull(8 * MIB)
    assert content == agent.spool.files[name]
    del content[5 * MIB :]
    pull(5 * MIB, rewind=True)
    assert content == agent.spool.files[name]


def test_a_large_result_leaves_room_for_other_messages(agent):
    job = agent.submit()
    large(agent, 10 * MIB, job)
    agent.sent()
    agent.say(p.ChunkAck(job=job, session="default", seq=2, received=0, rewind=True))
    assert len(agent.machine.outgoing()) == 2
    assert agent.machine.more


def test_a_result_whose_file_is_gone_is_a_failure_that_says_so(agent):
    job = agent.submit()
    agent.returns(job, file="ab", nbytes=10)
    (failed,) = agent.sent(p.Failed)
    assert failed.code == "R11"


def test_an_exception_arrives_with_its_traceback(agent):
    job = agent.submit()
    agent.raises(job, error="ZeroDivisionError", message="division by zero")
    (failed,) = agent.sent(p.Failed)
    assert (failed.error, failed.traceback) == ("ZeroDivisionError", ["line"])
    assert trust.mac_matches(KEY, job, 2, failed.payload, failed.mac)


def test_a_generator_is_let_on_as_its_items_are_acknowledged(agent):
    job = agent.submit()
    agent.worker(h.Streaming(job=job))
    for _ in range(p.ITEM_WINDOW):
        agent.yields(job)
    items = agent.sent(p.Item)
    assert len(items) == p.ITEM_WINDOW
    assert all(trust.mac_matches(KEY, job, i.seq, i.payload, i.mac) for i in items)
    agent.commands()
    agent.ack(job, items[31].seq)
    (more,) = agent.commands(h.MoreItems)
    assert more.upto == 32 + p.ITEM_WINDOW
    agent.returns(job)
    assert agent.sent(p.Done)


# ----------------------------------------------------------------------------- stopping


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


# ------------------------------------------------------------------------------ crashes


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
    agent.manager(h.WorkerGone(pid=WORKER, signal=9, oom=True, reason="out of memory"))
    (crashed,) = agent.sent(p.Crashed)
    assert (crashed.job, crashed.oom, crashed.reason) == (job, True, "out of memory")


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


# ----------------------------------------------------------------------------- restarts


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


# --------------------------------------------------------------------------------- list


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


# ------------------------------------------------------------------------------- drain


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
