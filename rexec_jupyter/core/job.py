"""A job: what runs remotely, as a future."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.awaiting import awaited
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.exchange import Exchange
from rexec_jupyter.core.generator import RemoteGenerator
from rexec_jupyter.core.happenings import Happening, Log, OutputReader, StateChange
from rexec_jupyter.core.outcomes import STATES, error_of, load_value
from rexec_jupyter.core.waiting import StartClock

if TYPE_CHECKING:
    from rexec_jupyter.core.link import Link

T = TypeVar("T")
_UNDECODED: Any = object()


class Job(Future[T]):
    """A call or a cell that runs remotely: a `concurrent.futures.Future`, and awaitable.

    Made by `Client.submit`, `Session.submit_cell` and `Client.attach`.

    Attributes
    ----------
    id
        128 random bits in hexadecimal; `Client.attach` takes it, in any process of the user.
    session
        Name of the session it runs in.
    label
        For people, shown in lists.
    kind
        ``call``, ``cell``, or empty if this process did not submit it.
    created
        When it was submitted or attached to, as `time.time`.
    nbytes
        Bytes of its payload, and of its value once that is here.
    received
        Bytes of its value alone.
    changes
        Counts the changes of `state` and `ahead`.
    """

    def __init__(
        self,
        link: Link,
        job_id: str,
        *,
        session: str = "default",
        kind: Literal["call", "cell", ""] = "",
        label: str = "",
        stream: bool = False,
        states: bool = True,
    ) -> None:
        super().__init__()
        self.id = job_id
        self.session = session
        self.kind = kind
        self.label = label
        self.created = time.time()
        self.nbytes = 0
        self.received = 0
        self._link = link
        self._stream = stream
        self._states = stream and states
        self._made = time.monotonic()
        self._seconds: float | None = None
        self._now = "waiting"
        self._incarnation = 0
        self._ahead = 0
        self.changes = 0
        self._start_clock = StartClock(self._made)
        self._interrupted = False
        self._cancelling = False
        self._reader: OutputReader | None = None
        self._log: Log | None = None
        self._inbox: list[Happening] | None = None
        self._inbox_bytes = 0
        self._outcome: n.Ended | n.Rejected | None = None
        self._value: Any = _UNDECODED
        self._error: BaseException | None = None
        self._items: deque[n.Yielded] | None = None
        self._generator: weakref.ref[RemoteGenerator] | None = None

    def __repr__(self) -> str:
        label = f" {self.label!r}" if self.label else ""
        return f"<Job {self.id[:8]}…{label} {self.state}, {self.elapsed:.1f} s>"

    # ---------------------------------------------------------------------- state

    @property
    def state(self) -> str:
        """How far it is.

        ``waiting`` for a server to be ready, ``queued`` there, ``running``, ``streaming`` (a
        generator that has not ended); then ``done``, ``failed``, ``cancelled``,
        ``timed out``, ``crashed`` or ``lost``.
        """
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds since it was submitted; stops when it ends."""
        return self._seconds if self._seconds is not None else time.monotonic() - self._made

    @property
    def ended(self) -> bool:
        """Whether nothing more can come. `done` is true for a running generator too."""
        return self._outcome is not None

    @property
    def incarnation(self) -> int:
        """Which interpreter of its session it runs in, as in `protocol.Started`; 0 before."""
        return self._incarnation

    @property
    def ahead(self) -> int:
        """Cells that run or wait in its session before it, as far as the server told."""
        return self._ahead if self._now == "queued" else 0

    @property
    def start_seconds(self) -> float:
        """Seconds it has waited to be started, without those behind other cells."""
        return self._start_clock.seconds(time.monotonic())

    @property
    def waits_to_start(self) -> bool:
        """Whether `start_seconds` grows."""
        return self._start_clock.runs

    @property
    def waits_for(self) -> str:
        """What has to happen before it can start, in plain words."""
        if not self._link.connection.contact:
            return "the broker cannot be reached"
        if self._now == "queued":
            if self.kind == "call":
                return "no worker is free"
            return f"the interpreter of session {self.session!r} is not ready"
        if self._now == "waiting":
            return self._link.backend.progress or "no server is ready"
        return ""

    @property
    def executed(self) -> bool | None:
        """Whether its code ran, in whole or in part; None where that is not known (yet)."""
        if self._now in ("running", "streaming", "done", "timed out"):
            return True
        event = self._outcome.event if isinstance(self._outcome, n.Ended) else None
        if isinstance(event, p.Cancelled | p.Lost):
            return event.executed
        return True if self._incarnation or event is not None else None

    @property
    def unknown(self) -> bool:
        """Whether the server said that it has no such job, or no longer."""
        return isinstance(self._outcome, n.Rejected) and self._outcome.code == "unknown"

    def cancel(self) -> bool:
        """End the job: interrupt it, after a grace time kill the process that runs a call.

        Returns
        -------
        bool
            False if it had ended. Otherwise the job ends soon, as a rule as cancelled.
        """
        self._link.check()
        if self._outcome is not None:
            return False
        self._cancelling = True
        self._link.call(Exchange.cancel, self.id)
        return True

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the job's code; does not wait for what comes of it."""
        self._link.check()
        if self._outcome is None:
            self._interrupted = True
            self._link.call(Exchange.interrupt, self.id)

    # --------------------------------------------------------------------- result

    def result(self, timeout: float | None = None) -> T:
        """Wait for the job, and return its value.

        Parameters
        ----------
        timeout
            Seconds to wait at most. The job goes on either way.

        Raises
        ------
        TimeoutError
            If it takes longer.
        CancelledError
            If it was cancelled.
        BaseException
            What the code raised: of its own type, with attribute ``remote_traceback``.
        RexecError
            If it could not run, or ended for another reason.
        """
        self._wait(timeout)
        self._decode()
        if self._error is not None:
            raise self._error
        value: T = self._value if self._items is None else self._generate()
        return value

    def _generate(self) -> Any:
        # Held by nobody here: a generator that is dropped ends, as a local one does.
        generator = self._generator() if self._generator else None
        if generator is None:
            generator = RemoteGenerator(self)
            self._generator = weakref.ref(generator)
        return generator

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the job, and return the exception it ended with; else as `result`."""
        self._wait(timeout)
        self._decode()
        if isinstance(self._error, CancelledError):
            raise self._error
        return self._error

    def _wait(self, timeout: float | None) -> None:
        self._link.check_process()
        if self.done():
            return
        self._link.check_waiting()
        with self._condition:
            if not self._condition.wait_for(self.done, timeout):
                raise TimeoutError(f"{self!r} has not ended after {timeout:g} s")

    def _decode(self) -> None:
        # In the thread that asks: unpickling may import, and an import may wait for a thread
        # that waits for this job.
        with self._condition:
            if self._value is not _UNDECODED or self._error is not None:
                return
            if self._items is not None:
                return
            outcome = self._outcome
            assert outcome is not None  # noqa: S101 - `done` says so
            self._error = error_of(outcome, self, interrupted=self._interrupted)
            if self._error is None and isinstance(outcome, n.Ended):
                try:
                    self._value = load_value(outcome.parts or [], self._incarnation, self)
                except Exception as error:  # noqa: BLE001 - it is the result
                    self._error = error
            if isinstance(outcome, n.Ended):
                self._outcome = outcome._replace(parts=None)

    def __await__(self) -> Generator[Any, None, T]:
        return awaited(self)

    # --------------------------------------------------------------------- output

    def logs(self) -> str:
        """Return the text it has shown so far; of very much, the beginning and the end."""
        return "" if self._log is None else str(self._log)

    def shown(self) -> list[Happening]:
        """Return the same as `logs`, with the streams that it was printed to."""
        return [] if self._log is None else list(self._log.parts)

    def take(self, timeout: float | None = None) -> list[Happening] | None:
        """Wait for something to happen, and return what did, in order, each once.

        Only for jobs submitted with ``stream=True``. Taking output lets the server send more.

        Returns
        -------
        list of Happening, or None
            Empty after `timeout` seconds; None once the job ended and all was taken.
        """
        self._link.check_waiting()
        with self._condition:
            self._condition.wait_for(lambda: self._inbox or self.ended, timeout)
            if not self._inbox and self.ended:
                return None
        return self._drain()

    def _drain(self) -> list[Happening]:
        with self._condition:
            happenings, self._inbox = self._inbox or [], None
            nbytes, self._inbox_bytes = self._inbox_bytes, 0
        if nbytes:
            self._link.call(Exchange.consumed, self.id, nbytes)
        return happenings

    def wait_for(self, ready: Callable[[], bool], timeout: float | None = None) -> list[Happening]:
        """Wait until something happened or `ready` is true; return what happened."""
        self._link.check_waiting()
        with self._condition:
            self._condition.wait_for(lambda: self._inbox or ready(), timeout)
        return self._drain()

    def wait_change(self, seen: int, timeout: float | None = None) -> int:
        """Wait until `changes` is another number than `seen`, and return it.

        What happened is left for `take`.
        """
        self._link.check_waiting()
        with self._condition:
            self._condition.wait_for(lambda: self.changes != seen, timeout)
        return self.changes

    # ------------------------------------------------- called on the link's thread

    def notice(self, notice: n.Accepted | n.Happened | n.Yielded) -> int:
        """Take one notice about this job; return how many bytes of output are done with."""
        if isinstance(notice, n.Happened):
            return self._happened(notice.event, notice.frame)
        if isinstance(notice, n.Accepted):
            self._accepted(notice.ahead)
        elif self._items is not None:
            with self._condition:
                self._items.append(notice)
                self._condition.notify_all()
        return 0

    def _accepted(self, ahead: int) -> None:
        if self._now == "waiting" or (self._now == "queued" and self._ahead != ahead):
            self._ahead = ahead
            cells = "1 cell" if ahead == 1 else f"{ahead} cells"
            self._change("queued", f"{cells} ahead" if ahead else "")

    def contact(self, notice: n.Contact) -> None:
        """Tell whoever watches that the backend went away, or is there again."""
        if self._states and self._outcome is None:
            if notice.connected:
                change = StateChange("connected")
            else:
                change = StateChange("reconnecting", f"{notice.silence:.0f} s")
            self._post(change, 0)

    def _happened(self, event: p.Started | p.Output | p.Streaming, frame: p.Buffer | None) -> int:
        if isinstance(event, p.Started):
            self._incarnation = event.incarnation
            self._change("running")
            return 0
        if isinstance(event, p.Streaming):
            self._items = deque()
            self._change("streaming")
            super().set_result(_UNDECODED)
            return 0
        content = b"" if frame is None else frame
        if self._reader is None or self._log is None:
            self._reader, self._log = OutputReader(), Log()
        happening = self._reader.read(event, content)
        if happening is None:
            return len(content)
        self._log.add(happening)
        if self._stream:
            self._post(happening, len(content))
            return 0
        return len(content)

    def _change(self, state: str, detail: str = "") -> None:
        self._now = state
        # A call in the queue waits for a free worker, a cell with none ahead for its session.
        idle = self.kind != "call" and not self._ahead
        waits = state == "waiting" or (state == "queued" and idle)
        self._start_clock.set(time.monotonic(), runs=waits)
        with self._condition:
            self.changes += 1
            self._condition.notify_all()
        if self._states:
            self._post(StateChange(state, detail), 0)

    def _post(self, happening: Happening, size: int) -> None:
        with self._condition:
            self._inbox = self._inbox or []
            self._inbox.append(happening)
            self._inbox_bytes += size
            self._condition.notify_all()

    def end(self, outcome: n.Ended | n.Rejected) -> None:
        """Take the last notice about this job."""
        self._seconds = time.monotonic() - self._made
        state, detail = "failed", ""
        if isinstance(outcome, n.Ended):
            state = STATES[type(outcome.event)]
            self.received = sum(map(len, outcome.parts or ()))
            self.nbytes += self.received
        else:
            state = "lost" if outcome.code in ("R07", "journal") else "failed"
            detail = outcome.message
        self._change(state, detail)
        self._outcome = outcome
        if self.done():  # a generator
            with self._condition:
                self._condition.notify_all()
        elif state == "cancelled" and not self._interrupted:
            super().cancel()
            super().set_running_or_notify_cancel()
        else:
            super().set_result(_UNDECODED)

    # ----------------------------------------------------------- for the generator

    def next_item(self) -> n.Yielded | None:
        """Return an item that has arrived, if one has."""
        with self._condition:
            return self._items.popleft() if self._items else None

    @property
    def item_or_end(self) -> bool:
        """Whether waiting for an item is over."""
        return bool(self._items) or self._outcome is not None

    def item_taken(self, item: n.Yielded) -> None:
        """Let the server produce more."""
        self._link.call(Exchange.item_consumed, self.id, item.seq)

    def abandon(self) -> None:
        """End it if it still runs; nobody will ask for more."""
        with suppress(RexecError, RuntimeError):
            self.cancel()

    def outcome_value(self) -> Any:
        """Return the value, or raise the exception, that a generator ended with."""
        outcome = self._outcome
        assert outcome is not None  # noqa: S101 - only asked once it ended
        error = error_of(outcome, self, interrupted=self._interrupted)
        if error is not None:
            raise error
        parts = outcome.parts if isinstance(outcome, n.Ended) else None
        return load_value(parts, job=self) if parts else None
