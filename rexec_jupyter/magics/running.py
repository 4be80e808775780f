"""One cell on its way: waits for it, shows it, and lets it end as a local one would."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from rexec_jupyter.capture.choice import Capture, digest_of
from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import CellNames
from rexec_jupyter.capture.refusals import conflicting
from rexec_jupyter.core.errors import CaptureError, ConnectionLostError, PullError, WorkerLostError
from rexec_jupyter.core.values import UnpicklableError
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.magics.frames import localised
from rexec_jupyter.magics.options import CellOptions
from rexec_jupyter.magics.pump import Screen, follow
from rexec_jupyter.magics.results import Showcase
from rexec_jupyter.magics.stopping import DetachedError, Rules, Stops
from rexec_jupyter.widget import status as st

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.happenings import Comm, NamesChanged
    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.outcomes import CellResult
    from rexec_jupyter.core.session import Session
    from rexec_jupyter.magics.remote_names import NamesCache

RESTARTED = "the session was restarted, its variables were lost"
_UNDEFINED = re.compile(r"name '(\w+)' is not defined.*", re.DOTALL)
_GONE = "The session starts anew with the next cell; what was made in it is gone."
# Pickling more than this only to notice later that nothing changed would be felt.
_COMPARED = 16 * 1024 * 1024


@dataclass(slots=True)
class Run:
    """One cell on its way.

    Attributes
    ----------
    new
        Names that it made the session's own.
    number
        Of the cell in this notebook.
    is_line
        It is the code of ``%rx``.
    """

    shell: InteractiveShell
    showcase: Showcase
    cache: NamesCache
    session: Session
    job: Job[CellResult]
    options: CellOptions
    rules: Rules
    ledger: Ledger
    names: CellNames
    new: set[str]
    sent: Capture
    status: st.StatusLine
    stops: Stops
    number: int
    is_line: bool
    screen: Screen = field(init=False)
    _listed: bool = False

    def show_on(self, max_shown: int, on_comm: Callable[[Comm], None] | None) -> None:
        """Make the screen that shows it; `on_comm` takes the messages of widgets."""
        self.screen = Screen(
            self.shell,
            self.status,
            self.job.session,
            job=self.job.id,
            max_shown=max_shown,
            stream=self.options.stream,
            on_names=self._take_names,
            on_comm=on_comm,
        )

    def wait(self) -> Any:
        """Show the cell until it ended; return its value, or raise what it raised."""
        with self.stops:
            try:
                follow(self.job, self.screen, self.status, self.stops, self.rules)
            except DetachedError as error:
                self._left(error)
            except BaseException as error:  # noqa: BLE001 - shown as what it is
                self._failed(error)
        try:
            result = self.job.result()
        except BaseException as error:  # noqa: BLE001 - shown as what it is
            self._failed(error)
        return self._done(result)

    def wait_aside(self) -> Any:
        """As `wait`, on another thread, where IPython shows no error by itself."""
        try:
            return self.wait()
        except CancelledError:
            raise
        except BaseException as error:
            sys.stderr.write("\n".join(tracebacks.lines(error)) + "\n")
            sys.stderr.flush()
            raise

    def _take_names(self, change: NamesChanged) -> None:
        """Note what the session tells of its names."""
        self._listed = True
        if self.options.fresh:
            return
        self.cache.update(self.job.session, change)
        self.ledger.heard(change, self.sent)
        if differing := [name for name, differs in change.kept.items() if differs]:
            self.status.note(conflicting(differing))

    def _done(self, result: CellResult) -> Any:
        options, screen = self.options, self.screen
        if self._restarted(result.incarnation):
            self.status.notes.append(RESTARTED)
        shown = screen.result
        if options.return_ == "value" and shown is not None and not result.has_value:
            self._failed(
                PullError(
                    "The code ran, but the value of its last expression cannot be brought here: "
                    f"{result.reason or 'it cannot be sent'}.",
                    hint="Use --return ref, or bring a part of it.",
                    job=self.job,
                )
            )
        fetched = {here: result.outputs[there] for here, there in options.out.items()}
        self.shell.push(fetched)
        self._agree(fetched)
        self.status.end("done", _facts(self.sent, fetched, self.job.received))
        if options.return_ == "none":
            return None
        if shown is None:
            return result.value if self.is_line or not options.block else None
        if not result.has_value:
            return self.session.reference(result, shown)
        if options.block:
            self.showcase.expect(result.value, shown)
        return result.value

    def _restarted(self, incarnation: int) -> bool:
        """Note in which interpreter it ran; return whether it was another one than before."""
        if self.options.fresh:
            return False
        if not self.ledger.started(incarnation, self.names, self.sent, self.number):
            return False
        if not self._listed:
            self.cache.clear(self.job.session)
        return True

    def _agree(self, fetched: dict[str, Any]) -> None:
        same = [here for here, there in self.options.out.items() if here == there]
        if self.job.received > _COMPARED:
            return
        for name in same:
            with suppress(UnpicklableError):
                self.ledger.pulled({name: digest_of(fetched[name])})

    def _failed(self, error: BaseException) -> NoReturn:
        ledger, status, job = self.ledger, self.status, self.job
        if isinstance(error, WorkerLostError):
            if not self.options.fresh:
                ledger.wipe()
                self.cache.clear(job.session)
                error.hint = error.hint or _GONE
        elif isinstance(error, ConnectionLostError):
            short = job.id[:8]
            error.hint = f"If job {short} had started it goes on: `%rexec attach {short}` shows it."
        elif isinstance(error, CaptureError) or not self.screen.started:
            ledger.withdrawn(self.new, self.sent, self.number)
        elif self._restarted(job.incarnation):
            status.notes.append(RESTARTED)
        note = ""
        if missing := _missing_name(error):
            ledger.forget([missing])
            if missing in self.shell.user_ns:
                note = f"{missing!r} exists here: run the cell again, and it goes along."
        if isinstance(error, KeyboardInterrupt | CancelledError):
            if self.stops.count and status.silent:
                after = st.duration(status.elapsed)
                note = f"Stopped after {after} in session {job.session}."
            status.end("stopped")
        else:
            status.end("failed", [type(error).__name__, f"job {job.id[:8]}"])
        frames = getattr(error, "remote_traceback", None) or ()
        frames = localised(frames, self.shell, job.session, ledger.cells, self.number)
        raise tracebacks.remote(error, self.shell, frames, note) from error.__cause__

    def _left(self, told: DetachedError) -> NoReturn:
        self.status.end("detached", [f"job {self.job.id[:8]} goes on"])
        raise tracebacks.brief(KeyboardInterrupt(str(told)), self.shell) from None


def _missing_name(error: BaseException) -> str:
    # Its own attribute gets lost in a pickle.
    match = _UNDEFINED.fullmatch(str(error)) if isinstance(error, NameError) else None
    return match[1] if match else ""


def _facts(sent: Capture, fetched: dict[str, Any], received: int) -> list[str]:
    facts = []
    if sent.names:
        what = sent.names[0] if len(sent.names) == 1 else f"{len(sent.names)} names"
        facts.append(f"sent {what} ({st.size(sent.nbytes)})")
    if fetched:
        what = ", ".join(fetched)
        facts.append(f"received {what} ({st.size(received)})")
    return facts
