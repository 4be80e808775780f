"""The thread that runs a client's state machine and its connection."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, Concatenate, Literal, ParamSpec

from rexec_jupyter.core import carrier
from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Backend
from rexec_jupyter.core.connection import Connection
from rexec_jupyter.core.errors import ConnectionLostError, RexecError, StartError
from rexec_jupyter.core.exchange import Exchange
from rexec_jupyter.core.framing import FramingError, Unpacker
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.requests import Requests
from rexec_jupyter.core.revival import Revival
from rexec_jupyter.core.starting import await_start
from rexec_jupyter.core.trust import new_id

P = ParamSpec("P")
_log = logging.getLogger(__name__)

GOODBYE = 1.0
"""Seconds that what is still to be sent may take when the link is closed."""
MANY = 16
"""Jobs under way from which on new ones are gathered before they are sent."""
GATHER = 0.002
"""Seconds between two such sendings."""
_NEVER = float("inf")


class Link:
    """Connects a client to its backend, on a thread of its own.

    The public methods may be called on any thread; everything else happens on the link's.

    Parameters
    ----------
    backend
        Says where the broker is, and gives tickets.
    lost_after
        Seconds without the broker after which waiting jobs end.

    Attributes
    ----------
    ready
        Resolved once a server takes jobs, or it is clear that none will.
    """

    def __init__(self, backend: Backend, *, lost_after: float = p.LOST) -> None:
        self.backend = backend
        self.exchange = Exchange(
            instance=new_id(), lost_after=lost_after, can_share=carrier.can_share
        )
        self.ready: Future[None] = Future()
        self.connection = Connection(
            backend,
            self.exchange,
            start=self._start,
            flush=self._flush,
            on_envelope=self._on_envelope,
            fail=self._fail,
            on_ended=self._check_servers,
        )
        self._pid = os.getpid()
        self._closing = False
        self._failure: RexecError | None = None
        self._unpacker: Unpacker[Any] = Unpacker(p.ToClient)
        self._jobs: dict[str, Job[Any]] = {}
        self._requests = Requests(self.call)
        self._revival = Revival(
            backend,
            self.exchange,
            self.connection,
            self._jobs,
            start=self._start,
            flush=self._flush,
        )
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._drained = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            n.Accepted: self._on_job,
            n.Happened: self._on_job,
            n.Yielded: self._on_job,
            n.Ended: self._on_end,
            n.Rejected: self._on_end,
            n.ServerChanged: self._on_server,
            n.Contact: self._on_contact,
            n.Denied: self.connection.on_denied,
            n.Answered: self._requests.answered,
            n.NeedTicket: lambda _: self.connection.renew(),
            n.WriteSegment: lambda notice: self._start(self._write(notice)),
            n.ReadSegment: lambda notice: self._start(self._read(notice)),
            n.DropSegment: lambda notice: self._start(self._drop(notice)),
        }
        self._stop = asyncio.Event()
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_exception_handler(self._on_defect)
        self._thread = threading.Thread(target=self._run, name="rexec-link", daemon=True)
        _links.add(self)
        self._thread.start()

    # ------------------------------------------------------------------- any thread

    @property
    def state(self) -> Literal["connecting", "connected", "reconnecting", "failed", "closed"]:
        """As in `standing.Status`."""
        if self._closing:
            return "closed"
        if self._failure is not None:
            return "failed"
        if self.connection.contact:
            return "connected"
        return "reconnecting" if self.ready.done() else "connecting"

    @property
    def silence(self) -> float:
        """Seconds since the broker was heard of."""
        return self.exchange.silence(time.monotonic())

    @property
    def trouble(self) -> str:
        """What is wrong, if something is."""
        return self._failure.message if self._failure else self.connection.trouble

    @property
    def open_jobs(self) -> int:
        """Jobs that have not ended."""
        return len(self._jobs)

    def check_process(self) -> None:
        """Raise an error in a process that was forked from the client's."""
        if os.getpid() != self._pid:
            raise RexecError(
                "This client belongs to the process that this one was forked from.",
                hint="Call rexec_jupyter.connect() again here.",
            )

    def check_waiting(self) -> None:
        """Raise an error where waiting for a job would never end."""
        self.check_process()
        if threading.get_ident() == self._thread.ident:
            raise RexecError(
                "A callback of a job must not wait for another one: it runs on the thread that "
                "brings the results.",
                hint="Do the waiting on a thread of your own.",
            )

    def check(self) -> None:
        """Raise an error if nothing can be asked of this link (any more)."""
        self.check_process()
        if self._closing:
            raise ConnectionLostError("This client was closed.", hint="Make another one.")
        if self._failure is not None:
            raise self._failure

    def find(self, job_id: str) -> Job[Any] | None:
        """Return the job of that id if it is waited for here."""
        return self._jobs.get(job_id)

    def submit(self, job: Job[Any], submit: p.Submit, parts: n.Parts) -> None:
        """Send a new job."""
        self._jobs[job.id] = job
        self.call(Exchange.submit, submit, parts)

    def attach(self, job: Job[Any], key: bytes) -> None:
        """Follow a job that is not of this process."""
        self._jobs[job.id] = job
        self.call(Exchange.attach, job.id, job.session, key)

    def request(self, message: p.Request, timeout: float) -> n.Answered:
        """Ask the server of the message's session, and wait for the answer and its frame.

        Raises
        ------
        ConnectionLostError
            If there is none within `timeout` seconds.
        """
        (answer,) = self._ask([message], timeout)
        if answer is None:
            raise self.no_answer(timeout)
        return answer

    def request_all(self, kind: type[p.Request], timeout: float) -> list[tuple[str, Any]]:
        """Ask all servers the same, and return the answers with their scopes; else as `request`."""
        # Nothing comes from one that was lost: it would leave all others without an answer.
        away = ("absent", "lost")
        servers = self.exchange.servers
        states = [state for state in servers if state.state not in away]
        told = self._request_each([kind], states or [p.ServerState(state="absent")], timeout)
        silent = [state for state, answers in told if answers is None]
        if silent:
            raise self.no_answer(timeout, silent if len(silent) < len(told) else ())
        return [(state.session, answers[0]) for state, answers in told if answers is not None]

    def request_ready(
        self, kinds: Sequence[type[p.Request]], timeout: float
    ) -> list[tuple[p.ServerState, list[Any]]]:
        """Ask the servers that are there the same; return those that answered, with the answers.

        Raises
        ------
        RexecError
            If nothing can be asked (any more).
        """
        states = [state for state in self.exchange.servers if state.state in ("ready", "draining")]
        told = self._request_each(kinds, states, timeout)
        return [(state, answers) for state, answers in told if answers is not None]

    def _request_each(
        self, kinds: Sequence[type[p.Request]], states: Sequence[p.ServerState], timeout: float
    ) -> list[tuple[p.ServerState, list[Any] | None]]:
        """Ask these servers the same; None is of one that did not answer everything."""
        scopes = [state.session or "default" for state in states]
        asked = [[kind(request=new_id(), session=scope) for kind in kinds] for scope in scopes]
        came = iter(self._ask([each for some in asked for each in some], timeout))
        told: list[tuple[p.ServerState, list[Any] | None]] = []
        for state in states:
            answers = [answer.message for answer in islice(came, len(kinds)) if answer is not None]
            told.append((state, answers if len(answers) == len(kinds) else None))
        return told

    def no_answer(self, timeout: float, silent: Sequence[p.ServerState] = ()) -> RexecError:
        """Return the error for no answer in time; `silent` are the servers, if others answered."""
        names = ", ".join(state.session or "default" for state in silent)
        return ConnectionLostError(
            f"The server{names and f' {names}'} did not answer within {timeout:g} s.",
            hint=self.trouble,
        )

    def _ask(self, messages: list[p.Request], timeout: float) -> list[n.Answered | None]:
        self._check_asking()
        return self._requests.ask(messages, timeout)

    def _check_asking(self) -> None:
        self.check()
        self.check_waiting()

    def call(
        self,
        method: Callable[Concatenate[Exchange, float, P], None],
        *args: P.args,
        **_: P.kwargs,
    ) -> None:
        """Have a method of the exchange called, and what comes of it sent."""
        self._calls.append((method, args))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop was closed: all jobs ended
                self._loop.call_soon_threadsafe(self._wake)

    def wait_ready(self, timeout: float) -> None:
        """Wait until jobs can run, however long the backend tells that it is starting.

        What it is busy with is told on the standard error if it takes more than a moment, or as
        `starting.watched_by` says.

        Raises
        ------
        RexecError
            If that will not be, or nothing was heard for `timeout` seconds.
        """
        try:
            await_start(self.ready, self.backend, timeout)
        except TimeoutError:
            endpoint = self.connection.endpoint
            within = f"within {timeout:g} s."
            if endpoint and not self.connection.contact:
                raise ConnectionLostError(
                    f"The broker at {endpoint} did not answer {within}", hint=self.trouble
                ) from None
            what = "No server of the {} was ready" if endpoint else "The {} did not start"
            raise StartError(
                f"{what.format(self.backend.description)} {within}", hint=self.trouble
            ) from None

    def close(self) -> None:
        """End the connection; jobs that are waited for end with an error here."""
        if os.getpid() != self._pid or self._closing:
            return
        self._closing = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(GOODBYE + 4.0)

    # ---------------------------------------------------------------------- thread

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _main(self) -> None:
        self._start(self.connection.keep())
        await self._stop.wait()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._drain()
        closed = ConnectionLostError("This client was closed.")
        self.exchange.end_all(closed.code, closed.message)
        self._requests.fail(closed)
        self.exchange.close()
        self._flush()
        if self._timer:
            self._timer.cancel()
        self.connection.close(GOODBYE)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.backend.close(), 2.0)
        if not self.ready.done():
            self.ready.set_exception(closed)

    def _on_defect(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        _log.error("rexec: %s", context["message"], exc_info=error)
        self._fail(RexecError(f"A defect of rexec ended this connection: {error!r}."))

    def _fail(self, error: RexecError) -> None:
        """Give up for good."""
        if self._failure is not None:
            return
        self._failure = error
        if not self.ready.done():
            self.ready.set_exception(error)
        self.exchange.end_all(error.code, error.message)
        self._requests.fail(error)
        self._flush()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._on_defect(self._loop, {"message": "a task failed", "exception": error})

    # -------------------------------------------------------------- in, out and time

    def _on_envelope(self, envelope: list[p.Buffer]) -> None:
        try:
            parcels = self._unpacker.unpack(envelope)
        except FramingError as error:
            _log.warning("rexec: ignored a message of the broker: %s", error)
            return
        now = self._loop.time()
        receive = self.exchange.receive
        for message, frame in parcels:
            receive(now, message, frame)

    def _wake(self) -> None:
        # With many jobs under way, a little patience makes fewer and fuller envelopes.
        pause = self._drained + GATHER - self._loop.time() if len(self._jobs) >= MANY else 0.0
        if pause > 0:
            self._loop.call_later(pause, self._drain)
        else:
            self._drain()

    def _drain(self) -> None:
        self._woken = False
        self._drained = self._loop.time()
        calls = self._calls
        now = self._loop.time()
        while calls:
            method, args = calls.popleft()
            method(self.exchange, now, *args)
        self._flush()
        self._check_servers()

    def _flush(self) -> None:
        """Pass on everything that the exchange has to say."""
        handlers = self._handlers
        while notices := self.exchange.notices():
            for notice in notices:
                handlers[type(notice)](notice)
        self.connection.send(self.exchange.outgoing())
        self._arm()

    def _arm(self) -> None:
        at = self.exchange.deadline
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer) if at != _NEVER else None

    def _on_timer(self) -> None:
        self._timer = None
        self.exchange.tick(self._loop.time())
        self._flush()

    # ---------------------------------------------------------------------- notices

    def _on_job(self, notice: n.Accepted | n.Happened | n.Yielded) -> None:
        job = self._jobs.get(notice.job)
        if job is not None and (nbytes := job.notice(notice)):
            self.exchange.consumed(self._loop.time(), notice.job, nbytes)

    def _on_end(self, notice: n.Ended | n.Rejected) -> None:
        job = self._jobs.pop(notice.job, None)
        if isinstance(notice, n.Rejected) and notice.code == "R07" and not self._closing:
            tried = f"{notice.message} Tried: {self.connection.endpoint}."
            notice = notice._replace(message=tried)
        if job is not None:
            job.end(notice)

    def _on_server(self, notice: n.ServerChanged) -> None:
        if notice.state.state == "ready" and not self.ready.done():
            self.connection.tried = True
            self.ready.set_result(None)
        self._check_servers()

    def _check_servers(self) -> None:
        if not self._closing:
            self._revival.check()

    def _on_contact(self, notice: n.Contact) -> None:
        self.connection.on_contact(notice)
        for job in self._jobs.values():
            job.contact(notice)

    # ------------------------------------------------------------------------ files

    async def _write(self, notice: n.WriteSegment) -> None:
        name = None
        with contextlib.suppress(OSError):
            name = await asyncio.to_thread(carrier.write_segment, notice.directory, notice.parts)
        now = self._loop.time()
        self.exchange.segment_written(now, notice.job, notice.directory, name)
        self._flush()

    async def _read(self, notice: n.ReadSegment) -> None:
        buffer, authentic = None, False
        with contextlib.suppress(OSError, ValueError):
            buffer, authentic = await asyncio.to_thread(
                carrier.read_segment, notice.directory, notice.payload
            )
        now = self._loop.time()
        self.exchange.segment_read(now, notice.job, notice.seq, buffer, authentic=authentic)
        self._flush()

    async def _drop(self, notice: n.DropSegment) -> None:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(carrier.drop_segment, notice.directory, notice.name)


_links: weakref.WeakSet[Link] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for link in list(_links):
        link.close()
