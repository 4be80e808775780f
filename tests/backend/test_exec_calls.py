"""Functions in worker processes."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from rexec_jupyter.core import values
from rexec_jupyter.core.trust import new_id
from rexec_server import handoff as h
from tests.backend.executing import Agent, eventually, gone

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=1)
    yield agent
    agent.close()


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_call_returns_its_value_and_imports_stay_warm(agent):
    def load():
        import colorsys

        colorsys.kept = 7
        return os.getpid()

    pid = agent.run(load)
    assert pid != os.getpid()
    assert agent.run(lambda: (os.getpid(), sys.modules["colorsys"].kept)) == (pid, 7)


def test_a_worker_does_not_import_numpy_by_itself(tmp_path):
    agent = Agent(tmp_path)
    try:
        loaded = agent.run(lambda: [name for name in ("numpy", "IPython") if name in sys.modules])
    finally:
        agent.close()
    assert loaded == []


@pytest.mark.parametrize("count", [10, 12_500_000], ids=["inline", "100 MB as a file"])
def test_an_array_goes_there_and_back_and_is_writable_there(agent, count):
    array = np.arange(count, dtype=float)

    def change(array):
        assert array.flags.aligned
        array += 1
        return array

    job = agent.call(change, array)
    result = agent.value(job)
    assert np.array_equal(result, array + 1)
    assert array[0] == 0
    (answer,) = agent.of(job, h.Returned)
    assert bool(answer.result.where.file) == (count > 10)
    for file in agent.files.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        file.unlink()


def test_a_damaged_file_is_refused_before_anything_is_loaded(agent):
    parts = values.dump((len, (bytes(100_000),), {}))
    described = agent._described(parts)
    (path,) = agent.files.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    agent._described = lambda _: described
    try:
        job = agent.start_call([])
    finally:
        del agent._described
    answer = agent.answer(job)
    assert answer.code == "R10"
    assert "digest differs" in answer.message
    path.unlink()


def test_output_of_python_c_code_and_subprocesses_is_there_before_the_answer(agent):
    def speak():
        print("python")
        ctypes.CDLL(None).printf(b"c code\n")
        subprocess.run(["sh", "-c", "echo shell; echo bad >&2"], check=True)
        os.write(1, b"raw\n")
        sys.stdout.write("no newline")

    for _ in range(20):
        job = agent.call(speak)
        agent.answer(job)
        assert sorted(agent.text(job).split("\n")) == [
            "c code",
            "no newline",
            "python",
            "raw",
            "shell",
        ]
        assert agent.text(job, "stderr") == "bad\n"


def test_text_without_a_newline_arrives_while_the_call_runs(agent, tmp_path):
    seen = tmp_path / "seen"

    def progress():
        sys.stdout.write(".")
        wait_for(seen)

    job = agent.call(progress)
    agent.wait(lambda: agent.text(job) == ".", "the dot")
    seen.touch()
    agent.value(job)


class CustomError(Exception):
    def __init__(self, message, detail):
        super().__init__(message, detail)
        self.detail = detail


def test_an_exception_keeps_type_attributes_notes_and_cause(agent):
    def fail():
        try:
            {}["missing"]
        except KeyError as cause:
            error = CustomError("failed", detail=[1])
            error.add_note("look here")
            raise error from cause

    job = agent.call(fail)
    error = agent.error(job)
    assert type(error) is CustomError
    assert error.detail == [1]
    assert error.__notes__ == ["look here"]
    assert isinstance(error.__cause__, KeyError)
    (answer,) = agent.of(job, h.Raised)
    assert (answer.error, answer.code) == ("CustomError", "")
    text = "\n".join(answer.traceback)
    assert "in fail" in text
    assert "direct cause" in text
    assert "look here" in text
    assert "rexec" not in text


def test_an_exception_that_cannot_be_pickled_arrives_as_text(agent):
    def fail():
        error = ValueError("no way")
        error.lock = threading.Lock()
        raise error

    answer = agent.answer(agent.call(fail))
    assert answer.result.where.sizes == [0]
    assert (answer.error, answer.message) == ("ValueError", "no way")
    assert answer.traceback[-1] == "ValueError: no way"


def test_errors_of_the_language_and_of_exit_are_errors_of_the_call(agent):
    assert type(agent.error(agent.call(compile, "x = (", "cell", "exec"))) is SyntaxError
    assert type(agent.error(agent.call(lambda: 1, 2))) is TypeError
    error = agent.error(agent.call(sys.exit, 3))
    assert isinstance(error, SystemExit)
    assert error.code == 3
    assert type(agent.error(agent.call(next, iter(())))) is StopIteration


def test_a_deep_recursion_is_reported_within_limits(agent):
    def deeper(n):
        return deeper(n + 1) + sys.getsizeof(n)

    answer = agent.answer(agent.call(deeper, 0))
    assert answer.error == "RecursionError"
    assert len(answer.traceback) < 500


def test_a_module_that_is_missing_there_is_named(agent):
    class Reference:
        def __reduce__(self):
            return __import__, ("no_such_module",)

    answer = agent.answer(agent.call(print, Reference()))
    assert answer.error == "ModuleNotFoundError"
    assert "no_such_module" in answer.message
    assert any("same packages" in line for line in answer.traceback)


def test_a_result_that_cannot_be_pickled_is_refused_and_stays(agent):
    job = agent.call(threading.Lock)
    answer = agent.answer(job)
    assert answer.code == "R11"
    assert "lock" in answer.message
    assert "stays in the worker" in answer.message
    assert agent.run(lambda: 1) == 1


def test_input_is_refused_with_a_way_out(agent):
    error = agent.error(agent.call(input, "name? "))
    assert isinstance(error, EOFError)
    assert "pass the answer as a variable" in str(error)
    assert agent.run(lambda: sys.stdin.read(1)) == ""


def test_a_coroutine_function_is_awaited(agent):
    async def work(x):
        await asyncio.sleep(0)
        return x + 1

    assert agent.run(work, 1) == 2

    async def fail():
        await asyncio.sleep(0)
        raise LookupError("there")

    answer = agent.answer(agent.call(fail))
    assert answer.error == "LookupError"
    assert "asyncio" not in "\n".join(answer.traceback)


def items_of(agent, job):
    return [
        values.load(agent.parts(message.result, payload))
        for message, payload in agent.messages
        if isinstance(message, h.Yielded) and message.job == job
    ]


def test_a_generator_streams_and_waits_for_its_reader(agent):
    def count():
        for i in range(200):
            print(i)
            yield i

    job = agent.call(count)
    agent.wait(lambda: len(items_of(agent, job)) == 64, "the first items")
    assert agent.of(job, h.Streaming)
    agent.grant(job, 100)
    agent.wait(lambda: len(items_of(agent, job)) == 100, "more items")
    assert "100" not in agent.text(job).split()
    agent.grant(job, 1000)
    assert agent.value(job) is None
    assert items_of(agent, job) == list(range(200))


def test_an_asynchronous_generator_streams_too(agent):
    async def count():
        for i in range(3):
            await asyncio.sleep(0)
            yield i

    job = agent.call(count)
    assert agent.value(job) is None
    assert items_of(agent, job) == [0, 1, 2]


def test_a_generator_that_raises_or_yields_what_cannot_be_sent_ends(agent):
    def fail():
        yield 1
        raise OverflowError

    job = agent.call(fail)
    assert isinstance(agent.error(job), OverflowError)
    assert items_of(agent, job) == [1]

    def unsendable():
        try:
            yield threading.Lock()
        finally:
            print("closed")

    job = agent.call(unsendable)
    answer = agent.answer(job)
    assert answer.code == "R11"
    assert "item of the generator" in answer.message
    assert agent.text(job) == "closed\n"


def test_a_generator_that_waits_for_its_reader_can_be_interrupted(agent):
    def endless():
        try:
            while True:
                yield 1
        finally:
            print("closed")

    job = agent.call(endless)
    agent.wait(lambda: len(items_of(agent, job)) == 64, "the first items")
    agent.tell(h.InterruptJob(job=job, pid=agent.worker_of(job)))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert agent.text(job) == "closed\n"


def test_an_interrupt_ends_a_call_and_what_it_started(agent, tmp_path):
    mark = tmp_path / "mark"

    def sleep():
        with subprocess.Popen(["sleep", "1000"]) as child:
            mark.write_text(str(child.pid))
            time.sleep(1000)

    job = agent.call(sleep)
    eventually(lambda: mark.exists() and mark.read_text())
    agent.tell(h.InterruptJob(job=job, pid=agent.worker_of(job)))
    answer = agent.answer(job)
    assert isinstance(answer, h.Interrupted)
    assert "in sleep" in "\n".join(answer.traceback)
    eventually(lambda: gone(int(mark.read_text())))


def test_a_call_that_survives_an_interrupt_can_be_interrupted_again(agent, tmp_path):
    def stubborn():
        for name in ("one", "two"):
            try:
                (tmp_path / name).touch()
                time.sleep(1000)
            except KeyboardInterrupt:
                print(name)
        return "done"

    job = agent.call(stubborn)
    for name in ("one", "two"):
        eventually((tmp_path / name).exists)
        agent.tell(h.InterruptJob(job=job, pid=agent.worker_of(job)))
        agent.wait(lambda name=name: name in agent.text(job), name)
    assert agent.value(job) == "done"


def test_an_interrupt_that_python_drops_is_raised_again(agent):
    class Deaf:
        def __del__(self):
            print("on")
            while True:
                pass

    def work():
        Deaf()
        time.sleep(1000)

    job = agent.call(work)
    agent.wait(lambda: agent.text(job), "the start")
    agent.tell(h.InterruptJob(job=job, pid=agent.worker_of(job)))
    assert isinstance(agent.answer(job), h.Interrupted)


def test_an_interrupt_never_hits_another_job(agent):
    def work(seconds):
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            pass
        return "done"

    outcomes = set()
    for turn in range(300):
        soon = not turn % 3
        # Some of those that are interrupted soon are long enough for that on any machine.
        job = agent.call(work, turn * 2e-5 if soon else 0.0005)
        pid = agent.worker_of(job)
        if not soon:
            agent.answer(job)
        agent.tell(h.InterruptJob(job=job, pid=pid))
        following = agent.call(work, 0.0005)
        outcomes.add(type(agent.answer(job)))
        assert agent.value(following) == "done"
    assert outcomes == {h.Returned, h.Interrupted}


def test_an_interrupt_that_is_faster_than_its_call_is_not_lost(agent):
    pid = agent.wait(agent.idle).pid
    worker = agent.wait(lambda: agent.idle(pid))
    parts = values.dump((time.sleep, (1000,), {}))
    where, digest, payload = agent._described(parts)
    job = worker.job = new_id()
    agent.tell(h.InterruptJob(job=job, pid=pid))
    worker.connection.sendall(
        h.encode(h.RunCall(job=job, where=where, digest=digest, nbytes=len(payload)), payload)
    )
    assert isinstance(agent.answer(job), h.Interrupted)


def test_a_call_leaves_nothing_behind_that_would_hurt_the_next(agent, tmp_path):
    def mess(path):
        os.chdir(path)
        sys.argv.append("x")
        sys.stdout = None
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(1000,)).start()

    pid = agent.run(os.getpid)
    agent.run(mess, str(tmp_path))
    assert agent.run(lambda: (os.getpid(), str(Path.cwd()), sys.argv, sys.stdout is None)) == (
        pid,
        "/",
        [""],
        False,
    )
    job = agent.call(time.sleep, 1000)
    agent.tell(h.InterruptJob(job=job, pid=pid))
    assert isinstance(agent.answer(job), h.Interrupted)


def test_a_child_that_a_call_forks_answers_for_nobody(agent):
    def fork():
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return os.getpid()

    job = agent.call(fork)
    assert agent.value(job) == agent.run(os.getpid)
    assert len(agent.of(job, h.Returned)) == 1


def test_user_code_has_a_main_module_and_import_path_of_its_own(agent):
    assert agent.run(lambda: (hasattr(sys.modules["__main__"], "Worker"), sys.path[0])) == (
        False,
        "",
    )


def crash():
    print("last words", flush=True)
    ctypes.string_at(0)


def leave():
    print("last words")
    os._exit(3)


def shoot():
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "number", "code", "words"),
    [
        (crash, signal.SIGSEGV, 0, "crash in native code"),
        (leave, 0, 3, "exited with code 3"),
        (shoot, signal.SIGKILL, 0, "SIGKILL"),
    ],
)
def test_a_worker_that_dies_is_reported_and_replaced(agent, end, number, code, words):
    job = agent.call(end)
    pid = agent.worker_of(job)
    ended = agent.wait(
        lambda: [gone for gone in agent.of_type(h.WorkerGone) if gone.pid == pid], "its end"
    )[0]
    assert (ended.signal, ended.exit_code, ended.oom) == (number, code, False)
    assert words in ended.reason
    agent.wait(lambda: agent.text(job) == "last words\n", "its last words")
    assert agent.run(os.getpid) != pid
