"""The public API on the embedded backend: real broker, agent and workers."""

import asyncio
import concurrent.futures
import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.happenings import Display, StateChange, TextOutput
from tests.backend.brokering import PATIENCE, until


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
    return "went through"


# ------------------------------------------------------------------------------- calls


def test_a_function_runs_in_another_process(client):
    assert client.run(os.getpid) != os.getpid()


def test_arguments_and_keyword_arguments_arrive(client):
    assert client.run(lambda *args, **kwargs: (args, kwargs), 1, [2], a={"b": 3}) == (
        (1, [2]),
        {"a": {"b": 3}},
    )


def test_functions_of_this_module_are_sent_by_value_where_they_cannot_be_imported(client):
    def outer(number):
        def inner():
            return number * 2

        return inner

    assert client.run(outer(21)) == 42
    assert client.run(functools.partial(pow, 2), 10) == 1024


def test_output_of_a_run_is_shown_here_in_order_and_before_it_returns(client, capsys):
    def talk():
        for number in range(1000):
            print(number)
        print("oops", file=sys.stderr)

    client.run(talk)
    shown = capsys.readouterr()
    assert shown.out == "".join(f"{number}\n" for number in range(1000))
    assert shown.err == "oops\n"


def test_output_of_a_submitted_job_is_in_its_log_only(client, capsys):
    job = client.submit(print, "quiet")
    job.result(PATIENCE)
    assert job.logs() == "quiet\n"
    assert capsys.readouterr().out == ""


def test_very_much_output_is_complete_where_it_is_taken_and_bounded_where_it_is_not(client):
    def flood():
        for number in range(200_000):
            print(f"{number:060}")

    streamed = client.stream(flood)
    text = []
    while (happenings := streamed.take(PATIENCE)) is not None:
        text += [each.text for each in happenings if isinstance(each, TextOutput)]
    assert "".join(text) == "".join(f"{number:060}\n" for number in range(200_000))
    logged = client.submit(flood)
    logged.result(PATIENCE)
    assert len(logged.logs()) < 300_000
    assert logged.logs().startswith(f"{0:060}\n")
    assert logged.logs().endswith(f"{199_999:060}\n")
    assert "left out" in logged.logs()


def test_what_happens_to_a_job_can_be_followed(client):
    job = client.stream(print, "hello")
    seen = []
    while (happenings := job.take(PATIENCE)) is not None:
        seen += happenings
    states = [each.state for each in seen if isinstance(each, StateChange)]
    assert states == ["queued", "running", "done"]
    texts = [each for each in seen if isinstance(each, TextOutput)]
    assert {each.stream for each in texts} == {"stdout"}
    assert "".join(each.text for each in texts) == "hello\n"
    assert job.take() is None


def test_many_calls_at_once_all_come_back(client):
    jobs = [client.submit(divmod, number, 7) for number in range(2000)]
    assert [job.result(PATIENCE) for job in jobs] == [divmod(number, 7) for number in range(2000)]


def test_a_large_array_goes_there_and_comes_back_writable(client):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(4_000_000, dtype=float)
    result = client.run(lambda array: array * 2, array)
    assert (result == array * 2).all()
    result[:] = 0
    small = client.run(lambda: numpy.zeros(10))
    small[0] = 1


def test_a_job_tells_what_it_is(client):
    job = client.submit(divmod, 7, 2)
    assert len(job.id) == 32
    assert (job.kind, job.session, job.label) == ("call", "default", "divmod")
    job.result(PATIENCE)
    assert job.state == "done"
    assert job.elapsed < PATIENCE
    assert job.done()
    assert job.ended
    assert not job.cancelled()
    assert job.exception() is None
    assert "divmod" in repr(job)
    assert not job.cancel()


# ------------------------------------------------------------------------------ errors


class CustomError(ValueError):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self):
        return CustomError, (self.code,)


def test_exceptions_keep_their_type_and_carry_the_remote_traceback(client):
    def inner():
        raise CustomError(7)

    job = client.submit(inner)
    with pytest.raises(CustomError) as caught:
        job.result(PATIENCE)
    error = caught.value
    assert error.code == 7
    assert any("inner" in line for line in error.remote_traceback)
    assert isinstance(error.__cause__, rexec.RemoteTraceback)
    assert "inner" in str(error.__cause__)
    assert error.rexec_job is job
    assert job.state == "failed"
    assert job.exception() is error


def test_an_exception_that_does_not_unpickle_here_is_told_as_text(client):
    def fail():
        class OnlyThereError(Exception):
            def __reduce__(self):
                return __import__, ("no_such_module",)

        raise OnlyThereError("it broke")

    with pytest.raises(rexec.RemoteError, match="OnlyThereError: it broke"):
        client.run(fail)


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        ((1, threading.Lock()), {}, "Argument 2"),
        ((), {"lock": threading.Lock()}, "Argument 'lock'"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named_before_anything_is_sent(
    client, args, kwargs, name
):
    before = len(client.jobs())
    with pytest.raises(rexec.CaptureError, match=rf"{name} \(_thread.lock\).*Nothing was exec"):
        client.submit(print, *args, **kwargs)
    assert len(client.jobs()) == before


def test_a_function_that_cannot_be_sent_is_named(client):
    lock = threading.Lock()

    def uses_a_lock():
        return lock

    with pytest.raises(rexec.CaptureError, match=r"function .*uses_a_lock"):
        client.submit(uses_a_lock)
    with pytest.raises(rexec.CaptureError, match=r"function .*uses_a_lock"):
        next(client.map(uses_a_lock))


def test_a_result_that_cannot_be_sent_is_said_to_be_kept(client):
    with pytest.raises(rexec.PullError, match="stays"):
        client.run(threading.Lock)


def test_a_result_that_cannot_be_unpickled_here_names_the_missing_module(client):
    def make():
        import sys
        import types

        module = types.ModuleType("only_remote")
        exec("class Thing: pass", module.__dict__)
        module.Thing.__module__ = "only_remote"
        sys.modules["only_remote"] = module
        return module.Thing()

    job = client.submit(make)
    with pytest.raises(rexec.PullError, match="module only_remote is missing"):
        job.result(PATIENCE)
    assert isinstance(job.exception(), rexec.PullError)


def test_a_crash_is_told_and_disturbs_no_other_job(client, gate):
    other = client.submit(wait_for, gate)
    until(lambda: other.state == "running", "the other job")
    with pytest.raises(rexec.WorkerLostError) as caught:
        client.run(os._exit, 3)
    assert caught.value.executed
    gate.touch()
    assert other.result(PATIENCE) == "went through"


def test_sys_exit_keeps_its_type(client):
    with pytest.raises(SystemExit):
        client.run(sys.exit, 3)


# ------------------------------------------------------------------ waiting, cancelling


def test_waiting_has_a_timeout_and_the_job_goes_on(client, gate):
    job = client.submit(wait_for, gate)
    with pytest.raises(TimeoutError):
        job.result(0.05)
    with pytest.raises(TimeoutError):
        job.exception(0.05)
    gate.touch()
    assert job.result(PATIENCE) == "went through"


def test_a_running_job_can_be_cancelled(client, gate):
    job = client.submit(wait_for, gate)
    until(lambda: job.state == "running", "the start")
    assert job.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        job.result(PATIENCE)
    assert job.cancelled()
    assert job.state == "cancelled"


def test_an_interrupted_job_raises_keyboard_interrupt_as_local_code_would(client, gate, tmp_path):
    begun = tmp_path / "begun"

    def wait():
        begun.touch()
        wait_for(gate)

    job = client.submit(wait)
    until(begun.exists, "the start")
    job.interrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        job.result(PATIENCE)
    assert any("in wait" in line for line in caught.value.remote_traceback)


def test_jobs_are_futures_for_the_standard_library(client):
    jobs = [client.submit(abs, -number) for number in range(5)]
    done, _ = concurrent.futures.wait(jobs, PATIENCE)
    assert {job.result() for job in done} == set(range(5))
    cancelled = client.submit(time.sleep, 60)
    until(lambda: cancelled.state == "running", "the start")
    cancelled.cancel()
    assert list(concurrent.futures.as_completed([cancelled], PATIENCE)) == [cancelled]
    called = threading.Event()
    client.submit(abs, 1).add_done_callback(lambda job: job.result() == 1 and called.set())
    assert called.wait(PATIENCE)


def test_several_threads_can_use_one_client(client):
    def work(start):
        return [client.run(abs, -number) for number in range(start, start + 20)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(0, 800, 100))) == [
            list(range(start, start + 20)) for start in range(0, 800, 100)
        ]


def test_a_callback_that_would_wait_for_its_own_thread_gets_an_error_instead(client, gate):
    outcome = concurrent.futures.Future()

    def callback(_):
        try:
            outcome.set_result(client.submit(abs, 1).result())
        except rexec.RexecError as error:
            outcome.set_result(error)

    # It is not done before there is the callback, which else would be called here.
    client.submit(wait_for, gate).add_done_callback(callback)
    gate.touch()
    assert "thread" in str(outcome.result(PATIENCE))


# ------------------------------------------------------------------------------- await


def test_jobs_can_be_awaited(client):
    async def main():
        first, second = client.submit(abs, -1), client.submit(divmod, 1, 0)
        with pytest.raises(ZeroDivisionError) as caught:
            await second
        assert caught.value.remote_traceback
        return await first, await asyncio.gather(*(client.submit(abs, -n) for n in range(10)))

    assert asyncio.run(main()) == (1, list(range(10)))


def test_a_waiting_coroutine_leaves_the_loop_free_and_its_end_ends_the_job(client, gate):
    job = client.submit(wait_for, gate)

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.2)

    asyncio.run(main())
    with pytest.raises(concurrent.futures.CancelledError):
        job.result(PATIENCE)


def test_an_awaited_interruption_does_not_end_the_event_loop(client, gate):
    async def main():
        job = client.submit(wait_for, gate)
        while job.state != "running":  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        job.interrupt()
        with pytest.raises(rexec.RemoteError, match="KeyboardInterrupt"):
            await job
        with pytest.raises(rexec.RemoteError, match="SystemExit"):
            await client.submit(sys.exit, 3)

    asyncio.run(main())


def test_run_works_where_an_event_loop_runs(client):
    async def main():
        return client.run(abs, -1)

    assert asyncio.run(main()) == 1


# -------------------------------------------------------------------------- generators


def count(upto):
    for number in range(upto):
        print("made", number)
        yield number


def test_a_remote_generator_yields_its_items_as_they_are_made(client, capsys):
    items = client.run(count, 3)
    assert next(items) == 0
    assert list(items) == [1, 2]
    assert capsys.readouterr().out == "made 0\nmade 1\nmade 2\n"
    with pytest.raises(StopIteration):
        next(items)
    assert items.job.state == "done"


def test_a_remote_generator_goes_no_further_ahead_than_its_window(client, tmp_path):
    def endless(path):
        number = 0
        while True:
            path.write_text(str(number))
            yield number
            number += 1

    path = tmp_path / "made"
    items = client.submit(endless, path).result(PATIENCE)
    assert [next(items) for _ in range(100)] == list(range(100))
    ahead = 100 + p.ITEM_WINDOW + 16
    time.sleep(0.3)
    assert int(until(path.read_text, "a number")) <= ahead  # it may be writing the next one
    items.close()
    assert list(items) == []
    until(lambda: items.job.state == "cancelled", "the end of the generator")


def test_an_exception_in_a_generator_comes_after_its_items(client):
    def fail():
        yield 1
        raise CustomError(3)

    items = client.run(fail)
    assert next(items) == 1
    with pytest.raises(CustomError):
        next(items)


def test_a_generator_can_be_iterated_asynchronously(client):
    async def main():
        return [item async for item in await client.submit(count, 3)]

    assert asyncio.run(main()) == [0, 1, 2]


def test_a_dropped_generator_ends(client):
    items = client.run(count, 100_000)
    next(items)
    job = items.job
    del items
    until(lambda: job.ended, "the end of the generator")
    assert job.state == "cancelled"


# --------------------------------------------------------------------------------- map


def test_map_yields_in_order(client):
    assert list(client.map(pow, range(500), [2] * 500)) == [number**2 for number in range(500)]


def test_map_reads_its_input_no_further_than_needed(client):
    read = []

    def numbers():
        for number in range(100_000):
            read.append(number)
            yield number

    results = client.map(abs, numbers())
    assert next(results) == 0
    results.close()
    assert len(read) < 2000


def test_map_stops_at_an_exception_and_cancels_the_rest(client):
    def maybe(number):
        if number == 3:
            raise CustomError(number)
        return number

    results = client.map(maybe, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CustomError):
        next(results)
    until(lambda: client.status().jobs == 0, "the end of the other jobs")


def test_map_shows_what_its_calls_print_in_order(client, capsys):
    list(client.map(print, range(20)))
    assert capsys.readouterr().out == "".join(f"{number}\n" for number in range(20))


# ------------------------------------------------------------------------------- cells


def test_a_cell_runs_in_its_session_whose_variables_stay(client, capsys):
    session = client.session(uuid.uuid4().hex)
    first = session.run_cell("x = y + 1\nprint(x)", names={"y": 41})
    assert capsys.readouterr().out == "42\n"
    assert not first.has_value
    second = session.run_cell("z = [x]\nx * 2", value=True, outputs=["z", "x"])
    assert (second.value, second.has_value, second.outputs) == (84, True, {"z": [42], "x": 42})
    assert first.incarnation == second.incarnation


def test_rich_output_of_a_cell_can_be_followed(client):
    job = client.session("rich").submit_cell(
        "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))", stream=True
    )
    shown = []
    while (happenings := job.take(PATIENCE)) is not None:
        shown += [each for each in happenings if isinstance(each, Display)]
    assert [each.data["text/html"] for each in shown] == ["<b>x</b>"]
    assert "HTML" in job.logs()


def test_an_error_in_a_cell_keeps_its_type(client):
    with pytest.raises(ZeroDivisionError) as caught:
        client.session("errors").run_cell("1 / 0")
    assert caught.value.remote_traceback


def test_a_cell_that_takes_too_long_is_interrupted(client):
    with pytest.raises(rexec.JobTimeoutError) as caught:
        client.session("slow").run_cell("import time; time.sleep(60)", timeout=0.5)
    assert isinstance(caught.value, TimeoutError)


def test_a_name_that_cannot_be_sent_is_told_before_anything_is_sent(client):
    with pytest.raises(rexec.CaptureError, match=r"lock \(_thread.lock\)"):
        client.session("x").run_cell("1", names={"lock": threading.Lock()})


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_session_needs_a_name_of_moderate_length(client, name):
    with pytest.raises(ValueError, match="1 to 64"):
        client.session(name)


# ------------------------------------------------------------------ attaching, listing


def test_a_job_outlives_its_client_and_can_be_attached_to(client, gate):
    with rexec.connect("local") as first:
        job = first.submit(wait_for, gate)
        until(lambda: job.state == "running", "the start")
    with pytest.raises(rexec.ConnectionLostError):
        job.result()
    again = client.attach(job.id)
    assert client.attach(job.id) is again
    gate.touch()
    assert again.result(PATIENCE) == "went through"


def test_attaching_to_what_is_no_job_is_an_error(client):
    with pytest.raises(ValueError, match="no job id"):
        client.attach("nonsense")
    with pytest.raises(rexec.RexecError, match="knows no such job"):
        client.attach(uuid.uuid4().hex).result(PATIENCE)


def test_jobs_are_listed_whoever_submitted_them(client, gate):
    with rexec.connect("local") as other:
        job = other.submit(wait_for, gate)
        until(lambda: job.state == "running", "the start")
        (row,) = [row for row in client.jobs() if row.job == job.id]
        assert (row.kind, row.label, row.session) == ("call", "wait_for", "default")
        gate.touch()
        job.result(PATIENCE)


def test_a_client_tells_how_it_stands(client):
    status = client.status()
    assert status.state == "connected"
    assert status.backend == "embedded backend"
    assert status.endpoint.startswith("tcp://127.0.0.1:")
    (server,) = status.servers
    assert (server.state, server.session) == ("ready", "")
    assert "embedded backend, connected" in repr(client)


# ------------------------------------------------------------------------------ ctrl-c


def run_script(script):
    """Start a script of its own that uses the embedded backend."""
    code = "import rexec_jupyter as rexec, time, os, sys\n" + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_interrupts_the_remote_code_and_raises_keyboard_interrupt(client):
    script = run_script(
        """
        def remote():
            try:
                print("started", flush=True)
                time.sleep(60)
            finally:
                print("cleaned up", flush=True)
        with rexec.connect("local") as client:
            try:
                client.run(remote)
            except KeyboardInterrupt as error:
                print("interrupted", bool(error.remote_traceback), flush=True)
        """
    )
    with script:
        assert script.stdout.readline() == "started\n"
        script.send_signal(signal.SIGINT)
        output, errors = script.communicate(timeout=PATIENCE)
    assert (output, errors) == ("cleaned up\ninterrupted True\n", "")


def test_a_second_ctrl_c_leaves_the_job_running_and_tells_its_number(client, gate):
    script = run_script(
        f"""
        def stubborn():
            def wait():
                while not os.path.exists({str(gate)!r}):
                    time.sleep(0.01)
            try:
                print("started", flush=True)
                wait()
            except KeyboardInterrupt:
                print("not now", flush=True)
                wait()
            return "finished"
        with rexec.connect("local") as client:
            try:
                client.run(stubborn)
            except KeyboardInterrupt as error:
                print(error, flush=True)
        """
    )
    with script:
        assert script.stdout.readline() == "started\n"
        script.send_signal(signal.SIGINT)
        assert script.stdout.readline() == "not now\n"
        script.send_signal(signal.SIGINT)
        output, errors = script.communicate(timeout=PATIENCE)
    assert errors == ""
    assert "goes on" in output
    job = output.split("'")[1]
    gate.touch()
    assert client.attach(job).result(PATIENCE) == "finished"


# ----------------------------------------------------------------------------- connect


def test_an_address_that_is_none_is_refused(monkeypatch):
    with pytest.raises(rexec.NotConfiguredError, match="that is no address"):
        rexec.connect("somewhere")
    monkeypatch.setenv("REXEC_URL", "http://example.org")
    with pytest.raises(rexec.NotConfiguredError, match=r"plain text; write https://example\.org"):
        rexec.connect()


def test_a_setting_that_cannot_be_understood_is_told(monkeypatch):
    monkeypatch.setenv("REXEC_RECONNECT_TIMEOUT", "soon")
    with pytest.raises(rexec.NotConfiguredError, match="reconnect_timeout"):
        rexec.connect("local")
