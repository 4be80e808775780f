"""Runs one notebook cell, or one line, in a session."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.displaypub import CapturingDisplayPublisher

from rexec_jupyter._connect import connect
from rexec_jupyter.core.errors import (
    CaptureError,
    NestedMagicError,
    RexecError,
    WorkerLostError,
)
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.magics.background import CellJob
from rexec_jupyter.magics.capture import Capture, Ledger, choose
from rexec_jupyter.magics.frames import localised
from rexec_jupyter.magics.names import CellNames, analyse
from rexec_jupyter.magics.options import CellOptions
from rexec_jupyter.magics.pump import DetachedError, Screen, Stops, follow
from rexec_jupyter.magics.results import RemoteValue, Showcase
from rexec_jupyter.widget import status as st

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.outcomes import CellResult

DEFAULT_SESSION = "default"
_UNDEFINED = re.compile(r"name '(\w+)' is not defined.*", re.DOTALL)
_GONE = "The session starts anew with the next cell; what was made in it is gone."
_RESTARTED = "the session was restarted, its variables were lost"


@dataclass(slots=True)
class _Run:
    """One cell on its way."""

    job: Job[CellResult]
    options: CellOptions
    ledger: Ledger
    names: CellNames
    new: set[str]
    sent: Capture
    screen: Screen
    status: st.StatusLine
    number: int
    is_line: bool


class CellRunner:
    """Runs cells for one notebook, and remembers what their sessions hold.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._showcase = Showcase(shell)
        self._syntax_errors = tracebacks.SyntaxErrors(shell)
        self.ledgers: dict[str, Ledger] = {}
        """What each session holds."""
        self.client: Client | None = None
        """The connection, once there is one."""
        self.session = DEFAULT_SESSION
        """The active session."""

    def close(self) -> None:
        """End the connection, if there is one, and leave IPython as it was."""
        self._showcase.close()
        self._syntax_errors.close()
        if self.client is not None:
            self.client.close()
            self.client = None

    def run(self, source: str, options: CellOptions, *, is_line: bool = False) -> Any:
        """Run code in a session and wait, or return a job with ``--noblock``.

        Parameters
        ----------
        source
            The code as it stands in the notebook.
        options
            What the options line asks for.
        is_line
            Whether it is the code of ``%rx``: its value counts even where it shows nothing.

        Raises
        ------
        Exception
            What the code raised; or an error of `rexec_jupyter.core.errors`.
        """
        try:
            names = self._read(source, first_line=1 if is_line else 2)
            if names.nested:
                raise NestedMagicError(
                    "%%rexec and %rx cannot be used in code that runs remotely already.",
                    hint="Take them out of the cell.",
                )
            return self._run(source, names, options, is_line=is_line)
        except RexecError as error:
            raise tracebacks.remote(error, self._shell) from error.__cause__

    # ------------------------------------------------------------------ before it is sent

    def _read(self, source: str, first_line: int) -> CellNames:
        """Check the syntax and return what the code does with names."""
        shell = self._shell
        name = f"Cell In[{shell.displayhook.prompt_count}]"
        try:
            transformed = shell.transform_cell(source)
        except SyntaxError as error:
            error.filename = name
            error.lineno = (error.lineno or 1) + first_line - 1
            raise tracebacks.syntax(error, shell) from None
        # The cell's lines count from the one with the magic.
        code = "\n" * (first_line - 1) + transformed
        try:
            with warnings.catch_warnings(action="ignore"):  # shown where the code runs
                tree = ast.parse(code, name)
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                compile(tree, name, "exec", flags=flags, dont_inherit=True)
        except SyntaxError as error:
            error.text = error.text or code.splitlines()[(error.lineno or 1) - 1]
            raise tracebacks.syntax(error, shell) from None
        return analyse(tree, shell.transform_cell)

    def _run(self, source: str, names: CellNames, options: CellOptions, *, is_line: bool) -> Any:
        name = options.session or self.session
        surface = self._surface(quiet=options.quiet or is_line)
        status = st.StatusLine(surface, name, always=not options.block)
        ledger = self.ledgers.setdefault(name, Ledger())
        try:
            sent = self._choose(names, ledger, options)
            session = self._connected(status).session(name)
            job = session.submit_cell(
                source if is_line else _aligned(source),
                names=sent.values,
                outputs=list(options.fetch.values()),
                value=True,
                timeout=options.timeout,
                label=options.label or _first_line(source),
                stream=True,
            )
        except BaseException as error:
            status.end("failed", [type(error).__name__])
            if isinstance(error, KeyboardInterrupt):
                raise tracebacks.brief(error, self._shell) from None
            raise
        number = self._shell.displayhook.prompt_count
        new = ledger.submitted(names, sent, number)
        if ledger.lost:
            ledger.lost = False
            status.notes.append(_RESTARTED)
        screen = Screen(self._shell, status, name)
        run = _Run(job, options, ledger, names, new, sent, screen, status, number, is_line)
        if options.block:
            return self._wait(run)
        background = CellJob(job, lambda: self._wait_aside(run))
        background.follow(self._shell)
        return background

    def _choose(self, names: CellNames, ledger: Ledger, options: CellOptions) -> Capture:
        shell = self._shell
        try:
            return choose(names, shell.user_ns, shell.user_ns_hidden, ledger, options.send)
        except NameError as error:
            raise tracebacks.brief(error, shell) from None

    def _connected(self, status: st.StatusLine) -> Client:
        if self.client is not None and self.client.status().state in ("failed", "closed"):
            self.client.close()
            self.client = None
        if self.client is None:
            status.enter("starting", at_once=True)
            self.client = connect()
        return self.client

    def _surface(self, *, quiet: bool) -> st.Surface:
        publisher = self._shell.display_pub
        if quiet or isinstance(publisher, CapturingDisplayPublisher):
            return st.Nowhere()
        if hasattr(self._shell, "kernel"):
            return st.Notebook(publisher.publish)
        return st.Terminal() if st.is_terminal() else st.Nowhere()

    # ------------------------------------------------------------------ until its end

    def _wait(self, run: _Run) -> Any:
        with Stops() as stops:
            try:
                follow(run.job, run.screen, run.status, stops)
            except DetachedError:
                self._left(run)
        try:
            result = run.job.result()
        except BaseException as error:  # noqa: BLE001 - shown as what it is
            self._failed(run, error, stopped=bool(stops.count))
        return self._done(run, result)

    def _wait_aside(self, run: _Run) -> Any:
        """Wait on another thread, where IPython shows no error by itself."""
        try:
            return self._wait(run)
        except CancelledError:
            raise
        except BaseException as error:
            sys.stderr.write("\n".join(tracebacks.lines(error)) + "\n")
            sys.stderr.flush()
            raise

    def _done(self, run: _Run, result: CellResult) -> Any:
        fetched = {here: result.outputs[there] for here, there in run.options.fetch.items()}
        self._shell.user_ns.update(fetched)
        if run.ledger.started(result.incarnation, run.names, run.sent, run.number):
            run.status.notes.append(_RESTARTED)
        run.status.end("done", _facts(run, fetched))
        shown = run.screen.result
        if shown is None:
            return result.value if run.is_line or not run.options.block else None
        if not result.has_value:
            return RemoteValue(shown, result.reason)
        if run.options.block:
            self._showcase.expect(result.value, shown)
        return result.value

    def _failed(self, run: _Run, error: BaseException, *, stopped: bool) -> NoReturn:
        ledger, status = run.ledger, run.status
        if isinstance(error, WorkerLostError):
            ledger.wipe()
            error.hint = error.hint or _GONE
        elif isinstance(error, CaptureError) or not run.screen.started:
            ledger.withdrawn(run.new, run.sent, run.number)
        note = ""
        if missing := _missing_name(error):
            ledger.forget([missing])
            if missing in self._shell.user_ns:
                note = f"{missing!r} exists here: run the cell again, and it goes along."
        if isinstance(error, KeyboardInterrupt | CancelledError):
            if stopped:
                after = st.duration(status.elapsed)
                note = f"Stopped after {after} in session {run.job.session}."
            status.end("stopped")
        else:
            status.end("failed", [type(error).__name__, f"job {run.job.id[:8]}"])
        frames = getattr(error, "remote_traceback", None) or ()
        frames = localised(frames, self._shell, run.job.session, ledger.cells, run.number)
        raise tracebacks.remote(error, self._shell, frames, note) from error.__cause__

    def _left(self, run: _Run) -> NoReturn:
        run.status.end("detached", [f"job {run.job.id[:8]} goes on"])
        where = "" if run.job.session == DEFAULT_SESSION else f', session="{run.job.session}"'
        attach = f'rexec_jupyter.connect().attach("{run.job.id}"{where})'
        raise tracebacks.brief(
            KeyboardInterrupt(
                "the cell still runs remotely, the notebook only stopped waiting for it.\n"
                f"To get its result later: {attach}.result()\n"
                f"To end it:               {attach}.cancel()"
            ),
            self._shell,
        ) from None


def _missing_name(error: BaseException) -> str:
    # Its own attribute gets lost in a pickle.
    match = _UNDEFINED.fullmatch(str(error)) if isinstance(error, NameError) else None
    return match[1] if match else ""


def _aligned(source: str) -> str:
    """Make lines count there as in the notebook, where the first is the magic's."""
    # A cell magic within has to stay first; and what is indented as a whole stays so.
    unmovable = source.lstrip("\n").startswith(("%%", " ", "\t"))
    return source if unmovable else f"# %%rexec\n{source}"


def _first_line(source: str) -> str:
    lines = (line.strip() for line in source.splitlines())
    return next((line[:80] for line in lines if line and not line.startswith("#")), "")


def _facts(run: _Run, fetched: dict[str, Any]) -> list[str]:
    facts = []
    if run.sent.names:
        what = run.sent.names[0] if len(run.sent.names) == 1 else f"{len(run.sent.names)} names"
        facts.append(f"sent {what} ({st.size(run.sent.nbytes)})")
    if fetched:
        facts.append(f"received {', '.join(fetched)}")
    return facts
