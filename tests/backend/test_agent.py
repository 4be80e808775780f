"""The real agent with a real exec, what kills it, and what it remembers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust, values
from tests.backend.agenting import KEY, Site
from tests.backend.brokering import PATIENCE, until

MIB = 1024 * 1024


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site.start()
    site.stop()


@pytest.fixture
def lonely(tmp_path):
    """Yield an agent whose exec is not there yet."""
    site = Site(tmp_path)
    yield site.start(exec_=False)
    site.stop()


def add(a, b):
    return a + b


def append_line(path):
    with Path(path).open("a") as file:
        file.write("ran\n")


def wait_for(path):
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def append_and_wait(log, path):
    append_line(log)
    print("started", flush=True)
    wait_for(path)


@pytest.fixture(autouse=True)
def functions_travel_by_value():
    """Exec cannot import this module."""
    import cloudpickle

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def kinds(parcels):
    """Return the types of events; how much output is in one event is a matter of time."""
    return list(dict.fromkeys(type(message) for message, _ in parcels))


def shown(parcels, stream="stdout"):
    return b"".join(f for m, f in parcels if isinstance(m, p.Output) and m.stream == stream)


# ---------------------------------------------------------------------------- everyday


def test_a_call_goes_to_a_worker_and_its_result_comes_back(site):
    job = site.submit(add, 40, 2)
    events = site.events(job)
    assert kinds(events) == [p.Started, p.Done]
    assert site.value(*events[-1]) == 42
    site.ack(job, 2)
    until(lambda: site.status()["unfetched"] == 0, "the acknowledgement")


def test_all_output_of_a_call_is_there_in_order_before_its_end(site):
    def chatter():
        for n in range(20_000):
            print(n)

    job = site.submit(chatter)
    events = site.events(job)
    assert shown(events).decode().split() == [str(n) for n in range(20_000)]
    assert isinstance(events[-1][0], p.Done)
    assert [message.seq for message, _ in events] == list(range(1, len(events) + 1))


def test_a_cell_runs_in_a_kernel_and_shows_its_value(site):
    job = site.submit_cell("print('hello'); 6 * 7")
    events = site.events(job)
    assert isinstance(events[0][0], p.Started)
    assert events[0][0].incarnation > 0
    assert shown(events) == b"hello\n"
    assert b"42" in shown(events, "result")


def test_a_generator_streams_and_waits_for_its_reader(site):
    def count():
        yield from range(100)

    job = site.submit(count)
    items = []
    while len(items) < p.ITEM_WINDOW:
        message, frame = site.await_((p.Item, p.Done), job)
        items.append(values.load(values.split(frame, message.payload.sizes)))
    seq = message.seq
    site.ack(job, seq)
    while not isinstance(message, p.Done):
        message, frame = site.await_((p.Item, p.Done), job)
        if isinstance(message, p.Item):
            items.append(values.load(values.split(frame, message.payload.sizes)))
    assert items == list(range(100))


def test_a_call_that_crashes_tells_why_and_takes_nothing_with_it(site, tmp_path):
    def crash():
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    other = site.submit(wait_for, str(tmp_path / "go"))
    site.await_(p.Started, other)
    crashed, _ = site.events(site.submit(crash))[-1]
    assert isinstance(crashed, p.Crashed)
    assert (crashed.signal, crashed.log) == (signal.SIGSEGV, ["last words"])
    (tmp_path / "go").touch()
    assert site.await_(p.TERMINAL, other)[0].__class__ is p.Done


def test_an_interrupt_ends_the_call_and_the_worker_goes_on(site):
    def sleep():
        print("sleeping", flush=True)
        time.sleep(60)
        return os.getpid()

    job = site.submit(sleep)
    site.await_(p.Output, job)
    site.say(p.Interrupt(job=job, session="default"))
    cancelled, _ = site.await_(p.TERMINAL, job)
    assert isinstance(cancelled, p.Cancelled)
    assert cancelled.executed
    assert site.value(*site.events(site.submit(add, 1, 2))[-1]) == 3


def test_a_timeout_ends_a_call_that_does_not_listen(site):
    def deaf():
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(60)

    job = site.submit(deaf, timeout=0.2)
    event, _ = site.await_(p.TERMINAL, job)
    assert isinstance(event, p.TimedOut)
    assert not event.stuck


def test_a_large_result_is_pulled_in_chunks(site):
    job = site.submit(bytes, 5 * MIB)
    done, frame = site.events(job)[-1]
    assert (done.payload.carrier, frame) == ("chunks", None)
    ask = p.ChunkAck(job=job, session="default", seq=done.seq, received=0, rewind=True)
    site.say(ask)
    content = b""
    while len(content) < done.payload.nbytes:
        chunk, frame = site.await_(p.Chunk, job)
        assert chunk.offset == len(content)
        content += frame
    assert trust.payload_digest([content]) == done.payload.digest
    site.ack(job, done.seq)
    until(lambda: not list((site.handoff / "files").iterdir()), "the file to go")


def test_a_large_payload_is_taken_in_chunks(site):
    data = os.urandom(3 * MIB)
    parts = values.dump((len, (data,), {}))
    content = values.join(parts)
    described = values.describe(parts)
    payload = p.Payload(sizes=described.sizes, digest=described.digest, carrier="chunks")
    job = trust.new_id()
    site.say(
        p.Submit(
            job=job,
            session="default",
            journal=site.hello.journal,
            kind="call",
            key=KEY,
            payload=payload,
        )
    )
    site.await_(p.ChunkAck, job)
    for at in range(0, len(content), MIB):
        piece = content[at : at + MIB]
        site.say(p.Chunk(frames=1, job=job, session="default", seq=0, offset=at), piece)
    site.await_(p.Journaled, job)
    done, frame = site.events(job)[-1]
    assert site.value(done, frame) == len(data)


# ------------------------------------------------------------------------ broken links


def test_a_broker_that_restarts_gets_another_hello_and_the_job_goes_on(site, tmp_path):
    job = site.submit(append_and_wait, str(tmp_path / "log"), str(tmp_path / "go"))
    site.await_(p.Output, job)
    site.restart_broker()
    hello, _ = site.await_(p.ServerHello)
    assert hello.epoch == 1
    (tmp_path / "go").touch()
    until(lambda: site.status()["running"] == 0, "the call to end")
    site.attach(job, seq=1)
    assert kinds(site.events(job)) == [p.Output, p.Done]
    assert (tmp_path / "log").read_text() == "ran\n"


def test_an_agent_that_was_superseded_stops_and_says_so(lonely):
    lonely.say(p.Refused(code="superseded", message="a newer one is here"))
    assert lonely.agent.process.wait(PATIENCE) == 1
    assert "a newer one is here" in lonely.agent.log.read_text()


def test_a_certificate_the_broker_does_not_accept_ends_the_start(tmp_path):
    site = Site(tmp_path)
    site.known = lambda message, _: site.say(p.Refused(code="R02", message="expired"))
    site.agent.start()
    deadline = time.monotonic() + PATIENCE
    while site.agent.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):
            site.receive(0.1)
    assert site.agent.process.wait(PATIENCE) == 1
    assert "the broker refused this server: expired" in site.agent.log.read_text()
    site.stop()


def test_a_server_that_was_known_outlives_a_refusal_and_tells_how_it_stands(site):
    def refuse(message, frame):
        site.say(p.Refused(code="R02", message="expired"))
        return message, frame

    log = site.agent.log
    until(lambda: log.read_text().count("the broker knows this server") == 1, "the welcome")
    welcoming, site.known = site.known, refuse
    site.restart_broker()
    site.await_(p.ServerHello)
    until(lambda: "refuses this server for now: expired" in log.read_text(), "the refusal")
    site.known = welcoming
    site.restart_broker()
    site.await_(p.ServerHello)
    until(lambda: log.read_text().count("the broker knows this server") == 2, "the next welcome")
    assert site.value(*site.events(site.submit(add, 1, 1))[-1]) == 2


def test_garbage_from_exec_ends_that_connection_alone(site):
    import socket

    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(site.handoff / "agent.sock"))
        stranger.sendall(b"\xff" * 100)
        stranger.settimeout(PATIENCE)
        assert stranger.recv(1) == b""
    assert site.value(*site.events(site.submit(add, 1, 1))[-1]) == 2


def test_only_the_owner_can_connect_where_exec_does(site):
    mode = (site.handoff / "agent.sock").stat().st_mode & 0o777
    assert mode == 0o600


# ------------------------------------------------------------------------------ kill -9


def test_killed_in_the_middle_of_a_job_the_agent_tells_the_truth(site, tmp_path):
    job = site.submit(append_and_wait, str(tmp_path / "log"), str(tmp_path / "never"))
    site.await_(p.Output, job)
    site.agent.kill()
    site.start_agent()
    assert site.hello.epoch == 2
    site.attach(job)
    events = site.events(job)
    assert kinds(events) == [p.Started, p.Output, p.Crashed]
    crashed = events[-1][0]
    assert "restarted while the code ran" in crashed.reason
    assert crashed.log == ["started"]
    assert site.value(*site.events(site.submit(add, 1, 2))[-1]) == 3
    assert (tmp_path / "log").read_text() == "ran\n"


def test_killed_with_a_result_nobody_has_the_agent_delivers_it_again(site, tmp_path):
    big = site.submit(bytes, MIB)
    site.events(big)
    small = site.submit(add, "a", "b")
    site.events(small)
    site.agent.kill()
    site.start_agent()
    site.attach(small, seq=1)
    assert site.value(*site.await_(p.Done, small)) == "ab"
    site.attach(big, seq=1)
    done, _ = site.await_(p.Done, big)
    assert done.payload.nbytes > MIB
    for job in (small, big):
        site.ack(job, 2)
    until(lambda: site.status()["unfetched"] == 0, "the acknowledgements")


def test_killed_before_a_job_started_the_agent_runs_it_once(lonely, tmp_path):
    log = tmp_path / "log"
    job = lonely.submit(append_line, str(log))
    lonely.await_(p.Journaled, job)
    for _ in range(3):
        lonely.agent.kill()
        lonely.start_agent()
    lonely.exec.start()
    lonely.attach(job)
    assert kinds(lonely.events(job)) == [p.Started, p.Done]
    assert log.read_text() == "ran\n"
    lonely.agent.kill()
    lonely.start_agent()
    assert lonely.value(*lonely.events(lonely.submit(add, 1, 2))[-1]) == 3
    assert log.read_text() == "ran\n"


def test_exec_killed_in_the_middle_of_jobs_ends_them_and_a_new_one_goes_on(site, tmp_path):
    call = site.submit(wait_for, str(tmp_path / "never"))
    site.await_(p.Started, call)
    cell = site.submit_cell("import time; print('x'); time.sleep(60)")
    site.await_(p.Output, cell)
    site.exec.kill()
    ended = {}
    while len(ended) < 2:
        message, _ = site.await_(p.TERMINAL)
        ended[message.job] = message
    assert {type(event) for event in ended.values()} == {p.Crashed}
    assert set(ended) == {call, cell}
    site.exec.start()
    assert site.value(*site.events(site.submit(add, 1, 2))[-1]) == 3


def test_a_torn_journal_loses_its_torn_end_alone(lonely):
    first = lonely.submit(add, 1, 2, label="first")
    lonely.await_(p.Journaled, first)
    second = lonely.submit(add, 3, 4, label="second")
    lonely.await_(p.Journaled, second)
    lonely.agent.kill()
    logs = (lonely.directory / "state" / "journal").glob("*.log")
    path = max(path for path in logs if path.read_bytes().strip(b"\0"))
    os.truncate(path, len(path.read_bytes().rstrip(b"\0")) - 3)
    lonely.start_agent()
    lonely.attach(second)
    assert lonely.await_(p.Unknown, second)
    lonely.exec.start()
    lonely.attach(first)
    assert lonely.value(*lonely.events(first)[-1]) == 3


# ---------------------------------------------------------------------------- full disk


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_on_a_full_disk_new_jobs_are_refused_and_the_others_end_well(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(state)]
    subprocess.run(mount, check=True, timeout=10)
    site = Site(tmp_path)
    try:
        site.start()
        job = site.submit(append_and_wait, str(tmp_path / "log"), str(tmp_path / "go"))
        site.await_(p.Output, job)
        with contextlib.suppress(OSError), (state / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(MIB))
        waiting = []
        while True:
            waiting.append(site.submit(len, os.urandom(60_000)))
            answer, _ = site.await_((p.Journaled, p.Nack), waiting[-1])
            if isinstance(answer, p.Nack):
                break
        assert answer.code == "full"
        (tmp_path / "go").touch()
        done, _ = site.await_(p.TERMINAL, job)
        assert isinstance(done, p.Done)
        (state / "ballast").unlink()
        assert site.value(*site.events(site.submit(add, 1, 2))[-1]) == 3
    finally:
        site.stop()
        subprocess.run(["umount", str(state)], check=True, timeout=10)


# ------------------------------------------------------------------------------- the end


def test_sigterm_lets_running_jobs_end_and_keeps_those_that_wait(tmp_path):
    site = Site(tmp_path, "--drain-grace", "30", workers=1)
    try:
        site.start()
        log = tmp_path / "log"
        running = site.submit(append_and_wait, str(log), str(tmp_path / "go"))
        site.await_(p.Output, running)
        waiting = site.submit(append_line, str(log))
        site.await_(p.Journaled, waiting)
        site.agent.process.terminate()
        site.await_(p.Drain)
        late = site.submit(add, 1, 2)
        nack, _ = site.await_(p.Nack, late)
        assert nack.code == "draining"
        (tmp_path / "go").touch()
        done, _ = site.await_(p.Done, running)
        site.ack(running, done.seq)
        site.await_(p.Goodbye)
        assert site.agent.process.wait(PATIENCE) == 0
        assert log.read_text() == "ran\n"
        site.start_agent()
        site.attach(waiting)
        assert kinds(site.events(waiting)) == [p.Started, p.Done]
        assert log.read_text() == "ran\nran\n"
    finally:
        site.stop()


def test_sigterm_twice_ends_the_agent_at_once_and_truthfully(site, tmp_path):
    job = site.submit(append_and_wait, str(tmp_path / "log"), str(tmp_path / "never"))
    site.await_(p.Output, job)
    site.agent.process.terminate()
    site.await_(p.Drain)
    site.agent.process.terminate()
    crashed, _ = site.await_(p.TERMINAL, job)
    assert "shut down" in crashed.reason
    assert site.agent.process.wait(PATIENCE) == 0


def test_two_agents_on_one_directory_do_not_start(site, tmp_path):
    done = subprocess.run(
        site.agent.command, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert "another agent uses" in done.stderr


def test_every_option_is_a_flag_and_a_variable(tmp_path):
    def ask(*arguments):
        command = [sys.executable, "-m", "rexec_server", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
        )

    environment = os.environ | {"COLUMNS": "200"}
    text = ask("agent", "--help").stdout
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert len(options) > 10
    assert len(re.findall(r"env\s+var:\s+REXEC_SERVER_", text)) == len(options)
    environment["REXEC_SERVER_BROKER_KEY"] = "short"
    assert "40 characters" in ask("agent", "--broker", "tcp://127.0.0.1:1").stderr


def test_logs_are_kept_within_the_limit_that_was_given(tmp_path):
    site = Site(tmp_path, "--log-limit", MIB)
    try:
        site.start()
        logs = tmp_path / "state" / "logs"
        jobs = []
        for _ in range(5):
            jobs.append(site.submit(print, "x" * 400_000))
            site.events(jobs[-1])
        assert {path.name for path in logs.iterdir()} == set(jobs[3:])
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in logs.iterdir())
        site.agent.kill()
        site.start_agent()
        assert {path.name for path in logs.iterdir()} == set(jobs[3:])
        site.say(p.ReadLog(request=trust.new_id(), session="default", job=jobs[4]))
        page, frame = site.await_(p.LogPage)
        assert page.known
        assert b"x" * 1000 in frame
    finally:
        site.stop()
