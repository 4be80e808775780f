"""The rules of the agent's machine: output, flow control and results."""

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_server import handoff as h
from rexec_server.agent.job import Limits
from tests.protocol.agents import KEY, MIB, Agent, large, texts


@pytest.fixture
def agent():
    return Agent().ready()


# -------------------------------------------------------------------------------- output


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


def test_a_display_no_frame_can_hold_goes_in_pieces(agent):
    job = agent.cell()
    agent.parcels()
    content = bytes(range(256)) * (5 * MIB // 512)
    agent.shows(job, content, "display")
    parcels = agent.parcels()
    assert [message.more for message, _ in parcels] == [True, True, False]
    assert b"".join(frame for _, frame in parcels) == content
    assert all(len(frame) <= p.CHUNK for _, frame in parcels)


def test_a_display_larger_than_is_shown_becomes_a_note(agent):
    job = agent.cell()
    content = bytes(p.OUTPUT + 1)
    agent.shows(job, content, "display")
    (note,) = texts(agent.parcels(), "note")
    assert "67,108,865 bytes" in note


def test_a_display_that_the_disk_takes_only_half_of_is_finished_all_the_same(agent):
    job = agent.cell()
    agent.parcels()
    append, calls = agent.journal.append, []

    def fill_up(record, *arguments, **options):
        calls.append(options.get("must"))
        agent.journal.full = len(calls) > 1
        return append(record, *arguments, **options)

    agent.journal.append = fill_up
    agent.shows(job, bytes(3 * MIB), "display")
    assert [message.more for message, _ in agent.parcels()] == [True, True, False]
    assert calls == [False, True, True]


# -------------------------------------------------------------------------- flow control


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


# ------------------------------------------------------------------------------- results


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


def test_a_result_of_too_many_parts_is_a_failure_that_says_so(agent):
    job = agent.submit()
    result = h.Result(h.Where([0] * 10_001), trust.payload_digest([b""]))
    agent.worker(h.Returned(job=job, result=result, duration=0))
    (failed,) = agent.sent(p.Failed)
    assert "10,001 separate buffers" in failed.message


def test_what_the_disk_has_lost_is_said_to_be_lost(agent):
    job = agent.submit(credit=0)
    agent.prints("text")
    agent.returns(job)
    agent.sent()
    for position in agent.machine._shared.jobs[job].positions:
        agent.journal.lose(position)
    agent.attach(job, seq=1, credit=MIB)
    parcels = agent.parcels()
    assert "output is missing" in texts(parcels, "note")[0]
    assert "lost how" in parcels[-1][0].reason
