"""Brings what a remote cell shows into the notebook, and the stop button to the remote cell."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from IPython.display import clear_output

from rexec_jupyter.core.errors import ConnectionLostError, StartError
from rexec_jupyter.core.happenings import (
    ClearOutput,
    Comm,
    Display,
    Happening,
    NamesChanged,
    Payload,
    StateChange,
    TextOutput,
)
from rexec_jupyter.magics.condense import condense
from rexec_jupyter.magics.excerpt import MAX_SHOWN, Excerpt, size_of
from rexec_jupyter.magics.stopping import DetachedError, Rules, Stops, Vigil
from rexec_jupyter.widget.status import STOP, STOP_WAITING, StatusLine, size

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.log_reader import LogReader

WAIT = 0.1
"""Seconds between two looks at the stop button."""
# A cell that has ended by then needs no room for a status line.
_PATIENCE = 0.15
# Each flush is a message to the frontend, and Jupyter drops them above 1000 a second.
_PAUSE = 0.1
# What is held back between two flushes, in bytes.
_HELD = 4 * 1024 * 1024
# Seconds between two changes of the line that tells how much is not shown.
_COUNT_PAUSE = 1.0
_STOPS = {"stopping": STOP_WAITING, "withdrawing": STOP_WAITING, "ended": ""}


class Source(Protocol):
    """Where happenings come from: a job, or its log."""

    def take(self, timeout: float, /) -> list[Happening] | None:
        """Wait for something to happen and return it; None if nothing will happen any more."""


class LogSource:
    """What a job has shown from its first line on, and goes on showing.

    Parameters
    ----------
    reader
        Its log.
    job
        The job itself, attached to, whose state goes along.
    """

    def __init__(self, reader: LogReader, job: Job[Any] | None = None) -> None:
        self._reader = reader
        self._job = job
        self._state = ""

    def take(self, timeout: float, /) -> list[Happening] | None:
        """Wait for something to happen and return it; None once all of the log was read."""
        if self._reader.ended:
            return None
        happenings = self._reader.read(timeout)
        if self._job is not None and self._job.state != self._state:
            self._state = self._job.state
            happenings = [StateChange(self._state), *happenings]
        return happenings if happenings or self._reader.known else None


class Screen:
    """Shows what happens to a job in the cell whose thread calls it.

    Parameters
    ----------
    shell
        The notebook's shell.
    status
        The cell's status line.
    session
        Name of the session; display ids of different sessions are kept apart.
    job
        Id of the job, to be named where its log has more than is shown.
    max_shown
        Characters of text shown.
    stream
        Show output when it comes, not all at the end.
    on_names
        Called when names in the session changed.
    on_comm
        Called with each message of a widget.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        status: StatusLine,
        session: str,
        *,
        job: str = "",
        max_shown: int = MAX_SHOWN,
        stream: bool = True,
        on_names: Callable[[NamesChanged], None] | None = None,
        on_comm: Callable[[Comm], None] | None = None,
    ) -> None:
        self._shell = shell
        self._status = status
        self._session = session
        self._on_names = on_names
        self._on_comm = on_comm
        self.result: Display | None = None
        """What stands for the value of the cell's last expression."""
        self.started = False
        """Whether the code began to run."""
        self._stream = stream
        self._held: list[Happening] = []
        self._held_bytes = 0
        self._kept: list[Happening] = []
        self._due = 0.0
        self._last_stream = ""
        self._excerpt = Excerpt(max_shown)
        self._rest = _Rest(shell, job)

    def show(self, happenings: Sequence[Happening]) -> None:
        """Show a batch in order; an empty one sends what was held back."""
        for happening in happenings:
            if isinstance(happening, StateChange):
                self.started = self.started or happening.state in ("running", "streaming")
                continue
            self._held.append(happening)
            nbytes = size_of(happening)
            self._held_bytes += nbytes
            self._status.received += nbytes
        if self._status.elapsed < _PATIENCE:
            return
        if time.monotonic() >= self._due or self._held_bytes > _HELD:
            self._show_held()

    def finish(self) -> None:
        """Show the rest, at once."""
        self._show_held(quick=self._status.elapsed < _PATIENCE, last=True)
        self._rest.tell(self._excerpt.hidden, last=True)

    def _show_held(self, *, quick: bool = False, last: bool = False) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        fitting = [admitted for h in condense(held) if (admitted := self._excerpt.admit(h))]
        if not self._stream:
            self._kept = condense([*self._kept, *fitting])
            fitting, self._kept = (self._kept, []) if last else ([], self._kept)
        for happening in fitting:
            self._show(happening, quick=quick)
        if fitting or last:
            self.flush()
        self._rest.tell(self._excerpt.hidden)
        self._due = time.monotonic() + _PAUSE

    def _show(self, happening: Happening, *, quick: bool) -> None:
        match happening:
            case Display(kind="result"):
                self.result = happening
            case TextOutput() | Display():
                if not quick or self._status.expected:
                    self._status.aside()
                self._output(happening)
            case ClearOutput(wait):
                clear_output(wait=wait)
                self._status.cleared()
                self._rest.cleared()
            case Comm():
                if self._on_comm is not None:
                    self.flush()
                    self._on_comm(happening)
            case NamesChanged():
                if self._on_names is not None:
                    self._on_names(happening)
            case Payload(data):
                pay(self._shell, data)

    def _output(self, happening: TextOutput | Display) -> None:
        if isinstance(happening, Display):
            self._publish(happening)
            return
        if self._last_stream not in ("", happening.stream):
            self.flush()  # each stream is buffered by itself
        self._last_stream = happening.stream
        (sys.stdout if happening.stream == "stdout" else sys.stderr).write(happening.text)

    def flush(self) -> None:
        """Send what was written to the frontend."""
        sys.stdout.flush()
        sys.stderr.flush()

    def _publish(self, display: Display) -> None:
        transient = dict(display.transient)
        if "display_id" in transient:
            transient["display_id"] = f"rexec-{self._session}-{transient['display_id']}"
        self._shell.display_pub.publish(
            data=display.data,
            metadata=display.metadata,
            transient=transient,
            update=display.kind == "update",
        )


class _Rest:
    """The line that tells how much more there is than the cell shows."""

    def __init__(self, shell: InteractiveShell, job: str) -> None:
        self._shell = shell
        self._job = job
        self._live = hasattr(shell, "kernel")
        self._id = f"rexec-rest-{job or id(self)}"
        self._there = False
        self._said = 0
        self._due = 0.0

    def tell(self, hidden: int, *, last: bool = False) -> None:
        """Tell it, not too often, and finally."""
        if not hidden or hidden == self._said:
            return
        if not last and (not self._live or time.monotonic() < self._due):
            return
        self._said = hidden
        self._due = time.monotonic() + _COUNT_PAUSE
        where = f", `%rexec logs {self._job[:8]}`" if self._job else ""
        text = f"… {size(hidden)} more{where}"
        if not self._live:
            sys.stdout.write(f"\n{text}\n")
            return
        self._shell.display_pub.publish(
            data={"text/plain": text},
            metadata={},
            transient={"display_id": self._id},
            update=self._there,
        )
        self._there = True

    def cleared(self) -> None:
        """Know that the output was cleared, and the line with it."""
        self._there = False
        self._said = 0


def pay(shell: InteractiveShell, data: dict[str, Any]) -> None:
    """Have the frontend do something: show a text in the pager, propose the next cell."""
    if data.get("source") == "set_next_input":
        shell.set_next_input(str(data.get("text", "")), replace=bool(data.get("replace")))
    elif hasattr(shell, "kernel"):
        manager: Any = shell.payload_manager
        manager.write_payload(data)
    elif data.get("source") == "page":
        from IPython.core import page  # noqa: PLC0415 - starts slowly, and few need it

        page.page(data.get("data", {}), data.get("start", 0))


def follow(
    job: Job[Any] | None,
    screen: Screen,
    status: StatusLine,
    stops: Stops,
    rules: Rules | None = None,
    *,
    source: Source | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Show a job's output until it ended, and pass on the stop button.

    Parameters
    ----------
    job
        The job; None to follow a source alone, which any stop ends.
    source
        Where its output comes from, if not from the job.

    Raises
    ------
    DetachedError
        If the user stopped waiting, or the code did not react to being stopped.
    StartError
        If the session was not ready in time; the job was withdrawn.
    ConnectionLostError
        If the backend was away for too long.
    """
    source = source or job
    assert source is not None  # noqa: S101 - one of both
    rules = rules or Rules()
    vigil = Vigil(clock(), rules, started=job is None)
    late: StartError | None = None
    while (happenings := source.take(WAIT)) is not None:
        now = clock()
        for happening in happenings:
            if isinstance(happening, StateChange):
                vigil.heard(now, happening)
        screen.show(happenings)
        phase, detail = vigil.told(now)
        verdict = vigil.check(now, stops.count, leaving=stops.leaving)
        if job is None:
            if verdict is not None:
                screen.finish()
                raise DetachedError
        elif verdict == "late":
            late = _late(job, rules, detail)
            job.interrupt()
        elif verdict == "interrupt":
            job.interrupt()
            phase, detail = vigil.told(now)
        elif verdict is not None:
            screen.finish()
            raise late or _given_up(job, vigil, rules, lost=verdict == "lost")
        status.armed = stops.armed
        status.stop = _STOPS.get(vigil.phase, STOP)
        if vigil.phase != "ended":
            status.enter(phase, detail, at_once=verdict is not None)
            status.beat()
    screen.finish()
    if late and not vigil.started:
        raise late


def _late(job: Job[Any], rules: Rules, detail: str) -> StartError:
    return StartError(
        f"Session {job.session!r} was not ready after {rules.wait_start:g} s: "
        f"{detail or job.waits_for}. The cell was withdrawn.",
        hint="The session goes on starting: try again, or wait longer with --wait-start.",
        job=job,
    )


def _given_up(job: Job[Any], vigil: Vigil, rules: Rules, *, lost: bool) -> Exception:
    if not lost:
        return DetachedError(left_running(job.id, job.session, started=vigil.started))
    how = "may still run there" if vigil.started else "may run there yet"
    return ConnectionLostError(
        f"The server has not been reachable for {rules.reconnect_timeout:g} s. The cell {how}.",
        hint=f"Its output and result are kept: `%rexec attach {job.id[:8]}`.",
        job=job,
    )


def left_running(job: str, session: str, *, started: bool) -> str:
    """Return what to tell somebody whose cell goes on without them."""
    short = job[:8]
    how = "running" if started else "waiting"
    restart = (
        f", or `%rexec restart {shlex.quote(session)}` (loses its variables)" if started else ""
    )
    return (
        f"cell still {how} remotely as job {short}; `%rexec cancel {short}`{restart}\n"
        f"`%rexec attach {short}` shows it again."
    )
