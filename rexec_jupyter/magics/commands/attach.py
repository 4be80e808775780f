"""``%rexec attach``: a job's output from the first line, and its end, as if its cell ran here."""

from __future__ import annotations

import ast
import builtins
import time
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError

from rexec_jupyter.core.errors import (
    JobTimeoutError,
    RemoteError,
    WorkerLostError,
)
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.outcomes import CellResult
from rexec_jupyter.core.refs import RemoteRef
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.magics.background import CellJob
from rexec_jupyter.magics.frames import localised
from rexec_jupyter.magics.pump import LogSource, Screen, Source, follow
from rexec_jupyter.magics.stopping import DetachedError, Stops
from rexec_jupyter.widget.status import StatusLine

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.happenings import Display
    from rexec_jupyter.core.logs import End
    from rexec_jupyter.core.protocol import JobInfo
    from rexec_jupyter.magics.commands.desk import Desk

_FETCHED = "its result was fetched before and is kept no longer"
# Whoever waits for a job gets its result first: asking for it takes it away from them.
_PRECEDENCE = 0.3
_LOOK = 1.0
_ENDINGS: dict[str, type[BaseException]] = {
    "cancelled": CancelledError,
    "timed out": JobTimeoutError,
    "crashed": WorkerLostError,
    "lost": WorkerLostError,
}


class Watched:
    """A job that somebody else may wait for. Watching it disturbs nobody.

    Parameters
    ----------
    client
        The connection.
    info
        What the server told of it.
    """

    def __init__(self, client: Client, info: JobInfo) -> None:
        self.id = info.job
        self.session = info.session
        self.label = info.label
        self._client = client
        self._state = info.state
        self._look = 0.0

    @property
    def state(self) -> str:
        """How far it is, as far as that matters to whoever watches."""
        if self._state in ("waiting", "queued") and time.monotonic() >= self._look:
            every = self._client.jobs()
            self._state = next((job.state for job in every if job.job == self.id), self._state)
            self._look = time.monotonic() + _LOOK
        return self._state

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in its code, or withdraw it before it began."""
        self._client.interrupt(self.id, self.session)


class Attachment:
    """A job shown in another cell than its own.

    Parameters
    ----------
    desk
        The notebook.
    info
        The job.
    bound
        What stands for it in the notebook, if something does.
    """

    def __init__(self, desk: Desk, info: JobInfo, bound: Future[Any] | None) -> None:
        self._desk = desk
        self._info = info
        self._bound = bound
        self._client = desk.client()
        self._reader = self._client.log(info.job, info.session)
        self._open = info.state in OPEN
        left = desk.runner.left.get(info.job)
        self._job: Job[Any] | None = left.job if left else None
        self._number = left.number if left else 0

    def run(self) -> Any:
        """Show all that the job shows, and return its value or raise what it raised.

        Raises
        ------
        BaseException
            What the job's code raised.
        KeyboardInterrupt
            If the user stopped it, or stopped waiting; it says which.
        """
        desk, info = self._desk, self._info
        with Stops(lambda: desk.shell.exit_now) as stops:
            status = self._status = StatusLine(desk.surface(stops.press), info.session)
            screen = Screen(
                desk.shell,
                status,
                info.session,
                job=info.job,
                max_shown=desk.settings.now().max_shown,
                # The listing of a cell that ended long ago is not that of now.
                on_names=desk.noted(info.session) if self._open else None,
                on_comm=desk.runner.relay.channel(info.session) if self._open else None,
            )
            watched, source = self._source(screen)
            try:
                follow(watched, screen, status, stops, desk.rules(), source=source)
            except DetachedError as left:
                status.end("detached", [f"job {info.job[:8]} goes on"])
                raise tracebacks.brief(KeyboardInterrupt(str(left)), desk.shell) from None
            except BaseException as error:
                status.end("failed", [type(error).__name__])
                raise
        return self._ended(screen.result)

    def _source(self, screen: Screen) -> tuple[Job[Any], Source | None]:
        """Return what is followed, and where its output comes from."""
        first = self._reader.read()
        if not self._reader.known:  # what is kept for whoever follows may be there all the same
            job = self._job = self._client.attach(self._info.job, self._info.session, stream=True)
            return job, None
        screen.show(first)
        watched = self._job or cast("Job[Any]", Watched(self._client, self._info))
        return watched, LogSource(self._reader, watched)

    def _ended(self, shown: Display | None) -> Any:
        if isinstance(self._bound, CellJob):  # which gets the outcome
            return self._ended_here(self._bound, shown)
        if self._job is None:
            if self._open:
                time.sleep(_PRECEDENCE)
            self._job = self._client.attach(self._info.job, self._info.session)
        job, desk = self._job, self._desk
        try:
            result = job.result()
        except BaseException as error:  # noqa: BLE001 - shown as what it is
            if not job.unknown:
                raise self._failed(error) from error.__cause__
            return self._told_by_log()
        outputs = getattr(result, "outputs", {})
        left = desk.runner.left.pop(job.id, None)
        if left is not None:
            outputs = {here: outputs[there] for here, there in left.options.out.items()}
        desk.assign(outputs)
        self._status.end("done", [f"received {', '.join(outputs)}"] if outputs else [])
        return self._value(result, shown)

    def _ended_here(self, bound: CellJob, shown: Display | None) -> Any:
        """End as the cell that waits for it in this notebook, in the background."""
        try:
            value = bound.result()
        except BaseException as error:  # noqa: BLE001 - shown as what it is
            raise self._failed(error) from error.__cause__
        self._status.end("done")
        if shown is not None and not isinstance(value, RemoteRef):
            self._desk.runner.showcase.expect(value, shown)
        return value

    def _value(self, result: Any, shown: Display | None) -> Any:
        """Return the value that a result stands for, to be shown as it was shown there."""
        if not isinstance(result, CellResult):
            return result
        if result.has_value:
            if shown is not None:
                self._desk.runner.showcase.expect(result.value, shown)
            return result.value
        session = self._desk.session(self._info.session)
        return None if shown is None else session.reference(result, shown)

    def _told_by_log(self) -> Any:
        """End as the record of the end says, since the outcome itself is gone."""
        end = self._reader.end
        if end is None:
            raise UsageError(f"%rexec attach: nothing is kept of job {self._info.job[:8]} any more")
        if end.state != "done":
            raise self._failed(_error_of(end))
        if self._bound is not None and self._bound.done():
            self._status.end("done")
            return self._bound.result()
        self._status.notes.append(_FETCHED)
        self._status.end("done")
        return None

    def _failed(self, error: BaseException) -> BaseException:
        """Return an error as the cell itself would show it."""
        shell, session, end = self._desk.shell, self._info.session, self._reader.end
        frames = getattr(error, "remote_traceback", None) or (end.traceback if end else [])
        frames = localised(frames, shell, session, self._desk.cells(session), self._number)
        job = self._info.job[:8]
        if isinstance(error, CancelledError | KeyboardInterrupt):
            self._status.end("stopped")
            stopped = KeyboardInterrupt(f"job {job} was stopped")
            return tracebacks.remote(stopped, shell, frames)
        kind = error.error if isinstance(error, RemoteError) else type(error).__name__
        self._status.end("failed", [kind, f"job {job}"])
        return tracebacks.remote(error, shell, frames)


def _error_of(end: End) -> BaseException:
    if end.state in _ENDINGS:
        return _ENDINGS[end.state](end.message)
    kind = getattr(builtins, end.error, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with suppress(Exception):  # some want more than a text
            # Alone among all, KeyError shows the repr of what it is given.
            return kind(ast.literal_eval(end.message) if kind is KeyError else end.message)
    return RemoteError(end.error or end.state, end.message)
