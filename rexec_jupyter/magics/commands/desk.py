"""What the subcommands of ``%rexec`` work with: the notebook and its connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError

from rexec_jupyter.capture.choice import Notebook, Wish, choose
from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import CellNames
from rexec_jupyter.capture.refusals import as_setting
from rexec_jupyter.core.ambient import present_client
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.losses import of_session
from rexec_jupyter.core.settings import Settings, current
from rexec_jupyter.magics import options, tracebacks
from rexec_jupyter.magics.background import CellJob
from rexec_jupyter.magics.pump import Screen, follow
from rexec_jupyter.magics.stopping import DetachedError, Rules, Stops
from rexec_jupyter.widget import surfaces
from rexec_jupyter.widget.status import StatusLine, Surface

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.happenings import NameInfo, NamesChanged
    from rexec_jupyter.core.protocol import JobInfo, SessionInfo
    from rexec_jupyter.core.session import Session
    from rexec_jupyter.magics.cell import CellRunner

T = TypeVar("T")

_PAUSE = 0.05


class Desk:
    """One notebook, as subcommands see it.

    Parameters
    ----------
    runner
        Runs the notebook's cells.
    """

    def __init__(self, runner: CellRunner) -> None:
        self.runner = runner
        self.shell: InteractiveShell = runner.shell
        self.settings: Settings = current()

    # ------------------------------------------------------------------------ connection

    def client(self) -> Client:
        """Return the connection; the first use makes it, and starts what it needs."""
        return self.runner.connected()

    def connected(self) -> Client | None:
        """Return the connection if there is one."""
        return present_client()

    def surface(self, on_stop: Callable[[], Any] | None = None) -> Surface:
        """Return where a status line is shown."""
        now = self.settings.now()
        return surfaces.choose(
            self.shell,
            now.status,
            noninteractive=now.noninteractive,
            quiet=now.quiet,
            on_stop=on_stop,
        )

    def rules(self) -> Rules:
        """Return how long to wait for what."""
        now = self.settings.now()
        return Rules(
            on_interrupt=now.on_interrupt,
            grace=now.interrupt_grace,
            wait_start=now.wait_start,
            reconnect_timeout=now.reconnect_timeout,
        )

    def wait(self, job: Job[T], told: str = "") -> T:
        """Wait for a job that was submitted with ``stream``, and return its result.

        Stop stops it, as it stops a cell.
        """
        with Stops(lambda: self.shell.exit_now) as stops:
            status = StatusLine(self.surface(stops.press), job.session)
            if told:
                status.notes.append(told)
            screen = Screen(
                self.shell, status, job.session, job=job.id, on_names=self.noted(job.session)
            )
            try:
                follow(job, screen, status, stops, self.rules())
                result = job.result()
            except DetachedError as left:
                status.end("detached")
                raise tracebacks.brief(KeyboardInterrupt(str(left)), self.shell) from None
            except BaseException as error:
                status.end("failed", [type(error).__name__])
                raise
        status.notes.clear()
        status.end("done")
        return result

    # -------------------------------------------------------------------------- sessions

    @property
    def active(self) -> str:
        """The session that cells run in."""
        return self.runner.session

    def use(self, name: str) -> None:
        """Run cells in another session from now on."""
        self.runner.session = name

    def session(self, name: str | None = None) -> Session:
        """Return a session by its name, or the active one."""
        return self.client().session(name or self.active)

    def info(self, name: str) -> SessionInfo | None:
        """Return what the server tells of a session; None if it knows none of that name."""
        every = self.client().sessions()
        return next((info for info in every if info.session == name), None)

    def is_session(self, name: str) -> bool:
        """Tell whether the server knows a session of that name."""
        return self.info(name) is not None

    def cells(self, name: str) -> Sequence[int]:
        """Return the numbers here of the cells that ran in a session."""
        ledger = self.runner.ledgers.get(name)
        return ledger.cells if ledger else ()

    def lost(self, name: str) -> None:
        """Note that a session lost its variables."""
        if ledger := self.runner.ledgers.get(name):
            ledger.wipe()
            ledger.lost = False  # whoever asked for it knows
        self.runner.names.clear(name)

    def losses(self, name: str, info: SessionInfo | None) -> str:
        """Return what would be lost with a session, in words; "" if nothing would."""
        if info is None:
            return ""
        listing, _ = self.listing(name, info)
        return " and ".join(of_session(self.client(), info, listing))

    def show_cell(self, name: str, source: str, label: str) -> Any:
        """Run a cell in a session, show what it shows, and return its value."""
        defaults = options.parse("", self.settings.now())
        chosen = replace(defaults, session=name, name=label, return_="value", capture="none")
        return self.runner.run(source, chosen)

    # ------------------------------------------------------------------------- variables

    def names(self, name: str) -> Mapping[str, NameInfo]:
        """Return the variables of a session as far as they are known here, asking nobody."""
        return self.runner.names.names(name)

    def noted(self, name: str) -> Callable[[NamesChanged], None]:
        """Return what takes note of changes of the variables of a session."""
        return partial(self.runner.names.update, name)

    def listing(
        self, name: str, info: SessionInfo | None = None
    ) -> tuple[Mapping[str, NameInfo], str]:
        """Return the variables of a session, and what is to be said about the list."""
        info = info or self.info(name)
        if info is None or info.state in ("stopped", "starting"):
            return {}, ""
        if info.state == "busy":  # it would be asked once the cell has ended
            known = self.names(name)
            return known, f"Session {name} is busy; this is how it was before the cell that runs."
        return self.session(name).who(), ""

    def push(self, name: str, wanted: Mapping[str, str]) -> int:
        """Set variables of a session, `wanted` being local names by remote name.

        Returns
        -------
        int
            Bytes they take.
        """
        ledger = self.runner.ledgers.setdefault(name, Ledger())
        notebook = Notebook(self.shell.user_ns, self.shell.user_ns_hidden)
        limit = self.settings.now().max_send
        wish = Wish(forced=wanted, mode="none", max_send=limit, spell=as_setting)
        try:
            capture = choose(CellNames(), notebook, ledger, wish)
        except NameError as error:
            raise UsageError(f"%rexec push: {error}") from None
        self._run_plain(name, f"push {', '.join(wanted)}", names=capture.pickled)
        ledger.pushed(capture)
        return sum(item.nbytes for item in capture.items.values())

    def pull(self, name: str, wanted: Sequence[str]) -> tuple[dict[str, Any], int]:
        """Return values of variables of a session, all or an error, and the bytes they take."""
        limit = self.settings.now().max_recv
        label = f"pull {', '.join(wanted)}"
        job = self._run_plain(name, label, outputs=wanted, max_recv=limit)
        return job.result().outputs, job.received

    def _run_plain(self, name: str, label: str, **spec: Any) -> Job[Any]:
        job = self.session(name).submit_cell("", label=label, stream=True, **spec)
        self.wait(job, label.partition(" ")[0])
        return job

    def forget(self, name: str, gone: Iterable[str]) -> None:
        """Note that a session lacks variables."""
        if ledger := self.runner.ledgers.get(name):
            ledger.forget(gone)
        self.runner.names.clear(name)

    def assign(self, values: Mapping[str, Any]) -> None:
        """Set variables of the notebook."""
        self.shell.user_ns.update(values)

    # ------------------------------------------------------------------------------ jobs

    def job(self, word: str = "") -> JobInfo:
        """Find a job: a name bound here, a unique prefix of an id, a label, or the last one.

        Raises
        ------
        UsageError
            If there is none.
        RexecError
            If the server knows none, or more than one.
        """
        client = self.client()
        if (bound := self.bound(word)) is not None:
            return client.find_job(bound.id)
        if word or self.runner.last_job:
            return client.find_job(word or self.runner.last_job)
        for info in client.jobs():
            if info.kind == "cell":
                return info
        raise UsageError("%rexec: there is no job yet")

    def bound(self, word: str) -> Any:
        """Return the job that is bound to a name in the notebook, or None."""
        value = self.shell.user_ns.get(word) if word.isidentifier() else None
        return value if isinstance(value, Job | CellJob) else None

    def awaited(self, word: str, job: str) -> Any:
        """Return what stands for a job here and gets its result, or None."""
        return self.bound(word) or self.runner.aside.get(job)

    def until(self, ready: Callable[[], T], timeout: float, pause: float = _PAUSE) -> T:
        """Ask again and again until the answer is true, or time is up; return the last one."""
        deadline = time.monotonic() + timeout
        while not (answer := ready()) and time.monotonic() < deadline:
            time.sleep(pause)
        return answer
