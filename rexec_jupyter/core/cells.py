"""Cells and calls in a session of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.ambient import default_client
from rexec_jupyter.core.console import OnInterrupt, attend
from rexec_jupyter.core.defaults import session_name
from rexec_jupyter.core.errors import CaptureError, PullError
from rexec_jupyter.core.guards import check_profile, check_size
from rexec_jupyter.core.happenings import Display
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.outcomes import CellResult
from rexec_jupyter.core.refs import RemoteRef
from rexec_jupyter.core.values import UnpicklableError, dump_cell

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client

IfBusy = Literal["queue", "fail", "interrupt"]
"""What a cell does where others run or wait: queue behind them, fail, or interrupt them first."""

_RESOLVE = """
from rexec_jupyter.core.refs import resolve
result = resolve(*reference)
"""
_ANY_SIZE = 2**62


class Place:
    """Where cells run: the part of `session.Session` that everything else there is made of.

    Parameters
    ----------
    name
        Name of the session.
    client
        Through which to reach it. None: the one of this process.
    profile
        Settings that it is to be made with.
    """

    def __init__(self, name: str, client: Client | None, profile: str | None) -> None:
        self.name = session_name(name)
        self._client = client
        self._profile = profile

    @property
    def client(self) -> Client:
        """The client through which it is reached.

        Raises
        ------
        RexecError
            If it cannot connect.
        """
        return default_client() if self._client is None else self._client

    def reach(self, timeout: float | None) -> None:
        """Connect within so many seconds, if that is still to be done."""
        if self._client is None:
            default_client(timeout)

    def run_cell(  # noqa: PLR0913 - each is an option of a cell
        self,
        source: str,
        *,
        names: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        value: bool = False,
        value_limit: int = p.VALUE,
        timeout: float | None = None,
        wait_start: float | None = None,
        label: str = "",
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
        if_busy: IfBusy = "queue",
        on_interrupt: OnInterrupt = "cancel",
        max_send: int = 0,
        max_recv: int = 0,
    ) -> CellResult:
        """Run a cell, show its output here, and wait for it.

        Parameters
        ----------
        source
            Anything that IPython runs, with magics, ``!commands`` and top-level await.
        names
            Variables that are set first.
        outputs
            Names to return once it succeeded.
        value
            Return the value of its last expression too.
        value_limit
            Bytes that this value may take; a larger one stays in the session.
        timeout
            Seconds it may run.
        wait_start
            Seconds it may take until it starts, not counting those behind other cells.
        label
            For people, shown in lists.
        env
            Environment variables, set while it runs.
        fresh
            Run it in a new interpreter, which ends with it.
        if_busy
            What to do if cells run or wait in the session: ``queue``, ``fail``, ``interrupt``.
        on_interrupt
            What Ctrl-C does: ``cancel`` the cell, or ``detach`` from it.
        max_send, max_recv
            Bytes that `names`, and `outputs`, may take; 0 means no limit.

        Raises
        ------
        CaptureError
            If one of `names` cannot be sent; nothing was executed.
        PullError
            If one of `outputs` cannot be brought here; it was executed.
        SessionBusyError
            If the session is busy and `if_busy` is ``fail``.
        StartError
            If it did not start in time; it was withdrawn.
        JobTimeoutError
            If it ran longer than `timeout`.
        BaseException
            What the cell raised.
        """
        job = self.submit_cell(
            source,
            names=names,
            outputs=outputs,
            value=value,
            value_limit=value_limit,
            timeout=timeout,
            label=label,
            stream=True,
            env=env,
            fresh=fresh,
            if_busy=if_busy,
            max_send=max_send,
            max_recv=max_recv,
        )
        attend(job, lambda: job.ended, on_interrupt=on_interrupt, wait_start=wait_start)
        return job.result()

    exec = run_cell

    def submit_cell(  # noqa: PLR0913 - each is an option of a cell
        self,
        source: str,
        *,
        names: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        value: bool = False,
        value_limit: int = p.VALUE,
        timeout: float | None = None,
        label: str = "",
        stream: bool = False,
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
        if_busy: IfBusy = "queue",
        max_send: int = 0,
        max_recv: int = 0,
        known: str = "",
        keep: Mapping[str, bytes] | None = None,
        strict: bool = False,
        hidden: bool = False,
    ) -> Job[CellResult]:
        """Run a cell and do not wait; else as `run_cell`.

        Parameters
        ----------
        stream
            Keep all output for `Job.take`. Otherwise `Job.logs` has its text.
        known
            Version of the listing of names that is known here, see `protocol.Submit`.
        keep, strict
            As for `values.dump_cell`.
        hidden
            No cell of the user's: it is not listed, and is plain Python that runs beside the
            session's variables; its variable ``result`` is the value.
        """
        if if_busy not in ("queue", "fail", "interrupt"):
            raise ValueError(f"if_busy is 'queue', 'fail' or 'interrupt', not {if_busy!r}")
        client = self.client
        check_profile(self._profile, client.status().backend)
        names = names or {}
        try:
            parts = dump_cell(source, names, env=env, keep=keep, strict=strict)
        except UnpicklableError as error:
            raise CaptureError(
                f"{error.name} ({error.kind}) cannot be sent: {error.reason}. "
                "Nothing was executed.",
                hint="Create or load it remotely instead.",
            ) from error
        check_size(parts, names, max_send)
        return client.submit_parts(
            "cell",
            parts,
            session=self.name,
            label=label,
            stream=stream,
            outputs=list(outputs),
            value=value,
            value_limit=value_limit,
            timeout=timeout or 0.0,
            fresh=fresh,
            if_busy=if_busy,
            max_recv=max_recv,
            known=known,
            hidden=hidden,
        )

    def submit_call(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        max_send: int = 0,
        **spec: Any,
    ) -> Job[Any]:
        """Call a function on a worker of the server that the session is on, and do not wait.

        Parameters
        ----------
        timeout
            Seconds it may run.
        max_send
            Bytes that function and arguments may take; 0 means no limit.
        **spec
            As for `Client.submit_call`.
        """
        client = self.client
        check_profile(self._profile, client.status().backend)
        return client.submit_call(
            fn,
            args,
            kwargs,
            session=self.name,
            timeout=timeout or 0.0,
            max_send=max_send,
            **spec,
        )

    def run_hidden(self, source: str, **names: Any) -> CellResult:
        """Run plain Python that is no cell of the user's, see `submit_cell`; wait for it."""
        job = self.submit_cell(
            source, names=names, value=True, value_limit=_ANY_SIZE, hidden=True, stream=True
        )
        attend(job, lambda: job.ended)
        return job.result()

    def reference(self, result: CellResult, shown: Display | None = None) -> RemoteRef:
        """Return what stands for the value of a cell that stayed here.

        Parameters
        ----------
        result
            Of a cell of this session.
        shown
            How its value was shown.
        """
        data, metadata = ({}, {}) if shown is None else (shown.data, shown.metadata)
        name, incarnation = result.ref, result.incarnation

        def fetch() -> Any:
            try:
                found = self.run_hidden(_RESOLVE, reference=(self.name, name, incarnation))
            except LookupError as error:
                raise PullError(
                    f"The value cannot be brought here: {error.args[0]}.",
                    hint="Run the cell again.",
                ) from None
            if found.reason:
                raise PullError(
                    f"The value cannot be brought here: {found.reason}.",
                    hint="It stays in the session; make plain data of it there.",
                )
            return found.value

        return RemoteRef(
            self.name, name, data, metadata, result.reason, fetch, incarnation=incarnation
        )
