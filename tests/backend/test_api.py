"""The Python API without magics: `run`, `remote`, `Session`, and the client they share."""

import asyncio
import concurrent.futures
import functools
import inspect
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.happenings import StateChange
from rexec_jupyter.core.waiting import StartClock, StartLimit, wait_started
from tests.backend.brokering import PATIENCE, until
from tests.backend.embedding import CLIENT


@pytest.fixture(scope="module", autouse=True)
def client(embedded):
    client = rexec.default_client()
    yield client
    client.close()


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.fixture
def busy(gate):
    """A session in which a cell runs until the gate opens."""
    session = rexec.Session(gate.parent.name[:64])
    job = session.submit_cell(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)"
    )
    until(lambda: job.state == "running" or None, "the cell to run")
    yield session
    gate.touch()
    concurrent.futures.wait([job], PATIENCE)
    session.stop()


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)
    return "went through"


# ------------------------------------------------------------------- the default client


def test_there_is_one_client_a_process_and_another_once_it_was_closed(client):
    assert rexec.default_client() is client
    assert rexec.Session("a").client is client


def test_a_closed_default_client_is_replaced(embedded):
    script = textwrap.dedent("""
        import rexec_jupyter as rexec
        first = rexec.default_client()
        first.close()
        second = rexec.default_client()
        assert second is not first
        assert rexec.run(abs, -2) == 2
        print("replaced")
    """)
    ran = subprocess.run(
        [sys.executable, "-c", script, CLIENT], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "replaced\n"


def test_importing_the_package_loads_nothing_heavy():
    script = "import rexec_jupyter, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert not loaded & {"zmq", "msgspec", "cloudpickle", "IPython", "asyncio", "blake3"}
    assert {name for name in loaded if name.startswith("rexec_jupyter.")} == {
        "rexec_jupyter._version"
    }


@pytest.mark.parametrize("name", rexec.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(rexec, name) is not None
    assert name in dir(rexec)


# ------------------------------------------------------------------------------- run


def test_run_returns_the_value_of_the_last_expression_and_shows_output(capsys):
    assert rexec.run("print('hello')\n6 * 7") == 42
    assert capsys.readouterr().out == "hello\n"
    assert rexec.run("x = 1") is None


def test_run_takes_values_in_and_brings_names_out():
    assert rexec.run("b = a * 2", in_={"a": 21}, out=["b"]) == {"b": 42}
    assert rexec.run("c = 1; d = 2", out="c, d") == {"c": 1, "d": 2}
    assert rexec.run("", out={"here": "b"}) == {"here": 42}


def test_run_looks_names_up_where_it_is_called():
    local = [1, 2]
    assert rexec.run("sum(local)", in_="local") == 3
    assert rexec.run("sum(renamed)", in_={"renamed": local}) == 3
    assert rexec.run("'local' in dir()", in_=["local"], exclude=["local"], session="x") is False
    with pytest.raises(NameError, match="nowhere"):
        rexec.run("1", in_="nowhere")


def test_run_takes_along_what_the_code_reads():
    data, factor = [1, 2], 2
    code = "total = sum(data) * factor\ntotal"
    assert rexec.run(code, session="reads") == 6
    data.append(3)
    assert rexec.run(code, exclude="factor", session="reads") == 12
    assert rexec.run(code, in_={"data": [5]}, session="reads") == 10
    total = -1
    assert rexec.run("total", session="reads") == 10
    assert rexec.run("total", in_="total", session="reads") == total
    assert rexec.run("!echo {factor}; exit 0\n%time factor", session="reads") == 2
    assert factor == 2
    with pytest.raises(NameError):
        rexec.run("data", capture="none", session="reads-none")


def test_run_is_strict_if_that_is_asked_for():
    rexec.run("made_there = 1", session="strict")
    assert rexec.run("made_there", capture="strict", session="strict") == 1
    with pytest.raises(rexec.CaptureError, match="Nobody knows nothing_at_all"):
        rexec.run("print('ran'); nothing_at_all", capture="strict", session="strict")
    made_there = 2
    with pytest.raises(rexec.CaptureError, match="a value of its own for made_there"):
        rexec.run("made_there", capture="strict", session="strict")
    assert made_there != rexec.run("made_there", exclude=["made_there"], session="strict")
    with pytest.raises(ValueError, match="capture is 'auto'"):
        rexec.run("1", capture="all")


def test_run_explains_what_would_go_along_and_runs_nothing():
    rexec.run("mine = 1", session="explains")
    numbers, mine = [1, 2, 3], 5
    told = rexec.run("hidden = numbers, mine", explain=True, session="explains")
    assert [row["name"] for row in told.sent] == ["numbers"]
    assert told.facts["session"] == "explains (exists)"
    assert told.facts["other value here"] == "mine"
    assert rexec.run("'hidden' in dir()", session="explains") is False
    assert numbers
    assert mine


def test_what_cannot_go_along_is_told_in_words_of_python():
    lock = threading.Lock()
    with pytest.raises(rexec.CaptureError, match='exclude="lock"'):
        rexec.run("lock.acquire()")
    assert lock


def test_run_calls_functions(capsys):
    assert rexec.run(divmod, 7, 2) == (3, 1)

    def talk():
        print("out")
        print("err", file=sys.stderr)
        return os.getpid()

    assert rexec.run(talk) != os.getpid()
    assert capsys.readouterr() == ("out\n", "err\n")
    assert list(rexec.run(lambda: (yield from range(3)))) == [0, 1, 2]


def test_run_refuses_what_does_not_go_together():
    with pytest.raises(TypeError, match="takes arguments"):
        rexec.run(abs, -1, in_={"x": 1})
    with pytest.raises(TypeError, match="in_"):
        rexec.run("x", 1)
    with pytest.raises(ValueError, match="if_busy"):
        rexec.run("x", if_busy="wait")
    with pytest.raises(ValueError, match="on_interrupt"):
        rexec.run("x", on_interrupt="kill")
    with pytest.raises(ValueError, match="no duration"):
        rexec.run("x", timeout="soon")


def test_run_has_each_option_of_a_cell_as_a_keyword():
    keywords = set(inspect.signature(rexec.run).parameters)
    assert keywords >= {
        *("session", "profile", "fresh", "in_", "out", "exclude", "block", "name", "timeout"),
        *("wait_start", "if_busy", "on_interrupt", "return_", "stream", "max_send", "max_recv"),
        *("env", "local", "capture", "explain"),
    }


def test_run_without_blocking_returns_a_job(gate):
    job = rexec.run(wait_for, gate, block=False, name="waiting")
    assert job.label == "waiting"
    assert not job.done()
    gate.touch()
    assert job.result(PATIENCE) == "went through"
    assert rexec.run("1 + 1", block=False).result(PATIENCE).value == 2


def test_run_locally_runs_here():
    assert rexec.run(os.getpid, local=True) == os.getpid()
    assert rexec.run("import os\nos.getpid()", local=True) == os.getpid()
    assert rexec.run("b = a + 1", in_={"a": 1}, out="b", local=True) == {"b": 2}


@pytest.mark.parametrize("code", ["import os; os.environ['OF_THE_JOB']", "call"])
def test_environment_variables_are_set_for_one_job(code):
    def call():
        return os.environ.get("OF_THE_JOB")

    job = call if code == "call" else code
    assert rexec.run(job, env={"OF_THE_JOB": "yes"}) == "yes"
    assert "OF_THE_JOB" not in os.environ
    assert rexec.run(call) is None
    assert rexec.run("import os; 'OF_THE_JOB' in os.environ") is False


def test_environment_variables_reach_generators_and_coroutines():
    def generate():
        yield os.environ["OF_THE_JOB"]

    async def compute():
        return os.environ["OF_THE_JOB"]

    assert list(rexec.run(generate, env={"OF_THE_JOB": "1"})) == ["1"]
    assert rexec.run(compute, env={"OF_THE_JOB": "2"}) == "2"


def test_a_fresh_run_sees_nothing_of_the_session_and_leaves_nothing():
    rexec.run("kept = 1", session="clean")
    assert rexec.run("new = 'kept' in dir()", out="new", session="clean", fresh=True) == {
        "new": False
    }
    assert rexec.run("'new' in dir(), kept", session="clean") == (False, 1)


@pytest.mark.parametrize("source", ["x = bytearray(range(100)) * 100", "import threading"])
def test_a_reference_stands_for_a_value_that_stays(source):
    code = f"{source}\nx" if source.startswith("x") else f"{source}\n[threading]"
    ref = rexec.run(code, return_="ref", session="refs")
    assert isinstance(ref, rexec.RemoteRef)
    assert repr(ref).startswith(("bytearray", "[<module"))
    assert rexec.run("type(ref).__name__", in_={"ref": ref}, session="refs") in (
        "bytearray",
        "list",
    )
    if source.startswith("x"):
        assert ref.get() == bytearray(range(100)) * 100


def test_large_values_come_as_references_unless_asked_for():
    code = "x = b'x' * 3_000_000\nx"
    ref = rexec.run(code, session="large")
    assert isinstance(ref, rexec.RemoteRef)
    assert len(ref.get()) == 3_000_000
    assert len(rexec.run(code, return_="value", session="large")) == 3_000_000
    assert rexec.run(code, return_="none", session="large") is None
    rexec.Session("large").restart()
    with pytest.raises(rexec.PullError, match="R11"):
        ref.get()


def test_a_value_that_cannot_come_is_an_error_if_it_was_asked_for():
    with pytest.raises(rexec.PullError, match="lock"):
        rexec.run("import threading; threading.Lock()", return_="value")


@pytest.mark.parametrize("what", ["code", "function"])
def test_too_much_to_send_is_told_in_a_table_and_nothing_runs(what):
    large, small = bytearray(2_000_000), [1]
    before = len(rexec.default_client().jobs())
    if what == "code":
        run = functools.partial(rexec.run, "1", in_={"large": large, "small": small})
    else:
        run = functools.partial(rexec.run, lambda *_: None, large, small)
    with pytest.raises(rexec.CaptureError) as caught:
        run(max_send="1MB")
    text = str(caught.value)
    assert "2.0 MB" in text
    assert "bytearray" in text
    assert text.index("bytearray") < text.index("list")
    assert "othing was " in text
    assert "max_send" in text
    assert "--" not in text
    assert len(rexec.default_client().jobs()) == before


def test_too_much_to_bring_is_refused_and_the_value_stays():
    with pytest.raises(rexec.PullError):
        rexec.run("large = bytearray(2_000_000)", out="large", max_recv="1MB", session="stays")
    assert rexec.run("len(large)", session="stays") == 2_000_000


def test_a_timeout_shows_where_the_code_was():
    rexec.run("import time", session="timed")
    with pytest.raises(rexec.JobTimeoutError) as caught:
        rexec.run("time.sleep(60)", timeout="1s", session="timed")
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.code == "R08"
    assert "sleep" in str(caught.value.__cause__)


def test_a_profile_that_does_not_exist_is_refused():
    with pytest.raises(rexec.SessionMismatchError, match="gpu") as caught:
        rexec.run("1", profile="gpu")
    assert caught.value.code == "R04"
    assert rexec.run("1", profile="default") == 1


def test_the_error_of_a_cell_keeps_its_type():
    with pytest.raises(ZeroDivisionError) as caught:
        rexec.run("1 / 0")
    assert isinstance(caught.value.__cause__, rexec.RemoteTraceback)


def test_a_lost_worker_tells_the_last_lines():
    with pytest.raises(rexec.WorkerLostError) as caught:
        rexec.run("import os\nfor n in range(50): print('line', n, flush=True)\nos._exit(3)")
    assert caught.value.log[-1] == "line 49"
    assert len(caught.value.log) <= 20


# --------------------------------------------------------------------------- if busy


def test_a_busy_session_can_be_left_alone(busy):
    with pytest.raises(rexec.SessionBusyError) as caught:
        busy.run_cell("1", if_busy="fail")
    assert caught.value.code == "R05"
    assert caught.value.hint


def test_a_busy_session_can_be_interrupted(busy):
    assert busy.run_cell("'mine'", value=True, if_busy="interrupt").value == "mine"


def test_a_queued_cell_tells_what_is_ahead(busy, gate):
    first = busy.submit_cell("1", stream=True)
    second = busy.submit_cell("2", stream=True)
    until(lambda: second.ahead == 2 or None, "two cells ahead")
    gate.touch()
    states = []
    while (happenings := second.take(PATIENCE)) is not None:
        states += [
            (each.state, each.detail) for each in happenings if isinstance(each, StateChange)
        ]
    assert ("queued", "2 cells ahead") in states
    assert [state for state, _ in states][-2:] == ["running", "done"]
    assert second.ahead == 0
    assert first.incarnation == second.incarnation > 0


# ----------------------------------------------------------------------- wait to start


def test_time_behind_other_cells_does_not_count_as_waiting_for_a_start(busy, gate):
    job = busy.submit_cell("1", value=True)
    until(lambda: job.ahead == 1 or None, "its place in the queue")
    assert not job.waits_to_start
    counted = job.start_seconds
    assert StartLimit(job, counted / 2).left is None
    assert job.start_seconds == counted
    gate.touch()
    assert job.result(PATIENCE).value == 1


def test_time_without_a_session_counts_as_waiting_for_a_start():
    clock = StartClock(10.0)
    assert clock.seconds(12.0) == 2.0
    clock.set(12.0, runs=False)
    assert clock.seconds(50.0) == 2.0
    assert not clock.runs
    clock.set(60.0, runs=True)
    assert clock.seconds(61.0) == 3.0
    assert clock.runs


def test_a_job_that_does_not_start_in_time_is_withdrawn(fresh, tmp_path):
    fresh.start()
    with rexec.connect("local") as client:
        client.run(abs, -1)
        broker = fresh.pid("broker")
        os.kill(broker, signal.SIGSTOP)
        try:
            with pytest.raises(rexec.StartError) as caught:
                client.session().run_cell(f"open({str(tmp_path / 'ran')!r}, 'w')", wait_start=0.2)
        finally:
            os.kill(broker, signal.SIGCONT)
        error = caught.value
        assert error.code == "R06"
        assert error.phase
        assert error.phase in str(error)
        assert error.job.session == "default"


def test_waiting_for_a_start_leaves_the_output_alone():
    job = rexec.Session("started").submit_cell("print('shown')", stream=True)
    wait_started(job, PATIENCE)
    assert job.state in ("running", "done")
    texts = []
    while (happenings := job.take(PATIENCE)) is not None:
        texts += [getattr(each, "text", "") for each in happenings]
    assert "".join(texts) == "shown\n"


# ---------------------------------------------------------------------------- session


def test_names_are_pushed_and_pulled():
    session = rexec.Session("data")
    session.push(a=1, b=[2])
    session.push({"c": "three"})
    assert session.pull("a") == 1
    assert session.pull("b", "c") == ([2], "three")
    assert session.exec("a + 1", value=True).value == 2


def test_pushing_and_pulling_is_all_or_nothing():
    session = rexec.Session("whole")
    with pytest.raises(rexec.CaptureError, match="lock"):
        session.push(first=1, lock=threading.Lock())
    with pytest.raises(rexec.CaptureError, match="max_send"):
        session.push(first=bytearray(1000), max_send=100)
    with pytest.raises(ValueError, match="a b"):
        session.push({"first": 1, "a b": 2})
    assert "first" not in session.who()
    session.push(there=1)
    with pytest.raises(rexec.PullError, match="missing"):
        session.pull("there", "missing")
    with pytest.raises(rexec.PullError):
        session.pull("there", max_recv=1)


def test_who_tells_what_there_is():
    session = rexec.Session("listed")
    session.run_cell("number = 1; words = ['a', 'b']; _hidden = 1")
    names = session.who()
    assert {"number", "words"} <= set(names)
    assert names["number"].type == "int"
    assert names["words"].type == "list"
    assert session.run_cell("'happening' in dir()", value=True).value is False


def test_names_are_deleted_all_or_none():
    session = rexec.Session("deleted")
    session.push(a=1, b=2, c=3)
    with pytest.raises(NameError, match="missing"):
        session.delete("a", "missing")
    session.delete("a", "b")
    assert set(session.who()) == {"c"}
    session.reset()
    assert session.who() == {}


def test_hidden_work_is_not_counted_as_a_cell():
    session = rexec.Session("counted")
    session.push(a=1)
    before = session.exec("get_ipython().execution_count", value=True).value
    session.who()
    session.delete("a")
    assert session.exec("get_ipython().execution_count", value=True).value == before + 1


def test_a_session_without_a_name_ends_with_its_block_and_one_with_a_name_does_not():
    with rexec.Session() as session:
        session.push(a=1)
        name = session.name
    with rexec.Session("lasting") as lasting:
        lasting.push(a=1)
    assert rexec.Session("lasting").pull("a") == 1
    with pytest.raises(rexec.PullError):
        rexec.Session(name).pull("a")


def test_a_session_is_stopped_and_restarted():
    session = rexec.Session("ended")
    session.push(a=1)
    assert session.stop() is True
    assert session.stop() is False
    session.push(b=1)
    assert session.restart() is True
    assert session.who() == {}


def test_the_logs_of_a_session_are_those_of_its_cells():
    session = rexec.Session("talkative")
    session.run_cell("print('one')\nprint('two')")
    session.run_cell("print('three')")
    assert session.logs() == "one\ntwo\nthree\n"
    assert session.logs(tail=2) == "two\nthree\n"


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_session_needs_a_name_of_moderate_length(name):
    with pytest.raises(ValueError, match="1 to 64"):
        rexec.Session(name)


# -------------------------------------------------------------------------- decorator


@rexec.remote
def area(width: float, height: float = 2.0) -> float:
    """Return the area of a rectangle."""
    return width * height


@rexec.remote(timeout="0.5s", name="slow one")
def slow(path):
    return wait_for(path)


class Grid:
    def __init__(self, cells):
        self.cells = cells

    @rexec.remote
    def total(self, factor=1):
        return sum(self.cells) * factor, os.getpid()


def test_a_remote_function_is_called_in_all_its_ways():
    assert area(3) == 6.0
    assert area(3, height=3) == 9
    assert area.submit(2).result(PATIENCE) == 4.0
    assert list(area.map([1, 2], [3, 4])) == [3, 8]
    assert asyncio.run(area.aio(5)) == 10.0
    assert area.local(4) == 8.0


def test_a_remote_function_looks_like_the_function():
    assert area.__name__ == "area"
    assert area.__doc__ == "Return the area of a rectangle."
    assert area.__wrapped__ is area.local
    assert list(inspect.signature(area).parameters) == ["width", "height"]
    assert "area" in repr(area)


def test_a_remote_function_runs_elsewhere_with_its_options(gate):
    assert rexec.remote(os.getpid)() != os.getpid()
    job = slow.submit(gate)
    assert job.label == "slow one"
    assert isinstance(job.exception(PATIENCE), rexec.JobTimeoutError)
    with pytest.raises(rexec.JobTimeoutError):
        list(slow.map([gate]))
    with pytest.raises(rexec.JobTimeoutError):
        slow(gate)


def test_a_remote_method_is_sent_with_its_object():
    total, pid = Grid([1, 2, 3]).total(factor=2)
    assert total == 12
    assert pid != os.getpid()
    assert Grid.total(Grid([1]), 3)[0] == 3


def test_what_runs_remotely_calls_a_remote_function_as_any_other():
    @rexec.remote
    def inner(number):
        return number, os.getpid()

    def outer():
        return inner(1), os.getpid()

    (number, inner_pid), outer_pid = rexec.run(outer)
    assert number == 1
    assert inner_pid == outer_pid
    assert pickle.loads(pickle.dumps(rexec.remote(os.getcwd))) is os.getcwd


def test_a_remote_recursion_stays_in_its_worker():
    @rexec.remote
    def factorial(number):
        return number * factorial(number - 1) if number else 1

    assert factorial(5) == 120


def test_a_cancelled_coroutine_ends_the_call(gate):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rexec.remote(wait_for).aio(gate), 0.1)

    asyncio.run(main())
    assert rexec.run(abs, -1) == 1


def test_only_functions_can_be_decorated():
    with pytest.raises(TypeError, match="not for int"):
        rexec.remote(1)
    with pytest.raises(TypeError, match="@classmethod above @remote"):
        rexec.remote(classmethod(len))


def test_arguments_may_have_any_name():
    @rexec.remote
    def named(function, self, args, timeout):
        return function, self, args, timeout

    assert named(function=1, self=2, args=3, timeout=4) == (1, 2, 3, 4)
    assert named.submit(1, self=2, args=3, timeout=4).result(PATIENCE) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "spec",
    [
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"max_recv": -1},
        {"value_limit": -1},
        {"outputs": ["x"] * 1001},
    ],
)
def test_what_the_server_could_not_read_is_refused_here(client, spec):
    with pytest.raises(ValueError, match=next(iter(spec))):
        client.session().submit_cell("1", **spec)


@pytest.mark.parametrize("option", ["timeout", "wait_start"])
@pytest.mark.parametrize("code", ["1", abs])
def test_a_negative_duration_is_refused(option, code):
    with pytest.raises(ValueError, match="not negative"):
        rexec.run(code, **{option: -1})


def test_a_session_is_named_with_text():
    with pytest.raises(TypeError, match="is text, not int"):
        rexec.remote(session=3)(abs)(1)


def test_half_a_character_in_a_label_breaks_nothing(client):
    job = client.session().submit_cell("1", label="half \ud800")
    assert job.result(PATIENCE).outputs == {}
    assert client.find_job(job.id).label == "half ?"


def test_thousands_of_arrays_go_there_and_back(client):
    arrays = [np.full(200, number) for number in range(11_000)]
    total, back = client.submit(lambda arrays: (sum(a[0] for a in arrays), arrays), arrays).result(
        PATIENCE
    )
    assert total == sum(range(11_000))
    assert (back[-1] == arrays[-1]).all()


def test_map_prints_to_the_stream_that_was_meant(client, capsys):
    def talk(number):
        print("out", number)
        print("err", number, file=sys.stderr)
        return number

    assert list(client.map(talk, range(3))) == [0, 1, 2]
    assert capsys.readouterr() == ("out 0\nout 1\nout 2\n", "err 0\nerr 1\nerr 2\n")


# --------------------------------------------------------------------------- interrupt


@pytest.mark.parametrize("mode", ["cancel", "detach"])
def test_ctrl_c_ends_the_code_or_leaves_it(embedded, tmp_path, gate, mode):
    script = textwrap.dedent(f"""
        import rexec_jupyter as rexec
        code = '''
        import pathlib, time
        print("under way", flush=True)
        while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)
        pathlib.Path({str(tmp_path / "through")!r}).touch()
        '''
        try:
            rexec.run(code, session="stop-{mode}", on_interrupt={mode!r})
        except KeyboardInterrupt as error:
            print("stopped:", "goes on" in str(error), flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, CLIENT], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "under way\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == f"stopped: {mode == 'detach'}\n"
    gate.touch()
    assert rexec.run("1", session=f"stop-{mode}") == 1
    assert (tmp_path / "through").exists() == (mode == "detach")
