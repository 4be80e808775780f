"""The client: runs functions and cells of this process on a backend."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.calls import Prepared, dump_call, label_of
from rexec_jupyter.core.console import attend, show
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.exchange import Exchange
from rexec_jupyter.core.generator import RemoteGenerator
from rexec_jupyter.core.guards import check_size, check_spec
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.link import Link
from rexec_jupyter.core.log_reader import LogReader
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.standing import Status
from rexec_jupyter.core.survey import Survey, jobs_of, sessions_of
from rexec_jupyter.core.trust import job_key, new_id
from rexec_jupyter.core.versions import PYTHON

T = TypeVar("T")

_TINY = p.INLINE
_MANY = 1024
"""Most calls of one `Client.map` under way."""
_TELLS_USAGE = 2
"""Protocol number from which on servers can be asked what they take."""


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

    def check(self) -> None:
        """Raise an error if nothing can be asked of it (any more), or not in this process."""
        self._link.check()

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
        job = self.submit_call(fn, args, kwargs, stream=True, states=False)
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
        return self.submit_call(fn, args, kwargs)

    def stream(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Job[T]:
        """As `submit`, but all output is kept until `Job.take` takes it."""
        return self.submit_call(fn, args, kwargs, stream=True)

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
        return self.map_calls(Prepared(fn), zip(*iterables, strict=False))

    def map_calls(
        self, fn: Prepared, calls: Iterator[tuple[Any, ...]], **spec: Any
    ) -> Iterator[Any]:
        """Call a function with each of several arguments; as `map`, with `submit_call`'s spec."""
        jobs: deque[Job[Any]] = deque()
        window = few = max(4 * self._slots(), 4)
        try:
            while True:
                while len(jobs) < window and (args := next(calls, None)) is not None:
                    jobs.append(self.submit_call(fn, args, **spec))
                    if jobs[-1].nbytes > _TINY:
                        window = few
                if not jobs:
                    return
                job = jobs[0]
                attend(job, job.done)
                show(job.shown())
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

    def submit_call(
        self,
        fn: Callable[..., Any] | Prepared,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        label: str = "",
        max_send: int = 0,
        **spec: Any,
    ) -> Job[Any]:
        """Call a function remotely and do not wait; as `submit`, with all that can be told.

        Parameters
        ----------
        label
            For people; the name of the function if empty.
        max_send
            Bytes that function and arguments may take; 0 means no limit.
        **spec
            As for `submit_parts`.
        """
        self._link.check()
        label = label or (fn.label if isinstance(fn, Prepared) else label_of(fn))
        parts = dump_call(fn, args, kwargs or {})
        if max_send:
            named = {f"argument {at}": value for at, value in enumerate(args, 1)}
            check_size(parts, {label: fn, **named, **(kwargs or {})}, max_send)
        return self.submit_parts("call", parts, label=label, python=PYTHON, **spec)

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

        Raises
        ------
        ValueError
            If something in `spec` is out of its range.
        CaptureError
            If there are too many parts.
        """
        link = self._link
        link.check()
        check_spec(spec, parts)
        job_id = new_id()
        if not label.isascii():  # half a character would break the message
            label = label.encode(errors="replace").decode()
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
        return Session(name, self)

    def end_session(self, name: str, *, restart: bool = False, timeout: float = 30.0) -> bool:
        """End the interpreter of a session, and with it its variables; see `Session.stop`."""
        request = p.EndSession(request=new_id(), session=name, restart=restart)
        answer: Any = self._link.request(request, timeout).message
        return bool(answer.existed)

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
        _check_id(job_id)
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
            If not every server answers within `timeout` seconds.
        """
        return jobs_of(answer for _, answer in self._link.request_all(p.ListJobs, timeout))

    def find_job(self, name: str, *, timeout: float = 10.0) -> p.JobInfo:
        """Return the job with an id that begins so, or the newest one with that label.

        Raises
        ------
        RexecError
            If there is none, or several ids begin so; else as `jobs`.
        """
        jobs = self.jobs(timeout=timeout)
        found = [job for job in jobs if name and job.job.startswith(name)]
        # A cell that is run again has the label that it had before.
        found = found or [job for job in jobs if name and job.label == name][:1]
        if len(found) == 1:
            return found[0]
        if not found:
            raise RexecError(
                f"The server knows no job {name!r}.", hint="`%rexec jobs` lists those it knows."
            )
        some = ", ".join(f"{job.job[:8]} ({job.state})" for job in found[:5])
        rest = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise RexecError(
            f"{name!r} is not one job: there are {some}{rest}.",
            hint="Tell more of the id; the newest is first.",
        )

    def log(
        self, job_id: str, session: str = "default", *, tail: int = 0, offset: int = 0
    ) -> LogReader:
        """Read what a job has shown, from its first line or the last ones, and what it shows.

        Whoever follows the job is not disturbed. The logs of the last 24 hours are kept.

        Parameters
        ----------
        tail
            Only so many lines at the end; 0: all.
        offset
            Begin at that byte, which is `LogReader.offset` of an earlier reader.

        Raises
        ------
        ValueError
            If that is no job id.
        RexecError
            If no server answers.
        """
        _check_id(job_id)
        return LogReader(self._link, job_id, session, tail=tail, offset=offset)

    def interrupt(self, job_id: str, session: str = "default") -> None:
        """Raise KeyboardInterrupt in a job, whoever submitted it, without following it.

        What comes of it shows in `jobs`. It is said once, and is lost with the connection.

        Raises
        ------
        ValueError
            If that is no job id.
        """
        self._tell(p.Interrupt(job=_check_id(job_id), session=session))

    def cancel(self, job_id: str, session: str = "default") -> None:
        """End a job as `Job.cancel` does, whoever submitted it; else as `interrupt`."""
        self._tell(p.Cancel(job=_check_id(job_id), session=session))

    def _tell(self, message: p.Interrupt | p.Cancel) -> None:
        self._link.check()
        job = self._link.find(message.job)
        if job is None:
            self._link.call(Exchange.tell, message)
        elif isinstance(message, p.Cancel):
            job.cancel()
        else:
            job.interrupt()

    def sessions(self, *, timeout: float = 10.0) -> list[p.SessionInfo]:
        """Return the user's sessions that have an interpreter or cells, by name.

        Raises
        ------
        RexecError
            If not every server answers within `timeout` seconds.
        """
        return sessions_of(self._link.request_all(p.ListSessions, timeout))

    def survey(self, *, timeout: float = 10.0) -> list[Survey]:
        """Return what each of the user's servers tells of its sessions and jobs.

        Servers that are away or do not answer in time are left out.

        Raises
        ------
        RexecError
            If none answers within `timeout` seconds.
        """
        told = self._link.request_ready([p.ListSessions, p.ListJobs], timeout)
        if not told:
            raise self._link.no_answer(timeout)
        return [
            Survey(server, sessions_of([(server.session, sessions)]), jobs_of([jobs]))
            for server, (sessions, jobs) in told
        ]

    def usage(self, *, timeout: float = 2.0) -> list[tuple[p.ServerState, p.Usage]]:
        """Return what the code on each of the user's servers takes, whatever runs there.

        Servers that are away, do not answer in time or are too old to know are left out.

        Raises
        ------
        RexecError
            If nothing can be asked of this client (any more).
        """
        if self._link.exchange.version < _TELLS_USAGE:
            self._link.check()
            return []
        told = self._link.request_ready([p.ReadUsage], timeout)
        return [(server, usage) for server, (usage,) in told]

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


def _check_id(job_id: str) -> str:
    if len(job_id) != 32 or not set(job_id) <= set("0123456789abcdef"):
        raise ValueError(f"{job_id!r} is no job id: those have 32 hexadecimal digits")
    return job_id
