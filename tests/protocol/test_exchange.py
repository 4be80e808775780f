"""The client's state machine, without sockets, files or a clock."""

import msgspec
import pytest

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust, values
from rexec_jupyter.core.exchange import Exchange

JOURNAL = "a" * 32
OTHER = "b" * 32
SECRET = bytes(range(32))


class Side:
    """An exchange with a clock, and what a broker and a server would say to it."""

    def __init__(self, *, share=False, **options):
        self.now = 1000.0
        self.exchange = Exchange(instance="c" * 32, can_share=lambda _: share, **options)
        self.notes = []
        self.sent = []

    # -- driving

    def settle(self):
        while notes := self.exchange.notices():
            self.notes += notes
        self.sent += self.exchange.outgoing()

    def hear(self, *messages):
        """Receive messages, or pairs of a message and its frame, in one batch."""
        for each in messages:
            message, frame = each if isinstance(each, tuple) else (each, None)
            # What arrives went through the wire format.
            (message,) = msgspec.msgpack.decode(
                msgspec.msgpack.encode([message]), type=list[p.ToClient]
            )
            self.exchange.receive(self.now, message, frame)
        self.settle()

    def do(self, method, *arguments, **keywords):
        getattr(self.exchange, method)(self.now, *arguments, **keywords)
        self.settle()

    def wait(self, seconds):
        """Let time pass, ticking when the exchange asks for it."""
        end = self.now + seconds
        while self.exchange.deadline <= end:
            self.now = max(self.exchange.deadline, self.now)
            self.exchange.tick(self.now)
            self.settle()
        self.now = end

    def seconds(self, count):
        """Let seconds pass in which the broker answers heartbeats."""
        for _ in range(count):
            self.wait(1)
            self.hear(p.Heartbeat(epoch="e" * 32))
            yield self.now - 1000

    def take(self, *kinds):
        """Return, once, the messages sent; of the kinds given, if any."""
        taken = [message for message, _ in self.sent]
        self.sent.clear()
        return [message for message in taken if not kinds or isinstance(message, kinds)]

    def acks(self):
        """Return, once, the acknowledgements, which may wait a little for each other."""
        self.wait(0.05)
        return self.take(p.Ack)

    def news(self, *kinds):
        """Return, once, the notices; of the kinds given, if any."""
        taken, self.notes = self.notes, []
        return [note for note in taken if not kinds or isinstance(note, kinds)]

    def news_of_jobs(self):
        return self.news(n.Accepted, n.Happened, n.Yielded, n.Ended, n.Rejected)

    # -- usual steps

    def connect(self, epoch="e" * 32, expires_in=900.0):
        self.do("connected", "ticket")
        self.welcome(epoch, expires_in)

    def welcome(self, epoch="e" * 32, expires_in=900.0):
        self.hear(p.Welcome(version=1, epoch=epoch, user="ada", expires_in=expires_in))

    def ready(self, journal=JOURNAL, session="", epoch=1, **fields):
        fields = {"server": "main", "python": "3.11", "slots": 2, "exchange": "/x"} | fields
        self.hear(
            p.ServerState(state="ready", session=session, journal=journal, epoch=epoch, **fields)
        )

    def submit(self, value="work", **fields):
        parts = values.dump(value)
        job = trust.new_id()
        fields = {"session": "default", "kind": "call"} | fields
        submit = p.Submit(
            job=job,
            journal="",
            key=trust.job_key(SECRET, job),
            payload=values.describe(parts),
            **fields,
        )
        self.do("submit", submit, parts)
        return job

    def running(self, **fields):
        """Submit a job that gets as far as its start."""
        job = self.submit(**fields)
        self.hear(p.Journaled(job=job), p.Started(job=job, seq=1))
        self.take()
        self.news()
        return job


@pytest.fixture
def side():
    side = Side()
    side.connect()
    side.ready()
    side.take()
    side.news()
    return side


def valued(kind, job, seq, value, *, carrier="inline", key=None, **fields):
    """Return an event that carries a value, and its frame."""
    parts = values.dump(value)
    payload = msgspec.structs.replace(
        values.describe(parts), carrier=carrier, segment="d" * 32 if carrier == "segment" else ""
    )
    mac = trust.result_mac(key or trust.job_key(SECRET, job), job, seq, payload)
    frames = int(carrier == "inline")
    message = kind(job=job, seq=seq, payload=payload, mac=mac, frames=frames, **fields)
    return message, values.join(parts) if frames else None


def done(job, seq, value=None, **fields):
    return valued(p.Done, job, seq, value, **fields)


def item(job, seq, value=None, **fields):
    return valued(p.Item, job, seq, value, **fields)


def output(job, seq, content=b"text", stream="stdout"):
    return p.Output(job=job, seq=seq, stream=stream, frames=1), content


def the(sequence):
    (only,) = sequence
    return only


# ------------------------------------------------------------------ the usual course


def test_a_connection_begins_with_a_hello_and_nothing_else():
    side = Side()
    side.submit()
    side.do("connected", "ticket")
    hello = the(side.take())
    assert (hello.ticket, hello.versions, hello.instance) == ("ticket", p.VERSIONS, "c" * 32)


def test_a_job_is_sent_as_soon_as_a_server_is_ready_and_bound_to_its_journal():
    side = Side()
    job = side.submit("work")
    side.connect()
    assert not side.take(p.Submit)
    side.ready(journal=OTHER)
    submit, frame = the([each for each in side.sent if isinstance(each[0], p.Submit)])
    assert (submit.job, submit.journal, submit.frames) == (job, OTHER, 1)
    assert values.load(values.split(frame, submit.payload.sizes)) == "work"


def test_a_job_runs_its_course_and_the_end_is_acknowledged(side):
    job = side.submit()
    side.hear(p.Journaled(job=job), p.Started(job=job, seq=1, incarnation=3))
    side.hear(output(job, 2), done(job, 3, {"x": 1}))
    accepted, started, printed, ended = side.news_of_jobs()
    assert accepted == n.Accepted(job)
    assert started.event.incarnation == 3
    assert (printed.event.stream, printed.frame) == ("stdout", b"text")
    assert values.load(ended.parts) == {"x": 1}
    ack = the(side.acks())
    assert (ack.job, ack.session, ack.seq) == (job, "default", 3)
    assert side.exchange.open_jobs == 0


def test_many_events_of_one_batch_are_acknowledged_once(side):
    job = side.running()
    content = bytes(64 * 1024)
    side.hear(*(output(job, seq, content) for seq in range(2, 12)))
    assert the(side.take(p.Ack)).seq == 11


def test_acknowledgements_of_ends_wait_for_each_other_and_travel_with_whatever_is_sent(side):
    one, two, three = side.running(), side.running(), side.running()
    side.hear(done(one, 2))
    side.hear(done(two, 2))
    assert not side.take()
    side.submit()
    assert [type(message) for message in side.take()] == [p.Submit, p.Ack, p.Ack]
    side.hear(done(three, 2))
    assert the(side.acks()).job == three


def test_small_output_is_acknowledged_after_a_while(side):
    job = side.running()
    side.hear(output(job, 2))
    assert not side.take(p.Ack)
    side.wait(1.5)
    assert the(side.take(p.Ack)).seq == 2


def test_a_session_with_a_server_of_its_own_uses_that(side):
    side.ready(journal=OTHER, session="gpu")
    side.submit(session="gpu")
    side.submit(session="other")
    assert [message.journal for message in side.take(p.Submit)] == [OTHER, JOURNAL]


def test_a_job_whose_own_server_is_deregistered_goes_to_the_common_one(side):
    side.hear(p.ServerState(state="suspect", session="gpu", journal=OTHER))
    side.submit(session="gpu")
    assert not side.take(p.Submit)
    side.hear(p.ServerState(state="absent", session="gpu"))
    assert the(side.take(p.Submit)).journal == JOURNAL


def test_values_of_several_parts_are_writable(side):
    job = side.running()
    message, _frame = done(job, 2, 0)
    parts = [b"pickle", b"buffer"]
    payload = values.describe(parts)
    mac = trust.result_mac(trust.job_key(SECRET, job), job, 2, payload)
    side.hear((msgspec.structs.replace(message, payload=payload, mac=mac), b"".join(parts)))
    ended = the(side.news(n.Ended))
    assert [bytes(part) for part in ended.parts] == parts
    assert not memoryview(ended.parts[1]).readonly


# -------------------------------------------------------------------------- loss


def test_an_unanswered_submission_is_sent_again_unchanged_and_ever_less_often(side):
    side.submit()
    first = the(side.take(p.Submit))
    times = []
    for now in side.seconds(60):
        times += [now for message in side.take(p.Submit) if message == first]
    assert 2 <= times[0] <= 3
    assert 10 <= times[-1] - times[-2] <= 12
    assert len(times) <= 9


def test_a_silent_job_is_asked_for_and_ever_less_often(side):
    side.running()
    times = []
    for now in side.seconds(200):
        times += [now for message in side.take(p.Attach) if message.seq == 1]
    assert 10 <= times[0] <= 12
    assert 29 <= times[-1] - times[-2] <= 32


def test_a_gap_is_ignored_and_asked_for(side):
    job = side.running()
    side.hear(output(job, 3), output(job, 4))
    assert not side.news_of_jobs()
    assert the(side.take(p.Attach)).seq == 1
    side.hear(output(job, 2, b"2"), output(job, 3, b"3"), output(job, 4, b"4"))
    assert [note.frame for note in side.news_of_jobs()] == [b"2", b"3", b"4"]


def test_repeated_events_are_ignored(side):
    job = side.running()
    side.hear(output(job, 2), output(job, 2), p.Started(job=job, seq=1), p.Journaled(job=job))
    assert len(side.news_of_jobs()) == 1


def test_an_event_says_that_the_job_was_journaled(side):
    job = side.submit()
    side.hear(p.Started(job=job, seq=1))
    assert [type(note) for note in side.news_of_jobs()] == [n.Accepted, n.Happened]


def test_the_repeated_end_of_an_ended_job_is_acknowledged_again(side):
    job = side.running()
    side.hear(done(job, 2))
    assert side.acks()
    side.news()
    side.hear(done(job, 2))
    assert the(side.take(p.Ack)).seq == 2
    assert not side.news()


def test_an_unanswered_hello_is_repeated():
    side = Side()
    side.do("connected", "ticket")
    side.take()
    side.wait(3.5)
    assert the(side.take(p.ClientHello)).ticket == "ticket"


@pytest.mark.parametrize("kind", p.Request.__subclasses__())
def test_an_unanswered_request_is_repeated_unchanged(side, kind):
    request = trust.new_id()
    fields = {"job": trust.new_id()} if kind is p.ReadLog else {}
    message = kind(request=request, session="default", **fields)
    side.do("ask", message)
    assert the(side.take(kind)) == message
    side.wait(4)
    assert the(side.take(kind)) == message
    answer = p.SessionEnded(request=request, existed=True)
    side.hear(answer, answer)
    assert the(side.news(n.Answered)).message == answer
    side.wait(10)
    assert not side.take(kind)


def test_a_forgotten_request_is_not_repeated_and_its_answer_is_no_news(side):
    request = trust.new_id()
    side.do("ask", p.ListSessions(request=request, session="default"))
    side.take()
    side.do("forget", request)
    side.wait(10)
    assert not side.take(p.ListSessions)
    side.hear(p.SessionList(request=request, sessions=[]))
    assert not side.news(n.Answered)


@pytest.mark.parametrize("kind", [p.Interrupt, p.Cancel])
def test_a_job_that_is_not_followed_can_be_stopped_all_the_same(side, kind):
    message = kind(job=trust.new_id(), session="default")
    side.do("tell", message)
    assert the(side.take(kind)) == message
    side.wait(20)
    assert not side.take(kind, p.Attach)


def test_an_answer_comes_with_its_frame(side):
    request, job = trust.new_id(), side.running()
    side.do("ask", p.ReadLog(request=request, session="default", job=job))
    page = p.LogPage(request=request, job=job, known=True, next=3, size=3, frames=1)
    side.hear((page, b"abc"))
    assert the(side.news(n.Answered)) == n.Answered(page, b"abc")


def test_a_waiting_job_tells_how_many_are_ahead_whenever_that_changes(side):
    job = side.submit()
    side.hear(p.Journaled(job=job, ahead=2), p.Journaled(job=job, ahead=2))
    side.hear(p.Journaled(job=job, ahead=1), p.Journaled(job=job))
    assert [note.ahead for note in side.news(n.Accepted)] == [2, 1, 0]
    side.hear(p.Started(job=job, seq=1), p.Journaled(job=job, ahead=7))
    assert not side.news(n.Accepted)


# ------------------------------------------------------------------ reconnection


def test_after_a_reconnection_jobs_are_sent_again_or_attached(side):
    journaled, unanswered = side.running(), side.submit()
    side.hear(output(journaled, 2))
    side.take()
    side.do("disconnected")
    waiting = side.submit()
    assert not side.take()
    side.connect()
    side.ready()
    attach = the(message for message in side.sent if isinstance(message[0], p.Attach))[0]
    assert (attach.job, attach.seq) == (journaled, 2)
    assert {message.job for message in side.take(p.Submit)} == {unanswered, waiting}


@pytest.mark.parametrize("sign", [p.Resync(), p.Heartbeat(epoch="f" * 32)])
def test_a_restarted_broker_is_greeted_and_told_everything_anew(side, sign):
    job = side.running()
    side.hear(sign)
    assert [type(message) for message in side.take()] == [p.ClientHello]
    side.hear(output(job, 2))  # still on its way
    side.welcome(epoch="f" * 32)
    side.ready()
    assert the(side.take(p.Attach)).seq == 2


def test_a_stream_of_resyncs_is_not_answered_with_a_stream_of_hellos(side):
    side.hear(*(p.Resync() for _ in range(50)))
    assert len(side.take(p.ClientHello)) == 1


def test_events_of_two_connections_may_cross(side):
    job = side.running()
    side.do("disconnected")
    side.connect()
    side.ready()
    side.hear(output(job, 2, b"2"), output(job, 3, b"3"))
    side.hear(output(job, 2, b"2"), output(job, 3, b"3"), output(job, 4, b"4"))
    assert [note.frame for note in side.news(n.Happened)] == [b"2", b"3", b"4"]


def test_an_acknowledgement_that_may_have_been_lost_is_repeated_after_a_reconnection(side):
    job = side.running()
    side.hear(done(job, 2))
    assert side.acks()
    side.do("disconnected")
    side.connect()
    assert the(side.take(p.Ack)).job == job


def test_what_was_taken_while_away_is_acknowledged_after_the_reconnection(side):
    job = side.running()
    side.hear(p.Streaming(job=job, seq=2), item(job, 3), done(job, 4))
    side.take()
    side.do("disconnected")
    side.do("item_consumed", job, 3)
    assert not side.acks()
    side.connect()
    assert the(side.take(p.Ack)).seq == 4


def test_reconnection_is_told_once_it_takes_long_and_when_it_is_over(side):
    side.wait(20)
    silences = [note.silence for note in side.news(n.Contact) if not note.connected]
    assert len(silences) >= 4
    assert silences[0] >= p.SUSPECT
    assert side.take(p.ClientHello)
    side.welcome()
    assert the(side.news(n.Contact)).connected


def test_a_process_that_slept_does_not_take_the_others_for_dead(side):
    side.running()
    side.now += 1000
    side.exchange.tick(side.now)
    side.settle()
    assert not side.news_of_jobs()
    side.wait(p.LOST + 5)
    assert the(side.news(n.Rejected)).code == "R07"


def test_jobs_end_when_the_broker_is_away_for_too_long(side):
    waiting, started = side.submit(session="gpu"), side.running()
    side.do("disconnected")
    side.wait(p.LOST - 5)
    assert not side.news_of_jobs()
    side.wait(10)
    rejected = side.news(n.Rejected)
    assert {(note.job, note.code) for note in rejected} == {(waiting, "R07"), (started, "R07")}


# ------------------------------------------------------------------------ tickets


def test_a_new_ticket_is_asked_for_at_half_life_and_shown_without_disturbing_the_jobs(side):
    side.running()
    side.welcome(expires_in=60)
    side.ready()
    side.take()
    assert list(side.seconds(31))
    assert len(side.news(n.NeedTicket)) == 1
    side.take()
    side.do("renew", "ticket 2")
    assert the(side.take(p.ClientHello)).ticket == "ticket 2"
    side.welcome()
    side.ready()
    assert not side.take(p.Attach)
    side.ready()  # this time it did register again
    assert side.take(p.Attach)


def test_a_refusal_is_told_and_ends_the_talk(side):
    side.hear(p.Refused(code="R02", message="The ticket has expired."))
    assert the(side.news(n.Denied)) == n.Denied("R02", "The ticket has expired.")
    side.submit()
    side.wait(5)
    assert not side.take()


# ------------------------------------------------------------------------ servers


def test_a_lost_server_ends_its_jobs_truthfully(side):
    journaled, sent = side.running(), side.submit()
    side.take()
    side.hear(p.ServerState(state="suspect", journal=JOURNAL))
    never_sent = side.submit()
    assert not side.news(n.Ended)
    side.hear(p.ServerState(state="lost", journal=JOURNAL))
    ended = {note.job: note.event for note in side.news(n.Ended)}
    assert set(ended) == {journaled, sent}
    assert all(isinstance(event, p.Lost) and event.executed for event in ended.values())
    side.ready(journal=OTHER)
    submit = the(side.take(p.Submit))
    assert (submit.job, submit.journal) == (never_sent, OTHER)


def test_a_server_with_another_journal_gets_none_of_the_jobs_sent_before(side):
    side.submit()
    side.take()
    side.ready(journal=OTHER)
    assert not side.take(p.Submit, p.Attach)
    assert the(side.news(n.Ended)).event.executed


def test_a_restarted_server_with_the_same_journal_goes_on(side):
    journaled, sent = side.running(), side.submit()
    side.take()
    side.ready(epoch=2)
    assert {type(message): message.job for message in side.take(p.Attach, p.Submit)} == {
        p.Attach: journaled,
        p.Submit: sent,
    }


def test_after_a_broker_restart_a_server_that_stays_away_is_given_up(side):
    job = side.running()
    side.hear(p.Resync())
    side.welcome(epoch="f" * 32)
    side.hear(p.ServerState(state="absent"))
    new = side.submit()
    for _ in range(int(p.LOST) + 2):
        side.hear(p.Heartbeat(epoch="f" * 32))
        side.wait(1)
    notes = {note.job: note for note in side.news(n.Ended, n.Rejected)}
    assert notes[job].event.executed
    assert notes[new].code == "R06"


def test_a_draining_server_hands_its_refusals_to_the_next_one(side):
    job = side.submit()
    side.take()
    side.hear(p.Nack(job=job, code="draining", message="shutting down"))
    later = side.submit()
    assert not side.take(p.Submit)
    side.ready(journal=OTHER)
    assert {(m.job, m.journal) for m in side.take(p.Submit)} == {(job, OTHER), (later, OTHER)}
    assert not side.news_of_jobs()


@pytest.mark.parametrize("code", ["conflict", "full", "journal", "R12"])
def test_a_refused_job_ends_with_the_reason(side, code):
    job = side.submit()
    side.hear(p.Nack(job=job, code=code, message="because"))
    assert the(side.news(n.Rejected)) == n.Rejected(job, code, "because")
    assert not side.take(p.Ack)


def test_a_payload_that_arrived_corrupt_is_sent_once_more(side):
    job = side.submit()
    side.hear(p.Nack(job=job, code="corrupt", message="digest"))
    assert len(side.take(p.Submit)) == 2
    side.hear(p.Nack(job=job, code="corrupt", message="digest"))
    assert the(side.news(n.Rejected)).code == "corrupt"


def test_a_refusal_that_comes_after_the_acceptance_is_ignored(side):
    job = side.running()
    side.hear(p.Nack(job=job, code="full", message="of the repeated one"))
    assert not side.news()


def test_a_server_that_never_got_the_job_gets_it_again(side):
    job = side.submit()
    first = the(side.take(p.Submit))
    side.hear(p.Unknown(job=job, journal=JOURNAL))
    assert the(side.take(p.Submit)) == first


def test_a_server_that_forgot_a_job_ends_it(side):
    job = side.running()
    side.hear(p.Unknown(job=job, journal=JOURNAL))
    assert the(side.news(n.Ended)).event.executed


def test_a_job_that_another_journal_does_not_know_is_lost(side):
    job = side.submit()
    side.take()
    side.hear(p.Unknown(job=job, journal=OTHER))
    assert the(side.news(n.Ended)).event.executed
    assert not side.take(p.Submit)


def test_a_function_for_another_python_is_refused_before_it_is_sent(side):
    side.submit(python="3.12")
    assert not side.take(p.Submit)
    rejected = the(side.news(n.Rejected))
    assert rejected.code == "R12"
    assert "3.12" in rejected.message
    assert "3.11" in rejected.message


def test_a_patch_release_makes_no_difference(side):
    side.ready(python="3.11.9")
    side.submit(python="3.11")
    assert side.take(p.Submit)


def test_source_text_goes_to_any_python(side):
    side.submit(kind="cell", python="")
    assert side.take(p.Submit)


# ------------------------------------------------------------------------- attach


def test_attaching_replays_a_job_from_its_start(side):
    job = trust.new_id()
    side.do("attach", job, "default", trust.job_key(SECRET, job))
    assert the(side.take(p.Attach)).seq == 0
    side.hear(p.Journaled(job=job), p.Started(job=job, seq=1), done(job, 2, "value"))
    assert values.load(the(side.news(n.Ended)).parts) == "value"


def test_attaching_to_a_job_that_nobody_knows_ends_with_that(side):
    job = trust.new_id()
    side.do("attach", job, "default", bytes(32))
    side.hear(p.Unknown(job=job, journal=JOURNAL))
    assert the(side.news(n.Rejected)).code == "unknown"


def test_an_unanswered_attachment_is_repeated(side):
    side.do("attach", trust.new_id(), "default", bytes(32))
    side.take()
    side.wait(4)
    assert side.take(p.Attach)


@pytest.mark.parametrize("seq", [0, 7])
def test_events_that_another_process_acknowledged_are_skipped_once_the_server_insists(seq):
    side = Side()
    side.connect()
    side.ready()
    job = trust.new_id()
    side.do("attach", job, "default", trust.job_key(SECRET, job))
    side.hear(p.Journaled(job=job), *(p.Started(job=job, seq=1),) * (seq > 0))
    side.take()
    side.hear(output(job, 11, b"11"), output(job, 12, b"12"))
    assert the(side.take(p.Attach))
    side.hear(p.Journaled(job=job), output(job, 11, b"11"), output(job, 12, b"12"))
    side.hear(done(job, 13))
    assert [note.frame for note in side.news(n.Happened)][-2:] == [b"11", b"12"]


def test_a_gap_is_not_skipped_just_because_the_event_after_it_comes_twice(side):
    job = side.running()
    side.hear(output(job, 3))
    side.hear(output(job, 3), output(job, 3), output(job, 3))
    assert not side.news_of_jobs()
    for _ in side.seconds(3):
        side.hear(output(job, 3))
    assert side.news_of_jobs()  # asked three times


# ------------------------------------------------------------- interrupt and cancel


@pytest.mark.parametrize("verb", ["interrupt", "cancel"])
def test_a_running_job_can_be_ended(side, verb):
    job = side.running()
    side.do(verb, job)
    message = the(side.take(p.Interrupt, p.Cancel))
    assert (type(message).__name__.lower(), message.job) == (verb, job)


@pytest.mark.parametrize("verb", ["interrupt", "cancel"])
def test_a_job_that_was_never_sent_is_withdrawn_here(verb):
    side = Side()
    job = side.submit()
    side.do(verb, job)
    assert not the(side.news(n.Ended)).event.executed
    side.connect()
    side.ready()
    assert not side.take(p.Submit)


@pytest.mark.parametrize("verb", ["interrupt", "cancel"])
def test_a_job_that_may_have_been_sent_is_ended_once_it_is_known_to_be_there(side, verb):
    job = side.submit()
    side.do(verb, job)
    assert not side.take(p.Interrupt, p.Cancel)
    side.hear(p.Journaled(job=job), p.Journaled(job=job))
    assert the(side.take(p.Interrupt, p.Cancel)).job == job


def test_an_interruption_is_not_repeated_long_after(side):
    job = side.running()
    side.do("interrupt", job)
    assert list(side.seconds(20))
    side.take()
    side.ready(epoch=2)
    assert not side.take(p.Interrupt)


def test_an_interruption_that_may_have_been_lost_is_repeated(side):
    job = side.running()
    side.do("disconnected")
    side.do("interrupt", job)
    side.connect()
    side.ready()
    assert the(side.take(p.Interrupt)).job == job


# -------------------------------------------------------------------------- trust


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("kind", [p.Done, p.Item])
def test_a_value_with_a_wrong_mac_is_never_handed_up(side, kind):
    job = side.running()
    message, frame = valued(kind, job, 2, Bomb(), key=b"x" * 32)
    side.hear((message, frame))
    assert the(side.news_of_jobs()).code == "forged"
    assert not side.acks()


def test_a_forged_exception_is_never_handed_up(side):
    job = side.running()
    fields = {"error": "E", "message": "m", "traceback": []}
    side.hear(valued(p.Failed, job, 2, Bomb(), key=b"x" * 32, **fields))
    assert the(side.news_of_jobs()).code == "forged"


def test_a_value_of_another_event_or_job_does_not_verify(side):
    one, two = side.running(), side.running()
    message, frame = done(one, 3, "value")
    side.hear((msgspec.structs.replace(message, seq=2), frame))
    side.hear((msgspec.structs.replace(message, seq=2, job=two), frame))
    assert [note.code for note in side.news_of_jobs()] == ["forged", "forged"]


def test_bytes_that_were_changed_do_not_verify(side):
    job = side.running()
    message, frame = done(job, 2, "value")
    side.hear((message, bytes(frame[:-1]) + b"!"))
    assert the(side.news_of_jobs()).code == "forged"


def test_a_missing_frame_does_not_verify(side):
    job = side.running()
    message, _ = done(job, 2, "value")
    side.hear((msgspec.structs.replace(message, frames=0), None))
    assert the(side.news_of_jobs()).code == "forged"


def test_an_error_without_a_pickled_exception_needs_none(side):
    job = side.running()
    side.hear(
        p.Failed(
            job=job,
            seq=2,
            error="Odd",
            message="m",
            traceback=["t"],
            payload=p.Payload(sizes=[0], digest=bytes(32)),
            mac=bytes(32),
        )
    )
    ended = the(side.news(n.Ended))
    assert ended.parts is None
    assert ended.event.error == "Odd"


# ------------------------------------------------------------------------- chunks

LARGE = bytes(range(256)) * (12 * 4096) + b"end"
"""A little over 12 MiB."""


def chunk_up(job, seq, value):
    """Return the event, and the payload as a server would cut it."""
    message, _ = done(job, seq, value, carrier="chunks")
    whole = values.join(values.dump(value))
    return message, whole


def pieces(job, seq, whole, start, stop=None):
    stop = len(whole) if stop is None else stop
    return [
        (
            p.Chunk(job=job, session="default", seq=seq, offset=offset, frames=1),
            whole[offset : min(offset + p.CHUNK, stop)],
        )
        for offset in range(start, stop, p.CHUNK)
    ]


def test_a_large_payload_is_pulled_by_the_server(side):
    job = side.submit(LARGE)
    submit, frame = side.sent[-1]
    assert (submit.payload.carrier, submit.frames, frame) == ("chunks", 0, None)
    side.sent.clear()
    received = bytearray()
    while len(received) < submit.payload.nbytes:
        side.hear(
            p.ChunkAck(
                job=job, session="default", seq=0, received=len(received), rewind=not received
            )
        )
        assert all(len(frame) <= p.CHUNK for _, frame in side.sent)
        for message, frame in side.sent:
            assert message.offset == len(received)
            received += frame
        side.sent.clear()
    assert trust.payload_digest([received]) == submit.payload.digest
    side.hear(p.Journaled(job=job))
    assert side.news(n.Accepted)


def test_no_more_than_a_window_is_under_way(side):
    job = side.submit(LARGE * 2)
    side.take()
    ack = p.ChunkAck(job=job, session="default", seq=0, received=0, rewind=True)
    side.hear(ack)
    assert sum(len(frame) for _, frame in side.sent) == p.WINDOW
    side.take()
    side.hear(p.ChunkAck(job=job, session="default", seq=0, received=p.CHUNK))
    assert [message.offset for message in side.take(p.Chunk)] == [p.WINDOW]


def test_a_rewind_sends_again_what_was_lost(side):
    job = side.submit(LARGE)
    side.hear(p.ChunkAck(job=job, session="default", seq=0, received=0, rewind=True))
    side.take()
    side.hear(p.ChunkAck(job=job, session="default", seq=0, received=2 * p.CHUNK, rewind=True))
    assert side.take(p.Chunk)[0].offset == 2 * p.CHUNK


def test_a_large_result_is_pulled_and_what_follows_waits_for_it(side):
    job = side.running()
    message, whole = chunk_up(job, 3, LARGE)
    side.hear(output(job, 2), message)
    assert side.take(p.ChunkAck)[0].rewind
    acks = []
    for piece in pieces(job, 3, whole, 0):
        side.hear(piece)
        acks += side.take(p.ChunkAck)
    assert [ack.received for ack in acks] == [4 * p.CHUNK, 8 * p.CHUNK, 12 * p.CHUNK]
    *_, ended = side.news_of_jobs()
    assert values.load(ended.parts) == LARGE


def test_a_lost_piece_is_asked_for_once_and_the_rest_is_sent_again(side):
    job = side.running()
    message, whole = chunk_up(job, 2, LARGE)
    side.hear(message)
    side.take()
    first, lost, *rest = pieces(job, 2, whole, 0)
    side.hear(first, *rest)
    ack = the(side.take(p.ChunkAck))
    assert (ack.received, ack.rewind) == (p.CHUNK, True)
    side.hear(lost, first, *rest)
    assert values.load(the(side.news(n.Ended)).parts) == LARGE


def test_a_stalled_transfer_is_asked_for_again(side):
    job = side.running()
    message, whole = chunk_up(job, 2, LARGE)
    side.hear(message)
    side.hear(*pieces(job, 2, whole, 0, 3 * p.CHUNK))
    side.take()
    side.wait(7)
    ack = the(side.take(p.ChunkAck))
    assert (ack.received, ack.rewind) == (3 * p.CHUNK, True)


def test_a_transfer_survives_a_reconnection(side):
    job = side.running()
    message, whole = chunk_up(job, 2, LARGE)
    side.hear(message)
    side.hear(*pieces(job, 2, whole, 0, 5 * p.CHUNK))
    side.take()
    side.do("disconnected")
    side.connect()
    side.ready()
    ack = the(side.take(p.ChunkAck))
    assert (ack.received, ack.rewind) == (5 * p.CHUNK, True)
    side.hear(message)  # the attachment replays it
    side.hear(*pieces(job, 2, whole, 5 * p.CHUNK))
    assert values.load(the(side.news(n.Ended)).parts) == LARGE


def test_a_transfer_with_changed_bytes_does_not_verify(side):
    job = side.running()
    message, whole = chunk_up(job, 2, LARGE)
    side.hear(message)
    side.hear(*pieces(job, 2, b"?" + bytes(whole[1:]), 0))
    assert the(side.news_of_jobs()).code == "forged"


def test_a_forged_large_value_is_not_even_pulled(side):
    job = side.running()
    message, _ = done(job, 2, LARGE, carrier="chunks", key=b"x" * 32)
    side.hear(message)
    assert not side.take(p.ChunkAck)
    assert the(side.news_of_jobs()).code == "forged"


def test_a_value_for_which_there_is_no_memory_ends_the_job_saying_so(side):
    job = side.running()
    payload = p.Payload(sizes=[2**62], digest=bytes(32), carrier="chunks")
    mac = trust.result_mac(trust.job_key(SECRET, job), job, 2, payload)
    side.hear(p.Done(job=job, seq=2, payload=payload, mac=mac))
    assert the(side.news(n.Rejected)).code == "R11"


# ----------------------------------------------------------------------- segments


@pytest.fixture
def neighbour():
    side = Side(share=True)
    side.connect()
    side.ready()
    side.take()
    side.news()
    return side


def test_a_large_payload_for_a_neighbour_goes_as_a_file(neighbour):
    job = neighbour.submit(LARGE)
    assert not neighbour.take()
    wish = the(neighbour.news(n.WriteSegment))
    assert (wish.job, wish.directory) == (job, "/x")
    neighbour.do("segment_written", job, "/x", "f00")
    submit = the(neighbour.take(p.Submit))
    assert (submit.payload.carrier, submit.payload.segment, submit.local) == (
        "segment",
        "f00",
        True,
    )
    neighbour.hear(p.Journaled(job=job))
    assert not neighbour.news(n.DropSegment)  # it is the server's now


def test_a_file_that_cannot_be_written_makes_way_for_chunks(neighbour):
    job = neighbour.submit(LARGE)
    neighbour.do("segment_written", job, "/x", None)
    assert the(neighbour.take(p.Submit)).payload.carrier == "chunks"


def test_a_file_that_nobody_will_use_is_removed(neighbour):
    refused, withdrawn = neighbour.submit(LARGE), neighbour.submit(LARGE)
    neighbour.do("segment_written", refused, "/x", "f00")
    neighbour.hear(p.Nack(job=refused, code="full", message="m"))
    neighbour.do("cancel", withdrawn)
    neighbour.do("segment_written", withdrawn, "/x", "f01")
    assert neighbour.news(n.DropSegment) == [
        n.DropSegment("/x", "f00"),
        n.DropSegment("/x", "f01"),
    ]


def test_a_file_that_the_server_cannot_read_makes_way_for_chunks(neighbour):
    job = neighbour.submit(LARGE)
    neighbour.do("segment_written", job, "/x", "f00")
    neighbour.take()
    neighbour.hear(p.Nack(job=job, code="corrupt", message="no such file"))
    assert the(neighbour.take(p.Submit)).payload.carrier == "chunks"
    assert neighbour.news(n.DropSegment)


def test_a_server_that_goes_while_the_file_is_written_gets_nothing(neighbour):
    job = neighbour.submit(LARGE)
    neighbour.hear(p.ServerState(state="lost", journal=JOURNAL))
    neighbour.do("segment_written", job, "/x", "f00")
    assert neighbour.news(n.DropSegment)
    neighbour.ready(journal=OTHER)
    neighbour.do("segment_written", job, "/x", "f01")
    assert the(neighbour.take(p.Submit)).journal == OTHER


def test_a_large_result_of_a_neighbour_comes_as_a_file(neighbour):
    job = neighbour.running()
    message, _ = done(job, 2, LARGE, carrier="segment")
    neighbour.hear(message)
    wish = the(neighbour.news(n.ReadSegment))
    assert (wish.seq, wish.directory, wish.payload.segment) == (2, "/x", "d" * 32)
    whole = values.join(values.dump(LARGE))
    neighbour.do("segment_read", job, 2, memoryview(whole), authentic=True)
    assert values.load(the(neighbour.news(n.Ended)).parts) == LARGE
    assert the(neighbour.acks()).seq == 2


def test_a_file_with_other_content_does_not_verify(neighbour):
    job = neighbour.running()
    message, _ = done(job, 2, LARGE, carrier="segment")
    neighbour.hear(message)
    neighbour.do("segment_read", job, 2, b"...", authentic=False)
    assert the(neighbour.news(n.Rejected)).code == "forged"


def test_a_file_that_cannot_be_read_here_is_asked_for_in_pieces(neighbour):
    job = neighbour.running()
    message, _ = done(job, 2, LARGE, carrier="segment")
    neighbour.hear(message)
    neighbour.do("segment_read", job, 2, None)
    attach = the(neighbour.take(p.Attach))
    assert (attach.seq, attach.local) == (1, False)
    message, whole = chunk_up(job, 2, LARGE)
    neighbour.hear(message)
    neighbour.hear(*pieces(job, 2, whole, 0))
    assert values.load(the(neighbour.news(n.Ended)).parts) == LARGE


def test_a_server_elsewhere_cannot_name_a_file(side):
    job = side.running()
    message, _ = done(job, 2, LARGE, carrier="segment")
    side.hear(message)
    assert the(side.news_of_jobs()).code == "R11"


# ------------------------------------------------------------------ credit and items


def test_credit_is_granted_for_what_was_consumed_and_no_more(side):
    job = side.submit()
    assert the(side.take(p.Submit)).credit == p.CREDIT
    side.hear(p.Journaled(job=job), *(output(job, seq, bytes(65536)) for seq in range(1, 9)))
    assert the(side.take(p.Ack)).credit == p.CREDIT
    side.do("consumed", job, 4 * 65536)
    ack = the(side.take(p.Ack))
    assert (ack.seq, ack.credit) == (8, p.CREDIT + 4 * 65536)


def test_little_consumption_is_granted_later_together(side):
    job = side.running()
    for seq in range(2, 12):
        side.hear(output(job, seq))
        side.do("consumed", job, 4)
    assert not side.take(p.Ack)
    side.wait(1.5)
    assert the(side.take(p.Ack)).credit == p.CREDIT + 40


def test_items_are_acknowledged_as_they_are_consumed(side):
    job = side.running()
    side.hear(p.Streaming(job=job, seq=2), *(item(job, seq, seq) for seq in range(3, 43)))
    side.wait(1.5)
    assert side.take(p.Ack)[-1].seq == 2
    for seq in range(3, 3 + 16):
        side.do("item_consumed", job, seq)
    assert the(side.take(p.Ack)).seq == 18
    assert [values.load(note.parts) for note in side.news(n.Yielded)] == list(range(3, 43))


def test_the_end_of_a_generator_is_acknowledged_after_its_last_item(side):
    job = side.running()
    side.hear(p.Streaming(job=job, seq=2), item(job, 3), item(job, 4), done(job, 5))
    assert side.news(n.Ended)
    assert not [ack for ack in side.take(p.Ack) if ack.seq > 2]
    side.do("item_consumed", job, 3)
    side.do("item_consumed", job, 4)
    assert side.acks()[-1].seq == 5


def test_large_items_are_pulled_only_as_fast_as_they_are_consumed(side):
    job = side.running()
    message, whole = valued(p.Item, job, 3, LARGE, carrier="chunks")
    whole = values.join(values.dump(LARGE))
    second = valued(p.Item, job, 4, LARGE, carrier="chunks")
    side.hear(p.Streaming(job=job, seq=2), message, second)
    side.hear(*pieces(job, 3, whole, 0))
    assert {ack.seq for ack in side.take(p.ChunkAck)} == {3}
    side.do("item_consumed", job, 3)
    assert {ack.seq for ack in side.take(p.ChunkAck)} == {4}


def test_output_after_a_large_item_keeps_its_place(side):
    job = side.running()
    message, _ = valued(p.Item, job, 3, LARGE, carrier="chunks")
    whole = values.join(values.dump(LARGE))
    side.hear(p.Streaming(job=job, seq=2), message, output(job, 4), done(job, 5))
    assert len(side.news_of_jobs()) == 1
    side.hear(*pieces(job, 3, whole, 0))
    assert [type(note) for note in side.news_of_jobs()] == [n.Yielded, n.Happened, n.Ended]


# ------------------------------------------------------------------------ bounds


def test_news_of_jobs_that_are_not_ours_changes_nothing(side):
    job = trust.new_id()
    side.hear(
        p.Journaled(job=job),
        p.Started(job=job, seq=1),
        done(job, 2),
        p.Nack(job=job, code="full", message=""),
        p.Unknown(job=job, journal=JOURNAL),
        p.ChunkAck(job=job, session="default", seq=0, received=0, rewind=True),
        (p.Chunk(job=job, session="default", seq=1, offset=0, frames=1), b"x"),
        p.JobList(request=job, jobs=[]),
        (p.LogPage(request=job, job=job, known=True, frames=1), b"x"),
    )
    assert not side.take()
    assert not side.news()


def test_ended_jobs_leave_bounded_memory(side):
    for _ in range(5000):
        job = side.submit()
        side.hear(p.Journaled(job=job), done(job, 1))
    assert side.acks()
    assert not side.exchange._jobs
    assert len(side.exchange._finished) <= 4096
    assert not side.exchange._desk.touched


def test_closing_says_goodbye(side):
    job = side.running()
    side.hear(done(job, 2))
    side.exchange.close()
    side.settle()
    assert [type(message) for message in side.take()] == [p.Ack, p.Goodbye]


def test_ending_all_jobs_leaves_none_waiting(side):
    side.running()
    side.submit()
    side.exchange.end_all("R07", "closed")
    side.settle()
    assert [note.code for note in side.news(n.Rejected)] == ["R07", "R07"]
    assert not side.acks()
