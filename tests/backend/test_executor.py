"""`Executor` as the standard library uses one, on real workers."""

import asyncio
import concurrent.futures
import gc
import operator
import os
import threading
import time
import tracemalloc
import weakref

import pytest

import rexec_jupyter as rexec
from tests.backend.brokering import PATIENCE, until


@pytest.fixture(scope="module")
def client(embedded):
    with rexec.connect("local") as client:
        yield client


@pytest.fixture
def executor(client):
    with rexec.Executor(client) as executor:
        yield executor


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)
    return "went through"


def note(directory):
    """Count how many of these run at once: each sees its own file and those of the others."""
    own = directory / f"{os.getpid()}-{time.monotonic_ns()}"
    own.touch()
    time.sleep(0.02)
    seen = len(list(directory.iterdir()))
    own.unlink()
    return seen


def test_it_is_an_executor_of_the_standard_library(executor):
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(divmod, 7, 2)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(PATIENCE) == (3, 1)
    assert executor.submit(lambda *, x: x, x=1).result(PATIENCE) == 1
    assert future.exception() is None
    assert future.done()
    assert not future.running()
    assert not future.cancelled()


def test_exceptions_keep_their_type(executor):
    future = executor.submit(operator.truediv, 1, 0)
    assert isinstance(future.exception(PATIENCE), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        future.result()


def test_what_cannot_be_sent_is_told_at_once(executor):
    with pytest.raises(rexec.CaptureError, match="Argument 1"):
        executor.submit(print, threading.Lock())


def test_futures_work_with_wait_and_as_completed(executor, gate):
    slow = executor.submit(wait_for, gate)
    quick = [executor.submit(pow, number, 2) for number in range(10)]
    assert {future.result() for future in concurrent.futures.as_completed(quick, PATIENCE)} == {
        number**2 for number in range(10)
    }
    done, waiting = concurrent.futures.wait([slow, *quick], return_when="FIRST_COMPLETED")
    assert slow in waiting
    assert done == set(quick)
    with pytest.raises(TimeoutError):
        slow.result(0.01)
    gate.touch()
    assert concurrent.futures.wait([slow], PATIENCE).done == {slow}


@pytest.mark.parametrize("limit", [1, 2])
def test_never_are_more_under_way_than_there_may_be(client, tmp_path, limit):
    with rexec.Executor(client, max_workers=limit) as executor:
        futures = [executor.submit(note, tmp_path) for _ in range(12)]
        assert max(future.result(PATIENCE) for future in futures) <= limit
        assert "0 waiting" in repr(executor)
    assert "shut down, 0 under way" in repr(executor)


def test_a_running_call_can_be_cancelled(executor, gate):
    future = executor.submit(wait_for, gate)
    until(lambda: future.job.state == "running" or None, "the call to run")
    assert future.running()
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(PATIENCE)
    assert future.cancelled()
    assert concurrent.futures.wait([future], PATIENCE).done == {future}
    assert not executor.submit(pow, 2, 2).cancelled()


def test_a_waiting_call_can_be_cancelled_and_never_runs(client, gate, tmp_path):
    with rexec.Executor(client, max_workers=1) as executor:
        first = executor.submit(wait_for, gate)
        waiting = executor.submit((tmp_path / "ran").touch)
        assert waiting.cancel()
        assert waiting.cancelled()
        assert waiting.cancel()
        assert concurrent.futures.wait([waiting], PATIENCE).done == {waiting}
        gate.touch()
        assert first.result(PATIENCE) == "went through"
        assert not first.cancel()
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("chunksize", [1, 3, 100])
@pytest.mark.parametrize("limit", [None, 2])
def test_map_yields_in_order(client, chunksize, limit):
    with rexec.Executor(client, max_workers=limit) as executor:
        results = executor.map(pow, range(20), [2] * 20, chunksize=chunksize, timeout=PATIENCE)
        assert list(results) == [number**2 for number in range(20)]
        assert list(executor.map(pow, [], [])) == []


def test_map_reads_no_further_ahead_than_its_buffer(executor):
    read = []

    def numbers():
        for number in range(100):
            read.append(number)
            yield number

    results = executor.map(abs, numbers(), buffersize=4)
    assert read == [0, 1, 2, 3]
    assert next(results) == 0
    assert read == [0, 1, 2, 3, 4]
    assert list(results) == list(range(1, 100))


def test_map_has_a_timeout_and_cancels_what_is_left(client, gate, tmp_path):
    with rexec.Executor(client, max_workers=1) as executor:
        results = executor.map(wait_for, [gate] * 3, timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)
        assert executor.submit(pow, 2, 2).result(PATIENCE) == 4  # it has its turn
    assert not gate.exists()


@pytest.mark.parametrize("wrong", [{"chunksize": 0}, {"buffersize": 0}])
def test_map_refuses_what_makes_no_sense(executor, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        executor.map(abs, [1], **wrong)


def test_max_workers_must_be_positive(client):
    with pytest.raises(ValueError, match="max_workers"):
        rexec.Executor(client, max_workers=0)


def test_shutdown_waits_and_takes_no_more(client, gate):
    executor = rexec.Executor(client, max_workers=1)
    futures = [executor.submit(wait_for, gate), executor.submit(pow, 2, 3)]
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(pow, 1, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(pow, [1], [1])
    gate.touch()
    executor.shutdown()
    assert [future.result(0) for future in futures] == ["went through", 8]


@pytest.mark.parametrize("limit", [1, None])
def test_shutdown_can_cancel_what_has_not_started(client, gate, limit):
    slots = 1 if limit else client.status().servers[0].slots
    executor = rexec.Executor(client, max_workers=limit)
    running = [executor.submit(wait_for, gate) for _ in range(slots)]
    for future in running:
        until(lambda future=future: future.started or None, "the call to run")
    waiting = [executor.submit(wait_for, gate) for _ in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert concurrent.futures.wait(waiting, PATIENCE).not_done == set()
    assert all(future.cancelled() for future in waiting)
    gate.touch()
    executor.shutdown()
    assert [future.result(0) for future in running] == ["went through"] * slots


def test_it_serves_an_event_loop(executor, gate):
    async def main():
        loop = asyncio.get_running_loop()
        values = await asyncio.gather(
            *(loop.run_in_executor(executor, pow, number, 2) for number in range(5))
        )
        stuck = loop.run_in_executor(executor, wait_for, gate)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stuck, 0.05)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, operator.truediv, 1, 0)
        return values

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_it_runs_where_a_session_is(client, tmp_path):
    with rexec.Executor(client.session("elsewhere")) as executor:
        future = executor.submit(pow, 2, 5)
        assert future.result(PATIENCE) == 32
        assert future.job.session == "elsewhere"


def test_after_the_client_was_closed_it_says_so(embedded, gate):
    client = rexec.connect("local")
    executor = rexec.Executor(client, max_workers=1)
    running, waiting = executor.submit(wait_for, gate), executor.submit(pow, 2, 2)
    until(lambda: running.started or None, "the call to run")
    client.close()
    gate.touch()
    for future in (running, waiting):
        with pytest.raises(rexec.ConnectionLostError, match="closed"):
            future.result(PATIENCE)
    with pytest.raises(rexec.ConnectionLostError, match="closed"):
        executor.submit(pow, 2, 2)
    executor.shutdown()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_process_it_says_so(client, executor):
    executor.submit(pow, 2, 2).result(PATIENCE)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            executor.submit(pow, 2, 2)
        except rexec.RexecError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert "forked" in told.read()
    os.waitpid(pid, 0)


def test_no_thread_stays_when_all_is_done(client):
    with rexec.Executor(client, max_workers=1) as executor:
        assert [future.result(PATIENCE) for future in [executor.submit(abs, -1)] * 3] == [1] * 3
        list(executor.map(abs, range(5)))

    def gone():
        return all(thread.name != "rexec-executor" for thread in threading.enumerate()) or None

    until(gone, "the executor's thread to end")


def test_nothing_stays_in_memory_once_it_is_no_longer_needed(executor):
    gc.disable()
    try:
        task = executor.submit(pow, 2, 2)
        assert task.result(PATIENCE) == 4
        kept = [weakref.ref(task), weakref.ref(task.job)]
        del task
        until(lambda: not any(each() for each in kept) or None, "the call to be forgotten")
    finally:
        gc.enable()


def test_large_calls_that_wait_for_their_turn_take_no_room(client, gate):
    data = bytes(20_000_000)
    with rexec.Executor(client, max_workers=1) as executor:
        first = executor.submit(wait_for, gate)
        tracemalloc.start()
        try:
            lengths = [executor.submit(len, data) for _ in range(5)]
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gate.touch()
        assert held < 1_000_000
        assert first.result(PATIENCE) == "went through"
        assert [future.result(PATIENCE) for future in lengths] == [len(data)] * 5
