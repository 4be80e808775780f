"""`concurrent.futures.Executor` on remote workers."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.ambient import default_client
from rexec_jupyter.core.calls import Prepared, call_each, dump_call, label_of
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.versions import PYTHON

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.job import Job

T = TypeVar("T")

_HELD = 1024 * 1024
"""Bytes of a call that are held until its turn. A larger one is pickled again when it comes."""


class Task(Future[T]):
    """One call of an executor: a future, even before its turn has come.

    Attributes
    ----------
    job
        What runs remotely; None before its turn.
    """

    def __init__(self, pickle: Callable[[], list[p.Buffer]], label: str) -> None:
        super().__init__()
        self.job: Job[T] | None = None
        self._pickle: Callable[[], list[p.Buffer]] | None = pickle
        self._label = label
        self._begun = False
        self._unwanted = False

    def cancel(self) -> bool:
        """Cancel the call; one that runs is interrupted, and ends soon."""
        with self._condition:
            if self._begun:
                self._unwanted = True
                return not self.done() if self.job is None else self.job.cancel()
            if self.done():
                return self.cancelled()
            super().cancel()
            self.set_running_or_notify_cancel()
            self._pickle = None
            return True

    def running(self) -> bool:
        """Whether it was submitted and has not ended."""
        return self._begun and not self.done()

    def result(self, timeout: float | None = None) -> T:
        """Return the value, or raise the exception, of the call; see `Job.result`."""
        super().exception(timeout)  # which waits
        return super().result() if self.job is None else self.job.result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception of the call, if it raised one; see `Job.exception`."""
        error = super().exception(timeout)
        return error if self.job is None else self.job.exception()

    # ---------------------------------------------------------- for the executor

    @property
    def started(self) -> bool:
        """Whether its code may run already."""
        return self.job is not None and self.job.state not in ("waiting", "queued")

    def begin(self, client: Client, session: str, ended: Callable[[Task[T]], None]) -> None:
        """Submit it; `ended` is called once, when its turn is over."""
        with self._condition:
            self._begun = not self.done()
        if not self._begun:
            ended(self)
            return
        pickle, self._pickle = self._pickle, None
        assert pickle is not None  # noqa: S101 - it begins once
        try:
            job: Job[T] = client.submit_parts(
                "call", pickle(), session=session, label=self._label, states=False, python=PYTHON
            )
        except Exception as error:  # noqa: BLE001 - it is the result
            self.set_exception(error)
            ended(self)
            return
        with self._condition:
            self.job = job
            unwanted = self._unwanted
        if unwanted:
            job.cancel()
        # A job keeps what was to be called: if that held this task, both would stay in memory,
        # and the result with them, until somebody collects cycles.
        held: list[Task[T]] = [self]
        job.add_done_callback(lambda job: held.pop()._finish(job, ended))  # noqa: SLF001 - its own

    def _finish(self, job: Future[T], ended: Callable[[Task[T]], None]) -> None:
        # Whoever asks for the result unpickles it, and not the thread that brought it.
        if job.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
        else:
            self.set_result(None)  # type: ignore[arg-type] # never returned
        ended(self)


class Executor(futures.Executor):
    """Runs functions on remote workers, with the interface of the standard library.

    Unlike there, the cancellation of a call that runs interrupts it.

    Parameters
    ----------
    where
        A client, or a session of one. None: the client of this process.
    max_workers
        Most calls under way at once. None: as many as the server takes; it runs as many at
        once as it has workers, and lets the others wait.

    Raises
    ------
    ValueError
        If `max_workers` is not positive.
    """

    def __init__(
        self, where: Client | Session | None = None, max_workers: int | None = None
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError("max_workers must be greater than 0")
        self._session = "default"
        if isinstance(where, Session):
            self._session = where.name
            where = where.client
        self._client = default_client() if where is None else where
        self._limit = max_workers
        self._lock = threading.Condition()
        self._waiting: deque[Task[Any]] = deque()
        self._under_way: set[Task[Any]] = set()
        self._closed = False
        self._turns: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._starter: threading.Thread | None = None

    def __repr__(self) -> str:
        with self._lock:
            state = "shut down, " if self._closed else ""
            return (
                f"<Executor: {state}{len(self._under_way)} under way, {len(self._waiting)} waiting>"
            )

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Task[T]:
        """Call a function remotely.

        Large arguments are not copied: leave them unchanged until the call runs.

        Raises
        ------
        CaptureError
            If the function or an argument cannot be sent; nothing was executed.
        RuntimeError
            After `shutdown`.
        ConnectionLostError
            If the client was closed.
        """
        return self._submit(fn, args, kwargs, label_of(fn))

    def _submit(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], label: str
    ) -> Task[Any]:
        self._check()
        self._client.check()
        parts = dump_call(fn, args, kwargs)
        with self._lock:
            self._check()
            at_once = self._limit is None or len(self._under_way) < self._limit
            if at_once or sum(map(len, parts)) <= _HELD:
                task: Task[Any] = Task(lambda: parts, label)
            else:  # many of them would not find room here
                task = Task(lambda: dump_call(fn, args, kwargs), label)
            if at_once:
                self._under_way.add(task)
            else:
                self._waiting.append(task)
                if self._starter is None:
                    self._starter = threading.Thread(
                        target=self._start_tasks, name="rexec-executor", daemon=True
                    )
                    self._starter.start()
        if at_once:
            task.begin(self._client, self._session, self._ended)
        return task

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _ended(self, task: Task[Any]) -> None:
        """Give the turn of a task that ended to another one."""
        with self._lock:
            self._under_way.remove(task)
            if self._waiting:
                following = self._waiting.popleft()
                self._under_way.add(following)
                self._turns.put(following)
            elif not self._under_way:
                self._lock.notify_all()
                if self._starter is not None:
                    self._starter = None
                    self._turns.put(None)

    def _start_tasks(self) -> None:
        # Not on the thread that brings the results: to submit may take long.
        while (task := self._turns.get()) is not None:
            task.begin(self._client, self._session, self._ended)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call a function on the items of iterables, several at once; yield in their order.

        Parameters
        ----------
        timeout
            Seconds, from now, after which waiting for a result raises TimeoutError.
        chunksize
            Items that one call deals with.
        buffersize
            Most calls whose results were not yielded yet; the iterables are read no further.
            None: they are read to their end at once.

        Raises
        ------
        CaptureError
            If the function or an argument cannot be sent.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        self._check()
        deadline = None if timeout is None else time.monotonic() + timeout
        function, label = Prepared(fn), label_of(fn)
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        pieces = iter(lambda: tuple(itertools.islice(calls, chunksize)), ())
        tasks: deque[Task[list[T]]] = deque()

        def submit() -> bool:
            piece = next(pieces, None)
            if piece is not None:
                tasks.append(self._submit(call_each, (function, piece), {}, label))
            return piece is not None

        try:
            while (buffersize is None or len(tasks) < buffersize) and submit():
                pass
        except BaseException:
            _cancel(tasks)
            raise
        return _results(tasks, submit, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the standard library
        """Take no more calls.

        Parameters
        ----------
        wait
            Return only once all calls have ended.
        cancel_futures
            Cancel the calls that have not started.
        """
        with self._lock:
            self._closed = True
            tasks = []
            if cancel_futures:
                # Where the server makes them wait, one may start at this very moment.
                tasks = [*self._waiting, *(task for task in self._under_way if not task.started)]
                self._waiting.clear()
        _cancel(tasks)
        if wait:
            with self._lock:
                self._lock.wait_for(lambda: not self._under_way)


def _cancel(tasks: Iterable[Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _results(
    tasks: deque[Task[list[T]]], submit: Callable[[], bool], deadline: float | None
) -> Iterator[T]:
    try:
        while tasks:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            results = tasks[0].result(left)
            tasks.popleft()
            submit()
            yield from results
    finally:
        _cancel(tasks)
