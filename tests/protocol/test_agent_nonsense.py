"""Messages in any order and with any numbers, from the broker and from exec."""

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.logs import unpack
from rexec_server import handoff as h
from rexec_server.agent.job import Limits
from tests.protocol.agents import Agent, payload

CONTENT = b"x" * 10


def start_again(agent):
    agent.restart()
    agent.ready(1, 2)


def connect_again(agent):
    agent.machine.disconnected(agent.now)
    agent.connect()


def submit(agent, job, which):
    carrier = "chunks" if which == 2 else "inline"
    agent.submit(CONTENT, job=job, payload=payload(CONTENT, carrier))


CELLS = ({}, {"fresh": True}, {"if_busy": "fail"}, {"if_busy": "interrupt"}, {"hidden": True})


def cell(agent, job, which):
    agent.cell(job=job, **CELLS[(which + len(agent.machine._shared.jobs)) % len(CELLS)])


def end_session(agent, job, which):
    agent.ask(p.EndSession, restart=which == 1, request=job)


def read_log(agent, job, one, two):
    agent.ask(p.ReadLog, job=job, offset=one, limit=two, wait=10.0 * (one == 0), tail=one % 4)


def measured(agent, _, which):
    agent.manager(h.Measured(cpu=1.0, cores=1.0, memory=which, memory_limit=0))


def pull(agent, job, seq, received):
    agent.say(p.ChunkAck(job=job, session="default", seq=seq, received=received, rewind=True))


ABOUT_NUMBERS = {
    "attach": lambda agent, job, one, two: agent.attach(job, one, credit=two),
    "ack": lambda agent, job, one, two: agent.ack(job, one, credit=two),
    "pull": pull,
    "read": read_log,
    "chunk": lambda agent, job, one, two: agent.chunk(job, two, CONTENT, seq=one),
}
ABOUT_JOBS = {
    "submit": submit,
    "cell": cell,
    "cell starts": lambda agent, job, which: agent.started(job, which),
    "cell shows": lambda agent, job, _: agent.shows(job),
    "cell displays": lambda agent, job, _: agent.shows(job, CONTENT * 200_000, "display"),
    "cell returns": lambda agent, job, _: agent.returns(job, pid=0),
    "cell is gone": lambda agent, job, which: agent.manager(h.CellGone(job=job, started=which > 0)),
    "kernel": lambda agent, _, which: agent.kernel(("starting", "ready", "gone")[which]),
    "end session": end_session,
    "usage": lambda agent, job, _: agent.ask(p.ReadUsage, request=job),
    "measured": measured,
    "interrupt": lambda agent, job, _: agent.interrupt(job),
    "cancel": lambda agent, job, _: agent.cancel(job),
    "detach": lambda agent, job, _: agent.say(p.Detached(job=job)),
    "returns": lambda agent, job, which: agent.returns(job, pid=which),
    "raises": lambda agent, job, which: agent.raises(job, pid=which),
    "yields": lambda agent, job, which: agent.yields(job, pid=which),
    "prints": lambda agent, _, which: agent.prints("x" * 400, pid=which),
    "gone": lambda agent, _, which: agent.manager(h.WorkerGone(pid=which, exit_code=1)),
    "replaced": lambda agent, _, which: agent.machine.worker_up(agent.now, 10 + which),
}
ABOUT_ALL = {
    "wait": lambda agent: agent.wait(3.0),
    "exec ends": lambda agent: agent.machine.manager_down(agent.now),
    "exec is there": lambda agent: agent.machine.manager_up(agent.now),
    "reconnect": connect_again,
    "restart": start_again,
}
NUMBERS = st.sampled_from([0, 0, 1, 2, 3, 1000, 2**53, 2**63, 2**64 - 1])
WHICH = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.sampled_from(sorted(ABOUT_JOBS)), WHICH),
    st.tuples(st.just("submit"), WHICH),
    st.tuples(st.sampled_from(sorted(ABOUT_NUMBERS)), WHICH, NUMBERS, NUMBERS),
    st.tuples(st.sampled_from(sorted(ABOUT_ALL))),
)


@settings(max_examples=500)
@given(st.lists(STEPS, min_size=5, max_size=60))
def test_no_message_in_any_order_upsets_the_machine_or_starts_a_job_twice(steps):
    agent = Agent(limits=Limits(output=1000, log=5_000_000, logs=8_000_000)).ready(1, 2)
    jobs = [trust.new_id() for _ in range(3)]
    ran = Counter()
    for kind, *arguments in steps:
        if kind in ABOUT_ALL:
            ABOUT_ALL[kind](agent)
        elif kind in ABOUT_JOBS:
            ABOUT_JOBS[kind](agent, jobs[arguments[0]], arguments[0])
        else:
            ABOUT_NUMBERS[kind](agent, jobs[arguments[0]], *arguments[1:])
        ran.update(command.job for command in agent.commands(h.RunCall, h.RunCell))
        for message in agent.sent():
            msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=p.FromServer)
    assert all(count == 1 for count in ran.values())
    agent.machine.manager_down(agent.now)
    for job in jobs:
        agent.interrupt(job)
        agent.ack(job, 2**64 - 1)
    agent.wait(400.0)  # half-done transfers are forgotten
    assert agent.machine._shared.stored == 0
    assert agent.spool.files == {}
    for content in agent.logs.files.values():
        assert [record.kind for record in unpack(content)].count("end") == 1
