"""The three state machines together, on a network that loses, repeats and reorders.

Whatever happens: code starts at most once, a job ends once, nothing reaches another user, and
once the faults stop every job ends, with its own result or an error that is true.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rexec_jupyter.core import logs
from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from tests.protocol.world import World, lines_of, result_of

USERS = {"ada": 2, "bob": 1}
SIZES = st.sampled_from([0, 0, 0, 70_000, 2_500_000])
INDEX = st.integers(0, 7)


class Together(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World(USERS)
        self.world.settle()

    def _pick(self, items, index):
        return items[index % len(items)]

    def _queues(self):
        return [
            queue for peer in self.world.peers for queue in (peer.outbound, peer.inbound) if queue
        ]

    def _places(self):
        return [(server, place) for server in self.world.servers for place in server.running]

    # ------------------------------------------------------------------- what users do

    @rule(
        who=INDEX,
        kind=st.sampled_from(["call", "cell"]),
        session=st.sampled_from(["default", "other"]),
        nbytes=SIZES,
    )
    def submit(self, who, kind, session, nbytes):
        self._pick(self.world.clients, who).submit(kind=kind, session=session, nbytes=nbytes)

    @rule(
        who=INDEX,
        fresh=st.booleans(),
        hidden=st.booleans(),
        if_busy=st.sampled_from(["queue", "fail", "interrupt"]),
    )
    def submit_cell(self, who, **spec):
        self._pick(self.world.clients, who).submit(kind="cell", **spec)

    @rule(who=INDEX, kind=st.sampled_from([p.ListJobs, p.ListSessions, p.ReadUsage]))
    def list(self, who, kind):
        self._pick(self.world.clients, who).ask(kind)

    @rule(who=INDEX, session=st.sampled_from(["default", "other"]), restart=st.booleans())
    def end_session(self, who, session, restart):
        self._pick(self.world.clients, who).ask(p.EndSession, session, restart=restart)

    @rule(who=INDEX, which=INDEX, offset=st.integers(0, 200), wait=st.sampled_from([0.0, 30.0]))
    def read_log(self, who, which, offset, wait):
        client = self._pick(self.world.clients, who)
        if client.notes:
            job = self._pick(list(client.notes), which)
            client.ask(p.ReadLog, job=job, offset=offset, wait=wait)

    @rule(who=INDEX, which=INDEX, method=st.sampled_from(["interrupt", "cancel"]))
    def stop(self, who, which, method):
        client = self._pick(self.world.clients, who)
        if client.notes:
            client.tell(method, self._pick(list(client.notes), which))

    # ----------------------------------------------------------------- what code does

    @precondition(lambda self: self._places())
    @rule(which=INDEX, count=st.integers(1, 3))
    def write(self, which, count):
        server, place = self._pick(self._places(), which)
        server.write(place, count)

    @precondition(lambda self: self._places())
    @rule(which=INDEX, nbytes=SIZES)
    def finish(self, which, nbytes):
        server, place = self._pick(self._places(), which)
        server.finish(place, nbytes)

    @precondition(lambda self: self._places())
    @rule(which=INDEX)
    def crash(self, which):
        server, place = self._pick(self._places(), which)
        server.crash(place)

    # ----------------------------------------------------------- what the network does

    @rule(who=INDEX, count=st.integers(1, 8))
    def deliver(self, who, count):
        peer = self._pick(self.world.peers, who)
        for _ in range(count):
            peer.deliver_out()
            peer.deliver_in()

    @rule()
    def deliver_all(self):
        for peer in self.world.peers:
            while peer.outbound or peer.inbound:
                peer.deliver_out()
                peer.deliver_in()

    @precondition(lambda self: self._queues())
    @rule(which=INDEX)
    def drop(self, which):
        del self._pick(self._queues(), which)[0]

    @precondition(lambda self: self._queues())
    @rule(which=INDEX, at=INDEX)
    def duplicate(self, which, at):
        queue = self._pick(self._queues(), which)
        queue.insert(at % (len(queue) + 1), list(queue[0]))

    @precondition(lambda self: self._queues())
    @rule(which=INDEX, at=INDEX)
    def reorder(self, which, at):
        queue = self._pick(self._queues(), which)
        queue.insert(at % len(queue), queue.pop(0))

    @rule(who=INDEX)
    def disconnect(self, who):
        self._pick(self.world.peers, who).reconnect()

    @rule(seconds=st.sampled_from([0.2, 1.0, 3.0, 6.0, 20.0, 100.0]))
    def pass_time(self, seconds):
        self.world.pass_time(seconds)

    # ---------------------------------------------------------------------- restarts

    @rule()
    def restart_broker(self):
        self.world.restart_broker()

    @rule(which=INDEX)
    def restart_agent(self, which):
        self._pick(self.world.servers, which).restart()

    @rule(which=INDEX)
    def lose_journal(self, which):
        self._pick(self.world.servers, which).restart(wiped=True)

    @rule(which=INDEX)
    def restart_exec(self, which):
        self._pick(self.world.servers, which).kill_exec()

    # -------------------------------------------------------------------- what holds

    @invariant()
    def code_starts_at_most_once(self):
        assert all(count == 1 for count in self.world.started.values())

    def teardown(self):
        self.world.heal()
        for client in self.world.clients:
            assert None not in client.asked.values(), "a request hangs"
            for job in client.notes:
                self._check_end(client, job)
        for server in self.world.servers:
            for job, content in server.logs.files.items():
                self._check_log(server, job, content)

    def _check_log(self, server, job, content):
        records = list(logs.unpack(content))
        kinds = [record.kind for record in records]
        assert kinds.count("end") == 1, "a log without its end, or with another job's"
        assert kinds.index("end") == len(kinds) - 1
        assert kinds.count("source") <= 1
        text = b"".join(bytes(each.content) for each in records if each.kind == "stdout")
        lines = text.decode().splitlines()
        assert lines == [f"{job} line {number}" for number in range(len(lines))]
        assert b"done" not in bytes(records[-1].content) or len(lines) == server.lines[job]

    def _check_end(self, client, job):
        end = client.end_of(job)
        assert end is not None, "a job hangs"
        started = self.world.started[job]
        lines = lines_of(client.notes[job])
        assert lines == [f"{job} line {number}" for number in range(len(lines))]
        if isinstance(end, n.Rejected):
            assert end.code != "busy" or not started
            return
        match end.event:
            case p.Done():
                assert started == 1
                returned_job, written, _ = result_of(end)
                assert returned_job == job
                assert len(lines) == written
            case p.Cancelled(executed=executed):
                assert started == executed
            case p.Lost(executed=executed):
                assert executed or not started
            case p.Crashed():
                assert started == 1
            case other:
                raise AssertionError(f"nothing raised, but the job ended as {other}")


TestTogether = pytest.mark.timeout(600)(pytest.mark.slow(Together.TestCase))
TestTogether.settings = settings(
    max_examples=1_000,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
