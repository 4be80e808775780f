"""The rules of the agent's machine: what of a job's output is kept to be read again."""

import msgspec
import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.logs import End, pack, unpack
from rexec_server.agent.job import Limits
from tests.protocol.agents import MIB, Agent, big


@pytest.fixture
def agent():
    return Agent().ready()


def contents(records, *kinds):
    return [bytes(each.content) for each in records if not kinds or each.kind in kinds]


def end_of(records):
    assert records[-1].kind == "end"
    return msgspec.msgpack.decode(records[-1].content, type=End)


def kinds(records):
    return [each.kind for each in records]


# ------------------------------------------------------------------------------ writing


def test_a_log_holds_the_source_everything_shown_and_the_end(agent):
    job = agent.cell("print(1)")
    agent.started(job)
    agent.shows(job, b"1\n")
    agent.shows(job, b"oops\n", "stderr")
    agent.shows(job, b"\x80", "display")
    agent.shows(job, b"2\n")
    agent.returns(job, pid=0)
    page, records = agent.log(job)
    assert kinds(records) == ["source", "stdout", "stderr", "display", "stdout", "end"]
    assert contents(records)[:-1] == [b"print(1)", b"1\n", b"oops\n", b"\x80", b"2\n"]
    assert end_of(records) == End("done", duration=0.5)
    assert page.known
    assert page.ended
    assert page.next == page.size


def test_a_log_is_complete_where_delivery_leaves_out():
    agent = Agent(limits=Limits(output=1000)).ready()
    job = agent.submit(credit=0)
    for number in range(100):
        agent.prints(f"{number:099}\n")
        agent.wait(0.2)
    agent.returns(job)
    _, records = agent.log(job)
    assert b"".join(contents(records, "stdout")) == b"".join(b"%099d\n" % n for n in range(100))
    assert "note" not in kinds(records)


def test_the_end_tells_why(agent):
    job = agent.submit()
    agent.raises(job, error="ValueError", message="no", traceback=["a", "b"])
    _, records = agent.log(job)
    assert end_of(records) == End("failed", "ValueError", "no", ["a", "b"])
    waiting = agent.cell()
    agent.cancel(agent.cell())
    agent.cancel(waiting)
    limited = agent.submit(timeout=1.0)
    agent.wait(7.0)
    agent.returns(limited)
    agent.manager_down = agent.machine.manager_down(agent.now)
    _, records = agent.log(waiting)
    assert end_of(records).state == "crashed"
    assert "exec" in end_of(records).message


def test_widgets_and_names_are_not_logged(agent):
    job = agent.cell()
    agent.shows(job, b"\x80", "comm")
    agent.shows(job, b"\x80", "names")
    agent.shows(job, b"\x80", "payload")
    agent.returns(job, pid=0)
    assert kinds(agent.log(job)[1]) == ["source", "payload", "end"]


def test_a_hidden_job_has_no_log_and_is_not_listed(agent):
    job = agent.cell(hidden=True)
    agent.shows(job)
    agent.raises(job, pid=0)
    assert not agent.logs.files
    assert not agent.log(job)[0].known
    assert agent.list() == []
    agent.ack(job, 9)
    assert agent.list() == []
    agent.restart()
    agent.ready()
    assert agent.list() == []
    assert not agent.log(job)[0].known


def test_a_call_that_shows_nothing_has_no_file_but_an_end(agent):
    job = agent.submit()
    page, records = agent.log(job)
    assert (page.known, page.size, page.ended) == (True, 0, False)
    agent.returns(job)
    agent.ack(job, 2)
    assert not agent.logs.files
    page, records = agent.log(job)
    assert end_of(records) == End("done", duration=0.5)
    assert page.ended
    assert agent.log(job, offset=page.next)[1] == []


def test_a_log_outlives_the_job_itself(agent):
    job = agent.submit()
    agent.prints("hello\n")
    agent.returns(job)
    agent.ack(job, 3)
    assert job not in agent.machine._shared.jobs
    assert contents(agent.log(job)[1], "stdout") == [b"hello\n"]


def test_a_job_nobody_knows_has_no_log(agent):
    assert not agent.log(trust.new_id())[0].known
    assert not agent.log("/../../../../../../../etc/passwd"[:32])[0].known


def test_a_large_display_is_kept_whole_in_records_that_can_be_sent(agent):
    job = agent.cell()
    content = bytes(range(256)) * (3 * MIB // 256)
    agent.shows(job, content, "display")
    offset, pieces = 0, []
    while True:
        page, records = agent.log(job, offset=offset)
        pieces += [each for each in records if each.kind == "display"]
        offset = page.next
        if offset == page.size:
            break
    assert [each.more for each in pieces] == [True, True, False]
    assert b"".join(contents(pieces)) == content


@pytest.mark.parametrize("length", [0, 5, 40, 300, 70_000])
def test_the_source_is_found_in_small_and_large_payloads(agent, length):
    source = "x" * length
    inline = agent.cell(source)
    assert contents(agent.log(inline)[1], "source") == [source.encode()]
    content = msgspec.msgpack.encode([source, {"v": (b"p" * 2 * MIB, 0)}])
    job = big(agent, content, kind="cell")
    for offset in range(0, len(content), MIB):
        agent.chunk(job, offset, content[offset : offset + MIB])
    assert contents(agent.log(job)[1], "source") == [source.encode()]


def test_a_payload_that_is_no_cell_has_no_source(agent):
    for content in (b"", b"\x80", b"\x92", b"\x92\xd9\xff", b"\x92\x01", b"\xdc\x00", b"\xdd"):
        job = agent.submit(content, kind="cell", session=trust.new_id())
        assert "source" not in kinds(agent.log(job)[1])


# ------------------------------------------------------------------------------ reading


def test_pages_hold_whole_records_within_their_limit(agent):
    job = agent.submit()
    for number in range(50):
        agent.prints(f"{number:03}" * 10)
        agent.wait(0.2)
    offset, records = 0, []
    while (page := agent.log(job, offset=offset, limit=100))[1]:
        assert 0 < page[0].next - offset <= 100
        assert page[0].offset == offset
        records += page[1]
        offset = page[0].next
    assert contents(records) == [f"{n:03}".encode() * 10 for n in range(50)]
    (one,) = agent.log(job, limit=0)[1]
    assert bytes(one.content) == b"000" * 10


def test_an_offset_between_records_or_behind_the_end_leads_on(agent):
    job = agent.submit()
    agent.prints("hello\n")
    for offset in (1, 3, 10**9, 2**64 - 1):
        page, records = agent.log(job, offset=offset)
        assert records == []
        assert page.next == page.size


@pytest.mark.parametrize("lines", [1, 2, 5, 99])
def test_a_tail_begins_early_enough_for_the_lines_asked_for(agent, lines):
    job = agent.submit()
    for number in range(20):
        agent.prints(f"line {number}\n")
        agent.wait(0.2)
    agent.returns(job)
    page, records = agent.log(job, tail=lines)
    wanted = [f"line {n}\n".encode() for n in range(20)][-lines:]
    assert contents(records, "stdout")[-lines:] == wanted
    assert len(contents(records, "stdout")) <= lines + 1
    assert page.ended


def test_a_tail_never_begins_within_a_display(agent):
    job = agent.cell()
    agent.shows(job, b"before\n")
    agent.shows(job, bytes(3 * MIB), "display")
    for lines in (1, 2):
        _, records = agent.log(job, tail=lines)
        assert records[0].more or records[0].kind != "display"


def test_a_tail_is_looked_for_in_the_last_megabytes_only(agent):
    job = agent.submit()
    for _ in range(12):
        agent.prints("x" * MIB)
        agent.wait(0.2)
    page, _ = agent.log(job, tail=5)
    assert page.size - page.offset < 9 * MIB


def test_a_reader_who_waits_is_answered_as_soon_as_there_is_something(agent):
    job = agent.submit()
    request = agent.ask(p.ReadLog, job=job, wait=20.0)
    other = agent.ask(p.ReadLog, job=job, wait=20.0)
    agent.ask(p.ReadLog, job=job, wait=20.0, request=request)  # repeated
    agent.wait(1.0)
    assert not agent.sent(p.LogPage)
    agent.prints("hello\n")
    pages = agent.sent(p.LogPage)
    assert [page.request for page in pages] == [request, other]
    assert {page.next for page in pages} == {15}
    agent.ask(p.ReadLog, job=job, offset=15, wait=20.0)
    agent.returns(job)
    page, records = agent.page()
    assert end_of(records).state == "done"
    assert page.ended


def test_a_reader_who_waits_in_vain_is_answered_in_time(agent):
    job = agent.submit()
    agent.ask(p.ReadLog, job=job, wait=3.0)
    agent.wait(2.9)
    assert not agent.sent(p.LogPage)
    agent.wait(0.2)
    page, records = agent.page()
    assert (page.known, page.next, page.size, records) == (True, 0, 0, [])


def test_who_waits_for_a_silent_job_hears_of_its_end(agent):
    job = agent.submit()
    agent.ask(p.ReadLog, job=job, wait=20.0)
    agent.returns(job)
    page, records = agent.page()
    assert end_of(records).state == "done"
    assert page.ended


def test_readers_see_new_text_soon_although_nobody_follows_the_job(agent):
    job = agent.submit()
    agent.prints("a\n")
    agent.say(p.Detached(job=job))
    agent.prints("b\n")
    page, _ = agent.log(job)
    agent.ask(p.ReadLog, job=job, offset=page.next, wait=10.0)
    agent.wait(0.2)
    page, records = agent.page()
    assert contents(records) == [b"b\n"]
    agent.prints("c\n")
    agent.ask(p.ReadLog, job=job, offset=page.next, wait=10.0)
    agent.wait(0.2)
    assert contents(agent.page()[1]) == [b"c\n"]


def test_reading_changes_nothing_for_who_follows_the_job(agent):
    job = agent.submit(credit=10)
    agent.prints("0123456789")
    agent.prints("more")
    agent.sent()
    agent.log(job)
    agent.log(job, tail=3)
    agent.wait(0.2)
    assert not agent.sent(p.Output)
    agent.ack(job, 2, credit=100)
    assert len(agent.sent(p.Output)) == 1


def test_who_waits_is_forgotten_with_the_connection(agent):
    job = agent.submit()
    request = agent.ask(p.ReadLog, job=job, wait=30.0)
    agent.machine.disconnected(agent.now)
    agent.prints("hello\n")
    agent.connect()
    assert not agent.sent(p.LogPage)
    agent.ask(p.ReadLog, job=job, wait=30.0, request=request)
    assert contents(agent.page()[1]) == [b"hello\n"]


def test_more_readers_than_may_wait_are_answered_at_once(agent):
    job = agent.submit()
    for _ in range(1000):
        agent.ask(p.ReadLog, job=job, wait=30.0)
    assert not agent.sent(p.LogPage)
    agent.ask(p.ReadLog, job=job, wait=30.0)
    assert len(agent.sent(p.LogPage)) == 1


# ------------------------------------------------------------------------------- limits


def test_a_log_that_is_too_long_says_so_once_and_still_tells_the_end():
    agent = Agent(limits=Limits(log=500)).ready()
    job = agent.submit()
    for _ in range(100):
        agent.prints("x" * 99 + "\n")
        agent.wait(0.2)
    agent.returns(job)
    _, records = agent.log(job)
    assert kinds(records) == ["stdout"] * 4 + ["note", "end"]
    assert b"500 bytes" in contents(records, "note")[0]


def test_the_logs_of_jobs_that_ended_first_make_room_first():
    agent = Agent(limits=Limits(logs=1500)).ready()
    jobs = []
    for _ in range(5):
        jobs.append(agent.submit())
        agent.prints("x" * 400)
        agent.returns(jobs[-1])
    agent.parcels()
    assert set(agent.logs.files) == set(jobs[2:])
    page, records = agent.log(jobs[0])
    assert page.known
    assert kinds(records) == ["note", "end"]
    assert b"room" in contents(records, "note")[0]


def test_if_all_logs_are_of_running_jobs_they_end_with_a_note():
    agent = Agent(limits=Limits(logs=1500), slots=2).ready(1, 2)
    jobs = [agent.submit(), agent.submit()]
    for _ in range(10):
        for pid in (1, 2):
            agent.prints("x" * 200, pid=pid)
        agent.wait(0.2)
    assert sum(map(len, agent.logs.files.values())) < 2000
    for job in jobs:
        assert kinds(agent.log(job)[1])[-1] == "note"


def test_the_number_of_logs_is_limited():
    agent = Agent(limits=Limits(log_files=3)).ready()
    for _ in range(10):
        job = agent.submit()
        agent.prints("x")
        agent.returns(job)
    assert len(agent.logs.files) == 3
    assert job in agent.logs.files


def test_old_logs_go_after_a_day(agent):
    old = agent.submit()
    agent.prints("old\n")
    agent.returns(old)
    agent.ack(old, 3)
    agent.wait(12 * 3600.0)
    new = agent.submit()
    agent.prints("new\n")
    agent.returns(new)
    agent.wait(13 * 3600.0)
    assert set(agent.logs.files) == {new}


def test_a_full_disk_stops_no_job_and_leaves_a_gap_that_is_told(agent):
    job = agent.submit()
    agent.prints("a\n")
    agent.logs.full = True
    agent.wait(0.2)
    agent.prints("b" * 100)
    agent.wait(0.2)
    agent.logs.full = False
    agent.prints("c\n")
    agent.wait(0.2)
    agent.returns(job)
    parcels = [m for m in agent.sent() if isinstance(m, p.Output | p.Done)]
    assert len(parcels) == 4
    _, records = agent.log(job)
    assert kinds(records) == ["stdout", "note", "stdout", "end"]
    assert b"100 bytes are missing" in contents(records, "note")[0]


# ------------------------------------------------------------------------------ restart


def test_logs_outlive_a_restart_of_the_agent(agent):
    ended = agent.submit()
    agent.prints("hello\n")
    agent.returns(ended)
    agent.ack(ended, 3)
    running = agent.submit()
    agent.prints("half\n")
    agent.cell("early", session="other")
    waiting = agent.cell("late", session="other")
    agent.machine.outgoing()
    agent.restart()
    agent.ready()
    assert kinds(agent.log(ended)[1]) == ["stdout", "end"]
    page, records = agent.log(running)
    assert contents(records, "stdout") == [b"half\n"]
    assert end_of(records).state == "crashed"
    assert page.ended
    page, records = agent.log(waiting)
    assert contents(records) == [b"late"]
    assert not page.ended


@pytest.mark.parametrize("cut", range(1, 40))
def test_half_a_record_that_a_killed_agent_left_is_not_read(agent, cut):
    job = agent.submit()
    agent.prints("one\n")
    agent.wait(0.2)
    agent.prints("two, which is a bit longer\n")
    agent.machine.outgoing()
    del agent.logs.files[job][-cut:]
    agent.restart()
    agent.ready()
    _, records = agent.log(job)
    assert contents(records, "stdout") == ([b"one\n"] if cut <= 36 else [])
    assert end_of(records).state == "crashed"


def test_garbage_after_the_last_record_is_overwritten(agent):
    job = agent.submit()
    agent.prints("one\n")
    agent.prints("x" * 3 * MIB)
    agent.machine.outgoing()
    size = len(agent.logs.files[job])
    agent.logs.files[job] += b"\xff" * 50
    agent.restart()
    agent.ready()
    page, _ = agent.log(job, offset=size)
    assert page.offset == size
    assert page.size > size
    assert end_of(list(unpack(agent.logs.files[job][: page.size]))).state == "crashed"


def test_an_end_that_the_journal_did_not_get_is_taken_back(agent):
    job = agent.submit()
    agent.prints("one\n")
    agent.machine.outgoing()
    agent.logs.files[job] += pack("end", msgspec.msgpack.encode(End("done")))
    agent.restart()
    agent.ready()
    _, records = agent.log(job)
    assert kinds(records) == ["stdout", "end"]
    assert end_of(records).state == "crashed"


def test_an_unreadable_log_is_as_good_as_read(agent):
    job = agent.submit()
    agent.prints("one\n")
    agent.returns(job)
    size = len(agent.logs.files.pop(job))
    page, records = agent.log(job)
    assert (page.known, page.next, page.size, records) == (True, size, size, [])
