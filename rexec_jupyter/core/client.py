"""The client: runs functions and cells of this process on a backend."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.calls import Prepared, dump_call, label_of
from rexec_jupyter.core.console import attend, show
from rexec_jupyter.core.generator import RemoteGenerator
from rexec_jupyter.core.happenings import TextOutput
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.trust import job_key, new_id
from rexec_jupyter.core.versions import PYTHON

T = TypeVar("T")

_TINY = p.INLINE
_MANY = 1024
"""Most calls of one `Client.map` under way."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a client stands.

    Attributes
    ----------
    backend
        What it is connected to, for people.
    endpoint
        Address of the broker; empty before it is known.
    state
        ``connecting``, ``connected``, ``reconnecting``, ``failed`` or ``closed``.
    silence
        Seconds since the broker was heard of.
    servers
        The user's servers: ``session`` (empty: all that have none of their own), ``state``,
        ``python``, ``slots``, ….
    jobs
        Jobs of this client that have not ended.
    detail
        What is wrong, if something is.
    """

    backend: str
    endpoint: str
    state: Literal["connecting", "connected", "reconnecting", "failed", "closed"]
    silence: float
    servers: list[p.ServerState]
    jobs: int
    detail: str = ""


class Client:
    """A connection to a backend, for all threads of this process. Made by `connect`.

    As a context manager it closes itself at the end.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def __repr__(self) -> str:
        status = self.status()
        return f"<Client of the {status.backend}, {status.state}, {status.jobs} open jobs>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------- calls

    def run(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call a function remotely, show its output here, and return its value.

        A remote generator comes back as a generator that yields the items as they are made.
        Ctrl-C interrupts the remote code; a second one leaves it running.

        Raises
        ------
        CaptureError
            If the function or an argument cannot be sent; nothing was executed.
        BaseException
            What the function raised.
        RexecError
            If it could not run, or its result cannot be brought here.
        """
        job = self._call(fn, args, kwargs, stream=True, states=False)
        attend(job, job.done)
        value: T = job.result()
        if isinstance(value, RemoteGenerator):
            value.attended(attend)
        return value

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Job[T]:
        """Call a function remotely and do not wait. The job's `logs` has what it prints.

        Large arrays among the arguments are not copied: leave them unchanged until the job's
        state is ``queued``.

        Raises
        ------
        CaptureError
            If the function or an argument cannot be sent; nothing was executed.
        """
        return self._call(fn, args, kwargs)

    def stream(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Job[T]:
        """As `submit`, but all output is kept until `Job.take` takes it."""
        return self._call(fn, args, kwargs, stream=True)

    def map(self, fn: Callable[..., T], /, *iterables: Iterable[Any]) -> Iterator[T]:
        """Call a function on the items of iterables, several at once; yield in their order.

        What a call prints is shown when its result is yielded. The iterables are read as far
        ahead as it takes to keep the server busy. Closing the iterator, or an exception,
        cancels what was not yielded.

        Raises
        ------
        CaptureError
            If the function or an argument cannot be sent.
        BaseException
            What the function raised.
        """
        self._link.check()
        return self._map(Prepared(fn), zip(*iterables, strict=False))

    def _map(self, fn: Prepared, calls: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        jobs: deque[Job[Any]] = deque()
        window = few = max(4 * self._slots(), 4)
        try:
            while True:
                while len(jobs) < window and (args := next(calls, None)) is not None:
                    jobs.append(self._call(fn, args, {}))
                    if jobs[-1].nbytes > _TINY:
                        window = few
                if not jobs:
                    return
                job = jobs[0]
                attend(job, job.done)
                if text := job.logs():
                    show([TextOutput("stdout", text)])
                value = job.result()
                jobs.popleft()
                # Tiny calls are worth being far ahead of; large ones would pile up here.
                tiny = job.nbytes <= _TINY
                window = min(2 * window, _MANY) if tiny else few
                yield value
        finally:
            for job in jobs:
                job.abandon()

    def _slots(self) -> int:
        return max((server.slots for server in self._link.exchange.servers), default=1)

    def _call(
        self,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        stream: bool = False,
        states: bool = True,
    ) -> Job[Any]:
        self._link.check()
        label = fn.label if isinstance(fn, Prepared) else label_of(fn)
        parts = dump_call(fn, args, kwargs)
        return self.submit_parts(
            "call", parts, label=label, stream=stream, states=states, python=PYTHON
        )

    def submit_parts(
        self,
        kind: Literal["call", "cell"],
        parts: list[p.Buffer],
        *,
        session: str = "default",
        label: str = "",
        stream: bool = False,
        states: bool = True,
        **spec: Any,
    ) -> Job[Any]:
        """Submit what was pickled already.

        Parameters
        ----------
        stream
            Keep all output for `Job.take`.
        states
            Keep changes of the job's state for it too.
        **spec
            As in `protocol.Submit`.
        """
        link = self._link
        link.check()
        job_id = new_id()
        submit = p.Submit(
            job=job_id,
            session=session,
            journal="",
            kind=kind,
            key=job_key(link.connection.job_secret, job_id),
            payload=values.describe(parts),
            label=label[:200],
            **spec,
        )
        job: Job[Any] = Job(
            link,
            job_id,
            session=session,
            kind=kind,
            label=submit.label,
            stream=stream,
            states=states,
        )
        job.nbytes = submit.payload.nbytes
        if job.nbytes <= p.INLINE:
            parts = [values.join(parts)]  # whatever happens to the arguments from now on
        link.submit(job, submit, parts)
        return job

    # -------------------------------------------------------------- sessions, jobs

    def session(self, name: str = "default") -> Session:
        """Return the session of that name; it starts with its first cell.

        Raises
        ------
        ValueError
            If the name is empty or has more than 64 characters.
        """
        self._link.check()
        if not 0 < len(name) <= 64:
            raise ValueError("the name of a session has 1 to 64 characters")
        return Session(self, name)

    def attach(self, job_id: str, session: str = "default", *, stream: bool = False) -> Job[Any]:
        """Follow a job that this or another process of the user submitted.

        Its events come again from the start, as far as nobody acknowledged them.

        Raises
        ------
        ValueError
            If that is no job id.
        RexecError
            From `Job.result`, if the server has no such job (any more).
        """
        link = self._link
        link.check()
        if len(job_id) != 32 or not set(job_id) <= set("0123456789abcdef"):
            raise ValueError(f"{job_id!r} is no job id: those have 32 hexadecimal digits")
        known = link.find(job_id)
        if known is not None:
            return known
        job: Job[Any] = Job(link, job_id, session=session, stream=stream)
        link.attach(job, job_key(link.connection.job_secret, job_id))
        return job

    def jobs(self, *, timeout: float = 10.0) -> list[p.JobInfo]:
        """Return the user's jobs, whoever submitted them, newest first.

        Raises
        ------
        RexecError
            If no server answers within `timeout` seconds.
        """
        self._link.check()
        return self._link.list_jobs(timeout)

    def status(self) -> Status:
        """Return how this client stands, without asking anybody."""
        link = self._link
        link.check_process()
        return Status(
            backend=link.backend.description,
            endpoint=link.connection.endpoint,
            state=link.state,
            silence=link.silence,
            servers=link.exchange.servers,
            jobs=link.open_jobs,
            detail=link.trouble,
        )

    def close(self) -> None:
        """End the connection. Jobs that are waited for end with ConnectionLostError here.

        They go on where they run, and their results are kept for `attach`.
        """
        self._link.close()
