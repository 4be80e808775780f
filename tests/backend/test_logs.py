"""What jobs have shown, read again: on the embedded backend, with real processes and files."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import blake3
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.happenings import ClearOutput, Display, TextOutput
from rexec_jupyter.core.trust import new_id
from tests.backend.brokering import PATIENCE, until

MB = 1_000_000


@pytest.fixture(scope="module")
def client(embedded):
    with rexec.connect("local") as client:
        yield client


@pytest.fixture
def gate(tmp_path):
    """A file for which remote code can wait."""
    return tmp_path / "gate"


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


def read_on(reader):
    """Read a log to its end."""
    happenings = []
    deadline = time.monotonic() + PATIENCE
    while not reader.ended:
        assert time.monotonic() < deadline, f"{reader} does not end"
        happenings += reader.read(wait=1.0)
    return happenings


def text_of(happenings, *streams):
    return "".join(
        each.text
        for each in happenings
        if isinstance(each, TextOutput) and (not streams or each.stream in streams)
    )


def read_until(reader, text):
    """Read until a text was shown; return everything before and with it."""
    seen = ""
    deadline = time.monotonic() + PATIENCE
    while text not in seen:
        assert time.monotonic() < deadline, f"no {text!r} in {seen[-100:]!r}"
        seen += text_of(reader.read(wait=1.0))
    return seen


# -------------------------------------------------------------------------- what is kept


def test_the_log_of_a_cell_has_its_source_its_output_and_its_end(client):
    source = "import sys\nprint('one')\nprint('two', file=sys.stderr)\n1 / 0"
    job = client.session().submit_cell(source)
    with pytest.raises(ZeroDivisionError):
        job.result(PATIENCE)
    reader = client.log(job.id)
    assert reader.known
    happenings = read_on(reader)
    assert reader.source == source
    assert text_of(happenings, "stdout") == "one\n"
    assert text_of(happenings, "stderr") == "two\n"
    assert reader.state == "failed"
    assert (reader.end.error, reader.end.message) == ("ZeroDivisionError", "division by zero")
    assert any("ZeroDivisionError" in line for line in reader.end.traceback)
    assert reader.end.duration > 0


def test_a_log_is_there_after_its_job_was_fetched_and_its_client_is_gone(client):
    with rexec.connect("local") as other:
        job = other.submit(print, "hello")
        job.result(PATIENCE)
    until(lambda: client.find_job(job.id).state == "done", "the end of the job")
    for _ in range(2):
        reader = client.log(job.id)
        assert text_of(read_on(reader)) == "hello\n"
        assert reader.state == "done"


def test_a_call_that_shows_nothing_costs_no_file_and_has_an_end_all_the_same(client, embedded):
    job = client.submit(abs, -1)
    job.result(PATIENCE)
    reader = client.log(job.id)
    assert reader.known
    assert read_on(reader) == []
    assert reader.state == "done"
    assert not list(embedded.paths.state.rglob(job.id))


def test_the_log_of_no_job_is_not_known(client):
    reader = client.log(new_id())
    assert not reader.known
    assert reader.read(wait=5.0) == []
    with pytest.raises(ValueError, match="no job id"):
        client.log("../../etc/passwd")


def test_a_display_of_five_megabytes_arrives_whole_and_is_in_the_log(client):
    source = """
    from IPython.display import clear_output, display
    display({"text/plain": "x" * 5_000_000, "image/png": "iVBOR"}, raw=True)
    clear_output()
    print("after")
    """
    job = client.session().submit_cell(source, stream=True)
    taken = []
    while (happenings := job.take(PATIENCE)) is not None:
        taken += happenings
    job.result(PATIENCE)
    for shown in (taken, read_on(client.log(job.id))):
        (display,) = [each for each in shown if isinstance(each, Display)]
        assert display.data["text/plain"] == "x" * 5_000_000
        assert display.data["image/png"] == "iVBOR"
        assert [each for each in shown if isinstance(each, ClearOutput)]
        assert text_of(shown) == "after\n"


def test_the_log_of_300_megabytes_is_complete_although_nobody_could_read_that_much(
    client, embedded
):
    def flood():
        for number in range(3000):
            os.write(1, (b"%099d\n" % number) * 1000)

    with rexec.connect("local") as other:
        job = other.stream(flood)  # and take nothing
        until(lambda: job.state == "running", "the start")
        until(lambda: client.find_job(job.id).state == "done", "the end", PATIENCE)
    (file,) = embedded.paths.state.rglob(job.id)
    assert file.stat().st_mode & 0o777 == 0o600
    assert 300 * MB < file.stat().st_size < 301 * MB
    reader = client.log(job.id)
    expected, found = blake3.blake3(), blake3.blake3()
    for number in range(3000):
        expected.update((b"%099d\n" % number) * 1000)
    while not reader.ended:
        found.update(text_of(reader.read(wait=1.0)).encode())
    assert found.digest() == expected.digest()


def test_the_last_lines_alone_can_be_read(client):
    def talk():
        for number in range(2000):
            print(number)

    job = client.submit(talk)
    job.result(PATIENCE)
    for lines in (1, 7, 300):
        shown = text_of(read_on(client.log(job.id, tail=lines)))
        assert shown == "".join(f"{number}\n" for number in range(2000 - lines, 2000))
    everything = text_of(read_on(client.log(job.id, tail=10_000)))
    assert len(everything.splitlines()) == 2000


# --------------------------------------------------------------------------- while it runs


def test_another_client_reads_along_without_disturbing_who_follows(client, gate):
    def talk():
        for number in range(5):
            print("line", number, flush=True)
        wait_for(gate)
        print("the end")
        return 42

    job = client.stream(talk)
    seen = []
    with rexec.connect("local") as other:
        reader = other.log(job.id)
        assert read_until(reader, "line 4\n").startswith("line 0\n")
        assert not reader.ended
        assert reader.state == "running"
        gate.touch()
        read_until(reader, "the end\n")
        read_on(reader)
        assert reader.state == "done"
    while (happenings := job.take(PATIENCE)) is not None:
        seen += happenings
    assert text_of(seen) == "".join(f"line {n}\n" for n in range(5)) + "the end\n"
    assert job.result(PATIENCE) == 42


def test_who_waits_for_more_sees_it_soon_although_nobody_follows_the_job(client, tmp_path):
    def talk():
        for number in range(3):
            wait_for(tmp_path / str(number))
            print("line", number)

    with rexec.connect("local") as other:
        job = other.submit(talk)
        until(lambda: job.state == "running", "the start")
    reader = client.log(job.id)
    took = []
    for number in range(3):
        (tmp_path / str(number)).touch()
        began = time.monotonic()
        read_until(reader, f"line {number}\n")
        took.append(time.monotonic() - began)
    assert min(took) < 4.0  # text that nobody reads waits for longer
    read_on(reader)


def test_several_can_wait_for_the_same_log(client, gate):
    def talk():
        wait_for(gate)
        print("hello")

    job = client.submit(talk)
    with ThreadPoolExecutor() as pool:
        readings = [pool.submit(lambda: read_on(client.log(job.id))) for _ in range(5)]
        until(lambda: job.state == "running", "the start")
        gate.touch()
        assert [text_of(each.result(PATIENCE)) for each in readings] == ["hello\n"] * 5


def test_a_reading_ends_with_its_client(client):
    with rexec.connect("local") as other:
        job = other.submit(time.sleep, 3600)
        until(lambda: job.state == "running", "the start")
        reader = other.log(job.id)
        failures = []

        def read():
            try:
                while True:
                    reader.read(wait=30.0)
            except rexec.ConnectionLostError as error:
                failures.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        other.close()
        thread.join(PATIENCE)
    client.cancel(job.id)
    assert len(failures) == 1


# --------------------------------------------------------------------------------- faults


def test_a_log_outlives_the_agent_and_tells_that_its_job_did_not(fresh):
    def talk():
        print("so far", flush=True)
        time.sleep(3600)

    fresh.start()
    with rexec.connect("local") as client:
        done = client.submit(print, "done before")
        done.result(PATIENCE)
        job = client.stream(talk)
        reader = client.log(job.id)
        read_until(reader, "so far\n")
        fresh.kill("agent")
        read_on(reader)
        assert reader.state == "crashed"
        assert "agent was restarted" in reader.end.message
        assert text_of(read_on(client.log(job.id))) == "so far\n"
        assert text_of(read_on(client.log(done.id))) == "done before\n"
        with pytest.raises(rexec.WorkerLostError):
            job.result(PATIENCE)


def test_a_reading_goes_on_when_the_broker_was_killed(fresh, gate):
    def talk():
        print("before", flush=True)
        wait_for(gate)
        print("after")

    fresh.start()
    with rexec.connect("local") as client:
        job = client.submit(talk)
        reader = client.log(job.id)
        read_until(reader, "before\n")
        fresh.kill("broker")
        gate.touch()
        read_until(reader, "after\n")
        read_on(reader)
        assert reader.state == "done"
