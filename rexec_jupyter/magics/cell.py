"""Runs one notebook cell, or one line, in a session."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from rexec_jupyter._api import default_client
from rexec_jupyter.capture.choice import Capture, Notebook, Wish, choose
from rexec_jupyter.capture.explain import Explanation, Plan, There, explain, used_packages
from rexec_jupyter.capture.inquiry import find, inquire, look
from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import CellNames
from rexec_jupyter.capture.refusals import conflicting, shadowing
from rexec_jupyter.core.errors import NoSessionError, RexecError
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.starting import watched_by
from rexec_jupyter.magics import here, reading, secrets, tracebacks
from rexec_jupyter.magics.background import CellJob
from rexec_jupyter.magics.comms import Relay
from rexec_jupyter.magics.options import CellOptions
from rexec_jupyter.magics.remote_names import NamesCache
from rexec_jupyter.magics.results import Showcase
from rexec_jupyter.magics.running import RESTARTED, Run
from rexec_jupyter.magics.stopping import Rules, Stops
from rexec_jupyter.widget import status as st
from rexec_jupyter.widget import surfaces

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.happenings import NamesChanged
    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.outcomes import CellResult

_ANY_SIZE = 2**62


class CellRunner:
    """Runs cells for one notebook, and remembers what their sessions hold.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._settings = current()
        self.showcase = Showcase(shell)
        self._tracebacks = tracebacks.Shown(shell)
        self.relay = Relay(shell, self.connected)
        self.ledgers: dict[str, Ledger] = {}
        """What each session holds."""
        self.names = NamesCache()
        """The variables of each session, as far as they are known here."""
        self._url = ""  # of the backend that all this is of
        self.client: Client | None = None
        """The connection, once there is one."""
        self.last_job = ""
        """Id of the last cell that was sent."""
        self.aside: WeakValueDictionary[str, CellJob] = WeakValueDictionary()
        """Cells by job that run in the background, or did; what is shown of them comes here."""
        self.left: dict[str, Run] = {}
        """Cells by job that the notebook stopped waiting for; their results come here."""

    @property
    def session(self) -> str:
        """The active session."""
        return self._settings.now().session

    @session.setter
    def session(self, name: str) -> None:
        self._settings.set("session", name)

    def connected(self) -> Client:
        """Return the connection of this process; the first use makes it."""
        self._settle()
        self.client = default_client()
        return self.client

    def _settle(self) -> None:
        """Know nothing of sessions any more once the settings name another backend."""
        before, self._url = self._url, self._settings.now().url or "local"
        if before not in ("", self._url):
            self.ledgers.clear()
            for session in self.names.sessions():
                self.names.clear(session)

    def close(self) -> None:
        """End the connection, if there is one, and leave IPython as it was."""
        self.showcase.close()
        self._tracebacks.close()
        self.relay.close()
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
        self._keep_secret(options)
        try:
            self._settle()
            above = [] if is_line else reading.above(source, self.shell)
            names = reading.read(source, self.shell, first_line=len(above) + 1)
            if options.explain:
                return self._explain(names, options)
            if options.local:
                self._choose(names, Ledger(), options)
                return here.run(source, self.shell, options, len(above) + 1)
            code = reading.aligned(source, above)
            return self._run(source, code, names, options, is_line=is_line)
        except RexecError as error:
            raise tracebacks.remote(error, self.shell) from error.__cause__

    # ------------------------------------------------------------------ before it is sent

    def _keep_secret(self, options: CellOptions) -> None:
        if secrets.forget(self.shell, options.secrets):
            typed = [name for name in options.env if secrets.looks_secret(name)]
            sys.stderr.write(
                f"The value of {', '.join(typed)} stands in this cell and is saved with the "
                f"notebook. --env {typed[0]} alone copies the variable from the environment.\n"
            )

    def _notebook(self) -> Notebook:
        return Notebook(self.shell.user_ns, self.shell.user_ns_hidden)

    def _choose(self, names: CellNames, ledger: Ledger, options: CellOptions) -> Capture:
        known = {} if options.fresh or options.local else self.names.names(options.session)
        wish = Wish(options.in_, options.exclude, options.capture, options.max_send, known)
        try:
            return choose(names, self._notebook(), ledger, wish)
        except NameError as error:
            raise tracebacks.brief(error, self.shell) from None

    def _ledger(self, options: CellOptions) -> Ledger:
        if options.fresh:
            return Ledger()
        return self.ledgers.setdefault(options.session, Ledger())

    def _explain(self, names: CellNames, options: CellOptions) -> Explanation:
        there = There()
        packages: set[str] = set()
        sent: Capture | RexecError
        for asking in (True, False):
            try:
                sent = self._choose(names, self._ledger(options), options)
            except RexecError as error:
                sent = error
            packages = used_packages(names.imports, sent)
            if asking and self.client is not None and not options.fresh:
                there = look(
                    Session(options.session, self.client),
                    partial(self._heard, options.session),
                    packages=packages,
                    known=self.names.version(options.session),
                )
            else:
                break
        plan = Plan(
            session=options.session,
            profile=options.profile,
            fresh=options.fresh,
            out=options.out,
            env=options.env,
            max_send=options.max_send,
        )
        return explain(sent, plan, self.client, there, packages)

    def _heard(self, session: str, change: NamesChanged) -> None:
        self.names.update(session, change)
        self.ledgers.setdefault(session, Ledger()).heard(change)

    def _meet(self, options: CellOptions) -> None:
        """Ask which names there are, where nothing is known of the session."""
        client = self.connected()
        if self.names.version(options.session) or options.fresh:
            return
        if find(client, options.session) is not None:
            session = Session(options.session, client)
            inquire(session, partial(self._heard, options.session), if_busy=options.if_busy)

    def _run(
        self,
        source: str,
        code: str,
        names: CellNames,
        options: CellOptions,
        *,
        is_line: bool,
    ) -> Any:
        settings = self._settings.now()
        stops = Stops(lambda: self.shell.exit_now)
        surface = surfaces.choose(
            self.shell,
            settings.status,
            noninteractive=settings.noninteractive,
            quiet=options.quiet or is_line,
            on_stop=stops.press,
        )
        status = st.StatusLine(
            surface,
            options.session,
            always=not options.block,
            profile="" if options.profile == "default" else options.profile,
            progress=options.progress,
            progress_after=options.progress_after,
        )
        ledger = self._ledger(options)
        try:
            if options.capture == "strict":
                self._meet(options)
            sent = self._choose(names, ledger, options)
            if self.client is None:
                status.enter("starting", at_once=True)
            with watched_by(partial(_tell, status)):
                session = self._session(options)
            label = options.name or reading.first_line(source)
            job = self._submit(session, code, label, sent, options)
        except BaseException as error:
            status.end("failed", [type(error).__name__])
            if isinstance(error, KeyboardInterrupt):
                raise tracebacks.brief(error, self.shell) from None
            raise
        number = self.shell.displayhook.prompt_count
        self.last_job = job.id
        self._note(status, ledger, sent)
        status.telling = bool(sent.names or options.out)
        run = Run(
            shell=self.shell,
            showcase=self.showcase,
            cache=self.names,
            session=session,
            job=job,
            options=options,
            rules=Rules(
                options.on_interrupt,
                settings.interrupt_grace,
                options.wait_start,
                settings.reconnect_timeout,
            ),
            ledger=ledger,
            names=names,
            new=ledger.submitted(names, sent, number),
            sent=sent,
            status=status,
            stops=stops,
            number=number,
            is_line=is_line,
        )
        run.show_on(settings.max_shown, self.relay.channel(options.session))
        return self._follow(run)

    def _session(self, options: CellOptions) -> Session:
        client = self.connected()
        if not (self._settings.now().auto_start or options.fresh):
            _check_exists(client, options.session)
        return Session(options.session, client, profile=options.profile or None)

    def _submit(
        self, session: Session, code: str, label: str, sent: Capture, options: CellOptions
    ) -> Job[CellResult]:
        # A value that is not wanted is asked for too: so it gets a name there.
        limits = {"auto": self._settings.now().return_max, "value": options.max_recv or _ANY_SIZE}
        return session.submit_cell(
            code,
            # While one waits for it nothing changes what is on its way.
            names=sent.pickled if options.block else sent.copied(),
            outputs=list(dict.fromkeys(options.out.values())),
            value=options.return_ != "none",
            value_limit=limits.get(options.return_, 0),
            timeout=options.timeout,
            label=label,
            stream=True,
            env=options.env,
            fresh=options.fresh,
            if_busy=options.if_busy,
            max_recv=options.max_recv,
            known="" if options.fresh else self.names.version(options.session),
            keep={} if options.fresh else sent.keep,
            strict=options.capture == "strict",
        )

    def _note(self, status: st.StatusLine, ledger: Ledger, sent: Capture) -> None:
        """Say what one might not expect."""
        if ledger.lost:
            ledger.lost = False
            status.note(RESTARTED)
        if sent.conflicts:
            status.note(conflicting(sent.conflicts))
        for user, used in sent.shadowed.items():
            status.note(shadowing(user, used))

    def _follow(self, run: Run) -> Any:
        name = run.options.job
        if not run.options.block:
            aside = self.aside[run.job.id] = CellJob(run.job, run.wait_aside)
            self.shell.push({name: aside} if name else {})
            aside.follow(self.shell)
            return aside
        waited = CellJob(run.job, run.wait)
        self.shell.push({name: waited} if name else {})
        try:
            value = run.wait()
        except BaseException as error:
            if run.job.ended:
                waited.set_exception(error)
            else:  # it goes on without this cell
                self.left[run.job.id] = run
                self.shell.push({name: run.job} if name else {})
            raise
        waited.set_result(value)
        return value


def _tell(status: st.StatusLine, progress: str) -> None:
    """Show what the backend is busy with while it starts."""
    status.enter("starting", progress.removesuffix(" …"))
    status.beat()


def _check_exists(client: Client, name: str) -> None:
    there = [info.session for info in client.sessions() if info.state != "stopped"]
    if name not in there:
        told = f"There are: {', '.join(there)}." if there else "There is none yet."
        raise NoSessionError(
            f"There is no session {name!r}, and the setting auto_start is off. {told}",
            hint=f"Start it with `%rexec start {name}`.",
        )
