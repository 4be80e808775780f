"""The client's connection, against a real broker and a server that the test plays."""

import asyncio
import concurrent.futures
import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import msgspec
import pytest

import rexec_jupyter as rexec
from rexec_jupyter._connect import connect_to
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import requests, trust, values
from tests.backend.brokering import PATIENCE, Backend, Server, running, until


@pytest.fixture
def broker(tmp_path):
    with running(tmp_path) as broker:
        yield broker


@pytest.fixture
def server(broker):
    with Server(broker) as server:
        server.join()
        yield server


@pytest.fixture
def client(broker, server):
    with connect_to(Backend(broker), timeout=PATIENCE) as client:
        yield client


def answer(submit, value, kind=p.Done, seq=1, **fields):
    """Return an event with a value, and its frame."""
    parts = values.dump(value)
    payload = values.describe(parts)
    mac = trust.result_mac(submit.key, submit.job, seq, payload)
    event = kind(job=submit.job, seq=seq, payload=payload, mac=mac, frames=1, **fields)
    return event, values.join(parts)


def called(submit, frame):
    """Return the function and the arguments that arrived."""
    return values.load(values.split(frame, submit.payload.sizes))


# --------------------------------------------------------------------- the usual course


def test_a_call_goes_out_and_its_value_comes_back(client, server):
    job = client.submit(divmod, 17, 5)
    submit, frame = server.expect(p.Submit)
    assert called(submit, frame) == (divmod, (17, 5), {})
    assert (submit.kind, submit.session, submit.label) == ("call", "default", "divmod")
    server.send(p.Journaled(job=job.id), p.Started(job=job.id, seq=1))
    until(lambda: job.state == "running", "the start")
    server.send(answer(submit, (3, 2), seq=2))
    assert job.result(PATIENCE) == (3, 2)
    assert job.state == "done"
    assert server.expect(p.Ack)[0].seq == 2


def test_calls_made_together_travel_together(client, server):
    jobs = [client.submit(abs, number) for number in range(500)]
    envelopes = 0
    arrived = []
    while len(arrived) < 500:
        assert server.socket.poll(PATIENCE * 1000)
        arrived += server.unpacker.unpack(server.socket.recv_multipart())
        envelopes += 1
    assert envelopes < 250
    assert [submit.job for submit, _ in arrived] == [job.id for job in jobs]


def test_a_large_array_goes_and_comes_in_pieces(client, server):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(3_000_000, dtype=float)
    job = client.submit(abs, array)
    submit, _ = server.expect(p.Submit)
    assert submit.payload.carrier == "chunks"
    whole = bytearray()
    while len(whole) < submit.payload.nbytes:
        ack = p.ChunkAck(job=job.id, session="default", seq=0, received=len(whole), rewind=True)
        server.send(ack)
        for _ in range(min(16, -(-(submit.payload.nbytes - len(whole)) // p.CHUNK))):
            chunk, frame = server.expect(p.Chunk)
            if chunk.offset == len(whole):
                whole += frame
    _, (arrived,), _ = called(submit, whole)
    assert (arrived == array).all()
    done, _ = answer(submit, array * 2)
    payload = msgspec.structs.replace(done.payload, carrier="chunks")
    server.send(p.Journaled(job=job.id), msgspec.structs.replace(done, payload=payload, frames=0))
    content = values.join(values.dump(array * 2))
    sent = 0
    while sent < len(content):
        ack, _ = server.expect(p.ChunkAck)
        if ack.rewind:
            sent = ack.received
        while sent < min(ack.received + p.WINDOW, len(content)):
            piece = content[sent : sent + p.CHUNK]
            chunk = p.Chunk(job=job.id, session="default", seq=1, offset=sent, frames=1)
            server.send((chunk, piece))
            sent += len(piece)
    result = job.result(PATIENCE)
    assert (result == array * 2).all()
    result[0] = 1  # it is ours to change


def test_jobs_are_listed(client, server):
    row = p.JobInfo(
        job=trust.new_id(),
        session="default",
        kind="cell",
        label="demo",
        state="running",
        submitted_ago=2.0,
        started_ago=1.0,
        duration=1.0,
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        listing = pool.submit(client.jobs)
        request, _ = server.expect(p.ListJobs)
        server.send(p.JobList(request=request.request, jobs=[row]))
        assert listing.result(PATIENCE) == [row]


def test_a_silent_server_does_not_make_listing_wait_forever(client):
    with pytest.raises(rexec.ConnectionLostError, match="did not answer within"):
        client.jobs(timeout=0.2)


@pytest.fixture
def first_answer(monkeypatch):
    """Have the time for answers be over once the first one is there."""

    def wait(answers, timeout, return_when):
        del timeout, return_when
        return concurrent.futures.wait(answers, PATIENCE, "FIRST_COMPLETED")

    monkeypatch.setattr(requests, "wait", wait)


@pytest.fixture
def big(broker, client):
    """Another server, of one session, which the client knows of."""
    with Server(broker, session="big") as server:
        server.join()
        until(lambda: len(client.status().servers) == 2, "both")
        yield server


@pytest.mark.usefixtures("big", "first_answer")
def test_a_silent_one_of_several_servers_is_named(client, server):
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        asked = aside.submit(client.sessions, timeout=1.0)
        question, _ = server.expect(p.ListSessions)
        server.send(p.SessionList(request=question.request, sessions=[]))
        with pytest.raises(rexec.ConnectionLostError, match="The server big did not answer"):
            asked.result(PATIENCE)


@pytest.mark.usefixtures("first_answer")
def test_servers_that_do_not_tell_what_they_take_are_left_out(client, server, big):
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        asked = aside.submit(client.usage, timeout=1.0)
        question, _ = big.expect(p.ReadUsage)
        told = p.Usage(request=question.request, known=True, cpu=1.5, memory=7)
        big.send(told)
        ((state, usage),) = asked.result(PATIENCE)
    assert (state.session, usage) == ("big", told)
    server.expect(p.ReadUsage)


def test_a_broker_that_is_too_old_is_not_asked_what_servers_take(broker, server, monkeypatch):
    monkeypatch.setattr(p, "VERSIONS", (1, 1))
    with connect_to(Backend(broker), timeout=PATIENCE) as client:
        assert client.usage() == []
        client._link.call(lambda exchange, now: exchange.ask(now, QUESTION))
        assert server.expect(p.Request)[0] == QUESTION


QUESTION = p.ListJobs(request=trust.new_id(), session="default")


# ---------------------------------------------------------------------------- not today


def test_a_broker_with_another_key_is_refused_soon(broker):
    backend = Backend(broker)
    backend.key = trust.new_keypair().public.decode()
    with pytest.raises(rexec.ConnectionLostError, match="handshake"):
        connect_to(backend, timeout=PATIENCE)
    assert backend.closed


def test_something_that_is_no_broker_is_refused_soon(broker):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            backend = Backend(broker)
            backend.broker.ready["client"] = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            with pytest.raises(rexec.ConnectionLostError, match="handshake"):
                connect_to(backend, timeout=PATIENCE)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_ticket_of_somebody_else_is_refused(broker, tmp_path):
    stranger = type(broker.signing).generate()
    with pytest.raises(rexec.AuthenticationError, match=r"R02.*ticket"):
        connect_to(Backend(broker, stranger), timeout=PATIENCE)


def test_a_backend_without_a_server_is_not_ready(broker):
    class Patient(Backend):
        """Lets the time run only once the broker knows the client."""

        @property
        def progress(self):
            return "" if broker.metric("clients") else "the client comes …"

    with pytest.raises(rexec.StartError, match="No server"):
        connect_to(Patient(broker), timeout=0.5)


def test_what_the_backend_says_is_passed_on(broker):
    class Broken(Backend):
        async def locate(self):
            raise rexec.StartError("There is no room.")

    with pytest.raises(rexec.StartError, match="no room"):
        connect_to(Broken(broker), timeout=PATIENCE)


def test_a_backend_that_tells_what_it_is_busy_with_is_waited_for(broker, capsys):
    class Slow(Backend):
        async def locate(self):
            for self.progress in ("your server starts …", "your server installs …"):
                await asyncio.sleep(1.5)
            self.progress = ""
            raise rexec.StartError("There is no room.")

    with pytest.raises(rexec.StartError, match="no room"):
        connect_to(Slow(broker), timeout=0.5)
    assert "rexec: your server installs …" in capsys.readouterr().err


def test_a_defect_of_the_backend_is_an_error_and_no_hang(broker, caplog):
    class Broken(Backend):
        async def locate(self):
            raise ZeroDivisionError

    with pytest.raises(rexec.RexecError, match="ZeroDivisionError"):
        connect_to(Broken(broker), timeout=PATIENCE)
    assert "a task failed" in caplog.text


def test_a_function_for_another_python_is_refused_with_the_fix(broker):
    class Old(Server):
        def send(self, *parcels):
            hello, *_ = parcels
            if isinstance(hello, p.ServerHello):
                parcels = [msgspec.structs.replace(hello, python="3.8.1")]
            super().send(*parcels)

    with Old(broker) as server:
        server.join()
        with connect_to(Backend(broker), timeout=PATIENCE) as client:
            with pytest.raises(rexec.VersionMismatchError, match=r"3\.8.*Python 3\.\d+"):
                client.submit(abs, 1).result(PATIENCE)
            assert server.silent()


# -------------------------------------------------------------------------------- trust


class Bomb:
    def __reduce__(self):
        return os._exit, (1,)


def test_a_result_with_a_wrong_mac_is_never_unpickled(client, server):
    job = client.submit(abs, 1)
    submit, _ = server.expect(p.Submit)
    server.send(answer(msgspec.structs.replace(submit, key=bytes(32)), Bomb()))
    with pytest.raises(rexec.PullError, match="did not verify"):
        job.result(PATIENCE)
    assert job.state == "failed"


def test_the_backend_can_follow_jobs_of_other_processes_but_not_forge_them(broker, server):
    backend, other = Backend(broker), Backend(broker)
    with connect_to(backend, timeout=PATIENCE) as client:
        job = client.submit(abs, -1)
        submit, _ = server.expect(p.Submit)
        server.send(p.Journaled(job=job.id))
        other.secret = backend.secret
        with connect_to(other, timeout=PATIENCE) as second:
            follower = second.attach(job.id)
            server.expect(p.Attach, job=job.id)
            server.send(p.Journaled(job=job.id), answer(submit, 1))
            assert follower.result(PATIENCE) == 1


def test_garbage_from_the_broker_is_ignored(client, server):
    job = client.submit(abs, 1)
    submit, _ = server.expect(p.Submit)
    client._link._loop.call_soon_threadsafe(client._link._on_envelope, [b"\xc1 garbage"])
    server.send(p.Journaled(job=job.id), answer(submit, 1))
    assert job.result(PATIENCE) == 1


# ------------------------------------------------------------------------------- faults


def again(broker):
    """Start a broker where it was."""
    clients, servers = broker.ready["client"], broker.ready["server"]
    broker.start("--client-address", clients, "--server-address", servers)


def test_a_job_survives_the_death_of_the_broker(client, broker, server):
    job = client.submit(abs, -3)
    submit, _ = server.expect(p.Submit)
    server.send(p.Journaled(job=job.id))
    until(lambda: job.state == "queued", "the acceptance")
    broker.process.kill()
    broker.process.wait()
    until(lambda: client.status().state == "reconnecting", "the client to notice")
    again(broker)
    server.join()
    server.expect(p.Attach, job=job.id)
    server.send(p.Journaled(job=job.id), answer(submit, 3))
    assert job.result(PATIENCE) == 3
    assert client.status().state == "connected"


def test_a_job_submitted_without_a_broker_runs_once_there_is_one(client, broker, server):
    broker.process.kill()
    broker.process.wait()
    until(lambda: client.status().state == "reconnecting", "the client to notice")
    job = client.submit(abs, -3)
    again(broker)
    server.join()
    submit, _ = server.expect(p.Submit, job=job.id)
    server.send(p.Journaled(job=job.id), answer(submit, 3))
    assert job.result(PATIENCE) == 3


def test_a_broker_that_moved_is_found_again(client, broker, server, tmp_path):
    broker.process.kill()
    broker.process.wait()
    (tmp_path / "second").mkdir()
    with running(tmp_path / "second") as second:
        backend = client._link.backend
        backend.broker, backend.signing = second, second.signing
        backend.key = second.keys.public.decode()
        with Server(second) as moved:
            moved.journal = server.journal
            moved.join()
            job = client.submit(abs, -3)
            submit, _ = moved.expect(p.Submit)
            moved.send(p.Journaled(job=job.id), answer(submit, 3))
            assert job.result(PATIENCE) == 3
    assert backend.located > 1


def test_a_server_that_lost_its_journal_loses_the_jobs_and_says_so(client, broker, server):
    job = client.submit(abs, 1)
    server.expect(p.Submit)
    server.send(p.Journaled(job=job.id))
    with Server(broker) as newer:
        newer.epoch = 2
        newer.join()
        with pytest.raises(rexec.WorkerLostError, match="may have run") as caught:
            job.result(PATIENCE)
    assert caught.value.executed
    assert job.state == "lost"


def test_a_crash_tells_the_last_output(client, server):
    job = client.submit(abs, 1)
    server.expect(p.Submit)
    crash = p.Crashed(job=job.id, seq=1, reason="Killed for lack of memory.", log=["almost"])
    server.send(p.Journaled(job=job.id), crash)
    with pytest.raises(rexec.WorkerLostError, match=r"(?s)memory.*almost"):
        job.result(PATIENCE)


def test_a_full_server_is_a_quota_error(client, server):
    job = client.submit(abs, 1)
    server.expect(p.Submit)
    server.send(p.Nack(job=job.id, code="full", message="The spool is full."))
    with pytest.raises(rexec.QuotaError, match="spool is full"):
        job.result(PATIENCE)


# ---------------------------------------------------------------------- closing, forking


def test_closing_ends_waiting_jobs_with_an_error_and_tells_the_broker(client, server, broker):
    job = client.submit(abs, 1)
    server.expect(p.Submit)
    server.send(p.Journaled(job=job.id))
    client.close()
    with pytest.raises(rexec.ConnectionLostError, match=rf"closed.*{job.id}"):
        job.result(PATIENCE)
    assert server.expect(p.Detached)[0].job == job.id
    assert client.status().state == "closed"
    assert client._link.backend.closed
    with pytest.raises(rexec.ConnectionLostError, match="closed"):
        client.submit(abs, 1)
    client.close()


SCRIPT = """
import sys, os
sys.path.insert(0, {root!r})
from types import SimpleNamespace
from tests.backend.test_client_link import Backend, connect_to
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import read_keypair
from pathlib import Path

directory = Path({directory!r})
broker = SimpleNamespace(
    ready={ready!r},
    signing=SigningKey.read(directory / "signing.pem"),
    keys=read_keypair(directory / "broker.key"),
)
client = connect_to(Backend(broker), timeout=60)
"""


@pytest.fixture
def run_script(broker, server, tmp_path):
    broker.signing.write(tmp_path / "signing.pem")
    setup = SCRIPT.format(root=str(Path.cwd()), directory=str(tmp_path), ready=broker.ready)

    def run(script):
        code = setup + textwrap.dedent(script)
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            timeout=PATIENCE,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_client_that_was_not_closed_keeps_no_interpreter_alive(run_script):
    ended = run_script(
        """
        job = client.submit(abs, 1)
        print("bye")
        """
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "bye\n", "")


def test_after_a_fork_the_child_gets_a_clear_error_and_ends(run_script):
    ended = run_script(
        """
        job = client.submit(abs, 1)
        child = os.fork()
        if not child:
            for attempt in (
                lambda: client.run(abs, 1), lambda: client.submit(abs, 1), lambda: job.result(),
                lambda: client.jobs(), lambda: client.map(abs, [1]), lambda: job.cancel(),
                lambda: client.session("x"), lambda: client.status(), lambda: client.close(),
            ):
                try:
                    attempt()
                except Exception as error:
                    print(type(error).__name__, "forked" in str(error), flush=True)
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(client.status().state)
        """
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["RexecError True"] * 8 + ["connected"]


def test_a_collected_client_leaves_its_jobs_alone(broker, server):
    job = connect_to(Backend(broker), timeout=PATIENCE).submit(abs, -1)
    submit, _ = server.expect(p.Submit)
    server.send(p.Journaled(job=job.id), answer(submit, 1))
    assert job.result(PATIENCE) == 1
    job._link.close()
